//! IPComp: nested and uncompressed packets, counters, and the policy check of packets that IPComp alone protects, which
//! comes before decompression because nothing authenticates them.

mod gateway;
mod gateway_pair;

use std::time::Duration;

use gateway::{Gateway, Received, ip, ipv4, udp};
use gateway_pair::*;
use ipsec_engine::{Counter, Direction, DiscardReason, Protocol, Settings, Unmatched};
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

/// Returns a packet that compression does not make smaller.
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

/// Builds an IPComp packet whose payload cannot be decompressed.
fn malformed(next: IpProto) -> Vec<u8> {
    ipv4(A, B, IpProto::IPCOMP, &[next.0, 0, 0x30, 3, 0xff, 0xff, 0xff])
}

fn refusal(mode: &str, policies: &str, settings: Unmatched, next: IpProto) -> Option<DiscardReason> {
    let sas = esp(A, B, 0x1001, "") + &ipcomp(A, B, 0x3003, mode);
    let mut b = Gateway::new(&(sas + policies), B);
    b.engine.settings_mut().unmatched = settings;
    let wire = malformed(next);
    let (action, left) = b.receive(&wire);
    assert_eq!(left, wire, "unchanged");
    assert_eq!(count(&b, Direction::Inbound, Counter::Compressed), 0);
    match action {
        Received::Discard(DiscardReason::Ipcomp(_)) => None,
        Received::Discard(reason) => Some(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bare_ipcomp_is_refused_if_the_policy_requires_esp() {
    for (mode, action) in [
        ("-m transport", "ipsec ipcomp/transport//use esp/transport//require"),
        ("-m transport", "ipsec esp/transport//require"),
        ("-m tunnel", "ipsec ipcomp/tunnel/192.0.2.1-198.51.100.1/use esp/transport//require"),
        ("", "ipsec ipcomp/transport//use esp/transport//require"),
    ] {
        for upper in ["any", "udp"] {
            let policies = policy(A, B, upper, "in", action);
            let found = refusal(mode, &policies, Unmatched::Bypass, IpProto::UDP);
            assert_eq!(found, Some(DiscardReason::SaMismatch), "{mode} {upper} {action}");
        }
    }
}

#[test]
fn bare_ipcomp_is_decompressed_if_a_policy_may_accept_it() {
    for (mode, next, action) in [
        ("-m transport", IpProto::UDP, "ipsec ipcomp/transport//use"),
        ("-m transport", IpProto::UDP, "ipsec ipcomp/transport//require"),
        ("-m transport", IpProto::UDP, "ipsec ipcomp/transport//use esp/transport//use"),
        ("-m transport", IpProto::ESP, "ipsec esp/transport//require ipcomp/transport//use"),
        ("-m transport", IpProto::UDP, "none"),
        ("-m tunnel", IpProto::IPV4, "ipsec ipcomp/tunnel/192.0.2.1-198.51.100.1/require"),
        ("", IpProto::IPV4, "ipsec ipcomp/tunnel/192.0.2.1-198.51.100.1/require"),
    ] {
        let policies = policy(A, B, "any", "in", action);
        assert_eq!(refusal(mode, &policies, Unmatched::Discard, next), None, "{mode} {action}");
    }
}

#[test]
fn policies_with_ports_are_checked_after_decompression() {
    let ports = policy(&format!("{A}[7]"), B, "udp", "in", "none") + &policy(A, B, "any", "in", "discard");
    assert_eq!(
        refusal("-m transport", &ports, Unmatched::Discard, IpProto::UDP),
        None,
        "the port is unknown before decompression"
    );
    assert_eq!(refusal("-m transport", &ports, Unmatched::Discard, IpProto::TCP), Some(DiscardReason::Policy));
}

#[test]
fn bare_ipcomp_is_decompressed_if_unmatched_packets_are_bypassed() {
    assert_eq!(refusal("-m transport", "", Unmatched::Bypass, IpProto::UDP), None);
}

#[test]
fn bare_ipcomp_that_no_policy_accepts_is_refused() {
    let for_others = policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", "ipsec ipcomp/transport//use");
    for (policies, expected) in [("", DiscardReason::NoPolicy), (&for_others, DiscardReason::NoPolicy)] {
        assert_eq!(refusal("-m transport", policies, Unmatched::Discard, IpProto::UDP), Some(expected));
    }
    let discard = policy(A, B, "any", "in", "discard");
    assert_eq!(refusal("-m transport", &discard, Unmatched::Bypass, IpProto::UDP), Some(DiscardReason::Policy));
    assert_eq!(refusal("-m tunnel", "", Unmatched::Bypass, IpProto::IPV4), Some(DiscardReason::SaMismatch));
}

#[test]
fn ipcomp_inside_esp_is_decompressed_before_the_policy_check() {
    let sas = esp(A, B, 0x1001, "-m transport") + &ipcomp(A, B, 0x3003, "-m transport");
    let action = "ipsec ipcomp/transport//use esp/transport//require";
    let (mut a, mut b) = gateway_pair::hosts(&sas, action);
    let packet = udp(A, B, 1, 2, &[b'a'; 600]);
    let wire = gateway_pair::carries(&mut a, &mut b, &packet);
    assert!(wire.len() < 300, "compressed");
    assert_eq!(count(&b, Direction::Inbound, Counter::Compressed), 1);
    assert_eq!(Settings::SETKEY.unmatched, Unmatched::Bypass);
}
