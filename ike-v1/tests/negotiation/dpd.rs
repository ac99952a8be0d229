//! Dead peer detection (RFC 3706). Every message of it on the wire is decrypted and checked.

use std::time::Duration;

use ike_codec::{Doi, ExchangeKind, Header, MessageWriter, Notification, NotifyKind, PayloadKind, ProtocolId};
use ike_v1::{Counter, DeadPeerDetection, Gone, PeerId, Refusal};

use crate::endpoint::{Config, Endpoint, configs, first_message, paths, seconds};
use crate::spy::{Spy, check_form, message, notification, seen};
use crate::wire::{Faults, Link};

const DELAY: u64 = 20;

/// Configurations in which both endpoints detect dead peers.
fn detecting() -> [Config; 2] {
    configs().map(|config| Config {
        dead_peer_detection: Some(DeadPeerDetection::after(Duration::from_secs(DELAY))),
        ..config
    })
}

fn agreed(configs: [Config; 2], seed: u64) -> Link {
    let mut link = Link::new(configs, seed);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
    link
}

/// Reports a packet of each of these sides, which the other one receives if the network delivers it, and runs for a
/// time.
fn traffic(link: &mut Link, sides: &[usize], is_received: bool, seconds: u64) {
    for _ in 0..seconds {
        let now = link.now;
        for side in sides {
            link.ends[*side].send_packets(now);
            if is_received {
                link.ends[1 - side].receive_packets(now);
            }
        }
        link.run(Duration::from_secs(1));
    }
}

fn count(link: &Link, side: usize, counter: Counter) -> u32 {
    link.ends[side].negotiator.counters().get(counter)
}

//= RFC 3706 5.4/1, 6.2/4
//# SHOULD: a query is sent only by a peer that is interested in the liveliness of the other one
//# MUST: later queries increment the number by one
#[test]
fn dpd_query_is_sent_only_after_outbound_packets_without_an_answer() {
    let mut link = agreed(detecting(), 2000);
    link.run(Duration::from_secs(500));
    assert_eq!(seen(&link), [], "nothing was sent");
    traffic(&mut link, &[0], false, 1);
    link.run(Duration::from_secs(2));
    let all = seen(&link);
    let [query, answer] = all[..] else { panic!("{all:?}") };
    assert!(query.is_query && query.side == 0 && !answer.is_query && answer.number == query.number);
    assert_eq!([Counter::DpdSent, Counter::DpdAnswered].map(|counter| count(&link, 0, counter)), [1, 1]);
    assert_eq!([Counter::DpdSent, Counter::DpdAnswersSent].map(|counter| count(&link, 1, counter)), [0, 1]);
    link.run(Duration::from_secs(500));
    assert_eq!(seen(&link).len(), 2, "the answer proves liveliness, and no query was sent after it");
    traffic(&mut link, &[0], false, DELAY + 3);
    let all = seen(&link);
    let numbers: Vec<_> = all.iter().filter(|seen| seen.is_query).map(|seen| seen.number - query.number).collect();
    assert_eq!(numbers, [0, 1, 2], "at once, as the last proof of liveliness is long ago, and again after the delay");
    assert_eq!((link.agreed(), link.ends[0].dead), (1, 0));
}

#[test]
fn dpd_is_disabled_without_configuration() {
    let mut link = agreed(configs(), 2001);
    traffic(&mut link, &[0, 1], false, 200);
    assert_eq!(seen(&link), []);
}

//= RFC 3706 5.1/1, 5.1/2, 5.2/1
//# MUST: both peers send the vendor ID before the exchange begins
//# MUST: a peer that takes part sends the vendor ID
//# MUST: an entity that has sent the vendor ID answers a query
#[test]
fn no_query_is_sent_to_a_peer_without_the_vendor_id() {
    let mut link = Link::new(detecting(), 2020);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    let first = link.ends[0].poll(now).pop().unwrap();
    let mut altered = first.clone();
    let at = first.windows(4).position(|octets| octets == [0xaf, 0xca, 0xd7, 0x13]).unwrap();
    altered[at] ^= 1;
    link.sent.push((0, first));
    link.inject(1, altered);
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
    traffic(&mut link, &[0, 1], false, 100);
    assert_eq!(seen(&link), []);
    // The initiator has sent the vendor ID, the responder has not.
    let spy = Spy::new(&link);
    let cookies = [spy.cookies.initiator, spy.cookies.responder];
    for (side, counter) in [(0, Counter::DpdAnswersSent), (1, Counter::DpdUnexpected)] {
        link.inject(side, message(&spy, 5 + side as u32, NotifyKind::R_U_THERE, (&cookies, &[0, 0, 0, 1])));
        assert_eq!(count(&link, side, counter), 1);
    }
}

//= RFC 3706 5.4/2, 5.4/3
//# SHOULD: traffic is used as proof of liveliness
//# SHOULD NOT: with regular traffic no exchange is initiated
#[test]
fn inbound_esp_packets_postpone_dpd_queries() {
    let mut link = agreed(detecting(), 2002);
    traffic(&mut link, &[0, 1], true, 200);
    assert_eq!(seen(&link), [], "packets are received");
    traffic(&mut link, &[0], false, DELAY - 2);
    assert_eq!(seen(&link), []);
    traffic(&mut link, &[0], false, 3);
    assert_eq!(seen(&link).len(), 2, "the delay is over");
}

//= RFC 3706 5.4/5, 6.2/4
//# SHOULD: a query without an answer is retransmitted
//# MUST: later queries increment the number by one
#[test]
fn a_retransmitted_dpd_query_has_the_same_sequence_number() {
    let mut link = agreed(detecting(), 2003);
    link.run(Duration::from_secs(DELAY));
    link.faults.lost = 100;
    traffic(&mut link, &[0], false, 18);
    let all = seen(&link);
    assert_eq!(all.len(), 4, "at once, and after 5, 10 and 15 seconds");
    assert!(all.iter().all(|seen| seen.is_query && seen.number == all[0].number));
    link.faults.lost = 0;
    traffic(&mut link, &[0], false, 3);
    assert_eq!(seen(&link).len(), 6, "the fifth query is answered");
    traffic(&mut link, &[0], false, DELAY + 1);
    let all = seen(&link);
    assert_eq!((all.len(), all[6].number), (8, all[0].number + 1));
    assert_eq!((link.agreed(), link.ends[0].dead), (1, 0));
}

//= RFC 3706 5.4/6
//# SHOULD: after some retransmissions the peer is unreachable, and its SAs are deleted
#[test]
fn both_peers_report_a_dead_peer_when_all_messages_are_lost() {
    let mut link = agreed(detecting(), 2004);
    let now = link.now;
    link.ends[1].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_secs(DELAY));
    assert_eq!(link.agreed(), 2);
    let before = link.sent.len();
    link.faults.lost = 100;
    traffic(&mut link, &[0, 1], true, 1);
    traffic(&mut link, &[0, 1], false, DELAY + 23);
    assert!(link.ends.iter().all(|end| end.dead == 0 && end.outbound.len() == 2));
    traffic(&mut link, &[0, 1], false, 2);
    for (side, end) in link.ends.iter().enumerate() {
        assert_eq!((end.dead, &end.phase_1_gone[..]), (1, &[Gone::PeerDead][..]), "side {side}");
        assert!(end.inbound.is_empty() && end.outbound.is_empty() && end.failures.is_empty());
        assert_eq!((end.gone.len(), end.negotiator.sas().count()), (4, 0));
        assert!(end.gone.iter().all(|(.., why)| *why == Gone::PeerDead));
        assert_eq!(count(&link, side, Counter::PeerDead), 1);
    }
    assert_eq!(link.sent.len() - before, 10, "five queries of each, and no delete payload");
    assert_eq!(seen(&link).len(), 10);
    assert!(link.ends.iter().all(|end| end.negotiator.poll_timeout().is_none()));
    link.faults.lost = 0;
    let now = link.now;
    link.ends[1].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
}

/// A quick mode is in progress when the peer is declared dead; a request without a message sent begins phase 1 again.
#[test]
fn negotiations_with_a_dead_peer_are_ended() {
    let mut link = agreed(detecting(), 2005);
    link.run(Duration::from_secs(DELAY));
    link.faults.lost = 100;
    traffic(&mut link, &[0], false, 10);
    let now = link.now;
    let open = link.ends[0].initiate_policy(now, 2).unwrap();
    traffic(&mut link, &[0], false, 20);
    let end = &link.ends[0];
    assert_eq!((end.dead, end.last_reason()), (1, Some(Refusal::PeerDead)));
    assert_eq!(end.failures[0].sa, Some(open));
}

#[test]
fn dead_peer_is_found_while_phase_1_is_renewed() {
    let start = || {
        let configs = detecting().map(|mut config| {
            config.proposals[0] = config.proposals[0].with_lifetimes(seconds(400));
            config
        });
        agreed(configs, 2006)
    };
    // The renewal of phase 1 begins at a random time, which depends on the seed only.
    let mut dry = start();
    while dry.ends[0].phase_1_up < 2 {
        traffic(&mut dry, &[0], true, 1);
    }
    let renewal = dry.now;
    let cut = |is_restored: bool| {
        let mut link = start();
        while link.now + Duration::from_secs(20) < renewal {
            traffic(&mut link, &[0, 1], true, 1);
        }
        link.faults.lost = 100;
        // The last query is sent 40 seconds later, and the renewal has no answer for 60 seconds.
        traffic(&mut link, &[0], false, 65);
        let queries = seen(&link).len();
        assert_eq!((link.ends[0].dead, queries), (0, 5), "the peer is not declared dead before the end of phase 1");
        if is_restored {
            link.faults.lost = 0;
        }
        traffic(&mut link, &[0], false, 60);
        link
    };
    let link = cut(false);
    assert_eq!((link.ends[0].dead, link.ends[0].negotiator.sas().count()), (1, 0));
    let link = cut(true);
    assert_eq!((link.ends[0].dead, link.ends[0].phase_1_up, link.agreed()), (0, 2, 1));
}

/// Queries are sent in the newest ISAKMP SA only.
#[test]
fn dpd_queries_are_sent_in_the_newest_isakmp_sa() {
    let configs = detecting().map(|mut config| {
        config.proposals[0] = config.proposals[0].with_lifetimes(seconds(600));
        config
    });
    let mut link = agreed(configs, 2007);
    traffic(&mut link, &[0, 1], true, 545);
    assert!(link.ends.iter().all(|end| end.negotiator.sas().count() == 2));
    let newest = link.ends[0].negotiator.sas().max_by_key(|sa| sa.established()).unwrap().cookies().initiator;
    traffic(&mut link, &[0, 1], false, DELAY + 2);
    let all = seen(&link);
    assert!(!all.is_empty() && all.iter().all(|seen| seen.sa == newest), "{all:?}");
}

/// Peers with other identities behind the same address are not dead with it.
#[test]
fn other_identities_at_the_address_of_a_dead_peer_keep_their_sas() {
    let mut link = agreed(detecting(), 2008);
    let first = *link.ends[1].outbound.keys().next().unwrap();
    let [mut other, _] = detecting();
    other.local_identity.1 = b"other.example".to_vec();
    link.restart(0, other);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(DELAY));
    assert_eq!(link.ends[1].outbound.len(), 2);
    let sa = link.ends[1].outbound[&first].sa;
    for _ in 0..DELAY + 30 {
        let now = link.now;
        link.ends[1].negotiator.sent_in(now, sa);
        link.run(Duration::from_secs(1));
    }
    let end = &link.ends[1];
    assert_eq!((end.dead, end.outbound.contains_key(&first), end.outbound.len()), (1, false, 1));
    assert_eq!((end.negotiator.sas().count(), link.agreed()), (1, 1));
}

/// Kind, SPI and data of a message, and the counter that counts it.
type Row<'a> = (NotifyKind, &'a [[u8; 8]; 2], &'a [u8], Counter);

//= RFC 3706 6.1/2, 6.1/3, 6.1/4, 6.1/5, 6.2/5, 6.2/6
//# MUST: an answer has the number of its query
//# SHOULD: the number of an answer is checked
//# SHOULD: an answer with another number than that of the query is rejected
//# SHOULD: both sides check the cookies in the SPI
//# SHOULD: each entity keeps the sequence number of its peer
//# SHOULD: a query without the expected number is rejected
#[test]
fn replayed_dpd_queries_are_answered_five_times_and_then_refused() {
    let mut link = agreed(detecting(), 2009);
    let spy = Spy::new(&link);
    let cookies = [spy.cookies.initiator, spy.cookies.responder];
    let [swapped, wrong] = [[cookies[1], cookies[0]], [cookies[0], [9; 8]]];
    let (ask, answer) = (NotifyKind::R_U_THERE, NotifyKind::R_U_THERE_ACK);
    let table: &[Row<'_>] = &[
        (ask, &cookies, &[0, 0, 0, 7], Counter::DpdAnswersSent),
        (ask, &cookies, &[0, 0, 0, 7], Counter::DpdAnswersSent),
        (ask, &swapped, &[0, 0, 0, 7], Counter::DpdAnswersSent),
        (ask, &cookies, &[0, 0, 0, 7], Counter::DpdAnswersSent),
        (ask, &cookies, &[0, 0, 0, 7], Counter::DpdAnswersSent),
        (ask, &cookies, &[0, 0, 0, 7], Counter::DpdAnswersSent),
        (ask, &cookies, &[0, 0, 0, 7], Counter::DpdReplay),
        (ask, &cookies, &[0, 0, 0, 6], Counter::DpdReplay),
        (ask, &swapped, &[0, 0, 0, 9], Counter::DpdAnswersSent),
        (ask, &cookies, &[0, 0, 0, 8], Counter::DpdReplay),
        (ask, &cookies, &[0xff; 4], Counter::DpdAnswersSent),
        (ask, &cookies, &[0, 0, 0, 9], Counter::DpdReplay),
        (ask, &wrong, &[0xff; 4], Counter::DpdMalformed),
        (ask, &cookies, &[0xff; 3], Counter::DpdMalformed),
        (ask, &cookies, &[0xff; 5], Counter::DpdMalformed),
        (answer, &cookies, &[0, 0, 0, 7], Counter::DpdUnexpected),
        (answer, &cookies, &[0, 0, 0, 0], Counter::DpdUnexpected),
        (answer, &wrong, &[0, 0, 0, 0], Counter::DpdMalformed),
    ];
    let mut answered = Vec::new();
    for (message_id, (kind, spi, data, counter)) in (1000..).zip(table.iter().copied()) {
        let (before, sent) = (count(&link, 1, counter), link.sent.len());
        let message = message(&spy, message_id, kind, (spi, data));
        link.inject(1, message.clone());
        assert_eq!(count(&link, 1, counter), before + 1, "{kind} {data:?}");
        assert_eq!(link.sent.len() - sent, usize::from(counter == Counter::DpdAnswersSent), "{kind} {data:?}");
        if link.sent.len() > sent {
            let own = spy.open(0, &[&link.sent[sent].1]);
            let own = notification(&own).unwrap();
            assert_eq!((own.kind, check_form(&own, &cookies).to_be_bytes()), (answer, data.try_into().unwrap()));
            answered.push(message);
        }
    }
    // The message IDs of the last sixteen exchanges are known. Those of earlier ones, and those that each replay pushes
    // out, are not: the number refuses them.
    let sent = link.sent.len();
    for (number, message) in answered.into_iter().enumerate() {
        let counter = if number < 6 { Counter::DpdReplay } else { Counter::MessageIdReused };
        let before = count(&link, 1, counter);
        link.inject(1, message);
        assert_eq!(count(&link, 1, counter), before + 1, "{number}");
    }
    assert_eq!(link.sent.len(), sent);
}

#[test]
fn a_reflected_dpd_query_is_refused() {
    let mut link = agreed(detecting(), 2016);
    let spy = Spy::new(&link);
    let cookies = [spy.cookies.initiator, spy.cookies.responder];
    traffic(&mut link, &[1], false, DELAY + 2);
    let is_query = |(side, message): &&(usize, Vec<u8>)| *side == 1 && message[18] == ExchangeKind::INFORMATIONAL.0;
    let own = link.sent.iter().find(is_query).unwrap().1.clone();
    assert_eq!(count(&link, 1, Counter::DpdSent), 1);
    // Each answer has a message ID of its own: that of the query is forgotten after sixteen.
    for number in 1..=16 {
        let data = u32::to_be_bytes(number);
        let message = message(&spy, 3000 + number, NotifyKind::R_U_THERE, (&cookies, &data));
        link.inject(1, message);
    }
    let answers = count(&link, 1, Counter::DpdAnswersSent);
    link.inject(1, own);
    assert_eq!((count(&link, 1, Counter::DpdReplay), count(&link, 1, Counter::DpdAnswersSent)), (1, answers));
}

/// Answers that an attacker has recorded do not prove liveliness.
#[test]
fn a_replayed_dpd_answer_does_not_postpone_the_detection() {
    let mut link = agreed(detecting(), 2010);
    let before = link.sent.len();
    traffic(&mut link, &[0], false, 20 * (DELAY + 1));
    let of_peer = link.sent[before..].iter().filter(|(side, _)| *side == 1);
    let answers: Vec<_> = of_peer.map(|(_, message)| message.clone()).collect();
    assert_eq!(seen(&link).iter().filter(|seen| !seen.is_query).count(), answers.len());
    assert!(answers.len() >= 20);
    link.faults.lost = 100;
    for round in 0..DELAY + 26 {
        traffic(&mut link, &[0], false, 1);
        link.inject(0, answers[round as usize % 4].clone());
    }
    assert_eq!(link.ends[0].dead, 1);
    let counts = [Counter::DpdUnexpected, Counter::MessageIdReused].map(|counter| count(&link, 0, counter));
    assert!(counts[0] >= 4 && counts[1] > 0, "{counts:?}");
}

//= RFC 3706 5.2/2
//# MUST: messages that are not encrypted are rejected
#[test]
fn queries_in_cleartext_are_not_answered() {
    let mut link = agreed(detecting(), 2011);
    let cookies = Spy::new(&link).cookies;
    let header = Header::new(cookies.initiator, cookies.responder, ExchangeKind::INFORMATIONAL, 77);
    let sent = link.sent.len();
    for kind in [NotifyKind::R_U_THERE, NotifyKind::R_U_THERE_ACK] {
        let (doi, protocol) = (Doi::IPSEC, ProtocolId::ISAKMP);
        let spi = [cookies.initiator, cookies.responder];
        let notification = Notification { doi, protocol, kind, spi: spi.as_flattened(), data: &[0, 0, 0, 1] };
        let mut buf = [0; 128];
        let mut writer = MessageWriter::new(&mut buf, &header).unwrap();
        writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).unwrap();
        link.inject(1, writer.finish().to_vec());
    }
    assert_eq!((link.sent.len(), count(&link, 1, Counter::ClearNotify)), (sent, 2));
}

/// The peer has restarted: it does not answer a query of an unknown SA, but begins phase 1 with the configured address.
#[test]
fn a_restarted_peer_that_receives_a_dpd_query_begins_phase_1() {
    let mut link = agreed(detecting(), 2012);
    let [config, _] = detecting();
    link.restart(0, config);
    traffic(&mut link, &[1], false, DELAY - 3);
    let (now, end) = (link.now, &mut link.ends[0]);
    assert_eq!((end.unknown, count(&link, 0, Counter::UnknownSa)), (1, 1), "the query has unknown cookies");
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!((link.agreed(), link.ends[1].dead), (1, 0));
    assert_eq!(link.ends[1].phase_1_gone, [Gone::PeerRestarted], "phase 1 has INITIAL-CONTACT");
    assert_eq!((link.ends[1].outbound.len(), link.ends[1].last_peer), (1, Some(PeerId(0))));
    traffic(&mut link, &[1], false, 100);
    assert_eq!((link.ends[0].unknown, link.ends[1].dead), (1, 0));
    seen(&link);
}

/// An attacker cannot conceal a dead peer by first messages with its address.
#[test]
fn forged_first_messages_do_not_postpone_the_detection_of_a_dead_peer() {
    let mut link = agreed(detecting(), 2013);
    link.run(Duration::from_secs(DELAY));
    let mut attacker = Link::new(configs(), 2014);
    attacker.ends[0].host.path = paths()[0];
    link.faults.lost = 100;
    for round in 0..30 {
        link.inject(1, first_message(configs()[0].clone(), round));
        traffic(&mut link, &[1], false, 1);
    }
    assert_eq!(link.ends[1].dead, 1);
}

/// An attacker cannot conceal a dead peer by phase 1 up to message 3: not at all from another address, and for as many
/// queries again from that of the peer, which may be a NAT.
#[test]
fn unauthenticated_phase_1_does_not_conceal_a_dead_peer() {
    for (address, at_most) in [([203, 0, 113, 9].into(), DELAY + 26), (paths()[0].local.ip(), DELAY + 52)] {
        let mut link = agreed(detecting(), 2015);
        link.run(Duration::from_secs(DELAY));
        link.faults.lost = 100;
        let (start, mut seed) = (link.now, 2100);
        while link.ends[1].dead == 0 {
            if seed % 10 == 0 {
                link.begin_from(address, 2, Endpoint::new(configs()[0].clone(), paths()[0], seed));
            }
            seed += 1;
            traffic(&mut link, &[1], false, 1);
            assert!(link.now < start + Duration::from_secs(at_most), "{address:?}");
        }
        assert_eq!(link.ends[1].negotiator.sas().count(), 0);
    }
}

#[test]
fn live_peers_are_not_reported_dead_over_a_lossy_network() {
    let mut queries = 0;
    for seed in 0..60 {
        let mut link = agreed(detecting(), 2100 + seed);
        link.faults = Faults { lost: seed % 4 * 10, repeated: 20, delayed: 20, truncated: 5, forged: 5 };
        for _ in 0..10 {
            traffic(&mut link, &[0, 1], true, 3);
            traffic(&mut link, &[seed as usize % 2], false, 30);
        }
        queries += seen(&link).iter().filter(|seen| seen.is_query).count();
        for side in 0..2 {
            assert_eq!(count(&link, side, Counter::Internal), 0);
            let is_alive = link.ends[side].dead == 0 || link.faults.lost >= 20;
            assert!(is_alive, "seed {seed}: {:?}", link.counts());
        }
    }
    assert!(queries > 600, "{queries}");
}
