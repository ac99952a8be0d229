//! UDP encapsulation of ESP (RFC 3948): classification of datagrams, adding and removing the UDP header.

mod packet_builder;

use std::net::{IpAddr, SocketAddr};

use ipsec_packet::{
    Datagram, Detail, Flow, Ip, IpProto, Marker, NoSpace, PacketBuf, Ports, TooShort, UDP_HEADER, UdpChecksum,
    UdpError, classify, pop_udp, push_udp, restore_udp_headers,
};
use packet_builder::*;
use test_vectors::Random;

const PORTS: Ports = Ports { source: 4500, destination: 61234 };
const MARKERS: [Marker; 2] = [Marker::NonEsp, Marker::NonIke];

fn addresses() -> [(IpAddr, IpAddr); 2] {
    [(V4_A.into(), V4_B.into()), (V6_A.into(), V6_B.into())]
}

//= RFC 3948 2.1/4
//# MUST NOT: the SPI of ESP in UDP is not zero
#[test]
fn datagram_on_port_4500_is_classified_by_non_esp_marker() {
    for (payload, expected) in [
        (&[][..], Datagram::Runt),
        (&[0xff], Datagram::KeepAlive),
        (&[0xfe], Datagram::Runt),
        (&[0], Datagram::Runt),
        (&[0xff, 0xff], Datagram::Runt),
        (&[0, 0, 0], Datagram::Runt),
        (&[0, 0, 0, 0], Datagram::Ike(&[])),
        (&[0, 0, 0, 0, 1, 2], Datagram::Ike(&[1, 2])),
        (&[0, 0, 0, 0, 0, 0, 0, 0], Datagram::Ike(&[0; 4])),
        (&[0, 0, 0, 1], Datagram::Runt),
        (&[0, 0, 0, 1, 0, 0, 0], Datagram::Runt),
        (&[0, 0, 0, 1, 0, 0, 0, 0], Datagram::Esp(&[0, 0, 0, 1, 0, 0, 0, 0])),
        (&[0xff; 9], Datagram::Esp(&[0xff; 9])),
    ] {
        assert_eq!(classify(payload, Marker::NonEsp), expected, "{payload:?}");
    }
}

#[test]
fn datagram_of_the_drafts_is_classified_by_non_ike_marker() {
    for (payload, expected) in [
        (&[][..], Datagram::Runt),
        (&[0xff], Datagram::KeepAlive),
        (&[0; 7], Datagram::Runt),
        (&[1; 7], Datagram::Runt),
        (&[0; 8], Datagram::Esp(&[])),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 5, 6], Datagram::Esp(&[5, 6])),
        (&[0, 0, 0, 0, 0, 0, 0, 1], Datagram::Ike(&[0, 0, 0, 0, 0, 0, 0, 1])),
        (&[1, 0, 0, 0, 0, 0, 0, 0, 9], Datagram::Ike(&[1, 0, 0, 0, 0, 0, 0, 0, 9])),
    ] {
        assert_eq!(classify(payload, Marker::NonIke), expected, "{payload:?}");
    }
}

//= RFC 3948 2.1/3
//# MUST NOT: receivers do not depend on a UDP checksum of zero
#[test]
fn pop_udp_reverses_push_udp() {
    let mut random = Random(3948);
    for len in (0..100).chain([1399, 1400]) {
        for (source, destination) in addresses() {
            for marker in MARKERS {
                for checksum in [UdpChecksum::Zero, UdpChecksum::Computed { source, destination }] {
                    let esp = [&[0x80, 0, 0, 1, 0, 0, 0, 7][..], &random.octets(len)].concat();
                    let mut bytes = [&[0xee; 16][..], &esp].concat();
                    let mut packet = PacketBuf::with_headroom(&mut bytes, 16, esp.len()).unwrap();
                    assert_eq!(push_udp(&mut packet, PORTS, marker, checksum), Ok(()));

                    let whole = packet.data().to_vec();
                    let front = UDP_HEADER + marker.esp_offset();
                    assert_eq!((whole.len(), packet.headroom()), (esp.len() + front, 16 - front));
                    assert_eq!(whole[..4], [0x11, 0x94, 0xef, 0x32]);
                    assert_eq!(usize::from(u16::from_be_bytes([whole[4], whole[5]])), whole.len());
                    assert!(whole[8..front].iter().all(|octet| *octet == 0));
                    match checksum {
                        UdpChecksum::Zero => assert_eq!(whole[6..8], [0, 0]),
                        UdpChecksum::Computed { .. } => {
                            assert_ne!(whole[6..8], [0, 0]);
                            assert!(has_valid_transport_checksum(source, destination, IpProto::UDP, &whole));
                        }
                    }

                    assert_eq!(pop_udp(&mut packet), Ok(PORTS));
                    assert_eq!(classify(packet.data(), marker), Datagram::Esp(&esp));
                }
            }
        }
    }
}

/// A transmitted checksum of 0 means that no checksum was computed (RFC 768).
#[test]
fn computed_udp_checksum_is_never_zero() {
    for (source, destination) in addresses() {
        let mut esp = vec![0x80, 0, 0, 1, 0, 0, 0, 7, 0, 0];
        let header = |esp: &[u8]| {
            let mut bytes = [&[0; 8][..], esp].concat();
            let mut packet = PacketBuf::with_headroom(&mut bytes, 8, esp.len()).unwrap();
            push_udp(&mut packet, PORTS, Marker::NonEsp, UdpChecksum::Computed { source, destination }).unwrap();
            [packet.data()[6], packet.data()[7]]
        };
        let rest = header(&esp); // with this value in the payload the sum is 0xffff
        esp[8..10].copy_from_slice(&rest);
        assert_eq!(header(&esp), [0xff, 0xff]);
    }
}

/// Columns: available octets, value of the length field, remaining octets or expected error.
#[test]
fn pop_udp_checks_length_and_removes_trailing_octets() {
    let length = |claimed, available| Err(UdpError::Length { claimed, available });
    for (there, claimed, expected) in [
        (0, 0, Err(UdpError::TooShort(TooShort { needed: 8, available: 0 }))),
        (7, 7, Err(UdpError::TooShort(TooShort { needed: 8, available: 7 }))),
        (8, 0, length(0, 8)),
        (8, 7, length(7, 8)),
        (8, 8, Ok(0)),
        (8, 9, length(9, 8)),
        (20, 0, length(0, 20)),
        (20, 8, Ok(0)),
        (20, 19, Ok(11)),
        (20, 20, Ok(12)),
        (20, 21, length(21, 20)),
        (20, 65535, length(65535, 20)),
    ] {
        let mut bytes = vec![7; there];
        bytes.iter_mut().skip(4).zip(u16::to_be_bytes(claimed)).for_each(|(to, from)| *to = from);
        let before = bytes.clone();
        let mut packet = PacketBuf::received(&mut bytes);
        let popped = pop_udp(&mut packet);
        assert_eq!(popped.map(|_| packet.len()), expected, "{there} octets, {claimed} claimed");
        if popped.is_err() {
            assert_eq!(packet.data(), before);
        }
    }
}

#[test]
fn push_udp_refuses_too_long_datagram_and_too_small_headroom() {
    let too_small = |needed, available| Err(UdpError::NoSpace(NoSpace::Front { needed, available }));
    for (marker, len, room, expected) in [
        (Marker::NonEsp, 65527, 8, Ok(())),
        (Marker::NonEsp, 65528, 8, Err(UdpError::TooLong(65536))),
        (Marker::NonIke, 65519, 16, Ok(())),
        (Marker::NonIke, 65520, 16, Err(UdpError::TooLong(65536))),
        (Marker::NonEsp, 40, 7, too_small(8, 7)),
        (Marker::NonIke, 40, 15, too_small(16, 15)),
        (Marker::NonIke, 40, 8, too_small(16, 8)),
    ] {
        let mut bytes = vec![0xee; room + len];
        let mut packet = PacketBuf::with_headroom(&mut bytes, room, len).unwrap();
        assert_eq!(push_udp(&mut packet, PORTS, marker, UdpChecksum::Zero), expected, "{len} octets");
        if expected.is_err() {
            assert_eq!((packet.len(), packet.headroom()), (len, room));
            assert!(bytes.iter().all(|octet| *octet == 0xee));
        }
    }
}

#[test]
fn restored_headers_have_addresses_ports_and_lengths() {
    for (source, destination) in addresses() {
        let mut bytes = [7; 100];
        let mut packet = PacketBuf::with_headroom(&mut bytes, 48, 52).unwrap();
        let (from, to) = (SocketAddr::new(source, 4501), SocketAddr::new(destination, 4500));
        restore_udp_headers(&mut packet, from, to).unwrap();
        let flow = Flow::read(packet.data()).unwrap();
        assert_eq!((flow.source, flow.destination, flow.protocol), (source, destination, IpProto::UDP));
        assert_eq!(flow.detail, Detail::Ports(4501, 4500));
        let ip = Ip::parse(packet.data()).unwrap();
        assert_eq!((ip.packet().len(), ip.hop_limit()), (packet.len(), 64));
        assert!(!matches!(ip, Ip::V4(ip) if !ip.has_valid_checksum()));
        packet.pull_front(packet.len() - 60).unwrap();
        assert_eq!(pop_udp(&mut packet), Ok(Ports { source: 4501, destination: 4500 }));
        assert_eq!(packet.data(), [7; 52]);
    }
}

#[test]
fn restore_udp_headers_leaves_a_refused_packet_unchanged() {
    let [(v4, other_v4), (v6, other_v6)] = addresses();
    let no_space = |needed| UdpError::NoSpace(NoSpace::Front { needed, available: needed - 1 });
    for (from, to, headroom, len, expected) in [
        (v4, other_v6, 60, 40, UdpError::AddressFamily),
        (v6, other_v4, 60, 40, UdpError::AddressFamily),
        (v4, other_v4, 27, 40, no_space(28)),
        (v6, other_v6, 47, 40, no_space(48)),
        (v4, other_v4, 60, 65_508, UdpError::TooLong(65_536)),
        (v6, other_v6, 60, 65_528, UdpError::TooLong(65_536)),
    ] {
        let mut bytes = vec![7; headroom + len];
        let mut packet = PacketBuf::with_headroom(&mut bytes, headroom, len).unwrap();
        let (from, to) = (SocketAddr::new(from, 4501), SocketAddr::new(to, 4500));
        assert_eq!(restore_udp_headers(&mut packet, from, to), Err(expected));
        assert_eq!(packet.len(), len);
        assert!(bytes.iter().all(|octet| *octet == 7), "{from} {to}");
    }
}

#[test]
fn datagrams_without_a_source_port_have_no_answer() {
    for (source, expected) in [(0, false), (1, true), (4500, true)] {
        assert_eq!(Ports { source, destination: 4500 }.is_answerable(), expected, "{source}");
    }
}
