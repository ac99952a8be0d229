use std::sync::LazyLock;

use arbitrary::Unstructured;
use esp_core::{
    Inbound, OpenError, OpenSlot, Outbound, PadCheck, Padding, SealParams, SealSlot, null_esp_heuristic, open_batch,
    open_with, peek, seal_batch, seal_with,
};
use ipsec_crypto::{
    Aes128Cbc, AnySuite, CipherAlgorithm as C, CipherRow, EncryptThenMac, EspParts, HmacSha1_96,
    IntegrityAlgorithm as I, Suite,
};
use ipsec_packet::{AntiReplay, IpProto, PacketBuf, Seq, SeqWidth, Spi};

/// All ciphers with all MACs, and all AEADs, with each key length (if there are many, the default): octets of the
/// cipher key, salt included, and of the MAC key.
static SUITES: LazyLock<Vec<(C, usize, I, usize)>> = LazyLock::new(|| {
    let keys = |row: &CipherRow| match row.keys.step {
        8 => (row.keys.min..=row.keys.max).step_by(8).collect(),
        _ => vec![row.default_key],
    };
    let macs = |row: &CipherRow| match row.icv {
        0 => I::ALL.iter().filter(|mac| !matches!(mac.algorithm, I::None | I::AesGmac)).collect(),
        _ => I::ALL.iter().filter(|mac| mac.algorithm == I::None).collect::<Vec<_>>(),
    };
    let with_macs =
        |(row, key)| macs(row).into_iter().map(move |mac| (row.algorithm, key, mac.algorithm, mac.default_key));
    let ciphers = C::ALL.iter().flat_map(|row| keys(row).into_iter().map(move |key| (row, key)));
    ciphers.flat_map(with_macs).collect()
});

/// Key material with three distinct keys for 3DES, and no weak key of DES.
const KEY: [u8; 67] = {
    let mut key = [0; 67];
    let mut n = 0;
    while n < key.len() {
        key[n] = (n as u8).wrapping_mul(37).wrapping_add(11);
        n += 1;
    }
    key
};

fn suite(choice: u8) -> AnySuite {
    rekeyed(choice, 0)
}

/// Returns a suite whose keys begin at octet `nth` of `KEY`.
fn rekeyed(choice: u8, nth: usize) -> AnySuite {
    let (cipher, octets, mac, mac_octets) = SUITES[usize::from(choice) % SUITES.len()];
    let suite = AnySuite::from_slices(cipher, &KEY[nth..nth + octets], mac, &KEY[nth..nth + mac_octets]);
    suite.unwrap_or_else(|error| panic!("{cipher} with {mac}: {error}"))
}

fn checks(choice: u8) -> (SeqWidth, PadCheck) {
    let width = if choice & 1 == 0 { SeqWidth::Bits32 } else { SeqWidth::Extended64 };
    (width, [PadCheck::Full, PadCheck::LastByte, PadCheck::LengthOnly, PadCheck::Full][usize::from(choice >> 1 & 3)])
}

pub fn open(octets: &[u8]) {
    let [choice, how, packet @ ..] = octets else { return };
    let suite = suite(*choice);
    let _ = (peek(packet), null_esp_heuristic(packet));
    let (width, check) = checks(*how);
    let Ok(spi) = Spi::reserved(packet.first_chunk().map_or(1, |spi| u32::from_be_bytes(*spi)).max(1)) else { return };
    let mut sa = Inbound::new(spi, suite, width);
    sa.set_pad_check(check);
    let mut bytes = packet.to_vec();
    let mut buffer = PacketBuf::received(&mut bytes);
    if sa.open(&mut buffer).is_err() {
        assert_eq!(buffer.data(), packet, "refused packet was modified");
        assert_eq!(sa.window().top(), Seq::new(0), "anti-replay window was advanced by a refused packet");
    } else {
        panic!("packet without a valid ICV was accepted");
    }
}

/// Opens an authenticated packet whose plaintext, trailer included, is arbitrary.
pub fn hostile(octets: &[u8]) {
    let [choice, how, body @ ..] = octets else { return };
    let suite = suite(*choice);
    let ((width, check), layout) = (checks(*how), suite.layout());
    let length = body.len() - body.len() % layout.align();
    let front = 8 + layout.iv_len();
    let mut packet = vec![0; front + length + layout.icv_len()];
    packet[..8].copy_from_slice(&[0, 0, 0x10, 1, 0, 0, 0, 1]);
    packet[front..front + length].copy_from_slice(&body[..length]);
    let high = (width == SeqWidth::Extended64).then_some([0; 4]);
    match EspParts::split(layout, &mut packet, high) {
        Ok(mut parts) => suite.seal(&mut parts),
        Err(_) => return,
    }
    let sealed = packet.clone();
    let mut buffer = PacketBuf::received(&mut packet);
    match open_with(&suite, Seq::new(1), width, check, &mut buffer) {
        Ok(opened) => {
            let payload = &body[..length - 2 - usize::from(opened.pad_len)];
            assert_eq!(buffer.data(), payload);
            let padding = &body[payload.len()..length - 2];
            match check {
                PadCheck::Full => assert!((1..).zip(padding).all(|(n, octet)| n == *octet), "{padding:?}"),
                PadCheck::LastByte => assert!(padding.last().is_none_or(|last| *last == opened.pad_len), "{padding:?}"),
                _ => {}
            }
            assert_eq!(opened.next_header.0, body[length - 1]);
        }
        Err(OpenError::InvalidPadLength { .. } | OpenError::InvalidPadding) => {
            let wiped = &buffer.data()[front..front + length];
            assert!(wiped.iter().all(|octet| *octet == 0), "plaintext of a refused packet is not wiped");
        }
        Err(_) => assert_eq!(buffer.data(), sealed),
    }
}

pub fn suites(octets: &[u8]) {
    let mut choices = Unstructured::new(octets);
    let (Ok(seq), Ok(iv), Ok(next)) =
        (choices.arbitrary::<u32>(), choices.arbitrary::<[u8; 16]>(), choices.arbitrary())
    else {
        return;
    };
    let payload = choices.take_rest();
    let (cipher, mac): ([u8; 16], [u8; 20]) = ([7; 16], [9; 20]);
    let typed = EncryptThenMac::new(Aes128Cbc::new(&cipher), HmacSha1_96::new(&mac));
    let Ok(any) = AnySuite::from_slices(C::AesCbc, &cipher, I::HmacSha1_96, &mac) else { return };
    let Ok(spi) = Spi::new(0x1001) else { return };
    let envelope = SealParams {
        spi,
        seq: Seq::new(seq.into()),
        width: SeqWidth::Bits32,
        next_header: IpProto(next),
        padding: Padding::MINIMAL,
    };
    let buffer = || {
        let mut bytes = vec![0; 64 + payload.len() + 64];
        bytes[64..64 + payload.len()].copy_from_slice(payload);
        bytes
    };
    let (mut one, mut two) = (buffer(), buffer());
    let (Ok(mut one), Ok(mut two)) =
        (PacketBuf::with_headroom(&mut one, 64, payload.len()), PacketBuf::with_headroom(&mut two, 64, payload.len()))
    else {
        return;
    };
    let sealed = (seal_with(&typed, &envelope, &iv, &mut one), seal_with(&any, &envelope, &iv, &mut two));
    assert_eq!((sealed.0, one.data()), (sealed.1, two.data()));
    let opened = (
        open_with(&any, envelope.seq, envelope.width, PadCheck::Full, &mut one),
        open_with(&typed, envelope.seq, envelope.width, PadCheck::Full, &mut two),
    );
    assert_eq!((opened.0.is_ok(), one.data()), (opened.1.is_ok(), two.data()));
    assert!(sealed.0.is_err() || one.data() == payload, "opened payload differs from the sealed one");
}

/// Compares a batch with a loop over four SAs; the octets choose SA, length and headroom of each payload.
pub fn batch(octets: &[u8]) {
    let [choice, how, ahead, rest @ ..] = octets else { return };
    let (Ok(spi), (width, check)) = (Spi::new(0x1001), checks(*how)) else { return };
    // Two SAs of one suite, one of another suite, and one of a suite with interleaved batches.
    let aes_sha1 =
        SUITES.iter().position(|suite| *suite == (C::AesCbc, 16, I::HmacSha1_96, 20)).expect("suite is in the table")
            as u8;
    let of = [(*choice, 0), (*choice, 1), (choice.wrapping_add(7), 2), (aes_sha1, 3)];
    // The counters begin near the last sequence number, or at a low one.
    let mut state = [1, b'C', if width == SeqWidth::Bits32 { 32 } else { 64 }, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, *ahead];
    if how & 8 == 0 {
        state[8..11].fill(0);
    }
    let senders = || {
        of.map(|(choice, keys)| {
            let mut sender = Outbound::new(spi, rekeyed(choice, keys), width);
            assert_eq!(sender.import(&state), Ok(()));
            sender
        })
    };
    let (mut loops, mut batches) = (senders(), senders());

    let packets = || rest.chunks_exact(2).take(80).map(|pair| [pair[0], pair[1]]);
    let headroom = |high: u8| if high >> 4 == 15 { 4 } else { 40 };
    let sa = |high: u8| usize::from(high >> 3 & 3);
    let buffer = |[high, low]: [u8; 2]| {
        let payload = usize::from(u16::from_be_bytes([high & 7, low]));
        (payload, vec![payload as u8; payload + headroom(high) + 300])
    };
    let mut one_by_one: Vec<_> = packets().map(buffer).collect();
    let mut together = one_by_one.clone();
    let iv = |sa: usize, seq: Seq, iv: &mut [u8]| iv.fill((seq.get() as u8) ^ (sa as u8) << 6);
    let buffers = together.iter_mut().zip(packets()).filter_map(|((payload, bytes), [high, _])| {
        let packet = PacketBuf::with_headroom(bytes, headroom(high), *payload).ok()?;
        Some(SealSlot::new(packet, IpProto::IPV4).of(sa(high)))
    });
    let mut slots: Vec<_> = buffers.collect();
    let sealed = seal_batch(&mut batches, &mut slots, iv);
    assert_eq!(sealed, slots.iter().filter(|slot| matches!(slot.outcome, Some(Ok(_)))).count());
    for (((payload, bytes), [high, _]), slot) in one_by_one.iter_mut().zip(packets()).zip(&slots) {
        let Ok(mut packet) = PacketBuf::with_headroom(bytes, headroom(high), *payload) else { return };
        let iv = &mut |seq: Seq, octets: &mut [u8]| iv(slot.sa, seq, octets);
        let outcome = loops[slot.sa].seal(&mut packet, IpProto::IPV4, iv);
        assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()));
    }
    assert!(loops.iter().zip(&batches).all(|(one, many)| one.counter().peek() == many.counter().peek()));

    // All packets are received, one of them twice.
    let mut received: Vec<_> = slots.iter().map(|slot| (slot.sa, slot.packet.data().to_vec())).collect();
    received.extend(received.get(usize::from(*ahead) % 8).cloned());
    let mut copies = received.clone();
    let receivers = || {
        of.map(|(choice, keys)| {
            let mut receiver = Inbound::new(spi, rekeyed(choice, keys), width);
            receiver.set_pad_check(check);
            receiver
        })
    };
    let (mut loops, mut batches): ([Inbound<_>; 4], [Inbound<_>; 4]) = (receivers(), receivers());
    let each = copies.iter_mut().map(|(sa, bytes)| OpenSlot::new(PacketBuf::received(bytes)).of(*sa));
    let mut slots: Vec<_> = each.collect();
    open_batch(&mut batches, &mut slots);
    for ((sa, bytes), slot) in received.iter_mut().zip(&slots) {
        let mut packet = PacketBuf::received(bytes);
        let outcome = loops[*sa].open(&mut packet);
        assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()));
    }
    assert!(loops.iter().zip(&batches).all(|(one, many)| one.window().top() == many.window().top()));
}

#[cfg(test)]
#[test]
fn every_suite_of_the_fuzz_input_is_valid() {
    assert_eq!(
        SUITES.len(),
        11 * 9 + 9 + 9 + 1 + 3,
        "eleven ciphers with nine MACs; GCM, CCM, ChaCha20-Poly1305, GMAC"
    );
    assert!(SUITES.len() <= 256);
    for choice in 0..=255 {
        (0..4).for_each(|nth| drop(rekeyed(choice, nth)));
    }
}
