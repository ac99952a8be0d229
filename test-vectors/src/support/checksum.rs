//! Reference implementation of the Internet checksum (RFC 1071), octet by octet.

use std::net::IpAddr;

/// Computes the folded one's complement sum: 0xffff when the octets include a valid checksum.
pub fn ones_complement_sum(octets: &[u8]) -> u16 {
    let mut sum = 0u32;
    for (at, octet) in octets.iter().enumerate() {
        sum += u32::from(*octet) << if at % 2 == 0 { 8 } else { 0 };
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Computes the checksum: 0 when the octets include a valid one.
pub fn checksum(octets: &[u8]) -> u16 {
    !ones_complement_sum(octets)
}

/// Builds the pseudo-header of TCP, UDP and ICMPv6 (RFC 768, RFC 8200 section 8.1); `length` is that of the segment.
///
/// # Panics
/// The address families differ.
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = (length as u16).to_be_bytes();
            [&source.octets()[..], &destination.octets(), &[0, protocol], &length].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = (length as u32).to_be_bytes();
            [&source.octets()[..], &destination.octets(), &length, &[0, 0, 0, protocol]].concat()
        }
        _ => panic!("source and destination address families differ"),
    }
}

/// Computes the checksum of a segment with its pseudo-header: 0 when the segment includes a valid one.
pub fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    checksum(&[&pseudo_header(source, destination, protocol, segment.len()), segment].concat())
}

/// Writes the checksum of a segment at offset `field`.
pub fn set_transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, segment: &mut [u8], field: usize) {
    segment[field..field + 2].fill(0);
    let sum = transport_checksum(source, destination, protocol, segment);
    segment[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Writes the header checksum of an IPv4 packet.
pub fn set_ipv4_checksum(packet: &mut [u8]) {
    let header = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let sum = checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Returns whether the header checksum of an IPv4 packet is valid.
pub fn has_valid_ipv4_checksum(packet: &[u8]) -> bool {
    checksum(&packet[..usize::from(packet[0] & 15) * 4]) == 0
}
