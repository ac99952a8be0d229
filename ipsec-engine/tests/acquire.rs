//! Acquires: fairness between policies and sources, their limit, and clocks that are set back.

mod gateway;
mod gateway_pair;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use gateway::{Gateway, udp};
use gateway_pair::{A, B, address, events, inner, policy};
use ipsec_engine::{OutboundAction, SaEvent};
use ipsec_packet::Instant;

fn acquires(gateway: &mut Gateway) -> Vec<IpAddr> {
    let wanted = events(gateway).into_iter().filter_map(|event| match event {
        SaEvent::Acquire(wanted) => wanted.destination,
        _ => None,
    });
    wanted.collect()
}

fn pass(gateway: &mut Gateway, time: Duration) {
    gateway.now += time;
}

fn earlier(now: Instant, by: Duration) -> Instant {
    Instant::from_start(now.since_start() - by)
}

#[test]
fn unreachable_peers_do_not_suppress_acquires_of_other_policies() {
    for busy in [1, 20] {
        let text: String = (0..12)
            .map(|n| {
                let action = format!("ipsec esp/tunnel/{A}-198.51.100.{}/require", 10 + n);
                policy("10.1.0.0/16", &format!("10.{}.0.0/16", 20 + n), "any", "out", &action)
            })
            .collect();
        let mut a = Gateway::new(&text, A);
        let mut acquired = BTreeMap::<IpAddr, u32>::new();
        for _ in 0..600 {
            pass(&mut a, Duration::from_secs(1));
            for n in (0..12).flat_map(|n| vec![n; if n < 11 { busy } else { 1 }]) {
                let _ = a.send(&udp("10.1.2.3", &format!("10.{}.0.1", 20 + n), 1, 2, b"x"));
                acquires(&mut a).into_iter().for_each(|to| *acquired.entry(to).or_default() += 1);
            }
        }
        assert_eq!(acquired.len(), 12);
        assert!(acquired.values().all(|&times| times == 60), "one acquire per 10 s and policy: {acquired:?}");
    }
}

#[test]
fn scanning_host_does_not_suppress_acquires_of_other_policies_or_hosts() {
    let tunnel = format!("ipsec esp/tunnel/{A}-{B}/require");
    let text = policy("10.1.0.0/16", "10.3.0.0/16", "any", "out", "ipsec esp/transport//require")
        + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &tunnel);
    let mut a = Gateway::new(&text, A);
    let (mut total, mut of_tunnel, mut of_other) = (0, 0, 0);
    for second in 0..300u32 {
        pass(&mut a, Duration::from_secs(1));
        for n in 0..50u32 {
            let _ = a.send(&udp("10.1.0.66", &format!("10.3.{}.{}", second % 250, n + 1), 1, 2, b"x"));
        }
        let _ = a.send(&inner());
        let _ = a.send(&udp("10.1.0.5", "10.3.255.7", 1, 2, b"x"));
        for to in acquires(&mut a) {
            total += 1;
            of_tunnel += u32::from(to == address::<IpAddr>(B));
            of_other += u32::from(to == address::<IpAddr>("10.3.255.7"));
        }
    }
    assert_eq!(of_tunnel, 30, "one acquire per 10 s");
    assert!(of_other >= 20, "{of_other}");
    assert!(total <= 30 * (2 + 64), "{total} acquires");
}

#[test]
fn unpolled_acquire_is_not_replaced() {
    let text = policy("10.1.0.0/16", "10.3.0.0/16", "any", "out", "ipsec esp/transport//require");
    let mut a = Gateway::new(&text, A);
    for n in 0..200 {
        let sent = a.send(&udp("10.1.0.66", &format!("10.3.0.{n}"), 1, 2, b"x"));
        assert!(matches!(sent, Err(OutboundAction::Acquire(_))));
    }
    let expected: Vec<IpAddr> = (0..8).map(|n| address(&format!("10.3.0.{n}"))).collect();
    assert_eq!(acquires(&mut a), expected);
}

#[test]
fn clock_set_back_does_not_suppress_acquires() {
    let text = policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let mut a = Gateway::new(&text, A);
    let _ = a.send(&inner());
    assert_eq!(acquires(&mut a).len(), 1);
    a.now = earlier(a.now, Duration::from_secs(100_000_000));
    let mut acquired = 0;
    for _ in 0..60 {
        let _ = a.send(&inner());
        acquired += acquires(&mut a).len();
        pass(&mut a, Duration::from_secs(1));
    }
    assert_eq!(acquired, 6);
}

#[test]
fn clock_set_back_does_not_keep_larval_sas() {
    let mut b = Gateway::new("", B);
    let larval = gateway_pair::key(ipsec_engine::Direction::Inbound, B, ipsec_engine::Protocol::Esp, 0x1001);
    b.engine.reserve(larval, address(A), b.now).unwrap();
    b.now = earlier(b.now, Duration::from_millis(1));
    b.engine.tick(b.now);
    assert_eq!(b.engine.sas().count(), 1, "a clock set back slightly removes no larval SA");
    b.now = earlier(b.now, Duration::from_secs(100_000));
    b.engine.tick(b.now);
    assert_eq!(b.engine.sas().count(), 0);
}

#[test]
fn acquires_for_many_destinations_are_limited() {
    let mut a = Gateway::new(&policy(A, "10.2.0.0/16", "any", "out", "ipsec esp/transport//require"), A);
    let mut acquired = 0;
    for round in 0..100 {
        let to = format!("10.2.0.{}", round % 9);
        assert!(matches!(a.send(&udp(A, &to, 1, 2, b"x")), Err(OutboundAction::Acquire(_))));
        acquired += events(&mut a).len();
    }
    // The ninth waits until the oldest of the eight entries of the table may be replaced.
    assert_eq!(acquired, 8, "no acquire is repeated within `acquire_interval`");
}
