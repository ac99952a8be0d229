//! SA of a delivered packet, by which a key exchange daemon knows that the peer is alive.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, udp};
use gateway_pair::*;
use ipsec_engine::{Direction, InboundAction, Protocol, SaId};
use ipsec_packet::PacketBuf;

const TA: &str = "192.0.2.1-198.51.100.1";

/// Returns the SA of the packet that B delivers.
fn delivered_by(b: &mut Gateway, wire: &[u8]) -> SaId {
    let mut bytes = [wire, &[0; 2048]].concat();
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 0, wire.len()).unwrap();
    match b.engine.inbound(&mut buffer, b.now) {
        InboundAction::Deliver { sa } => sa,
        other => panic!("{other:?}"),
    }
}

fn inbound(protocol: Protocol, spi: u32) -> SaId {
    key(Direction::Inbound, B, protocol, spi)
}

#[test]
fn only_sa_of_a_packet_is_named() {
    let (mut a, mut b) = esp_tunnel();
    assert_eq!(delivered_by(&mut b, &a.send(&inner()).unwrap()), inbound(Protocol::Esp, 0x1001));
    let (mut a, mut b) = hosts(&ah(A, B, 0x2001, "-m transport"), "ipsec ah/transport//require");
    assert_eq!(delivered_by(&mut b, &a.send(&host()).unwrap()), inbound(Protocol::Ah, 0x2001));
}

#[test]
fn innermost_esp_or_ah_sa_of_a_bundle_is_named() {
    let sas =
        ipcomp(A, B, 0x1100, "-m transport") + &esp(A, B, 0x1001, "-m transport") + &ah(A, B, 0x2001, "-m transport");
    let (mut a, mut b) = hosts(&sas, "ipsec ipcomp/transport//use esp/transport//require ah/transport//require");
    let packet = udp(A, B, 1, 2, &SECRET.repeat(20));
    assert_eq!(delivered_by(&mut b, &a.send(&packet).unwrap()), inbound(Protocol::Esp, 0x1001));
}

#[test]
fn inner_sa_of_nested_tunnels_is_named_and_both_are_in_use() {
    let sas = esp(A, B, 0x1001, "-m tunnel") + &ah(A, B, 0x2001, "-m tunnel");
    let (mut a, mut b) = tunnel(&sas, &format!("ipsec esp/tunnel/{TA}/require ah/tunnel/{TA}/require"));
    assert_eq!(delivered_by(&mut b, &a.send(&inner()).unwrap()), inbound(Protocol::Esp, 0x1001));
    assert!(b.engine.sas().all(|sa| sa.usage.last == Some(b.now)));
}

#[test]
fn ipcomp_sa_is_named_if_nothing_authenticates_the_packet() {
    let (mut a, mut b) = hosts(&ipcomp(A, B, 0x1100, "-m transport"), "ipsec ipcomp/transport//require");
    let packet = udp(A, B, 1, 2, &SECRET.repeat(20));
    assert_eq!(delivered_by(&mut b, &a.send(&packet).unwrap()), inbound(Protocol::Ipcomp, 0x1100));
}
