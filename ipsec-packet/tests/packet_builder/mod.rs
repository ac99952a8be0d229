//! Test packets built octet by octet, and their checksums.
#![allow(dead_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipsec_packet::IpProto;
use test_vectors::support::checksum;

/// Returns whether the checksum inside `segment` is valid.
pub fn has_valid_transport_checksum(source: IpAddr, destination: IpAddr, proto: IpProto, segment: &[u8]) -> bool {
    checksum::transport_checksum(source, destination, proto.0, segment) == 0
}

/// Writes the valid checksum at offset `field` of `segment`.
pub fn set_transport_checksum(source: IpAddr, destination: IpAddr, proto: IpProto, segment: &mut [u8], field: usize) {
    checksum::set_transport_checksum(source, destination, proto.0, segment, field);
}

pub const V4_A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const V4_B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
pub const V6_A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub const V6_B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 2);

/// Builds an IPv4 packet with a valid header checksum, TTL 64, identification 0x1234 and DF set.
pub fn v4_between(s: Ipv4Addr, d: Ipv4Addr, options: &[u8], proto: IpProto, payload: &[u8]) -> Vec<u8> {
    assert!(options.len() <= 40 && options.len().is_multiple_of(4));
    let header = 20 + options.len();
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend(((header + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34, 0x40, 0, 64, proto.0, 0, 0]);
    packet.extend(s.octets());
    packet.extend(d.octets());
    packet.extend(options);
    checksum::set_ipv4_checksum(&mut packet);
    packet.extend(payload);
    packet
}

pub fn v4(options: &[u8], proto: IpProto, payload: &[u8]) -> Vec<u8> {
    v4_between(V4_A, V4_B, options, proto, payload)
}

/// Builds an IPv6 packet with hop limit 64, traffic class 0 and flow label 0.
pub fn v6_between(s: Ipv6Addr, d: Ipv6Addr, next: IpProto, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next.0, 64]);
    packet.extend(s.octets());
    packet.extend(d.octets());
    packet.extend(payload);
    packet
}

pub fn v6(next: IpProto, payload: &[u8]) -> Vec<u8> {
    v6_between(V6_A, V6_B, next, payload)
}

/// Extension header: its protocol number and its octets, the first of which is overwritten with the next header.
pub type Ext = (IpProto, Vec<u8>);

/// Builds a hop-by-hop, routing or destination options header of `8 * (units + 1)` octets.
pub fn ext(kind: IpProto, units: u8) -> Ext {
    let mut body = vec![0xee; 8 * (usize::from(units) + 1)];
    body[1] = units;
    (kind, body)
}

/// Builds a fragment header with these 16 bits of offset, reserved bits and M flag.
pub fn fragment(offset_and_flags: u16) -> Ext {
    let [high, low] = offset_and_flags.to_be_bytes();
    (IpProto::FRAGMENT, vec![0, 0, high, low, 0xde, 0xad, 0xbe, 0xef])
}

/// Builds an AH header of `4 * (words + 2)` octets.
pub fn ah(words: u8) -> Ext {
    let mut body = vec![0xaa; 4 * (usize::from(words) + 2)];
    body[1] = words;
    (IpProto::AH, body)
}

/// Builds an IPv6 packet with these extension headers, chained up to `upper`.
pub fn v6_chain(extensions: &[Ext], upper: IpProto, payload: &[u8]) -> Vec<u8> {
    let kinds = extensions.iter().map(|(kind, _)| *kind).chain([upper]);
    let mut rest = Vec::new();
    for ((_, body), next) in extensions.iter().zip(kinds.clone().skip(1)) {
        rest.push(next.0);
        rest.extend(&body[1..]);
    }
    rest.extend(payload);
    v6(kinds.clone().next().unwrap_or(upper), &rest)
}
