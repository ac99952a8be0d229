//! Nested tunnels, fragments, and the limit of nested IPsec headers per packet.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, ip, ipv6, udp};
use gateway_pair::*;
use ipsec_engine::{Counter, Direction, DiscardReason, OutboundAction};
use ipsec_packet::{IpProto, Ipv4Header};
use zerocopy::FromBytes;

/// Returns A and B with a tunnel between the networks, inside another tunnel between the hosts A and B.
fn nested(b_policies: &str) -> (Gateway, Gateway) {
    let sas = esp(A, B, 0x1001, "-m tunnel") + &esp(A, B, 0x2001, "-m tunnel");
    let outer = |direction: &str| policy(A, B, "esp", direction, &format!("ipsec esp/tunnel/{A}-{B}/unique:2"));
    let inner = |direction: &str| {
        policy("10.1.0.0/16", "10.2.0.0/16", "any", direction, &format!("ipsec esp/tunnel/{A}-{B}/unique:1"))
    };
    let sas = sas.replace("0x1001", "0x1001 -u 1").replace("0x2001", "0x2001 -u 2");
    let a = Gateway::new(&format!("{sas}{}{}", outer("out"), inner("out")), A);
    let b = Gateway::new(
        &if b_policies.is_empty() {
            format!("{sas}{}{}", outer("in"), inner("in"))
        } else {
            format!("{sas}{b_policies}")
        },
        B,
    );
    (a, b)
}

#[test]
fn nested_tunnel_with_its_own_policy_is_delivered() {
    let (mut a, mut b) = nested("");
    let once = a.send(&inner()).unwrap();
    let twice = a.send(&once).unwrap();
    assert!(twice.len() > once.len() + 40);
    delivered(&mut b, &twice, &inner());
    assert_eq!(count(&b, Direction::Inbound, Counter::Tunnelled), 2);
    // Alone, the inner packet is decapsulated by its SA before any policy is searched (RFC 4301 section 5.2, step 3).
    carries(&mut a, &mut b, &inner());
}

#[test]
fn nested_tunnel_without_a_policy_is_refused() {
    let (_, mut b) =
        nested(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", &format!("ipsec esp/tunnel/{A}-{B}/unique:1")));
    let (mut a, _) = nested("");
    let once = a.send(&inner()).unwrap();
    let twice = a.send(&once).unwrap();
    refused_and_wiped(&mut b, &twice, DiscardReason::SaMismatch);
}

/// The outer SA is attributed to the policy between the gateways only if it matches that policy.
#[test]
fn nested_tunnel_that_does_not_match_the_outer_policy_is_refused() {
    let inner_policy = policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", &format!("ipsec esp/tunnel/{A}-{B}/unique:1"));
    for (outer, passes) in [("unique:2", true), ("unique:3", false), ("unique", false)] {
        let between = policy(A, B, "esp", "in", &format!("ipsec esp/tunnel/{A}-{B}/{outer}"));
        let (_, mut b) = nested(&format!("{between}{inner_policy}"));
        let (mut a, _) = nested("");
        let once = a.send(&inner()).unwrap();
        let twice = a.send(&once).unwrap();
        match passes {
            true => delivered(&mut b, &twice, &inner()),
            false => refused_and_wiped(&mut b, &twice, DiscardReason::SaMismatch),
        }
    }
}

/// Returns B and a packet that is encapsulated `layers` times by one SA.
fn onion(layers: usize, b_policies: &str) -> (Gateway, Vec<u8>) {
    let sa = esp(A, B, 0x1001, "-m tunnel");
    let tunnel = format!("ipsec esp/tunnel/{A}-{B}/require");
    let mut a = Gateway::new(&(sa.clone() + &policy("0.0.0.0/0", "0.0.0.0/0", "any", "out", &tunnel)), A);
    let b = Gateway::new(&(sa + &b_policies.replace("TUNNEL", &tunnel)), B);
    let wire = (0..layers).fold(inner(), |packet, _| a.send(&packet).unwrap());
    (b, wire)
}

#[test]
fn nested_headers_are_decapsulated_up_to_the_limit() {
    for layers in 1..=12 {
        let (mut b, wire) = onion(layers, &policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", "TUNNEL"));
        match layers {
            1 => delivered(&mut b, &wire, &inner()),
            2..=8 => refused_and_wiped(&mut b, &wire, DiscardReason::SaMismatch),
            _ => refused_and_wiped(&mut b, &wire, DiscardReason::TooManyHeaders),
        }
        assert_eq!(count(&b, Direction::Inbound, Counter::Esp), layers.min(8) as u64);
    }
}

#[test]
fn limit_of_nested_headers_applies_to_tunnels_with_their_own_policies() {
    let policies = policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", "TUNNEL") + &policy(A, B, "any", "in", "TUNNEL");
    let (mut b, wire) = onion(20, &policies);
    refused_and_wiped(&mut b, &wire, DiscardReason::TooManyHeaders);
}

/// Sets MF and the fragment offset, in units of 8 octets, of an IPv4 packet.
fn fragment(packet: &[u8], more: bool, offset: u16) -> Vec<u8> {
    let mut piece = packet.to_vec();
    let word = (offset / 8) | if more { 0x2000 } else { 0 };
    piece[6..8].copy_from_slice(&word.to_be_bytes());
    let (header, _) = Ipv4Header::mut_from_prefix(&mut piece).unwrap();
    header.set_checksum();
    piece
}

//= RFC 4303 3.4.1/1
//# MUST: an IP fragment offered to ESP is discarded
#[test]
fn fragments_of_esp_are_discarded() {
    let (mut a, mut b) = esp_tunnel();
    let wire = a.send(&inner()).unwrap();
    for piece in [fragment(&wire, true, 0), fragment(&wire, true, 64), fragment(&wire, false, 64)] {
        refused_unmodified(&mut b, &piece, DiscardReason::Fragment);
    }
    delivered(&mut b, &wire, &inner());
    assert_eq!(count(&b, Direction::Inbound, Counter::Fragment), 3);
}

#[test]
fn fragments_match_policies_without_ports() {
    let (mut a, mut b) = esp_tunnel();
    for piece in [fragment(&inner(), true, 0), fragment(&inner(), true, 800), fragment(&inner(), false, 800)] {
        carries(&mut a, &mut b, &piece);
    }
}

#[test]
fn later_fragments_do_not_match_policies_with_ports() {
    let (mut a, _) = esp_tunnel();
    let bundle = format!("ipsec esp/tunnel/{A}-{B}/require");
    let sas = esp(A, B, 0x1001, "-m tunnel");
    let ports = |direction| policy("10.1.0.0/16", "10.2.0.0/16[2000]", "udp", direction, &bundle);
    let mut narrow = Gateway::new(&(sas.clone() + &ports("out")), A);
    let mut receiver = Gateway::new(&(sas + &ports("in")), B);
    // The first fragment has ports; later ones may match the policy, so they are discarded.
    carries(&mut narrow, &mut receiver, &fragment(&inner(), true, 0));
    assert_eq!(narrow.send(&fragment(&inner(), true, 800)), Err(not_sent(DiscardReason::Opaque)));
    assert_eq!(receiver.receive(&fragment(&inner(), false, 800)).0, discarded(DiscardReason::Opaque));
    set_last_sequence(
        &mut a,
        &key(Direction::Outbound, B, ipsec_engine::Protocol::Esp, 0x1001),
        A,
        ipsec_packet::SeqWidth::Bits32,
        9,
    );
    let wire = a.send(&fragment(&inner(), false, 800)).unwrap();
    refused_and_wiped(&mut receiver, &wire, DiscardReason::Opaque);
    // Later fragments of TCP do not match the UDP policy.
    let tcp = fragment(&ip("10.1.2.3", "10.2.3.4", IpProto::TCP, SECRET), true, 800);
    assert_eq!(narrow.send(&tcp), Err(OutboundAction::Bypass));
}

#[test]
fn transport_mode_refuses_fragments() {
    let (mut a, mut b) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
    for piece in [fragment(&host(), true, 0), fragment(&host(), false, 64)] {
        assert_eq!(a.send(&piece), Err(not_sent(DiscardReason::Fragment)));
        assert_eq!(b.receive(&piece).0, discarded(DiscardReason::Cleartext));
    }
    assert_eq!(a.engine.sas().next().unwrap().usage.packets, 0);
}

/// Fragmented ESP packets of other hosts are carried through the tunnel as payload.
#[test]
fn fragments_of_esp_of_other_hosts_are_tunnelled() {
    let (mut a, mut b) = esp_tunnel();
    let whole = ip("10.1.2.3", "10.2.3.4", IpProto::ESP, &[9; 64]);
    carries(&mut a, &mut b, &whole);
    for piece in [fragment(&whole, true, 0), fragment(&whole, false, 64)] {
        let wire = a.send(&piece).unwrap();
        assert_eq!(b.receive(&wire), (Received::Deliver, piece));
    }
}

#[test]
fn fragments_of_esp_match_a_bypass_policy_for_esp() {
    let mut b = Gateway::new(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", "none"), B);
    let whole = ip("10.1.2.3", "10.2.3.4", IpProto::ESP, &[9; 64]);
    assert_eq!(b.receive(&whole).0, Received::Bypass);
    assert_eq!(b.receive(&fragment(&whole, true, 0)).0, Received::Bypass);
}

#[test]
fn payload_of_later_ipv6_fragments_is_not_parsed() {
    let (src, dst) = ("2001:db8:1::1", "2001:db8:2::1");
    let mut b = Gateway::new(&esp(A6, dst, 0x1001, "-m tunnel"), dst);
    // Payload that resembles ESP in UDP on port 4500, and truncated destination options.
    let esp_like = [&[0x11, 0x94, 0x11, 0x94, 0, 40, 0, 0, 0, 0, 0x77, 0x77][..], &[1; 28]].concat();
    for (next, data) in [(17, esp_like), (60, vec![0xff; 16])] {
        let piece = ipv6(src, dst, IpProto::FRAGMENT, &[&[next, 0, 0, 8 * 16 + 1, 0, 0, 0, 7], &data[..]].concat());
        assert_eq!(b.receive(&piece).0, Received::Bypass, "next header {next}");
    }
}

#[test]
fn esp_of_other_hosts_is_tunnelled_with_any_spi() {
    let (mut a, mut b) = esp_tunnel();
    let whole = ip("10.1.2.3", "10.2.3.4", IpProto::ESP, &[0, 0, 0x10, 1, 0, 0, 0, 1, 5, 5, 5, 5]);
    carries(&mut a, &mut b, &whole);
    carries(&mut a, &mut b, &udp("10.1.2.3", "10.2.3.4", 4500, 4500, &[7; 64]));
}

#[test]
fn esp_to_other_hosts_is_bypassed_if_unmatched_packets_are() {
    let (_, mut b) = esp_tunnel();
    let transit = ip("203.0.113.5", "203.0.113.6", IpProto::ESP, &[9; 64]);
    assert_eq!(b.receive(&transit).0, Received::Bypass);
}
