//! Engines of several cores that share policies and one outbound SA, without a lock: `cargo run --release
//! -p ipsec-engine --features shards --example cores`. The output is the number of packets that all cores protect,
//! compared with one core.
#![allow(clippy::cast_precision_loss, clippy::disallowed_methods)]

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use esp_core::EncryptedCounterIv;
use ipsec_config::setkey::{LoadOptions, Statement, Statements};
use ipsec_crypto::Aes128Cbc;
use ipsec_engine::{
    AnyAlgorithms, Capacity, Direction, HeapEngine, HeapPolicies, OutboundAction, OutboundSlot, Settings, Shard,
    SharedSa,
};
use ipsec_packet::{IpProto, Ipv4Header, PacketBuf};
use zerocopy::IntoBytes;

/// Duration of each measurement.
const MEASUREMENT: Duration = Duration::from_secs(2);
/// Length of the packets, which are sent in batches of 32.
const LENGTH: usize = 1408;

const SA: &str = "add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -esn -E aes-cbc 0x000102030405060708090a0b0c0d0e0f
    -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;";
const POLICY: &str = "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;";

fn main() {
    let cores = thread::available_parallelism().map_or(1, usize::from) as u16;
    let (alone, together) = (protect(1), protect(cores));
    println!("{alone} packets on 1 core, {together} on {cores}: {:.2} times", together as f64 / alone as f64);
}

/// Returns the number of packets that this number of cores protect, each with its own engine.
fn protect(cores: u16) -> u64 {
    let Ok(Some(Statement::SpdAdd(policy))) = Statements::of(POLICY).next() else { unreachable!() };
    let mut policies = HeapPolicies::with_capacity(16);
    policies.add_policy(policy.policy().unwrap()).unwrap();
    let policies = Arc::new(policies);
    let Ok(Some(Statement::Add(add))) = Statements::of(SA).next() else { unreachable!() };
    let params = add.params(Direction::Outbound, None, &LoadOptions::RFC).unwrap();
    let sa = SharedSa::new(params, NonZero::new(256).unwrap()).unwrap();
    let (policies, sa) = (&policies, &sa);
    thread::scope(|scope| {
        let shards = (0..cores).map(|index| Shard::new(index, cores).unwrap());
        let all: Vec<_> = shards.map(|shard| scope.spawn(move || engine(shard, Arc::clone(policies), sa))).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    })
}

/// Returns the number of packets that the engine of one core protects.
fn engine(shard: Shard, policies: Arc<HeapPolicies>, sa: &SharedSa) -> u64 {
    let now = ipsec_packet::Instant::from_secs(1);
    let capacity = Capacity { sas: 16, policies: 0, flows: 64 };
    let mut engine = HeapEngine::<AnyAlgorithms>::of_shard(shard, Settings::STRICT, capacity, None, None);
    engine.set_policies(policies);
    engine.install_shared(sa, now).unwrap();
    // The IV of a packet is its sequence number, encrypted under a random key (RFC 3602 section 2.1).
    let mut iv = EncryptedCounterIv(Aes128Cbc::new(&rand::random()));
    let mut header = Ipv4Header::new([10, 1, 0, 1].into(), [10, 2, 0, 1].into(), IpProto::UDP, 64);
    header.set_total_length(LENGTH as u16);
    header.set_identification(1);
    header.set_checksum();
    let mut buffers = vec![[0; LENGTH + 200]; 32];
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < MEASUREMENT {
        buffers.iter_mut().for_each(|bytes| bytes[100..120].copy_from_slice(header.as_bytes()));
        let slots = buffers.iter_mut().map(|bytes| PacketBuf::with_headroom(bytes, 100, LENGTH).unwrap());
        let mut slots: Vec<_> = slots.map(OutboundSlot::new).collect();
        engine.outbound_batch(&mut slots, now, &mut iv);
        sent += slots.iter().filter(|slot| slot.action == Some(OutboundAction::Send)).count() as u64;
    }
    sent
}
