//! ICMP errors through tunnels are checked by the packet that they quote (RFC 4301 section 6.2).

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, icmp, ipv6, udp};
use gateway_pair::{A, A6, B, B6, delivered, discarded, esp, inner, not_sent, policy};
use ipsec_engine::{DiscardReason, OutboundAction, Unmatched};
use ipsec_packet::IpProto;

/// Returns the gateways A and B with policies in both directions between their networks for this upper-layer protocol.
fn gateways(unmatched: Unmatched, upper: &str) -> (Gateway, Gateway) {
    let sas = esp(A, B, 0x1001, "-m tunnel") + &esp(B, A, 0x1002, "-m tunnel");
    let both = |a: &str, b: &str| {
        let there = format!("ipsec esp/tunnel/{A}-{B}/require");
        let back = format!("ipsec esp/tunnel/{B}-{A}/require");
        sas.clone()
            + &policy("10.1.0.0/16", "10.2.0.0/16", upper, a, &there)
            + &policy("10.2.0.0/16", "10.1.0.0/16", upper, b, &back)
    };
    let (mut a, mut b) = (Gateway::new(&both("out", "in"), A), Gateway::new(&both("in", "out"), B));
    for gateway in [&mut a, &mut b] {
        gateway.engine.settings_mut().unmatched = unmatched;
    }
    (a, b)
}

/// Builds an ICMP error of this type about a packet from B's network to A's, sent by a router inside A's network.
fn error(kind: u8) -> Vec<u8> {
    icmp("192.168.7.7", "10.2.3.4", kind, &udp("10.2.3.4", "10.1.2.3", 2000, 1000, b"text")[..28])
}

#[test]
fn icmp_error_of_a_router_behind_the_gateway_is_tunnelled() {
    for unmatched in [Unmatched::Discard, Unmatched::Bypass] {
        for kind in [3, 4, 5, 11, 12] {
            for upper in ["any", "udp"] {
                let (mut a, mut b) = gateways(unmatched, upper);
                let wire = a.send(&error(kind)).unwrap();
                delivered(&mut b, &wire, &error(kind));
            }
        }
    }
}

#[test]
fn icmpv6_error_of_a_router_behind_the_gateway_is_tunnelled() {
    let (net_a, net_b) = ("2001:db8:1::/48", "2001:db8:2::/48");
    let action = format!("ipsec esp/tunnel/{A6}-{B6}/require");
    let text = |direction| esp(A6, B6, 0x1001, "-m tunnel") + &policy(net_a, net_b, "udp", direction, &action);
    let (mut a, mut b) = (Gateway::new(&text("out"), A6), Gateway::new(&text("in"), B6));
    let quoted = udp("2001:db8:2::4", "2001:db8:1::3", 2000, 1000, b"text");
    for kind in [1, 2, 3, 4, 100] {
        let error = ipv6(
            "2001:db8:77::7",
            "2001:db8:2::4",
            IpProto::ICMPV6,
            &[&[kind, 0, 0, 0, 0, 0, 0, 0][..], &quoted].concat(),
        );
        let wire = a.send(&error).unwrap();
        delivered(&mut b, &wire, &error);
    }
    let echo =
        ipv6("2001:db8:77::7", "2001:db8:2::4", IpProto::ICMPV6, &[&[128, 0, 0, 0, 0, 0, 0, 0][..], &quoted].concat());
    assert_eq!(a.send(&echo), Err(OutboundAction::Bypass), "echo request is not an error");
}

#[test]
fn icmp_error_about_other_traffic_is_refused_from_a_tunnel() {
    let (_, mut b) = gateways(Unmatched::Bypass, "any");
    // The peer sends packets with any addresses through its SA.
    let all = esp(A, B, 0x1001, "-m tunnel")
        + &policy("0.0.0.0/0", "0.0.0.0/0", "any", "out", &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let mut peer = Gateway::new(&all, A);
    for quoted in
        [udp("10.2.3.4", "203.0.113.9", 2000, 1000, b"text"), udp("10.1.2.3", "10.2.3.4", 2000, 1000, b"text")]
    {
        let forged = icmp("192.168.7.7", "10.2.3.4", 3, &quoted[..28]);
        let wire = peer.send(&forged).unwrap();
        assert_eq!(b.receive(&wire).0, discarded(DiscardReason::NoPolicy), "{quoted:02x?}");
    }
}

#[test]
fn cleartext_icmp_error_about_protected_traffic_is_refused() {
    let (_, mut b) = gateways(Unmatched::Bypass, "any");
    assert_eq!(b.receive(&error(3)).0, discarded(DiscardReason::Cleartext));
    let about_others = icmp("192.168.7.7", "10.2.3.4", 3, &udp("10.2.3.4", "203.0.113.9", 1, 2, b"text")[..28]);
    assert_eq!(b.receive(&about_others).0, Received::Bypass);
    // An error about the ESP packets of the tunnel is accepted.
    let about_esp = icmp("203.0.113.7", B, 3, &gateway::ipv4(B, A, IpProto::ESP, &[0; 8]));
    assert_eq!(b.receive(&about_esp).0, Received::Bypass);
}

#[test]
fn policy_for_icmp_takes_precedence_over_the_quoted_packet() {
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    let text = esp(A, B, 0x1001, "-m tunnel")
        + &policy("10.1.0.0/16", "10.2.0.0/16", "udp", "out", &action)
        + &policy("192.168.0.0/16", "10.2.0.0/16", "icmp", "out", "discard");
    let mut a = Gateway::new(&text, A);
    assert_eq!(a.send(&error(3)), Err(not_sent(DiscardReason::Policy)));
    assert!(a.send(&inner()).is_ok());
}

#[test]
fn icmp_error_of_another_host_is_not_sent_in_transport_mode_or_clear() {
    let text = esp("10.1.2.3", "10.2.3.4", 0x1001, "-m transport")
        + &policy("10.1.2.3", "10.2.3.4", "udp", "out", "ipsec esp/transport//require");
    let mut a = Gateway::new(&text, "10.1.2.3");
    assert_eq!(a.send(&error(3)), Err(not_sent(DiscardReason::NoPolicy)));
}
