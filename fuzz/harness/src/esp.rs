use std::sync::LazyLock;

use arbitrary::Unstructured;
use esp_core::{
    Envelope, Inbound, OpenError, OpenSlot, Outbound, PadCheck, Padding, SealSlot, null_esp_heuristic, open_with, peek,
    seal_with,
};
use ipsec_crypto::{
    Aes128Cbc, AnySuite, CipherAlgorithm as C, CipherRow, EncryptThenMac, HmacSha1_96, IntegrityAlgorithm as I, Parts,
    Suite,
};
use ipsec_packet::{AntiReplay, IpProto, PacketBuf, Seq, SeqWidth, Spi};

/// Every cipher with every MAC that it needs, and every AEAD, with each length of key (of those with many the default): octets of the
/// key, salt included, and of the MAC's.
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

/// 3DES needs three keys that differ, DES one that is not weak.
const KEY: [u8; 64] = {
    let mut key = [0; 64];
    let mut n = 0;
    while n < key.len() {
        key[n] = (n as u8).wrapping_mul(37).wrapping_add(11);
        n += 1;
    }
    key
};

fn suite(choice: u8) -> AnySuite {
    let (cipher, octets, mac, mac_octets) = SUITES[usize::from(choice) % SUITES.len()];
    let suite = AnySuite::from_slices(cipher, &KEY[..octets], mac, &KEY[..mac_octets]);
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
        assert_eq!(buffer.data(), packet, "what is refused is as it was");
        assert_eq!(sa.window().top(), Seq::new(0), "and so is the window");
    } else {
        panic!("nobody sealed it");
    }
}

/// The octets are what is encrypted, trailer included: pad length and next header are the attacker's.
pub fn hostile(octets: &[u8]) {
    let [choice, how, body @ ..] = octets else { return };
    let suite = suite(*choice);
    let ((width, check), layout) = (checks(*how), suite.layout());
    let length = body.len() - body.len() % layout.align.max(1);
    let front = 8 + layout.iv;
    let mut packet = vec![0; front + length + layout.icv];
    packet[..8].copy_from_slice(&[0, 0, 0x10, 1, 0, 0, 0, 1]);
    packet[front..front + length].copy_from_slice(&body[..length]);
    let high = (width == SeqWidth::Extended64).then_some([0; 4]);
    match Parts::split(layout, &mut packet, high) {
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
        Err(OpenError::BadPadLength { .. } | OpenError::BadPadding) => {
            let wiped = &buffer.data()[front..front + length];
            assert!(wiped.iter().all(|octet| *octet == 0), "nothing of it is left");
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
    let envelope = Envelope {
        spi,
        seq: Seq::new(seq.into()),
        width: SeqWidth::Bits32,
        next_header: IpProto(next),
        padding: Padding::MINIMAL,
    };
    let room = || {
        let mut bytes = vec![0; 64 + payload.len() + 64];
        bytes[64..64 + payload.len()].copy_from_slice(payload);
        bytes
    };
    let (mut one, mut two) = (room(), room());
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
    assert!(sealed.0.is_err() || one.data() == payload, "what was sealed comes back");
}

/// A batch and a loop: the octets say how long each payload is, and what is wrong with its room.
pub fn batch(octets: &[u8]) {
    let [choice, how, ahead, rest @ ..] = octets else { return };
    let (suite_of_loop, suite_of_batch) = (suite(*choice), suite(*choice));
    let (Ok(spi), (width, check)) = (Spi::new(0x1001), checks(*how)) else { return };
    // Near the end of the numbers, or not.
    let mut state = [1, b'C', if width == SeqWidth::Bits32 { 32 } else { 64 }, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, *ahead];
    if how & 8 == 0 {
        state[8..11].fill(0);
    }
    let mut loops = Outbound::new(spi, suite_of_loop, width);
    let mut batches = Outbound::new(spi, suite_of_batch, width);
    assert_eq!((loops.import(&state), batches.import(&state)), (Ok(()), Ok(())));

    let lengths = rest.chunks_exact(2).take(80).map(|pair| usize::from(u16::from_be_bytes([pair[0] & 7, pair[1]])));
    let rooms: Vec<_> = rest.chunks_exact(2).map(|pair| if pair[0] >> 4 == 15 { 4 } else { 40 }).collect();
    let mut one_by_one: Vec<Vec<u8>> = lengths.zip(&rooms).map(|(n, room)| vec![n as u8; n + room + 300]).collect();
    let mut together = one_by_one.clone();
    let mut iv = |seq: Seq, iv: &mut [u8]| iv.fill(seq.get() as u8);
    let buffers = together.iter_mut().zip(&rooms);
    let packets = buffers.filter_map(|(bytes, room)| {
        let length = bytes.len() - room - 300;
        PacketBuf::with_headroom(bytes, *room, length).ok()
    });
    let mut slots: Vec<_> = packets.map(|packet| SealSlot::new(packet, IpProto::IPV4)).collect();
    let sealed = batches.seal_batch(&mut slots, &mut iv);
    assert_eq!(sealed, slots.iter().filter(|slot| matches!(slot.outcome, Some(Ok(_)))).count());
    for ((bytes, room), slot) in one_by_one.iter_mut().zip(&rooms).zip(&slots) {
        let length = bytes.len() - room - 300;
        let Ok(mut packet) = PacketBuf::with_headroom(bytes, *room, length) else { return };
        let outcome = loops.seal(&mut packet, IpProto::IPV4, &mut iv);
        assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()));
    }
    assert_eq!(loops.counter().peek(), batches.counter().peek());

    // And back, with one of them twice.
    let mut received: Vec<Vec<u8>> = slots.iter().map(|slot| slot.packet.data().to_vec()).collect();
    received.extend(received.get(usize::from(*ahead) % 8).cloned());
    let mut copies = received.clone();
    let (suite_of_loop, suite_of_batch) = (suite(*choice), suite(*choice));
    let (mut loops, mut batches) = (Inbound::new(spi, suite_of_loop, width), Inbound::new(spi, suite_of_batch, width));
    loops.set_pad_check(check);
    batches.set_pad_check(check);
    let mut slots: Vec<_> = copies.iter_mut().map(|bytes| OpenSlot::new(PacketBuf::received(bytes))).collect();
    batches.open_batch(&mut slots);
    for (bytes, slot) in received.iter_mut().zip(&slots) {
        let mut packet = PacketBuf::received(bytes);
        let outcome = loops.open(&mut packet);
        assert_eq!((Some(outcome), packet.data()), (slot.outcome, slot.packet.data()));
    }
    assert_eq!(loops.window().top(), batches.window().top());
}

#[cfg(test)]
#[test]
fn an_octet_chooses_among_all_suites_and_each_is_one() {
    assert_eq!(
        SUITES.len(),
        11 * 9 + 9 + 9 + 1 + 3,
        "eleven ciphers with nine MACs; GCM, CCM, ChaCha20-Poly1305, GMAC"
    );
    assert!(SUITES.len() <= 256);
    for choice in 0..=255 {
        suite(choice);
    }
}
