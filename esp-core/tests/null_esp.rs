//! The heuristic of RFC 5879 for ESP with NULL encryption, on constructed packets that are plausible or not.

use esp_core::{NullEsp, null_esp_heuristic};
use ipsec_packet::IpProto;

/// Returns ESP with an unencrypted payload: header, IV, payload, padding to 4 octets and `more` octets, trailer, ICV.
fn packet(next: IpProto, payload: &[u8], iv: usize, icv: usize, more: usize) -> Vec<u8> {
    let pad = (4 - (iv + payload.len() + 2) % 4) % 4 + more;
    let mut esp = vec![0, 0, 1, 0, 0, 0, 0, 1];
    esp.resize(8 + iv, 0xee);
    esp.extend_from_slice(payload);
    esp.extend((1..=255).take(pad));
    esp.extend([u8::try_from(pad).unwrap(), next.0]);
    esp.resize(esp.len() + icv, 0xcc);
    esp
}

fn tcp(offset: u8) -> Vec<u8> {
    let mut segment = vec![0x12; 40];
    segment[12] = offset << 4;
    segment
}

fn udp(length: u16) -> Vec<u8> {
    let mut datagram = vec![0x12; 40];
    datagram[4..6].copy_from_slice(&length.to_be_bytes());
    datagram
}

fn starting(first: u8, length: usize) -> Vec<u8> {
    let mut payload = vec![0x12; length];
    payload[0] = first;
    payload
}

fn is_likely_null(next: IpProto, payload: &[u8]) -> bool {
    null_esp_heuristic(&packet(next, payload, 0, 12, 0)) == NullEsp::Likely { iv: 0, icv: 12, next_header: next }
}

#[test]
fn iv_and_icv_lengths_are_determined() {
    for (iv, icv) in [(0, 12), (0, 16), (0, 24), (0, 32), (8, 16), (0, 20)] {
        let esp = packet(IpProto::UDP, &udp(40), iv, icv, 0);
        assert_eq!(null_esp_heuristic(&esp), NullEsp::Likely { iv, icv, next_header: IpProto::UDP }, "{iv} {icv}");
    }
    assert_eq!(null_esp_heuristic(&packet(IpProto::UDP, &udp(40), 0, 28, 0)), NullEsp::Encrypted);
    assert_eq!(null_esp_heuristic(&packet(IpProto::UDP, &udp(40), 16, 12, 0)), NullEsp::Encrypted);
}

#[test]
fn packets_below_40_octets_are_undecided() {
    let esp = packet(IpProto::SCTP, &[9; 18], 0, 12, 0);
    assert_eq!(esp.len(), 40);
    assert_ne!(null_esp_heuristic(&esp), NullEsp::Unsure);
    assert_eq!(null_esp_heuristic(&esp[..39]), NullEsp::Unsure);
    assert_eq!(null_esp_heuristic(&[]), NullEsp::Unsure);
}

#[test]
fn transport_headers_must_be_plausible() {
    assert!(is_likely_null(IpProto::TCP, &tcp(5)));
    assert!(is_likely_null(IpProto::TCP, &tcp(15)));
    assert!(!is_likely_null(IpProto::TCP, &tcp(4)));
    assert!(is_likely_null(IpProto::UDP, &udp(40)));
    assert!(!is_likely_null(IpProto::UDP, &udp(41)));
    assert!(is_likely_null(IpProto::SCTP, &[9; 40]));
    assert!(!is_likely_null(IpProto(200), &[9; 40]));
}

#[test]
fn icmp_types_must_be_known() {
    let known =
        |next, kinds: &[u8]| (0..=255).all(|kind| is_likely_null(next, &starting(kind, 40)) == kinds.contains(&kind));
    assert!(known(IpProto::ICMP, &[0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14]));
    assert!(known(IpProto::ICMPV6, &[1, 2, 3, 4].into_iter().chain(128..=161).collect::<Vec<u8>>()));
}

#[test]
fn inner_packets_need_ip_version_and_complete_header() {
    let known = |next, first: &[u8]| (0..=255).all(|of| is_likely_null(next, &starting(of, 40)) == first.contains(&of));
    assert!(known(IpProto::IPV4, &(0x45..=0x4f).collect::<Vec<u8>>()));
    assert!(known(IpProto::IPV6, &(0x60..=0x6f).collect::<Vec<u8>>()));
    // 36 octets are too few for an IPv6 header.
    let short = packet(IpProto::IPV6, &starting(0x60, 36), 0, 12, 0);
    assert_eq!(null_esp_heuristic(&short), NullEsp::Encrypted);
}

#[test]
fn sctp_and_dummy_packets_need_a_minimum_length() {
    // The padding makes the packet long enough, but the payload is too short.
    assert_eq!(null_esp_heuristic(&packet(IpProto::SCTP, &[9; 11], 0, 12, 20)), NullEsp::Encrypted);
    let sctp = null_esp_heuristic(&packet(IpProto::SCTP, &[9; 12], 0, 12, 20));
    assert_eq!(sctp, NullEsp::Likely { iv: 0, icv: 12, next_header: IpProto::SCTP });
    let dummy = null_esp_heuristic(&packet(IpProto::NO_NEXT, &[9; 40], 0, 12, 4));
    assert_eq!(dummy, NullEsp::Likely { iv: 0, icv: 12, next_header: IpProto::NO_NEXT });
    // Without padding, only pad length and next header indicate NULL encryption: too little evidence.
    assert_eq!(null_esp_heuristic(&packet(IpProto::NO_NEXT, &[9; 42], 0, 12, 0)), NullEsp::Encrypted);
}

#[test]
fn padding_must_be_monotonic_and_the_body_aligned() {
    let mut esp = packet(IpProto::UDP, &udp(40), 0, 12, 4);
    assert_ne!(null_esp_heuristic(&esp), NullEsp::Encrypted);
    let padding = 8 + 40;
    esp[padding + 3] ^= 1;
    assert_eq!(null_esp_heuristic(&esp), NullEsp::Encrypted);

    // A payload of 41 octets, whose padding makes a body of 46 octets: not aligned.
    let mut datagram = udp(41);
    datagram.push(0);
    let mut esp = vec![0, 0, 1, 0, 0, 0, 0, 1];
    esp.extend_from_slice(&datagram);
    esp.extend([1, 2, 3, 3, IpProto::UDP.0]);
    esp.resize(esp.len() + 12, 0xcc);
    assert_eq!(null_esp_heuristic(&esp), NullEsp::Encrypted);
}
