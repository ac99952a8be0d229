//! Decrypted packets that are refused leave no plaintext in the buffer: in the packet, before it, or after it.

mod gateway;
mod gateway_pair;

use ah_core::Profile;
use esp_core::{Outbound, SealSlot};
use gateway::{Gateway, Received, ipv4, udp};
use gateway_pair::*;
use ipsec_crypto::{AnySuite, CipherAlgorithm, IntegrityAlgorithm};
use ipsec_engine::{AnyAlgorithms, Direction, DiscardReason, OutboundAction, Protocol, Sa};
use ipsec_packet::{Beet, BeetError, IpProto, PacketBuf, Seq, SeqWidth, Spi};

const MARK: &[u8] = b"SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRET";

/// Builds an ESP packet from A to B with this payload under the keys of `gateway_pair`, as a peer with the keys can
/// send it.
fn crafted(spi: u32, payload: &[u8], next: IpProto) -> Vec<u8> {
    let (cipher, mac): (Vec<u8>, Vec<u8>) = ((0..16).collect(), (0..20).collect());
    let suite = AnySuite::from_slices(CipherAlgorithm::AesCbc, &cipher, IntegrityAlgorithm::HmacSha1_96, &mac);
    let mut sa = Outbound::new(Spi::new(spi).unwrap(), suite.unwrap(), SeqWidth::Bits32);
    let mut bytes = [&[0; 64][..], payload, &[0; 64]].concat();
    let mut packet = PacketBuf::with_headroom(&mut bytes, 64, payload.len()).unwrap();
    sa.seal(&mut packet, next, &mut |_: Seq, iv: &mut [u8]| iv.fill(9)).unwrap();
    ipv4(A, B, IpProto::ESP, packet.data())
}

fn contains_plaintext(bytes: &[u8]) -> bool {
    bytes.windows(12).any(|octets| octets == &MARK[..12])
}

#[test]
fn plaintext_after_a_short_inner_packet_is_wiped() {
    let (_, mut b) = esp_tunnel();
    let unwanted = [&udp("10.9.9.9", "10.2.3.4", 1, 2, b"x"), MARK].concat();
    let (action, _, bytes) = receive_in_large_buffer(&mut b, &crafted(0x1001, &unwanted, IpProto::IPV4));
    assert_eq!(action, Received::Discard(DiscardReason::NoPolicy));
    assert!(!contains_plaintext(&bytes));
}

#[test]
fn plaintext_before_a_nested_inner_packet_is_wiped() {
    let sas = esp(A, B, 0x1001, "-m tunnel") + &esp("10.1.0.1", "10.2.0.1", 0x2002, "-m tunnel");
    let action = "ipsec esp/tunnel/10.1.0.1-10.2.0.1/require esp/tunnel/192.0.2.1-198.51.100.1/require";
    let text = format!("{sas}{}", policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", action));
    let mut b = Gateway::new(&text, "198.51.100.1 10.2.0.1");
    let esp_inside = crafted(0x2002, &udp("10.9.9.9", "10.2.3.4", 1, 2, b"x"), IpProto::IPV4);
    // The header of the inner tunnel has an unknown option.
    let mut middle =
        ipv4("10.1.0.1", "10.2.0.1", IpProto::ESP, &[&[0x88, 24], &MARK[..22], &esp_inside[20..]].concat());
    middle[0] += 6;
    let (action, _, bytes) = receive_in_large_buffer(&mut b, &crafted(0x1001, &middle, IpProto::IPV4));
    assert!(matches!(action, Received::Discard(_)), "{action:?}");
    assert!(!contains_plaintext(&bytes));
}

#[test]
fn malformed_inner_packet_is_wiped() {
    let (_, mut b) = esp_tunnel();
    for payload in [[&[0x46, 0, 0, 99], MARK].concat(), [&[0x65; 4], MARK].concat(), MARK.to_vec()] {
        let (action, _, bytes) = receive_in_large_buffer(&mut b, &crafted(0x1001, &payload, IpProto::IPV4));
        assert!(matches!(action, Received::Discard(_)), "{action:?}");
        assert!(!contains_plaintext(&bytes));
    }
}

#[test]
fn bundle_that_ends_in_beet_is_refused_before_any_change() {
    let action = format!("ipsec esp/transport//require esp/beet/{A}-{B}/require");
    let text = esp("10.1.2.3", "10.2.3.4", 0x1001, "-m transport")
        + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &action);
    let mut a = Gateway::new(&text, "10.1.2.3");
    let beet = esp(A, B, 0x2002, "-m tunnel");
    let Ok(Some(ipsec_config::setkey::Statement::Add(add))) = ipsec_config::setkey::Statements::of(&beet).next() else {
        panic!("{beet}")
    };
    let params = add.params(Direction::Outbound, None, &ipsec_config::setkey::LoadOptions::RFC).unwrap();
    let sa: Sa<AnyAlgorithms> = Sa::from_params(&params, Profile::RFC).unwrap();
    let other = Beet::v4("10.1.2.9".parse().unwrap(), "10.2.3.4".parse().unwrap());
    a.engine.install(sa.with_beet(other), a.now).unwrap();
    // `Gateway::send` asserts that the packet is unmodified.
    assert_eq!(a.send(&inner()), Err(OutboundAction::Discard(DiscardReason::Beet(BeetError::InnerAddressMismatch))));
    for (spi, source, destination) in [(0x1001, "10.1.2.3", "10.2.3.4"), (0x2002, A, B)] {
        let sa = a.engine.sa(&key(Direction::Outbound, destination, Protocol::Esp, spi), address(source)).unwrap();
        assert_eq!(sa.sa.unwrap().transform().sequence(), Some(Seq::new(0)), "sequence number was used");
    }
}

#[test]
fn debug_output_of_packets_shows_lengths_only() {
    let mut bytes = *b"attack at dawn, password hunter2";
    let mut text = format!("{:?}", PacketBuf::with_headroom(&mut bytes, 2, 20).unwrap());
    assert_eq!(text, "PacketBuf(2 | 20 | 10 octets)");
    text += &format!("{:?}", SealSlot::new(PacketBuf::received(&mut bytes), IpProto::UDP));
    text += &format!("{:?}", esp_core::OpenSlot::new(PacketBuf::received(&mut bytes)));
    assert!(!text.contains("attack") && !text.contains("97, 116, 116"), "{text}");
}

/// Sends a packet from the middle of a buffer; returns the action, the end of the packet in the buffer, and the
/// buffer.
fn seal(a: &mut Gateway, packet: &[u8]) -> (OutboundAction, usize, Vec<u8>) {
    let mut bytes = vec![0xee; 256 + packet.len() + 2304];
    bytes[256..256 + packet.len()].copy_from_slice(packet);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 256, packet.len()).unwrap();
    let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(3);
    let action = a.engine.outbound(&mut buffer, a.now, &mut iv);
    let end = 256 + packet.len() + 2304 - buffer.tailroom();
    (action, end, bytes)
}

#[test]
fn no_plaintext_remains_after_a_sealed_packet() {
    let sas = ipcomp(A, B, 0x1100, "-m transport") + &esp(A, B, 0x1001, "-m transport");
    let (mut a, _) = hosts(&sas, "ipsec ipcomp/transport//use esp/transport//require");
    let packet = udp(A, B, 1, 2, &SECRET.repeat(20));
    let (action, end, bytes) = seal(&mut a, &packet);
    assert_eq!(action, OutboundAction::Send);
    let left = bytes[end..].iter().filter(|octet| !matches!(octet, 0 | 0xee)).count();
    assert!(!bytes[end..].windows(16).any(|window| window == &SECRET[..16]), "plaintext is left after the packet");
    assert_eq!(left, 0, "modified octets after the packet");
}

#[test]
fn no_plaintext_remains_after_a_refused_packet() {
    let sas = ipcomp(A, B, 0x1100, "-m transport") + &esp(A, B, 0x1001, "-m transport");
    let (mut a, _) = hosts(&sas, "ipsec ipcomp/transport//use esp/transport//require");
    let mut b = Gateway::new(&(sas + &policy(A, B, "any", "in", "discard")), B);
    let wire = a.send(&udp(A, B, 1, 2, &SECRET.repeat(20))).unwrap();
    refused_and_wiped(&mut b, &wire, DiscardReason::Policy);
    let wire = a.send(&udp(A, B, 1, 2, &SECRET.repeat(20))).unwrap();
    let (_, _, bytes) = receive_in_large_buffer(&mut b, &wire);
    // ESP trailer and ICV remain: padding, pad length, next header and ICV.
    assert!(bytes[512..].iter().filter(|octet| !matches!(octet, 0 | 0xee)).count() <= 15);
}
