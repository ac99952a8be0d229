//! Batches give the same octets and outcomes as processing the packets one by one, and an IV source that panics leaves
//! no cleartext packet that is marked as sealed.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::*;
use esp_core::{Inbound, OpenError, OpenSlot, Outbound, Resync, SealError, SealSlot, open_batch, seal_batch};
use ipsec_crypto::{
    Aes128Cbc, Aes256Cbc, AnySuite, CipherAlgorithm, DesCbc, EncryptThenMac, HmacSha1_96, HmacSha2_256_128,
    IntegrityAlgorithm, Suite,
};
use ipsec_packet::{IpProto, PacketBuf, ReplayWindow, Seq, SeqWidth, Spi};

/// Returns payloads of various lengths; every seventh buffer lacks headroom and tailroom.
fn payloads(count: usize, rng: &mut Random) -> Vec<Framed> {
    let one = |n: usize| {
        let length = match rng.next_u64() % 4 {
            0 => rng.next_u64() % 40,
            1 => 1408,
            2 => 64,
            _ => rng.next_u64() % 1500,
        };
        let (front, back) = if n % 7 == 3 { (8, 0) } else { (40, 80) };
        Framed::new(&rng.octets(length as usize), front, back)
    };
    (0..count).map(one).collect()
}

/// Copies the buffers with their position of the payload.
fn copies(framed: &[Framed]) -> Vec<Framed> {
    framed.iter().map(|f| Framed { bytes: f.bytes.clone(), front: f.front, len: f.len }).collect()
}

fn slots(framed: &mut [Framed]) -> Vec<SealSlot<'_>> {
    framed.iter_mut().map(|framed| SealSlot::new(framed.packet(), IpProto::IPV4)).collect()
}

fn seal_batch_and_one_by_one(choice: &Choice, count: usize) -> Vec<Vec<u8>> {
    let rng = &mut Random(count as u64);
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
fn seal_batch_equals_single_seals_in_every_suite() {
    for choice in all_choices().iter().chain(&without_integrity()) {
        let sealed = seal_batch_and_one_by_one(choice, 33);
        assert_eq!(sealed.len(), 28, "five buffers are too small");
    }
}

#[test]
fn seal_batch_equals_single_seals_for_every_batch_size() {
    for count in (0..10).chain([31, 32, 64, 65, 100]) {
        seal_batch_and_one_by_one(&cbc_hmac(), count);
    }
}

#[test]
fn open_batch_equals_single_opens() {
    for choice in one_per_layout() {
        let mut sealed = seal_batch_and_one_by_one(&choice, 40);
        // Adds a replayed packet, a modified one and a short one.
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
fn sequence_numbers_may_be_exhausted_within_a_batch() {
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
fn seal_batch_skips_slots_with_an_outcome() {
    let (mut sender, _): (Outbound<AnySuite>, Inbound<AnySuite>) = pair(&cbc_hmac(), SeqWidth::Bits32);
    let mut framed: Vec<_> = (0..3).map(|_| Framed::new(&[7; 50], 40, 80)).collect();
    let mut slots = slots(&mut framed);
    slots[1].outcome = Some(Err(SealError::TooLong(0)));
    assert_eq!(sender.seal_batch(&mut slots, &mut test_iv), 2);
    assert_eq!(slots[1].outcome, Some(Err(SealError::TooLong(0))));
    assert_eq!(slots[1].packet.data(), [7; 50]);
    assert_eq!(slots[2].outcome, Some(Ok(Seq::new(2))));
    assert_eq!(sender.seal_batch(&mut slots, &mut test_iv), 0, "all slots have an outcome");
}

#[test]
fn open_batch_skips_slots_with_an_outcome() {
    let (mut sender, mut receiver): (Outbound<AnySuite>, Inbound<AnySuite>) = pair(&cbc_hmac(), SeqWidth::Bits32);
    let mut bytes = sealed(&mut sender, &[7; 50], IpProto::IPV4);
    let mut opens = [OpenSlot::new(PacketBuf::received(&mut bytes))];
    opens[0].outcome = Some(Err(OpenError::IcvMismatch));
    assert_eq!(receiver.open_batch(&mut opens), 0);
    assert_eq!(opens[0].outcome, Some(Err(OpenError::IcvMismatch)));
    opens[0].outcome = None;
    assert_eq!(receiver.open_batch(&mut opens), 1);
    assert_eq!(opens[0].packet.data(), [7; 50]);
}

#[test]
fn iv_source_is_called_once_per_sequence_number_in_order() {
    let (mut sender, _) = pair(&cbc_hmac(), SeqWidth::Bits32);
    let mut framed: Vec<_> = (0..40).map(|_| Framed::new(&[7; 50], 40, 80)).collect();
    let mut requested = Vec::new();
    let mut iv = |seq: Seq, iv: &mut [u8]| {
        requested.push(seq.get());
        test_iv(seq, iv);
    };
    sender.seal_batch(&mut slots(&mut framed), &mut iv);
    assert_eq!(requested, (1..=40).collect::<Vec<u64>>());
}

/// Opens packets around a wrap of the low-order 32 bits: reordered, lost, replayed and modified. The outcome of a
/// packet depends on those before it in the same batch.
#[test]
fn replay_window_advances_within_a_batch_as_with_single_opens() {
    for (round, choice) in one_per_layout().iter().cycle().take(60).enumerate() {
        let rng = &mut Random(round as u64);
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
            let near = (wire.len() + rng.next_u64() as usize % 90).min(sealed.len() - 1);
            let mut packet = sealed[near].clone();
            if rng.next_u64().is_multiple_of(8) {
                let at = rng.next_u64() as usize % packet.len();
                packet[at] ^= 0x10;
            }
            wire.push(packet);
        }
        // Some receivers missed three times 2^32 packets and must resynchronize (RFC 4303 appendix A3) within the
        // batch.
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
        let most = if choice.suite().layout().icv_len() > 0 { 130 } else { 150 };
        assert!((30..=most).contains(&opened), "{opened} of {}", slots.len());
        for (bytes, slot) in wire.iter_mut().zip(&slots) {
            let mut packet = PacketBuf::received(bytes);
            let outcome = loops.open(&mut packet);
            assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()), "{}", choice.name());
        }
        assert_eq!(window_state(loops.window()), window_state(batches.window()));
    }
}

/// Fills an IV that is different for each SA and sequence number.
fn iv_of(sa: usize, seq: Seq, iv: &mut [u8]) {
    test_iv(Seq::new(seq.get() + ((sa as u64) << 40)), iv);
}

/// Seals and opens packets of several SAs in random order, as batches and one by one, and compares the results.
fn compare_several_sas<S: Suite>(suites: &[&dyn Fn() -> S], count: usize, seed: u64) {
    let rng = &mut Random(seed);
    let width = |n: usize| if n.is_multiple_of(2) { SeqWidth::Extended64 } else { SeqWidth::Bits32 };
    let senders = || suites.iter().enumerate().map(|(n, suite)| Outbound::new(spi(), suite(), width(n)));
    let (mut loops, mut batches): (Vec<_>, Vec<_>) = (senders().collect(), senders().collect());
    let mut one_by_one = payloads(count, rng);
    let mut together = copies(&one_by_one);
    let of: Vec<usize> = (0..count).map(|_| rng.next_u64() as usize % suites.len()).collect();
    let mut slots = slots(&mut together);
    slots.iter_mut().zip(&of).for_each(|(slot, sa)| slot.sa = *sa);
    let sealed = seal_batch(&mut batches, &mut slots, iv_of);
    assert_eq!(sealed, slots.iter().filter(|slot| matches!(slot.outcome, Some(Ok(_)))).count());
    for ((framed, slot), sa) in one_by_one.iter_mut().zip(&slots).zip(&of) {
        let mut packet = framed.packet();
        let outcome = loops[*sa].seal(&mut packet, IpProto::IPV4, &mut |seq: Seq, iv: &mut [u8]| iv_of(*sa, seq, iv));
        assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()), "SA {sa}");
    }
    assert!(loops.iter().zip(&batches).all(|(one, many)| one.counter().peek() == many.counter().peek()));

    // The receivers get the packets reordered, some of them modified, some of them twice.
    let mut wire: Vec<(usize, Vec<u8>)> = Vec::new();
    for (slot, sa) in slots.iter().zip(&of).filter(|(slot, _)| slot.outcome.unwrap().is_ok()) {
        let mut packet = slot.packet.data().to_vec();
        if rng.next_u64().is_multiple_of(5) {
            wire.push((*sa, packet.clone()));
        }
        if rng.next_u64().is_multiple_of(7) {
            let at = rng.next_u64() as usize % packet.len();
            packet[at] ^= 4;
        }
        wire.insert(rng.next_u64() as usize % (wire.len() + 1), (*sa, packet));
    }
    let receivers = || suites.iter().enumerate().map(|(n, suite)| <Inbound<S>>::new(spi(), suite(), width(n)));
    let (mut loops, mut batches): (Vec<_>, Vec<_>) = (receivers().collect(), receivers().collect());
    let mut copies = wire.clone();
    let received = copies.iter_mut().map(|(sa, bytes)| OpenSlot::new(PacketBuf::received(bytes)).of(*sa));
    let mut slots: Vec<_> = received.collect();
    let opened = open_batch(&mut batches, &mut slots);
    assert_eq!(opened, slots.iter().filter(|slot| matches!(slot.outcome, Some(Ok(_)))).count());
    for ((sa, bytes), slot) in wire.iter_mut().zip(&slots) {
        let mut packet = PacketBuf::received(bytes);
        let outcome = loops[*sa].open(&mut packet);
        assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()), "SA {sa}");
    }
    let windows = loops.iter().zip(&batches);
    assert!(windows.into_iter().all(|(one, many)| window_state(one.window()) == window_state(many.window())));
}

#[test]
fn batch_of_several_sas_of_one_suite_equals_single_packets() {
    let key = |n: u8| EncryptThenMac::new(Aes128Cbc::new(&[n; 16]), HmacSha1_96::new(&[n; 20]));
    let many: Vec<_> = (0..20).map(|n| move || key(n)).collect();
    let many: Vec<&dyn Fn() -> _> = many.iter().map(|suite| suite as _).collect();
    for (seed, sas) in [1, 2, 3, 16, 20].into_iter().cycle().take(40).enumerate() {
        compare_several_sas(&many[..sas], [1, 2, 7, 15, 16, 17, 31, 32, 33, 50, 100][seed % 11], seed as u64);
    }
    let key = |n: u8| EncryptThenMac::new(Aes256Cbc::new(&[n; 32]), HmacSha2_256_128::new(&[n; 32]));
    compare_several_sas(&[&|| key(1), &|| key(2), &|| key(3)], 90, 1);
    let key = |n: u8| EncryptThenMac::new(DesCbc::new(&[n | 0x20; 8]).unwrap(), HmacSha1_96::new(&[n; 20]));
    compare_several_sas(&[&|| key(2), &|| key(4), &|| key(6)], 90, 2);
}

#[test]
fn batch_of_sas_of_mixed_suites_equals_single_packets() {
    let choices: Vec<_> = all_choices().into_iter().chain(without_integrity()).collect();
    for seed in 0..60 {
        let rng = &mut Random(seed);
        let sas: Vec<_> = (0..1 + rng.next_u64() % 12)
            .map(|n| match rng.next_u64() % 3 {
                0 => cbc_hmac().rekeyed(n),
                _ => choices[rng.next_u64() as usize % choices.len()].rekeyed(n),
            })
            .collect();
        let suites: Vec<_> = sas.iter().map(|choice| || choice.suite()).collect();
        let suites: Vec<&dyn Fn() -> AnySuite> = suites.iter().map(|suite| suite as _).collect();
        compare_several_sas(&suites, 5 + (rng.next_u64() % 90) as usize, seed);
    }
}

#[test]
fn slot_with_an_unknown_sa_index_is_refused() {
    let (mut sender, mut receiver) = pair(&cbc_hmac(), SeqWidth::Bits32);
    let mut framed: Vec<_> = (0..2).map(|_| Framed::new(&[7; 50], 40, 80)).collect();
    let mut slots = slots(&mut framed);
    slots[0].sa = 1;
    assert_eq!(sender.seal_batch(&mut slots, &mut test_iv), 1);
    assert_eq!((slots[0].outcome, slots[0].packet.data()), (Some(Err(SealError::NoSa(1))), &[7; 50][..]));
    assert_eq!(slots[1].outcome, Some(Ok(Seq::new(1))));

    let mut bytes = slots[1].packet.data().to_vec();
    let mut slots = [OpenSlot::new(PacketBuf::received(&mut bytes)).of(usize::MAX)];
    assert_eq!(receiver.open_batch(&mut slots), 0);
    assert_eq!(slots[0].outcome, Some(Err(OpenError::NoSa(usize::MAX))));
    (slots[0].sa, slots[0].outcome) = (0, None);
    assert_eq!(receiver.open_batch(&mut slots), 1);
}

#[test]
fn seal_batch_accepts_sas_by_reference() {
    let (mut first, _) = pair(&cbc_hmac(), SeqWidth::Bits32);
    let (mut second, _) = pair(&cbc_hmac().rekeyed(1), SeqWidth::Bits32);
    let mut framed: Vec<_> = (0..4).map(|_| Framed::new(&[7; 50], 40, 80)).collect();
    let mut slots = slots(&mut framed);
    slots[1].sa = 1;
    assert_eq!(seal_batch(&mut [&mut first, &mut second], &mut slots, iv_of), 4);
    assert_eq!((first.counter().peek(), second.counter().peek()), (Ok(Seq::new(4)), Ok(Seq::new(2))));
}

fn suite() -> AnySuite {
    AnySuite::from_slices(CipherAlgorithm::AesCbc, &[1; 16], IntegrityAlgorithm::HmacSha1_96, &[2; 20]).unwrap()
}

#[test]
fn panic_of_the_iv_source_leaves_no_cleartext_marked_as_sealed() {
    let spi = Spi::new(0x1001).unwrap();
    for packets in [1, 2, 20, 32, 33, 40, 70] {
        for fails_at in [1, 2, 20, 32, 33, 34, 64, 65] {
            let mut sa = Outbound::new(spi, suite(), SeqWidth::Bits32);
            let mut buffers = vec![[0x41u8; 512]; packets];
            let slot = |bytes| SealSlot::new(PacketBuf::with_headroom(bytes, 64, 300).unwrap(), IpProto::UDP);
            let mut slots: Vec<SealSlot<'_>> = buffers.iter_mut().map(|buffer| slot(&mut buffer[..])).collect();
            let mut calls = 0;
            let mut iv = |_: Seq, iv: &mut [u8]| {
                calls += 1;
                assert!(calls != fails_at, "no entropy");
                iv.fill(calls as u8);
            };
            let result = catch_unwind(AssertUnwindSafe(|| sa.seal_batch(&mut slots, &mut iv)));
            assert_eq!(result.is_err(), fails_at <= packets);
            let mut receiver = Inbound::new(spi, suite(), SeqWidth::Bits32);
            for (at, slot) in slots.iter_mut().enumerate() {
                let in_clear = slot.packet.data().windows(64).any(|octets| octets == [0x41; 64]);
                match slot.outcome {
                    Some(outcome) => {
                        assert!(!in_clear, "packet {at} of {packets}, failure at {fails_at}");
                        assert!(outcome.is_ok() && receiver.open(&mut slot.packet).is_ok());
                    }
                    // The packet is unmodified, or its header was written and its payload wiped.
                    None => assert!(!in_clear || slot.packet.data() == [0x41; 300], "packet {at} of {packets}"),
                }
            }
        }
    }
}
