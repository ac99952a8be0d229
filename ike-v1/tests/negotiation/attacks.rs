//! Forged, replayed, reflected and late messages, and requests at the wrong moment.

use std::time::Duration;

use ike_codec::{Doi, ExchangeKind, Header, MessageWriter, Notification, NotifyKind, PayloadKind, ProtocolId};
use ike_v1::{Counter, Refusal, Target};

use crate::endpoint::{Config, configs};
use crate::spy::Spy;
use crate::wire::Link;

pub fn until(link: &mut Link, messages: usize) {
    let end = link.now + Duration::from_secs(1);
    while link.sent.len() < messages {
        assert!(link.step(end));
    }
}

pub fn agreed() -> Link {
    let mut link = Link::new(configs(), 700);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
    link
}

/// Returns message 3 with a public value and a nonce, for the exchange of message 2.
pub fn message_3(message_2: &[u8], public: &[u8]) -> Vec<u8> {
    let header = Header::parse(message_2).unwrap().0;
    let header = Header::new(header.initiator_cookie, header.responder_cookie, ExchangeKind::MAIN, 0);
    let mut buf = [0; 512];
    let mut writer = MessageWriter::new(&mut buf, &header).unwrap();
    writer.bytes(PayloadKind::KEY_EXCHANGE, public).unwrap();
    writer.bytes(PayloadKind::NONCE, &[7; 16]).unwrap();
    writer.finish().to_vec()
}

#[test]
fn a_lost_isakmp_sa_is_replaced_when_quick_mode_has_no_answer() {
    let lifetime = |mut config: Config| {
        config.esp[0] = config.esp[0].with_lifetimes(crate::endpoint::seconds(20));
        config
    };
    let mut link = Link::new(configs().map(lifetime), 720);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(30));
    let [_, config] = configs();
    link.restart(1, config);
    for _ in 0..10 {
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(100));
        if link.ends[0].phase_1_up > 1 {
            return;
        }
    }
    panic!("ten negotiations in 1000 seconds use the ISAKMP SA that the peer has lost: {:?}", link.ends[0].failures);
}

#[test]
fn a_pair_deleted_before_message_3_is_sent_is_removed_at_both_peers() {
    let mut link = Link::new(configs(), 707);
    link.ends[0].confirms = false;
    let now = link.now;
    let sa = link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_millis(500));
    assert_eq!(link.ends[0].inbound.len(), 1);
    let (now, end) = (link.now, &mut link.ends[0]);
    end.negotiator.installed(now, sa);
    end.negotiator.delete(now, Target::IpsecSa(sa), &mut end.host);
    link.run(Duration::from_secs(40_000));
    let end = &mut link.ends[0];
    assert_ne!(end.initiate(link.now), Ok(sa), "the policy is negotiated again");
    assert!(end.inbound.is_empty(), "the inbound SA stays installed");
}

#[test]
fn quick_mode_message_3_after_the_deletion_installs_no_outbound_sa() {
    let mut link = Link::new(configs(), 708);
    let now = link.now;
    let sa = link.ends[0].initiate(now).unwrap();
    link.loses_message(8);
    link.run(Duration::from_millis(500));
    let message_3 = link.sent[8].1.clone();
    let (now, end) = (link.now, &mut link.ends[0]);
    end.negotiator.delete(now, Target::IpsecSa(sa), &mut end.host);
    link.run(Duration::from_secs(1));
    // Message 3 was late, not lost.
    link.inject(1, message_3);
    link.run(Duration::from_secs(5));
    assert!(link.ends[0].inbound.is_empty());
    assert!(link.ends[1].outbound.is_empty(), "packets are sent to an SA that the peer has deleted");
}

#[test]
fn a_responder_that_deletes_before_message_3_notifies_the_peer() {
    let mut link = Link::new(configs(), 709);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.loses_message(8);
    link.run(Duration::from_millis(500));
    assert_eq!((link.ends[0].outbound.len(), link.ends[1].outbound.len()), (1, 0));
    let (now, end) = (link.now, &mut link.ends[1]);
    end.negotiator.delete(now, Target::All, &mut end.host);
    link.run(Duration::from_secs(5));
    assert!(link.ends[1].inbound.is_empty());
    assert!(link.ends[0].outbound.is_empty(), "the peer keeps an outbound SA without its inbound SA");
}

#[test]
fn deletion_of_a_waiting_request_is_reported_as_an_event() {
    let mut link = Link::new(configs(), 713);
    let now = link.now;
    let sa = link.ends[0].initiate(now).unwrap();
    link.collect();
    let end = &mut link.ends[0];
    end.negotiator.delete(now, Target::IpsecSa(sa), &mut end.host);
    link.run(Duration::from_secs(100));
    assert!(link.ends[0].failures.iter().any(|failure| failure.sa == Some(sa)), "{:?}", link.ends[0].failures);
}

#[test]
fn a_quick_mode_whose_isakmp_sa_is_deleted_does_not_complete() {
    let mut link = Link::new(configs(), 714);
    link.ends[0].confirms = false;
    let now = link.now;
    let sa = link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_millis(500));
    assert_eq!(link.ends[0].inbound.len(), 1);
    let (now, end) = (link.now, &mut link.ends[1]);
    end.negotiator.delete(now, Target::All, &mut end.host);
    link.run(Duration::from_secs(1));
    assert_eq!(link.ends[0].negotiator.sas().count(), 0);
    let now = link.now;
    link.ends[0].negotiator.installed(now, sa);
    link.run(Duration::from_secs(200));
    assert!(link.ends[0].outbound.is_empty(), "an outbound SA to a peer that has deleted all");
}

#[test]
fn a_quick_mode_that_loses_its_expired_isakmp_sa_is_not_deleted_by_the_peer() {
    let lifetime = |mut config: Config| {
        config.proposals[0] = config.proposals[0].with_lifetimes(crate::endpoint::seconds(100));
        config.esp[0] = config.esp[0].with_lifetimes(crate::endpoint::seconds(20));
        config
    };
    let mut link = Link::new(configs().map(lifetime), 717);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(98));
    assert_eq!(link.agreed(), 0);
    link.faults.lost = 100;
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(10));
    assert_ne!(link.ends[0].last_reason(), Some(Refusal::DeletedByPeer), "{:?}", link.ends[0].failures);
}

#[test]
fn a_deletion_while_connected_is_awaited_is_not_forgotten() {
    let mut link = Link::new(configs(), 722);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.loses_message(7);
    until(&mut link, 8);
    let mut message = link.sent[7].1.clone();
    message[19] |= 2;
    link.inject(0, message);
    let sa = link.ends[1].inbound.values().next().unwrap().sa;
    // Message 3 arrives; then the responder deletes the pair instead of sending CONNECTED.
    link.run(Duration::from_millis(100));
    assert_eq!(link.ends[1].outbound.len(), 1);
    let (now, end) = (link.now, &mut link.ends[1]);
    end.negotiator.delete(now, Target::IpsecSa(sa), &mut end.host);
    link.run(Duration::from_secs(10));
    assert!(link.ends[0].outbound.is_empty(), "packets are sent to an SA that the peer has deleted");
}

#[test]
fn a_responder_that_gives_up_notifies_the_peer() {
    let mut link = Link::new(configs(), 724);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.loses_message(8);
    link.run(Duration::from_millis(500));
    link.ends[1].deaf = true;
    link.run(Duration::from_secs(200));
    assert!(link.ends[1].inbound.is_empty());
    assert!(link.ends[0].outbound.is_empty(), "the peer keeps an outbound SA without its inbound SA");
}

#[test]
fn a_forged_answer_of_quick_mode_does_not_shorten_the_retransmission() {
    let mut found = false;
    for at in 28..140 {
        let mut link = Link::new(configs(), 710);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.loses_message(7);
        until(&mut link, 8);
        let mut forged = link.sent[7].1.clone();
        let Some(octet) = forged.get_mut(at) else { break };
        *octet ^= 1;
        link.inject(0, forged);
        if link.ends[0].negotiator.counters().get(Counter::HashMismatch) == 0 {
            continue;
        }
        found = true;
        link.faults.lost = 100;
        link.run(Duration::from_secs(100));
        let sends = link.sent.iter().filter(|(from, sent)| *from == 0 && *sent == link.sent[6].1).count();
        assert_eq!(sends, 6, "octet {at}: {:?}", link.ends[0].failures);
    }
    assert!(found);
}

#[test]
fn a_forged_message_3_does_not_fail_a_quick_mode_that_completes() {
    let mut link = Link::new(configs(), 711);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.loses_message(8);
    until(&mut link, 9);
    let message = link.sent[8].1.clone();
    let mut forged = message.clone();
    *forged.last_mut().unwrap() ^= 1;
    link.inject(1, forged);
    link.inject(1, message);
    assert_eq!(link.agreed(), 1);
    assert_eq!(link.ends[1].failures, [], "an event of an unauthenticated message, for a negotiation that succeeds");
}

#[test]
fn a_reflected_informational_message_is_refused() {
    let mut link = agreed();
    let (now, sa) = (link.now, link.ends[1].inbound.values().next().unwrap().sa);
    let before = link.sent.len();
    let end = &mut link.ends[1];
    end.negotiator.delete(now, Target::IpsecSa(sa), &mut end.host);
    link.collect();
    let own = link.sent[before].1.clone();
    link.inject(1, own.clone());
    let reused = link.ends[1].negotiator.counters().get(Counter::MessageIdReused);
    assert_eq!(reused, 1, "the reflected message was processed");
}

#[test]
fn a_recorded_first_message_of_quick_mode_installs_nothing() {
    let mut link = agreed();
    let spy = Spy::new(&link);
    let recorded = link.sent[6].1.clone();
    let kind = NotifyKind(24_577);
    let notification = Notification { doi: Doi::IPSEC, protocol: ProtocolId::ISAKMP, kind, spi: &[], data: &[] };
    for message_id in 1..=16 {
        let chain = spy.chain(message_id, []);
        let message = spy.message((ExchangeKind::INFORMATIONAL, message_id), &chain, |writer| {
            writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
        });
        link.inject(1, message);
    }
    link.inject(1, recorded);
    assert_eq!(link.ends[1].inbound.len(), 1, "a replayed message of an attacker installs an SA");
}

#[test]
fn a_quick_mode_that_had_no_free_slot_is_answered_when_it_is_repeated() {
    let mut link = Link::new(configs(), 723);
    link.ends[1].host.config.spis = 0;
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_millis(500));
    assert_eq!(link.ends[1].last_reason(), Some(Refusal::NoSpi));
    link.ends[1].host.config.spis = 9;
    link.run(Duration::from_secs(100));
    assert_eq!(link.agreed(), 1, "{:?}", link.ends[0].failures);
}

#[test]
fn a_refused_phase_1_reports_no_removed_isakmp_sa() {
    let [a, mut b] = configs();
    b.remote_identity = Some(a.local_identity.clone());
    let mut link = Link::new([a, b], 706);
    for round in 0..4 {
        if round == 3 {
            link.ends[0].host.config.local_identity.1 = b"other.example".to_vec();
        }
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(5));
        if round < 3 {
            // The end of the ISAKMP SA is not seen by side 1.
            link.faults.lost = 100;
            let (now, end) = (link.now, &mut link.ends[0]);
            let sa = end.negotiator.sas().next().unwrap().id();
            end.negotiator.delete(now, Target::IsakmpSa(sa), &mut end.host);
            link.run(Duration::from_secs(2));
            link.faults.lost = 0;
        }
    }
    let end = &link.ends[1];
    assert!(matches!(end.last_reason(), Some(Refusal::IdentityMismatch(_))));
    assert_eq!((end.negotiator.sas().count(), end.phase_1_gone.len()), (3, 0), "{:?}", end.phase_1_gone);
}

#[test]
fn identities_are_equal_in_type_and_data_only() {
    let mut link = agreed();
    let [mut config, _] = configs();
    // The same FQDN in upper case, with UDP and port 500 instead of 0 and 0 (RFC 2407 section 4.6.2).
    config.identity_port = (17, 500);
    config.local_identity.1.make_ascii_uppercase();
    link.restart(0, config);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.ends[1].phase_1_gone.len(), 1, "INITIAL-CONTACT of the same identity");
}

#[test]
fn a_message_from_an_unconfigured_address_is_not_reported_as_a_restarted_peer() {
    let mut link = agreed();
    let header = Header::new([1; 8], [2; 8], ExchangeKind::MAIN, 0);
    let mut buf = [0; 64];
    let mut writer = MessageWriter::new(&mut buf, &header).unwrap();
    writer.bytes(PayloadKind::NONCE, &[7; 16]).unwrap();
    let mut message = writer.finish().to_vec();
    let (now, end) = (link.now, &mut link.ends[1]);
    let mut path = end.host.path;
    path.remote.set_ip("203.0.113.9".parse().unwrap());
    end.negotiator.handle_datagram(now, path, &mut message, &mut end.host);
    link.collect();
    assert_eq!(link.ends[1].unknown, 0);
}

/// Negotiates up to message 5, which the responder does not receive. Returns a notification of the responder.
fn refused_message_5(kind: NotifyKind) -> (Link, Vec<u8>) {
    let mut link = Link::new(configs(), 722);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    until(&mut link, 5);
    link.ends[1].deaf = true;
    let spy = Spy::of(&link.sent[..5], &link.ends[0].host.first_shared);
    let notification = Notification { doi: Doi::IPSEC, protocol: ProtocolId::ISAKMP, kind, spi: &[], data: &[] };
    let message = spy.message((ExchangeKind::INFORMATIONAL, 7), &spy.chain(7, []), |writer| {
        writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
    });
    (link, message)
}

#[test]
fn a_refusal_of_message_5_reports_the_notification_of_the_peer() {
    let (mut link, message) = refused_message_5(NotifyKind::INVALID_ID_INFORMATION);
    link.inject(0, message);
    assert_eq!(link.ends[0].last_reason(), Some(Refusal::PeerRefused(NotifyKind::INVALID_ID_INFORMATION)));
}

#[test]
fn an_undecryptable_message_6_does_not_end_the_exchange() {
    for answers in [false, true] {
        let (mut link, mut message) = refused_message_5(NotifyKind::AUTHENTICATION_FAILED);
        message[30] ^= 1;
        link.inject(0, message);
        assert_eq!(link.ends[0].negotiator.counters().get(Counter::WrongKeyLikely), 1);
        assert_eq!(link.ends[0].failures, []);
        link.ends[1].deaf = !answers;
        link.run(Duration::from_secs(300));
        assert_eq!(link.agreed(), usize::from(answers));
        assert_eq!(link.ends[0].last_reason(), (!answers).then_some(Refusal::WrongKeyLikely));
    }
}
