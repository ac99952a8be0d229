//! Inbound policy check: received packets are compared with the policy and the SAs they were received on (RFC 4301
//! section 5.2).

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, ip, ipv4, udp};
use gateway_pair::*;
use ipsec_config::setkey::{Statement, Statements};
use ipsec_engine::{
    Action, Bundle, Counter, DefaultLevel, Direction, DiscardReason, Level, Mode, OutboundAction, PolicyDirection,
    PolicyParams, Priority, Protocol, Template, Unmatched,
};
use ipsec_packet::{AddressRange, IpProto, Selector, Upper};

/// Address of another peer of B, with a tunnel of its own.
const M: &str = "203.0.113.66";

/// Returns B, whose policies require one tunnel from A and one from M.
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

/// Returns a sender that protects all packets to 10.2.0.0/16 with these templates.
fn sender(from: &str, sas: &str, transforms: &str) -> Gateway {
    Gateway::new(&format!("{sas}{}", policy("0.0.0.0/0", "10.2.0.0/16", "any", "out", transforms)), from)
}

fn from_net(source: &str) -> Vec<u8> {
    udp(source, "10.2.3.4", 1000, 2000, SECRET)
}

//= RFC 3948 3.1.1/1
//# MUST: out of a tunnel, the inner source is checked by policy or assignment, or translated
#[test]
fn inner_packet_is_checked_against_policy_and_sa() {
    let a = || sender(A, &esp(A, B, 0x1001, "-m tunnel"), &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let m = || sender(M, &esp(M, B, 0x2001, "-m tunnel"), &format!("ipsec esp/tunnel/{M}-{B}/require"));
    let with_ah = || sender(A, &ah(A, B, 0x1002, "-m tunnel"), &format!("ipsec ah/tunnel/{A}-{B}/require"));
    let extra = || {
        let sas = esp(A, B, 0x1001, "-m tunnel") + &ah(A, B, 0x1002, "-m tunnel");
        sender(A, &sas, &format!("ipsec ah/tunnel/{A}-{B}/require esp/tunnel/{A}-{B}/require"))
    };
    #[rustfmt::skip]
    let cases = [
        (a(), "10.1.2.3", None, "tunnel required by the policy"),
        (m(), "10.6.2.3", None, "tunnel of the other peer"),
        (m(), "10.1.2.3", Some(DiscardReason::SaMismatch), "spoofed source through another peer's tunnel"),
        (a(), "10.6.2.3", Some(DiscardReason::SaMismatch), "source of the other peer through A's tunnel"),
        (a(), "10.7.2.3", Some(DiscardReason::SaMismatch), "packet of a BYPASS policy through a tunnel"),
        (a(), "10.8.2.3", Some(DiscardReason::Policy), "packet of a DISCARD policy"),
        (a(), "10.9.2.3", Some(DiscardReason::Policy), "packet of a forward DISCARD policy"),
        (a(), "10.10.2.3", Some(DiscardReason::NoPolicy),
            "packet without a policy, although unmatched packets are bypassed"),
        (with_ah(), "10.1.2.3", Some(DiscardReason::SaMismatch), "AH instead of ESP"),
        (extra(), "10.1.2.3", Some(DiscardReason::SaMismatch), "one tunnel more than the policy requires"),
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
        // The packet was authenticated, so its SA counts it in either case.
        assert_eq!(b.engine.sas().map(|sa| sa.usage.packets).max(), Some(1));
    }
}

#[test]
fn cleartext_packets_are_checked_against_policies() {
    let mut b = b_with_two_peers();
    for (source, expected) in [
        ("10.1.2.3", discarded(DiscardReason::Cleartext)),
        ("10.6.2.3", discarded(DiscardReason::Cleartext)),
        ("10.7.2.3", Received::Bypass),
        ("10.8.2.3", discarded(DiscardReason::Policy)),
        ("10.9.2.3", discarded(DiscardReason::Policy)),
        ("10.10.2.3", Received::Bypass),
    ] {
        assert_eq!(b.receive(&from_net(source)), (expected, from_net(source)), "{source}");
    }
    b.engine.settings_mut().unmatched = Unmatched::Discard;
    assert_eq!(b.receive(&from_net("10.10.2.3")).0, discarded(DiscardReason::NoPolicy));
}

#[test]
fn sa_of_another_mode_is_refused() {
    // Between the hosts, transport mode where the policy requires tunnel mode, and vice versa.
    for (sent, required, passes) in [
        ("transport", "transport", true),
        ("tunnel", "tunnel", true),
        ("transport", "tunnel", false),
        ("tunnel", "transport", false),
    ] {
        let ends = |mode: &str| if mode == "transport" { String::new() } else { format!("{A}-{B}") };
        let sas = esp(A, B, 0x1001, &format!("-m {sent}"));
        let out = policy(A, B, "any", "out", &format!("ipsec esp/{sent}/{}/require", ends(sent)));
        let mut a = Gateway::new(&format!("{sas}{out}"), A);
        let inward = policy(A, B, "any", "in", &format!("ipsec esp/{required}/{}/require", ends(required)));
        let mut b = Gateway::new(&format!("{sas}{inward}"), B);
        let wire = a.send(&host()).unwrap();
        match passes {
            true => delivered(&mut b, &wire, &host()),
            false => refused_and_wiped(&mut b, &wire, DiscardReason::SaMismatch),
        }
    }
}

#[test]
fn sa_with_other_reqid_is_refused_by_unique_policy() {
    for (id, required, passes) in [
        (7, "unique:7", true),
        (8, "unique:7", false),
        (0, "unique:7", false),
        (0, "unique", false),
        (7, "unique", false),
        (0x8000_0001u32, "unique", true), // reqid of B's first policy
        (0x8000_0002, "unique", false),
        (7, "require", true),
    ] {
        let mut a = Gateway::new(
            &(esp(A, B, 0x1001, "-m transport") + &policy(A, B, "any", "out", "ipsec esp/transport//require")),
            A,
        );
        let sa = format!("{} -u {id}", "-m transport");
        let inward = policy(A, B, "any", "in", &format!("ipsec esp/transport//{required}"));
        let mut b = Gateway::new(&(esp(A, B, 0x1001, &sa) + &inward), B);
        let wire = a.send(&host()).unwrap();
        match passes {
            true => delivered(&mut b, &wire, &host()),
            false => refused_and_wiped(&mut b, &wire, DiscardReason::SaMismatch),
        }
    }
}

/// Columns: level, setting of `default`, whether protection is optional.
#[test]
fn policy_levels_use_and_default_make_an_sa_optional() {
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
        let expected = if optional { Received::Bypass } else { discarded(DiscardReason::Cleartext) };
        assert_eq!(b.receive(&host()).0, expected, "{level} {default:?}");
        let mut a = Gateway::new(&policy(A, B, "any", "out", &bundle), A);
        a.engine.settings_mut().default_level = default;
        match a.send(&host()) {
            Err(OutboundAction::Bypass) => assert!(optional, "{level}"),
            Err(OutboundAction::Acquire(_)) => assert!(!optional, "{level}"),
            other => panic!("{other:?}"),
        }
        // Every level uses an existing SA.
        let reqid = if level == "unique:5" { 5 } else { 0x8000_0001u32 };
        a.load(&esp(A, B, 0x1001, &format!("-m transport -u {reqid}")), A);
        b.load(&esp(A, B, 0x1001, &format!("-m transport -u {reqid}")), B);
        carries(&mut a, &mut b, &host());
    }
}

#[test]
fn changed_default_level_applies_to_cached_flows() {
    let mut a = Gateway::new(&policy(A, B, "any", "out", "ipsec esp/transport//default"), A);
    a.engine.settings_mut().default_level = DefaultLevel::Use;
    assert_eq!(a.send(&host()), Err(OutboundAction::Bypass));
    a.engine.settings_mut().default_level = DefaultLevel::Require;
    assert!(matches!(a.send(&host()), Err(OutboundAction::Acquire(_))));
}

#[test]
fn packets_without_the_required_bundle_are_refused() {
    let action = "ipsec esp/transport//require ah/transport//require";
    let sas = esp(A, B, 0x1001, "-m transport") + &ah(A, B, 0x1002, "-m transport");
    let mut b = Gateway::new(&format!("{sas}{}", policy(A, B, "any", "in", action)), B);
    for (action, refused) in [
        ("ipsec esp/transport//require ah/transport//require", None),
        ("ipsec ah/transport//require", Some(DiscardReason::SaMismatch)),
        ("ipsec esp/transport//require", Some(DiscardReason::SaMismatch)),
        ("ipsec ah/transport//require esp/transport//require", Some(DiscardReason::SaMismatch)),
    ] {
        // The sequence numbers continue, so that no packet is a replay.
        let mut a = Gateway::new(&format!("{sas}{}", policy(A, B, "any", "out", action)), A);
        let seen = b.engine.sas().map(|sa| sa.usage.packets).sum::<u64>();
        for protocol in [(ipsec_engine::Protocol::Esp, 0x1001), (ipsec_engine::Protocol::Ah, 0x1002)] {
            let key = key(Direction::Outbound, B, protocol.0, protocol.1);
            set_last_sequence(&mut a, &key, A, ipsec_packet::SeqWidth::Bits32, seen);
        }
        let wire = a.send(&host()).unwrap();
        match refused {
            Some(reason) => refused_and_wiped(&mut b, &wire, reason),
            None => delivered(&mut b, &wire, &host()),
        }
    }
}

#[test]
fn esp_inside_ah_without_an_sa_for_it_is_refused() {
    let action = "ipsec esp/transport//require ah/transport//require";
    let sas = esp(A, B, 0x1001, "-m transport") + &ah(A, B, 0x1002, "-m transport");
    let mut b = Gateway::new(&format!("{sas}{}", policy(A, B, "any", "in", action)), B);
    let mut a = Gateway::new(
        &(ah(A, B, 0x1002, "-m transport") + &policy(A, B, "any", "out", "ipsec ah/transport//require")),
        A,
    );
    let wire = a.send(&ip(A, B, IpProto::ESP, &[&[0, 0, 0x77, 0x77, 0, 0, 0, 1], SECRET].concat())).unwrap();
    refused_and_wiped(&mut b, &wire, DiscardReason::NoSa);
}

#[test]
fn packet_with_another_outer_source_is_refused() {
    let (mut a, mut b) = esp_tunnel();
    let mut wire = a.send(&inner()).unwrap();
    wire[15] = 99;
    refused_unmodified(&mut b, &wire, DiscardReason::SourceMismatch);
    wire[15] = 1;
    delivered(&mut b, &wire, &inner());
}

#[test]
fn policy_for_one_port_does_not_accept_another_port() {
    let sas = esp(A, B, 0x1001, "-m transport");
    let text = policy(A, &format!("{B}[2000]"), "udp", "in", "ipsec esp/transport//require")
        + &policy(A, B, "any", "in", "discard");
    let mut b = Gateway::new(&format!("{sas}{text}"), B);
    let mut a = Gateway::new(&format!("{sas}{}", policy(A, B, "any", "out", "ipsec esp/transport//require")), A);
    carries(&mut a, &mut b, &host());
    let wire = a.send(&udp(A, B, 1000, 2001, SECRET)).unwrap();
    refused_and_wiped(&mut b, &wire, DiscardReason::Policy);
}

/// An uncompressed packet is sent without IPComp and tunnel header in transport mode only.
#[test]
fn missing_ipcomp_tunnel_is_refused() {
    let sas = ipcomp(A, B, 0x1100, "-m tunnel") + &esp(A, B, 0x1001, "-m transport");
    let required = format!("ipsec ipcomp/tunnel/{A}-{B}/require esp/transport//require");
    let mut b = Gateway::new(&(sas.clone() + &policy(A, B, "any", "in", &required)), B);
    let mut a = Gateway::new(&(sas.clone() + &policy(A, B, "any", "out", "ipsec esp/transport//require")), A);
    refused_and_wiped(&mut b, &a.send(&host()).unwrap(), DiscardReason::SaMismatch);
    let mut a = Gateway::new(&(sas + &policy(A, B, "any", "out", &required)), A);
    set_last_sequence(
        &mut a,
        &key(Direction::Outbound, B, ipsec_engine::Protocol::Esp, 0x1001),
        A,
        ipsec_packet::SeqWidth::Bits32,
        5,
    );
    carries(&mut a, &mut b, &host());
}

#[test]
fn decrypted_payload_that_is_not_ip_is_wiped() {
    for mode in ["esp", "ah"] {
        let sa = |mode_option: &str| {
            if mode == "esp" { esp(A, B, 0x1001, mode_option) } else { ah(A, B, 0x1001, mode_option) }
        };
        let out = policy(A, B, "any", "out", &format!("ipsec {mode}/transport//require"));
        let mut a = Gateway::new(&(sa("-m transport") + &out), A);
        let mut b = Gateway::new(&sa("-m tunnel"), B);
        let wire = a.send(&host()).unwrap();
        let (action, data, bytes) = receive_in_large_buffer(&mut b, &wire);
        assert!(
            matches!(action, Received::Discard(DiscardReason::Tunnel(_) | DiscardReason::Malformed(_))),
            "{action:?}"
        );
        assert!(data.iter().all(|&octet| octet == 0), "{mode}");
        assert!(!bytes.windows(16).any(|window| window == &SECRET[..16]), "{mode}: plaintext is left in the buffer");
    }
}

#[test]
fn icmp_policy_with_type_in_brackets_matches_or_is_refused() {
    let text = format!("spdadd {A}[any] {B}[3] icmp -P in discard;\nspdadd {A}[300] {B} icmp -P in discard;\n");
    let mut statements = Statements::of(&text);
    let mut gateway = Gateway::new("", B);
    let mut accepted = false;
    while let Some(Statement::SpdAdd(rule)) = statements.next().unwrap() {
        if let Ok(rule) = rule.policy() {
            accepted = true;
            gateway.engine.add_policy(rule).unwrap();
        }
    }
    let unreachable = ipv4(A, B, IpProto::ICMP, &[3, 3, 0xfc, 0xfc, 0, 0, 0, 0]);
    assert!(!accepted || gateway.receive(&unreachable).0 == discarded(DiscardReason::Policy));
}

/// Returns a policy between A and B whose template has no endpoints.
fn policy_without_endpoints(mode: Mode, direction: PolicyDirection) -> PolicyParams {
    let template = Template { protocol: Protocol::Esp, mode, ends: None, level: Level::Require };
    PolicyParams {
        selector: Selector {
            source: AddressRange::host(address(A)),
            destination: AddressRange::host(address(B)),
            upper: Upper::Any,
        },
        direction,
        priority: Priority::DEFAULT,
        action: Action::Protect(Bundle::default().with(template).unwrap()),
    }
}

#[test]
fn template_without_endpoints_does_not_use_a_tunnel_to_another_peer() {
    for mode in [Mode::Any, Mode::Tunnel] {
        // No policy here requires this tunnel, whose destination is another peer.
        let mut a = Gateway::new(&esp(A, "203.0.113.66", 0x6666, "-m tunnel"), A);
        if a.engine.add_policy(policy_without_endpoints(mode, PolicyDirection::Out)).is_err() {
            continue;
        }
        let sent = a.send(&host());
        assert!(sent.is_err(), "{mode}: packet for {B} sent to {:?}", &sent.unwrap()[16..20]);
    }
}

#[test]
fn template_without_endpoints_does_not_accept_a_tunnel_from_another_peer() {
    for mode in [Mode::Any, Mode::Tunnel] {
        let m = "203.0.113.66";
        let sas = esp(m, B, 0x6666, "-m tunnel");
        let mut other_peer =
            Gateway::new(&(sas.clone() + &policy(A, B, "any", "out", &format!("ipsec esp/tunnel/{m}-{B}/require"))), m);
        let mut b = Gateway::new(&sas, B);
        if b.engine.add_policy(policy_without_endpoints(mode, PolicyDirection::In)).is_err() {
            continue;
        }
        let wire = other_peer.send(&host()).unwrap();
        assert_ne!(b.receive(&wire).0, Received::Deliver, "{mode}: {m} sent with source {A}");
    }
}

#[test]
fn forwarded_packet_is_checked_by_the_forward_policy() {
    let text = policy("0.0.0.0/0", "0.0.0.0/0", "any", "in", "none")
        + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "fwd", &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let mut b = Gateway::new(&text, B);
    assert_eq!(b.receive(&inner()).0, discarded(DiscardReason::Cleartext), "cleartext packet for the network behind B");
}

#[test]
fn added_and_removed_inbound_policies_apply_immediately() {
    let mut b = Gateway::new("", B);
    assert_eq!(b.receive(&host()).0, Received::Bypass);
    b.load(&policy(A, B, "any", "in", "discard"), B);
    assert_eq!(b.receive(&host()).0, discarded(DiscardReason::Policy));
    let (id, _) = b.engine.policies().next().unwrap();
    b.engine.remove_policy(id).unwrap();
    assert_eq!(b.receive(&host()).0, Received::Bypass);
}
