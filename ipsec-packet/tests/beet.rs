//! BEET mode: stripping the inner header before encapsulation and restoring it after decapsulation.

mod packet_builder;

use std::net::{Ipv4Addr, Ipv6Addr};

use ipsec_packet::{
    Beet, BeetError, DfPolicy, FlowPolicy, HopLimitPolicy, Ip, IpError, IpProto, NoSpace, OuterFields, PacketBuf,
    TooShort, Tunnel,
};
use packet_builder::*;
use test_vectors::support::checksum::set_ipv4_checksum;

const A4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const B4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 2);

/// Returns the outer tunnel of a BEET SA, whose header carries the fields of the stripped inner header.
fn tunnel(version: u8) -> Tunnel {
    let tunnel = if version == 4 { Tunnel::v4(A4, B4) } else { Tunnel::v6(A6, B6) };
    tunnel.with_hop_limit(HopLimitPolicy::Copy).with_df(DfPolicy::Copy).with_flow_label(FlowPolicy::Copy)
}

fn beet(version: u8) -> [Beet; 2] {
    match version {
        4 => [Beet::v4(V4_A, V4_B), Beet::v4(V4_B, V4_A)],
        _ => [Beet::v6(V6_A, V6_B), Beet::v6(V6_B, V6_A)],
    }
}

/// Strips the inner header: returns the ESP payload, its next header and the outer header fields.
fn send(outer_version: u8, inner_version: u8, original: &[u8]) -> (Vec<u8>, IpProto, OuterFields) {
    let mut bytes = original.to_vec();
    let mut packet = PacketBuf::received(&mut bytes);
    let (outer, _) = tunnel(outer_version).outer_for(packet.data_mut()).unwrap();
    let next = beet(inner_version)[0].strip(&mut packet).unwrap();
    let payload = packet.data().to_vec();
    let mut header = [0; 40];
    let mut header = PacketBuf::with_headroom(&mut header, 40, 0).unwrap();
    outer.push(&mut header, IpProto::ESP, 0x1234).unwrap();
    (payload, next, OuterFields::read(&Ip::parse(header.data()).unwrap()))
}

fn receive(version: u8, payload: &[u8], next: IpProto, seen: &OuterFields, room: usize) -> Result<Vec<u8>, BeetError> {
    let mut bytes = [&vec![0xee; room][..], payload].concat();
    let mut packet = PacketBuf::with_headroom(&mut bytes, room, payload.len()).unwrap();
    beet(version)[1].restore(seen, next, &mut packet)?;
    Ok(packet.into_data().to_vec())
}

#[test]
fn ipv4_packet_with_options_is_restored_exactly() {
    for len in (0..=40usize).step_by(4) {
        for (tos, ttl, df) in [(0, 64, 0x40), (0xb9, 1, 0), (0xff, 255, 0x40)] {
            let options: Vec<u8> = (1..=len as u8).collect();
            let mut original = v4(&options, IpProto::TCP, &[7; 33]);
            (original[1], original[6], original[8]) = (tos, df, ttl);
            set_ipv4_checksum(&mut original);
            let (payload, next, seen) = send(4, 4, &original);
            let front = match len {
                0 => vec![],
                // next header, length beyond 8 octets in units of 8, padding, reserved; then the padding
                _ if len % 8 == 4 => vec![IpProto::TCP.0, (len / 8) as u8, 0, 0],
                _ => vec![IpProto::TCP.0, (len / 8) as u8, 4, 0, 1, 1, 1, 1],
            };
            assert_eq!(next, if len == 0 { IpProto::TCP } else { IpProto::BEET });
            assert_eq!(payload, [&front[..], &options, &[7; 33]].concat(), "{len} octets of options");
            assert_eq!((payload.len() - 33) % 8, 0);
            assert_eq!(receive(4, &payload, next, &seen, 20), Ok(original), "{len} octets of options");
        }
    }
}

#[test]
fn ipv4_packet_over_ipv6_loses_only_its_identification() {
    for len in [0, 4, 8, 40] {
        let original = v4(&vec![1; len], IpProto::UDP, &[7; 33]);
        let (payload, next, seen) = send(6, 4, &original);
        let mut expected = original;
        expected[4..6].fill(0);
        set_ipv4_checksum(&mut expected); // DF is set, so the identification has no use (RFC 6864 section 4)
        assert_eq!(receive(4, &payload, next, &seen, 20), Ok(expected), "{len} octets of options");
    }
}

#[test]
fn ipv6_packet_is_restored_over_both_versions() {
    for (outer_version, extensions) in [(6, vec![]), (4, vec![]), (6, vec![ext(IpProto::HOP_BY_HOP, 1)])] {
        let mut original = v6_chain(&extensions, IpProto::TCP, &[7; 33]);
        original[..4].copy_from_slice(&[0x6b, 0x9a, 0xbc, 0xde]);
        original[7] = 3;
        let (payload, next, seen) = send(outer_version, 6, &original);
        assert_eq!((next.0, &payload[..]), (original[6], &original[40..]));
        if outer_version == 4 {
            original[1..4].copy_from_slice(&[0x90, 0, 0]); // an IPv4 header has no flow label
        }
        assert_eq!(receive(6, &payload, next, &seen, 40), Ok(original), "over version {outer_version}");
    }
}

#[test]
fn strip_removes_octets_after_the_packet() {
    for (version, original) in [(4, v4(&[1; 4], IpProto::UDP, &[7; 9])), (6, v6(IpProto::UDP, &[7; 9]))] {
        let (payload, next, _) = send(4, version, &original);
        let (padded, padded_next, _) = send(4, version, &[&original[..], &[0; 5]].concat());
        assert_eq!((padded, padded_next), (payload, next));
    }
}

#[test]
fn strip_refuses_packet_that_does_not_match_the_sa() {
    let fragment = |bits: u16| {
        let mut packet = v4(&[], IpProto::UDP, &[7; 9]);
        packet[6..8].copy_from_slice(&bits.to_be_bytes());
        packet
    };
    let (wrong, ip) = (Err(BeetError::InnerAddressMismatch), |e: IpError| Err(BeetError::Ip(e)));
    let v6_between = |s, d| v6_between(s, d, IpProto::UDP, &[]);
    let v4_between = |s, d| v4_between(s, d, &[1; 4], IpProto::UDP, &[]);
    for (what, version, packet, expected) in [
        ("matching addresses", 4, v4_between(V4_A, V4_B), Ok(IpProto::BEET)),
        ("another source", 4, v4_between(A4, V4_B), wrong),
        ("another destination", 4, v4_between(V4_A, A4), wrong),
        ("reversed addresses", 4, v4_between(V4_B, V4_A), wrong),
        ("other IP version", 4, v6_between(V6_A, V6_B), wrong),
        ("matching addresses", 6, v6_between(V6_A, V6_B), Ok(IpProto::UDP)),
        ("another source", 6, v6_between(A6, V6_B), wrong),
        ("another destination", 6, v6_between(V6_A, A6), wrong),
        ("other IP version", 6, v4_between(V4_A, V4_B), wrong),
        ("first fragment", 4, fragment(0x2000), ip(IpError::Fragment)),
        ("last fragment", 4, fragment(0x0010), ip(IpError::Fragment)),
        ("IP version 0", 4, vec![0; 40], ip(IpError::Version(0))),
        ("empty packet", 4, vec![], ip(IpError::TooShort(TooShort { needed: 20, available: 0 }))),
    ] {
        let mut bytes = packet.clone();
        let mut buffer = PacketBuf::received(&mut bytes);
        assert_eq!(beet(version)[0].strip(&mut buffer), expected, "{what}");
        if expected.is_err() {
            assert_eq!(buffer.data(), packet, "{what}");
        }
    }
}

/// Columns: header length, padding length, available octets, expected octets of options or error.
#[test]
fn malformed_beet_header_is_refused() {
    let (_, _, seen) = send(4, 4, &v4(&[], IpProto::UDP, &[]));
    let short = |needed, available| Err(BeetError::Ip(IpError::TooShort(TooShort { needed, available })));
    let malformed = Err(BeetError::PseudoHeader);
    for (units, pad, there, expected) in [
        (0, 0, 3, short(4, 3)),
        (0, 0, 0, short(4, 0)),
        (0, 0, 4, short(8, 4)),
        (0, 0, 7, short(8, 7)),
        (0, 0, 8, Ok(4)),
        (0, 4, 8, Ok(0)),
        (0, 1, 8, malformed),
        (0, 2, 8, malformed),
        (0, 3, 8, malformed),
        (0, 5, 8, malformed),
        (0, 8, 8, malformed),
        (0, 255, 300, malformed),
        (1, 0, 16, Ok(12)),
        (1, 4, 16, Ok(8)),
        (1, 12, 16, Ok(0)),
        (4, 4, 40, Ok(32)),
        (4, 0, 40, Ok(36)),
        (5, 4, 48, Ok(40)),
        (5, 4, 47, short(48, 47)),
        (5, 0, 48, malformed),
        (6, 0, 56, malformed),
        (255, 0, 2048, malformed),
        (255, 255, 2048, malformed),
    ] {
        let mut payload = vec![7; there];
        payload.iter_mut().zip([IpProto::UDP.0, units, pad, 0]).for_each(|(to, from)| *to = from);
        let restored = receive(4, &payload, IpProto::BEET, &seen, 40);
        match &restored {
            Ok(packet) => {
                let Ip::V4(ip) = Ip::parse(packet).unwrap() else { panic!("not an IPv4 packet") };
                assert!(ip.has_valid_checksum());
                let behind = 8 * (usize::from(units) + 1);
                assert_eq!((ip.header().protocol(), ip.payload().len()), (IpProto::UDP, there - behind));
            }
            Err(_) => assert!(expected.is_err()),
        }
        let options = restored.map(|packet| usize::from(packet[0] & 15) * 4 - 20);
        assert_eq!(options, expected, "{units} units, {pad} octets of padding, {there} available");
    }
}

#[test]
fn restore_refuses_too_small_headroom() {
    let (payload, next, seen) = send(4, 4, &v4(&[], IpProto::UDP, &[7; 9]));
    let no_room = IpError::NoSpace(NoSpace::Front { needed: 20, available: 19 });
    assert_eq!(receive(4, &payload, next, &seen, 19), Err(BeetError::Ip(no_room)));
    let (payload, next, seen) = send(6, 6, &v6(IpProto::UDP, &[7; 9]));
    let no_room = IpError::NoSpace(NoSpace::Front { needed: 40, available: 39 });
    assert_eq!(receive(6, &payload, next, &seen, 39), Err(BeetError::Ip(no_room)));
    assert_eq!(receive(4, &vec![0; 65516], next, &seen, 20), Err(BeetError::Ip(IpError::TooLong(65536))));
}

#[test]
fn ipv6_packet_with_beet_header_is_refused() {
    let (payload, next, seen) = send(6, 6, &v6(IpProto::UDP, &[7; 16]));
    assert_eq!(receive(6, &payload, next, &seen, 40).map(|packet| packet.len()), Ok(56));
    assert_eq!(receive(6, &payload, IpProto::BEET, &seen, 40), Err(BeetError::PseudoHeader));
}
