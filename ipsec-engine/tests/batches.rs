//! Batches compared with the same packets one by one: packets, results, counters, events and SAs are equal.

mod batch_pair;
mod gateway;

use std::collections::HashSet;

use batch_pair::{A, buffer, configuration, iv, packet};
use gateway::{Gateway, HEADROOM, udp};
use ipsec_engine::{Counter, Direction, OutboundSlot};
use ipsec_packet::{PacketBuf, Seq};
use test_vectors::Random;

const SECRET: &[u8] = b"the quick brown fox jumps over the lazy dog";

fn any_packet(random: &mut Random) -> Vec<u8> {
    let mut below = |n: u64| random.next_u64() % n;
    let (kind, port, repeat) = (below(12), below(3), below(6));
    packet(kind as u8, port as u16, &SECRET.repeat(repeat as usize + 1))
}

#[test]
fn batches_equal_single_packets() {
    let mut tally = HashSet::new();
    for seed in 0..60 {
        let mut random = Random::seeded(seed);
        let (mut out, mut back) = batch_pair::pairs();
        let mut ivs = [0, 0];
        for _ in 0..8 {
            let packets: Vec<Vec<u8>> = (0..random.next_u64() % 71).map(|_| any_packet(&mut random)).collect();
            let mut wires = batch_pair::send(&mut out, &mut ivs, &packets);
            // Replays, other orders and modified packets.
            for _ in 0..random.next_u64() % 8 {
                if wires.is_empty() {
                    break;
                }
                let (from, to) = (random.next_u64() as usize % wires.len(), random.next_u64() as usize % wires.len());
                let mut again = wires[from].clone();
                if random.next_u64().is_multiple_of(2) {
                    let at = random.next_u64() as usize % again.len();
                    again[at] ^= 1 << (random.next_u64() % 8);
                }
                wires.insert(to, again);
            }
            batch_pair::receive(&mut back, &wires);
        }
        tally.extend(back[1].engine.counters().iter().map(|(direction, counter, _)| (direction, counter)));
        tally.extend(out[1].engine.counters().iter().map(|(direction, counter, _)| (direction, counter)));
    }
    for counter in [Counter::Bypassed, Counter::Pending, Counter::Policy, Counter::Malformed, Counter::Compressed] {
        assert!(tally.contains(&(Direction::Outbound, counter)), "no packet was counted as {counter:?}");
    }
    for counter in [Counter::Processed, Counter::EspDuplicate, Counter::EspIcvMismatch, Counter::AhIcvMismatch] {
        assert!(tally.contains(&(Direction::Inbound, counter)), "no packet was counted as {counter:?}");
    }
}

#[test]
fn slots_with_a_result_are_skipped() {
    let (sender, _) = configuration();
    let mut gateway = Gateway::new(&sender, A);
    let packet = udp("10.1.0.1", "10.2.1.1", 1, 2, SECRET);
    let (mut first, mut second) = (buffer(&packet), buffer(&packet));
    let slot = |bytes| OutboundSlot::new(PacketBuf::with_headroom(bytes, HEADROOM, packet.len()).unwrap());
    let mut slots = [slot(&mut first), slot(&mut second)];
    slots[0].action = Some(ipsec_engine::OutboundAction::Bypass);
    gateway.engine.outbound_batch(&mut slots, gateway.now, &mut iv(&mut 0));
    assert_eq!(slots[0].packet.data(), packet);
    assert_eq!(slots[1].action, Some(ipsec_engine::OutboundAction::Send));
    assert_eq!(gateway.engine.counters().get(Direction::Outbound, Counter::Esp), 1);
}

#[test]
fn plaintext_is_wiped_if_the_iv_source_panics() {
    let (sender, _) = configuration();
    let mut gateway = Gateway::new(&sender, A);
    let packet = udp("10.1.0.1", "10.2.3.1", 1, 2, SECRET);
    let mut buffers: Vec<_> = (0..4).map(|_| buffer(&packet)).collect();
    let now = gateway.now;
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let slots = buffers.iter_mut().map(|bytes| PacketBuf::with_headroom(bytes, HEADROOM, packet.len()).unwrap());
        let mut slots: Vec<_> = slots.map(OutboundSlot::new).collect();
        let mut calls = 0;
        gateway.engine.outbound_batch(&mut slots, now, &mut |_: Seq, iv: &mut [u8]| {
            calls += 1;
            assert!(calls < 4, "the source of IVs fails");
            iv.fill(calls);
        });
    }));
    assert!(panic.is_err());
    // The packets of 3DES wait for the others of the batch.
    for bytes in &buffers[..3] {
        assert!(!bytes.windows(4).any(|window| window == [0, 0, 0x10, 0x03]), "packet that waits is not wiped");
    }
}
