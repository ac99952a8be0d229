//! IPComp outside ESP and AH is not authenticated, so the policies are searched before decompression.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, ipv4, udp};
use gateway_pair::{A, B, count, esp, ipcomp, policy};
use ipsec_engine::{Counter, Direction, DiscardReason, Settings, Unmatched};
use ipsec_packet::IpProto;

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
