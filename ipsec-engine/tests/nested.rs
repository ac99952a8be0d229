//! Tunnels in tunnels, fragments, and how many headers are taken off one packet.

mod common;
mod world;

use common::{Gateway, ip, ipv6, udp};
use ipsec_engine::{Counter, Direction, DiscardReason, Disposition};
use ipsec_packet::{IpProto, Ipv4Header};
use world::*;
use zerocopy::FromBytes;

/// Between the hosts A and B everything goes through a tunnel; between the networks behind them through one inside it.
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
fn a_tunnel_inside_another_with_its_own_policy() {
    let (mut a, mut b) = nested("");
    let once = a.send(&inner()).unwrap();
    let twice = a.send(&once).unwrap();
    assert!(twice.len() > once.len() + 40);
    delivered(&mut b, &twice, &inner());
    assert_eq!(count(&b, Direction::Inbound, Counter::Tunnelled), 2);
    // By itself the inner one is opened by its SA, without a look at policies (RFC 4301 5.2 step 3).
    carries(&mut a, &mut b, &inner());
}

#[test]
fn a_tunnel_inside_another_without_a_policy_is_one_too_many() {
    let (_, mut b) =
        nested(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", &format!("ipsec esp/tunnel/{A}-{B}/unique:1")));
    let (mut a, _) = nested("");
    let once = a.send(&inner()).unwrap();
    let twice = a.send(&once).unwrap();
    refused_and_wiped(&mut b, &twice, DiscardReason::SaMismatch);
}

/// The policy between the gateways has to be content with the outer one, else it stays the matter of the inner policy.
#[test]
fn a_tunnel_inside_another_that_its_policy_does_not_ask_for() {
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

/// One SA around its own packets, as often as wanted.
fn onion(layers: usize, b_policies: &str) -> (Gateway, Vec<u8>) {
    let sa = esp(A, B, 0x1001, "-m tunnel");
    let tunnel = format!("ipsec esp/tunnel/{A}-{B}/require");
    let mut a = Gateway::new(&(sa.clone() + &policy("0.0.0.0/0", "0.0.0.0/0", "any", "out", &tunnel)), A);
    let b = Gateway::new(&(sa + &b_policies.replace("TUNNEL", &tunnel)), B);
    let wire = (0..layers).fold(inner(), |packet, _| a.send(&packet).unwrap());
    (b, wire)
}

#[test]
fn headers_are_taken_off_up_to_a_bound() {
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
fn the_bound_holds_where_each_tunnel_has_its_policy() {
    let policies = policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", "TUNNEL") + &policy(A, B, "any", "in", "TUNNEL");
    let (mut b, wire) = onion(20, &policies);
    refused_and_wiped(&mut b, &wire, DiscardReason::TooManyHeaders);
}

/// Bytes 6 and 7 of an IPv4 header, and a payload of eight octets more per piece.
fn fragment(packet: &[u8], more: bool, offset: u16) -> Vec<u8> {
    let mut piece = packet.to_vec();
    let word = (offset / 8) | if more { 0x2000 } else { 0 };
    piece[6..8].copy_from_slice(&word.to_be_bytes());
    let (header, _) = Ipv4Header::mut_from_prefix(&mut piece).unwrap();
    header.set_checksum();
    piece
}

//= RFC 4303 3.4.1/1
#[test]
fn fragments_of_esp_are_not_opened() {
    let (mut a, mut b) = esp_tunnel();
    let wire = a.send(&inner()).unwrap();
    for piece in [fragment(&wire, true, 0), fragment(&wire, true, 64), fragment(&wire, false, 64)] {
        refused_as_it_was(&mut b, &piece, DiscardReason::Fragment);
    }
    delivered(&mut b, &wire, &inner());
    assert_eq!(count(&b, Direction::Inbound, Counter::Fragment), 3);
}

#[test]
fn fragments_through_a_tunnel_for_everything_and_for_one_port() {
    let (mut a, mut b) = esp_tunnel();
    for piece in [fragment(&inner(), true, 0), fragment(&inner(), true, 800), fragment(&inner(), false, 800)] {
        carries(&mut a, &mut b, &piece);
    }
    let bundle = format!("ipsec esp/tunnel/{A}-{B}/require");
    let sas = esp(A, B, 0x1001, "-m tunnel");
    let ports = |direction| policy("10.1.0.0/16", "10.2.0.0/16[2000]", "udp", direction, &bundle);
    let mut narrow = Gateway::new(&(sas.clone() + &ports("out")), A);
    let mut receiver = Gateway::new(&(sas + &ports("in")), B);
    // The first piece tells its ports, the others might have them: not through, and not past.
    carries(&mut narrow, &mut receiver, &fragment(&inner(), true, 0));
    assert_eq!(narrow.send(&fragment(&inner(), true, 800)), Err(discarded(DiscardReason::Opaque)));
    assert_eq!(receiver.receive(&fragment(&inner(), false, 800)).0, discarded(DiscardReason::Opaque));
    let wire = a.send(&fragment(&inner(), false, 800)).unwrap();
    move_on(
        &mut narrow,
        &key(Direction::Outbound, B, ipsec_engine::Protocol::Esp, 0x1001),
        A,
        ipsec_packet::SeqWidth::Bits32,
        9,
    );
    refused_and_wiped(&mut receiver, &wire, DiscardReason::Opaque);
    // TCP has nothing to do with it.
    let tcp = fragment(&ip("10.1.2.3", "10.2.3.4", IpProto::TCP, SECRET), true, 800);
    assert_eq!(narrow.send(&tcp), Err(Disposition::Bypass));
}

#[test]
fn transport_mode_protects_whole_packets_only() {
    let (mut a, mut b) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
    for piece in [fragment(&host(), true, 0), fragment(&host(), false, 64)] {
        assert_eq!(a.send(&piece), Err(discarded(DiscardReason::Fragment)));
        assert_eq!(b.receive(&piece).0, discarded(DiscardReason::Cleartext));
    }
    assert_eq!(a.engine.sas().next().unwrap().usage.packets, 0);
}

/// ESP between others, in pieces, through our tunnel: none of our business but to carry it.
#[test]
fn fragments_of_other_peoples_esp_pass_as_their_whole_packets_do() {
    let (mut a, mut b) = esp_tunnel();
    let whole = ip("10.1.2.3", "10.2.3.4", IpProto::ESP, &[9; 64]);
    carries(&mut a, &mut b, &whole);
    for piece in [fragment(&whole, true, 0), fragment(&whole, false, 64)] {
        let wire = a.send(&piece).unwrap();
        assert_eq!(b.receive(&wire), (Disposition::Deliver, piece));
    }
}

#[test]
fn fragments_of_esp_pass_where_a_policy_lets_esp_pass() {
    let mut b = Gateway::new(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", "none"), B);
    let whole = ip("10.1.2.3", "10.2.3.4", IpProto::ESP, &[9; 64]);
    assert_eq!(b.receive(&whole).0, Disposition::Bypass);
    assert_eq!(b.receive(&fragment(&whole, true, 0)).0, Disposition::Bypass);
}

#[test]
fn later_fragments_of_ipv6_have_no_headers_to_read() {
    let (src, dst) = ("2001:db8:1::1", "2001:db8:2::1");
    let mut b = Gateway::new(&esp(A6, dst, 0x1001, "-m tunnel"), dst);
    // Plain data that looks like ESP in UDP on port 4500, and like destination options without an end.
    let esp_like = [&[0x11, 0x94, 0x11, 0x94, 0, 40, 0, 0, 0, 0, 0x77, 0x77][..], &[1; 28]].concat();
    for (next, data) in [(17, esp_like), (60, vec![0xff; 16])] {
        let piece = ipv6(src, dst, IpProto::FRAGMENT, &[&[next, 0, 0, 8 * 16 + 1, 0, 0, 0, 7], &data[..]].concat());
        assert_eq!(b.receive(&piece).0, Disposition::Bypass, "next header {next}");
    }
}

#[test]
fn esp_of_others_is_carried_and_its_spi_is_not_ours() {
    let (mut a, mut b) = esp_tunnel();
    let whole = ip("10.1.2.3", "10.2.3.4", IpProto::ESP, &[0, 0, 0x10, 1, 0, 0, 0, 1, 5, 5, 5, 5]);
    carries(&mut a, &mut b, &whole);
    carries(&mut a, &mut b, &udp("10.1.2.3", "10.2.3.4", 4500, 4500, &[7; 64]));
}

#[test]
fn esp_to_others_passes_in_clear_where_unmatched_packets_do() {
    let (_, mut b) = esp_tunnel();
    let transit = ip("203.0.113.5", "203.0.113.6", IpProto::ESP, &[9; 64]);
    assert_eq!(b.receive(&transit).0, Disposition::Bypass);
}
