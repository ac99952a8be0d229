//! Engine with run-time capacity and thousands of tunnels: nothing that a packet or a timer does grows with them.
#![cfg(feature = "alloc")]

mod gateway;
mod one_suite;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gateway::{NOW, udp};
use ipsec_config::setkey::{Add, LoadOptions, Statement, Statements};
use ipsec_engine::{
    Capacity, Direction, Expiry, HeapEngine, InboundAction, OutboundAction, PolicyError, Protocol, ReserveError,
    SaBackend, SaEvent, SaId, Settings,
};
use ipsec_packet::{Instant, PacketBuf, Seq};
use one_suite::One;

type Hub = HeapEngine<One>;

/// Number of tunnels; fewer where the tests are not optimized.
const TUNNELS: u32 = if cfg!(debug_assertions) { 1_000 } else { 10_000 };

const HUB: &str = "192.0.2.1";

fn hub(sas: usize, policies: usize, flows: usize) -> Hub {
    let mut hub = Hub::with_capacity(Settings::STRICT, Capacity { sas, policies, flows }, None, None);
    hub.set_hash_key([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
    hub
}

fn peer(tunnel: u32) -> IpAddr {
    Ipv4Addr::from_bits(0xc633_0000 + tunnel).into()
}

/// Returns the statement of the SA with this SPI from the hub to the peer of a tunnel.
fn add(text: &mut String, tunnel: u32, spi: u32, lifetimes: &str) {
    *text = format!(
        "add {HUB} {} esp {spi:#x} -m tunnel {lifetimes} -E aes-cbc 0x{tunnel:032x} -A hmac-sha1 0x{spi:040x};",
        peer(tunnel)
    );
}

fn parsed(text: &str) -> Add<'_> {
    let Ok(Some(Statement::Add(add))) = Statements::of(text).next() else { panic!("{text}") };
    add
}

fn install(engine: &mut Hub, direction: Direction, tunnel: u32, spi: u32, lifetimes: &str) {
    let mut text = String::new();
    add(&mut text, tunnel, spi, lifetimes);
    let sa = parsed(&text).params(direction, None, &LoadOptions::RFC).unwrap();
    SaBackend::add(engine, &sa, NOW).unwrap();
}

fn add_policy(engine: &mut Hub, direction: &str, tunnel: u32) -> Result<(), PolicyError> {
    let text = format!(
        "spdadd 10.0.0.0/8 172.{}.{}.0/24 any -P {direction} ipsec esp/tunnel/{HUB}-{}/require;",
        16 + (tunnel >> 8),
        tunnel & 0xff,
        peer(tunnel)
    );
    let Ok(Some(Statement::SpdAdd(policy))) = Statements::of(&text).next() else { panic!("{text}") };
    engine.add_policy(policy.policy().unwrap()).map(drop)
}

fn packet(tunnel: u32, port: u16) -> Vec<u8> {
    udp("10.1.1.1", &format!("172.{}.{}.9", 16 + (tunnel >> 8), tunnel & 0xff), port, 53, b"payload of a packet")
}

#[allow(clippy::result_large_err)]
fn send(hub: &mut Hub, packet: &[u8]) -> Result<Vec<u8>, OutboundAction> {
    let mut bytes = vec![0; 512];
    bytes[100..100 + packet.len()].copy_from_slice(packet);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 100, packet.len()).unwrap();
    match hub.outbound(&mut buffer, NOW, &mut |_: Seq, iv: &mut [u8]| iv.fill(7)) {
        OutboundAction::Send => Ok(buffer.data().to_vec()),
        other => Err(other),
    }
}

fn spi(wire: &[u8]) -> u32 {
    u32::from_be_bytes(wire[20..24].try_into().unwrap())
}

/// Receives a packet and asserts that it is delivered unmodified.
fn delivered(peers: &mut Hub, wire: &[u8], packet: &[u8]) {
    let mut bytes = wire.to_vec();
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 0, wire.len()).unwrap();
    let action = peers.inbound(&mut buffer, NOW);
    assert!(matches!(action, InboundAction::Deliver { .. }), "{action:?}");
    assert_eq!(buffer.data(), packet);
}

#[test]
fn all_sas_are_replaced_while_traffic_flows() {
    let capacity = TUNNELS as usize * 2;
    let (mut hub, mut peers) = (hub(capacity, capacity, 1024), hub(capacity, capacity, 1024));
    for tunnel in 0..TUNNELS {
        add_policy(&mut hub, "out", tunnel).unwrap();
        add_policy(&mut peers, "in", tunnel).unwrap();
        install(&mut peers, Direction::Inbound, tunnel, 0x1000_0000 + tunnel, "-r 8");
        install(&mut hub, Direction::Outbound, tunnel, 0x1000_0000 + tunnel, "-r 8");
    }
    for tunnel in 0..TUNNELS {
        let (old, new) = (0x1000_0000 + tunnel, 0x2000_0000 + tunnel);
        let in_flight = send(&mut hub, &packet(tunnel, 1)).unwrap();
        assert_eq!(spi(&in_flight), old);
        install(&mut peers, Direction::Inbound, tunnel, new, "-r 8");
        install(&mut hub, Direction::Outbound, tunnel, new, "-r 8");
        let after = send(&mut hub, &packet(tunnel, 1)).unwrap();
        assert_eq!(spi(&after), new, "the flow keeps the old SA");
        // Another tunnel is not concerned.
        let other = (tunnel + TUNNELS / 2) % TUNNELS;
        let expected = if other < tunnel { 0x2000_0000 } else { 0x1000_0000 } + other;
        let wire = send(&mut hub, &packet(other, 2)).unwrap();
        assert_eq!(spi(&wire), expected);
        delivered(&mut peers, &wire, &packet(other, 2));
        delivered(&mut peers, &in_flight, &packet(tunnel, 1));
        delivered(&mut peers, &after, &packet(tunnel, 1));
        assert!(hub.remove(&SaId::outbound(peer(tunnel), Protocol::Esp, old), HUB.parse().unwrap()).is_some());
        let gone = SaId::inbound(peer(tunnel), Protocol::Esp, old);
        assert!(peers.remove(&gone, HUB.parse().unwrap()).is_some());
    }
    assert_eq!((hub.sas().count(), peers.sas().count()), (TUNNELS as usize, TUNNELS as usize));
}

#[test]
fn one_tick_expires_a_bounded_number_of_sas() {
    let mut hub = hub(4 * TUNNELS as usize, 4, 16);
    for tunnel in 0..TUNNELS {
        install(&mut hub, Direction::Outbound, tunnel, 0x1000 + tunnel, "-ls 100 -lh 200");
    }
    let after = |seconds| NOW.saturating_add(Duration::from_secs(seconds));
    for (time, expected) in [(100, Expiry::Soft), (200, Expiry::Hard)] {
        assert_eq!(hub.poll_timeout(), Some(after(time)));
        let mut expired = 0;
        while hub.poll_timeout().is_some_and(|due| due <= after(time)) {
            hub.tick(after(time));
            let events = std::iter::from_fn(|| hub.poll_event());
            let events = events.inspect(|event| assert!(matches!(event, SaEvent::Expire(_, of) if *of == expected)));
            let once = events.count();
            assert!((1..=32).contains(&once), "one call of `tick` expired {once} SAs");
            expired += once;
        }
        assert_eq!(expired, TUNNELS as usize);
    }
    assert_eq!((hub.sas().count(), hub.poll_timeout()), (0, None));
}

#[test]
fn lifetimes_from_the_first_packet_are_due_in_order() {
    let mut hub = hub(8, 8, 16);
    for tunnel in 0..4 {
        add_policy(&mut hub, "out", tunnel).unwrap();
        install(&mut hub, Direction::Outbound, tunnel, 0x1000 + tunnel, "");
        let id = SaId::outbound(peer(tunnel), Protocol::Esp, 0x1000 + tunnel);
        let use_age = |seconds| ipsec_engine::Limit {
            use_age: Some(Duration::from_secs(seconds)),
            ..ipsec_engine::Limit::default()
        };
        let lifetimes = ipsec_engine::Lifetimes { soft: use_age(40 - u64::from(tunnel)), hard: use_age(50) };
        hub.update(&id, HUB.parse().unwrap(), |sa| sa.set_lifetimes(lifetimes)).unwrap();
    }
    assert_eq!(hub.poll_timeout(), None);
    for tunnel in 0..4 {
        send(&mut hub, &packet(tunnel, 1)).unwrap();
        let due = NOW.saturating_add(Duration::from_secs(40 - u64::from(tunnel)));
        assert_eq!(hub.poll_timeout(), Some(due));
    }
}

#[test]
fn capacity_is_a_run_time_argument() {
    let mut hub = hub(2, 1, 3);
    assert!(add_policy(&mut hub, "out", 0).is_ok());
    assert_eq!(add_policy(&mut hub, "out", 1), Err(PolicyError::Full));
    let reserve = |hub: &mut Hub, spi| {
        hub.reserve(SaId::inbound(HUB.parse().unwrap(), Protocol::Esp, spi), peer(0), Instant::ZERO)
    };
    assert_eq!([1, 2, 3].map(|n| reserve(&mut hub, 0x1000 + n)), [Ok(()), Ok(()), Err(ReserveError::Full)]);
}

#[test]
fn slots_are_numbered_beyond_16_bits() {
    const SLOTS: u32 = 80_000;
    let mut hub = hub(SLOTS as usize, 1, 1);
    let id = |spi| SaId::inbound(HUB.parse().unwrap(), Protocol::Esp, 0x1000 + spi);
    for spi in 0..SLOTS {
        hub.reserve(id(spi), peer(spi), NOW).unwrap();
    }
    assert_eq!(hub.reserve(id(SLOTS), peer(0), NOW), Err(ReserveError::Full));
    assert!((0..SLOTS).all(|spi| hub.sa(&id(spi), peer(spi)).is_some_and(|sa| sa.source == peer(spi))));
}

#[test]
fn flow_cache_of_any_size_changes_no_result() {
    for flows in [0, 1, 2, 3, 4, 5, 64] {
        let mut hub = hub(64, 64, flows);
        for tunnel in 0..16 {
            add_policy(&mut hub, "out", tunnel).unwrap();
            install(&mut hub, Direction::Outbound, tunnel, 0x1000 + tunnel, "");
        }
        for n in 0..400u32 {
            let tunnel = n * 7 % 16;
            let wire = send(&mut hub, &packet(tunnel, (n % 50) as u16)).unwrap();
            assert_eq!(spi(&wire), 0x1000 + tunnel, "with {flows} cached flows");
        }
    }
}
