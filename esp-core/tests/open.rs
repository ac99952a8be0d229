//! Opening: lengths, ICV, padding, dummy packets and error messages, including mistakes known from other
//! implementations. Sequence numbers and the anti-replay window are in `replay.rs`.

mod common;

use common::*;
use esp_core::{
    Inbound, NullEsp, OpenError, PadCheck, Padding, SealError, SealParams, null_esp_heuristic, open_with, peek,
    seal_with,
};
use ipsec_crypto::{
    AnySuite, CipherAlgorithm, EspParts, IcvLen, IcvMismatch, IntegrityAlgorithm, IvRule, KeyError, Layout, Suite,
};
use ipsec_packet::{
    AntiReplay, DestinationOptions, Ip, IpError, IpProto, Ipv6, OuterFields, PacketBuf, Seq, SeqWidth, Tunnel,
    TunnelError, locate, transport_position,
};

fn inbound(choice: &Choice) -> Inbound<AnySuite> {
    Inbound::new(spi(), choice.suite(), SeqWidth::Bits32)
}

/// Next header and payload of an opened packet.
type Payload = Result<(IpProto, Vec<u8>), OpenError>;

/// Opens a copy of `packet` in the middle of a buffer and asserts that the octets around it are unchanged.
fn open_guarded(rx: &mut Inbound<AnySuite>, packet: &[u8]) -> (Payload, Vec<u8>) {
    let mut framed = Framed::new(packet, 16, 16);
    let before = framed.bytes.clone();
    let mut buffer = framed.packet();
    let opened = rx.open(&mut buffer);
    let opened = opened.map(|opened| (opened.next_header, buffer.data().to_vec()));
    let end = before.len() - 16;
    assert_eq!(
        (&framed.bytes[..16], &framed.bytes[end..]),
        (&before[..16], &before[end..]),
        "a guard octet was written"
    );
    (opened, framed.bytes[16..end].to_vec())
}

#[test]
fn open_refuses_every_short_packet() {
    for choice in all_choices().iter().chain(&without_integrity()) {
        let layout = choice.layout();
        let shortest = 8 + layout.iv_len() + layout.align() + layout.icv_len();
        for len in 0..shortest {
            let packet = [&spi().to_be_bytes()[..], &1u32.to_be_bytes(), &[0xff; 80]].concat()[..len].to_vec();
            let body = (len - len.min(8)).checked_sub(layout.iv_len() + layout.icv_len()).filter(|body| *body > 0);
            let expected = if body.is_some() { OpenError::Unaligned } else { OpenError::TooShort };
            let mut rx = inbound(choice);
            let before = window_state(rx.window());
            assert_eq!(open_guarded(&mut rx, &packet), (Err(expected), packet.clone()), "{len} of {}", choice.name());
            assert_eq!(window_state(rx.window()), before);
            let mut bytes = packet.clone();
            let pure = open_with(
                &choice.suite(),
                Seq::new(1),
                SeqWidth::Bits32,
                PadCheck::Full,
                &mut PacketBuf::received(&mut bytes),
            );
            assert_eq!((pure, &bytes), (Err(expected), &packet), "{len} of {}", choice.name());
            assert_eq!(peek(&packet).is_ok(), len >= 8);
            assert_eq!(null_esp_heuristic(&packet) == NullEsp::Unsure, len < 40);
        }
    }
}

#[test]
fn ip_packet_without_esp_header_is_too_short() {
    let v4 = [&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 50, 0, 0][..], &[192, 0, 2, 1], &[192, 0, 2, 2]].concat();
    let v6 = [&[0x60, 0, 0, 0, 0, 0, 50, 64][..], &[0x20; 32]].concat();
    for packet in [v4, v6] {
        let place = locate(&packet, IpProto::ESP).unwrap();
        assert_eq!(place.at, packet.len());
        assert_eq!(open_guarded(&mut inbound(&gcm()), &packet[place.at..]).0, Err(OpenError::TooShort));
    }
}

//= RFC 2406 3.4.5/3
//# SHOULD: the ICV is verified before decryption, where one follows the other
//= RFC 4303 3.4.4.1/5
//# MUST: integrity is verified before a decrypted packet is passed on
#[test]
fn open_verifies_the_icv_before_decryption_and_padding() {
    for choice in all_choices() {
        let layout = choice.layout();
        let mut bad_pad = vec![0x33; layout.align().max(16)];
        *bad_pad.iter_mut().nth_back(1).unwrap() = 255;
        let authentic = crafted(&choice.suite(), 1, SeqWidth::Bits32, &bad_pad);
        let (refused, _) = open_guarded(&mut inbound(&choice), &authentic);
        assert_eq!(refused, Err(OpenError::InvalidPadLength { pad_len: 255 }), "{}", choice.name());
        for at in 8..authentic.len() {
            let mut forged = authentic.clone();
            forged[at] ^= 0x10;
            assert_eq!(
                open_guarded(&mut inbound(&choice), &forged),
                (Err(OpenError::IcvMismatch), forged.clone()),
                "{}: octet {at}",
                choice.name()
            );
        }
    }
}

#[test]
fn encryption_without_integrity_is_explicit_and_checks_all_padding() {
    for choice in without_integrity() {
        let refused = AnySuite::from_slices(choice.cipher, &choice.cipher_key, IntegrityAlgorithm::None, &[]);
        assert_eq!(refused.map(|_| ()).unwrap_err(), KeyError::NoIntegrity, "{}", choice.name());
        let mut body = vec![0; 16];
        body[6..].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 8, 17]);
        let good = crafted(&choice.suite(), 1, SeqWidth::Bits32, &body);
        assert!(open_guarded(&mut inbound(&choice), &good).0.is_ok());
        body[8] = 0;
        let bad = crafted(&choice.suite(), 1, SeqWidth::Bits32, &body);
        assert_eq!(open_guarded(&mut inbound(&choice), &bad).0, Err(OpenError::InvalidPadding), "{}", choice.name());
    }
}

#[test]
fn null_encryption_without_integrity_is_refused() {
    for made in [
        AnySuite::from_slices(CipherAlgorithm::Null, &[], IntegrityAlgorithm::None, &[]),
        AnySuite::without_integrity(CipherAlgorithm::Null, &[]),
    ] {
        assert_eq!(made.map(|_| ()).unwrap_err(), KeyError::NullWithoutIntegrity);
    }
}

/// Returns a plaintext of `body` octets: payload 0x77.., padding, pad length, next header UDP.
fn padded(body: usize, padding: &[u8]) -> Vec<u8> {
    let payload = vec![0x77; body - 2 - padding.len()];
    [&payload[..], padding, &[padding.len() as u8, IpProto::UDP.0]].concat()
}

/// Opens an authentic packet with this body and returns the error, if any. An authentic packet counts as received
/// even if its padding is refused, and its plaintext is wiped.
fn padding_error(choice: &Choice, check: PadCheck, body: &[u8]) -> Option<OpenError> {
    let layout = choice.layout();
    let packet = crafted(&choice.suite(), 5, SeqWidth::Bits32, body);
    let mut rx = inbound(choice);
    rx.set_pad_check(check);
    let (opened, left) = open_guarded(&mut rx, &packet);
    // Without an ICV no packet is authentic, and none is recorded.
    assert_eq!(rx.window().top(), Seq::new(if layout.icv_len() > 0 { 5 } else { 0 }));
    match opened {
        Ok((next, payload)) => {
            let len = body.len() - 2 - usize::from(body[body.len() - 2]);
            assert_eq!((next, &payload[..]), (IpProto::UDP, &body[..len]));
            None
        }
        Err(e) => {
            let end = left.len() - layout.icv_len();
            assert!(left[8 + layout.iv_len()..end].iter().all(|octet| *octet == 0), "plaintext left in the packet");
            let again =
                if layout.icv_len() > 0 { OpenError::Replayed(ipsec_packet::ReplayError::Duplicate) } else { e };
            assert_eq!(open_guarded(&mut rx, &packet).0, Err(again));
            let mut out = vec![0xee; packet.len()];
            let mut rx = inbound(choice);
            rx.set_pad_check(check);
            assert!(rx.open_into(&packet, &mut out).is_err());
            assert!(out[8 + layout.iv_len()..end].iter().all(|octet| *octet == 0), "plaintext left in the copy");
            Some(e)
        }
    }
}

#[test]
fn null_esp_heuristic_accepts_the_longest_padding() {
    let udp = |len: u8| [&[0, 53, 0, 53, 0, len, 0, 0][..], &vec![7; usize::from(len) - 8]].concat();
    for (pad, next_header) in [(255u8, IpProto::UDP), (254, IpProto::UDP), (1, IpProto::UDP)] {
        let payload = udp(11 + (255 - pad) % 4);
        let padding: Vec<u8> = (1..=pad).collect();
        let body = [&payload[..], &padding, &[pad, next_header.0]].concat();
        let packet = crafted(&null_hmac().suite(), 1, SeqWidth::Bits32, &body);
        assert_eq!(null_esp_heuristic(&packet), NullEsp::Likely { iv: 0, icv: 16, next_header }, "{pad} octets");
    }
}

const CHECKS: [PadCheck; 3] = [PadCheck::Full, PadCheck::LastByte, PadCheck::LengthOnly];

#[test]
fn padding_of_every_length_is_accepted_by_every_check() {
    for choice in [cbc_hmac(), gcm(), null_hmac()] {
        for pad in 0..=255u8 {
            let padding: Vec<u8> = (1..=pad).collect();
            for check in CHECKS {
                assert_eq!(padding_error(&choice, check, &padded(272, &padding)), None, "{pad} octets, {check:?}");
            }
        }
    }
}

#[test]
fn wrong_padding_is_refused_by_the_checks_that_cover_it() {
    let (full, last) = ([true, false, false], [true, true, false]);
    for (what, padding, refused) in [
        ("zeros", vec![0; 14], last),
        ("random octets", Random(5).octets(14), last),
        ("a wrong first octet", [&[9][..], &(2..=14).collect::<Vec<u8>>()].concat(), full),
        ("a wrong last octet", [&(1..=13).collect::<Vec<u8>>()[..], &[0]].concat(), last),
        ("zeros except for the last octet", [&[0; 13][..], &[14]].concat(), full),
        ("a sequence from 0", (0..14).collect(), last),
        ("255 zeros", vec![0; 255], last),
        ("a single wrong octet", vec![2], last),
    ] {
        for choice in [cbc_hmac(), gcm()] {
            for (check, refused) in CHECKS.into_iter().zip(refused) {
                let expected = refused.then_some(OpenError::InvalidPadding);
                assert_eq!(padding_error(&choice, check, &padded(272, &padding)), expected, "{what}, {check:?}");
            }
        }
    }
}

//= RFC 4303 2.4/3
//# SHOULD: the receiver inspects the default padding
#[test]
fn full_check_refuses_every_single_wrong_pad_octet() {
    for at in 0..255usize {
        let mut padding: Vec<u8> = (1..=255).collect();
        padding[at] ^= 1 << (at % 8);
        for (check, refused) in CHECKS.into_iter().zip([true, at == 254, false]) {
            let expected = refused.then_some(OpenError::InvalidPadding);
            assert_eq!(padding_error(&gcm(), check, &padded(272, &padding)), expected, "octet {at}, {check:?}");
        }
    }
}

#[test]
fn pad_length_beyond_the_body_is_refused_by_every_check() {
    let every: Vec<u8> = (0..=255).collect();
    let lists = [(one_per_layout(), &every[..]), (all_choices(), &[15, 128, 255])];
    for (choice, pad_lens) in lists.iter().flat_map(|(choices, lens)| choices.iter().map(move |c| (c, lens))) {
        let len = choice.layout().align().max(8);
        for pad_len in pad_lens.iter().copied().filter(|pad_len| usize::from(*pad_len) > len - 2) {
            let mut body = vec![pad_len; len];
            body[len - 1] = IpProto::UDP.0;
            for check in CHECKS {
                let refused = padding_error(choice, check, &body);
                assert_eq!(refused, Some(OpenError::InvalidPadLength { pad_len }), "{}", choice.name());
            }
        }
    }
}

//= RFC 4303 2.6/1, 2.6/2, 2.6/4
//# MUST: next header 59 designates a dummy packet
//# MUST: dummy packets can be generated
//# MUST: a dummy packet has every other field of header and trailer
#[test]
fn dummy_packet_is_opened_and_marked() {
    for choice in one_per_layout() {
        let (mut tx, mut rx) = pair(&choice, SeqWidth::Bits32);
        for (payload, next, dummy) in [
            (&[0xaa][..], IpProto::NO_NEXT, true),
            (&[0xaa; 700], IpProto::NO_NEXT, true),
            (&[], IpProto::NO_NEXT, true),
            (&[0xaa; 700], IpProto::IPV4, false),
        ] {
            let mut packet = sealed(&mut tx, payload, next);
            let mut packet = PacketBuf::received(&mut packet);
            let opened = rx.open(&mut packet).unwrap();
            assert_eq!((opened.is_dummy(), packet.data()), (dummy, payload), "{}", choice.name());
        }
    }
}

#[test]
fn counter_modes_and_aeads_align_to_4_octets() {
    for choice in all_choices() {
        let counter = choice.cipher == CipherAlgorithm::AesCtr || choice.cipher.row().unwrap().icv > 0;
        if counter || choice.cipher == CipherAlgorithm::Null {
            assert_eq!(choice.layout().align(), 4, "{}", choice.name());
            let (mut tx, _) = pair(&choice, SeqWidth::Bits32);
            let sizes: Vec<_> = (0..9).map(|len| sealed(&mut tx, &vec![7; len], IpProto::UDP).len()).collect();
            let least = 8 + choice.layout().iv_len() + choice.layout().icv_len() + 4;
            assert_eq!(sizes, [0, 0, 0, 4, 4, 4, 4, 8, 8].map(|more| least + more), "{}", choice.name());
        }
    }
}

#[test]
fn open_refuses_partial_blocks_at_every_buffer_offset() {
    for choice in one_per_layout() {
        let layout = choice.layout();
        for extra in 1..layout.align() {
            let len = 8 + layout.iv_len() + layout.align() + extra + layout.icv_len();
            let mut packet = vec![0; len];
            packet[..8].copy_from_slice(&[&spi().to_be_bytes()[..], &1u32.to_be_bytes()].concat());
            assert_eq!(open_guarded(&mut inbound(&choice), &packet).0, Err(OpenError::Unaligned), "{}", choice.name());
        }
        for offset in 0..8 {
            let (mut tx, mut rx) = pair(&choice, SeqWidth::Bits32);
            let mut framed = Framed::new(&sealed(&mut tx, b"inside", IpProto::UDP), offset, 3);
            let mut packet = framed.packet();
            assert!(rx.open(&mut packet).is_ok(), "{} at offset {offset}", choice.name());
            assert_eq!(packet.data(), b"inside");
        }
    }
}

#[test]
fn extension_header_chain_ends_at_esp() {
    // An SPI that reads like a chain of destination options.
    let esp = [&[60, 0, 60, 0][..], &[60; 60]].concat();
    for (first, front) in [(50, &[][..]), (60, &[50, 0, 1, 4, 0, 0, 0, 0])] {
        let rest = [front, &esp].concat();
        let packet = [&[0x60, 0, 0, 0, 0, rest.len() as u8, first, 64][..], &[0x20; 32], &rest].concat();
        let link = Ipv6::parse(&packet).unwrap().walk(|_| false).unwrap();
        assert_eq!((link.kind, link.offset), (IpProto::ESP, 40 + front.len()));
        assert_eq!(locate(&packet, IpProto::ESP).map(|place| place.at), Ok(40 + front.len()));
        assert_eq!(locate(&packet, IpProto::DESTINATION_OPTIONS).is_ok(), first == 60);
        let place = transport_position(&packet, DestinationOptions::Unprotected).unwrap();
        assert_eq!((place.next, place.at), (IpProto::ESP, 40 + front.len()));
    }
}

#[test]
fn inner_packet_with_wrong_total_length_is_refused() {
    let tunnel = Tunnel::v4([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    let mut inner = [&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0][..], &[10; 28]].concat();
    let seen = OuterFields::read(&Ip::parse(&inner).unwrap());
    for claimed in [0u8, 1, 19, 41] {
        inner[3] = claimed;
        let (mut tx, mut rx) = pair(&gcm(), SeqWidth::Bits32);
        let mut bytes = sealed(&mut tx, &inner, IpProto::IPV4);
        let mut packet = PacketBuf::received(&mut bytes);
        let opened = rx.open(&mut packet).unwrap();
        let refused = TunnelError::Inner(IpError::Length { claimed: claimed.into(), available: 40 });
        assert_eq!(tunnel.accept(&seen, opened.next_header, &mut packet), Err(refused));
    }
}

/// Suite without IV and ICV, for the smallest and the largest possible lengths.
struct Bare;

impl Suite for Bare {
    fn layout(&self) -> Layout {
        Layout::new(0, 4, IcvLen::NONE, IvRule::None).unwrap()
    }

    fn seal(&self, _: &mut EspParts<'_>) {}

    fn open(&self, _: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        Ok(())
    }
}

#[test]
fn open_refuses_a_body_without_trailer() {
    let open = |body: &[u8]| {
        let mut bytes = [&[0, 0, 1, 0, 0, 0, 0, 1], body].concat();
        let mut packet = PacketBuf::received(&mut bytes);
        open_with(&Bare, Seq::new(1), SeqWidth::Bits32, PadCheck::Full, &mut packet).map(|_| packet.len())
    };
    assert_eq!(open(&[]), Err(OpenError::TooShort));
    assert_eq!(open(&[0, 4]), Err(OpenError::Unaligned));
    assert_eq!(open(&[1, 2, 2, 4]), Ok(0));
}

#[test]
fn seal_refuses_packets_above_65535_octets() {
    let seal = |payload: usize| {
        let mut framed = Framed::new(&vec![0; payload], 8, 5);
        let envelope = SealParams {
            spi: spi(),
            seq: Seq::new(1),
            width: SeqWidth::Bits32,
            next_header: IpProto::IPV4,
            padding: Padding::MINIMAL,
        };
        let mut packet = framed.packet();
        seal_with(&Bare, &envelope, &[], &mut packet).map(|()| packet.len())
    };
    assert_eq!(seal(65522), Ok(65532));
    assert_eq!(seal(65523), Err(SealError::TooLong(65536)));
}

#[test]
fn error_messages_name_field_and_values() {
    let wrong = OpenError::SpiMismatch { expected: spi(), found: 0x1234 };
    assert_eq!(wrong.to_string(), "SPI mismatch: got 0x00001234, expected 0x80001001");
    assert_eq!(
        OpenError::InvalidPadLength { pad_len: 9 }.to_string(),
        "invalid ESP padding: pad length 9 exceeds the payload"
    );
    let given = SealError::IvLength { needed: 16, given: 8 };
    assert_eq!(given.to_string(), "IV length mismatch: got 8 octets, expected 16");
    assert_eq!(SealError::TooLong(65536).to_string(), "ESP packet too long: 65536 octets, at most 65535 allowed");
}
