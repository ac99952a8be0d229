//! Overhead of sealing and largest payload, compared with brute force.

mod common;

use common::*;
use esp_core::{Overhead, Padding, largest_payload, overhead};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, Layout};
use ipsec_packet::{IpProto, SeqWidth, Tunnel, UDP_HEADER, tcp_mss};

const ROOM: usize = 9000;

/// Paddings with their parameters: boundary, minimum number of octets, TFC length.
const PADDINGS: [(Padding, usize, usize, usize); 12] = [
    (Padding::MINIMAL, 1, 0, 0),
    (Padding::MINIMAL.to_boundary(0), 1, 0, 0),
    (Padding::MINIMAL.to_boundary(16), 16, 0, 0),
    (Padding::MINIMAL.to_boundary(33), 64, 0, 0), // the next power of two
    (Padding::MINIMAL.to_boundary(64), 64, 0, 0),
    (Padding::MINIMAL.to_boundary(128), 128, 0, 0),
    (Padding::MINIMAL.to_boundary(255), 128, 0, 0), // the largest boundary
    (Padding::MINIMAL.at_least(1), 1, 1, 0),
    (Padding::MINIMAL.at_least(100), 1, 100, 0),
    (Padding::MINIMAL.at_least(255), 1, 255, 0),
    (Padding::MINIMAL.tfc_to(1400), 1, 0, 1400),
    (Padding::MINIMAL.to_boundary(128).at_least(200).tfc_to(1400), 128, 200, 1400),
];

/// Returns the pad length: the smallest one from the minimum on that reaches the boundary, or, as the field ends at
/// 255, the largest one that does.
fn naive_pad(payload: usize, align: usize, at_least: usize) -> usize {
    let fits = |pad: &usize| (payload + pad + 2).is_multiple_of(align);
    (at_least..=255).find(fits).or_else(|| (0..=255).rev().find(fits)).unwrap()
}

fn naive_overhead(layout: Layout, boundary: usize, at_least: usize, tfc_to: usize, payload: usize) -> Overhead {
    let tfc = tfc_to.max(payload) - payload;
    let pad = naive_pad(payload + tfc, boundary.max(layout.align()), at_least);
    Overhead { front: 4 + 4 + layout.iv_len(), back: tfc + pad + 1 + 1 + layout.icv_len() }
}

#[test]
fn overhead_and_largest_payload_agree_with_brute_force() {
    for choice in one_per_layout() {
        let layout = choice.layout();
        for (padding, boundary, at_least, tfc_to) in PADDINGS {
            let mut largest = vec![None; ROOM + 1]; // by size of the sealed packet
            for payload in 0..=ROOM {
                let expected = naive_overhead(layout, boundary, at_least, tfc_to, payload);
                let found = overhead(layout, padding, payload);
                assert_eq!(found, expected, "{}: {padding:?}, {payload} octets", choice.name());
                if let Some(slot) = largest.get_mut(payload + expected.total()) {
                    *slot = Some(payload);
                }
            }
            let mut best = None;
            for (room, fits) in largest.into_iter().enumerate() {
                best = best.max(fits);
                let found = largest_payload(layout, padding, room);
                assert_eq!(found, best, "{}: {padding:?}, space for {room} octets", choice.name());
            }
        }
    }
}

//= RFC 4303 2.7/1, 2.7/4
//# SHOULD: octets can be added between payload and padding to hide lengths
//# SHOULD: TFC padding can be controlled for each SA
#[test]
fn sealed_length_is_payload_plus_overhead() {
    for choice in one_per_layout() {
        for (padding, boundary, at_least, tfc_to) in PADDINGS {
            let mut tx = sender_at(&choice, SeqWidth::Bits32, 1);
            tx.set_padding(padding);
            for payload in (0..40).chain([255, 256, 1399, 1400, 1401]) {
                let expected = naive_overhead(choice.layout(), boundary, at_least, tfc_to, payload);
                assert_eq!(tx.overhead(payload), expected);
                let packet = sealed(&mut tx, &vec![7; payload], IpProto::IPV4);
                assert_eq!(packet.len(), payload + expected.total(), "{}: {padding:?}, {payload}", choice.name());
                assert!(tx.largest_payload(packet.len()).is_some_and(|largest| largest >= payload));
            }
        }
    }
}

#[test]
fn suite_layouts_match_the_registry() {
    for choice in all_choices() {
        let (row, layout) = (choice.cipher.row().unwrap(), choice.layout());
        let icv = row.icv + choice.integrity.row().unwrap().icv;
        assert_eq!((layout.iv_len(), layout.icv_len()), (row.iv, icv), "{}", choice.name());
        assert!(layout.align().is_power_of_two() && layout.align() >= 4);
    }
    assert!(one_per_layout().len() >= 15, "{} layouts", one_per_layout().len());
}

/// The rows are: suite, MTU, UDP encapsulation, largest inner packet and its TCP MSS, calculated by hand.
#[test]
fn ipv4_tunnel_leaves_the_calculated_payload_and_mss() {
    let tunnel = Tunnel::v4([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    let cbc = |key, integrity| Choice::new(CipherAlgorithm::AesCbc, key, integrity);
    for (choice, mtu, udp, inner, mss) in [
        (cbc(16, IntegrityAlgorithm::HmacSha1_96), 1500, 0, 1438, 1398),
        (cbc(32, IntegrityAlgorithm::HmacSha2_256_128), 1500, 0, 1438, 1398),
        (cbc(16, IntegrityAlgorithm::HmacSha1_96), 1500, UDP_HEADER, 1422, 1382),
        (Choice::new(CipherAlgorithm::TripleDesCbc, 24, IntegrityAlgorithm::HmacMd5_96), 1500, 0, 1446, 1406),
        (gcm(), 1500, 0, 1446, 1406),
        (gcm(), 1500, UDP_HEADER, 1438, 1398),
        (gcm(), 9000, 0, 8946, 8906),
        (null_hmac(), 1280, 0, 1234, 1194),
    ] {
        let room = mtu - tunnel.overhead() - udp;
        let mut tx = sender_at(&choice, SeqWidth::Bits32, 1);
        assert_eq!(tx.largest_payload(room), Some(inner), "{} in {mtu}", choice.name());
        assert_eq!((tcp_mss(inner, 4), tcp_mss(inner, 6)), (mss, mss - 20));
        let fits = |tx: &mut _, payload| sealed(tx, &vec![7; payload], IpProto::IPV4).len() <= room;
        assert!(fits(&mut tx, inner) && !fits(&mut tx, inner + 1), "{} in {mtu}", choice.name());
    }
}

#[test]
fn size_arithmetic_saturates_at_its_limits() {
    let layout = gcm().layout();
    assert_eq!(largest_payload(layout, Padding::MINIMAL, 0), None);
    for payload in [usize::MAX, usize::MAX - 1, usize::MAX - 300] {
        let added = overhead(layout, Padding::MINIMAL.at_least(255).tfc_to(usize::MAX), payload);
        assert!(payload.saturating_add(added.total()) == usize::MAX, "{payload}");
    }
    // Space beyond a packet of 65535 octets is not used: sealing refuses larger packets.
    let largest = largest_payload(layout, Padding::MINIMAL, usize::MAX);
    assert_eq!(largest, largest_payload(layout, Padding::MINIMAL, 65535));
    let total = |payload| payload + overhead(layout, Padding::MINIMAL, payload).total();
    assert!(largest.is_some_and(|payload| total(payload) <= 65535 && total(payload + 1) > 65535), "{largest:?}");
    assert_eq!(largest_payload(layout, Padding::MINIMAL.tfc_to(usize::MAX), usize::MAX), None);
}
