//! Auditable events of RFC 4301, RFC 4302 and RFC 4303, and dummy packets, which cause none (RFC 4303 section 2.6).

mod gateway;
mod gateway_pair;

use gateway::{Gateway, ip, ipv6};
use gateway_pair::*;
use ipsec_engine::{Audit, Counter, Direction, DiscardReason, Protocol};
use ipsec_packet::{IpProto, SeqWidth};

fn audits(gateway: &mut Gateway) -> Vec<Audit> {
    std::iter::from_fn(|| gateway.engine.poll_audit()).collect()
}

//= RFC 4303 3.4.4.1/2
//# SHOULD: it is logged with SPI, time, addresses, number and flow label
#[test]
fn audit_event_has_spi_sequence_number_addresses_and_flow_label() {
    let action = format!("ipsec esp/tunnel/{A6}-{B6}/require");
    let (_, mut b) = one_way(&esp(A6, B6, 0x1001, "-m tunnel"), "::/0", "::/0", &action, (A6, B6));
    let mut packet =
        ipv6(A6, B6, IpProto::ESP, &[&0x1001u32.to_be_bytes()[..], &[0, 0, 0x12, 0x34], &[7; 76]].concat());
    packet[1..4].copy_from_slice(&[0x0a, 0xbc, 0xde]);
    let _ = b.receive(&packet);
    let [audit] = audits(&mut b)[..] else { panic!("expected one event") };
    assert_eq!((audit.at, audit.reason), (b.now, DiscardReason::Open(esp_core::OpenError::IcvMismatch)));
    assert_eq!((audit.source, audit.destination), (Some(address(A6)), Some(address(B6))));
    assert_eq!((audit.flow_label, audit.spi, audit.sequence), (0xabcde, Some(0x1001), Some(0x1234)));
    let text = format!(
        "{}.000 {A6} > {B6}, SPI 0x00001001, sequence number 4660, flow label 0xabcde: {}",
        b.now.as_secs(),
        audit.reason
    );
    assert_eq!(audit.to_string(), text);
}

//= RFC 4303 4/1, 4/6
//# MUST: ESP supports auditing where its system does
//# SHOULD: a replay: logged with SPI, time, addresses, number and flow label
#[test]
fn discarded_ipsec_packets_are_audited_and_others_are_not() {
    let (mut a, mut b) = esp_tunnel();
    let wire = a.send(&inner()).unwrap();
    delivered(&mut b, &wire, &inner());
    let _ = b.receive(&gateway::udp(A, B, 1, 4500, &[0xff]));
    let _ = b.receive(&[1, 2, 3]);
    assert_eq!(audits(&mut b), [], "bypassed packets, NAT-keepalive packets and malformed packets are not audited");
    let mut forged = wire.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut unknown = wire.clone();
    unknown[22] = 0x77;
    for packet in [&wire, &forged, &unknown, &inner()] {
        let _ = b.receive(packet);
    }
    let logged: Vec<_> = audits(&mut b).iter().map(|audit| (audit.spi, audit.sequence)).collect();
    assert_eq!(logged, [(Some(0x1001), Some(1)), (Some(0x1001), Some(1)), (Some(0x7701), Some(1)), (None, None)]);
}

#[test]
fn overflowed_audit_events_are_counted() {
    let (_, mut b) = esp_tunnel();
    for n in 0..40u32 {
        let esp = [&0x9000u32.to_be_bytes()[..], &n.to_be_bytes(), &[7; 64]].concat();
        let _ = b.receive(&gateway::ip(A, B, IpProto::ESP, &esp));
    }
    assert_eq!(b.engine.audits_lost(), 24);
    let numbers: Vec<_> = audits(&mut b).iter().filter_map(|audit| audit.sequence).collect();
    assert_eq!(numbers, (24..40).collect::<Vec<_>>(), "the newest events are kept");
    assert_eq!(b.engine.audits_lost(), 24);
}

/// The audit event of a packet that does not match the policy has the SA it was received on (RFC 4301 section 5.2).
#[test]
fn sa_mismatch_is_audited_with_the_receiving_sa() {
    let (mut a, _) = esp_tunnel();
    let mut b =
        Gateway::new(&(esp(A, B, 0x1001, "-m tunnel") + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", "none")), B);
    let _ = b.receive(&a.send(&inner()).unwrap());
    let [audit] = audits(&mut b)[..] else { panic!("expected one event") };
    assert_eq!((audit.reason, audit.spi, audit.sequence), (DiscardReason::SaMismatch, Some(0x1001), Some(1)));
    assert_eq!((audit.source, audit.destination), (Some(address("10.1.2.3")), Some(address("10.2.3.4"))));
}

/// RFC 4303 section 3.3.3: "the audit log entry for this event SHOULD include the SPI value, current date/time, ..".
//= RFC 4303 3.3.3/2, 4/5
//# SHOULD: an overflow is logged with SPI, time, addresses and flow label
//# SHOULD: an overflow: logged with SPI, time, addresses, number and flow label
#[test]
fn exhausted_sequence_numbers_are_audited_with_their_sa() {
    let (mut a, _) = esp_tunnel();
    set_last_sequence(
        &mut a,
        &key(Direction::Outbound, B, Protocol::Esp, 0x1001),
        A,
        SeqWidth::Bits32,
        u32::MAX.into(),
    );
    let _ = a.send(&inner());
    let audit = audits(&mut a)[0];
    assert_eq!((audit.spi, audit.sequence), (Some(0x1001), Some(u32::MAX)));
}

/// Audits of a first and a later fragment of ESP: only the first has the SPI.
const FRAGMENTS: [(DiscardReason, Option<u32>); 2] =
    [(DiscardReason::Fragment, Some(0x1001)), (DiscardReason::Fragment, None)];

fn reasons(gateway: &mut Gateway) -> Vec<(DiscardReason, Option<u32>)> {
    audits(gateway).iter().map(|audit| (audit.reason, audit.spi)).collect()
}

/// RFC 4303 section 3.4.1: a first fragment has SPI and sequence number.
//= RFC 4303 3.4.1/2
//# SHOULD: a fragment is logged with SPI, time, addresses, number and flow label
#[test]
fn ipv4_fragments_of_esp_are_audited_with_spi_if_present() {
    let (mut a, mut b) = esp_tunnel();
    let wire = a.send(&inner()).unwrap();
    for (flags, offset) in [(0x20, 0), (0, 8)] {
        let mut piece = wire.clone();
        (piece[6], piece[7]) = (flags, offset);
        let _ = b.receive(&piece);
    }
    assert_eq!(reasons(&mut b), FRAGMENTS);
}

#[test]
fn ipv6_fragments_of_esp_are_audited_with_spi_if_present() {
    let six = |offset: u8| {
        let fragment = [&[50, 0, 0, offset, 0, 0, 0, 1][..], &[0, 0, 0x10, 1, 0, 0, 0, 9], &[7; 64]].concat();
        ipv6(A6, B6, IpProto::FRAGMENT, &fragment)
    };
    let action = format!("ipsec esp/tunnel/{A6}-{B6}/require");
    let (_, mut b6) = one_way(&esp(A6, B6, 0x1001, "-m tunnel"), "::/0", "::/0", &action, (A6, B6));
    for piece in [six(1), six(8)] {
        let _ = b6.receive(&piece);
    }
    assert_eq!(reasons(&mut b6), FRAGMENTS);
}

/// RFC 4303 section 3.4.2: no valid SA exists, either because the SPI is unknown or because the SA is larval.
//= RFC 4303 3.4.2/2
//# SHOULD: a packet without a valid SA is logged with SPI, time, addresses, number and flow label
#[test]
fn packet_of_a_larval_sa_is_audited() {
    let (mut a, mut b) = esp_tunnel();
    b.engine.remove(&key(Direction::Inbound, B, Protocol::Esp, 0x1001), address(A)).unwrap();
    b.engine.reserve(key(Direction::Inbound, B, Protocol::Esp, 0x1001), address(A), b.now).unwrap();
    let _ = b.receive(&a.send(&inner()).unwrap());
    let [audit] = audits(&mut b)[..] else { panic!("expected one event") };
    assert_eq!((audit.reason, audit.spi, audit.sequence), (DiscardReason::Larval, Some(0x1001), Some(1)));
}

/// RFC 4302 section 3.4.4 requires the same fields for AH as RFC 4303 for ESP.
//= RFC 4302 3.4.4/2
//# SHOULD: it is logged with SPI, time, addresses and flow label
#[test]
fn ah_icv_mismatch_is_audited_with_all_fields() {
    let setup = format!("add {A} {B} ah 0x2001 -m tunnel -A hmac-sha1 \"twenty octets it has\";\n");
    let action = format!("ipsec ah/tunnel/{A}-{B}/require");
    let (mut a, mut b) = one_way(&setup, "10.1.0.0/16", "10.2.0.0/16", &action, (A, B));
    let mut wire = a.send(&inner()).unwrap();
    *wire.last_mut().unwrap() ^= 1;
    let _ = b.receive(&wire);
    let [audit] = audits(&mut b)[..] else { panic!("expected one event") };
    assert_eq!(
        (audit.reason, audit.spi, audit.sequence),
        (DiscardReason::Verify(ah_core::VerifyError::IcvMismatch), Some(0x2001), Some(1))
    );
    assert_eq!((audit.source, audit.destination), (Some(address(A)), Some(address(B))));
}

#[test]
fn invalid_inner_packet_is_audited_with_addresses() {
    let (_, mut b) = esp_tunnel();
    let (mut a, _) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
    let _ = b.receive(&a.send(&host()).unwrap());
    let [audit] = audits(&mut b)[..] else { panic!("expected one event") };
    assert_eq!((audit.spi, audit.source, audit.destination), (Some(0x1001), Some(address(A)), Some(address(B))));
}

//= RFC 4303 2.6/3
//# MUST: dummy packets are discarded without an error
#[test]
fn dummy_packets_are_discarded_without_an_audit_event() {
    let (mut a, mut b) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
    for payload in [&[0][..], &[1, 2, 3], &[0; 1000]] {
        let wire = a.send(&ip(A, B, IpProto(59), payload)).unwrap();
        refused_and_wiped(&mut b, &wire, DiscardReason::Dummy);
    }
    assert_eq!(count(&b, Direction::Inbound, Counter::Dummy), 3);
    assert_eq!(b.engine.poll_audit(), None);
    assert_eq!(b.engine.sas().next().unwrap().usage.packets, 3, "dummy packets count towards the lifetime");
}

/// An IP packet whose own protocol is "no next header" (59) has no payload to protect in transport mode. It is
/// delivered; a dummy packet has a payload without meaning (RFC 4303 section 2.6).
#[test]
fn packet_with_next_header_59_and_no_payload_is_delivered() {
    let (mut a, mut b) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
    let empty = ip(A, B, IpProto(59), &[]);
    let wire = a.send(&empty).unwrap();
    delivered(&mut b, &wire, &empty);
}
