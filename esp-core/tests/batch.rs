//! A batch does what a loop does, octet for octet.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use common::*;
use esp_core::{Inbound, OpenError, OpenSlot, Outbound, Resync, SealError, SealSlot};
use ipsec_crypto::{AnySuite, Suite};
use ipsec_packet::{IpProto, PacketBuf, ReplayWindow, Seq, SeqWidth};

/// Payloads of all kinds of lengths in buffers of which every seventh has no room.
fn payloads(count: usize, rng: &mut Rng) -> Vec<Framed> {
    let one = |n: usize| {
        let length = match rng.next() % 4 {
            0 => rng.next() % 40,
            1 => 1408,
            2 => 64,
            _ => rng.next() % 1500,
        };
        let (front, back) = if n % 7 == 3 { (8, 0) } else { (40, 80) };
        Framed::new(&rng.bytes(length as usize), front, back)
    };
    (0..count).map(one).collect()
}

/// The same buffers twice.
fn copies(framed: &[Framed]) -> Vec<Framed> {
    framed.iter().map(|f| Framed { bytes: f.bytes.clone(), front: f.front, len: f.len }).collect()
}

fn slots(framed: &mut [Framed]) -> Vec<SealSlot<'_>> {
    framed.iter_mut().map(|framed| SealSlot::new(framed.packet(), IpProto::IPV4)).collect()
}

fn seal_both(choice: &Choice, count: usize) -> Vec<Vec<u8>> {
    let rng = &mut Rng(count as u64);
    let mut one_by_one = payloads(count, rng);
    let mut together = copies(&one_by_one);
    let (mut loops, _) = pair(choice, SeqWidth::Extended64);
    let (mut batches, _) = pair(choice, SeqWidth::Extended64);
    let mut slots = slots(&mut together);
    let sealed = batches.seal_batch(&mut slots, &mut test_iv);
    assert_eq!(sealed, slots.iter().filter(|slot| matches!(slot.outcome, Some(Ok(_)))).count());
    for (framed, slot) in one_by_one.iter_mut().zip(&slots) {
        let mut packet = framed.packet();
        let outcome = loops.seal(&mut packet, IpProto::IPV4, &mut test_iv);
        assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()), "{}", choice.name());
    }
    assert_eq!(loops.counter().peek(), batches.counter().peek());
    slots.iter().filter(|slot| slot.outcome.unwrap().is_ok()).map(|slot| slot.packet.data().to_vec()).collect()
}

#[test]
fn every_suite_seals_a_batch_as_it_seals_a_loop() {
    for choice in all_choices().iter().chain(&without_integrity()) {
        let sealed = seal_both(choice, 33);
        assert_eq!(sealed.len(), 28, "five had no room");
    }
}

#[test]
fn batches_of_every_size_are_the_same() {
    for count in (0..10).chain([31, 32, 64, 65, 100]) {
        seal_both(&cbc_hmac(), count);
    }
}

#[test]
fn a_batch_opens_as_a_loop_does() {
    for choice in one_per_layout() {
        let mut sealed = seal_both(&choice, 40);
        // A repeated, a forged and a short one.
        sealed.push(sealed[3].clone());
        sealed[5][20] ^= 1;
        sealed.push(vec![0; 7]);
        let mut together = sealed.clone();
        let (_, mut loops) = pair(&choice, SeqWidth::Extended64);
        let (_, mut batches) = pair(&choice, SeqWidth::Extended64);
        let mut slots: Vec<_> = together.iter_mut().map(|bytes| OpenSlot::new(PacketBuf::received(bytes))).collect();
        let opened = batches.open_batch(&mut slots);
        for (bytes, slot) in sealed.iter_mut().zip(&slots) {
            let mut packet = PacketBuf::received(bytes);
            let outcome = loops.open(&mut packet);
            assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()), "{}", choice.name());
        }
        assert_eq!(window_state(loops.window()), window_state(batches.window()));
        let good = |slot: &&OpenSlot<'_>| slot.outcome.unwrap().is_ok();
        assert_eq!(opened, slots.iter().filter(good).count());
        assert_eq!(slots.last().unwrap().outcome, Some(Err(OpenError::TooShort)));
    }
}

#[test]
fn numbers_end_in_the_middle_of_a_batch() {
    let mut sender = sender_at(&cbc_hmac(), SeqWidth::Bits32, u64::from(u32::MAX) - 2);
    let mut framed: Vec<_> = (0..5).map(|_| Framed::new(&[7; 50], 40, 80)).collect();
    let mut slots = slots(&mut framed);
    assert_eq!(sender.seal_batch(&mut slots, &mut test_iv), 3);
    assert_eq!(slots[2].outcome, Some(Ok(Seq::new(u32::MAX.into()))));
    for slot in &slots[3..] {
        assert_eq!(slot.outcome, Some(Err(SealError::SequenceExhausted)));
        assert_eq!(slot.packet.data(), [7; 50]);
    }
}

#[test]
fn what_has_an_outcome_is_left_alone() {
    let (mut sender, mut receiver): (Outbound<AnySuite>, Inbound<AnySuite>) = pair(&cbc_hmac(), SeqWidth::Bits32);
    let mut framed: Vec<_> = (0..3).map(|_| Framed::new(&[7; 50], 40, 80)).collect();
    let mut slots = slots(&mut framed);
    slots[1].outcome = Some(Err(SealError::TooLong(0)));
    assert_eq!(sender.seal_batch(&mut slots, &mut test_iv), 2);
    assert_eq!(slots[1].outcome, Some(Err(SealError::TooLong(0))));
    assert_eq!(slots[1].packet.data(), [7; 50]);
    assert_eq!(slots[2].outcome, Some(Ok(Seq::new(2))));
    assert_eq!(sender.seal_batch(&mut slots, &mut test_iv), 0, "all have one now");

    let mut bytes = slots[0].packet.data().to_vec();
    let mut opens = [OpenSlot::new(PacketBuf::received(&mut bytes))];
    opens[0].outcome = Some(Err(OpenError::Forged));
    assert_eq!(receiver.open_batch(&mut opens), 0);
    assert_eq!(opens[0].outcome, Some(Err(OpenError::Forged)));
    opens[0].outcome = None;
    assert_eq!(receiver.open_batch(&mut opens), 1);
    assert_eq!(opens[0].packet.data(), [7; 50]);
}

#[test]
fn each_number_gets_one_iv_in_order() {
    let (mut sender, _) = pair(&cbc_hmac(), SeqWidth::Bits32);
    let mut framed: Vec<_> = (0..40).map(|_| Framed::new(&[7; 50], 40, 80)).collect();
    let mut asked = Vec::new();
    let mut iv = |seq: Seq, iv: &mut [u8]| {
        asked.push(seq.get());
        test_iv(seq, iv);
    };
    sender.seal_batch(&mut slots(&mut framed), &mut iv);
    assert_eq!(asked, (1..=40).collect::<Vec<u64>>());
}

/// Packets of one sender around the end of the low half of the numbers, out of order, lost, repeated and forged: what a packet is depends on those
/// before it in the same batch.
#[test]
fn windows_move_within_a_batch_as_they_do_in_a_loop() {
    for (round, choice) in one_per_layout().iter().cycle().take(60).enumerate() {
        let rng = &mut Rng(round as u64);
        let (width, first) = match round % 4 {
            0 => (SeqWidth::Extended64, 0xffff_ffa0),
            2 => (SeqWidth::Extended64, (3 << 32) + 5),
            _ => (SeqWidth::Bits32, 1),
        };
        let mut sender = sender_at(choice, width, first);
        let mut sealed: Vec<Vec<u8>> = Vec::new();
        for n in 0..200 {
            let mut framed = Framed::new(&[n; 30], 40, 80);
            let mut packet = framed.packet();
            sender.seal(&mut packet, IpProto::IPV4, &mut test_iv).unwrap();
            sealed.push(packet.data().to_vec());
        }
        let mut wire: Vec<Vec<u8>> = Vec::new();
        while wire.len() < 150 {
            let near = (wire.len() + rng.next() as usize % 90).min(sealed.len() - 1);
            let mut packet = sealed[near].clone();
            if rng.next().is_multiple_of(8) {
                let at = rng.next() as usize % packet.len();
                packet[at] ^= 0x10;
            }
            wire.push(packet);
        }
        // Some receivers have lost three times 2^32 packets, and have to find their place again in the middle of the batch.
        let start = if round % 4 == 2 { 1 } else { first };
        let receiver = || {
            let window = ReplayWindow::<2>::starting_at(Seq::new(start));
            let mut receiver = Inbound::with_window(spi(), choice.suite(), width, window);
            receiver.set_resync(Some(Resync { after: 2, tries: 3 }));
            receiver
        };
        let (mut loops, mut batches) = (receiver(), receiver());
        let mut together = wire.clone();
        let mut slots: Vec<_> = together.iter_mut().map(|bytes| OpenSlot::new(PacketBuf::received(bytes))).collect();
        let opened = batches.open_batch(&mut slots);
        let most = if choice.suite().layout().icv > 0 { 130 } else { 150 };
        assert!((30..=most).contains(&opened), "{opened} of {}", slots.len());
        for (bytes, slot) in wire.iter_mut().zip(&slots) {
            let mut packet = PacketBuf::received(bytes);
            let outcome = loops.open(&mut packet);
            assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()), "{}", choice.name());
        }
        assert_eq!(window_state(loops.window()), window_state(batches.window()));
    }
}
