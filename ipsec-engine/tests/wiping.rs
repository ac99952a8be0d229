//! What was opened and is refused leaves no plaintext anywhere in the buffer: not in the packet, not behind it, not in front of it.

mod common;
mod world;

use common::{Gateway, ipv4, udp};
use esp_core::{Outbound, SealSlot};
use ipsec_crypto::{AnySuite, CipherAlgorithm, IntegrityAlgorithm};
use ipsec_engine::{Direction, DiscardReason, Disposition, Protocol};
use ipsec_packet::{Beet, BeetError, IpProto, PacketBuf, Seq, SeqWidth, Spi};
use world::{A, B, address, esp, esp_tunnel, inner, key, pass_in, policy};

const MARK: &[u8] = b"SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRET";

/// ESP around these octets under the keys of `world`, in an IPv4 header between A and B: a peer with the keys can send them.
fn crafted(spi: u32, payload: &[u8], next: IpProto) -> Vec<u8> {
    let (cipher, mac): (Vec<u8>, Vec<u8>) = ((0..16).collect(), (0..20).collect());
    let suite = AnySuite::from_slices(CipherAlgorithm::AesCbc, &cipher, IntegrityAlgorithm::HmacSha1_96, &mac);
    let mut sa = Outbound::new(Spi::new(spi).unwrap(), suite.unwrap(), SeqWidth::Bits32);
    let mut bytes = [&[0; 64][..], payload, &[0; 64]].concat();
    let mut packet = PacketBuf::with_headroom(&mut bytes, 64, payload.len()).unwrap();
    sa.seal(&mut packet, next, &mut |_: Seq, iv: &mut [u8]| iv.fill(9)).unwrap();
    ipv4(A, B, IpProto::ESP, packet.data())
}

fn is_left(bytes: &[u8]) -> bool {
    bytes.windows(12).any(|octets| octets == &MARK[..12])
}

#[test]
fn behind_an_inner_packet_that_is_shorter_than_what_was_encrypted() {
    let (_, mut b) = esp_tunnel();
    let unwanted = [&udp("10.9.9.9", "10.2.3.4", 1, 2, b"x"), MARK].concat();
    let (disposition, _, bytes) = pass_in(&mut b, &crafted(0x1001, &unwanted, IpProto::IPV4));
    assert_eq!(disposition, Disposition::Discard(DiscardReason::NoPolicy));
    assert!(!is_left(&bytes));
}

#[test]
fn in_front_of_the_inner_packet_of_a_tunnel_in_a_tunnel() {
    let sas = esp(A, B, 0x1001, "-m tunnel") + &esp("10.1.0.1", "10.2.0.1", 0x2002, "-m tunnel");
    let action = "ipsec esp/tunnel/10.1.0.1-10.2.0.1/require esp/tunnel/192.0.2.1-198.51.100.1/require";
    let text = format!("{sas}{}", policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", action));
    let mut b = Gateway::new(&text, "198.51.100.1 10.2.0.1");
    let esp_inside = crafted(0x2002, &udp("10.9.9.9", "10.2.3.4", 1, 2, b"x"), IpProto::IPV4);
    // The header in the middle has an unknown option.
    let mut middle =
        ipv4("10.1.0.1", "10.2.0.1", IpProto::ESP, &[&[0x88, 24], &MARK[..22], &esp_inside[20..]].concat());
    middle[0] += 6;
    let (disposition, _, bytes) = pass_in(&mut b, &crafted(0x1001, &middle, IpProto::IPV4));
    assert!(matches!(disposition, Disposition::Discard(_)), "{disposition:?}");
    assert!(!is_left(&bytes));
}

#[test]
fn an_inner_packet_that_is_malformed() {
    let (_, mut b) = esp_tunnel();
    for payload in [[&[0x46, 0, 0, 99], MARK].concat(), [&[0x65; 4], MARK].concat(), MARK.to_vec()] {
        let (disposition, _, bytes) = pass_in(&mut b, &crafted(0x1001, &payload, IpProto::IPV4));
        assert!(matches!(disposition, Disposition::Discard(_)), "{disposition:?}");
        assert!(!is_left(&bytes));
    }
}

#[test]
fn a_bundle_that_ends_in_beet_refuses_before_it_changes_anything() {
    let action = format!("ipsec esp/transport//require esp/beet/{A}-{B}/require");
    let text = esp("10.1.2.3", "10.2.3.4", 0x1001, "-m transport")
        + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &action);
    let mut a = Gateway::new(&text, "10.1.2.3");
    let beet = esp(A, B, 0x2002, "-m tunnel");
    let Ok(Some(ipsec_engine::setkey::Statement::Add(add))) = ipsec_engine::setkey::Statements::of(&beet).next() else {
        panic!("{beet}")
    };
    let sa = add.sa(Direction::Outbound, None, &ipsec_engine::setkey::Loading::RFC).unwrap();
    let other = Beet::v4("10.1.2.9".parse().unwrap(), "10.2.3.4".parse().unwrap());
    a.engine.install(sa.with_beet(other), a.now).unwrap();
    // Gateway::send sees to it that the packet is unchanged.
    assert_eq!(a.send(&inner()), Err(Disposition::Discard(DiscardReason::Beet(BeetError::WrongInner))));
    for (spi, source, destination) in [(0x1001, "10.1.2.3", "10.2.3.4"), (0x2002, A, B)] {
        let sa = a.engine.sa(&key(Direction::Outbound, destination, Protocol::Esp, spi), address(source)).unwrap();
        assert_eq!(sa.sa.unwrap().transform().sequence(), Some(Seq::new(0)), "no number is used");
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
