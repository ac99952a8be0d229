//! What comes out of IPsec is checked against the policy and the SAs it really came through (RFC 4301 5.2).

mod common;
mod world;

use common::{Gateway, ip, udp};
use ipsec_engine::{Counter, DefaultLevel, Direction, DiscardReason, Disposition, Unmatched};
use ipsec_packet::IpProto;
use world::*;

/// Another peer of B, with a tunnel of his own.
const M: &str = "203.0.113.66";

/// B, whose policies ask for one tunnel of A's and one of M's.
fn b_with_two_peers() -> Gateway {
    let sas = esp(A, B, 0x1001, "-m tunnel") + &esp(M, B, 0x2001, "-m tunnel") + &ah(A, B, 0x1002, "-m tunnel");
    let text = sas
        + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", &format!("ipsec esp/tunnel/{A}-{B}/require"))
        + &policy("10.6.0.0/16", "10.2.0.0/16", "any", "in", &format!("ipsec esp/tunnel/{M}-{B}/require"))
        + &policy("10.7.0.0/16", "10.2.0.0/16", "any", "in", "none")
        + &policy("10.8.0.0/16", "10.2.0.0/16", "any", "in", "discard")
        + &policy("10.9.0.0/16", "10.2.0.0/16", "any", "fwd", "discard");
    Gateway::new(&text, B)
}

/// A sender who puts everything to 10.2.0.0/16 through this.
fn sender(from: &str, sas: &str, transforms: &str) -> Gateway {
    Gateway::new(&format!("{sas}{}", policy("0.0.0.0/0", "10.2.0.0/16", "any", "out", transforms)), from)
}

fn from_net(source: &str) -> Vec<u8> {
    udp(source, "10.2.3.4", 1000, 2000, SECRET)
}

//= RFC 3948 3.1.1/1
#[test]
fn the_inner_packet_is_checked_against_the_policy_and_its_sa() {
    let a = || sender(A, &esp(A, B, 0x1001, "-m tunnel"), &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let m = || sender(M, &esp(M, B, 0x2001, "-m tunnel"), &format!("ipsec esp/tunnel/{M}-{B}/require"));
    let with_ah = || sender(A, &ah(A, B, 0x1002, "-m tunnel"), &format!("ipsec ah/tunnel/{A}-{B}/require"));
    let extra = || {
        let sas = esp(A, B, 0x1001, "-m tunnel") + &ah(A, B, 0x1002, "-m tunnel");
        sender(A, &sas, &format!("ipsec ah/tunnel/{A}-{B}/require esp/tunnel/{A}-{B}/require"))
    };
    #[rustfmt::skip]
    let cases = [
        (a(), "10.1.2.3", None, "its own tunnel"),
        (m(), "10.6.2.3", None, "the other peer's own tunnel"),
        (m(), "10.1.2.3", Some(DiscardReason::SaMismatch), "spoofed source through another peer's tunnel"),
        (a(), "10.6.2.3", Some(DiscardReason::SaMismatch), "and the reverse"),
        (a(), "10.7.2.3", Some(DiscardReason::SaMismatch), "through a tunnel what is to come in clear"),
        (a(), "10.8.2.3", Some(DiscardReason::Policy), "what no packet may be"),
        (a(), "10.9.2.3", Some(DiscardReason::Policy), "nor forwarded"),
        (a(), "10.10.2.3", Some(DiscardReason::NoPolicy), "what no policy speaks of, even where unmatched packets pass"),
        (with_ah(), "10.1.2.3", Some(DiscardReason::SaMismatch), "AH instead of ESP"),
        (extra(), "10.1.2.3", Some(DiscardReason::SaMismatch), "one tunnel more than asked for"),
    ];
    for (mut sender, source, refused, what) in cases {
        println!("{what}");
        let mut b = b_with_two_peers();
        let packet = from_net(source);
        let wire = sender.send(&packet).unwrap();
        match refused {
            Some(reason) => refused_and_wiped(&mut b, &wire, reason),
            None => delivered(&mut b, &wire, &packet),
        }
        assert_eq!(count(&b, Direction::Inbound, Counter::Processed), u64::from(refused.is_none()));
        // The packet was authentic: its SA has seen it.
        assert_eq!(b.engine.sas().map(|sa| sa.usage.packets).max(), Some(1));
    }
}

#[test]
fn in_clear_against_a_policy() {
    let mut b = b_with_two_peers();
    for (source, expected) in [
        ("10.1.2.3", discarded(DiscardReason::Cleartext)),
        ("10.6.2.3", discarded(DiscardReason::Cleartext)),
        ("10.7.2.3", Disposition::Bypass),
        ("10.8.2.3", discarded(DiscardReason::Policy)),
        ("10.9.2.3", discarded(DiscardReason::Policy)),
        ("10.10.2.3", Disposition::Bypass),
    ] {
        assert_eq!(b.receive(&from_net(source)), (expected, from_net(source)), "{source}");
    }
    b.engine.settings_mut().unmatched = Unmatched::Discard;
    assert_eq!(b.receive(&from_net("10.10.2.3")).0, discarded(DiscardReason::NoPolicy));
}

#[test]
fn modes_are_not_exchanged() {
    // Between the hosts themselves: transport where tunnel is asked, and the reverse.
    for (sent, asked, passes) in [
        ("transport", "transport", true),
        ("tunnel", "tunnel", true),
        ("transport", "tunnel", false),
        ("tunnel", "transport", false),
    ] {
        let ends = |mode: &str| if mode == "transport" { String::new() } else { format!("{A}-{B}") };
        let sas = esp(A, B, 0x1001, &format!("-m {sent}"));
        let out = policy(A, B, "any", "out", &format!("ipsec esp/{sent}/{}/require", ends(sent)));
        let mut a = Gateway::new(&format!("{sas}{out}"), A);
        let inward = policy(A, B, "any", "in", &format!("ipsec esp/{asked}/{}/require", ends(asked)));
        let mut b = Gateway::new(&format!("{sas}{inward}"), B);
        let wire = a.send(&host()).unwrap();
        match passes {
            true => delivered(&mut b, &wire, &host()),
            false => refused_and_wiped(&mut b, &wire, DiscardReason::SaMismatch),
        }
    }
}

#[test]
fn unique_sas_serve_their_own_policy_only() {
    for (id, asked, passes) in [
        (7, "unique:7", true),
        (8, "unique:7", false),
        (0, "unique:7", false),
        (0, "unique", false),
        (7, "unique", false),
        (0x8000_0001u32, "unique", true), // B's first policy
        (0x8000_0002, "unique", false),
        (7, "require", true),
    ] {
        let mut a = Gateway::new(
            &(esp(A, B, 0x1001, "-m transport") + &policy(A, B, "any", "out", "ipsec esp/transport//require")),
            A,
        );
        let sa = format!("{} -u {id}", "-m transport");
        let inward = policy(A, B, "any", "in", &format!("ipsec esp/transport//{asked}"));
        let mut b = Gateway::new(&(esp(A, B, 0x1001, &sa) + &inward), B);
        let wire = a.send(&host()).unwrap();
        match passes {
            true => delivered(&mut b, &wire, &host()),
            false => refused_and_wiped(&mut b, &wire, DiscardReason::SaMismatch),
        }
    }
}

/// Level, what `default` means, whether clear passes in, what happens out without an SA.
#[test]
fn levels_with_and_without_an_sa() {
    for (level, default, optional) in [
        ("use", DefaultLevel::Require, true),
        ("use", DefaultLevel::Use, true),
        ("require", DefaultLevel::Use, false),
        ("unique", DefaultLevel::Use, false),
        ("unique:5", DefaultLevel::Use, false),
        ("default", DefaultLevel::Use, true),
        ("default", DefaultLevel::Require, false),
    ] {
        let bundle = format!("ipsec esp/transport//{level}");
        let mut b = Gateway::new(&policy(A, B, "any", "in", &bundle), B);
        b.engine.settings_mut().default_level = default;
        let expected = if optional { Disposition::Bypass } else { discarded(DiscardReason::Cleartext) };
        assert_eq!(b.receive(&host()).0, expected, "{level} {default:?}");
        let mut a = Gateway::new(&policy(A, B, "any", "out", &bundle), A);
        a.engine.settings_mut().default_level = default;
        match a.send(&host()) {
            Err(Disposition::Bypass) => assert!(optional, "{level}"),
            Err(Disposition::Pending(_)) => assert!(!optional, "{level}"),
            other => panic!("{other:?}"),
        }
        // With an SA every level uses it.
        let reqid = if level == "unique:5" { 5 } else { 0x8000_0001u32 };
        a.load(&esp(A, B, 0x1001, &format!("-m transport -u {reqid}")), A);
        b.load(&esp(A, B, 0x1001, &format!("-m transport -u {reqid}")), B);
        carries(&mut a, &mut b, &host());
    }
}

#[test]
fn a_changed_default_level_holds_for_flows_that_are_known() {
    let mut a = Gateway::new(&policy(A, B, "any", "out", "ipsec esp/transport//default"), A);
    a.engine.settings_mut().default_level = DefaultLevel::Use;
    assert_eq!(a.send(&host()), Err(Disposition::Bypass));
    a.engine.settings_mut().default_level = DefaultLevel::Require;
    assert!(matches!(a.send(&host()), Err(Disposition::Pending(_))));
}

#[test]
fn esp_missing_inside_ah() {
    let action = "ipsec esp/transport//require ah/transport//require";
    let sas = esp(A, B, 0x1001, "-m transport") + &ah(A, B, 0x1002, "-m transport");
    let mut b = Gateway::new(&format!("{sas}{}", policy(A, B, "any", "in", action)), B);
    for (action, refused) in [
        ("ipsec esp/transport//require ah/transport//require", None),
        ("ipsec ah/transport//require", Some(DiscardReason::SaMismatch)),
        ("ipsec esp/transport//require", Some(DiscardReason::SaMismatch)),
        ("ipsec ah/transport//require esp/transport//require", Some(DiscardReason::SaMismatch)),
    ] {
        // Numbers go on, so that no packet is a replay.
        let mut a = Gateway::new(&format!("{sas}{}", policy(A, B, "any", "out", action)), A);
        let seen = b.engine.sas().map(|sa| sa.usage.packets).sum::<u64>();
        for protocol in [(ipsec_engine::Protocol::Esp, 0x1001), (ipsec_engine::Protocol::Ah, 0x1002)] {
            let key = key(Direction::Outbound, B, protocol.0, protocol.1);
            move_on(&mut a, &key, A, ipsec_packet::SeqWidth::Bits32, seen);
        }
        let wire = a.send(&host()).unwrap();
        match refused {
            Some(reason) => refused_and_wiped(&mut b, &wire, reason),
            None => delivered(&mut b, &wire, &host()),
        }
    }
    // ESP that B has no SA for, inside AH: not for B to pass on.
    let mut a = Gateway::new(
        &(ah(A, B, 0x1002, "-m transport") + &policy(A, B, "any", "out", "ipsec ah/transport//require")),
        A,
    );
    move_on(
        &mut a,
        &key(Direction::Outbound, B, ipsec_engine::Protocol::Ah, 0x1002),
        A,
        ipsec_packet::SeqWidth::Bits32,
        40,
    );
    let wire = a.send(&ip(A, B, IpProto::ESP, &[&[0, 0, 0x77, 0x77, 0, 0, 0, 1], SECRET].concat())).unwrap();
    refused_and_wiped(&mut b, &wire, DiscardReason::NoSa);
}

#[test]
fn packets_of_an_sa_come_from_its_other_end() {
    let (mut a, mut b) = esp_tunnel();
    let mut wire = a.send(&inner()).unwrap();
    wire[15] = 99;
    refused_as_it_was(&mut b, &wire, DiscardReason::SourceMismatch);
    wire[15] = 1;
    delivered(&mut b, &wire, &inner());
}

#[test]
fn a_policy_for_one_port_admits_no_other() {
    let sas = esp(A, B, 0x1001, "-m transport");
    let text = policy(A, &format!("{B}[2000]"), "udp", "in", "ipsec esp/transport//require")
        + &policy(A, B, "any", "in", "discard");
    let mut b = Gateway::new(&format!("{sas}{text}"), B);
    let mut a = Gateway::new(&format!("{sas}{}", policy(A, B, "any", "out", "ipsec esp/transport//require")), A);
    carries(&mut a, &mut b, &host());
    let wire = a.send(&udp(A, B, 1000, 2001, SECRET)).unwrap();
    refused_and_wiped(&mut b, &wire, DiscardReason::Policy);
}

/// Only in transport mode does a packet that was not worth compressing come without anything of IPComp.
#[test]
fn a_tunnel_of_ipcomp_is_not_optional() {
    let sas = ipcomp(A, B, 0x1100, "-m tunnel") + &esp(A, B, 0x1001, "-m transport");
    let asked = format!("ipsec ipcomp/tunnel/{A}-{B}/require esp/transport//require");
    let mut b = Gateway::new(&(sas.clone() + &policy(A, B, "any", "in", &asked)), B);
    let mut a = Gateway::new(&(sas.clone() + &policy(A, B, "any", "out", "ipsec esp/transport//require")), A);
    refused_and_wiped(&mut b, &a.send(&host()).unwrap(), DiscardReason::SaMismatch);
    let mut a = Gateway::new(&(sas + &policy(A, B, "any", "out", &asked)), A);
    move_on(
        &mut a,
        &key(Direction::Outbound, B, ipsec_engine::Protocol::Esp, 0x1001),
        A,
        ipsec_packet::SeqWidth::Bits32,
        5,
    );
    carries(&mut a, &mut b, &host());
}

#[test]
fn what_comes_out_of_a_tunnel_and_is_no_packet_is_wiped() {
    for mode in ["esp", "ah"] {
        let sa = |way_mode: &str| if mode == "esp" { esp(A, B, 0x1001, way_mode) } else { ah(A, B, 0x1001, way_mode) };
        let out = policy(A, B, "any", "out", &format!("ipsec {mode}/transport//require"));
        let mut a = Gateway::new(&(sa("-m transport") + &out), A);
        let mut b = Gateway::new(&sa("-m tunnel"), B);
        let wire = a.send(&host()).unwrap();
        let (disposition, data, bytes) = pass_in(&mut b, &wire);
        assert!(
            matches!(disposition, Disposition::Discard(DiscardReason::Tunnel(_) | DiscardReason::Malformed(_))),
            "{disposition:?}"
        );
        assert!(data.iter().all(|&octet| octet == 0), "{mode}");
        assert!(!bytes.windows(16).any(|window| window == &SECRET[..16]), "{mode}: plaintext is left");
    }
}
