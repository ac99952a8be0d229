//! ICMP "fragmentation needed" and ICMPv6 "packet too big" messages: written, and read.

mod packet_builder;

use ipsec_packet::{IpProto, TooBig, too_big_reply};
use packet_builder::{v4_between, v6_between};
use test_vectors::support::address;
use test_vectors::support::checksum::{checksum, set_ipv4_checksum, set_transport_checksum};

const DF: u8 = 0x40;

fn v4(source: &str, destination: &str, proto: u8, flags: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let mut packet = v4_between(address(source), address(destination), &[], IpProto(proto), payload);
    packet[6..8].copy_from_slice(&flags);
    set_ipv4_checksum(&mut packet);
    packet
}

fn v6(source: &str, destination: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    v6_between(address(source), address(destination), IpProto(next), payload)
}

fn esp(octets: usize) -> Vec<u8> {
    [&[0, 0, 0x10, 1, 0, 0, 0, 9][..], &vec![7; octets]].concat()
}

fn answer(packet: &[u8], mtu: u16, from: &str) -> Option<Vec<u8>> {
    let mut out = [0xee; 1280];
    too_big_reply(packet, mtu, address(from), &mut out).map(<[u8]>::to_vec)
}

#[test]
fn ipv4_fragmentation_needed_message_has_the_octets_of_rfc_1191() {
    for (octets, quoted) in [(8, 36), (400, 428), (1400, 548)] {
        let packet = v4("10.1.2.3", "10.2.3.4", 50, [DF, 0], &esp(octets));
        let answer = answer(&packet, 1400, "10.1.0.1").unwrap();
        let total = (28 + quoted as u16).to_be_bytes();
        assert_eq!(answer.len(), 28 + quoted);
        assert_eq!(answer[..4], [0x45, answer[1], total[0], total[1]]);
        assert_eq!((answer[9], &answer[12..20]), (1, &[10, 1, 0, 1, 10, 1, 2, 3][..]));
        assert_eq!(checksum(&answer[..20]), 0, "header checksum");
        assert_eq!(checksum(&answer[20..]), 0, "ICMP checksum");
        assert_eq!((answer[20..22].to_vec(), answer[24..28].to_vec()), (vec![3, 4], vec![0, 0, 5, 120]));
        assert_eq!(answer[28..], packet[..quoted]);
    }
}

#[test]
fn ipv6_packet_too_big_message_has_the_octets_of_rfc_4443() {
    for (octets, quoted) in [(8, 56), (1400, 1232), (401, 449)] {
        let packet = v6("2001:db8:1::1", "2001:db8:2::1", 50, &esp(octets));
        let answer = answer(&packet, 1300, "2001:db8:1::ff").unwrap();
        let length = (8 + quoted as u16).to_be_bytes();
        assert_eq!(answer.len(), 48 + quoted);
        assert_eq!((answer[0] >> 4, &answer[4..7]), (6, &[length[0], length[1], 58][..]));
        assert_eq!(answer[24..40], packet[8..24], "destination is the source of the packet");
        let pseudo = [&answer[8..40], &[0, 0], &length, &[0, 0, 0, 58]];
        assert_eq!(checksum(&[&pseudo.concat(), &answer[40..]].concat()), 0, "ICMPv6 checksum");
        assert_eq!((answer[40..42].to_vec(), answer[44..48].to_vec()), (vec![2, 0], vec![0, 0, 5, 20]));
        assert_eq!(answer[48..], packet[..quoted]);
    }
}

#[test]
fn no_icmp_error_is_sent_about_fragmentable_multicast_or_icmp_error_packets() {
    let (a, b) = ("10.1.2.3", "10.2.3.4");
    let (a6, b6) = ("2001:db8:1::1", "2001:db8:2::1");
    let later6 = [&[17, 0, 0, 8, 0, 0, 0, 1][..], &[0; 64]].concat();
    for (packet, what) in [
        (v4(a, b, 17, [0, 0], &[0; 64]), "DF is not set"),
        (v4(a, b, 17, [DF, 1], &[0; 64]), "later fragment"),
        (v4(a, "224.0.0.5", 17, [DF, 0], &[0; 64]), "multicast destination"),
        (v4(a, "255.255.255.255", 17, [DF, 0], &[0; 64]), "broadcast destination"),
        (v4("0.0.0.0", b, 17, [DF, 0], &[0; 64]), "unspecified source"),
        (v4("224.0.0.5", b, 17, [DF, 0], &[0; 64]), "multicast source"),
        (v4("127.0.0.1", b, 17, [DF, 0], &[0; 64]), "loopback source"),
        (v4(a, b, 1, [DF, 0], &[3, 4, 0, 0, 0, 0, 0, 0]), "ICMP error"),
        (v4(a, b, 1, [DF, 0], &[5, 0, 0, 0, 0, 0, 0, 0]), "ICMP redirect"),
        (v4(a, b, 1, [DF, 0], &[11, 0, 0, 0, 0, 0, 0, 0]), "ICMP error"),
        (v4(a, b, 1, [DF, 0], &[12, 0, 0, 0, 0, 0, 0, 0]), "ICMP error"),
        (v4(a, b, 1, [DF, 0], &[]), "ICMP without a type"),
        (v6("::", b6, 17, &[0; 64]), "unspecified source"),
        (v6("ff02::1", b6, 17, &[0; 64]), "multicast source"),
        (v6(a6, b6, 58, &[1, 0, 0, 0, 0, 0, 0, 0]), "ICMP error"),
        (v6(a6, b6, 58, &[2, 0, 0, 0, 0, 0, 0, 0]), "ICMP error"),
        (v6(a6, b6, 58, &[137, 0, 0, 0, 0, 0, 0, 0]), "ICMP redirect"),
        (v6(a6, b6, 44, &later6), "later fragment"),
        (vec![0x45, 0], "malformed"),
    ] {
        let from = if packet[0] >> 4 == 4 { "10.1.0.1" } else { "2001:db8::ff" };
        assert_eq!(answer(&packet, 1400, from), None, "{what}");
    }
}

#[test]
fn icmp_error_about_icmp_queries_is_sent() {
    for kind in [8, 0, 13] {
        assert!(
            answer(&v4("10.1.2.3", "10.2.3.4", 1, [DF, 0], &[kind, 0, 0, 0]), 1400, "10.1.0.1").is_some(),
            "ICMP query {kind}"
        );
    }
    assert!(answer(&v6("2001:db8:1::1", "2001:db8:2::1", 58, &[128, 0, 0, 0]), 1400, "2001:db8::ff").is_some());
}

/// RFC 4443 section 2.4 (e.3): "packet too big" is sent about multicast packets as well.
#[test]
fn packet_too_big_about_ipv6_multicast_is_sent() {
    assert!(answer(&v6("2001:db8:1::1", "ff02::1", 17, &[0; 64]), 1400, "2001:db8::ff").is_some());
}

#[test]
fn no_icmp_error_is_sent_from_an_address_of_the_other_ip_version() {
    assert_eq!(answer(&v4("10.1.2.3", "10.2.3.4", 17, [DF, 0], &[0; 64]), 1400, "::1"), None);
}

#[test]
fn no_icmp_error_is_written_to_a_too_small_buffer() {
    let (packet, mut small) = (v4("10.1.2.3", "10.2.3.4", 17, [DF, 0], &[0; 64]), [0; 50]);
    assert!(too_big_reply(&packet, 1400, address("10.1.0.1"), &mut small).is_none());
}

fn report(packet: &[u8], mtu: u16) -> Vec<u8> {
    answer(packet, mtu, if packet[0] >> 4 == 4 { "203.0.113.9" } else { "2001:db8::ff" }).unwrap()
}

#[test]
fn packet_too_big_message_is_read_as_written() {
    let ah = [&[6, 4, 0, 0, 0, 0, 0x20, 2, 0, 0, 0, 1][..], &[0; 40]].concat();
    for (packet, protocol, spi) in [
        (v4("192.0.2.1", "198.51.100.1", 50, [DF, 0], &esp(1400)), IpProto::ESP, 0x1001),
        (v4("192.0.2.1", "198.51.100.1", 51, [DF, 0], &ah), IpProto::AH, 0x2002),
        (v6("2001:db8:1::1", "2001:db8:2::1", 50, &esp(1400)), IpProto::ESP, 0x1001),
        (v6("2001:db8:1::1", "2001:db8:2::1", 51, &ah), IpProto::AH, 0x2002),
    ] {
        let v6 = packet[0] >> 4 == 6;
        let report = report(&packet, 1300);
        let (source, destination) = if v6 { ("2001:db8:1::1", "2001:db8:2::1") } else { ("192.0.2.1", "198.51.100.1") };
        let read = TooBig::read(&report).unwrap().unwrap();
        assert_eq!((read.source, read.destination, read.protocol), (address(source), address(destination), protocol));
        assert_eq!((read.spi.unwrap().get(), read.mtu, read.ports), (spi, 1300, None));
        // A change of any octet invalidates the checksum or makes it a message about another packet.
        for at in if v6 { 8..report.len() } else { 20..report.len() } {
            let mut changed = report.clone();
            changed[at] ^= 0x10;
            assert_ne!(TooBig::read(&changed).ok().flatten(), Some(read), "octet {at}");
        }
        for length in 0..report.len() {
            assert_ne!(TooBig::read(&report[..length]).ok().flatten(), Some(read), "{length} octets");
        }
    }
}

#[test]
fn icmp_error_in_a_fragment_or_another_protocol_is_ignored() {
    let report = report(&v4("192.0.2.1", "198.51.100.1", 50, [DF, 0], &esp(100)), 1300);
    assert!(TooBig::read(&report).unwrap().is_some());
    for (at, octet, what) in [(9, 17, "UDP"), (6, 0x20, "first fragment"), (7, 1, "later fragment")] {
        let mut other = report.clone();
        other[at] = octet;
        assert_eq!(TooBig::read(&other), Ok(None), "{what}");
    }
}

#[test]
fn icmp_error_about_another_protocol_is_ignored() {
    let tcp = v4("192.0.2.1", "198.51.100.1", 6, [DF, 0], &[9; 100]);
    assert_eq!(TooBig::read(&report(&tcp, 1300)), Ok(None), "quoted packet is TCP");
    let low = v4("192.0.2.1", "198.51.100.1", 50, [DF, 0], &[0, 0, 0, 0, 0, 0, 0, 1, 7, 7, 7, 7]);
    assert_eq!(TooBig::read(&report(&low, 1300)), Ok(None), "SPI 0 is reserved");
    let packet = v4("192.0.2.1", "198.51.100.1", 50, [DF, 0], &esp(100));
    assert_eq!(TooBig::read(&packet), Ok(None), "ESP packet instead of ICMP");
    assert!(TooBig::read(&[]).is_err());
    // Routers older than RFC 1191 send MTU 0; values below 68, the minimum MTU of IPv4, are raised to 68.
    for (reported, expected) in [(0, 0), (1, 68), (67, 68), (68, 68), (69, 69)] {
        assert_eq!(TooBig::read(&report(&packet, reported)).unwrap().unwrap().mtu, expected);
    }
}

/// Builds an ICMPv6 "packet too big" message that quotes these octets.
fn report_v6(quoted: &[u8], mtu: u32) -> Vec<u8> {
    let mut icmp = [&[2, 0, 0, 0][..], &mtu.to_be_bytes(), quoted].concat();
    let (from, to) = ("2001:db8::ff", "2001:db8:1::1");
    set_transport_checksum(address(from), address(to), 58, &mut icmp, 2);
    v6(from, to, 58, &icmp)
}

#[test]
fn icmp_error_about_esp_in_udp_has_the_quoted_ports_and_spi() {
    let udp = |esp: &[u8]| [&[0x11, 0x94, 0x11, 0x95, 0, 200, 0, 0][..], esp, &[7; 100]].concat();
    let numbers = [0, 0, 0x10, 1, 0, 0, 0, 9];
    for (payload, label) in [(udp(&numbers), "RFC 3948"), (udp(&[&[0; 8][..], &numbers].concat()), "drafts")] {
        let packet = v4("192.0.2.1", "198.51.100.1", 17, [DF, 0], &payload);
        let report = report(&packet, 1300);
        let read = TooBig::read(&report).unwrap().unwrap();
        assert_eq!(
            (read.protocol, read.spi.unwrap().get(), read.sequence, read.mtu),
            (IpProto::ESP, 0x1001, Some(9), 1300),
            "{label}"
        );
        let ports = read.ports.unwrap();
        assert_eq!((ports.source, ports.destination), (4500, 4501));
    }
    // RFC 792 requires a router to quote only 8 octets after the header.
    let packet = v4("192.0.2.1", "198.51.100.1", 17, [DF, 0], &udp(&numbers));
    let mut short = report(&packet, 1300)[..56].to_vec();
    short[2..4].copy_from_slice(&56u16.to_be_bytes());
    short[22..24].fill(0);
    let sum = checksum(&short[20..]);
    short[22..24].copy_from_slice(&sum.to_be_bytes());
    let read = TooBig::read(&short).unwrap().unwrap();
    assert_eq!(
        (read.spi, read.sequence, read.ports.map(|ports| (ports.source, ports.destination))),
        (None, None, Some((4500, 4501)))
    );
}

#[test]
fn quoted_spi_is_read_after_ipv6_extension_headers() {
    let esp = [&[0, 0, 0x10, 1, 0, 0, 0, 9][..], &[7; 40]].concat();
    let udp = [&[0x11, 0x94, 0x11, 0x94, 0, 56, 0, 0][..], &esp].concat();
    let hop = |next| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let fragment = |next, offset: u16| [&[next, 0][..], &(offset << 3 | 1).to_be_bytes(), &[0, 0, 0, 7]].concat();
    for (first, headers, protocol, payload) in [
        (0, hop(50), 50, &esp),
        (60, [hop(43), vec![50, 0, 0, 0, 0, 0, 0, 0]].concat(), 50, &esp),
        (0, [hop(60), hop(44), fragment(17, 0)].concat(), 17, &udp),
        (44, fragment(50, 0), 50, &esp),
    ] {
        let quoted = v6("2001:db8:1::1", "2001:db8:2::1", first, &[headers, payload.clone()].concat());
        // The quoted packet is truncated, so its length field exceeds the available octets.
        let read = TooBig::read(&report_v6(&quoted[..quoted.len() - 20], 1290)).unwrap().unwrap();
        assert_eq!(
            (read.spi.unwrap().get(), read.sequence, read.mtu, read.ports.is_some()),
            (0x1001, Some(9), 1290, protocol == 17)
        );
    }
    let later = v6("2001:db8:1::1", "2001:db8:2::1", 44, &[fragment(50, 3), esp].concat());
    assert_eq!(TooBig::read(&report_v6(&later, 1290)), Ok(None), "later fragment has no ESP header");
}

#[test]
fn quoted_flow_is_read_from_icmp_errors() {
    let tcp = [&[0, 80, 0x13, 0x88][..], &[0; 16]].concat();
    let quoted = v4("10.2.0.1", "10.1.0.1", 6, [0, 0], &tcp);
    for kind in 0..=255u8 {
        let mut icmp = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &quoted[..28]].concat();
        let flow = ipsec_packet::quoted_flow(&v4("192.168.7.7", "10.2.0.1", 1, [0, 0], &icmp));
        let expected = [3, 4, 5, 11, 12].contains(&kind).then(|| ipsec_packet::Flow::read(&quoted).unwrap());
        assert_eq!(flow, expected, "type {kind}");
        icmp.truncate(27);
        let cut = ipsec_packet::quoted_flow(&v4("192.168.7.7", "10.2.0.1", 1, [0, 0], &icmp));
        assert_eq!(cut, None, "quoted IPv4 header is truncated");
    }
    let six = v6("2001:db8:2::1", "2001:db8:1::1", 6, &tcp);
    for kind in 0..=255u8 {
        let icmp = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &six].concat();
        let flow = ipsec_packet::quoted_flow(&v6("2001:db8::7", "2001:db8:2::1", 58, &icmp));
        assert_eq!(flow, (kind < 128).then(|| ipsec_packet::Flow::read(&six).unwrap()), "type {kind}");
    }
    let cut = [&[3, 0, 0, 0, 0, 0, 0, 0][..], &quoted[..22]].concat();
    let flow = ipsec_packet::quoted_flow(&v4("192.168.7.7", "10.2.0.1", 1, [0, 0], &cut)).unwrap();
    assert_eq!(flow.detail, ipsec_packet::Detail::Opaque);
}
