//! Public functions on truncated and corrupted packets: a refused packet is unmodified, and
//! the offsets and lengths of an accepted packet are consistent.

mod packet_builder;

use ipsec_packet::{
    Beet, ChecksumRepair, Datagram, DestinationOptions, DscpPolicy, Fragments, HopLimitPolicy, Ip, IpProto, Ipv4, Ipv6,
    Marker, OriginalAddresses, OuterFields, PacketBuf, Ports, ReplayWindow, SeqCounter, SeqWidth, Tunnel, UdpChecksum,
    clamp_tcp_mss, classify, close_gap, find_header, open_gap, pop_udp, push_udp, repair_checksum, set_length,
    transport_position,
};
use packet_builder::*;
use test_vectors::Random;

/// Returns a well-formed packet of each kind that the crate parses.
fn well_formed_packets() -> Vec<Vec<u8>> {
    let tcp = |options: &[u8]| {
        let mut segment = [&[0; 20][..], options, &[7; 9]].concat();
        (segment[12], segment[13]) = (((20 + options.len()) * 4) as u8, 2);
        segment
    };
    let udp = [&[0x11, 0x94, 0x11, 0x94, 0, 40, 0xab, 0xcd][..], &[7; 32]].concat();
    let chain = [
        ext(IpProto::HOP_BY_HOP, 0),
        ext(IpProto::DESTINATION_OPTIONS, 1),
        ext(IpProto::ROUTING, 2),
        fragment(0),
        ah(4),
        ext(IpProto::DESTINATION_OPTIONS, 0),
    ];
    vec![
        v4(&[], IpProto::TCP, &tcp(&[1, 2, 4, 5, 0xb4, 1, 1, 1])),
        v4(&[1; 40], IpProto::UDP, &udp),
        v4(&[1; 4], IpProto::ESP, &[7; 40]),
        v6(IpProto::TCP, &tcp(&[2, 4, 5, 0xb4])),
        v6_chain(&chain, IpProto::UDP, &udp),
        v6_chain(&chain[..4], IpProto::TCP, &tcp(&[1, 3, 3, 7, 2, 4, 5, 0xb4])),
        v6_chain(&chain[..2], IpProto::ESP, &[7; 40]),
    ]
}

/// Operation on a packet in place; returns whether it refused the packet.
type Operation = fn(&mut PacketBuf<'_>) -> bool;

fn outer_fields() -> OuterFields {
    OuterFields::read(&Ip::parse(&v4_between(V4_B, V4_A, &[], IpProto::ESP, &[])).unwrap())
}

fn tunnel() -> Tunnel {
    let tunnel = Tunnel::v4(V4_A, V4_B).with_hop_limit(HopLimitPolicy::Decrement(9));
    tunnel.with_dscp(DscpPolicy::CopyBothWays)
}

fn repair_is_refused(packet: &mut PacketBuf<'_>, repair: ChecksumRepair) -> bool {
    repair_checksum(packet.data_mut(), repair).is_err()
}

/// Operations that refuse every truncated packet: its length field exceeds the available octets.
const WHOLE_PACKETS_ONLY: &[(&str, Operation)] = &[
    ("Ip::parse", |p| Ip::parse(p.data()).is_err()),
    ("placement", |p| transport_position(p.data(), DestinationOptions::Protected).is_err()),
    ("placement in front of destination options", |p| {
        transport_position(p.data(), DestinationOptions::Unprotected).is_err()
    }),
    ("find ESP header", |p| find_header(p.data(), IpProto::ESP).is_err()),
    ("find AH header", |p| find_header(p.data(), IpProto::AH).is_err()),
    ("outer_for", |p| tunnel().outer_for(p.data_mut()).is_err()),
    ("accept IPv4", |p| tunnel().accept(&outer_fields(), IpProto::IPV4, p).is_err()),
    ("accept IPv6", |p| tunnel().accept(&outer_fields(), IpProto::IPV6, p).is_err()),
    ("accept TCP", |p| tunnel().accept(&outer_fields(), IpProto::TCP, p).is_err()),
    ("strip IPv4", |p| Beet::v4(V4_A, V4_B).strip(p).is_err()),
    ("strip IPv6", |p| Beet::v6(V6_A, V6_B).strip(p).is_err()),
    ("recompute checksum", |p| repair_is_refused(p, ChecksumRepair::Recompute)),
    ("leave checksum", |p| repair_is_refused(p, ChecksumRepair::Leave)),
    ("update checksum", |p| {
        let (source, destination) = (V4_B.into(), V6_A.into());
        repair_is_refused(p, ChecksumRepair::Incremental(OriginalAddresses { source, destination }))
    }),
    ("fragments", |p| Fragments::new(p.data(), 68, 1).is_err()),
    ("clamp_tcp_mss", |p| clamp_tcp_mss(p.data_mut(), 1000).is_err()),
];

#[test]
fn truncated_packet_is_refused_and_unmodified() {
    for original in well_formed_packets() {
        for len in 0..original.len() {
            for (name, operation) in WHOLE_PACKETS_ONLY {
                let mut bytes = original[..len].to_vec();
                let mut packet = PacketBuf::received(&mut bytes);
                assert!(operation(&mut packet), "{name} of {len} octets of {original:02x?}");
                assert_eq!(packet.data(), &original[..len], "{name} of {len} octets");
            }
        }
    }
}

#[test]
fn set_length_refuses_truncated_header() {
    for original in well_formed_packets() {
        let header = if original[0] >> 4 == 4 { usize::from(original[0] & 15) * 4 } else { 40 };
        for len in 0..=original.len() {
            let mut cut = original[..len].to_vec();
            assert_eq!(set_length(&mut cut).is_err(), len < header, "{len} octets of {original:02x?}");
            assert_eq!(Ip::parse(&cut).is_ok(), len >= header);
        }
    }
}

#[test]
fn pop_udp_refuses_truncated_datagram() {
    let datagram = [&[0x11, 0x94, 0x11, 0x94, 0, 40, 0, 0][..], &[7; 32]].concat();
    for len in 0..=datagram.len() {
        let mut bytes = datagram[..len].to_vec();
        let mut packet = PacketBuf::received(&mut bytes);
        let popped = pop_udp(&mut packet);
        assert_eq!(popped.is_ok(), len == datagram.len(), "{len} octets");
        assert_eq!(packet.data(), if popped.is_ok() { &datagram[8..] } else { &datagram[..len] });
    }
}

#[test]
fn classify_returns_a_part_of_the_datagram() {
    for marker in [Marker::NonEsp, Marker::NonIke] {
        for start in 0..16 {
            let mut message = [0; 24];
            message[start..].fill(7);
            for len in 0..=24 {
                let inside = match classify(&message[..len], marker) {
                    Datagram::Ike(inside) | Datagram::Esp(inside) => inside.len(),
                    Datagram::KeepAlive => panic!("no octet is 0xff"),
                    Datagram::Runt => {
                        assert!(len < 8);
                        0
                    }
                };
                assert!(inside <= len && message[..len].ends_with(&message[len - inside..len]));
            }
        }
    }
}

#[test]
fn restore_and_push_udp_accept_any_payload_length() {
    let full: Vec<u8> = [IpProto::UDP.0, 5, 4, 0].into_iter().chain(0..96).collect();
    let ports = Ports { source: 1, destination: 2 };
    for len in 0..=full.len() {
        for room in [0, 7, 8, 16, 20, 40] {
            for next in [IpProto::BEET, IpProto::UDP] {
                for beet in [Beet::v4(V4_A, V4_B), Beet::v6(V6_A, V6_B)] {
                    let mut bytes = [&vec![0; room][..], &full[..len]].concat();
                    let mut packet = PacketBuf::with_headroom(&mut bytes, room, len).unwrap();
                    if beet.restore(&outer_fields(), next, &mut packet).is_ok() {
                        assert_eq!(Ip::parse(packet.data()).unwrap().packet().len(), packet.len());
                    }
                }
            }
            for marker in [Marker::NonEsp, Marker::NonIke] {
                let mut bytes = [&vec![0; room][..], &full[..len]].concat();
                let mut packet = PacketBuf::with_headroom(&mut bytes, room, len).unwrap();
                let pushed = push_udp(&mut packet, ports, marker, UdpChecksum::Zero);
                assert_eq!(pushed.is_ok(), room >= 8 + marker.esp_offset());
                assert_eq!(packet.len(), if pushed.is_ok() { len + 8 + marker.esp_offset() } else { len });
            }
        }
    }
}

#[test]
fn import_refuses_state_of_another_length() {
    let mut bytes = [0; 512];
    let len = ReplayWindow::<2>::new().export(SeqWidth::Bits32, &mut bytes).unwrap();
    for cut in 0..bytes.len() {
        let taken = ReplayWindow::<2>::new().import(SeqWidth::Bits32, &bytes[..cut]);
        assert_eq!(taken.is_ok(), cut == len, "replay window state of {cut} octets");
        let taken = SeqCounter::new(SeqWidth::Bits32).import(&bytes[..cut]);
        assert!(taken.is_err(), "replay window state imported as a counter");
    }
}

#[test]
fn corrupted_packet_is_refused_unmodified_or_consistent() {
    let mut random = Random(1960);
    for original in well_formed_packets() {
        for _ in 0..2000 {
            let mut damaged = original.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(damaged.len() as u64) as usize;
                damaged[at] = random.next_u64() as u8;
            }
            for (name, operation) in WHOLE_PACKETS_ONLY {
                let mut bytes = damaged.clone();
                let mut packet = PacketBuf::received(&mut bytes);
                let refused = operation(&mut packet);
                assert!(!refused || packet.data() == damaged, "{name} modified a refused packet: {damaged:02x?}");
            }
            assert_consistent(&damaged);
        }
    }
}

/// Asserts that the parsed parts lie inside the packet, and that a gap can be opened and closed at the placement.
fn assert_consistent(packet: &[u8]) {
    let Ok(ip) = Ip::parse(packet) else { return };
    assert!(ip.packet().len() <= packet.len() && packet.starts_with(ip.packet()));
    if let Ok(v4) = Ipv4::parse(packet) {
        assert_eq!(v4.packet().len(), 20 + v4.options().len() + v4.payload().len());
    }
    if let Ok(link) = Ipv6::parse(packet).map_err(|_| ()).and_then(|v6| v6.walk(|_| false).map_err(|_| ())) {
        assert!(link.next_header_at < link.offset && link.offset <= ip.packet().len());
        assert_eq!(packet[link.next_header_at], link.kind.0);
    }
    for choice in [DestinationOptions::Protected, DestinationOptions::Unprotected] {
        let Ok(place) = transport_position(packet, choice) else { continue };
        assert!(place.next_header_at < place.at && place.at <= ip.packet().len());
        assert_eq!(packet[place.next_header_at], place.next.0);
        let mut bytes = [&[0; 24][..], ip.packet()].concat();
        let mut buffer = PacketBuf::with_headroom(&mut bytes, 24, ip.packet().len()).unwrap();
        open_gap(&mut buffer, place, 24, IpProto::ESP).unwrap();
        set_length(buffer.data_mut()).unwrap();
        assert_eq!(find_header(buffer.data(), IpProto::ESP).map(|found| found.at), Ok(place.at));
        close_gap(&mut buffer, place, 24, place.next).unwrap();
        assert_eq!(buffer.data()[place.at..], ip.packet()[place.at..]);
    }
}
