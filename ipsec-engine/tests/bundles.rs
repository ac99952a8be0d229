//! All bundles of ESP, AH and IPComp templates, sent by one engine and received by another.

mod gateway;
mod gateway_pair;

use gateway::{Received, ip, tcp, udp};
use gateway_pair::*;
use ipsec_engine::{Counter, Direction, DiscardReason, Protocol, SaId};
use ipsec_packet::{IpProto, SeqCounter, SeqWidth};

const TA: &str = "192.0.2.1-198.51.100.1";

/// Returns the statement of an SA and the template of the policy for it.
fn transform(protocol: &str, mode: &str, spi: u32, from: &str, to: &str) -> (String, String) {
    let mode_option = format!("-m {mode}");
    let sa = match protocol {
        "esp" => esp(from, to, spi, &mode_option),
        "ah" => ah(from, to, spi, &mode_option),
        _ => ipcomp(from, to, spi, &mode_option),
    };
    let ends = if mode == "tunnel" { format!("{from}-{to}") } else { String::new() };
    (sa, format!(" {protocol}/{mode}/{ends}/require"))
}

fn number(protocol: &str) -> u8 {
    match protocol {
        "esp" => 50,
        "ah" => 51,
        _ => 108,
    }
}

/// Returns all sequences of up to three protocols with at most one IPComp, which is innermost.
fn sequences() -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for first in ["ipcomp", "esp", "ah"] {
        all.push(vec![first]);
        for second in ["esp", "ah"] {
            all.push(vec![first, second]);
            for third in ["esp", "ah"] {
                all.push(vec![first, second, third]);
            }
        }
    }
    all
}

/// Returns payloads: compressible, incompressible, too small for compression, and empty.
fn payloads() -> [Vec<u8>; 4] {
    let mut noise = 1u32;
    let noise = (0..700).map(|_| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    });
    [b"abcd".repeat(250), noise.collect(), vec![5; 30], vec![]]
}

//= RFC 2406 3.3/1
//# MUST: where several ipsec headers are required, policy defines their order
//= RFC 4302 2/1
//# MUST: the header in front of AH names protocol 51
//= RFC 4303 2/1
//# MUST: the header in front of ESP names protocol 50
//= RFC 3173 2/2, 2/8
//# MUST: inbound processing takes compressed and uncompressed datagrams
//# MUST: inbound datagrams are decompressed after all security processing
#[test]
fn every_transport_mode_bundle_is_delivered() {
    for (from, to) in [(A, B), (A6, B6)] {
        for bundle in sequences() {
            let parts: Vec<_> =
                (0u32..).zip(&bundle).map(|(n, p)| transform(p, "transport", 0x1100 + n, from, to)).collect();
            let sas: String = parts.iter().map(|(sa, _)| sa.as_str()).collect();
            let action: String = parts.iter().map(|(_, template)| template.as_str()).collect();
            let (mut a, mut b) = one_way(&sas, from, to, &format!("ipsec{action}"), (from, to));
            for payload in payloads() {
                let packet = udp(from, to, 7, 9, &payload);
                let wire = a.send(&packet).unwrap();
                let named = wire[if from == A { 9 } else { 6 }];
                let expected =
                    if bundle == ["ipcomp"] && payload.len() != 1000 { 17 } else { number(bundle[bundle.len() - 1]) };
                assert_eq!(named, expected, "{bundle:?}");
                let (action, data) = b.receive(&wire);
                let passes = if expected == 17 { Received::Bypass } else { Received::Deliver };
                assert_eq!((action, data), (passes, packet), "{bundle:?} {}", payload.len());
            }
            assert_eq!(
                count(&b, Direction::Inbound, Counter::Processed) + count(&b, Direction::Inbound, Counter::Bypassed),
                4
            );
        }
    }
}

//= RFC 2406 3.3/1
//# MUST: where several ipsec headers are required, policy defines their order
#[test]
fn every_tunnel_mode_bundle_is_delivered_in_both_families() {
    for (net, inside) in [
        (("10.1.0.0/16", "10.2.0.0/16"), ("10.1.2.3", "10.2.3.4")),
        (("2001:db8:1::/48", "2001:db8:2::/48"), ("2001:db8:1::1", "2001:db8:2::1")),
    ] {
        for (from, to) in [(A, B), (A6, B6)] {
            for bundle in sequences() {
                // The outermost template is a tunnel; each inner one is a tunnel as well.
                let parts: Vec<_> =
                    (0u32..).zip(&bundle).map(|(n, p)| transform(p, "tunnel", 0x1100 + n, from, to)).collect();
                let sas: String = parts.iter().map(|(sa, _)| sa.as_str()).collect();
                let action: String = parts.iter().map(|(_, template)| template.as_str()).collect();
                let (mut a, mut b) = one_way(&sas, net.0, net.1, &format!("ipsec{action}"), (from, to));
                for payload in payloads() {
                    let packet = tcp(inside.0, inside.1, 7, 9, &payload);
                    let wire = a.send(&packet).unwrap();
                    assert_eq!(b.receive(&wire), (Received::Deliver, packet), "{bundle:?} {}", payload.len());
                }
            }
        }
    }
}

/// SA bundle of KAME: transport mode applied to the outer header of a tunnel.
#[test]
fn transport_mode_sa_around_a_tunnel_is_delivered() {
    for inner in ["ipcomp", "esp", "ah"] {
        for outer in [&["esp"][..], &["ah"], &["esp", "ah"]] {
            let mut parts = vec![transform(inner, "tunnel", 0x1100, A, B)];
            parts.extend((0x1101..).zip(outer).map(|(spi, p)| transform(p, "transport", spi, A, B)));
            let sas: String = parts.iter().map(|(sa, _)| sa.as_str()).collect();
            let action: String = parts.iter().map(|(_, template)| template.as_str()).collect();
            let (mut a, mut b) = tunnel(&sas, &format!("ipsec{action}"));
            for payload in payloads() {
                let wire = carries(&mut a, &mut b, &udp("10.1.2.3", "10.2.3.4", 7, 9, &payload));
                assert_eq!(wire[9], number(outer[outer.len() - 1]), "{inner} {outer:?}");
            }
        }
    }
}

/// Hosts that are their own gateways: transport mode inside a tunnel between the same addresses.
#[test]
fn transport_mode_sa_inside_a_tunnel_is_delivered() {
    for (inner, level) in [("esp", "require"), ("ah", "require")] {
        let (sa, template) = transform(inner, "transport", 0x1100, A, B);
        let template = template.replace("require", level);
        let sas = sa + &esp(A, B, 0x1101, "-m tunnel");
        let (mut a, mut b) = hosts(&sas, &format!("ipsec{template} esp/tunnel/{TA}/require"));
        for payload in payloads() {
            carries(&mut a, &mut b, &udp(A, B, 7, 9, &payload));
        }
    }
}

#[test]
fn nested_tunnels_of_one_policy_to_two_gateways_are_delivered() {
    // C, between A and B, decapsulates the outer tunnel; B decapsulates the inner tunnel.
    let c = "203.0.113.1";
    let inner_sa = esp(A, B, 0x1001, "-m tunnel");
    let outer_sa = esp(A, c, 0x2001, "-m tunnel");
    let bundle = format!("ipsec esp/tunnel/{TA}/require esp/tunnel/{A}-{c}/require");
    let mut a = gateway::Gateway::new(
        &format!("{inner_sa}{outer_sa}{}", policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &bundle)),
        A,
    );
    let to_c = policy(A, B, "any", "fwd", &format!("ipsec esp/tunnel/{A}-{c}/require"));
    let mut gateway_c = gateway::Gateway::new(&format!("{outer_sa}{to_c}"), c);
    let to_b = policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", &format!("ipsec esp/tunnel/{TA}/require"));
    let mut b = gateway::Gateway::new(&format!("{inner_sa}{to_b}"), B);
    let wire = a.send(&inner()).unwrap();
    let (action, between) = gateway_c.receive(&wire);
    assert_eq!((action, between[9]), (Received::Deliver, 50));
    assert_eq!(&between[12..20], &[192, 0, 2, 1, 198, 51, 100, 1]);
    delivered(&mut b, &between, &inner());
    // C accepts only packets of the outer tunnel.
    assert_eq!(gateway_c.receive(&between).0, discarded(DiscardReason::Cleartext));
}

//= RFC 3173 2/2
//# MUST: inbound processing takes compressed and uncompressed datagrams
#[test]
fn uncompressed_packet_of_an_ipcomp_tunnel_is_accepted() {
    for outside in ["", " esp/transport//require"] {
        let sas = ipcomp(A, B, 0x1100, "-m tunnel") + &esp(A, B, 0x1101, "-m transport");
        let (mut a, mut b) = tunnel(&sas, &format!("ipsec ipcomp/tunnel/{TA}/require{outside}"));
        for payload in payloads() {
            let packet = udp("10.1.2.3", "10.2.3.4", 7, 9, &payload);
            let wire = carries(&mut a, &mut b, &packet);
            if outside.is_empty() {
                assert_eq!(wire[9], if payload.len() == 1000 { 108 } else { 4 });
            }
        }
        // IP in IP from another source does not match the IPComp tunnel.
        let other_source = ip("203.0.113.66", B, IpProto::IPV4, &inner());
        assert_eq!(b.receive(&other_source).0, Received::Bypass, "addressed to B, without a policy");
    }
}

#[test]
fn optional_template_without_an_sa_is_skipped() {
    let action = "ipsec esp/transport//use ah/transport//require";
    let (mut a, mut b) = hosts(&ah(A, B, 0x1100, "-m transport"), action);
    assert_eq!(carries(&mut a, &mut b, &host())[9], 51);
    let both = ah(A, B, 0x1100, "-m transport") + &esp(A, B, 0x1101, "-m transport");
    let (mut a, mut b) = hosts(&both, action);
    assert!(carries(&mut a, &mut b, &host()).len() > 20 + 24 + 8 + 16);
}

#[test]
fn optional_transport_mode_inside_a_tunnel_is_skipped_without_an_sa() {
    for inner in ["ipcomp", "esp", "ah"] {
        let (sa, template) = transform(inner, "transport", 0x1100, A, B);
        let template = template.replace("require", "use");
        let sas = sa + &esp(A, B, 0x1101, "-m tunnel");
        let (mut a, mut b) = hosts(&sas, &format!("ipsec{template} esp/tunnel/{TA}/require"));
        let packet = udp(A, B, 7, 9, &b"abcd".repeat(250));
        let wire = a.send(&packet).unwrap();
        assert_eq!(b.receive(&wire), (Received::Deliver, packet), "{inner}");
    }
}

/// An SA with one sequence number left cannot serve two templates of a bundle; the packet is unmodified (`send`
/// asserts it).
#[test]
fn sa_used_twice_in_a_bundle_needs_two_sequence_numbers() {
    let template = format!("esp/tunnel/{A}-{B}/require");
    let (mut a, _) =
        tunnel(&format!("add {A} {B} esp 0x1001 -m tunnel {KEYS};"), &format!("ipsec {template} {template}"));
    let key = SaId::outbound(address(B), Protocol::Esp, 0x1001);
    let moved = a.engine.update(&key, address(A), |sa| {
        let last = SeqCounter::new(SeqWidth::Bits32).export_ahead((u32::MAX - 1).into());
        sa.import_counter(&last).unwrap();
    });
    assert_eq!(moved.unwrap(), key);
    let refused = a.send(&udp("10.1.0.1", "10.2.0.1", 1, 2, b"")).unwrap_err();
    assert_eq!(refused.reason().unwrap().counter(), Counter::SequenceExhausted);
}
