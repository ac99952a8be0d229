//! Dummy packets (RFC 4303 section 2.6).

mod gateway;
mod gateway_pair;

use gateway::ip;
use gateway_pair::*;
use ipsec_engine::{Counter, Direction, DiscardReason};
use ipsec_packet::IpProto;

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
