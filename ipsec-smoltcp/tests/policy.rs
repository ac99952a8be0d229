//! The device sends and delivers only packets that the engine permits.

#[path = "../examples/echo/hosts.rs"]
mod hosts;
#[path = "../examples/echo/wire.rs"]
mod wire;

use esp_core::RngIv;
use hosts::{Host, Secured, echo, secured};
use ipsec_engine::{AnyAlgorithms, Engine, Settings};
use ipsec_smoltcp::Protected;
use smoltcp::phy::{Device, TxToken};
use smoltcp::time::Instant;

const CONFIGURATION: &str = include_str!("../examples/echo/ipsec.conf");

fn hosts(one: &str, other: &str) -> (Host<Secured>, Host<Secured>) {
    let (left, right) = wire::wire();
    let client = Host::new(secured(left, "192.0.2.1", one), [192, 0, 2, 1]);
    (client, Host::new(secured(right, "192.0.2.2", other), [192, 0, 2, 2]))
}

#[test]
fn tcp_is_sent_as_esp_only() {
    let (mut client, mut server) = hosts(CONFIGURATION, CONFIGURATION);
    let text: Vec<u8> = (0..20_000).map(|n| b"abcdefghij"[n % 10]).collect();
    assert!(echo(&mut client, &mut server, &text, 20_000) == text);
    for host in [&mut client, &mut server] {
        let sent = &host.device.inner().sent;
        assert!(sent.len() > 15);
        for packet in sent {
            assert_eq!(packet[9], 50, "protocol is not ESP");
            assert!(packet.len() <= 1500);
            assert!(!packet.windows(10).any(|some| some == b"abcdefghij"), "cleartext was sent");
        }
    }
}

#[test]
fn nothing_is_sent_without_an_sa() {
    let policies: String = CONFIGURATION.lines().filter(|line| line.starts_with("spdadd")).collect();
    let (mut client, mut server) = hosts(&policies, CONFIGURATION);
    assert!(echo(&mut client, &mut server, b"not delivered", 3000).is_empty());
    assert!(client.device.inner().sent.is_empty());
    assert!(client.device.engine().poll_event().is_some(), "no event for the missing SA");
}

#[test]
fn nothing_is_sent_or_delivered_without_a_policy() {
    let (mut client, mut server) = hosts("", CONFIGURATION);
    assert!(echo(&mut client, &mut server, b"not delivered", 3000).is_empty());
    assert!(client.device.inner().sent.is_empty());
    let (left, right) = wire::wire();
    let mut clear = Host::new(left, [192, 0, 2, 1]);
    let mut guarded = Host::new(secured(right, "192.0.2.2", CONFIGURATION), [192, 0, 2, 2]);
    guarded.listen(7);
    clear.connect([192, 0, 2, 2], 7);
    for now in (0..3000).map(Instant::from_millis) {
        clear.poll(now);
        guarded.poll(now);
    }
    assert!(!clear.device.sent.is_empty());
    assert!(guarded.device.inner().sent.is_empty(), "a refusal was sent in cleartext");
}

#[test]
fn nothing_is_delivered_with_different_keys() {
    let other = CONFIGURATION.replace("twenty octets it has", "twenty others it has");
    let (mut client, mut server) = hosts(CONFIGURATION, &other);
    assert!(echo(&mut client, &mut server, b"not delivered", 3000).is_empty());
    assert!(!client.device.inner().sent.is_empty());
    assert!(server.device.inner().sent.is_empty());
}

#[test]
fn mtu_leaves_space_for_the_ipsec_overhead() {
    let engine = || Engine::<AnyAlgorithms, 4, 8>::new(Settings::STRICT, None, None);
    let (left, _right) = wire::wire();
    let mut device: Secured = Protected::new(left, engine(), RngIv(rand::rng())).unwrap();
    assert_eq!(device.capabilities().max_transmission_unit, 1500 - 192);
    // A packet without a matching policy is discarded.
    device.transmit(Instant::ZERO).unwrap().consume(100, |packet| packet.fill(0x45));
    assert!(device.inner().sent.is_empty());
}
