//! Commit flag and CONNECTED, RESPONDER-LIFETIME, and messages of a peer with the key.

use std::time::Duration;

use ike_codec::{
    Delete, Doi, ExchangeKind, Header, IdKind, Identification, Notification, NotifyKind, PayloadKind, ProtocolId,
};
use ike_v1::{Counter, Gone, ProposalCheck, Refusal};
use ipsec_packet::Instant;

use crate::endpoint::{Config, configs, seconds};
use crate::spy::{Spy, notification};
use crate::wire::Link;

/// Offset of the flags in a message, and the commit flag.
const FLAGS: usize = 19;
const COMMIT: u8 = 2;

/// Negotiates up to message 2 of quick mode, sets the commit flag in it, and lets message 3 be sent.
fn with_commit_flag() -> Link {
    let mut link = Link::new(configs(), 500);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.loses_message(7);
    while link.sent.len() < 8 {
        assert!(link.step(now + Duration::from_secs(1)));
    }
    let mut message = link.sent[7].1.clone();
    message[FLAGS] |= COMMIT;
    link.inject(0, message);
    assert_eq!(link.sent.len(), 9, "message 3 was sent");
    assert!(link.ends[0].outbound.is_empty(), "the outbound SA waits for CONNECTED");
    link
}

fn connected() -> Notification<'static> {
    Notification { doi: Doi::IPSEC, protocol: ProtocolId::ESP, kind: NotifyKind::CONNECTED, spi: &[], data: &[] }
}

#[test]
fn connected_notification_installs_the_outbound_sa() {
    for exchange in [ExchangeKind::QUICK, ExchangeKind::INFORMATIONAL] {
        let mut link = with_commit_flag();
        let spy = Spy::new(&link);
        let id = Header::parse(&link.sent[8].1).unwrap().0.message_id;
        let chain = spy.chain(id, link.sent[6..9].iter().map(|(_, message)| message));
        let message = spy.message((exchange, id), &chain, |writer| {
            writer.payload(PayloadKind::NOTIFICATION, |body| connected().write(body)).map(drop)
        });
        let mut forged = message.clone();
        *forged.last_mut().unwrap() ^= 1;
        link.inject(0, forged);
        assert!(link.ends[0].outbound.is_empty());
        link.inject(0, message);
        assert_eq!(link.ends[0].outbound.len(), 1, "{exchange}");
    }
}

#[test]
fn the_outbound_sa_is_installed_without_a_connected_notification() {
    let mut link = with_commit_flag();
    link.run(Duration::from_secs(3));
    assert_eq!(link.agreed(), 1);
    let mut link = with_commit_flag();
    let (now, sa) = (link.now, link.ends[0].inbound.values().next().unwrap().sa);
    link.ends[0].negotiator.heard_from(now, sa);
    link.collect();
    assert_eq!(link.ends[0].outbound.len(), 1, "an authentic packet");
    link.run(Duration::from_secs(100));
    assert!(link.ends.iter().all(|end| end.failures.is_empty()));
}

#[test]
fn claim_sends_a_responder_lifetime_notification() {
    let [mut a, mut b] = configs();
    a.esp[0] = a.esp[0].with_lifetimes(seconds(9000));
    b.esp[0] = b.esp[0].with_lifetimes(seconds(600));
    let strict = [a.clone(), b.clone()];
    b.check = ProposalCheck::Claim;
    let mut link = Link::new([a, b], 501);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(610));
    for end in &link.ends {
        let ends: Vec<Gone> = end.gone.iter().map(|(.., why)| *why).collect();
        assert_eq!(ends, [Gone::Expired, Gone::Expired], "both use 600 seconds");
    }
    let mut link = Link::new(strict, 502);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert!(matches!(link.ends[1].last_reason(), Some(Refusal::NoProposal(_))));
}

#[test]
fn claim_refuses_a_longer_lifetime_of_phase_1() {
    let [mut a, mut b] = configs();
    a.proposals[0] = a.proposals[0].with_lifetimes(seconds(9000));
    b.proposals[0] = b.proposals[0].with_lifetimes(seconds(600));
    b.check = ProposalCheck::Claim;
    let mut link = Link::new([a, b], 503);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert!(matches!(link.ends[1].last_reason(), Some(Refusal::NoProposal(_))));
}

/// Returns a link with one pair, and the keys of its ISAKMP SA.
fn agreed() -> (Link, Spy) {
    let mut link = Link::new(configs().map(|config| Config { remote_identity: None, ..config }), 504);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
    let spy = Spy::new(&link);
    (link, spy)
}

/// Sends an informational exchange of the initiator with a delete payload.
fn delete(link: &mut Link, spy: &Spy, message_id: u32, delete: &Delete<'_>) {
    let chain = spy.chain(message_id, []);
    let message = spy.message((ExchangeKind::INFORMATIONAL, message_id), &chain, |writer| {
        writer.payload(PayloadKind::DELETE, |body| delete.write(body)).map(drop)
    });
    link.inject(1, message);
}

#[test]
fn deletion_is_idempotent_and_ignores_unknown_spis() {
    let (mut link, spy) = agreed();
    let spi = link.ends[1].outbound.keys().next().unwrap().to_be_bytes();
    let base = Delete { doi: Doi::IPSEC, protocol: ProtocolId::ESP, spi_size: 4, spi_count: 1, spi_bytes: &[1; 4] };
    delete(&mut link, &spy, 1, &base);
    delete(&mut link, &spy, 2, &Delete { spi_bytes: &[1; 8], spi_size: 8, ..base });
    delete(&mut link, &spy, 3, &Delete { doi: Doi(7), spi_bytes: &spi, ..base });
    delete(&mut link, &spy, 4, &Delete { protocol: ProtocolId::AH, spi_bytes: &spi, ..base });
    assert_eq!((link.ends[1].outbound.len(), link.ends[1].gone.len()), (1, 0));
    for message_id in [5, 6] {
        delete(&mut link, &spy, message_id, &Delete { doi: Doi::ISAKMP, spi_bytes: &spi, ..base });
    }
    assert_eq!((link.ends[1].outbound.len(), link.ends[1].inbound.len()), (0, 1), "packets may be in transit");
    link.run(Duration::from_secs(5));
    assert_eq!((link.ends[1].inbound.len(), link.ends[1].gone.len()), (0, 2));
    assert_eq!(link.ends[1].negotiator.sas().count(), 1);
}

#[test]
fn new_group_mode_is_refused_by_a_notification() {
    let (mut link, spy) = agreed();
    // DOI and situation, a proposal for ISAKMP, and a transform KEY_IKE of the private group 32769.
    let body = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 1, 0, 0, 0x80, 4, 0x80, 1];
    let chain = spy.chain(1, []);
    let message = spy.message((ExchangeKind::NEW_GROUP, 1), &chain, |writer| {
        writer.payload(PayloadKind::SA, |payload| payload.put(&body)).map(drop)
    });
    let (sent, sas) = (link.sent.len(), link.ends[1].negotiator.sas().count());
    let mut forged = message.clone();
    *forged.last_mut().unwrap() ^= 1;
    link.inject(1, forged);
    assert_eq!(link.sent.len(), sent, "a message that is not authentic has no answer");
    link.inject(1, message.clone());
    let [(_, 1, answer)] = &spy.informational(&link)[..] else { panic!("one notification") };
    assert_eq!(notification(answer).unwrap().kind, NotifyKind::ATTRIBUTES_NOT_SUPPORTED);
    link.inject(1, message);
    assert_eq!((link.sent.len(), link.ends[1].negotiator.sas().count()), (sent + 1, sas), "it is answered once");
}

#[test]
fn client_identities_that_are_not_addresses_are_refused() {
    let (mut link, spy) = agreed();
    let exponentiations = link.ends[1].host.exponentiations;
    // IDcr is an FQDN; then protocol 0 with a port; then an unspecified host.
    let network = [192, 168, 1, 0, 255, 255, 255, 0];
    let ids = [
        Identification { kind: IdKind::FQDN, protocol: 0, port: 0, data: b"example" },
        Identification { kind: IdKind::IPV4, protocol: 0, port: 80, data: &[192, 168, 2, 1] },
        Identification { kind: IdKind::IPV4, protocol: 0, port: 0, data: &[0; 4] },
        Identification { kind: IdKind::IPV4_SUBNET, protocol: 0, port: 0, data: &[192, 168, 2, 0, 255, 0, 255, 0] },
        Identification { kind: IdKind::IPV4_RANGE, protocol: 0, port: 0, data: &[192, 168, 2, 9, 192, 168, 2, 1] },
        Identification { kind: IdKind::IPV6, protocol: 0, port: 0, data: &[1; 16] },
    ];
    for (message_id, responder) in (10..).zip(ids) {
        let chain = spy.chain(message_id, []);
        let offer = configs()[0].esp[0];
        let initiator = Identification { kind: IdKind::IPV4_SUBNET, protocol: 0, port: 0, data: &network };
        let message = spy.message((ExchangeKind::QUICK, message_id), &chain, |writer| {
            writer.sa(|sa| {
                sa.proposal(&ike_codec::ProposalHead::new(1, ProtocolId::ESP, &[1; 4]), |proposal| {
                    let head = ike_codec::TransformHead::new(1, offer.transform_id().unwrap());
                    proposal.transform(&head, |list| offer.write(list))
                })
            })?;
            writer.bytes(PayloadKind::NONCE, &[7; 16])?;
            writer.payload(PayloadKind::ID, |body| initiator.write(body))?;
            writer.payload(PayloadKind::ID, |body| responder.write(body)).map(drop)
        });
        link.inject(1, message);
        assert_eq!(link.ends[1].last_reason(), Some(Refusal::Selectors), "{responder:?}");
    }
    assert_eq!(link.ends[1].inbound.len(), 1);
    assert_eq!(link.ends[1].host.exponentiations, exponentiations);
}

#[test]
fn a_forged_quick_mode_message_does_not_change_the_iv_chain() {
    let mut link = Link::new(configs(), 505);
    let now: Instant = link.now;
    link.ends[0].initiate(now).unwrap();
    while link.sent.len() < 8 {
        assert!(link.step(now + Duration::from_secs(1)));
    }
    let mut forged = link.sent[7].1.clone();
    for octet in &mut forged[28..] {
        *octet ^= 0x5a;
    }
    link.inject(0, forged);
    let counters = link.ends[0].negotiator.counters();
    let refused =
        counters.get(Counter::Malformed) + counters.get(Counter::Payloads) + counters.get(Counter::HashMismatch);
    assert_eq!(refused, 1);
    link.run(Duration::from_secs(1));
    assert_eq!(link.agreed(), 1);
}
