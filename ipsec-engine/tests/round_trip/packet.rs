//! Random packets for the policies of a configuration.

use std::net::IpAddr;

use test_vectors::Random;
use test_vectors::support::checksum::{checksum, set_ipv4_checksum, set_transport_checksum, transport_checksum};
use test_vectors::support::{tcp, udp};

use super::configuration::Configuration;
use super::selector::{Group, Place, SITES, Upper};

/// Packet and its properties.
pub struct Packet {
    pub octets: Vec<u8>,
    /// Set if the payload is an IPv4 or IPv6 packet.
    pub ip_in_ip: bool,
    pub names: Vec<&'static str>,
}

const UDP: u8 = 17;
const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const NO_NEXT: u8 = 59;

/// Builds a packet from this side to the other, in most cases one that matches the policy of a group.
pub fn packet(random: &mut Random, configuration: &Configuration, from: usize) -> Packet {
    if random.percent(4) {
        // Addresses that match no policy.
        let addresses = ["198.18.0.1", "198.19.0.1"].map(|text| text.parse().unwrap());
        return ip(random, addresses, UDP, (1, 2), Nested::No);
    }
    if configuration.groups.is_empty() {
        return packet_of(random, &Group { ipv6: 0, places: [Place::Gateway; 2], upper: Upper::Any }, from, true);
    }
    let group = random.choose(&configuration.groups);
    let inner_is_free = configuration.policies.iter().all(|policy| !policy.has_tunnel);
    packet_of(random, group, from, inner_is_free)
}

/// Addresses of the inner packet of IP in IP.
#[derive(Clone, Copy)]
enum Nested {
    No,
    /// Networks that match no policy.
    Elsewhere,
    /// Networks behind the gateways.
    Networks,
}

fn packet_of(random: &mut Random, group: &Group, from: usize, inner_is_free: bool) -> Packet {
    let addresses = [from, 1 - from].map(|side| address(random, side, group.places[side], group.ipv6));
    let icmp = [ICMP, ICMPV6][group.ipv6];
    let any = [UDP, UDP, TCP, icmp, 4, 41, 47, 89, 253, NO_NEXT];
    let ports = (random.pick(&[1000, 3000]), random.pick(&[2000, 80, 53, 22, 22]));
    let (protocol, ports) = match group.upper {
        _ if random.percent(15) => (random.pick(&any), ports),
        Upper::Any => (random.pick(&any), ports),
        Upper::Protocol(_, 50 | 51) => (UDP, ports),
        Upper::Protocol(_, number) => (number, ports),
        Upper::Ports(_, number, first, second) => (number, (first.unwrap_or(ports.0), second)),
        Upper::Icmp(_, number, kind) => (number, (kind.into(), 0)),
    };
    // The ports of a selector belong to the first and the second side.
    let ports = if from == 0 { ports } else { (ports.1, ports.0) };
    let nested = if inner_is_free && random.percent(50) { Nested::Networks } else { Nested::Elsewhere };
    ip(random, addresses, protocol, ports, nested)
}

fn address(random: &mut Random, side: usize, place: Place, ipv6: usize) -> IpAddr {
    let site = &SITES[side];
    let last = random.below(250) as u16 + 1;
    match (place, ipv6) {
        (Place::Gateway, _) => site.gateway[ipv6].parse().unwrap(),
        (Place::Host, _) => site.host[ipv6].parse().unwrap(),
        (Place::Network, 0) => IpAddr::from([10, side as u8 + 1, 3, last as u8]),
        (Place::Network, _) => IpAddr::from([0x2001, 0xdb8, side as u16 + 1, 0, 0, 0, 0, last]),
    }
}

fn ip(random: &mut Random, addresses: [IpAddr; 2], protocol: u8, ports: (u16, u16), nested: Nested) -> Packet {
    let mut names = vec![upper_name(protocol)];
    let mut payload = body(random, protocol, &mut names);
    match (protocol, nested) {
        (4 | 41, Nested::Elsewhere | Nested::Networks) => {
            let second = if matches!(nested, Nested::Networks) { [1, 2] } else { [101, 102] };
            let inner = second.map(|side: u8| match protocol {
                4 => IpAddr::from([10, side, 3, 7]),
                _ => IpAddr::from([0x2001, 0xdb8, side.into(), 0, 0, 0, 0, 7]),
            });
            let protocol = random.pick(&[UDP, TCP, 47]);
            payload = ip(random, inner, protocol, (1000, 2000), Nested::No).octets;
        }
        (UDP, _) => {
            payload = udp(ports.0, ports.1, &payload);
            if addresses[0].is_ipv6() || random.percent(75) {
                let sum = transport_checksum(addresses[0], addresses[1], protocol, &payload);
                payload[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
            } else {
                names.push("UDP without a checksum");
            }
        }
        (TCP, _) => {
            payload = tcp(ports.0, ports.1, &payload);
            set_transport_checksum(addresses[0], addresses[1], protocol, &mut payload, 16);
        }
        (ICMP | ICMPV6, _) => {
            let kind = if protocol == ICMP { 8 } else { 128 };
            payload = [&[kind, 0, 0, 0, 0, 1, 0, 1], &payload[..]].concat();
            let sum = if protocol == ICMP {
                checksum(&payload)
            } else {
                transport_checksum(addresses[0], addresses[1], protocol, &payload)
            };
            payload[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        _ => {}
    }
    let octets = match addresses {
        [IpAddr::V4(source), IpAddr::V4(destination)] => {
            let options = options(random, &mut names);
            ipv4(random, [source.octets(), destination.octets()], &options, protocol, &payload)
        }
        [IpAddr::V6(source), IpAddr::V6(destination)] => {
            let (first, extensions) = extensions(random, protocol, &mut names);
            ipv6(random, [source.octets(), destination.octets()], first, &[extensions, payload].concat())
        }
        _ => panic!("address families differ"),
    };
    Packet { octets, ip_in_ip: matches!(protocol, 4 | 41), names }
}

/// Builds the payload of the upper-layer header. It is empty for next header 59, because ESP discards that as a dummy
/// packet.
fn body(random: &mut Random, protocol: u8, names: &mut Vec<&'static str>) -> Vec<u8> {
    let any = random.below(1401);
    let size = if protocol == NO_NEXT {
        0
    } else {
        random.pick(&[0, 0, 1, 2, 3, 7, 8, 31, 64, 200, 700, 1400, any, any, any])
    };
    names.push(match size {
        0 => "size 0",
        1..64 => "size below 64",
        64..1000 => "size below 1000",
        _ => "size to 1400",
    });
    if random.percent(60) {
        (0..size).map(|at| b"text that is worth compressing, "[at % 32]).collect()
    } else {
        (0..size).map(|_| random.octet()).collect()
    }
}

/// Experimental IPv4 option (RFC 4727).
const UNKNOWN_OPTION: u8 = 0x9e;

fn options(random: &mut Random, names: &mut Vec<&'static str>) -> Vec<u8> {
    if !random.percent(20) {
        return Vec::new();
    }
    names.push("IPv4 options");
    let options = [
        vec![1, 1, 1, 0],
        vec![0x94, 4, 0, 0],
        vec![0x94, 4, 0, 0, 1, 1, 1, 1],
        vec![7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![UNKNOWN_OPTION, 4, 9, 9],
        vec![UNKNOWN_OPTION, 7, 9, 9, 9, 9, 9, 0],
    ];
    random.choose(&options).clone()
}

fn extensions(random: &mut Random, protocol: u8, names: &mut Vec<&'static str>) -> (u8, Vec<u8>) {
    const HOP_BY_HOP: u8 = 0;
    const DESTINATION_OPTIONS: u8 = 60;
    let header = |next: u8, long: bool| {
        if long { vec![next, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] } else { vec![next, 0, 1, 4, 0, 0, 0, 0] }
    };
    let long = random.percent(40);
    match random.below(10) {
        0 => {
            names.push("IPv6 hop-by-hop options");
            (HOP_BY_HOP, header(protocol, long))
        }
        1 => {
            names.push("IPv6 destination options");
            (DESTINATION_OPTIONS, header(protocol, long))
        }
        2 => {
            names.extend(["IPv6 hop-by-hop options", "IPv6 destination options"]);
            (HOP_BY_HOP, [header(DESTINATION_OPTIONS, long), header(protocol, false)].concat())
        }
        _ => (protocol, Vec::new()),
    }
}

fn ipv4(random: &mut Random, addresses: [[u8; 4]; 2], options: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let length = ((header + payload.len()) as u16).to_be_bytes();
    let identification = (random.next_u64() as u16).to_be_bytes();
    let (tos, fragment, ttl) =
        (random.pick(&[0, 0, 0x10, 0xb9, 0x03]), random.pick(&[0, 0x40]), random.pick(&[1, 63, 64, 255]));
    let mut packet = vec![
        0x40 | (header / 4) as u8,
        tos,
        length[0],
        length[1],
        identification[0],
        identification[1],
        fragment,
        0,
        ttl,
        protocol,
        0,
        0,
    ];
    packet.extend(addresses.concat());
    packet.extend(options);
    set_ipv4_checksum(&mut packet);
    packet.extend(payload);
    packet
}

fn ipv6(random: &mut Random, addresses: [[u8; 16]; 2], next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    let (class, label) = (random.pick(&[0, 0, 0xb9]), random.pick(&[0, 0x12345u32]));
    let word = 6 << 28 | class << 20 | label;
    let hops = random.pick(&[1, 63, 64, 255]);
    [&word.to_be_bytes()[..], &length, &[next, hops], &addresses.concat(), payload].concat()
}

/// Returns the packet as delivered if no ICV covers the headers before ESP: IPv4 options other than record route,
/// timestamp and router alert are no-operation options. The packets of this test have no other header that is changed.
pub fn with_unknown_options_replaced(packet: &[u8]) -> Vec<u8> {
    let header = usize::from(packet[0] & 15) * 4;
    let mut replaced = packet.to_vec();
    if packet[0] >> 4 == 4 && packet.get(20) == Some(&UNKNOWN_OPTION) && header > 20 {
        let length = usize::from(packet[21]);
        replaced[20..20 + length].fill(1);
        set_ipv4_checksum(&mut replaced);
    }
    replaced
}

fn upper_name(protocol: u8) -> &'static str {
    match protocol {
        UDP => "UDP",
        TCP => "TCP",
        ICMP => "ICMP",
        ICMPV6 => "ICMPv6",
        4 => "IPv4 in IP",
        41 => "IPv6 in IP",
        NO_NEXT => "no next header",
        _ => "another protocol",
    }
}
