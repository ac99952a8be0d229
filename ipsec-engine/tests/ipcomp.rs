//! IPComp associations: nested and uncompressed packets, and counters.

mod gateway;
mod gateway_pair;

use std::time::Duration;

use gateway::{Received, ip, udp};
use gateway_pair::*;
use ipsec_engine::{Counter, Direction, DiscardReason, Protocol};
use ipsec_packet::IpProto;

/// The older of two IPComp tunnels between the same endpoints has expired.
#[test]
fn expired_ipcomp_tunnel_does_not_receive_uncompressed_packets() {
    let template = format!("ipcomp/tunnel/{A}-{B}/require");
    let (mut a, mut b) =
        tunnel(&format!("add {A} {B} ipcomp 0x1001 -m tunnel -bh 1 -C deflate -R;"), &format!("ipsec {template}"));
    let packet = udp("10.1.0.1", "10.2.0.1", 1, 2, b"short");
    let wire = a.send(&packet).unwrap();
    assert_eq!(b.receive(&wire).0, Received::Deliver); // the last packet before its hard limit
    let newer = format!("add {A} {B} ipcomp 0x1002 -m tunnel -C deflate -R;");
    a.load(&newer, A);
    b.load(&newer, B);
    let wire = a.send(&packet).unwrap();
    assert_eq!(b.receive(&wire), (Received::Deliver, packet));
}

/// One policy compresses between the networks, another protects the packets between the gateways. Acceptance must not
/// depend on whether the packet was compressed (RFC 3173 section 2.2).
#[test]
fn uncompressed_packet_of_a_nested_ipcomp_tunnel_is_accepted() {
    let sas = format!("add {A} {B} ipcomp 0x1001 -m tunnel -C deflate -R; add {A} {B} esp 0x1002 -m tunnel {KEYS};");
    let (mut a, mut b) = tunnel(&sas, &format!("ipsec ipcomp/tunnel/{A}-{B}/require"));
    let between = |direction| format!("spdadd {A} {B} any -P {direction} ipsec esp/tunnel/{A}-{B}/require;");
    a.load(&between("out"), A);
    b.load(&between("in"), B);
    for size in [500, 5] {
        let packet = udp("10.1.0.1", "10.2.0.1", 1, 2, &vec![7; size]);
        let inner = a.send(&packet).unwrap();
        let wire = a.send(&inner).unwrap();
        assert_eq!(b.receive(&wire), (Received::Deliver, packet), "{size} octets");
    }
}

/// Builds an IPComp payload whose DEFLATE data is one stored block.
fn stored(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_le_bytes();
    [&[next, 0, 0x11, 0, 1, length[0], length[1], !length[0], !length[1]][..], payload].concat()
}

#[test]
fn ipcomp_inside_ipcomp_is_refused() {
    let (_, mut b) = hosts(&ipcomp(A, B, 0x1100, "-m transport"), "ipsec ipcomp/transport//require");
    let payload = &host()[20..];
    let once = stored(17, payload);
    assert_eq!(b.receive(&ip(A, B, IpProto::IPCOMP, &once)), (Received::Deliver, host()));
    let twice = ip(A, B, IpProto::IPCOMP, &stored(108, &once));
    refused_unmodified(&mut b, &twice, DiscardReason::Ipcomp(ipcomp_core::DecompressError::Nested));
}

/// A packet that compression does not make smaller.
fn incompressible() -> Vec<u8> {
    udp("10.1.2.3", "10.2.3.4", 1, 2, &[9; 20])
}

#[test]
fn uncompressed_packet_is_accepted_by_any_live_ipcomp_sa() {
    let action = format!("ipsec ipcomp/tunnel/{A}-{B}/require");
    let sas = ipcomp(A, B, 0x1100, "-m tunnel -lh 60") + &ipcomp(A, B, 0x1101, "-m tunnel");
    let (mut a, mut b) = tunnel(&sas, &action);
    carries(&mut a, &mut b, &incompressible());
    (a.now, b.now) = (a.now + Duration::from_secs(60), b.now + Duration::from_secs(60));
    carries(&mut a, &mut b, &incompressible());
}

#[test]
fn uncompressed_packet_of_an_ipcomp_tunnel_is_counted_on_receipt() {
    let action = format!("ipsec ipcomp/tunnel/{A}-{B}/require");
    let (mut a, mut b) = tunnel(&ipcomp(A, B, 0x1100, "-m tunnel"), &action);
    carries(&mut a, &mut b, &incompressible());
    assert_eq!(
        (count(&b, Direction::Inbound, Counter::Compressed), count(&b, Direction::Inbound, Counter::Uncompressed)),
        (0, 1)
    );
    assert!(a.engine.remove(&key(Direction::Outbound, B, Protocol::Ipcomp, 0x1100), address(A)).is_some());
}
