//! Transport mode of whole packets: `seal_transport` and `open_transport`.

mod common;

use common::Choice;
use esp_core::{Inbound, OpenError, OpenTransportError, Outbound, SealError, SealTransportError};
use ipsec_crypto::{AnySuite, CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{IpError, IpProto, Ipv4Header, Ipv6Header, PacketBuf, Seq, SeqWidth, Spi};
use zerocopy::IntoBytes;

const ROOM: usize = 64;

fn suite() -> AnySuite {
    Choice::new(CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha1_96).suite()
}

fn pair() -> (Outbound<AnySuite>, Inbound<AnySuite>) {
    let spi = Spi::new(0x1001).unwrap();
    (Outbound::new(spi, suite(), SeqWidth::Bits32), Inbound::new(spi, suite(), SeqWidth::Bits32))
}

fn iv(_: Seq, iv: &mut [u8]) {
    iv.fill(7);
}

fn v4(payload: &[u8]) -> Vec<u8> {
    let mut header = Ipv4Header::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), IpProto::UDP, 64);
    header.set_identification(4711);
    header.set_total_length((20 + payload.len()) as u16);
    header.set_checksum();
    [header.as_bytes(), payload].concat()
}

fn v6(payload: &[u8]) -> Vec<u8> {
    let ends = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().unwrap());
    let mut header = Ipv6Header::new(ends[0], ends[1], IpProto::UDP, 64);
    header.set_payload_length(payload.len() as u16);
    [header.as_bytes(), payload].concat()
}

fn in_buffer(packet: &[u8]) -> Vec<u8> {
    [&[0xee; ROOM][..], packet, &[0xdd; ROOM]].concat()
}

fn sealed(out: &mut Outbound<AnySuite>, packet: &[u8]) -> Vec<u8> {
    let mut bytes = in_buffer(packet);
    let mut packet = PacketBuf::with_headroom(&mut bytes, ROOM, packet.len()).unwrap();
    out.seal_transport(&mut packet, &mut iv).unwrap();
    packet.data().to_vec()
}

fn opened(back: &mut Inbound<AnySuite>, wire: &[u8]) -> Result<Vec<u8>, OpenTransportError> {
    let mut bytes = in_buffer(wire);
    let mut packet = PacketBuf::with_headroom(&mut bytes, ROOM, wire.len()).unwrap();
    let result = back.open_transport(&mut packet);
    if let Err(OpenTransportError::Ip(_) | OpenTransportError::Open(OpenError::IcvMismatch)) = result {
        assert_eq!(packet.data(), wire, "a refused packet is unchanged");
    }
    result.map(|()| packet.data().to_vec())
}

#[test]
fn packets_of_every_length_are_delivered_over_both_ip_versions() {
    let (mut out, mut back) = pair();
    for length in 0..200 {
        let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
        for plain in [v4(&payload), v6(&payload)] {
            let wire = sealed(&mut out, &plain);
            let protocol = if wire[0] >> 4 == 4 { wire[9] } else { wire[6] };
            assert_eq!(protocol, 50);
            assert!(length < 8 || !wire.windows(length).any(|part| part == payload), "payload is encrypted");
            assert_eq!(opened(&mut back, &wire), Ok(plain));
        }
    }
}

#[test]
fn octets_after_the_packet_are_removed() {
    let (mut out, mut back) = pair();
    let plain = v4(b"a datagram of the upper layer");
    let padded = [&plain[..], &[0; 18]].concat(); // as in a short Ethernet frame
    let wire = sealed(&mut out, &padded);
    assert_eq!(opened(&mut back, &[&wire[..], &[0; 18]].concat()), Ok(plain));
}

#[test]
fn modified_replayed_and_mismatched_packets_are_refused_unmodified() {
    let (mut out, mut back) = pair();
    let wire = sealed(&mut out, &v4(b"a datagram of the upper layer"));
    for at in 20..wire.len() {
        let mut changed = wire.clone();
        changed[at] ^= 0x40;
        assert!(opened(&mut back, &changed).is_err(), "octet {at}");
    }
    assert!(opened(&mut back, &wire).is_ok());
    assert!(matches!(opened(&mut back, &wire), Err(OpenTransportError::Open(OpenError::Replayed(_)))));
    assert_eq!(opened(&mut back, &v4(b"cleartext")), Err(OpenTransportError::Ip(IpError::NotFound)));
    for length in 0..wire.len() {
        assert!(opened(&mut back, &wire[..length]).is_err(), "{length} octets");
    }
}

#[test]
fn fragments_and_small_buffers_are_refused_unchanged() {
    let (mut out, _) = pair();
    let mut fragment = v4(b"a datagram of the upper layer");
    fragment[6] = 0x20; // more fragments
    let mut bytes = in_buffer(&fragment);
    let mut packet = PacketBuf::with_headroom(&mut bytes, ROOM, fragment.len()).unwrap();
    assert_eq!(out.seal_transport(&mut packet, &mut iv), Err(SealTransportError::Ip(IpError::Fragment)));
    let plain = v4(b"a datagram of the upper layer");
    let overhead = out.overhead(plain.len() - 20);
    for (front, back) in [(overhead.front - 1, overhead.back), (overhead.front, overhead.back - 1)] {
        let mut bytes = vec![0xee; front + plain.len() + back];
        bytes[front..front + plain.len()].copy_from_slice(&plain);
        let mut packet = PacketBuf::with_headroom(&mut bytes, front, plain.len()).unwrap();
        assert!(matches!(out.seal_transport(&mut packet, &mut iv), Err(SealTransportError::Ip(IpError::NoSpace(_)))));
        assert_eq!(packet.data(), plain);
    }
    assert_eq!(out.counter().last_used().get(), 0, "no sequence number was used");
}

#[test]
fn an_exhausted_sa_leaves_the_packet_unchanged() {
    let (mut out, _) = pair();
    let state = ipsec_packet::SeqCounter::new(SeqWidth::Bits32).export_ahead(u32::MAX.into());
    out.import(&state).unwrap();
    let plain = [&v6(b"a datagram of the upper layer")[..], &[1; 5]].concat();
    let mut bytes = in_buffer(&plain);
    let mut packet = PacketBuf::with_headroom(&mut bytes, ROOM, plain.len()).unwrap();
    let refused = out.seal_transport(&mut packet, &mut iv);
    assert_eq!(refused, Err(SealTransportError::Seal(SealError::SequenceExhausted)));
    assert_eq!(packet.data(), plain);
}

#[test]
fn a_dummy_packet_is_wiped() {
    let (mut out, mut back) = pair();
    let mut plain = v4(b"contents of a dummy packet");
    plain[9] = 59;
    let wire = sealed(&mut out, &plain);
    let mut bytes = in_buffer(&wire);
    let mut packet = PacketBuf::with_headroom(&mut bytes, ROOM, wire.len()).unwrap();
    assert_eq!(back.open_transport(&mut packet), Err(OpenTransportError::Dummy));
    assert!(!bytes.windows(8).any(|part| b"contents of a dummy packet".windows(8).any(|dummy| part == dummy)));
}

/// An option that requests an ICMP error would be answered with the plaintext.
#[test]
fn unauthenticated_options_are_refused_or_removed() {
    let (mut out, mut back) = pair();
    let payload = b"a datagram of the upper layer";
    let wire = sealed(&mut out, &v6(payload));
    let with_options = |kind: u8| {
        let mut changed = wire[..40].to_vec();
        changed[6] = 60;
        changed[5] += 8;
        [&changed[..], &[50, 0, kind, 4, 0, 0, 0, 0], &wire[40..]].concat()
    };
    assert!(matches!(opened(&mut back, &with_options(0x80)), Err(OpenTransportError::Ip(IpError::Option { .. }))));
    assert_eq!(opened(&mut back, &with_options(0x01)), Ok(v6(payload)));
}
