//! Nothing passes the device but what its engine lets pass.

#[path = "../examples/echo/hosts.rs"]
mod hosts;
#[path = "../examples/echo/wire.rs"]
mod wire;

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
fn tcp_passes_and_only_esp_is_seen() {
    let (mut client, mut server) = hosts(CONFIGURATION, CONFIGURATION);
    let text: Vec<u8> = (0..20_000).map(|n| b"abcdefghij"[n % 10]).collect();
    assert!(echo(&mut client, &mut server, &text, 20_000) == text);
    for host in [&mut client, &mut server] {
        let sent = &host.device.inner().sent;
        assert!(sent.len() > 15);
        for packet in sent {
            assert_eq!(packet[9], 50, "ESP");
            assert!(packet.len() <= 1500);
            assert!(!packet.windows(10).any(|some| some == b"abcdefghij"), "nothing of it in clear");
        }
    }
}

#[test]
fn without_an_sa_nothing_leaves() {
    let policies: String = CONFIGURATION.lines().filter(|line| line.starts_with("spdadd")).collect();
    let (mut client, mut server) = hosts(&policies, CONFIGURATION);
    assert!(echo(&mut client, &mut server, b"nobody hears it", 3000).is_empty());
    assert!(client.device.inner().sent.is_empty());
    assert!(client.device.engine().poll_event().is_some(), "it says what it needs");
}

#[test]
fn without_a_policy_nothing_leaves_and_nothing_comes_in() {
    let (mut client, mut server) = hosts("", CONFIGURATION);
    assert!(echo(&mut client, &mut server, b"nobody hears it", 3000).is_empty());
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
    assert!(guarded.device.inner().sent.is_empty(), "not even a refusal");
}

#[test]
fn with_keys_that_differ_nothing_comes_in() {
    let other = CONFIGURATION.replace("twenty octets it has", "twenty others it has");
    let (mut client, mut server) = hosts(CONFIGURATION, &other);
    assert!(echo(&mut client, &mut server, b"nobody hears it", 3000).is_empty());
    assert!(!client.device.inner().sent.is_empty());
    assert!(server.device.inner().sent.is_empty());
}

#[test]
fn room_is_left_for_what_protection_adds() {
    let engine = || Engine::<AnyAlgorithms, 4, 4>::new(Settings::STRICT, None, None);
    let (left, _right) = wire::wire();
    let mut device: Secured = Protected::new(left, engine(), hosts::Numbered).unwrap();
    assert_eq!(device.capabilities().max_transmission_unit, 1500 - 192);
    // A packet that nobody spoke of is written, and goes nowhere.
    device.transmit(Instant::ZERO).unwrap().consume(100, |packet| packet.fill(0x45));
    assert!(device.inner().sent.is_empty());
}
