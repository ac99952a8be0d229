//! SPD order and flow cache, SA database, and acquires for missing SAs.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, tcp, udp};
use gateway_pair::*;
use ipsec_engine::{
    Action, Bundle, Direction, Level, Mode, OutboundAction, PolicyDirection, PolicyError, PolicyParams, Priority,
    Protocol, SaEvent, Template, TunnelEndpoints,
};
use ipsec_packet::{AddressRange, Detail, Flow, IpProto, PortRange, Selector, Upper};
use std::time::Duration;
use test_vectors::Random;

fn selector(from: &str, to: &str, upper: Upper) -> Selector {
    let range = |text: &str| {
        let (first, length) = text.split_once('/').unwrap_or((text, "32"));
        AddressRange::prefix(address(first), length.parse().unwrap()).unwrap()
    };
    Selector { source: range(from), destination: range(to), upper }
}

fn rule(to: &str, upper: Upper, priority: Priority, action: Action) -> PolicyParams {
    PolicyParams { selector: selector("10.1.0.0/16", to, upper), direction: PolicyDirection::Out, priority, action }
}

const DEF: Priority = Priority::DEFAULT;

#[test]
fn policies_are_searched_by_priority_and_then_by_age() {
    let mut a = Gateway::new("", A);
    let wide = a.engine.add_policy(rule("10.0.0.0/8", Upper::Any, DEF, Action::Discard)).unwrap();
    assert_eq!(a.send(&inner()), Err(not_sent(ipsec_engine::DiscardReason::Policy)));
    let later = a.engine.add_policy(rule("10.2.0.0/16", Upper::Any, DEF, Action::Bypass)).unwrap();
    assert_eq!(
        a.send(&inner()),
        Err(not_sent(ipsec_engine::DiscardReason::Policy)),
        "the older policy of equal priority applies"
    );
    let high = a.engine.add_policy(rule("10.2.3.0/24", Upper::Any, Priority::HIGH, Action::Bypass)).unwrap();
    assert_eq!(a.send(&inner()), Err(OutboundAction::Bypass), "cached flow is looked up again");
    let low = a.engine.add_policy(rule("10.2.3.4", Upper::Any, Priority::LOW, Action::Discard)).unwrap();
    let between = DEF.offset(1).unwrap();
    let above = a.engine.add_policy(rule("10.3.0.0/16", Upper::Any, between, Action::Bypass)).unwrap();
    assert_eq!(a.engine.policies().map(|(id, _)| id).collect::<Vec<_>>(), [high, above, wide, later, low]);
    assert_eq!(a.send(&inner()), Err(OutboundAction::Bypass));
    assert!(a.engine.remove_policy(high).is_some_and(|policy| policy.priority == Priority::HIGH));
    assert_eq!(a.send(&inner()), Err(not_sent(ipsec_engine::DiscardReason::Policy)));
    assert!(a.engine.remove_policy(wide).is_some());
    assert_eq!(a.send(&inner()), Err(OutboundAction::Bypass));
    assert!(a.engine.remove_policy(later).is_some());
    assert_eq!(a.send(&inner()), Err(not_sent(ipsec_engine::DiscardReason::Policy)));
    assert!(a.engine.remove_policy(low).is_some() && a.engine.remove_policy(low).is_none());
    assert_eq!(a.send(&inner()), Err(OutboundAction::Bypass), "no policy is left");
}

#[test]
fn policies_of_all_directions_are_iterated_by_priority_and_then_by_age() {
    let mut a = Gateway::new("", A);
    let (mut expected, mut random) = (Vec::new(), Random::seeded(1));
    for number in 0..200 {
        if expected.len() == 16 || !expected.is_empty() && random.one_in(3) {
            let (_, id) = expected.remove(random.below(expected.len()));
            assert!(a.engine.remove_policy(id).is_some());
        } else {
            let direction = random.pick(&[PolicyDirection::In, PolicyDirection::Out, PolicyDirection::Forward]);
            let upper = Upper::Ports(Some(IpProto::TCP), PortRange::ANY, PortRange::one(number));
            let priority = Priority(random.below(4));
            let policy = PolicyParams { direction, ..rule("10.2.0.0/16", upper, priority, Action::Discard) };
            expected.push((priority, a.engine.add_policy(policy).unwrap()));
        }
        expected.sort();
        let found: Vec<_> = a.engine.policies().map(|(id, policy)| (policy.priority, id)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn policy_with_duplicate_selector_is_refused() {
    let mut a = Gateway::new("", A);
    let policy = rule("10.2.0.0/16", Upper::Any, DEF, Action::Bypass);
    let id = a.engine.add_policy(policy).unwrap();
    assert_eq!(a.engine.add_policy(PolicyParams { action: Action::Discard, ..policy }), Err(PolicyError::Exists(id)));
    let other_way = a.engine.add_policy(PolicyParams { direction: PolicyDirection::In, ..policy }).unwrap();
    assert_eq!(a.engine.find_policy(PolicyDirection::Out, &policy.selector), Some(id));
    assert_eq!(a.engine.find_policy(PolicyDirection::In, &policy.selector), Some(other_way));
    assert_eq!(a.engine.find_policy(PolicyDirection::Forward, &policy.selector), None);
}

#[test]
fn full_policy_table_refuses_another_policy() {
    let mut a = Gateway::new("", A);
    for port in 0..16 {
        let upper = Upper::Ports(Some(IpProto::TCP), PortRange::ANY, PortRange::one(port));
        a.engine.add_policy(rule("10.2.0.0/16", upper, DEF, Action::Bypass)).unwrap();
    }
    assert_eq!(a.engine.add_policy(rule("10.4.0.0/16", Upper::Any, DEF, Action::Bypass)), Err(PolicyError::Full));
    assert_eq!(a.engine.policies().count(), 16);
}

#[cfg(feature = "alloc")]
#[test]
fn policy_with_a_reserved_id_is_ordered_by_its_id() {
    let mut a = Gateway::new("", A);
    let policy = |network: &str| rule(network, Upper::Any, DEF, Action::Bypass);
    let first = a.engine.add_policy(policy("10.2.0.0/16")).unwrap();
    let reserved = a.engine.reserve_policy_id().unwrap();
    let last = a.engine.add_policy(policy("10.4.0.0/16")).unwrap();
    assert!(first < reserved && reserved < last);
    let ids = |a: &Gateway| a.engine.policies().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(&a), [first, last], "a number alone is not a policy");
    let duplicate = a.engine.add_reserved_policy(reserved, policy("10.2.0.0/16"));
    assert_eq!((duplicate, ids(&a)), (Err(PolicyError::Exists(first)), vec![first, last]));
    // The policy may be removed and added again.
    for _ in 0..2 {
        assert_eq!(a.engine.add_reserved_policy(reserved, policy("10.3.0.0/16")), Ok(()));
        assert_eq!(ids(&a), [first, reserved, last]);
        let again = a.engine.add_reserved_policy(reserved, policy("10.5.0.0/16"));
        assert_eq!(again, Err(PolicyError::Exists(reserved)));
        assert!(a.engine.remove_policy(reserved).is_some());
    }
    assert!(a.engine.add_policy(policy("10.6.0.0/16")).unwrap() > last);
}

#[test]
fn policy_ids_are_not_reused() {
    let mut a = Gateway::new("", A);
    let policy = rule("10.2.0.0/16", Upper::Any, DEF, Action::Bypass);
    let id = a.engine.add_policy(policy).unwrap();
    let other_way = a.engine.add_policy(PolicyParams { direction: PolicyDirection::In, ..policy }).unwrap();
    a.engine.remove_policy(id).unwrap();
    let again = a.engine.add_policy(policy).unwrap();
    assert!(again > other_way && again != id);
}

/// Looks up more flows than the cache holds, repeatedly.
#[test]
fn flow_cache_agrees_with_a_search_of_the_spd() {
    let port = |p| Upper::Ports(Some(IpProto::UDP), PortRange::ANY, PortRange { first: p, last: p + 9 });
    let mut a = Gateway::new("", A);
    for n in 0..5u16 {
        let action = if n % 2 == 0 { Action::Discard } else { Action::Bypass };
        a.engine.add_policy(rule("10.2.0.0/16", port(2000 + 20 * n), DEF, action)).unwrap();
    }
    for round in 0..3 {
        for to in (1990..2110).step_by(3) {
            let inside = (0..5).find(|n| (2000 + 20 * n..2010 + 20 * n).contains(&to));
            let expected = match inside {
                Some(n) if n % 2 == 0 => not_sent(ipsec_engine::DiscardReason::Policy),
                _ => OutboundAction::Bypass,
            };
            assert_eq!(a.send(&udp("10.1.2.3", "10.2.3.4", 7, to, b"")), Err(expected), "{round} {to}");
            assert_eq!(a.send(&tcp("10.1.2.3", "10.2.3.4", 7, to, b"")), Err(OutboundAction::Bypass));
        }
    }
}

/// Returns the SPI of an ESP packet over IPv4.
fn spi(wire: &[u8]) -> u32 {
    u32::from_be_bytes(wire[20..24].try_into().unwrap())
}

#[test]
fn added_and_removed_sas_apply_to_cached_flows() {
    let bundle = "ipsec esp/transport//use";
    let mut a = Gateway::new(&policy(A, B, "any", "out", bundle), A);
    assert_eq!(a.send(&host()), Err(OutboundAction::Bypass));
    for n in [0x1001, 0x1002] {
        a.load(&esp(A, B, n, "-m transport"), A);
        assert_eq!(spi(&a.send(&host()).unwrap()), n);
    }
    for (gone, left) in [(0x1002, Some(0x1001)), (0x1001, None)] {
        let key = key(ipsec_engine::Direction::Outbound, B, Protocol::Esp, gone);
        assert!(a.engine.remove(&key, address(A)).is_some());
        assert_eq!(a.send(&host()).map(|wire| spi(&wire)).ok(), left, "after removal of {gone:#x}");
    }
}

#[test]
fn sa_in_the_slot_of_a_removed_sa_is_not_mistaken_for_it() {
    let mut a = Gateway::new(&policy(A, B, "any", "out", "ipsec esp/transport//use"), A);
    a.load(&esp(A, B, 0x1001, "-m transport"), A);
    assert_eq!(spi(&a.send(&host()).unwrap()), 0x1001);
    a.engine.remove(&key(ipsec_engine::Direction::Outbound, B, Protocol::Esp, 0x1001), address(A)).unwrap();
    a.load(&esp(A, B, 0x1003, "-m transport"), A);
    assert_eq!(spi(&a.send(&host()).unwrap()), 0x1003);
    a.engine.remove(&key(ipsec_engine::Direction::Outbound, B, Protocol::Esp, 0x1003), address(A)).unwrap();
    a.load(&esp(A, "198.51.100.9", 0x1004, "-m transport"), A);
    assert_eq!(a.send(&host()), Err(OutboundAction::Bypass), "SA to another destination");
}

fn acquires(gateway: &mut Gateway) -> Vec<ipsec_engine::Acquire> {
    let events = events(gateway).into_iter();
    events.filter_map(|event| if let SaEvent::Acquire(acquire) = event { Some(acquire) } else { None }).collect()
}

#[test]
fn acquire_describes_the_missing_sa() {
    let flow = |from: &str, to: &str| Flow {
        source: address(from),
        destination: address(to),
        protocol: IpProto::UDP,
        detail: Detail::Ports(1000, 2000),
    };
    let tunnel_ends = Some(TunnelEndpoints { source: (Some(address(A)), None), destination: (Some(address(B)), None) });
    for (packet, from, to, action, ends, level, reqid) in [
        (inner(), "10.1.2.3", "10.2.3.4", "esp/tunnel/192.0.2.1-198.51.100.1/require", tunnel_ends, Level::Require, 0),
        (
            inner(),
            "10.1.2.3",
            "10.2.3.4",
            "esp/tunnel/192.0.2.1-198.51.100.1/unique",
            tunnel_ends,
            Level::Unique,
            0x8000_0001,
        ),
        (
            inner(),
            "10.1.2.3",
            "10.2.3.4",
            "esp/tunnel/192.0.2.1-198.51.100.1/unique:9",
            tunnel_ends,
            Level::UniqueId(9),
            9,
        ),
        (host(), A, B, "esp/transport//require", None, Level::Require, 0),
    ] {
        let mut a = Gateway::new(&policy("0.0.0.0/0", "0.0.0.0/0", "any", "out", &format!("ipsec {action}")), A);
        let (policy, _) = a.engine.policies().next().unwrap();
        let Err(OutboundAction::Acquire(acquire)) = a.send(&packet) else { panic!("{action}") };
        assert_eq!(acquire.policy, policy);
        assert_eq!((acquire.source, acquire.destination), (Some(address(A)), Some(address(B))));
        assert_eq!((acquire.template.ends, acquire.template.level, acquire.reqid), (ends, level, reqid), "{action}");
        assert_eq!(acquire.flow, flow(from, to));
        assert_eq!(acquires(&mut a), [acquire]);
        // An SA with that reqid matches the template.
        let mode = if ends.is_some() { "tunnel" } else { "transport" };
        a.load(&esp(A, B, 0x1001, &format!("-m {mode} -u {reqid}")), A);
        assert!(a.send(&packet).is_ok(), "{action}");
    }
}

#[test]
fn acquire_leaves_any_endpoints_unspecified() {
    let request = Template {
        protocol: Protocol::Esp,
        mode: Mode::Tunnel,
        ends: Some(TunnelEndpoints { source: (None, None), destination: (Some(address(B)), None) }),
        level: Level::Require,
    };
    let mut a = Gateway::new("", A);
    let bundle = Bundle::default().with(request).unwrap();
    a.engine.add_policy(rule("10.2.0.0/16", Upper::Any, DEF, Action::Protect(bundle))).unwrap();
    let Err(OutboundAction::Acquire(acquire)) = a.send(&inner()) else { panic!() };
    assert_eq!((acquire.source, acquire.destination), (None, Some(address(B))));
    a.load(&esp("192.0.2.9", B, 0x1001, "-m tunnel"), A);
    assert!(a.send(&inner()).is_ok());
}

/// Returns a gateway with a policy for packets to B's network, but without an SA.
fn without_sa() -> Gateway {
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    Gateway::new(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &action), A)
}

#[test]
fn acquire_of_a_policy_is_limited_to_one_per_interval() {
    let mut a = without_sa();
    let mut asked = Vec::new();
    for second in 0..25 {
        assert!(matches!(a.send(&inner()), Err(OutboundAction::Acquire(_))));
        asked.extend(acquires(&mut a).iter().map(|_| second));
        a.now += Duration::from_secs(1);
    }
    assert_eq!(asked, [0, 10, 20]);
    assert_eq!(count(&a, ipsec_engine::Direction::Outbound, ipsec_engine::Counter::Pending), 25);
}

#[test]
fn one_acquire_is_pending_without_polling() {
    let mut a = without_sa();
    for port in 0..40 {
        let _ = a.send(&udp("10.1.2.3", "10.2.3.4", 7, port, b""));
        a.now += Duration::from_secs(1);
    }
    assert_eq!(acquires(&mut a).len(), 1);
}

#[test]
fn acquire_for_another_template_is_not_delayed() {
    let mut a = Gateway::new(&policy(A, B, "any", "out", "ipsec esp/transport//require ah/transport//require"), A);
    let _ = a.send(&host());
    assert_eq!(acquires(&mut a)[0].template.protocol, Protocol::Esp);
    a.load(&esp(A, B, 0x1001, "-m transport"), A);
    assert!(matches!(a.send(&host()), Err(OutboundAction::Acquire(_))));
    assert_eq!(acquires(&mut a).first().map(|acquire| acquire.template.protocol), Some(Protocol::Ah));
}

#[test]
fn acquire_for_another_host_is_not_delayed() {
    let mut a = Gateway::new(&policy(A, "198.51.100.0/24", "any", "out", "ipsec esp/transport//require"), A);
    for host in ["198.51.100.5", "198.51.100.6"] {
        let _ = a.send(&udp(A, host, 1, 2, b""));
        assert_eq!(acquires(&mut a).first().and_then(|acquire| acquire.destination), Some(address(host)));
    }
}

/// Reqids of setkey(8) end at 0x3fff in KAME; the engine assigns reqids above them.
#[test]
fn assigned_reqids_differ_from_reqids_of_setkey() {
    let text = policy("10.1.0.0/16", "10.2.0.0/16", "tcp", "out", &format!("ipsec esp/tunnel/{A}-{B}/unique"))
        + &policy("10.1.0.0/16", "10.2.0.0/16", "udp", "out", &format!("ipsec esp/tunnel/{A}-{B}/unique:16385"));
    let mut a = Gateway::new(&text, A);
    let reqid = |packet: &[u8], a: &mut Gateway| match a.send(packet) {
        Err(OutboundAction::Acquire(acquire)) => acquire.reqid,
        other => panic!("{other:?}"),
    };
    assert_ne!(reqid(&inner(), &mut a), reqid(&tcp("10.1.2.3", "10.2.3.4", 1, 2, b""), &mut a));
}

#[test]
fn ipcomp_sa_receives_uncompressed_packets_until_it_is_removed() {
    let action = format!("ipsec ipcomp/tunnel/{A}-{B}/require");
    let text = policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", &action) + &esp(A, B, 0x1001, "-m tunnel");
    let mut b = Gateway::new(&text, B);
    let plain = gateway::ipv4(A, B, IpProto::IPV4, &inner());
    assert_ne!(b.receive(&plain).0, Received::Deliver);
    b.engine.remove(&key(Direction::Inbound, B, Protocol::Esp, 0x1001), address(A)).unwrap();
    b.engine.install(sa(&ipcomp(A, B, 0x3003, "-m tunnel"), Direction::Inbound), b.now).unwrap();
    assert_eq!(b.receive(&plain).0, Received::Deliver);
    // A change keeps it, and the address of the peer is not part of its identifier.
    let ipcomp_key = key(Direction::Inbound, B, Protocol::Ipcomp, 0x3003);
    let moved = b.engine.update(&ipcomp_key, address(A), |sa| sa.move_peer(address(A), 0).unwrap());
    assert_eq!(moved, Ok(ipcomp_key));
    assert_eq!(b.receive(&plain).0, Received::Deliver);
    b.engine.remove(&ipcomp_key, address(A)).unwrap();
    b.engine.install(sa(&esp(A, B, 0x1001, "-m tunnel"), Direction::Inbound), b.now).unwrap();
    assert_ne!(b.receive(&plain).0, Received::Deliver);
}
