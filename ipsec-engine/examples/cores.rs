//! Packet processing on several cores without a lock per packet: `cargo run --release -p ipsec-engine --example cores`.
//!
//! First, each core has an engine with the SAs of its flows. Then all cores send on one SA: each reserves sequence
//! numbers in runs of 256, and only the reservation takes a lock.
#![allow(clippy::cast_precision_loss, clippy::disallowed_methods)]

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use esp_core::{EncryptedCounterIv, IvSource, Outbound, Padding, SealParams, seal_with};
use ipsec_config::setkey;
use ipsec_crypto::{Aes128Cbc, EncryptThenMac, HmacSha1_96};
use ipsec_engine::{AnyAlgorithms, Engine, OutboundAction, Settings};
use ipsec_packet::{IpProto, Ipv4Header, PacketBuf, SeqWidth, Spi};
use zerocopy::IntoBytes;

/// Duration of each measurement.
const MEASUREMENT: Duration = Duration::from_secs(2);
const PAYLOAD: usize = 1408;

fn main() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    for (what, work) in [("one engine per core", engines as fn(usize) -> u64), ("one SA on all cores", one_sa)] {
        let (alone, together) = (work(1), work(cores));
        println!(
            "{what}: {alone} packets on 1 core, {together} on {cores}: {:.2} times",
            together as f64 / alone as f64
        );
    }
}

/// Returns the number of packets that the cores protect, each with its own engine.
fn engines(cores: usize) -> u64 {
    thread::scope(|scope| {
        let works: Vec<_> = (0..cores).map(|core| scope.spawn(move || engine(core))).collect();
        works.into_iter().map(|work| work.join().unwrap()).sum()
    })
}

fn engine(core: usize) -> u64 {
    let now = ipsec_packet::Instant::from_secs(1);
    let mut engine: Box<Engine<AnyAlgorithms, 16, 16>> = Box::new(Engine::new(Settings::STRICT, None, None));
    let text = format!(
        "add 192.0.2.1 198.51.100.1 esp {} -m tunnel -E aes-cbc 0x000102030405060708090a0b0c0d0e0f
             -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;
         spdadd 10.1.{core}.0/24 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;",
        0x1001 + core
    );
    setkey::apply(&mut *engine, text.as_bytes(), &["192.0.2.1".parse().unwrap()], now).unwrap();
    let mut header = Ipv4Header::new([10, 1, core as u8, 1].into(), [10, 2, 0, 1].into(), IpProto::UDP, 64);
    header.set_total_length(PAYLOAD as u16);
    header.set_identification(1);
    header.set_checksum();
    let (mut bytes, mut iv) = ([0; PAYLOAD + 200], ivs());
    count(|| {
        bytes[100..120].copy_from_slice(header.as_bytes());
        let mut packet = PacketBuf::with_headroom(&mut bytes, 100, PAYLOAD).unwrap();
        assert_eq!(engine.outbound(&mut packet, now, &mut iv), OutboundAction::Send);
    })
}

/// Returns the number of packets that the cores protect with one SA.
fn one_sa(cores: usize) -> u64 {
    let keys: ([u8; 16], [u8; 20]) = (rand::random(), rand::random());
    let suite = || EncryptThenMac::new(Aes128Cbc::new(&keys.0), HmacSha1_96::new(&keys.1));
    let spi = Spi::new(0x1001).unwrap();
    let sa = Mutex::new(Outbound::new(spi, suite(), SeqWidth::Extended64));
    let iv_key: [u8; 16] = rand::random();
    let core = || {
        let mut iv = EncryptedCounterIv(Aes128Cbc::new(&iv_key));
        let mut numbers = sa.lock().unwrap().reserve(256).unwrap();
        let (suite, mut bytes) = (suite(), [0; PAYLOAD + 200]);
        count(|| {
            let seq = numbers.next().unwrap_or_else(|| {
                numbers = sa.lock().unwrap().reserve(256).unwrap();
                numbers.next().unwrap()
            });
            let (width, next_header, padding) = (SeqWidth::Extended64, IpProto::IPV4, Padding::MINIMAL);
            let mut octets = [0; 16];
            iv.fill(seq, &mut octets);
            let mut packet = PacketBuf::with_headroom(&mut bytes, 100, PAYLOAD).unwrap();
            seal_with(&suite, &SealParams { spi, seq, width, next_header, padding }, &octets, &mut packet).unwrap();
        })
    };
    thread::scope(|scope| {
        let works: Vec<_> = (0..cores).map(|_| scope.spawn(core)).collect();
        works.into_iter().map(|work| work.join().unwrap()).sum()
    })
}

/// Creates the source of IVs of one SA: the sequence number, encrypted under a random key (RFC 3602 section 2.1).
fn ivs() -> EncryptedCounterIv<Aes128Cbc> {
    EncryptedCounterIv(Aes128Cbc::new(&rand::random()))
}

/// Repeats `step` for the duration of the measurement; returns the number of steps.
fn count(mut step: impl FnMut()) -> u64 {
    let (start, mut steps) = (Instant::now(), 0);
    while start.elapsed() < MEASUREMENT {
        for _ in 0..64 {
            step();
        }
        steps += 64;
    }
    steps
}
