//! NAT in front of gateway A: it replaces an address by another, and the UDP port of the peer.

use std::net::IpAddr;

use ipsec_packet::{DestinationOptions, IpProto, adjust_checksum, find_header, transport_position};

/// Addresses and port that the NAT translates.
#[derive(Clone, Copy)]
pub struct Nat {
    /// Address behind the NAT.
    pub inside: IpAddr,
    /// Public address of the NAT.
    pub outside: IpAddr,
    /// Public port instead of 4500.
    pub port: u16,
}

const ESP_PORT: u16 = 4500;

impl Nat {
    /// Translates an outbound UDP packet.
    pub fn outwards(self, packet: &mut [u8]) {
        readdress(packet, Which::Source, self.inside, self.outside);
        follow(packet, self.inside, self.outside);
        move_port(packet, 0, self.port);
    }

    /// Translates an inbound UDP packet.
    pub fn inwards(self, packet: &mut [u8]) {
        readdress(packet, Which::Destination, self.outside, self.inside);
        follow(packet, self.outside, self.inside);
        move_port(packet, 2, ESP_PORT);
    }

    /// Translates the source of a cleartext packet and updates its checksums.
    pub fn hide_source(self, packet: &mut [u8]) {
        readdress(packet, Which::Source, self.inside, self.outside);
        follow(packet, self.inside, self.outside);
    }

    /// Translates the destination of a cleartext packet and updates its checksums.
    pub fn hide_destination(self, packet: &mut [u8]) {
        readdress(packet, Which::Destination, self.inside, self.outside);
        follow(packet, self.inside, self.outside);
    }
}

enum Which {
    Source,
    Destination,
}

/// Replaces an address in the IP header. A truncated packet is unchanged.
fn readdress(packet: &mut [u8], which: Which, from: IpAddr, to: IpAddr) {
    let (from, to) = (octets(from), octets(to));
    let at = match (from.len(), which) {
        (4, Which::Source) => 12,
        (4, Which::Destination) => 16,
        (_, Which::Source) => 8,
        (_, Which::Destination) => 24,
    };
    match packet.get_mut(at..at + from.len()) {
        Some(slot) if *slot == *from => slot.copy_from_slice(&to),
        _ => return,
    }
    if from.len() == 4 {
        let sum = u16::from_be_bytes([packet[10], packet[11]]);
        packet[10..12].copy_from_slice(&adjust_checksum(sum, &from, &to).to_be_bytes());
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Sets a port of the UDP header and updates its checksum.
fn move_port(packet: &mut [u8], field: usize, port: u16) {
    let Ok(place) = find_header(packet, IpProto::UDP) else { return };
    let Some(udp) = packet.get_mut(place.at..place.at + 8) else { return };
    let old = [udp[field], udp[field + 1]];
    udp[field..field + 2].copy_from_slice(&port.to_be_bytes());
    adjust(&mut udp[6..8], true, &old, &port.to_be_bytes());
}

/// Updates the TCP, UDP or ICMPv6 checksum for a changed address.
fn follow(packet: &mut [u8], from: IpAddr, to: IpAddr) {
    let Ok(place) = transport_position(packet, DestinationOptions::Unprotected) else { return };
    let field = match place.next {
        IpProto::TCP => 16,
        IpProto::UDP => 6,
        IpProto::ICMPV6 => 2,
        _ => return,
    };
    let start = place.at;
    if let Some(slot) = packet.get_mut(start + field..start + field + 2) {
        adjust(slot, place.next == IpProto::UDP, &octets(from), &octets(to));
    }
}

/// Updates a checksum field. A UDP checksum of 0 is unchanged.
fn adjust(field: &mut [u8], udp: bool, old: &[u8], new: &[u8]) {
    let sum = u16::from_be_bytes([field[0], field[1]]);
    if !(udp && sum == 0) {
        field.copy_from_slice(&adjust_checksum(sum, old, new).to_be_bytes());
    }
}
