//! Two engines of one configuration, one for single packets and one for batches, which must not differ.
#![allow(dead_code)] // each test binary uses a part of this module

use ipsec_engine::{InboundSlot, OutboundAction, OutboundSlot};
use ipsec_packet::{IpProto, PacketBuf, Seq};

use super::gateway::{Gateway, HEADROOM, ip, ipv4, tcp, udp};

pub const A: &str = "192.0.2.1";
pub const B: &str = "198.51.100.1";
const A6: &str = "2001:db8:a::1";
const B6: &str = "2001:db8:b::1";

const CIPHER: &str = "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f";
const MAC: &str = "-A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";
const KEYS_GCM: &str = "-E aes-gcm-16 0x000102030405060708090a0b0c0d0e0f10111213";
const KEYS_3DES: &str =
    "-E 3des-cbc 0x0102030405060708a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8 -A hmac-md5 0x000102030405060708090a0b0c0d0e0f";

/// Returns the SAs and the policies of both gateways: tunnels and transport mode of several suites, bundles, UDP
/// encapsulation, compression, SAs of few packets, and a policy without an SA.
pub fn configuration() -> (String, String) {
    let tunnel = |spi: u32, suite: &str, lifetimes: &str| {
        format!("add {A} {B} esp {spi:#x} -m tunnel -r 32 -u {spi} {lifetimes} {suite};\n")
    };
    let mut sas = String::new();
    sas += &format!("add {A6} {B6} esp 0x2001 -m transport -r 8 {CIPHER} {MAC};\n");
    sas += &format!("add {A6} {B6} ah 0x2002 -m transport -r 8 {MAC};\n");
    sas += &format!("add {A} {B} ipcomp 0x2003 -m transport -C deflate -R;\n");
    sas += &format!("add {A} {B} esp 0x2004 -m transport -r 8 -u 8196 {CIPHER} {MAC};\n");
    let cbc = format!("{CIPHER} {MAC}");
    sas += &tunnel(0x1001, &cbc, "");
    sas += &tunnel(0x1002, KEYS_GCM, "");
    sas += &tunnel(0x1003, KEYS_3DES, "");
    sas += &tunnel(0x1004, &cbc, "-bs 500 -bh 900");
    let policy = |from: &str, to: &str, upper: &str, direction: &str, action: &str| {
        format!("spdadd {from} {to} {upper} -P {direction} {action};\n")
    };
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

/// Returns two gateways with this configuration, one for single packets and one for batches.
pub fn gateways(text: &str, [v4, v6]: [&str; 2]) -> [Gateway; 2] {
    [(); 2].map(|()| Gateway::new(text, &format!("{v4} {v6}")))
}

/// Returns the sending and the receiving gateways.
pub fn pairs() -> ([Gateway; 2], [Gateway; 2]) {
    let (sender, receiver) = configuration();
    (gateways(&sender, [A, A6]), gateways(&receiver, [B, B6]))
}

/// Returns a packet of one of twelve kinds.
pub fn packet(kind: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    match kind % 12 {
        0 => udp(A6, B6, 1, port, payload),
        1 => udp(A, B, 1, port, payload),
        2 => tcp(A, B, 1, port, payload),
        3 => udp("10.3.0.1", "10.4.0.1", 1, port, payload),
        4 => vec![0x45; 7],
        5 => ip(
            "10.1.0.1",
            "10.2.1.1",
            IpProto::ICMP,
            &[&[3, 1, 0, 0, 0, 0, 0, 0][..], &ipv4("10.2.2.1", "10.1.0.1", IpProto::UDP, payload)].concat(),
        ),
        n => udp("10.1.0.1", &format!("10.2.{}.1", if n == 11 { 9 } else { n - 5 }), 1, port, payload),
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
    let events: Vec<_> = std::iter::from_fn(|| gateway.engine.poll_event()).collect();
    let audits: Vec<_> = std::iter::from_fn(|| gateway.engine.poll_audit()).collect();
    format!("{sas:?} {counters:?} {audits:?} {events:?}")
}

pub fn buffer(packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xee; HEADROOM + packet.len() + HEADROOM + 2048];
    bytes[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    bytes
}

pub fn iv(counter: &mut u64) -> impl FnMut(Seq, &mut [u8]) {
    |seq: Seq, iv: &mut [u8]| {
        *counter += 1;
        iv.iter_mut().zip((*counter ^ seq.get() << 32).to_be_bytes()).for_each(|(to, from)| *to = from);
    }
}

/// Sends packets one by one with the first engine and as a batch with the second; returns those on the wire.
pub fn send(gateways: &mut [Gateway; 2], ivs: &mut [u64; 2], packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let [iv_single, iv_batch] = ivs;
    let results = compare(
        gateways,
        packets,
        |single, packet| single.engine.outbound(packet, single.now, &mut iv(iv_single)),
        |batch, packets| {
            let mut slots: Vec<_> = packets.into_iter().map(OutboundSlot::new).collect();
            batch.engine.outbound_batch(&mut slots, batch.now, &mut iv(iv_batch));
            slots.into_iter().map(|slot| (slot.action, slot.packet.data().to_vec())).collect()
        },
    );
    let sent = results.into_iter().filter(|(action, _)| matches!(action, OutboundAction::Send));
    sent.map(|(_, octets)| octets).collect()
}

/// Receives packets one by one with the first engine and as a batch with the second.
pub fn receive(gateways: &mut [Gateway; 2], wires: &[Vec<u8>]) {
    compare(
        gateways,
        wires,
        |single, packet| single.engine.inbound(packet, single.now),
        |batch, packets| {
            let mut slots: Vec<_> = packets.into_iter().map(InboundSlot::new).collect();
            batch.engine.inbound_batch(&mut slots, batch.now);
            slots.into_iter().map(|slot| (slot.action, slot.packet.data().to_vec())).collect()
        },
    );
}

/// Results of a batch, with the octets of the packets.
type Results<A> = Vec<(Option<A>, Vec<u8>)>;

/// Processes packets one by one and as a batch, asserts that nothing differs, and returns the results.
fn compare<A: PartialEq + std::fmt::Debug>(
    [single, batch]: &mut [Gateway; 2],
    packets: &[Vec<u8>],
    mut one: impl FnMut(&mut Gateway, &mut PacketBuf<'_>) -> A,
    all: impl FnOnce(&mut Gateway, Vec<PacketBuf<'_>>) -> Results<A>,
) -> Vec<(A, Vec<u8>)> {
    let [mut buffers, mut others] = [(); 2].map(|()| packets.iter().map(|packet| buffer(packet)).collect::<Vec<_>>());
    let expected: Vec<_> = in_buffers(&mut buffers, packets)
        .map(|mut packet| {
            let action = one(single, &mut packet);
            (action, packet.data().to_vec())
        })
        .collect();
    let results = all(batch, in_buffers(&mut others, packets).collect());
    assert_eq!(results.len(), expected.len());
    for (n, ((found, octets), (action, expected))) in results.iter().zip(&expected).enumerate() {
        assert_eq!(found.as_ref(), Some(action), "packet {n} of {}", packets.len());
        assert_eq!(octets, expected, "packet {n} of {}: {action:?}", packets.len());
    }
    assert_eq!(buffers, others, "octets beside the packets");
    assert_eq!(state(single), state(batch));
    expected
}

fn in_buffers<'b>(buffers: &'b mut [Vec<u8>], packets: &'b [Vec<u8>]) -> impl Iterator<Item = PacketBuf<'b>> {
    let all = buffers.iter_mut().zip(packets);
    all.map(|(bytes, packet)| PacketBuf::with_headroom(bytes, HEADROOM, packet.len()).unwrap())
}
