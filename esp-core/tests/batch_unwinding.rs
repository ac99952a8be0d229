//! An IV source that panics within a batch leaves no cleartext packet that is marked as sealed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use esp_core::{Inbound, Outbound, SealSlot};
use ipsec_crypto::{AnySuite, CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};

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
