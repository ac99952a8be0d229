//! Peers that have lost their SAs, renewal of SAs, and floods of first messages.

use std::net::IpAddr;
use std::time::Duration;

use ike_v1::{Counter, Gone};

use crate::endpoint::{Config, Endpoint, configs, first_message, paths, seconds};
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
fn initial_contact_removes_the_sas_of_before() {
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
fn initial_contact_spares_neighbours_behind_nat() {
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
fn initial_contact_once() {
    let mut link = agreed(configs());
    let sa = link.ends[0].negotiator.sas().next().unwrap().id();
    let (now, end) = (link.now, &mut link.ends[0]);
    end.negotiator.delete(now, ike_v1::Target::IsakmpSa(sa), &mut end.host);
    link.run(Duration::from_secs(1));
    let now = link.now;
    link.ends[0].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 2, "the pair of before is still in use");
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
fn one_source_has_four_half_open_exchanges() {
    let mut link = Link::new(configs(), 401);
    for seed in 0..10 {
        link.inject(1, first_message(configs()[0].clone(), seed));
    }
    let counters = link.ends[1].negotiator.counters();
    assert_eq!(counters.get(Counter::Shed), 6, "the oldest ones make room");
    assert_eq!(link.sent.len(), 10, "each first message has one answer");
    assert_eq!(link.ends[1].failures, []);
}

#[test]
fn mm1_flood_keeps_old_sas() {
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
        // The exchange is over, so that the table has room for the next one.
        end.negotiator.delete(now, ike_v1::Target::All, &mut end.host);
        while end.negotiator.poll_event().is_some() {}
    }
    assert_eq!(refused, 30, "50 in a second");
    assert_eq!(link.ends[1].host.exponentiations, 100);
}
