//! IPComp outside ESP and AH needs no key, so the policies are searched before it is decompressed.

mod common;
mod world;

use common::{Gateway, ipv4, udp};
use ipsec_engine::{Counter, Direction, DiscardReason, Disposition, Settings, Unmatched};
use ipsec_packet::IpProto;
use world::{A, B, count, esp, ipcomp, policy};

/// IPComp with a payload that is malformed: decompression fails.
fn malformed(next: IpProto) -> Vec<u8> {
    ipv4(A, B, IpProto::IPCOMP, &[next.0, 0, 0x30, 3, 0xff, 0xff, 0xff])
}

fn refusal(mode: &str, policies: &str, settings: Unmatched, next: IpProto) -> Option<DiscardReason> {
    let sas = esp(A, B, 0x1001, "") + &ipcomp(A, B, 0x3003, mode);
    let mut b = Gateway::new(&(sas + policies), B);
    b.engine.settings_mut().unmatched = settings;
    let wire = malformed(next);
    let (disposition, left) = b.receive(&wire);
    assert_eq!(left, wire, "unchanged");
    assert_eq!(count(&b, Direction::Inbound, Counter::Compressed), 0);
    match disposition {
        Disposition::Discard(DiscardReason::Ipcomp(_)) => None,
        Disposition::Discard(reason) => Some(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_policy_that_asks_for_esp_around_it_refuses_it_first() {
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
fn what_policies_may_be_content_with_is_decompressed() {
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
    let ports = policy(&format!("{A}[7]"), B, "udp", "in", "none") + &policy(A, B, "any", "in", "discard");
    assert_eq!(refusal("-m transport", &ports, Unmatched::Discard, IpProto::UDP), None, "it may be of port 7");
    assert_eq!(refusal("-m transport", &ports, Unmatched::Discard, IpProto::TCP), Some(DiscardReason::Policy));
    assert_eq!(refusal("-m transport", "", Unmatched::Bypass, IpProto::UDP), None);
}

#[test]
fn what_no_policy_wants_is_refused_first() {
    let for_others = policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", "ipsec ipcomp/transport//use");
    for (policies, expected) in [("", DiscardReason::NoPolicy), (&for_others, DiscardReason::NoPolicy)] {
        assert_eq!(refusal("-m transport", policies, Unmatched::Discard, IpProto::UDP), Some(expected));
    }
    let discard = policy(A, B, "any", "in", "discard");
    assert_eq!(refusal("-m transport", &discard, Unmatched::Bypass, IpProto::UDP), Some(DiscardReason::Policy));
    assert_eq!(refusal("-m tunnel", "", Unmatched::Bypass, IpProto::IPV4), Some(DiscardReason::SaMismatch));
}

#[test]
fn inside_esp_it_is_decompressed_as_before() {
    let sas = esp(A, B, 0x1001, "-m transport") + &ipcomp(A, B, 0x3003, "-m transport");
    let action = "ipsec ipcomp/transport//use esp/transport//require";
    let (mut a, mut b) = world::hosts(&sas, action);
    let packet = udp(A, B, 1, 2, &[b'a'; 600]);
    let wire = world::carries(&mut a, &mut b, &packet);
    assert!(wire.len() < 300, "compressed");
    assert_eq!(count(&b, Direction::Inbound, Counter::Compressed), 1);
    assert_eq!(Settings::SETKEY.unmatched, Unmatched::Bypass);
}
