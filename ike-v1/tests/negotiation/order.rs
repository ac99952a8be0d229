//! Events in any order: renewals, deletions and answers of the host that meet each other, full tables and changed
//! policies.

use std::time::Duration;

use ike_codec::{Lifetimes, NatTraversals};
use ike_v1::{Counter, Event, Negotiator, PeerId, Settings, Target};
use ipsec_packet::Instant;
use ipsec_sa::{Direction, Mode};

use crate::bundles;
use crate::endpoint::{Endpoint, configs, first_message, paths, seconds};
use crate::random::Random;
use crate::renewal::{agreed, initiate, senders};
use crate::wire::{Faults, Link};

/// Queries that a host answers later.
type Questions = fn(usize) -> bool;

/// Runs for a time. Returns the times without an outbound SA, by endpoint.
fn gaps(link: &mut Link, time: Duration) -> [Duration; 2] {
    let end = link.now + time;
    let mut gaps = [Duration::ZERO; 2];
    loop {
        link.collect();
        let (before, empty) = (link.now, [0, 1].map(|side| link.ends[side].outbound.is_empty()));
        let goes_on = link.step(end);
        let after = if goes_on { link.now } else { end };
        for side in 0..2 {
            if empty[side] {
                gaps[side] += after.saturating_duration_since(before);
            }
        }
        if !goes_on {
            break;
        }
    }
    link.now = end;
    gaps
}

/// strongSwan with `delete_rekeyed` and Windows delete the old pair as soon as the new one is complete.
#[test]
fn traffic_continues_if_the_peer_deletes_the_old_pair_at_once() {
    let mut link = agreed(1);
    let old = link.ends[1].inbound.values().next().unwrap().sa;
    initiate(&mut link, 0);
    link.run(Duration::from_millis(100));
    let (now, end) = (link.now, &mut link.ends[1]);
    assert!(end.outbound.values().all(|installed| installed.sa != old), "the responder uses the new pair");
    end.negotiator.delete(now, Target::IpsecSa(old), &mut end.host);
    assert_eq!(gaps(&mut link, Duration::from_secs(10)), [Duration::ZERO; 2]);
}

#[test]
fn traffic_continues_if_the_old_pair_expires_during_the_changeover() {
    let mut found = Vec::new();
    for life in [2, 4, 10, 100] {
        let mut configs = configs();
        for config in &mut configs {
            config.esp[0] = config.esp[0].with_lifetimes(seconds(life));
        }
        let mut link = Link::new(configs, 2);
        initiate(&mut link, 0);
        link.run(Duration::from_secs(life) - Duration::from_secs(1));
        initiate(&mut link, 0);
        let gaps = gaps(&mut link, Duration::from_millis(1800));
        found.extend((gaps != [Duration::ZERO; 2]).then_some((life, gaps)));
    }
    assert!(found.is_empty(), "lifetimes with gaps at each peer: {found:?}");
}

/// A peer without an address, of which there are several clients: the pair of one is not replaced by one with another.
#[test]
fn a_deleted_pair_is_replaced_with_the_same_client_only() {
    for is_known in [true, false] {
        let mut link = agreed(5);
        let [mut other, _] = configs();
        other.local_identity.1 = b"other.example".to_vec();
        other.nat_traversal = NatTraversals::NONE;
        link.ends[1].host.is_passive = true;
        // The client renews the pair; phase 1 of another one is the newest.
        initiate(&mut link, 0);
        link.run(Duration::from_secs(1));
        let newest = *link.ends[1].outbound.keys().next().unwrap();
        let newest = link.ends[0].inbound[&newest].sa;
        link.begin_from([203, 0, 113, 9].into(), 3, Endpoint::new(other, paths()[0], 5005));
        assert_eq!(link.ends[1].negotiator.sas().count(), 2);
        let (now, end) = (link.now, &mut link.ends[0]);
        end.negotiator.delete(now, Target::IpsecSa(newest), &mut end.host);
        if !is_known {
            let id = end.negotiator.sas().next().unwrap().id();
            end.negotiator.delete(now, Target::IsakmpSa(id), &mut end.host);
        }
        let sent = link.sent.len();
        link.run(Duration::from_secs(10));
        let own = link.ends[1].host.path.remote.ip();
        let of_hub = link.sent_on.iter().skip(sent).zip(&link.sent[sent..]).filter(|(_, (side, _))| *side == 1);
        assert!(of_hub.clone().all(|(path, _)| path.remote.ip() == own), "{is_known}");
        let quick_modes = of_hub.filter(|(_, (_, message))| message[18] == 32).count();
        assert_eq!((quick_modes > 0, link.agreed()), (is_known, usize::from(is_known)));
    }
}

/// Request of this host that `initiate` leaves to a negotiation of the peer, which then fails.
#[test]
fn a_request_that_waits_for_a_failed_negotiation_of_the_peer_is_reported() {
    let mut link = agreed(3);
    initiate(&mut link, 0);
    let [config, _] = configs();
    // Message 1 arrives, and the peer does not answer.
    link.run(Duration::from_millis(25));
    link.restart(0, config);
    link.ends[0].deaf = true;
    let now = link.now;
    let id = link.ends[1].initiate(now).unwrap();
    let sent = link.sent.len();
    link.run(Duration::from_secs(200));
    let failures = &link.ends[1].failures;
    let quick = link.sent[sent..].iter().filter(|(side, message)| *side == 1 && message[18] == 32).count();
    assert!(
        failures.iter().any(|failure| failure.sa == Some(id)),
        "no answer to the request {id}: {failures:?}; {quick} quick mode messages (of the responder)"
    );
}

/// A peer may decide otherwise which of two crossing pairs it keeps.
#[test]
fn an_outbound_sa_remains_if_the_preferred_of_two_crossing_pairs_is_deleted() {
    let mut link = agreed(4);
    initiate(&mut link, 0);
    initiate(&mut link, 1);
    link.run(Duration::from_secs(5));
    let (now, end) = (link.now, &mut link.ends[1]);
    let winner = end.outbound.values().next().unwrap().sa;
    end.negotiator.delete(now, Target::IpsecSa(winner), &mut end.host);
    link.run(Duration::from_secs(30));
    assert!(!link.ends[1].inbound.is_empty(), "the redundant pair still receives at the peer");
    assert!(!link.ends[0].outbound.is_empty(), "this host has an outbound SA");
}

/// Kilobyte lifetimes: the responder of the first pair renews it within half a minute.
#[test]
fn an_early_renewal_by_the_peer_is_used() {
    let mut ignored = 0;
    for seed in 0..40 {
        let mut configs = configs();
        for config in &mut configs {
            let lifetimes = Lifetimes { kilobytes: Some(1000), ..seconds(3600) };
            config.esp[0] = config.esp[0].with_lifetimes(lifetimes);
        }
        let mut link = Link::new(configs, 5000 + seed);
        initiate(&mut link, 0);
        link.run(Duration::from_secs(10));
        let old = senders(&link);
        initiate(&mut link, 1);
        link.run(Duration::from_secs(10));
        let new = senders(&link);
        ignored += usize::from(old[0] == new[0] || old[1] == new[1]);
    }
    assert_eq!(ignored, 0, "of 40 renewals");
}

/// Firmware with one exchange: the second request begins when the first one is complete.
#[test]
fn a_request_that_waits_for_the_only_exchange_begins_when_it_is_free() {
    let [a, b] = configs();
    let [path, _] = paths();
    let mut own: Box<Negotiator<2, 1, 4, 6144>> = Box::new(Negotiator::new(Settings::DAEMON, [3; 16]));
    let mut end = Endpoint::new(a, path, 10);
    let mut peer = Endpoint::new(b, paths()[1], 11);
    let start = Instant::from_secs(1000);
    let mut now = start;
    own.initiate(now, PeerId(0), 1, &mut end.host).unwrap();
    own.initiate(now, PeerId(0), 2, &mut end.host).unwrap();
    let mut ready = Vec::new();
    while ready.len() < 2 && now < start + Duration::from_secs(300) {
        loop {
            while let Some(event) = own.poll_event() {
                match event {
                    Event::InboundReady(sa) => own.installed(now, sa.sa),
                    Event::OutboundReady(sa) => ready.push((sa.policy, now.saturating_duration_since(start))),
                    _ => {}
                }
            }
            let mut out = vec![0; 8192];
            let Some(sent) = own.poll_transmit(now, &mut out).map(|transmit| transmit.datagram.to_vec()) else { break };
            peer.receive(now, sent);
            for mut answer in peer.poll(now) {
                own.handle_datagram(now, path, &mut answer, &mut end.host);
            }
        }
        while let Some(event) = own.poll_event() {
            if let Event::OutboundReady(sa) = event {
                ready.push((sa.policy, now.saturating_duration_since(start)));
            }
        }
        if ready.len() < 2 {
            now = own.poll_timeout().unwrap_or(now + Duration::from_secs(1000)).max(now);
            own.handle_timeout(now, &mut end.host);
        }
    }
    assert!(ready.len() == 2 && ready[1].1 < Duration::from_secs(5), "{ready:?}");
}

/// SPIs of a bundle whose installation failed are released without a further event.
#[test]
fn an_installation_that_failed_leaves_no_reserved_spi() {
    let configs = bundles::both(&bundles::templates(Mode::Tunnel));
    let mut link = Link::new(configs, 12);
    link.ends[1].confirms = false;
    initiate(&mut link, 0);
    let now = link.now;
    let mut id = None;
    while id.is_none() {
        let end = now + Duration::from_secs(10);
        assert!(link.step(end));
        id = link.ends[1].inbound.values().next().map(|installed| installed.sa);
    }
    link.ends[1].negotiator.install_failed(id.unwrap());
    link.run(Duration::from_secs(300));
    check_spis(&link);
}

/// Asserts that every reserved SPI was announced: others are released.
pub fn check_spis(link: &Link) {
    for (side, end) in link.ends.iter().enumerate() {
        for spi in &end.host.reserved {
            let was_announced = end.inbound.contains_key(spi)
                || end.gone.iter().any(|gone| gone.0 == Direction::Inbound && gone.1 == *spi);
            assert!(was_announced, "SPI {spi:#x} of side {side} was neither announced nor released");
        }
    }
}

/// Random operations at random times: in the end both endpoints are idle and have no state left.
#[test]
fn random_operations_leave_no_state() {
    for seed in 0..400 {
        let mut random = Random(77_000 + seed);
        let mut configs = if seed % 3 == 0 { bundles::both(&bundles::templates(Mode::Tunnel)) } else { configs() };
        if seed % 3 == 1 {
            for config in &mut configs {
                config.esp[0] = config.esp[0].with_lifetimes(seconds(40)).with_group(ike_codec::Group::MODP_768);
            }
        }
        let mut link = Link::new(configs, 20_000 + seed);
        let questions: [Option<Questions>; 4] = [None, Some(|n| n % 2 == 0), Some(|n| n % 3 == 0), Some(|_| true)];
        for end in &mut link.ends {
            end.host.later.questions = questions[random.below(4) as usize];
            end.host.later.delay = Duration::from_millis(random.below(4000));
        }
        link.faults = Faults { lost: 10, repeated: 20, delayed: 10, truncated: 5, forged: 5 };
        for _ in 0..50 {
            let side = random.below(2) as usize;
            let now = link.now;
            let end = &mut link.ends[side];
            match random.below(14) {
                0..=5 => drop(end.initiate_policy(now, 1 + random.below(3) as u32)),
                6 => end.negotiator.delete(now, Target::All, &mut end.host),
                7 | 8 => {
                    let pair = end.inbound.values().nth(random.below(3) as usize).map(|installed| installed.sa);
                    if let Some(pair) = pair {
                        end.negotiator.delete(now, Target::IpsecSa(pair), &mut end.host);
                    }
                }
                9 => {
                    let sa = end.negotiator.sas().next().map(|sa| sa.id());
                    if let Some(sa) = sa {
                        end.negotiator.delete(now, Target::IsakmpSa(sa), &mut end.host);
                    }
                }
                10 => {
                    let pair = end.inbound.values().nth(random.below(3) as usize).map(|installed| installed.sa);
                    if let Some(pair) = pair {
                        end.negotiator.install_failed(pair);
                    }
                }
                11 => end.resume(now),
                12 => link.now += Duration::from_secs(random.below(200)),
                _ => end.confirms = !end.confirms,
            }
            link.run(Duration::from_millis(random.below(3000)));
            for side in 0..2 {
                let now = link.now;
                let senders: Vec<u32> = link.ends[1 - side].outbound.keys().copied().collect();
                for spi in senders {
                    let sa = link.ends[side].inbound.get(&spi).map(|installed| installed.sa);
                    if let Some(sa) = sa.filter(|_| random.percent(50)) {
                        link.ends[side].negotiator.heard_from(now, sa);
                    }
                }
            }
        }
        link.faults = Faults::default();
        for round in 0..2 {
            for end in &mut link.ends {
                let now = link.now;
                end.negotiator.delete(now, Target::All, &mut end.host);
            }
            link.run(Duration::from_secs(300 * (1 + round)));
        }
        for end in &link.ends {
            assert!(end.inbound.is_empty() && end.outbound.is_empty(), "seed {seed}");
            assert!(end.negotiator.is_idle(), "seed {seed}");
            assert_eq!(end.negotiator.poll_timeout(), None, "seed {seed}");
        }
        check_spis(&link);
    }
}

#[test]
fn extreme_lifetimes_of_the_peer_do_not_overflow() {
    for life in [0, 1, 2, u64::from(u32::MAX), u64::MAX / 1000, u64::MAX - 1, u64::MAX] {
        for kilobytes in [None, Some(0), Some(1), Some(u64::MAX)] {
            let lifetimes = ike_codec::Lifetimes { kilobytes, ..seconds(life) };
            let mut configs = configs();
            for config in &mut configs {
                config.check = ike_v1::ProposalCheck::Obey;
            }
            configs[0].esp[0] = configs[0].esp[0].with_lifetimes(lifetimes);
            configs[0].proposals[0] = configs[0].proposals[0].with_lifetimes(seconds(life));
            let mut link = Link::new(configs, 14);
            initiate(&mut link, 0);
            link.run(Duration::from_secs(20));
            for _ in 0..3 {
                initiate(&mut link, 0);
                initiate(&mut link, 1);
                link.run(Duration::from_secs(20));
            }
            link.now += Duration::from_secs(1 << 40);
            link.run(Duration::from_secs(20));
            link.now += Duration::from_secs(1 << 62);
            link.run(Duration::from_secs(20));
            check_spis(&link);
        }
    }
}

/// The last message of a renewal is lost and there are no packets: the responder gives up and deletes the new pair.
#[test]
fn a_renewal_given_up_by_the_responder_keeps_the_old_pair() {
    let mut link = agreed(15);
    initiate(&mut link, 0);
    let end = link.now + Duration::from_millis(25);
    while link.step(end) {}
    link.ends[1].deaf = true;
    link.run(Duration::from_secs(100));
    link.ends[1].deaf = false;
    link.run(Duration::from_secs(30));
    assert!(!link.ends[1].outbound.is_empty(), "the responder sends with the old pair");
    assert!(!link.ends[0].outbound.is_empty(), "the initiator sends with the old pair: {:?}", link.ends[0].gone);
}

/// Times without an outbound SA while packets flow in one direction only, over a lossy network.
#[test]
fn traffic_of_one_direction_continues_during_renewals() {
    let mut found = [[0; 2]; 3];
    for seed in 0..600 {
        let mode = seed as usize % 3;
        let mut link = agreed(30_000 + seed);
        link.faults = Faults { lost: seed % 4 * 5, repeated: 10, delayed: 10, ..Faults::default() };
        for round in 0..3 {
            let sides: &[usize] = [&[0][..], &[1], &[0, 1]][(seed as usize / 3 + round) % 3];
            sides.iter().for_each(|side| initiate(&mut link, *side));
            let end = link.now + Duration::from_secs(100);
            let mut is_gap = [false; 2];
            while link.step(end) {
                let now = link.now;
                for (side, is_gap) in is_gap.iter_mut().enumerate() {
                    let senders: Vec<u32> = link.ends[side].outbound.keys().copied().collect();
                    *is_gap |= senders.is_empty();
                    for spi in senders.into_iter().filter(|_| mode == side) {
                        let sa = link.ends[1 - side].inbound[&spi].sa;
                        link.ends[1 - side].negotiator.heard_from(now, sa);
                    }
                }
                link.collect();
            }
            link.now = end;
            for side in 0..2 {
                found[mode][side] += usize::from(is_gap[side]);
            }
        }
    }
    assert_eq!(found, [[0; 2]; 3], "rounds with a gap: packets of side 0, of side 1, none; gap at side 0, at side 1");
}

/// A pair of the other end begins 29 seconds after a first one; its first message is lost, so that it begins after 31
/// seconds at the responder. There are no packets.
#[test]
fn an_outbound_sa_remains_at_both_peers_if_pairs_cross_at_one_only() {
    let mut lost = Vec::new();
    for seed in 0..20 {
        let mut link = Link::new(configs(), 40_000 + seed);
        initiate(&mut link, 0);
        link.run(Duration::from_secs(29));
        link.loses_message(link.sent.len());
        initiate(&mut link, 1);
        link.run(Duration::from_secs(120));
        let outbound = [0, 1].map(|side| link.ends[side].outbound.len());
        lost.extend((outbound.contains(&0)).then_some((seed, outbound)));
    }
    assert!(lost.is_empty(), "outbound SAs of both ends: {lost:?}");
}

/// Ten policies in a table of sixteen pairs: retired pairs are evicted for the renewal of others.
#[test]
fn replaced_pairs_are_evicted_for_renewals() {
    let mut link = Link::new(configs(), 19);
    for policy in 1..11 {
        let now = link.now;
        link.ends[0].initiate_policy(now, policy).unwrap();
        link.run(Duration::from_secs(1));
    }
    link.run(Duration::from_secs(40));
    assert_eq!(link.agreed(), 10);
    for policy in 1..11 {
        let now = link.now;
        let renewed = link.ends[0].initiate_policy(now, policy);
        assert!(renewed.is_ok(), "policy {policy}: {renewed:?}");
        link.run(Duration::from_secs(5));
    }
}

/// Both ends renew at any time over a faulty network, with occasional packets: in the end both have an outbound SA
/// whose inbound SA exists at the other end.
#[test]
fn an_outbound_sa_remains_at_both_peers_after_renewals_at_any_time() {
    for (traffic, interval) in [("both", 1), ("both", 20), ("side 0", 1), ("side 0", 20), ("none", 1000)] {
        let mut lost = Vec::new();
        for seed in 0..200 {
            let mut random = Random(90_000 + seed);
            let mut link = agreed(50_000 + seed);
            link.faults = Faults { lost: 10, repeated: 10, delayed: 10, ..Faults::default() };
            let mut next = link.now;
            for round in 0..10 {
                if round == 9 {
                    link.faults = Faults::default();
                } else if round < 8 {
                    let now = link.now;
                    let _ = link.ends[random.below(2) as usize].initiate(now);
                }
                let end = link.now + Duration::from_millis(if round < 8 { random.below(40_000) } else { 100_000 });
                while link.now < end {
                    if !link.step(next.min(end)) {
                        link.now = next.min(end);
                    }
                    if link.now < next {
                        continue;
                    }
                    let now = link.now;
                    next = now + Duration::from_secs(interval);
                    for side in 0..2 {
                        if traffic == "none" || (traffic == "side 0" && side == 1) {
                            continue;
                        }
                        for spi in senders(&link)[side].clone() {
                            if let Some(sa) = link.ends[1 - side].inbound.get(&spi).map(|installed| installed.sa) {
                                link.ends[1 - side].negotiator.heard_from(now, sa);
                            }
                        }
                    }
                }
                link.now = end;
            }
            let outbound = senders(&link);
            let is_good = (0..2).all(|side| {
                !outbound[side].is_empty()
                    && outbound[side].iter().all(|spi| link.ends[1 - side].inbound.contains_key(spi))
            });
            lost.extend((!is_good).then_some((seed, link.agreed())));
        }
        assert!(lost.is_empty(), "packets of {traffic} every {interval} s, of 200 runs lost: {lost:?}");
    }
}

/// Narrow selectors inside one policy are not siblings.
#[test]
fn one_peer_does_not_fill_the_table_of_pairs() {
    let mut link = agreed(8);
    for host in 1..16 {
        let mut selector = configs()[0].policy.unwrap();
        selector.source = ipsec_packet::AddressRange::host(std::net::IpAddr::from([192, 168, 1, host]));
        link.ends[0].host.config.policy = Some(selector);
        initiate(&mut link, 0);
        link.run(Duration::from_millis(200));
    }
    let now = link.now;
    let own = link.ends[1].initiate_policy(now, 13);
    assert!(own.is_ok(), "{own:?} after pairs of one policy: {}", link.ends[1].inbound.len());
}

/// One authenticated peer begins quick modes and does not complete them.
#[test]
fn one_peer_does_not_occupy_every_exchange() {
    let mut link = agreed(16);
    link.ends[0].deaf = true;
    let now = link.now;
    for policy in 2..6 {
        link.ends[0].initiate_policy(now, policy).unwrap();
    }
    link.run(Duration::from_secs(1));
    let counted = |link: &Link| [Counter::Full, Counter::Sent].map(|what| link.ends[1].negotiator.counters().get(what));
    let [full, sent] = counted(&link);
    assert_eq!(full, 2, "half of four exchanges");
    // The first message of another initiator, whose address is that of a peer.
    link.inject_from(9, first_message(configs()[0].clone(), 99));
    assert_eq!(counted(&link), [full, sent + 1], "it is answered");
}
