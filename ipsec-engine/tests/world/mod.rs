//! Two gateways with one policy, what is sent between them, and how refusals are looked at.
#![allow(dead_code, clippy::result_large_err)] // each test uses some

use std::net::IpAddr;

use ipsec_engine::{Counter, Disposition, Event, Protocol, Reason, SaKey, Transform, Way};
use ipsec_packet::{PacketBuf, SeqCounter, SeqWidth};

use crate::common::{Gateway, udp};

pub const A: &str = "192.0.2.1";
pub const B: &str = "198.51.100.1";
pub const A6: &str = "2001:db8:a::1";
pub const B6: &str = "2001:db8:b::1";

pub const CIPHER: &str = "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f";
pub const MAC: &str = "-A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";
pub const KEYS: &str =
    "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";

/// An ESP SA of `from` to `to`.
pub fn esp(from: &str, to: &str, spi: u32, rest: &str) -> String {
    format!("add {from} {to} esp {spi:#x} -r 8 {rest} {KEYS};\n")
}

pub fn ah(from: &str, to: &str, spi: u32, rest: &str) -> String {
    format!("add {from} {to} ah {spi:#x} -r 8 {rest} {MAC};\n")
}

pub fn ipcomp(from: &str, to: &str, cpi: u32, rest: &str) -> String {
    format!("add {from} {to} ipcomp {cpi:#x} {rest} -C deflate -R;\n")
}

pub fn policy(from: &str, to: &str, upper: &str, way: &str, action: &str) -> String {
    format!("spdadd {from} {to} {upper} -P {way} {action};\n")
}

/// The sending and the receiving side of one policy for packets from `from` to `to`; `local` are their addresses.
pub fn one_way(sas: &str, from: &str, to: &str, action: &str, local: (&str, &str)) -> (Gateway, Gateway) {
    let sender = format!("{sas}{}", policy(from, to, "any", "out", action));
    let receiver = format!("{sas}{}", policy(from, to, "any", "in", action));
    (Gateway::new(&sender, local.0), Gateway::new(&receiver, local.1))
}

/// Networks behind A and B, one way, with this bundle.
pub fn tunnel(sas: &str, action: &str) -> (Gateway, Gateway) {
    one_way(sas, "10.1.0.0/16", "10.2.0.0/16", action, (A, B))
}

/// A and B themselves, one way, with this bundle.
pub fn hosts(sas: &str, action: &str) -> (Gateway, Gateway) {
    one_way(sas, A, B, action, (A, B))
}

/// An ordinary pair: one ESP tunnel.
pub fn esp_tunnel() -> (Gateway, Gateway) {
    tunnel(&esp(A, B, 0x1001, "-m tunnel"), "ipsec esp/tunnel/192.0.2.1-198.51.100.1/require")
}

pub const SECRET: &[u8] = b"the quick brown fox jumps over the lazy dog";

/// A packet between the networks.
pub fn inner() -> Vec<u8> {
    udp("10.1.2.3", "10.2.3.4", 1000, 2000, SECRET)
}

/// A packet between the hosts.
pub fn host() -> Vec<u8> {
    udp(A, B, 1000, 2000, SECRET)
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn key(way: Way, destination: &str, protocol: Protocol, spi: u32) -> SaKey {
    SaKey { way, destination: address(destination), protocol, spi }
}

/// Passes a packet in, in the middle of a large buffer; says what became of it, what is in the window, and the buffer.
pub fn pass_in(gateway: &mut Gateway, packet: &[u8]) -> (Disposition, Vec<u8>, Vec<u8>) {
    let mut bytes = vec![0xee; 512 + packet.len() + 4096];
    bytes[512..512 + packet.len()].copy_from_slice(packet);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 512, packet.len()).unwrap();
    let disposition = gateway.engine.inbound(gateway.now, &mut buffer);
    let data = buffer.data().to_vec();
    (disposition, data, bytes)
}

/// A packet that was opened and then refused: for this reason, and nothing of it is left.
#[track_caller]
pub fn refused_and_wiped(gateway: &mut Gateway, wire: &[u8], reason: Reason) {
    let (disposition, data, bytes) = pass_in(gateway, wire);
    assert_eq!(disposition, Disposition::Discard(reason));
    assert!(data.iter().all(|&octet| octet == 0), "what was opened is wiped");
    assert!(!bytes.windows(16).any(|window| window == &SECRET[..16]), "plaintext is left in the buffer");
}

/// A packet that was refused at its first header: for this reason, and as it was.
#[track_caller]
pub fn refused_as_it_was(gateway: &mut Gateway, wire: &[u8], reason: Reason) {
    let (disposition, data, _) = pass_in(gateway, wire);
    assert_eq!(disposition, Disposition::Discard(reason));
    assert_eq!(data, wire, "a packet that is refused at its first header is as it was");
}

#[track_caller]
pub fn delivered(gateway: &mut Gateway, wire: &[u8], packet: &[u8]) {
    assert_eq!(gateway.receive(wire), (Disposition::Deliver, packet.to_vec()));
}

/// From A's network through to B, unchanged.
#[track_caller]
pub fn carries(a: &mut Gateway, b: &mut Gateway, packet: &[u8]) -> Vec<u8> {
    let wire = a.send(packet).unwrap_or_else(|e| panic!("{e:?}"));
    delivered(b, &wire, packet);
    wire
}

pub fn count(gateway: &Gateway, way: Way, counter: Counter) -> u64 {
    gateway.engine.counters().get(way, counter)
}

pub fn events(gateway: &mut Gateway) -> Vec<Event> {
    std::iter::from_fn(|| gateway.engine.poll_event()).collect()
}

/// Every counter but those of the cache.
pub fn counted(gateway: &Gateway) -> Vec<(Way, Counter, u64)> {
    let all = gateway.engine.counters().iter();
    all.filter(|(_, counter, _)| !matches!(counter, Counter::CacheHit | Counter::CacheMiss)).collect()
}

/// Moves the counter of an SA that seals on, so that `last` was its last number.
pub fn move_on(gateway: &mut Gateway, key: &SaKey, source: &str, width: SeqWidth, last: u64) {
    let state = SeqCounter::new(width).export_ahead(last);
    let moved = gateway.engine.update(key, address(source), |sa| match sa.transform_mut() {
        Transform::EspOut(esp) => esp.import(&state).unwrap(),
        Transform::AhOut(ah) => ah.import(&state).unwrap(),
        _ => panic!("no counter"),
    });
    assert_eq!(moved, Some(*key));
}

pub fn discarded(reason: Reason) -> Disposition {
    Disposition::Discard(reason)
}
