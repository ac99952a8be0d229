//! Batches compared with the same packets one by one: packets, results, counters, events and SAs are equal.

mod gateway;
mod gateway_pair;

use std::collections::HashSet;

use gateway::{Gateway, HEADROOM, ip, ipv4, tcp, udp};
use gateway_pair::{A, A6, B, B6, SECRET, ah, esp, events, ipcomp, policy};
use ipsec_engine::{Counter, Direction, InboundSlot, OutboundSlot};
use ipsec_packet::{IpProto, PacketBuf, Seq};
use test_vectors::Random;

const KEYS_GCM: &str = "-E aes-gcm-16 0x000102030405060708090a0b0c0d0e0f10111213";
const KEYS_3DES: &str =
    "-E 3des-cbc 0x0102030405060708a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8 -A hmac-md5 0x000102030405060708090a0b0c0d0e0f";

/// Returns the SAs and the policies of both gateways: tunnels and transport mode of several suites, bundles, UDP
/// encapsulation, compression, SAs of few packets, and a policy without an SA.
fn configuration() -> (String, String) {
    let tunnel = |spi: u32, suite: &str, lifetimes: &str| {
        format!("add {A} {B} esp {spi:#x} -m tunnel -r 32 -u {spi} {lifetimes} {suite};\n")
    };
    let mut sas = String::new();
    sas += &esp(A6, B6, 0x2001, "-m transport");
    sas += &ah(A6, B6, 0x2002, "-m transport");
    sas += &ipcomp(A, B, 0x2003, "-m transport");
    sas += &esp(A, B, 0x2004, "-m transport -u 8196");
    let cbc = gateway_pair::KEYS;
    sas += &tunnel(0x1001, cbc, "");
    sas += &tunnel(0x1002, KEYS_GCM, "");
    sas += &tunnel(0x1003, KEYS_3DES, "");
    sas += &tunnel(0x1004, cbc, "-bs 500 -bh 900");
    let mut policies = [String::new(), String::new()];
    for (text, direction) in policies.iter_mut().zip(["out", "in"]) {
        for n in 1..=5u32 {
            let action = format!("ipsec esp/tunnel/{A}-{B}/unique:{}", 0x1000 + n);
            *text += &policy("10.1.0.0/16", &format!("10.2.{n}.0/24"), "any", direction, &action);
        }
        *text += &policy("10.1.0.0/16", "10.2.9.0/24", "any", direction, "discard");
        *text += &policy(A6, B6, "any", direction, "ipsec esp/transport//require ah/transport//require");
        *text += &policy(A, B, "udp", direction, "ipsec ipcomp/transport//use esp/transport//unique:8196");
    }
    let [out, inward] = policies;
    (format!("{sas}{out}"), format!("{sas}{inward}"))
}

fn packet(random: &mut Random) -> Vec<u8> {
    let below = |random: &mut Random, n: u64| random.next_u64() % n;
    let payload = SECRET.repeat(below(random, 6) as usize + 1);
    let port = below(random, 3) as u16;
    match below(random, 12) {
        0 => udp(A6, B6, 1, port, &payload),
        1 => udp(A, B, 1, port, &payload),
        2 => tcp(A, B, 1, port, &payload),
        3 => udp("10.3.0.1", "10.4.0.1", 1, port, &payload),
        4 => vec![0x45; 7],
        5 => ip(
            "10.1.0.1",
            "10.2.1.1",
            IpProto::ICMP,
            &[&[3, 1, 0, 0, 0, 0, 0, 0][..], &ipv4("10.2.2.1", "10.1.0.1", IpProto::UDP, &payload)].concat(),
        ),
        n => udp("10.1.0.1", &format!("10.2.{}.1", if n == 11 { 9 } else { n - 5 }), 1, port, &payload),
    }
}

/// Returns everything by which two engines could differ.
fn state(gateway: &mut Gateway) -> String {
    let sas: Vec<_> = gateway
        .engine
        .sas()
        .map(|view| (view.key, view.state, *view.usage, view.sa.and_then(|sa| sa.transform().sequence())))
        .collect();
    let counters: Vec<_> = gateway.engine.counters().iter().collect();
    let audits: Vec<_> = std::iter::from_fn(|| gateway.engine.poll_audit()).collect();
    format!("{sas:?} {counters:?} {audits:?} {:?}", events(gateway))
}

fn buffer(packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xee; HEADROOM + packet.len() + HEADROOM + 2048];
    bytes[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    bytes
}

fn iv(counter: &mut u64) -> impl FnMut(Seq, &mut [u8]) {
    |seq: Seq, iv: &mut [u8]| {
        *counter += 1;
        iv.iter_mut().zip((*counter ^ seq.get() << 32).to_be_bytes()).for_each(|(to, from)| *to = from);
    }
}

#[test]
fn batches_equal_single_packets() {
    let (sender, receiver) = configuration();
    let mut tally = HashSet::new();
    for seed in 0..60 {
        let mut random = Random::seeded(seed);
        let mut out = [Gateway::new(&sender, &format!("{A} {A6}")), Gateway::new(&sender, &format!("{A} {A6}"))];
        let mut back = [Gateway::new(&receiver, &format!("{B} {B6}")), Gateway::new(&receiver, &format!("{B} {B6}"))];
        let mut ivs = [0, 0];
        for _ in 0..8 {
            let packets: Vec<Vec<u8>> = (0..random.next_u64() % 71).map(|_| packet(&mut random)).collect();
            let mut wires = one_by_one_and_together(&mut out, &mut ivs, &packets);
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
            received_one_by_one_and_together(&mut back, &wires);
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

/// Sends packets one by one with the first engine and as a batch with the second; returns those on the wire.
fn one_by_one_and_together(
    [single, batch]: &mut [Gateway; 2],
    ivs: &mut [u64; 2],
    packets: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let now = single.now;
    let (mut buffers, mut others): (Vec<_>, Vec<_>) =
        packets.iter().map(|packet| (buffer(packet), buffer(packet))).unzip();
    let [iv_single, iv_batch] = ivs;
    let expected: Vec<_> = buffers
        .iter_mut()
        .zip(packets)
        .map(|(bytes, packet)| {
            let mut packet = PacketBuf::with_headroom(bytes, HEADROOM, packet.len()).unwrap();
            let action = single.engine.outbound(&mut packet, now, &mut iv(iv_single));
            (action, packet.data().to_vec())
        })
        .collect();
    let mut slots: Vec<_> = others
        .iter_mut()
        .zip(packets)
        .map(|(bytes, packet)| OutboundSlot::new(PacketBuf::with_headroom(bytes, HEADROOM, packet.len()).unwrap()))
        .collect();
    batch.engine.outbound_batch(&mut slots, now, &mut iv(iv_batch));
    for (n, (slot, (action, octets))) in slots.iter().zip(&expected).enumerate() {
        assert_eq!(slot.action.as_ref(), Some(action), "packet {n} of {}", packets.len());
        assert_eq!(slot.packet.data(), octets, "packet {n} of {}: {action:?}", packets.len());
    }
    drop(slots);
    assert_eq!(buffers, others, "octets beside the packets");
    assert_eq!(state(single), state(batch));
    expected
        .into_iter()
        .filter(|(action, _)| matches!(action, ipsec_engine::OutboundAction::Send))
        .map(|(_, octets)| octets)
        .collect()
}

fn received_one_by_one_and_together([single, batch]: &mut [Gateway; 2], wires: &[Vec<u8>]) {
    let now = single.now;
    let (mut buffers, mut others): (Vec<_>, Vec<_>) =
        wires.iter().map(|packet| (buffer(packet), buffer(packet))).unzip();
    let expected: Vec<_> = buffers
        .iter_mut()
        .zip(wires)
        .map(|(bytes, wire)| {
            let mut packet = PacketBuf::with_headroom(bytes, HEADROOM, wire.len()).unwrap();
            let action = single.engine.inbound(&mut packet, now);
            (action, packet.data().to_vec())
        })
        .collect();
    let mut slots: Vec<_> = others
        .iter_mut()
        .zip(wires)
        .map(|(bytes, wire)| InboundSlot::new(PacketBuf::with_headroom(bytes, HEADROOM, wire.len()).unwrap()))
        .collect();
    batch.engine.inbound_batch(&mut slots, now);
    for (n, (slot, (action, octets))) in slots.iter().zip(&expected).enumerate() {
        assert_eq!(slot.action.as_ref(), Some(action), "packet {n} of {}", wires.len());
        assert_eq!(slot.packet.data(), octets, "packet {n} of {}: {action:?}", wires.len());
    }
    drop(slots);
    assert_eq!(buffers, others, "octets beside the packets");
    assert_eq!(state(single), state(batch));
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
