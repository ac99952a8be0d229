//! Repair of transport checksums behind a NAT (RFC 3948 section 3.1.2), and TCP MSS clamping.

mod packet_builder;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipsec_packet::ChecksumRepair::{Incremental, Leave, Recompute};
use ipsec_packet::{Ip, IpError, IpProto, OriginalAddresses, clamp_tcp_mss, is_tcp_syn, repair_checksum, tcp_mss};
use packet_builder::*;
use test_vectors::Random;
use test_vectors::support::checksum::{ones_complement_sum, pseudo_header};

const NAT_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 77), Ipv4Addr::new(10, 0, 0, 9)];
const NAT_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 9, 9, 9, 9, 9, 9), Ipv6Addr::new(0xfd00, 1, 2, 3, 4, 5, 6, 7)];

const FIELDS: [(IpProto, usize); 3] = [(IpProto::TCP, 16), (IpProto::UDP, 6), (IpProto::ICMPV6, 2)];

/// Builds a segment whose checksum is valid for these addresses, which are those before translation.
fn segment(proto: IpProto, field: usize, source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
    let mut segment = [&[0x30, 0x39, 0x01, 0xbb][..], &[0; 16], payload].concat();
    if proto == IpProto::UDP {
        let length = segment.len() as u16;
        segment[4..6].copy_from_slice(&length.to_be_bytes());
    }
    set_transport_checksum(source, destination, proto, &mut segment, field);
    segment
}

/// Builds the packet with translated addresses; returns it and the offset of the segment.
fn translated(version: u8, proto: IpProto, segment: &[u8]) -> (Vec<u8>, usize) {
    match version {
        4 => (v4_between(NAT_V4[0], NAT_V4[1], &[1; 8], proto, segment), 28),
        _ => {
            let mut packet = v6_chain(&[ext(IpProto::HOP_BY_HOP, 0)], proto, segment);
            packet[8..24].copy_from_slice(&NAT_V6[0].octets());
            packet[24..40].copy_from_slice(&NAT_V6[1].octets());
            (packet, 48)
        }
    }
}

fn has_valid_checksum(packet: &[u8], at: usize, proto: IpProto) -> bool {
    let ip = Ip::parse(packet).unwrap();
    has_valid_transport_checksum(ip.source(), ip.destination(), proto, &ip.packet()[at..])
}

const SENT: [(u8, IpAddr, IpAddr); 2] =
    [(4, IpAddr::V4(V4_A), IpAddr::V4(V4_B)), (6, IpAddr::V6(V6_A), IpAddr::V6(V6_B))];

//= RFC 3948 3.1.2/1
//# MUST: out of transport mode, the TCP or UDP checksum is adjusted, recomputed or waived
#[test]
fn repaired_checksum_is_valid_for_translated_addresses() {
    let mut random = Random(3948);
    for len in 0..60 {
        for (version, source, destination) in SENT {
            for (proto, field) in FIELDS {
                if (version, proto) == (4, IpProto::ICMPV6) {
                    continue;
                }
                let sent = segment(proto, field, source, destination, &random.octets(len));
                let (broken, at) = translated(version, proto, &sent);
                assert!(!has_valid_checksum(&broken, at, proto));
                for repair in [Incremental(OriginalAddresses { source, destination }), Recompute, Leave] {
                    let mut packet = [&broken[..], &[0xee; 5]].concat(); // followed by padding of the link layer
                    assert_eq!(repair_checksum(&mut packet, repair), Ok(()));
                    assert_eq!(
                        has_valid_checksum(&packet, at, proto),
                        repair != Leave,
                        "{proto} on {version}, {repair:?}"
                    );
                    packet[at + field..at + field + 2].copy_from_slice(&broken[at + field..at + field + 2]);
                    assert_eq!(packet[..broken.len()], broken, "{proto}, {repair:?}: only the checksum changes");
                }
            }
        }
    }
}

#[test]
fn invalid_checksum_of_the_sender_stays_invalid_unless_recomputed() {
    for (version, source, destination) in SENT {
        let mut sent = segment(IpProto::TCP, 16, source, destination, &[7; 30]);
        sent[33] ^= 1;
        let (broken, at) = translated(version, IpProto::TCP, &sent);
        for (repair, right) in [(Incremental(OriginalAddresses { source, destination }), false), (Recompute, true)] {
            let mut packet = broken.clone();
            repair_checksum(&mut packet, repair).unwrap();
            assert_eq!(has_valid_checksum(&packet, at, IpProto::TCP), right, "{repair:?}");
        }
    }
}

/// The translation is between IPv4 and IPv6, so the original addresses have the other length.
#[test]
fn incremental_repair_accepts_original_addresses_of_the_other_version() {
    let [(_, s4, d4), (_, s6, d6)] = SENT;
    for (version, source, destination) in [(6, s4, d4), (4, s6, d6)] {
        let sent = segment(IpProto::TCP, 16, source, destination, &[7; 30]);
        let (mut packet, at) = translated(version, IpProto::TCP, &sent);
        repair_checksum(&mut packet, Incremental(OriginalAddresses { source, destination })).unwrap();
        assert!(has_valid_checksum(&packet, at, IpProto::TCP), "to version {version}");
    }
}

#[test]
fn zero_udp_checksum_stays_zero() {
    let (_, source, destination) = SENT[0];
    let mut sent = segment(IpProto::UDP, 6, source, destination, &[7; 30]);
    sent[6..8].fill(0);
    let (none, _) = translated(4, IpProto::UDP, &sent);
    for repair in [Incremental(OriginalAddresses { source, destination }), Recompute, Leave] {
        let mut packet = none.clone();
        assert_eq!(repair_checksum(&mut packet, repair), Ok(()));
        assert_eq!(packet, none, "{repair:?}");
    }
}

/// A TCP checksum of 0 is transmitted as 0; a computed UDP checksum of 0 is transmitted as 0xffff (RFC 768).
#[test]
fn computed_checksum_of_zero_is_0xffff_in_udp_only() {
    for (proto, field, zero) in [(IpProto::TCP, 16, [0, 0]), (IpProto::UDP, 6, [0xff, 0xff])] {
        for (version, source, destination) in SENT {
            // With this last word the checksum over the translated addresses is 0.
            let mut sent = segment(proto, field, source, destination, &[7; 4]);
            let (mut probe, at) = translated(version, proto, &sent);
            let end = probe.len() - 2;
            probe[end..].fill(0);
            repair_checksum(&mut probe, Recompute).unwrap();
            sent[22..24].copy_from_slice(&probe[at + field..at + field + 2]);
            set_transport_checksum(source, destination, proto, &mut sent, field);
            for repair in [Incremental(OriginalAddresses { source, destination }), Recompute] {
                let (mut packet, at) = translated(version, proto, &sent);
                repair_checksum(&mut packet, repair).unwrap();
                assert_eq!(packet[at + field..at + field + 2], zero, "{proto} on {version}, {repair:?}");
            }
        }
    }
}

/// The pseudo-header contains the UDP length (RFC 768), which may be less than the length of the IP payload.
#[test]
fn octets_after_a_udp_datagram_are_not_part_of_its_checksum() {
    for (version, source, destination) in SENT {
        let sent = segment(IpProto::UDP, 6, source, destination, &[7; 30]);
        let (mut packet, at) = translated(version, IpProto::UDP, &[&sent[..], &[0xee; 6]].concat());
        repair_checksum(&mut packet, Recompute).unwrap();
        let ip = Ip::parse(&packet).unwrap();
        let datagram = &packet[at..at + sent.len()];
        assert!(
            has_valid_transport_checksum(ip.source(), ip.destination(), IpProto::UDP, datagram),
            "version {version}"
        );
    }
}

#[test]
fn packet_without_transport_checksum_is_unmodified() {
    for (proto, len, expected) in [
        (IpProto::ICMP, 3, Ok(())),
        (IpProto::ESP, 40, Ok(())),
        (IpProto::SCTP, 40, Ok(())),
        (IpProto::TCP, 17, Err(())),
        (IpProto::TCP, 0, Err(())),
        (IpProto::UDP, 7, Err(())),
        (IpProto::UDP, 6, Err(())),
    ] {
        for version in [4, 6] {
            let (original, at) = translated(version, proto, &vec![7; len]);
            let mut packet = original.clone();
            let expected = expected.map_err(|()| IpError::Extension { offset: at });
            assert_eq!(repair_checksum(&mut packet, Recompute), expected, "{len} octets of {proto}");
            assert_eq!(packet, original);
        }
    }
    let (mut fragment, _) = translated(4, IpProto::UDP, &[7; 40]);
    fragment[6] = 0x20;
    assert_eq!(repair_checksum(&mut fragment, Recompute), Err(IpError::Fragment));
}

/// Builds a TCP segment with these flags and options and a valid checksum; returns the packet and the segment's offset.
fn syn(version: u8, flags: u8, options: &[u8]) -> (Vec<u8>, usize) {
    let (_, source, destination) = SENT[usize::from(version == 6)];
    let mut segment = [&[0; 20][..], options, b"data"].concat();
    (segment[12], segment[13]) = (((20 + options.len()) * 4) as u8, flags);
    set_transport_checksum(source, destination, IpProto::TCP, &mut segment, 16);
    match version {
        4 => (v4(&[1; 4], IpProto::TCP, &segment), 24),
        _ => (v6_chain(&[ext(IpProto::DESTINATION_OPTIONS, 0)], IpProto::TCP, &segment), 48),
    }
}

const SYN: u8 = 0x02;

#[test]
fn clamp_tcp_mss_updates_the_checksum() {
    for (options, value_at) in [
        (&[2, 4, 5, 0xb4][..], 22),
        (&[1, 2, 4, 5, 0xb4, 1, 1, 1], 23),
        (&[1, 1, 2, 4, 5, 0xb4, 1, 1], 24),
        (&[1, 1, 1, 2, 4, 5, 0xb4, 1], 25),
        (&[3, 3, 7, 2, 4, 5, 0xb4, 0], 25),
        (&[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 5, 0xb4, 0, 0], 32),
        (&[253, 2, 253, 5, 0, 0, 0, 2, 4, 5, 0xb4, 0], 29),
    ] {
        for version in [4, 6] {
            for flags in [SYN, SYN | 0x10, SYN | 0xc0] {
                for mss in [1459, 1340, 536, 0x0100, 1, 0] {
                    let (original, at) = syn(version, flags, options);
                    let mut packet = original.clone();
                    assert_eq!(clamp_tcp_mss(&mut packet, mss), Ok(true));
                    assert_eq!(packet[at + value_at..at + value_at + 2], mss.to_be_bytes(), "{options:?}");
                    assert!(has_valid_checksum(&packet, at, IpProto::TCP), "{options:?} to {mss} on {version}");
                    packet[at + value_at..at + value_at + 2].copy_from_slice(&1460u16.to_be_bytes());
                    packet[at + 16..at + 18].copy_from_slice(&original[at + 16..at + 18]);
                    assert_eq!(packet, original, "only MSS and checksum change");
                }
            }
        }
    }
}

#[test]
fn clamp_tcp_mss_leaves_other_packets_unmodified() {
    let cases: &[(&str, u8, &[u8])] = &[
        ("MSS below the limit", SYN, &[2, 4, 5, 0x3c]),
        ("no SYN flag", 0x10, &[2, 4, 5, 0xb4]),
        ("FIN flag", 0x01, &[2, 4, 5, 0xb4]),
        ("no options", SYN, &[]),
        ("no MSS option", SYN, &[1, 3, 3, 7]),
        ("MSS after end of option list", SYN, &[0, 2, 4, 5, 0xb4, 1, 1, 1]),
        ("MSS after end of option list and a length-like octet", SYN, &[0, 4, 1, 1, 2, 4, 5, 0xb4]),
        ("MSS inside another option", SYN, &[9, 8, 2, 4, 5, 0xb4, 1, 1]),
        ("option of length 0", SYN, &[9, 0, 2, 4, 5, 0xb4, 1, 1]),
        ("option of length 1", SYN, &[9, 1, 2, 4, 5, 0xb4, 1, 1]),
        ("option longer than the header", SYN, &[9, 250, 2, 4, 5, 0xb4, 1, 1]),
        ("MSS option of length 3", SYN, &[2, 3, 5, 2, 5, 0xb4, 1, 1]),
        ("MSS option truncated by the end of the header", SYN, &[1, 2, 4, 5]),
        ("option kind without length at the end of the header", SYN, &[1, 1, 1, 2]),
    ];
    for version in [4, 6] {
        for (what, flags, options) in cases {
            let (original, _) = syn(version, *flags, options);
            let mut packet = original.clone();
            assert_eq!(clamp_tcp_mss(&mut packet, 1340), Ok(false), "{what}");
            assert_eq!(packet, original, "{what}");
        }
    }
    let (mut fragment, _) = syn(4, SYN, &[2, 4, 5, 0xb4]);
    fragment[6] = 0x20;
    let (other, _) = translated(4, IpProto::UDP, &[0x22; 40]);
    for original in [fragment, other] {
        let mut packet = original.clone();
        assert_eq!((clamp_tcp_mss(&mut packet, 1), packet), (Ok(false), original));
    }
}

#[test]
fn syn_segments_are_recognized() {
    for version in [4, 6] {
        for flags in 0..=255 {
            assert_eq!(is_tcp_syn(&syn(version, flags, &[]).0), flags & SYN != 0, "{flags:#x}");
        }
        let (packet, _) = syn(version, SYN, &[2, 4, 5, 0xb4]);
        for length in 0..packet.len() {
            assert!(!is_tcp_syn(&packet[..length]), "{length} octets");
        }
        assert!(!is_tcp_syn(&translated(version, IpProto::UDP, &[2; 40]).0));
    }
}

#[test]
fn clamp_tcp_mss_ignores_invalid_data_offset() {
    for version in [4, 6] {
        for offset in (0..16).filter(|offset| *offset != 6) {
            let (mut original, at) = syn(version, SYN, &[2, 4, 5, 0xb4]);
            original[at + 12] = offset << 4;
            let mut packet = original.clone();
            let clamped = clamp_tcp_mss(&mut packet, 1340);
            // Data offset 7 still covers the option and does not exceed the packet.
            assert_eq!(clamped, Ok(offset == 7), "data offset {offset}");
            assert_eq!(packet == original, offset != 7);
        }
    }
}

/// Octets after the total length of the IP packet are padding of the link layer.
#[test]
fn octets_after_the_packet_are_not_tcp_options() {
    for version in [4, 6] {
        let (original, at) = syn(version, SYN, &[]);
        let mut original = original[..original.len() - 4].to_vec();
        let length = original.len() as u16;
        match version {
            4 => original[2..4].copy_from_slice(&length.to_be_bytes()),
            _ => original[4..6].copy_from_slice(&(length - 40).to_be_bytes()),
        }
        original[at + 12] = 6 << 4;
        original.extend([2, 4, 5, 0xb4]);
        let mut packet = original.clone();
        assert_eq!(clamp_tcp_mss(&mut packet, 1340), Ok(false), "version {version}");
        assert_eq!(packet, original, "version {version}");
    }
}

#[test]
fn tcp_mss_is_mtu_less_ip_and_tcp_headers() {
    for (mtu, version, mss) in [(1500, 4, 1460), (1500, 6, 1440), (1280, 6, 1220), (40, 4, 0), (39, 4, 0), (0, 6, 0)] {
        assert_eq!(tcp_mss(mtu, version), mss);
    }
}

/// Computes the one's complement sum over the pseudo-header of a segment and the covered octets of it.
fn sum(source: IpAddr, destination: IpAddr, proto: u8, length: usize, covered: &[u8]) -> u16 {
    ones_complement_sum(&[&pseudo_header(source, destination, proto, length), covered].concat())
}

#[test]
fn udp_lite_and_dccp_are_repaired_for_every_coverage() {
    let mut random = Random(3828);
    for (version, source, destination) in SENT {
        for len in [0usize, 1, 8, 33] {
            // Protocol, value of the coverage field, covered octets.
            let udp_lite = [0, 8, 9, 8 + len as u16].map(|n| (136u8, n, if n == 0 { 8 + len } else { usize::from(n) }));
            let dccp = [0u16, 1, 2, 15]
                .map(|n| (33u8, n, if n == 0 { 16 + len } else { (16 + 4 * (usize::from(n) - 1)).min(16 + len) }));
            for (proto, coverage, covered) in udp_lite.into_iter().chain(dccp) {
                let head = if proto == 136 { 8 } else { 16 };
                if covered > head + len {
                    continue;
                }
                let mut sent = [random.octets(head), random.octets(len)].concat();
                match proto {
                    136 => sent[4..6].copy_from_slice(&coverage.to_be_bytes()),
                    _ => (sent[4], sent[5]) = (4, 0x30 | coverage as u8),
                }
                sent[6..8].fill(0);
                let checksum = !sum(source, destination, proto, sent.len(), &sent[..covered]);
                let checksum = if checksum == 0 && proto == 136 { 0xffff } else { checksum };
                sent[6..8].copy_from_slice(&checksum.to_be_bytes());
                let (broken, at) = translated(version, IpProto(proto), &sent);
                for repair in [Incremental(OriginalAddresses { source, destination }), Recompute] {
                    let mut packet = broken.clone();
                    assert_eq!(repair_checksum(&mut packet, repair), Ok(()));
                    let ip = Ip::parse(&packet).unwrap();
                    let sum = sum(ip.source(), ip.destination(), proto, sent.len(), &packet[at..at + covered]);
                    assert_eq!(sum, 0xffff, "{proto}, coverage {coverage} of {len}, {repair:?}");
                    assert_eq!(packet[at + covered..], broken[at + covered..]);
                }
            }
        }
    }
}

#[test]
fn udp_lite_and_dccp_with_invalid_coverage_or_length_are_refused_unmodified() {
    for (version, ..) in SENT {
        for (proto, octets) in [
            (136, vec![0, 7, 0, 9, 0, 7, 1, 1, 9]),
            (136, vec![0, 7, 0, 9, 0, 99, 1, 1]),
            (33, vec![0, 7, 0, 9, 2, 1, 1, 1]),
            (33, vec![0; 7]),
        ] {
            let (mut packet, _) = translated(version, IpProto(proto), &octets);
            let before = packet.clone();
            assert!(repair_checksum(&mut packet, Recompute).is_err() && packet == before, "{proto} {octets:?}");
        }
    }
}
