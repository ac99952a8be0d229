//! Sealing: padding, ICV input, IVs, space checks, UDP and transport mode around it, and state across restarts.

mod common;

use std::convert::Infallible;
use std::net::IpAddr;

use common::*;
use esp_core::{
    EncryptedCounterIv, Inbound, OpenError, Outbound, PadCheck, Padding, RngIv, SealError, SealParams, largest_payload,
    open_with, seal_with,
};
use ipsec_crypto::{Aes128Cbc, AnyIntegrity, CipherAlgorithm, EspParts, Integrity, IntegrityAlgorithm, IvRule};
use ipsec_packet::{
    AntiReplay, DestinationOptions, HeaderPosition, Ip, IpProto, Marker, NoSpace, PacketBuf, Ports, ReplayWindow, Seq,
    SeqWidth, Spi, StateError, UDP_HEADER, UdpChecksum, close_gap, locate, open_gap, pop_udp, push_udp, set_length,
    transport_position,
};

//= RFC 4303 2.4/1, 2.4/2
//# MUST: padding can be generated and consumed
//# MUST: padding is 1, 2, 3 .. where the algorithm says nothing else
#[test]
fn padding_never_exceeds_its_field_or_the_maximum_packet() {
    for choice in one_per_layout() {
        let mut tx = sender_at(&choice, SeqWidth::Bits32, 1);
        for padding in [
            Padding::MINIMAL.at_least(255),
            Padding::MINIMAL.at_least(254).to_boundary(255),
            Padding::MINIMAL.at_least(129).to_boundary(128),
        ] {
            tx.set_padding(padding);
            for len in 0..300 {
                let mut packet = sealed(&mut tx, &vec![7; len], IpProto::UDP);
                let seq = tx.counter().last_used();
                let mut packet = PacketBuf::received(&mut packet);
                let opened = open_with(&choice.suite(), seq, SeqWidth::Bits32, PadCheck::Full, &mut packet).unwrap();
                assert!(opened.pad_len >= 127 && packet.data() == vec![7; len], "{}: {len}", choice.name());
            }
        }
        let most = largest_payload(choice.layout(), Padding::MINIMAL.at_least(255), 65535).unwrap();
        tx.set_padding(Padding::MINIMAL.at_least(255));
        assert!(sealed(&mut tx, &vec![7; most], IpProto::UDP).len() <= 65535);
        let room = tx.overhead(most + 1);
        let mut framed = Framed::new(&vec![7; most + 1], room.front, room.back);
        let (before, used) = (framed.bytes.clone(), tx.counter().last_used());
        let refused = tx.seal(&mut framed.packet(), IpProto::UDP, &mut test_iv);
        assert_eq!(refused, Err(SealError::TooLong(most + 1 + room.total())), "{}", choice.name());
        assert_eq!((framed.bytes, tx.counter().last_used()), (before, used));
    }
}

#[test]
fn esn_high_half_is_appended_to_the_integrity_input() {
    let seq = 0x0123_4567_89ab_cdef;
    for choice in all_choices().into_iter().filter(|choice| choice.integrity != IntegrityAlgorithm::None) {
        let mac = AnyIntegrity::new(choice.integrity, &choice.integrity_key).unwrap();
        for (width, high) in [(SeqWidth::Extended64, &[0x01, 0x23, 0x45, 0x67][..]), (SeqWidth::Bits32, &[])] {
            let seq = if width == SeqWidth::Bits32 { 0x89ab_cdef } else { seq };
            let packet = sealed(&mut sender_at(&choice, width, seq), b"inside", IpProto::UDP);
            assert_eq!(packet[4..8], [0x89, 0xab, 0xcd, 0xef]);
            let (covered, icv) = packet.split_at(packet.len() - choice.layout().icv_len());
            assert_eq!(mac.compute(&[covered, high]).as_slice(), icv, "{}, {width:?}", choice.name());
        }
    }
}

#[test]
fn aad_is_spi_then_high_then_low_half() {
    let choice = gcm();
    let mut packet = sealed(&mut sender_at(&choice, SeqWidth::Extended64, 0x0123_4567_89ab_cdef), b"in", IpProto::UDP);
    for (high, aad) in [
        (Some([1, 0x23, 0x45, 0x67]), &[0x80, 0, 0x10, 1, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef][..]),
        (None, &[0x80, 0, 0x10, 1, 0x89, 0xab, 0xcd, 0xef]),
    ] {
        let parts = EspParts::split(choice.layout(), &mut packet, high).unwrap();
        assert_eq!(parts.aad().as_slice(), aad);
    }
}

fn addresses(version: u8) -> (IpAddr, IpAddr) {
    match version {
        4 => ([192, 0, 2, 1].into(), [192, 0, 2, 2].into()),
        _ => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2].into()),
    }
}

fn ip_packet(version: u8, payload: &[u8]) -> Vec<u8> {
    let front = match addresses(version) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            [&[0x46, 0, 0, 0, 0, 7, 0, 0, 64, 6, 0, 0][..], &s.octets(), &d.octets(), &[1; 4]].concat()
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            [&[0x60, 0, 0, 0, 0, 0, 0, 64][..], &s.octets(), &d.octets(), &[6, 0, 1, 4, 0, 0, 0, 0]].concat()
        }
        _ => panic!("addresses of different IP versions"),
    };
    let mut packet = [&front, payload].concat();
    set_length(&mut packet).unwrap();
    packet
}

/// Transport mode with UDP encapsulation restores length, protocol and checksum of the original packet.
#[test]
fn transport_mode_in_udp_restores_the_original_packet() {
    for version in [4, 6] {
        for choice in [cbc_hmac(), gcm()] {
            let (mut tx, mut rx) = pair(&choice, SeqWidth::Bits32);
            let original = ip_packet(version, &[7; 57]);
            let mut framed = Framed::new(&original, 60, 60);
            let mut packet = framed.packet();
            let place = transport_position(packet.data(), DestinationOptions::Unprotected).unwrap();
            assert_eq!(place.next, IpProto::TCP);
            packet.pull_front(place.at).unwrap();
            tx.seal(&mut packet, place.next, &mut test_iv).unwrap();
            let (source, destination) = addresses(version);
            let ports = Ports { source: 4500, destination: 4500 };
            push_udp(&mut packet, ports, Marker::NonEsp, UdpChecksum::Computed { source, destination }).unwrap();
            packet.prepend(&original[..place.at]).unwrap();
            packet.data_mut()[place.next_header_at] = IpProto::UDP.0;
            set_length(packet.data_mut()).unwrap();
            assert_eq!(Ip::parse(packet.data()).unwrap().packet().len(), packet.len());

            let place = locate(packet.data(), IpProto::UDP).unwrap();
            packet.pull_front(place.at).unwrap();
            assert_eq!(pop_udp(&mut packet), Ok(ports));
            let opened = rx.open(&mut packet).unwrap();
            let gap = UDP_HEADER + 8 + choice.layout().iv_len();
            packet.push_front(place.at + gap).unwrap(); // the IP headers are still in front of it
            close_gap(&mut packet, place, gap, opened.next_header).unwrap();
            assert_eq!(packet.data(), original, "version {version}");
        }
    }
}

/// Transport mode without UDP encapsulation, with a gap for the ESP header, restores the original packet.
#[test]
fn transport_mode_restores_the_original_packet() {
    for version in [4, 6] {
        let (mut tx, mut rx) = pair(&cbc_hmac(), SeqWidth::Bits32);
        let original = ip_packet(version, &[7; 57]);
        let mut framed = Framed::new(&original, 24, 60);
        let mut packet = framed.packet();
        let place = transport_position(packet.data(), DestinationOptions::Unprotected).unwrap();
        open_gap(&mut packet, place, 24, IpProto::ESP).unwrap();
        packet.pull_front(place.at + 24).unwrap();
        let head = packet.headroom() - 24 - place.at;
        // The IP headers end where the gap begins; sealing writes into the gap only.
        tx.seal(&mut packet, place.next, &mut test_iv).unwrap();
        assert_eq!(packet.headroom(), head + place.at);
        packet.push_front(place.at).unwrap();
        set_length(packet.data_mut()).unwrap();

        let found = locate(packet.data(), IpProto::ESP).unwrap();
        assert_eq!(found, HeaderPosition { next: IpProto::ESP, ..place });
        packet.pull_front(found.at).unwrap();
        let opened = rx.open(&mut packet).unwrap();
        packet.push_front(found.at + 24).unwrap();
        close_gap(&mut packet, found, 24, opened.next_header).unwrap();
        assert_eq!(packet.data(), original, "version {version}");
    }
}

#[test]
fn seal_checks_space_before_the_first_write() {
    for choice in one_per_layout() {
        for padding in [Padding::MINIMAL, Padding::MINIMAL.at_least(255).tfc_to(90)] {
            let mut tx = sender_at(&choice, SeqWidth::Bits32, 1);
            tx.set_padding(padding);
            let room = tx.overhead(50);
            for (front, back) in [(0, 0), (0, room.back), (room.front, 0), (room.front - 1, room.back)] {
                let mut framed = Framed::new(&[7; 50], front, back);
                let before = framed.bytes.clone();
                let refused = tx.seal(&mut framed.packet(), IpProto::UDP, &mut test_iv);
                let expected = match front {
                    _ if front == room.front => NoSpace::Back { needed: room.back, available: back },
                    _ => NoSpace::Front { needed: room.front, available: front },
                };
                assert_eq!(refused, Err(SealError::NoSpace(expected)), "{}", choice.name());
                assert_eq!((framed.bytes, tx.counter().last_used().get()), (before, 0));
            }
        }
    }
}

//= RFC 4303 2.1/6
//# MUST NOT: SPI 0 is sent on the wire
#[test]
fn spi_0_is_refused_and_1_to_255_are_reserved() {
    for value in 0..=255 {
        assert!(Spi::new(value).is_err());
        assert_eq!(Spi::reserved(value).is_ok(), value != 0);
    }
    assert_eq!(Spi::new(256).map(Spi::get), Ok(256));
    let mut packet = sealed(&mut sender_at(&gcm(), SeqWidth::Bits32, 1), b"inside", IpProto::UDP);
    packet[..4].fill(0);
    let (_, mut rx) = pair(&gcm(), SeqWidth::Bits32);
    let refused = rx.open(&mut PacketBuf::received(&mut packet));
    assert_eq!(refused, Err(OpenError::SpiMismatch { expected: spi(), found: 0 }));
}

#[derive(Clone)]
struct CountingRng(u64);

impl rand_core::TryRng for CountingRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| n as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(Random(self.0).next_u64())
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.0 += 1;
        dst.copy_from_slice(&Random(self.0).octets(dst.len()));
        Ok(())
    }
}

impl rand_core::TryCryptoRng for CountingRng {}

#[test]
fn cbc_iv_is_from_the_source_and_counter_mode_iv_is_the_sequence_number() {
    for choice in all_choices() {
        let layout = choice.layout();
        let (mut tx, mut requested) = (sender_at(&choice, SeqWidth::Extended64, 0x1_0000_0001), Vec::new());
        let mut sent = Vec::new();
        for _ in 0..3 {
            let room = tx.overhead(40);
            let mut framed = Framed::new(&[7; 40], room.front, room.back);
            let mut packet = framed.packet();
            let mut source = |seq: Seq, iv: &mut [u8]| {
                requested.push(seq.get());
                test_iv(seq, iv);
            };
            tx.seal(&mut packet, IpProto::UDP, &mut source).unwrap();
            sent.push(packet.data()[8..8 + layout.iv_len()].to_vec());
        }
        let numbers = [0x1_0000_0001u64, 0x1_0000_0002, 0x1_0000_0003];
        let expected = match layout.iv_rule() {
            IvRule::None => vec![vec![]; 3],
            IvRule::Unique => numbers.map(|n| n.to_be_bytes().to_vec()).to_vec(),
            IvRule::Unpredictable => numbers.map(|n| Random(n).octets(layout.iv_len())).to_vec(),
        };
        assert_eq!(sent, expected, "{}", choice.name());
        let unpredictable = layout.iv_rule() == IvRule::Unpredictable;
        assert_eq!(requested, if unpredictable { &numbers[..] } else { &[] }, "{}", choice.name());
        assert_eq!(unpredictable, choice.cipher.to_string().ends_with("-cbc"), "{}", choice.name());
    }
}

#[test]
fn iv_sources_never_repeat_and_do_not_chain() {
    let iv_of = |packet: &[u8], len: usize| packet[8..8 + len].to_vec();
    for cipher in [CipherAlgorithm::AesCbc, CipherAlgorithm::TripleDesCbc] {
        let choice = Choice::new(cipher, 24, IntegrityAlgorithm::HmacSha1_96);
        let (mut random, mut counter) = (RngIv(CountingRng(7)), EncryptedCounterIv(Aes128Cbc::new(&[9; 16])));
        let (mut one, mut two) = (pair(&choice, SeqWidth::Bits32).0, pair(&choice, SeqWidth::Bits32).0);
        let mut seen = std::collections::BTreeSet::new();
        let len = choice.layout().iv_len();
        for n in 1..=200u64 {
            let room = one.overhead(20);
            let (mut a, mut b) =
                (Framed::new(&[7; 20], room.front, room.back), Framed::new(&[7; 20], room.front, room.back));
            one.seal(&mut a.packet(), IpProto::UDP, &mut random).unwrap();
            two.seal(&mut b.packet(), IpProto::UDP, &mut counter).unwrap();
            for packet in [&a.bytes, &b.bytes] {
                let (iv, tail) = (iv_of(packet, len), packet.len() - choice.layout().icv_len());
                assert_ne!(iv[..], packet[tail - len..tail], "the IV is the last ciphertext block");
                assert!(!iv.starts_with(&n.to_be_bytes()[..4]), "the IV is the sequence number");
                assert!(seen.insert(iv.clone()), "IV {iv:02x?} is repeated");
                seen.insert(packet[tail - len..tail].to_vec()); // detects a chained IV
            }
        }
    }
}

//= RFC 4303 3.3.3/4
//# MUST: with anti-replay and manual keys, the counter is kept across reboots
#[test]
fn restarted_sender_continues_above_the_stored_sequence_number() {
    let mut tx = sender_at(&gcm(), SeqWidth::Bits32, 101);
    sealed(&mut tx, b"inside", IpProto::UDP);
    let stored = tx.counter().export();
    let mut old = sender_at(&gcm(), SeqWidth::Bits32, 500);
    assert_eq!(old.import(&stored), Err(StateError::Outdated { held: 499, offered: 101 }));
    assert_eq!(old.counter().last_used().get(), 499);
    let mut restarted = Outbound::new(spi(), gcm().suite(), SeqWidth::Bits32);
    restarted.import(&stored).unwrap();
    let packet = sealed(&mut restarted, b"inside", IpProto::UDP);
    assert_eq!(packet[4..16], [0, 0, 0, 102, 0, 0, 0, 0, 0, 0, 0, 102], "sequence number and IV");
}

#[test]
fn imported_replay_window_refuses_packets_received_before_the_restart() {
    let (mut tx, mut rx) = pair(&gcm(), SeqWidth::Bits32);
    let packets: Vec<_> = (0..64).map(|_| sealed(&mut tx, b"inside", IpProto::UDP)).collect();
    let even = |n: &usize| n.is_multiple_of(2) || *n == 63;
    for n in (0..64).filter(even) {
        rx.open(&mut PacketBuf::received(&mut packets[n].clone())).unwrap();
    }
    let (_, mut restarted) = pair(&gcm(), SeqWidth::Bits32);
    restarted.window_mut().import(SeqWidth::Extended64, &window_state(rx.window())).unwrap();
    for (n, mut packet) in packets.into_iter().enumerate() {
        let opened = restarted.open(&mut PacketBuf::received(&mut packet));
        assert_eq!(opened.is_ok(), !even(&n), "packet {n}");
    }
}

#[test]
fn each_sa_has_its_own_window() {
    let (mut tx, mut one) = pair(&gcm(), SeqWidth::Bits32);
    let (_, mut two) = pair(&gcm(), SeqWidth::Bits32);
    let packet = sealed(&mut tx, b"inside", IpProto::UDP);
    for rx in [&mut one, &mut two] {
        assert!(rx.open(&mut PacketBuf::received(&mut packet.clone())).is_ok());
        assert!(rx.open(&mut PacketBuf::received(&mut packet.clone())).is_err());
    }
}

#[test]
fn padding_aligns_to_the_block_of_each_cipher() {
    for choice in all_choices() {
        let block = match choice.cipher {
            CipherAlgorithm::AesCbc => 16,
            _ if choice.layout().iv_rule() == IvRule::Unpredictable => 8,
            _ => 4,
        };
        let (mut tx, _) = pair(&choice, SeqWidth::Bits32);
        for len in 0..40 {
            let body = sealed(&mut tx, &vec![7; len], IpProto::UDP).len()
                - 8
                - choice.layout().iv_len()
                - choice.layout().icv_len();
            assert_eq!(body, (len + 2).next_multiple_of(block), "{}: {len} octets", choice.name());
        }
    }
}

#[test]
fn open_into_leaves_its_source_and_writes_the_packet_only() {
    for choice in all_choices() {
        let mut tx = sender_at(&choice, SeqWidth::Extended64, 9);
        let packet = sealed(&mut tx, b"inside", IpProto::UDP);
        for (len, forged) in [(packet.len(), false), (packet.len(), true), (packet.len() - 1, false), (5, false)] {
            let mut received = packet[..len].to_vec();
            received[len - 1] ^= u8::from(forged);
            let (source, mut out) = (received.clone(), vec![0xee; len + 9]);
            let (_, mut rx) = pair(&choice, SeqWidth::Extended64);
            let opened = rx.open_into(&received, &mut out).map(|(_, inside)| inside.to_vec());
            assert_eq!(opened.ok(), (len == packet.len() && !forged).then(|| b"inside".to_vec()));
            assert_eq!((&received, &out[len..]), (&source, &[0xee; 9][..]));
        }
        let (_, mut rx) = pair(&choice, SeqWidth::Extended64);
        let (needed, mut short) = (packet.len(), vec![0xee; packet.len() - 1]);
        let no_room = OpenError::NoSpace(NoSpace::Back { needed, available: needed - 1 });
        assert_eq!(rx.open_into(&packet, &mut short).map(|_| ()), Err(no_room));
        assert!(short.iter().all(|octet| *octet == 0xee));
        assert_eq!(rx.window().top(), Seq::new(0));
    }
}

/// Seals a packet with 32 octets of other data on both sides, which must not change.
fn sealed_between_other_octets(choice: &Choice, seq: u64) -> Vec<u8> {
    let envelope = SealParams {
        spi: spi(),
        seq: Seq::new(seq),
        width: SeqWidth::Extended64,
        next_header: IpProto::UDP,
        padding: Padding::MINIMAL,
    };
    let room = esp_core::overhead(choice.layout(), Padding::MINIMAL, 6);
    let mut framed = Framed::new(b"inside", room.front + 32, room.back + 32);
    let (before, iv) = (framed.bytes.clone(), vec![3; choice.layout().iv_len()]);
    seal_with(&choice.suite(), &envelope, &iv, &mut framed.packet()).unwrap();
    let end = framed.bytes.len() - 32;
    assert_eq!((&framed.bytes[..32], &framed.bytes[end..]), (&before[..32], &before[end..]), "{}", choice.name());
    framed.bytes[32..end].to_vec()
}

#[test]
fn seal_never_writes_outside_the_packet() {
    for choice in all_choices() {
        sealed_between_other_octets(&choice, 0x1_0000_0005);
        assert!(choice.layout().icv_len() >= 8, "{}: an ICV of less than 8 octets", choice.name());
    }
}

#[test]
fn open_never_writes_outside_the_packet() {
    for choice in all_choices() {
        let suite = choice.suite();
        let good = sealed_between_other_octets(&choice, 0x1_0000_0005);
        let hostile = crafted(&suite, 0x1_0000_0006, SeqWidth::Extended64, &[0xff; 16]);
        let mut wrong_spi = good.clone();
        wrong_spi[0] ^= 1;
        let mut forged = good.clone();
        forged[good.len() - 1] ^= 1;
        let window = ReplayWindow::<2>::with_top(Seq::new(0x1_0000_0000));
        let mut rx = Inbound::with_window(spi(), choice.suite(), SeqWidth::Extended64, window);
        for (what, packet, accepted) in [
            ("short", &good[..9], false),
            ("truncated", &good[..good.len() - 1], false),
            ("another SPI", &wrong_spi, false),
            ("modified ICV", &forged, false),
            ("invalid padding", &hostile, false),
            ("valid", &good, true),
            ("replayed", &good, false),
        ] {
            let mut framed = Framed::new(packet, 32, 32);
            let before = framed.bytes.clone();
            assert_eq!(rx.open(&mut framed.packet()).is_ok(), accepted, "{what}: {}", choice.name());
            let end = before.len() - 32;
            assert_eq!((&framed.bytes[..32], &framed.bytes[end..]), (&before[..32], &before[end..]), "{what}");
        }
    }
}
