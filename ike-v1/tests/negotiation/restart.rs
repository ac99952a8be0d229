//! Peers that have lost their SAs, renewal of SAs, and floods of first messages.

use std::net::IpAddr;
use std::time::Duration;

use ike_codec::{ExchangeKind, Group, IdKind};
use ike_v1::{Counter, Gone, PeerId};
use ipsec_crypto::{CipherAlgorithm, HashFunction};

use crate::endpoint::{Config, Endpoint, configs, first_message, paths, phase_1, seconds};
use crate::wire::Link;

fn agreed(configs: [Config; 2]) -> Link {
    let mut link = Link::new(configs, 400);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
    link
}

#[test]
fn initial_contact_removes_the_former_sas_of_the_peer() {
    let mut link = agreed(configs());
    let [config, _] = configs();
    link.restart(0, config);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
    let end = &link.ends[1];
    assert_eq!((end.inbound.len(), end.outbound.len(), end.negotiator.sas().count()), (1, 1, 1));
    assert_eq!(end.phase_1_gone, [Gone::PeerRestarted]);
    assert_eq!(end.gone.iter().filter(|(.., why)| *why == Gone::PeerRestarted).count(), 2);
}

#[test]
fn initial_contact_keeps_the_sas_of_other_peers_behind_the_nat() {
    let mut link = agreed(configs());
    let [mut config, _] = configs();
    config.local_identity.1 = b"other.example".to_vec();
    link.restart(0, config);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    let end = &link.ends[1];
    assert_eq!((end.inbound.len(), end.outbound.len(), end.phase_1_gone.len()), (2, 2, 0));
}

#[test]
fn initial_contact_is_sent_if_the_configuration_permits_it() {
    for exchange in [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        let silent = configs().map(|mut config| {
            (config.exchanges, config.initial_contact) = (vec![exchange], false);
            config
        });
        let mut link = agreed(silent.clone());
        let [config, _] = silent;
        link.restart(0, config);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(5));
        let end = &link.ends[1];
        // The responder cannot know that the initiator has lost its SAs, and still receives with them.
        assert_eq!((end.inbound.len(), end.phase_1_gone.as_slice()), (2, &[][..]), "{exchange}");
    }
}

#[test]
fn initial_contact_is_sent_once() {
    let mut link = agreed(configs());
    let sa = link.ends[0].negotiator.sas().next().unwrap().id();
    let (now, end) = (link.now, &mut link.ends[0]);
    end.negotiator.delete(now, ike_v1::Target::IsakmpSa(sa), &mut end.host);
    link.run(Duration::from_secs(1));
    let now = link.now;
    link.ends[0].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 2, "the former pair is still in use");
}

#[test]
fn the_isakmp_sa_is_renewed_before_its_end() {
    let lifetime = |mut config: Config| {
        config.proposals[0] = config.proposals[0].with_lifetimes(seconds(600));
        config
    };
    let mut link = agreed(configs().map(lifetime));
    link.run(Duration::from_secs(560));
    for end in &link.ends {
        assert_eq!((end.phase_1_up, end.negotiator.sas().count()), (2, 2), "the initiator has renewed it");
    }
    link.run(Duration::from_secs(60));
    assert!(link.ends.iter().all(|end| end.phase_1_gone == [Gone::Expired] && end.negotiator.sas().count() == 1));
    assert_eq!(link.agreed(), 1, "IPsec SAs are independent of it");
    link.run(Duration::from_secs(5400));
    assert_eq!(link.agreed(), 1);
    assert!(link.ends.iter().all(|end| (10..=14).contains(&end.phase_1_up)));
}

#[test]
fn an_unused_isakmp_sa_is_not_renewed() {
    let lifetime = |mut config: Config| {
        config.proposals[0] = config.proposals[0].with_lifetimes(seconds(600));
        config.esp[0] = config.esp[0].with_lifetimes(seconds(60));
        config
    };
    let mut link = agreed(configs().map(lifetime));
    link.run(Duration::from_secs(700));
    assert!(link.ends.iter().all(|end| end.phase_1_up == 1 && end.negotiator.sas().count() == 0));
}

#[test]
fn an_isakmp_sa_is_not_renewed_if_the_configuration_forbids_it() {
    let configured = |mut config: Config| {
        config.proposals[0] = config.proposals[0].with_lifetimes(seconds(600));
        config.renews = false;
        config
    };
    let mut link = agreed(configs().map(configured));
    link.run(Duration::from_secs(620));
    for end in &link.ends {
        assert_eq!((end.phase_1_up, end.phase_1_gone.as_slice()), (1, &[Gone::Expired][..]));
    }
    // The pair of IPsec SAs is in use, and the next request begins phase 1.
    let now = link.now;
    link.ends[0].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 2);
    assert!(link.ends.iter().all(|end| end.phase_1_up == 2));
}

#[test]
fn one_source_has_at_most_four_half_open_exchanges() {
    let mut link = Link::new(configs(), 401);
    for seed in 0..10 {
        link.inject(1, first_message(configs()[0].clone(), seed));
    }
    let counters = link.ends[1].negotiator.counters();
    assert_eq!(counters.get(Counter::Shed), 6, "the oldest ones are evicted");
    assert_eq!(link.sent.len(), 10, "each first message has one answer");
    assert_eq!(link.ends[1].failures, []);
}

#[test]
fn many_first_messages_of_main_mode_keep_established_sas() {
    let mut link = agreed(configs());
    let exponentiations = link.ends[1].host.exponentiations;
    // Four addresses with one exchange each fill the table of four.
    let flood = |link: &mut Link, round: u64| {
        for (seed, last) in (round * 100..).zip(10..40) {
            link.inject_from(last, first_message(configs()[0].clone(), seed));
        }
    };
    flood(&mut link, 1);
    assert!(link.ends[1].negotiator.counters().get(Counter::Shed) > 20, "each new source replaces the oldest");
    // The established peer, and this host, negotiate nevertheless.
    for side in 0..2 {
        let now = link.now;
        link.ends[side].initiate_policy(now, 2 + side as u32).unwrap();
        link.run(Duration::from_secs(5));
        flood(&mut link, 2 + side as u64);
    }
    assert_eq!(link.agreed(), 3);
    assert_eq!(link.ends[1].host.exponentiations, exponentiations, "a first message costs no key exchange");
}

#[test]
fn key_exchanges_are_bounded() {
    let mut link = Link::new(configs(), 402);
    let mut refused = 0;
    // Complete exchanges up to message 3 from many addresses.
    for number in 0..80u8 {
        let [config, _] = configs();
        let mut attacker = Endpoint::new(config, paths()[0], number.into());
        let now = link.now;
        attacker.initiate(now).unwrap();
        let mut path = link.ends[1].host.path;
        path.remote.set_ip(IpAddr::from([203, 0, 113, number]));
        let end = &mut link.ends[1];
        end.host.accepts_every_address = true;
        let mut out = [0; 4096];
        let mut answer = None;
        for mut message in attacker.poll(now) {
            end.negotiator.handle_datagram(now, path, &mut message, &mut end.host);
            answer = end.negotiator.poll_transmit(now, &mut out).map(|transmit| transmit.datagram.to_vec());
        }
        let Some(answer) = answer else { continue };
        attacker.receive(now, answer);
        for mut message in attacker.poll(now) {
            end.negotiator.handle_datagram(now, path, &mut message, &mut end.host);
        }
        let count = end.negotiator.counters().get(Counter::TooManyKeyExchanges);
        refused = count;
        // The exchange is over, so that the table has a free slot for the next one.
        end.negotiator.delete(now, ike_v1::Target::All, &mut end.host);
        while end.negotiator.poll_event().is_some() {}
    }
    assert_eq!(refused, 30, "50 in a second");
    assert_eq!(link.ends[1].host.exponentiations, 100);
}

#[test]
fn a_restarted_initiator_completes_while_its_first_exchange_is_half_open() {
    let mut link = Link::new(configs(), 403);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    while link.sent.len() < 2 {
        assert!(link.step(now + Duration::from_secs(1)));
    }
    // The initiator restarts before it has received message 2, which is then part of none of its exchanges.
    let [config, _] = configs();
    link.restart(0, config);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1, "{:?}", link.counts());
    link.run(Duration::from_secs(200));
    for end in &link.ends {
        assert_eq!((end.failures.len(), end.phase_1_up, end.negotiator.sas().count()), (0, 1, 1));
    }
}

#[test]
fn first_messages_without_continuation_leave_no_state() {
    let [accepted, mut refused] = configs();
    refused.proposals = vec![phase_1(CipherAlgorithm::DesCbc, HashFunction::Md5, Group::MODP_1024)];
    let mut link = Link::new(configs(), 404);
    link.inject(1, first_message(refused, 1));
    assert!(link.ends[1].negotiator.poll_timeout().is_none(), "a refused offer leaves no state");
    link.inject(1, first_message(accepted, 2));
    assert_eq!(link.sent.len(), 2, "each probe has one answer");
    link.run(Duration::from_secs(121));
    let end = &link.ends[1];
    assert!(end.negotiator.poll_timeout().is_none() && end.negotiator.is_idle());
    assert_eq!(
        (link.sent.len(), end.failures.len(), end.host.exponentiations),
        (2, 1, 0),
        "the failure of the first probe only"
    );
}

/// Lets side 0 initiate from this address.
fn from_address(key: &[u8], keys: &[(Option<IpAddr>, &[u8])], address: [u8; 4]) -> Link {
    let [mut a, b] = configs();
    a.key = Some(key.to_vec());
    let mut link = Link::new([a, b], 405);
    link.ends[0].host.path.local.set_ip(address.into());
    link.ends[1].host.path.remote.set_ip(address.into());
    link.ends[1].host.keys = keys.iter().map(|(address, key)| (*address, key.to_vec())).collect();
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    link
}

#[test]
fn the_key_for_any_address_is_used_without_a_key_for_the_address() {
    let known = [192, 0, 2, 1];
    let keys: [(Option<IpAddr>, &[u8]); 2] = [(None, b"for all"), (Some(known.into()), b"for one")];
    let table = [
        (&b"for all"[..], [203, 0, 113, 7], 1),
        (b"for one", known, 1),
        (b"for all", known, 0),
        (b"for one", [203, 0, 113, 7], 0),
    ];
    for (key, address, expected) in table {
        let link = from_address(key, &keys, address);
        assert_eq!(link.agreed(), expected, "{address:?} with the key {}", String::from_utf8_lossy(key));
    }
}

#[test]
fn several_peers_at_one_address_are_distinguished_by_identity() {
    for (name, number) in [("second.example", 1), ("third.example", 2), ("gateway.example", 0)] {
        let [mut a, b] = configs();
        a.local_identity = (IdKind::FQDN, name.into());
        let mut link = Link::new([a, b], 406);
        let further = ["second.example", "third.example"];
        link.ends[1].host.further_peers = further.map(|name| (IdKind::FQDN, name.into())).to_vec();
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(5));
        assert_eq!((link.agreed(), link.ends[1].last_peer), (1, Some(PeerId(number))), "{name}");
    }
}

#[test]
fn ipsec_sas_remain_after_the_isakmp_sa_expires() {
    let lifetime = |mut config: Config| {
        config.proposals[0] = config.proposals[0].with_lifetimes(seconds(100));
        config
    };
    let mut link = agreed(configs().map(lifetime));
    // The renewal has no answer.
    link.faults.lost = 100;
    link.run(Duration::from_secs(200));
    for end in &link.ends {
        assert_eq!((end.negotiator.sas().count(), &end.phase_1_gone[..]), (0, &[Gone::Expired][..]));
        assert_eq!(end.gone, [], "the IPsec SAs do not end with it");
    }
    link.faults.lost = 0;
    assert_eq!(link.agreed(), 1);
    let now = link.now;
    link.ends[1].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 2, "a request begins phase 1 again");
}

#[test]
fn a_forward_jump_of_the_clock_ends_exchanges_without_error() {
    for jump in [86_400, 3_000_000_000] {
        for messages in 0..=9 {
            let mut link = Link::new(configs(), 407);
            let now = link.now;
            link.ends[0].initiate(now).unwrap();
            while link.sent.len() < messages && link.step(now + Duration::from_secs(1)) {}
            link.now = now + Duration::from_secs(jump);
            link.run(Duration::from_secs(300));
            for end in &link.ends {
                assert_eq!(end.negotiator.counters().get(Counter::Internal), 0, "{messages}");
                assert!(end.negotiator.is_idle(), "{messages}: {:?}", link.counts());
            }
            // One end may have an ISAKMP SA that the other one has given up; it is replaced when it has no answer.
            for _ in 0..2 {
                let now = link.now;
                link.ends[1].initiate(now).unwrap();
                link.run(Duration::from_secs(100));
            }
            assert_eq!(link.agreed(), 1, "{jump} s after {messages} messages: {:?}", link.counts());
        }
    }
}
