//! Internet checksum, IP headers, iteration over IPv6 extension headers, the length field, and the parsed form of a
//! packet.

mod packet_builder;

use ipsec_packet::{
    Checksum, DestinationOptions, Flow, Fragment, Ip, IpError, IpProto, Ipv4Header, Ipv6, Ipv6Header,
    MAX_EXTENSION_HEADERS, ParsedIp, TooShort, adjust_checksum, find_header, set_length, transport_position,
};
use packet_builder::*;
use proptest::prelude::*;
use test_vectors::support::checksum::{has_valid_ipv4_checksum, ones_complement_sum};
use zerocopy::IntoBytes;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn checksum_does_not_depend_on_the_division_into_parts(
        data in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(0usize..40, 0..60),
    ) {
        let (mut sum, mut rest) = (Checksum::new(), &data[..]);
        for cut in cuts {
            let (piece, left) = rest.split_at(cut.min(rest.len()));
            (sum, rest) = (sum.over(piece), left);
        }
        let sum = sum.over(rest);
        prop_assert_eq!(sum.finish(), !ones_complement_sum(&data));
        prop_assert_eq!(sum.is_valid(), ones_complement_sum(&data) == 0xffff);
        prop_assert_eq!(Checksum::new().over(&data).finish(), !ones_complement_sum(&data));
    }

    #[test]
    fn adjusted_checksum_equals_recomputed_checksum(
        data in proptest::collection::vec(any::<u8>(), 2..200),
        new in proptest::collection::vec(any::<u8>(), 1..60),
        at in 0usize..100,
    ) {
        // Not all zeros, because their sum has two representations; whole words at an even offset are changed.
        let mut data = [&[0x45, 0], &data[..]].concat();
        let at = (2 + at * 2).min(data.len() & !1);
        let len = new.len().min(data.len() - at) & !1;
        let before = Checksum::new().over(&data).finish();
        let old = data[at..at + len].to_vec();
        data[at..at + len].copy_from_slice(&new[..len]);
        let after = Checksum::new().over(&data).finish();
        prop_assert_eq!(adjust_checksum(before, &old, &new[..len]), after);
    }
}

/// An odd number of octets at an even offset is for example the TTL, or the end of a packet.
#[test]
fn adjusted_checksum_accepts_an_odd_number_of_octets() {
    for (at, new) in [(8, &[63][..]), (0, &[0x46]), (12, &[1, 2, 3]), (14, &[5]), (0, &[0x45, 7, 0])] {
        let mut packet = v4(&[], IpProto::UDP, &[]);
        let carried = u16::from_be_bytes([packet[10], packet[11]]);
        let old = packet[at..at + new.len()].to_vec();
        packet[at..at + new.len()].copy_from_slice(new);
        packet[10..12].copy_from_slice(&adjust_checksum(carried, &old, new).to_be_bytes());
        assert_eq!(ones_complement_sum(&packet[..20]), 0xffff, "{} octets at {at}", new.len());
    }
}

#[test]
fn checksum_over_more_than_64_kilobytes_does_not_overflow() {
    let data = vec![0xff; 1 << 20];
    assert_eq!(Checksum::new().over(&data).finish(), 0);
    assert!(Checksum::new().over(&data).is_valid());
    assert!(!Checksum::new().is_valid());
}

/// Columns: defect, change that causes it, expected error.
#[test]
fn each_malformed_header_field_has_its_own_error() {
    type Change = fn(&mut Vec<u8>);
    let too_short = |needed, available| IpError::TooShort(TooShort { needed, available });
    let v4_cases: &[(&str, Change, IpError)] = &[
        ("nothing", |p| p.clear(), too_short(20, 0)),
        ("one octet", |p| p.truncate(1), too_short(20, 1)),
        ("truncated header", |p| p.truncate(19), too_short(20, 19)),
        ("version 0", |p| p[0] = 0x05, IpError::Version(0)),
        ("version 5", |p| p[0] = 0x55, IpError::Version(5)),
        ("version 15", |p| p[0] = 0xff, IpError::Version(15)),
        ("header length 0", |p| p[0] = 0x40, IpError::HeaderLength(0)),
        ("header length 4", |p| p[0] = 0x44, IpError::HeaderLength(4)),
        ("options beyond the packet", |p| p[0] = 0x4f, too_short(60, 30)),
        ("total length 0", |p| p[3] = 0, IpError::Length { claimed: 0, available: 30 }),
        ("total length inside the header", |p| p[3] = 19, IpError::Length { claimed: 19, available: 30 }),
        (
            "total length inside the options",
            |p| p[0..4].copy_from_slice(&[0x46, 0, 0, 23]),
            IpError::Length { claimed: 23, available: 30 },
        ),
        ("total length beyond the packet", |p| p[3] = 31, IpError::Length { claimed: 31, available: 30 }),
        ("truncated payload", |p| p.truncate(29), IpError::Length { claimed: 30, available: 29 }),
    ];
    let v6_cases: &[(&str, Change, IpError)] = &[
        ("one octet", |p| p.truncate(1), too_short(40, 1)),
        ("truncated header", |p| p.truncate(39), too_short(40, 39)),
        ("version 7", |p| p[0] = 0x70, IpError::Version(7)),
        ("payload length beyond the packet", |p| p[5] = 11, IpError::Length { claimed: 51, available: 50 }),
        ("payload length 65535", |p| p[4..6].fill(0xff), IpError::Length { claimed: 65575, available: 50 }),
        ("truncated payload", |p| p.truncate(49), IpError::Length { claimed: 50, available: 49 }),
    ];
    for (good, cases) in [(v4(&[], IpProto::UDP, &[7; 10]), v4_cases), (v6(IpProto::UDP, &[7; 10]), v6_cases)] {
        assert!(Ip::parse(&good).is_ok());
        for (name, change, expected) in cases {
            let mut bad = good.clone();
            change(&mut bad);
            assert_eq!(Ip::parse(&bad).map(|_| ()), Err(*expected), "{name}");
        }
    }
}

#[test]
fn header_fields_are_read_as_written() {
    let mut header = Ipv4Header::new(V4_A, V4_B, IpProto::ESP, 64);
    header.set_tos(0xb9);
    header.set_identification(0xbeef);
    header.set_total_length(20);
    for df in [true, false, true] {
        header.set_dont_fragment(df);
        assert_eq!((header.dont_fragment(), header.is_fragment()), (df, false));
    }
    header.set_ttl(3);
    header.set_protocol(IpProto::AH);
    header.set_checksum();
    let ip = Ip::parse(header.as_bytes()).unwrap();
    let Ip::V4(v4) = ip else { panic!("version") };
    assert!(v4.has_valid_checksum() && has_valid_ipv4_checksum(header.as_bytes()));
    assert_eq!((ip.source(), ip.destination()), (V4_A.into(), V4_B.into()));
    assert_eq!((ip.traffic_class(), ip.hop_limit(), v4.header().protocol()), (0xb9, 3, IpProto::AH));
    assert_eq!((v4.header().identification(), v4.options(), v4.payload()), (0xbeef, &[][..], &[][..]));

    let mut header = Ipv6Header::new(V6_A, V6_B, IpProto::ESP, 64);
    header.set_traffic_class(0xb9);
    header.set_flow_label(0xfff5_4321);
    header.set_hop_limit(9);
    header.set_next_header(IpProto::TCP);
    assert_eq!(&header.as_bytes()[..8], &[0x6b, 0x95, 0x43, 0x21, 0, 0, 6, 9]);
    let ip = Ip::parse(header.as_bytes()).unwrap();
    assert_eq!((ip.source(), ip.destination()), (V6_A.into(), V6_B.into()));
    assert_eq!((ip.traffic_class(), ip.hop_limit(), header.flow_label()), (0xb9, 9, 0x5_4321));
    header.set_traffic_class(0);
    assert_eq!((header.flow_label(), header.traffic_class()), (0x5_4321, 0));
}

#[test]
fn octets_after_the_total_length_are_not_part_of_the_packet() {
    for packet in [v4(&[1; 8], IpProto::TCP, &[7; 10]), v6(IpProto::TCP, &[7; 10]), v6(IpProto::NO_NEXT, &[])] {
        let padded = [&packet[..], &[0; 6]].concat();
        assert_eq!(Ip::parse(&padded).unwrap().packet(), packet);
    }
}

#[test]
fn set_length_changes_length_and_checksum_only() {
    for options in [0, 4, 40] {
        let good = v4(&vec![1; options], IpProto::ESP, &[7; 33]);
        let mut packet = good.clone();
        packet[2..4].fill(0xee);
        packet[10..12].fill(0xee);
        assert_eq!(set_length(&mut packet), Ok(()));
        assert_eq!(packet, good);
    }
    let good = v6(IpProto::ESP, &[7; 33]);
    let mut packet = good.clone();
    packet[4..6].fill(0xee);
    assert_eq!(set_length(&mut packet), Ok(()));
    assert_eq!(packet, good);
}

#[test]
fn set_length_refuses_too_long_packet() {
    let sized = |first: u8, len: usize| {
        let mut packet = vec![0; len];
        packet[0] = first;
        packet
    };
    for (first, len, expected) in [
        (0x45, 65535, Ok(())),
        (0x45, 65536, Err(IpError::TooLong(65536))),
        (0x60, 65575, Ok(())),
        (0x60, 65576, Err(IpError::TooLong(65576))),
        (0x50, 40, Err(IpError::Version(5))),
    ] {
        assert_eq!(set_length(&mut sized(first, len)), expected, "{len} octets of {first:#x}");
    }
    assert_eq!(set_length(&mut []), Err(TooShort { needed: 20, available: 0 }.into()));
}

/// The error equals that of `Ip::parse`.
#[test]
fn set_length_refuses_malformed_header() {
    for (first, len) in [(0x40, 20), (0x44, 40), (0x46, 20), (0x4f, 59), (0x45, 19), (0x60, 39), (0x60, 1)] {
        let mut packet = vec![0xee; len];
        packet[0] = first;
        let before = packet.clone();
        let expected = Ip::parse(&packet).map(|_| ());
        assert_eq!(set_length(&mut packet), expected, "{len} octets of {first:#x}");
        assert_eq!(packet, before, "{len} octets of {first:#x} changed");
    }
}

/// Returns all extension headers in the order of RFC 8200 section 4.1, AH included.
fn full_order() -> [Ext; 6] {
    [
        ext(IpProto::HOP_BY_HOP, 1),
        ext(IpProto::DESTINATION_OPTIONS, 0),
        ext(IpProto::ROUTING, 2),
        fragment(0),
        ah(4),
        ext(IpProto::DESTINATION_OPTIONS, 3),
    ]
}

#[test]
fn walk_accepts_every_legal_order_of_extension_headers() {
    for subset in 0..64u32 {
        let chosen: Vec<Ext> =
            full_order().into_iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, e)| e).collect();
        for upper in [IpProto::TCP, IpProto::ESP, IpProto::NO_NEXT, IpProto::IPCOMP, IpProto(253)] {
            let packet = v6_chain(&chosen, upper, &[0; 16]);
            let ip = Ipv6::parse(&packet).unwrap();
            let (mut seen, mut offset, mut next_header_at) = (0, 40, 6);
            let end = ip
                .walk(|found| {
                    let (kind, body) = &chosen[seen];
                    assert_eq!(
                        (found.link.kind, found.link.offset, found.link.next_header_at),
                        (*kind, offset, next_header_at)
                    );
                    assert_eq!((found.len, packet[next_header_at]), (body.len(), kind.0));
                    (seen, next_header_at, offset) = (seen + 1, offset, offset + found.len);
                    false
                })
                .unwrap();
            assert_eq!((seen, end.kind, end.offset, end.next_header_at), (chosen.len(), upper, offset, next_header_at));
        }
    }
}

#[test]
fn walk_stops_at_the_requested_header() {
    let packet = v6_chain(&full_order(), IpProto::TCP, &[0; 20]);
    let ip = Ipv6::parse(&packet).unwrap();
    let link = ip.walk(|found| found.link.kind == IpProto::ROUTING).unwrap();
    assert_eq!((link.kind, link.offset, link.next_header_at), (IpProto::ROUTING, 40 + 16 + 8, 40 + 16));
}

#[test]
fn truncated_extension_header_is_malformed() {
    let chosen = full_order();
    let packet = v6_chain(&chosen, IpProto::TCP, &[0; 20]);
    let starts: Vec<usize> = chosen
        .iter()
        .scan(40, |at, (_, body)| {
            *at += body.len();
            Some(*at - body.len())
        })
        .collect();
    let upper = packet.len() - 20;
    for len in 40..=packet.len() {
        let mut cut = packet[..len].to_vec();
        set_length(&mut cut).unwrap();
        let walked = Ipv6::parse(&cut).unwrap().walk(|_| false).map(|link| link.offset);
        let broken = *starts.iter().filter(|start| **start <= len).max().unwrap();
        let expected = if len < upper { Err(IpError::Extension { offset: broken }) } else { Ok(upper) };
        assert_eq!(walked, expected, "truncated to {len} octets");
    }
}

#[test]
fn extension_header_longer_than_the_packet_is_malformed() {
    for kind in [IpProto::HOP_BY_HOP, IpProto::ROUTING, IpProto::DESTINATION_OPTIONS, IpProto::AH] {
        for units in 0..=255u8 {
            let mut packet = v6_chain(&[ext(kind, 1)], IpProto::TCP, &[0; 40]);
            packet[41] = units;
            let len = if kind == IpProto::AH { 4 * (usize::from(units) + 2) } else { 8 * (usize::from(units) + 1) };
            let walked = Ipv6::parse(&packet).unwrap().walk(|_| false).map(|link| link.offset);
            let expected = if len <= 56 { Ok(40 + len) } else { Err(IpError::Extension { offset: 40 }) };
            assert_eq!(walked, expected, "{kind} of {units} units");
        }
    }
}

#[test]
fn fragment_header_is_8_octets_for_any_reserved_octet() {
    let mut packet = v6_chain(&[fragment(0)], IpProto::TCP, &[0; 20]);
    packet[41] = 255;
    assert_eq!(Ipv6::parse(&packet).unwrap().walk(|_| false).map(|link| link.offset), Ok(48));
}

#[test]
fn more_than_16_extension_headers_are_refused() {
    for (count, expected) in [(15, Ok(40 + 15 * 8)), (16, Ok(40 + 16 * 8)), (17, Err(IpError::TooManyExtensions))] {
        let chain = vec![ext(IpProto::DESTINATION_OPTIONS, 0); count];
        let packet = v6_chain(&chain, IpProto::TCP, &[0; 20]);
        let mut followed = 0;
        let walked = Ipv6::parse(&packet).unwrap().walk(|_| {
            followed += 1;
            false
        });
        assert_eq!(walked.map(|link| link.offset), expected, "{count} headers");
        assert_eq!(followed, count.min(MAX_EXTENSION_HEADERS));
    }
}

fn ipv6(first: u8, rest: &[u8]) -> Vec<u8> {
    packet_builder::v6(IpProto(first), rest)
}

/// Returns an options header of 8 octets in front of `next`.
fn header(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

#[test]
fn positions_of_ipsec_headers_differ_by_destination_options() {
    let packet = ipv6(0, &[header(60), header(17), [0, 7, 0, 9, 0, 8, 0, 0]].concat());
    let ip = ParsedIp::read(&packet).unwrap();
    let at = |options| ip.transport_position(options).map(|place| (place.at, place.next));
    assert_eq!(at(DestinationOptions::Protected), Ok((48, IpProto::DESTINATION_OPTIONS)));
    assert_eq!(at(DestinationOptions::Unprotected), Ok((56, IpProto::UDP)));
    assert_eq!(ip.first_header().map(|(place, fragment)| (place.at, fragment)), Ok((56, Fragment::Whole)));
}

#[test]
fn inserted_header_is_the_first_and_bounds_both_positions() {
    let packet = ipv6(0, &[header(60), header(17), [0, 7, 0, 9, 0, 8, 0, 0]].concat());
    let mut ip = ParsedIp::read(&packet).unwrap();
    let place = ip.transport_position(DestinationOptions::Protected).unwrap();
    ip.insert(place, 16, IpProto::ESP);
    let esp = ipv6(0, &[&header(50)[..], &[0; 16], &header(17), &[0, 7, 0, 9, 0, 8, 0, 0]].concat());
    assert!(ip.is_of(&esp));
    assert_eq!(ip.find(IpProto::ESP).map(|place| place.at), Ok(48));
}

#[test]
fn reversed_headers_have_the_positions_of_the_packet_and_its_reversed_flow() {
    let udp = [1, 2, 3, 4, 0, 8, 0, 0];
    let first_fragment = v6_chain(&[fragment(1)], IpProto::UDP, &udp);
    for (packet, is_fragment) in [(v4(&[], IpProto::UDP, &udp), false), (first_fragment, true)] {
        let ip = ParsedIp::read(&packet).unwrap();
        let reversed = ip.reversed();
        assert_eq!(reversed.flow(), ip.flow().map(Flow::reversed));
        assert_eq!((reversed.ends(), reversed.len()), ((ip.destination(), ip.source()), packet.len()));
        assert_eq!((reversed.first_header(), reversed.is_fragment()), (ip.first_header(), is_fragment));
        assert_eq!(reversed.reversed(), ip);
    }
}

#[test]
fn fragments_have_no_position_for_an_ipsec_header() {
    let fragment = |high, low| ipv6(44, &[50, 0, high, low, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (high, low, expected) in [(0, 1, Fragment::First(48)), (0, 8, Fragment::Later), (1, 1, Fragment::Later)] {
        let ip = ParsedIp::read(&fragment(high, low)).unwrap();
        let (place, fragment) = ip.first_header().unwrap();
        assert_eq!((place.at, place.next, fragment), (40, IpProto::ESP, expected));
        assert_eq!(ip.transport_position(DestinationOptions::Protected), Err(IpError::Fragment));
        assert_eq!(ip.find(IpProto::ESP), Err(IpError::Fragment));
    }
    let atomic = ParsedIp::read(&fragment(0, 0)).unwrap();
    assert_eq!(atomic.first_header().map(|(place, fragment)| (place.at, fragment)), Ok((48, Fragment::Whole)));
}

#[test]
fn truncated_ah_is_found_and_has_no_flow() {
    let ip = ParsedIp::read(&ipv6(51, &[6, 200, 0, 0, 0, 0, 0, 1])).unwrap();
    assert_eq!(ip.find(IpProto::AH).map(|place| place.at), Ok(40));
    assert_eq!(ip.flow(), Err(IpError::Extension { offset: 40 }));
    assert_eq!(ip.first_header().map(|(place, _)| place.at), Err(IpError::Extension { offset: 40 }));
}

proptest! {
    #[test]
    fn parsed_ip_agrees_with_the_functions_over_octets(
        first in prop::sample::select(vec![0u8, 43, 44, 60, 51, 50, 17, 6, 58, 108, 59]),
        rest in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 8, 17, 43, 44, 50, 51, 58, 60, 108]), 0..80),
        version in prop::sample::select(vec![4u8, 6]),
    ) {
        let packet = if version == 6 { ipv6(first, &rest) } else { packet_builder::v4(&[], IpProto(first), &rest) };
        let ip = ParsedIp::read(&packet).unwrap();
        prop_assert_eq!(ip.flow(), Flow::read(&packet));
        prop_assert_eq!(ip.len(), packet.len());
        for options in [DestinationOptions::Protected, DestinationOptions::Unprotected] {
            prop_assert_eq!(ip.transport_position(options), transport_position(&packet, options));
        }
        for wanted in [IpProto::ESP, IpProto::AH, IpProto::IPCOMP, IpProto::UDP, IpProto::IPV4] {
            prop_assert_eq!(ip.find(wanted), find_header(&packet, wanted));
        }
        let mut again = ip;
        again.read_next_headers(&packet);
        prop_assert_eq!(again, ip);
    }
}
