//! Tunnel mode: outer headers, fields copied between outer and inner headers, and validation of the inner packet.

mod packet_builder;

use std::net::{Ipv4Addr, Ipv6Addr};

use ipsec_packet::{
    DfPolicy, DscpPolicy, EcnMode, FlowPolicy, HopLimitPolicy, Ip, IpError, IpProto, NoSpace, OuterFields, PacketBuf,
    TooShort, Tunnel, TunnelError,
};
use packet_builder::*;
use test_vectors::support::checksum::{has_valid_ipv4_checksum, set_ipv4_checksum};

const OUT_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];
const OUT_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 2)];

/// Returns the tunnel as configured at the sender and at the receiver.
fn ends(version: u8, change: impl Fn(Tunnel) -> Tunnel) -> [Tunnel; 2] {
    let ([a4, b4], [a6, b6]) = (OUT_V4, OUT_V6);
    match version {
        4 => [Tunnel::v4(a4, b4), Tunnel::v4(b4, a4)].map(change),
        _ => [Tunnel::v6(a6, b6), Tunnel::v6(b6, a6)].map(change),
    }
}

/// Builds a UDP packet with 30 octets of payload, this traffic class and this hop limit.
fn inner(version: u8, class: u8, hops: u8) -> Vec<u8> {
    let mut packet = match version {
        4 => v4(&[], IpProto::UDP, &[7; 30]),
        _ => v6(IpProto::UDP, &[7; 30]),
    };
    set_class(&mut packet, class);
    set_hops(&mut packet, hops);
    packet
}

fn set_class(packet: &mut [u8], class: u8) {
    if packet[0] >> 4 == 4 {
        packet[1] = class;
        set_ipv4_checksum(packet);
    } else {
        packet[0] = 0x60 | class >> 4;
        packet[1] = packet[1] & 15 | class << 4;
    }
}

fn set_hops(packet: &mut [u8], hops: u8) {
    if packet[0] >> 4 == 4 {
        packet[8] = hops;
        set_ipv4_checksum(packet);
    } else {
        packet[7] = hops;
    }
}

fn class_of(packet: &[u8]) -> u8 {
    Ip::parse(packet).unwrap().traffic_class()
}

/// Prepends the outer header without encryption; returns the packet and the next header for ESP.
fn wrap(tunnel: &Tunnel, inner: &[u8]) -> Result<(Vec<u8>, IpProto), TunnelError> {
    let mut bytes = [&[0xee; 40][..], inner].concat();
    let mut packet = PacketBuf::with_headroom(&mut bytes, 40, inner.len()).unwrap();
    let (outer, next) = tunnel.outer_for(packet.data_mut())?;
    assert_eq!(outer.overhead(), tunnel.overhead());
    outer.push(&mut packet, IpProto::ESP, 0xbeef).unwrap();
    Ok((packet.into_data().to_vec(), next))
}

/// Removes the outer header and validates the inner packet.
fn unwrap(tunnel: &Tunnel, packet: &[u8], next: IpProto) -> Result<Vec<u8>, TunnelError> {
    let mut bytes = packet.to_vec();
    let seen = OuterFields::read(&Ip::parse(packet).unwrap());
    let mut packet = PacketBuf::received(&mut bytes);
    tunnel.check_endpoints(&seen)?;
    packet.pull_front(tunnel.overhead()).unwrap();
    let before = packet.data().to_vec();
    let accepted = tunnel.accept(&seen, next, &mut packet);
    if accepted.is_err() {
        assert_eq!(packet.data(), before, "refused packet was modified");
    }
    accepted.map(|_| packet.into_data().to_vec())
}

const COMBINATIONS: [(u8, u8); 4] = [(4, 4), (4, 6), (6, 4), (6, 6)];

#[test]
fn packet_is_unmodified_by_every_combination_of_versions() {
    for (outside, inside) in COMBINATIONS {
        let [tx, rx] = ends(outside, |tunnel| tunnel);
        let original = inner(inside, 0xb9, 17);
        let (packet, next) = wrap(&tx, &original).unwrap();
        assert_eq!(next, if inside == 4 { IpProto::IPV4 } else { IpProto::IPV6 });
        match Ip::parse(&packet).unwrap() {
            Ip::V4(ip) => {
                assert_eq!((outside, packet.len()), (4, original.len() + 20));
                assert!(has_valid_ipv4_checksum(&packet));
                assert_eq!((ip.header().source(), ip.header().destination()), (OUT_V4[0], OUT_V4[1]));
                assert_eq!((ip.header().protocol(), ip.header().identification()), (IpProto::ESP, 0xbeef));
                assert_eq!((ip.header().tos(), ip.header().ttl(), ip.payload()), (0xb9, 64, &original[..]));
            }
            Ip::V6(ip) => {
                assert_eq!((outside, packet.len()), (6, original.len() + 40));
                assert_eq!((ip.header().source(), ip.header().destination()), (OUT_V6[0], OUT_V6[1]));
                assert_eq!((ip.header().next_header(), ip.header().flow_label()), (IpProto::ESP, 0));
                assert_eq!((ip.header().traffic_class(), ip.header().hop_limit()), (0xb9, 64));
                assert_eq!(packet[40..], original);
            }
        }
        assert_eq!(unwrap(&rx, &packet, next), Ok(original), "{inside} in {outside}");
    }
}

#[test]
fn df_bit_of_the_outer_header_follows_the_setting() {
    for (policy, inside, inner_df, outer_df) in [
        (DfPolicy::Copy, 4, false, false),
        (DfPolicy::Copy, 4, true, true),
        (DfPolicy::Copy, 6, true, true), // routers do not fragment IPv6
        (DfPolicy::Set, 4, false, true),
        (DfPolicy::Set, 4, true, true),
        (DfPolicy::Set, 6, true, true),
        (DfPolicy::Clear, 4, false, false),
        (DfPolicy::Clear, 4, true, false),
        (DfPolicy::Clear, 6, true, false),
    ] {
        let [tx, rx] = ends(4, |tunnel| tunnel.with_df(policy));
        let mut original = inner(inside, 0, 9);
        if inside == 4 && !inner_df {
            original[6] = 0;
            set_ipv4_checksum(&mut original);
        }
        let (packet, next) = wrap(&tx, &original).unwrap();
        assert_eq!(packet[6] & 0x40 != 0, outer_df, "{policy:?} of {inner_df} in {inside}");
        assert_eq!(packet[6] & !0x40, 0);
        assert_eq!(unwrap(&rx, &packet, next), Ok(original));
    }
}

/// Columns: policy, inner DSCP, outer DSCP as sent, outer DSCP as received, inner DSCP delivered.
#[test]
fn dscp_of_the_outer_header_follows_the_setting() {
    for (policy, inside, sent, received, delivered) in [
        (DscpPolicy::Copy, 46, 46, 46, 46),
        (DscpPolicy::Copy, 46, 46, 10, 46),
        (DscpPolicy::Set(0), 46, 0, 0, 46),
        (DscpPolicy::Set(63), 46, 63, 10, 46),
        (DscpPolicy::CopyBothWays, 46, 46, 46, 46),
        (DscpPolicy::CopyBothWays, 46, 46, 10, 10),
        (DscpPolicy::CopyBothWays, 46, 46, 0, 0),
    ] {
        for (outer_version, inner_version) in COMBINATIONS {
            for ecn in 0..4 {
                let [tx, rx] = ends(outer_version, |tunnel| tunnel.with_dscp(policy));
                let (mut packet, next) = wrap(&tx, &inner(inner_version, inside << 2 | ecn, 9)).unwrap();
                assert_eq!(class_of(&packet), sent << 2 | ecn, "{policy:?}");
                set_class(&mut packet, received << 2 | ecn);
                let expected = inner(inner_version, delivered << 2 | ecn, 9);
                assert_eq!(unwrap(&rx, &packet, next), Ok(expected), "{policy:?}, {received} received");
            }
        }
    }
}

/// Columns: policy, inner hop limit, outer and inner hop limit as sent, inner hop limit delivered; `None`: discarded.
#[test]
fn hop_limit_of_the_outer_header_follows_the_setting() {
    for (policy, inside, sent, delivered) in [
        (HopLimitPolicy::Set(64), 0, Some((64, 0)), Some(0)),
        (HopLimitPolicy::Set(255), 1, Some((255, 1)), Some(1)),
        (HopLimitPolicy::Copy, 17, Some((17, 17)), Some(17)),
        (HopLimitPolicy::Decrement(64), 17, Some((64, 16)), Some(15)),
        (HopLimitPolicy::Decrement(9), 255, Some((9, 254)), Some(253)),
        (HopLimitPolicy::Decrement(64), 3, Some((64, 2)), Some(1)),
        (HopLimitPolicy::Decrement(64), 2, Some((64, 1)), None),
        (HopLimitPolicy::Decrement(64), 1, None, None),
        (HopLimitPolicy::Decrement(64), 0, None, None),
    ] {
        for (outer_version, inner_version) in COMBINATIONS {
            let [tx, rx] = ends(outer_version, |tunnel| tunnel.with_hop_limit(policy));
            let mut original = inner(inner_version, 0x2a, inside);
            let Some((outer_hops, inner_hops)) = sent else {
                let before = original.clone();
                let refused = tx.outer_for(&mut original).map(|_| ());
                assert_eq!((refused, original), (Err(TunnelError::HopLimit), before), "{policy:?} of {inside}");
                continue;
            };
            let (packet, next) = wrap(&tx, &original).unwrap();
            let at = tx.overhead();
            assert_eq!(Ip::parse(&packet).unwrap().hop_limit(), outer_hops, "{policy:?}");
            assert_eq!(packet[at..], inner(inner_version, 0x2a, inner_hops), "{policy:?} of {inside}");
            let expected = delivered.map(|hops| inner(inner_version, 0x2a, hops)).ok_or(TunnelError::HopLimit);
            assert_eq!(unwrap(&rx, &packet, next), expected, "{policy:?} of {inside}");
        }
    }
}

#[test]
fn flow_label_of_the_outer_header_follows_the_setting() {
    for (policy, inside, expected) in [
        (FlowPolicy::Set(0), 6, 0),
        (FlowPolicy::Set(0xf_ffff), 6, 0xf_ffff),
        (FlowPolicy::Set(0x1_2345), 4, 0x1_2345),
        (FlowPolicy::Copy, 6, 0xa_bcde),
        (FlowPolicy::Copy, 4, 0),
    ] {
        let [tx, rx] = ends(6, |tunnel| tunnel.with_flow_label(policy));
        let mut original = inner(inside, 0xfc, 9);
        if inside == 6 {
            original[1] = (original[1] & 0xf0) | 0xa;
            original[2..4].copy_from_slice(&[0xbc, 0xde]);
        }
        let (packet, next) = wrap(&tx, &original).unwrap();
        let label = u32::from_be_bytes([0, packet[1] & 15, packet[2], packet[3]]);
        assert_eq!((packet[0] >> 4, class_of(&packet), label), (6, 0xfc, expected), "{policy:?}");
        assert_eq!(unwrap(&rx, &packet, next), Ok(original));
    }
}

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;
const ALL_ECN: [u8; 4] = [NOT_ECT, ECT_0, ECT_1, CE];

/// Outer ECN field for each inner one: RFC 6040 figure 3, RFC 2401, and a tunnel that forbids ECN.
#[test]
fn outer_ecn_field_follows_rfc_6040_figure_3() {
    for (mode, table) in [
        (EcnMode::Normal, [NOT_ECT, ECT_0, ECT_1, CE]),
        (EcnMode::Compatible, [NOT_ECT; 4]),
        (EcnMode::Rfc2401, [NOT_ECT, ECT_0, ECT_1, CE]),
        (EcnMode::Forbidden, [NOT_ECT; 4]),
    ] {
        for (outer_version, inner_version) in COMBINATIONS {
            let [tx, _] = ends(outer_version, |tunnel| tunnel.with_ecn(mode));
            for (inside, outside) in ALL_ECN.into_iter().zip(table) {
                let original = inner(inner_version, 0xb8 | inside, 9);
                let (packet, _) = wrap(&tx, &original).unwrap();
                assert_eq!(class_of(&packet), 0xb8 | outside, "{mode:?}, inner {inside}");
                assert_eq!(packet[tx.overhead()..], original, "inner packet was modified");
            }
        }
    }
}

/// RFC 6040 figure 4: one row for each inner value, one column for each outer value, in the order of `ALL_ECN`.
#[test]
fn delivered_ecn_field_follows_rfc_6040_figure_4() {
    let drop = None;
    let figure_4 = [
        [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), drop],
        [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)],
        [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)],
        [Some(CE), Some(CE), Some(CE), Some(CE)],
    ];
    let ignored = [NOT_ECT, ECT_0, ECT_1, CE].map(|inside| [Some(inside); 4]);
    for (mode, table) in [
        (EcnMode::Normal, figure_4),
        (EcnMode::Compatible, figure_4),
        (EcnMode::Rfc2401, ignored),
        (EcnMode::Forbidden, ignored),
    ] {
        for (outer_version, inner_version) in COMBINATIONS {
            let [tx, rx] = ends(outer_version, |tunnel| tunnel.with_ecn(mode));
            for (inside, row) in ALL_ECN.into_iter().zip(table) {
                for (outside, expected) in ALL_ECN.into_iter().zip(row) {
                    let (mut packet, next) = wrap(&tx, &inner(inner_version, 0xb8 | inside, 9)).unwrap();
                    set_class(&mut packet, outside);
                    let expected = expected.map(|ecn| inner(inner_version, 0xb8 | ecn, 9));
                    let expected = expected.ok_or(TunnelError::CongestionLost);
                    assert_eq!(unwrap(&rx, &packet, next), expected, "{mode:?}: {inside} inside, {outside} outside");
                }
            }
        }
    }
}

/// The other tests cover valid checksums, because `inner` computes them; this test has invalid checksums, and options.
#[test]
fn invalid_inner_header_checksum_stays_invalid() {
    let change =
        |tunnel: Tunnel| tunnel.with_hop_limit(HopLimitPolicy::Decrement(64)).with_dscp(DscpPolicy::CopyBothWays);
    let [tx, rx] = ends(4, change);
    for options in [0, 12, 40] {
        for error in [0u16, 1, 0x100, 0x8000, 0xfffe] {
            let mut original = v4(&vec![1; options], IpProto::UDP, &[7; 30]);
            let sum = u16::from_be_bytes([original[10], original[11]]).wrapping_add(error);
            original[10..12].copy_from_slice(&sum.to_be_bytes());
            let right = has_valid_ipv4_checksum(&original);
            let (mut packet, next) = wrap(&tx, &original).unwrap();
            assert_eq!(
                has_valid_ipv4_checksum(&packet[20..]),
                right,
                "after encapsulation, checksum off by {error:#x}"
            );
            set_class(&mut packet, 0xfc);
            let delivered = unwrap(&rx, &packet, next).unwrap();
            assert_eq!((delivered[1], delivered[8]), (0xfc, 62));
            assert_eq!(has_valid_ipv4_checksum(&delivered), right, "after decapsulation, checksum off by {error:#x}");
        }
    }
}

#[test]
fn packet_between_other_endpoints_is_refused() {
    let other4 = Ipv4Addr::new(203, 0, 113, 9);
    let ([a4, b4], [a6, b6]) = (OUT_V4, OUT_V6);
    let seen4 = |s, d| OuterFields::read(&Ip::parse(&v4_between(s, d, &[], IpProto::ESP, &[])).unwrap());
    let seen6 = |s, d| OuterFields::read(&Ip::parse(&v6_between(s, d, IpProto::ESP, &[])).unwrap());
    for (tunnel, seen, right) in [
        (Tunnel::v4(b4, a4), seen4(a4, b4), true),
        (Tunnel::v4(b4, a4), seen4(b4, a4), false),
        (Tunnel::v4(b4, a4), seen4(other4, b4), false),
        (Tunnel::v4(b4, a4), seen4(a4, other4), false),
        (Tunnel::v4(b4, a4), seen6(a6, b6), false),
        (Tunnel::v6(b6, a6), seen6(a6, b6), true),
        (Tunnel::v6(b6, a6), seen6(b6, a6), false),
        (Tunnel::v6(b6, a6), seen6(V6_A, b6), false),
        (Tunnel::v6(b6, a6), seen6(a6, V6_A), false),
        (Tunnel::v6(b6, a6), seen4(a4, b4), false),
        (Tunnel::v6(b4.to_ipv6_mapped(), a4.to_ipv6_mapped()), seen4(a4, b4), false),
    ] {
        let expected = if right { Ok(()) } else { Err(TunnelError::EndpointMismatch) };
        assert_eq!(tunnel.check_endpoints(&seen), expected, "{tunnel:?}");
    }
}

#[test]
fn accept_removes_tfc_padding() {
    for (outer_version, inner_version) in COMBINATIONS {
        for tfc in [0, 1, 100, 1400] {
            let [tx, rx] = ends(outer_version, |tunnel| tunnel);
            let original = inner(inner_version, 0, 9);
            let (mut packet, next) = wrap(&tx, &original).unwrap();
            packet.extend(vec![0xff; tfc]);
            let mut payload = packet[tx.overhead()..].to_vec();
            let mut buffer = PacketBuf::received(&mut payload);
            let seen = OuterFields::read(&Ip::parse(&packet).unwrap());
            assert!(rx.accept(&seen, next, &mut buffer).is_ok());
            assert_eq!((buffer.data(), buffer.tailroom()), (&original[..], tfc));
        }
    }
}

#[test]
fn accept_refuses_malformed_or_mismatched_inner_packet() {
    let too_short = |needed, available| TunnelError::Inner(IpError::TooShort(TooShort { needed, available }));
    let length = |claimed, available| TunnelError::Inner(IpError::Length { claimed, available });
    let with = |mut packet: Vec<u8>, at: usize, octets: &[u8]| {
        packet[at..at + octets.len()].copy_from_slice(octets);
        packet
    };
    let (four, six) = (inner(4, 0, 9), inner(6, 0, 9));
    let (p4, p6) = (IpProto::IPV4, IpProto::IPV6);
    let cases = [
        ("IPv6 packet with next header IPv4", p4, six.clone(), TunnelError::InnerVersion),
        ("IPv4 packet with next header IPv6", p6, four.clone(), TunnelError::InnerVersion),
        ("IP packet with next header UDP", IpProto::UDP, four.clone(), TunnelError::NotIp(IpProto::UDP)),
        ("IP packet with next header 59", IpProto::NO_NEXT, six.clone(), TunnelError::NotIp(IpProto::NO_NEXT)),
        ("empty payload", p4, vec![], too_short(20, 0)),
        ("truncated IPv4 header", p4, four[..19].to_vec(), too_short(20, 19)),
        ("truncated IPv6 header", p6, six[..39].to_vec(), too_short(40, 39)),
        ("unknown IP version", p4, with(four.clone(), 0, &[0x55]), TunnelError::Inner(IpError::Version(5))),
        ("total length 0", p4, with(four.clone(), 2, &[0, 0]), length(0, 50)),
        ("total length inside the header", p4, with(four.clone(), 2, &[0, 19]), length(19, 50)),
        ("total length beyond the packet", p4, with(four.clone(), 2, &[0, 51]), length(51, 50)),
        ("IHL 4", p4, with(four.clone(), 0, &[0x44]), TunnelError::Inner(IpError::HeaderLength(4))),
        ("IHL beyond the packet", p4, with(four.clone(), 0, &[0x4f]), too_short(60, 50)),
        ("payload length beyond the packet", p6, with(six.clone(), 4, &[0, 31]), length(71, 70)),
    ];
    for (outer_version, _) in COMBINATIONS {
        let [tx, rx] = ends(outer_version, |tunnel| tunnel.with_hop_limit(HopLimitPolicy::Decrement(9)));
        let (outer, _) = wrap(&tx, &four).unwrap();
        let seen = OuterFields::read(&Ip::parse(&outer).unwrap());
        for (what, next, payload, expected) in &cases {
            let mut bytes = payload.clone();
            let mut packet = PacketBuf::received(&mut bytes);
            assert_eq!(rx.accept(&seen, *next, &mut packet), Err(*expected), "{what}");
            assert_eq!(packet.data(), payload, "{what}");
        }
    }
}

/// The next header alone decides that the payload is not an IP packet; the payload is not parsed.
#[test]
fn next_header_other_than_ip_is_reported_for_any_payload() {
    let [tx, rx] = ends(4, |tunnel| tunnel);
    let (outer, _) = wrap(&tx, &inner(4, 0, 9)).unwrap();
    let seen = OuterFields::read(&Ip::parse(&outer).unwrap());
    for payload in [&[][..], &[0; 40], &[0x45; 3], &[0x60; 80]] {
        let mut bytes = payload.to_vec();
        let accepted = rx.accept(&seen, IpProto::NO_NEXT, &mut PacketBuf::received(&mut bytes));
        assert_eq!(accepted, Err(TunnelError::NotIp(IpProto::NO_NEXT)), "{} octets", payload.len());
    }
}

#[test]
fn outer_for_refuses_malformed_packet() {
    let [tx, _] = ends(4, |tunnel| tunnel);
    for (bytes, error) in
        [(vec![], IpError::TooShort(TooShort { needed: 20, available: 0 })), (vec![0; 20], IpError::Version(0))]
    {
        assert_eq!(tx.outer_for(&mut bytes.clone()).map(|_| ()), Err(TunnelError::Inner(error)));
    }
}

/// Columns: outer version, payload octets, headroom, expected error.
#[test]
fn push_refuses_too_long_packet_and_too_small_headroom() {
    for (version, len, headroom, expected) in [
        (4, 65515, 20, Ok(())),
        (4, 65516, 20, Err(IpError::TooLong(65536))),
        (6, 65535, 40, Ok(())),
        (6, 65536, 40, Err(IpError::TooLong(65576))),
        (4, 50, 19, Err(IpError::NoSpace(NoSpace::Front { needed: 20, available: 19 }))),
        (6, 50, 39, Err(IpError::NoSpace(NoSpace::Front { needed: 40, available: 39 }))),
    ] {
        let [tx, _] = ends(version, |tunnel| tunnel);
        let (outer, _) = tx.outer_for(&mut inner(4, 0, 9)).unwrap();
        let mut bytes = vec![0xee; headroom + len];
        let mut packet = PacketBuf::with_headroom(&mut bytes, headroom, len).unwrap();
        assert_eq!(outer.push(&mut packet, IpProto::ESP, 1), expected, "{len} octets");
        if expected.is_err() {
            assert_eq!((packet.len(), packet.headroom()), (len, headroom));
            assert!(bytes.iter().all(|octet| *octet == 0xee));
        }
    }
}

#[test]
fn decapsulate_reverses_encapsulate_for_every_combination_of_versions() {
    for (outside, inside) in COMBINATIONS {
        let [tx, rx] = ends(outside, |tunnel| tunnel);
        let original = inner(inside, 0xb9, 17);
        let mut bytes = [&[0xee; 40][..], &original].concat();
        let mut packet = PacketBuf::with_headroom(&mut bytes, 40, original.len()).unwrap();
        tx.encapsulate(&mut packet, 0xbeef).unwrap();
        let ip = Ip::parse(packet.data()).unwrap();
        assert_eq!((ip.packet().len(), ip.hop_limit()), (original.len() + tx.overhead(), 64));
        let next = match &ip {
            Ip::V4(ip) => ip.header().protocol(),
            Ip::V6(ip) => ip.header().next_header(),
        };
        assert_eq!(next, if inside == 4 { IpProto::IPV4 } else { IpProto::IPV6 });
        let accepted = rx.decapsulate(&mut packet).unwrap();
        assert!(accepted.is_of(&original), "{inside} in {outside}");
        assert_eq!(packet.data(), original, "{inside} in {outside}");
    }
}

#[test]
fn decapsulate_removes_outer_options_and_octets_after_the_packet() {
    let (rx, original) = (Tunnel::v4(V4_A, V4_B), inner(4, 0, 17));
    let outer = v4_between(V4_B, V4_A, &[1, 1, 1, 0], IpProto::IPV4, &original);
    let mut bytes = [&outer[..], &[0xee; 6]].concat();
    let mut packet = PacketBuf::received(&mut bytes);
    rx.decapsulate(&mut packet).unwrap();
    assert_eq!(packet.data(), original);
}

#[test]
fn packets_that_are_not_of_the_tunnel_are_not_decapsulated() {
    let rx = Tunnel::v4(V4_A, V4_B);
    let mut fragment = v4_between(V4_B, V4_A, &[], IpProto::IPV4, &inner(4, 0, 17));
    fragment[6] = 0x20;
    for (mut bytes, expected) in [
        (v4_between(V4_A, V4_B, &[], IpProto::IPV4, &inner(4, 0, 17)), TunnelError::EndpointMismatch),
        (v4_between(V4_B, V4_A, &[], IpProto::UDP, &inner(4, 0, 17)), TunnelError::NotIp(IpProto::UDP)),
        (v4_between(V4_B, V4_A, &[], IpProto::IPV6, &inner(4, 0, 17)), TunnelError::InnerVersion),
        (fragment, TunnelError::Inner(IpError::Fragment)),
    ] {
        let before = bytes.clone();
        let mut packet = PacketBuf::received(&mut bytes);
        assert_eq!(rx.decapsulate(&mut packet).err(), Some(expected));
        assert_eq!(packet.data(), before);
    }
}

#[test]
fn encapsulate_leaves_a_refused_packet_unchanged() {
    let tunnel = Tunnel::v6(V6_A, V6_B).with_hop_limit(HopLimitPolicy::Decrement(9));
    // The length field of an outer IPv6 header does not include the header.
    let long = v4(&[], IpProto::UDP, &[7; 65_515]);
    let (v4_tunnel, mut bytes) = (Tunnel::v4(V4_A, V4_B), [&[0xee; 40], &long[..]].concat());
    let mut packet = PacketBuf::with_headroom(&mut bytes, 40, long.len()).unwrap();
    let too_long = TunnelError::Inner(IpError::TooLong(65_555));
    assert_eq!((v4_tunnel.encapsulate(&mut packet, 1), packet.data()), (Err(too_long), &long[..]));
    assert_eq!(tunnel.encapsulate(&mut packet, 1), Ok(()));
    let no_space = NoSpace::Front { needed: 40, available: 39 };
    for (original, headroom, expected) in [
        (inner(4, 0, 17), 39, TunnelError::Inner(IpError::NoSpace(no_space))),
        (inner(4, 0, 1), 40, TunnelError::HopLimit),
    ] {
        let mut bytes = [&vec![0xee; headroom], &original[..]].concat();
        let mut packet = PacketBuf::with_headroom(&mut bytes, headroom, original.len()).unwrap();
        assert_eq!(tunnel.encapsulate(&mut packet, 1), Err(expected));
        assert_eq!(packet.data(), original);
    }
}
