//! Bounds on the state and the computations that messages without authentication cause.

use std::time::Duration;

use ike_codec::{ExchangeKind, Group, Header, MessageWriter, NatTraversals, PayloadKind};
use ike_v1::Counter;
use ipsec_crypto::{CipherAlgorithm, HashFunction};

use crate::attacks::{agreed, message_3, until};
use crate::endpoint::{Config, Endpoint, configs, first_message, paths, phase_1};
use crate::wire::Link;

#[test]
fn four_spoofed_first_messages_do_not_lock_a_peer_out() {
    let mut link = Link::new(configs(), 701);
    for seed in 0..4 {
        let [config, _] = configs();
        // The attacker is off-path: it has received no message of the peer.
        let message = first_message(config, 9000 + seed);
        link.inject(1, message);
    }
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(100));
    assert_eq!(link.agreed(), 1, "{:?} {:?}", link.ends[0].failures, link.counts());
}

#[test]
fn a_refused_first_message_replaces_no_half_open_exchange() {
    let mut link = Link::new(configs(), 702);
    for last in 10..14 {
        let [config, _] = configs();
        link.inject_from(last, first_message(config, 9100 + u64::from(last)));
    }
    let [mut config, _] = configs();
    config.proposals = vec![phase_1(CipherAlgorithm::DesCbc, HashFunction::Md5, Group::MODP_1024)];
    link.inject_from(99, first_message(config, 9199));
    let counters = link.ends[1].negotiator.counters();
    assert_eq!((counters.get(Counter::NoProposal), counters.get(Counter::Shed)), (1, 0));
}

#[test]
fn exchange_of_an_initiator_that_has_returned_the_cookie_is_not_replaced() {
    let mut link = Link::new(configs(), 703);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    until(&mut link, 4);
    for last in 10..14 {
        let [config, _] = configs();
        link.inject_from(last, first_message(config, 9200 + u64::from(last)));
    }
    link.run(Duration::from_secs(100));
    assert_eq!(link.agreed(), 1, "{:?} {:?}", link.ends[0].failures, link.counts());
}

/// Occupies the four exchanges of side 1 from these addresses, each by main mode up to message 3.
fn occupy(link: &mut Link, addresses: [[u8; 4]; 4]) {
    for (seed, address) in (9400..).zip(addresses) {
        let [config, _] = configs();
        link.begin_from(address.into(), 2, Endpoint::new(config, paths()[0], seed));
    }
}

#[test]
fn half_open_exchanges_of_one_network_do_not_lock_a_peer_out() {
    let shed = |addresses| {
        let mut link = Link::new(configs(), 713);
        occupy(&mut link, addresses);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(1));
        (link.agreed(), link.ends[1].negotiator.counters().get(Counter::Shed))
    };
    assert_eq!(shed([1, 2, 3, 4].map(|host| [203, 0, 113, host])), (1, 1));
    // A first message may be forged: it replaces none of four initiators from different networks.
    assert_eq!(shed([1, 2, 3, 4].map(|network| [203, 0, network, 1])), (0, 0));
}

/// First messages with forged addresses of its neighbours do not crowd out an initiator that has returned the cookie.
#[test]
fn forged_neighbours_do_not_evict_a_proven_exchange() {
    let mut link = Link::new(configs(), 714);
    let [config, _] = configs();
    let config = Config { nat_traversal: NatTraversals::NONE, ..config };
    let own = [203, 0, 113, 200].into();
    let mut initiator = link.begin_from(own, 2, Endpoint::new(config, paths()[0], 9410));
    for seed in 0..40 {
        let [config, _] = configs();
        link.run(Duration::from_millis(1));
        // Two neighbours, and two messages from an address of another network.
        let message = first_message(config, 9420 + seed);
        match seed % 4 {
            2 | 3 => link.inject(1, message),
            _ => link.inject_from(10 + seed as u8, message),
        }
    }
    assert!(link.ends[1].negotiator.counters().get(Counter::Shed) > 0);
    link.continue_from(own, 1, &mut initiator);
    assert_eq!(link.ends[1].negotiator.sas().count(), 1);
}

#[test]
fn isakmp_sas_of_one_client_do_not_evict_those_of_another() {
    let mut link = agreed();
    let first = link.ends[1].negotiator.sas().next().unwrap().id();
    for seed in 0..6 {
        let [mut config, _] = configs();
        config.local_identity.1 = b"other.example".to_vec();
        (config.nat_traversal, config.initial_contact) = (NatTraversals::NONE, false);
        link.begin_from([203, 0, 113, 9].into(), 3, Endpoint::new(config, paths()[0], 9500 + seed));
        link.run(Duration::from_secs(1));
    }
    let sas: Vec<_> = link.ends[1].negotiator.sas().map(|sa| sa.id()).collect();
    assert_eq!((sas.len(), sas.contains(&first)), (3, true));
}

#[test]
fn malformed_public_values_do_not_count_as_key_exchanges() {
    let mut link = Link::new(configs(), 704);
    let [config, _] = configs();
    link.inject(1, first_message(config, 9300));
    let message_2 = link.sent[0].1.clone();
    for number in 0..60u8 {
        link.inject(1, message_3(&message_2, &[number; 5]));
    }
    assert_eq!(link.ends[1].host.exponentiations, 0);
    assert_eq!(link.ends[1].negotiator.counters().get(Counter::TooManyKeyExchanges), 0);
}

#[test]
fn invalid_public_values_of_one_exchange_cost_bounded_work() {
    let mut link = Link::new(configs(), 705);
    let [config, _] = configs();
    link.inject(1, first_message(config, 9400));
    let message_2 = link.sent[0].1.clone();
    for number in 0..40u8 {
        let mut public = [0; 96];
        public[0] = number;
        link.inject(1, message_3(&message_2, &public));
    }
    assert!(link.ends[1].host.exponentiations <= 4, "{}", link.ends[1].host.exponentiations);
}

#[test]
fn forged_answers_with_an_invalid_public_value_cost_bounded_work() {
    let mut link = Link::new(configs(), 725);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.loses_message(3);
    until(&mut link, 4);
    let header = link.sent[3].1.clone();
    let before = link.ends[0].host.exponentiations;
    for number in 0..40u8 {
        let mut public = [0; 96];
        public[0] = number;
        link.inject(0, message_3(&header, &public));
    }
    assert!(link.ends[0].host.exponentiations - before <= 2, "{}", link.ends[0].host.exponentiations);
}

#[test]
fn messages_that_are_not_authentic_are_decrypted_fifty_times_a_second() {
    let mut link = agreed();
    let cookies = link.ends[1].negotiator.sas().next().unwrap().cookies();
    let forged = |exchange, message_id| {
        let header = Header::new(cookies.initiator, cookies.responder, exchange, message_id);
        let mut buf = [0; 128];
        let mut writer = MessageWriter::new(&mut buf, &header).unwrap();
        writer.bytes(PayloadKind::HASH, &[7; 68]).unwrap();
        let mut message = writer.finish().to_vec();
        message[19] |= 1; // encryption flag
        message
    };
    for message_id in 1..=300 {
        let kind = if message_id % 2 == 0 { ExchangeKind::QUICK } else { ExchangeKind::INFORMATIONAL };
        link.inject(1, forged(kind, message_id));
    }
    let refused = |link: &Link| link.ends[1].negotiator.counters().get(Counter::TooManyBadMessages);
    assert_eq!(refused(&link), 250, "{:?}", link.counts());
    // A second later the peer is heard again.
    link.run(Duration::from_secs(1));
    let now = link.now;
    link.ends[0].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_secs(1));
    assert_eq!(link.agreed(), 2);
    assert_eq!(refused(&link), 250);
}

#[test]
fn forged_messages_5_are_decrypted_fifty_times_a_second() {
    let mut link = Link::new(configs(), 720);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    until(&mut link, 5);
    let genuine = link.sent[4].1.clone();
    for number in 0..120u8 {
        let mut forged = genuine.clone();
        // The hash is not over the last payload.
        forged[30] ^= number + 1;
        link.inject(1, forged);
    }
    let counters = link.ends[1].negotiator.counters();
    assert_eq!(counters.get(Counter::TooManyBadMessages), 70, "{:?}", link.counts());
    link.run(Duration::from_secs(30));
    assert_eq!(link.agreed(), 1, "message 5 is sent again");
}

#[test]
fn answers_to_first_messages_are_not_larger_than_the_messages() {
    let mut link = Link::new(configs(), 721);
    let [a, b] = configs();
    let mut offers = vec![first_message(a.clone(), 1)];
    // An offer that is refused, and one with more transforms.
    let des = phase_1(CipherAlgorithm::DesCbc, HashFunction::Md5, Group::MODP_1024);
    offers.push(first_message(Config { proposals: vec![des], ..a.clone() }, 2));
    offers.push(first_message(Config { proposals: vec![des, b.proposals[0]], ..a }, 3));
    for offer in offers {
        // The first transmission and all repetitions.
        let (before, mut asked) = (link.sent.len(), 0);
        for _ in 0..20 {
            asked += offer.len();
            link.inject(1, offer.clone());
        }
        link.run(Duration::from_secs(130));
        let answered: usize = link.sent[before..].iter().map(|(_, datagram)| datagram.len()).sum();
        let answers = link.sent.len() - before;
        assert!(answers > 0 && answers <= 6, "{answers}");
        assert!(answered <= asked, "{answered} octets for {asked}");
        assert!(link.sent[before..].iter().all(|(_, datagram)| datagram.len() <= offer.len()));
    }
}
