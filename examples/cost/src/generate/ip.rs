//! IP packets with many options and extension headers.

use std::net::IpAddr;

use ipsec_packet::{Checksum, IpProto};

use super::Genome;

/// Addresses of the peer, which sends every packet: IPv4 and IPv6.
pub const PEER: [&str; 2] = ["198.51.100.1", "2001:db8::2"];
/// Addresses of the host, which receives every packet: IPv4 and IPv6.
pub const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// Returns a packet from the peer with IP version and options or extension headers of a genome, and the payload that
/// `upper` generates from the rest of the genome.
pub fn packet(genome: &mut Genome<'_>, next: IpProto, upper: impl FnOnce(&mut Genome<'_>) -> Vec<u8>) -> Vec<u8> {
    let shape = genome.take();
    let destination = usize::from(shape & 1);
    let count = shape >> 1;
    let headers: Vec<(u8, u8)> = (0..count % 32).map(|_| (genome.take(), genome.take())).collect();
    let upper = upper(genome);
    if destination == 0 { v4(PEER[0], HOST[0], &options(&headers), next, &upper) } else { v6(&headers, next, &upper) }
}

/// Returns an IPv4 packet with these options and payload.
pub fn v4(source: &str, destination: &str, options: &[u8], next: IpProto, payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let length = u16::try_from(header + payload.len()).unwrap_or(u16::MAX);
    let address = |text: &str| match text.parse() {
        Ok(IpAddr::V4(address)) => address.octets(),
        _ => [0; 4],
    };
    let mut bytes = vec![0x40 | u8::try_from(header / 4).unwrap_or(15), 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 64, next.0, 0, 0]);
    bytes.extend([address(source), address(destination)].concat());
    bytes.extend(options);
    let sum = Checksum::new().over(&bytes).finish().to_be_bytes();
    bytes[10..12].copy_from_slice(&sum);
    bytes.extend(payload);
    bytes
}

/// Returns up to 40 octets of IPv4 options.
fn options(headers: &[(u8, u8)]) -> Vec<u8> {
    let mut options = Vec::new();
    for (kind, parameter) in headers {
        let option: Vec<u8> = match kind % 5 {
            0 => vec![1],
            1 => vec![0x44, 4, 0, 0], // a timestamp, which is mutable
            2 => vec![0x83, 7, 4, 1, 2, 3, 4],
            3 => vec![0x94, 4, 0, 0],
            _ => {
                let length = parameter % 8 + 2;
                let mut option = vec![0; usize::from(length)];
                (option[0], option[1]) = (0x86, length);
                option
            }
        };
        if options.len() + option.len() <= 40 {
            options.extend(option);
        }
    }
    options.resize(options.len().next_multiple_of(4), 1);
    options
}

/// Returns an IPv6 packet with these extension headers.
fn v6(headers: &[(u8, u8)], next: IpProto, payload: &[u8]) -> Vec<u8> {
    let kinds: Vec<u8> = headers.iter().map(|(kind, _)| [0, 60, 43, 44, 60][usize::from(kind % 5)]).collect();
    let mut chain = Vec::new();
    for (at, (choice, parameter)) in headers.iter().enumerate() {
        let follows = kinds.get(at + 1).copied().unwrap_or(next.0);
        let mut header = vec![0; 8];
        header[0] = follows;
        match choice % 5 {
            // Pad1 options, mutable options without data, a routing header, a fragment header, or a longer header of
            // Pad1 options.
            0 => {}
            1 => header[2..].copy_from_slice(&[0x20, 0, 0x20, 0, 0x20, 0]),
            2 => header[2] = parameter % 2 * 2, // a routing header of type 0 or 2 that is finished
            3 => header[3] = parameter % 2,     // an atomic fragment, or the first of several
            _ => {
                let units = parameter % 4;
                header[1] = units;
                header.resize(8 * (usize::from(units) + 1), 0);
            }
        }
        chain.extend(header);
    }
    let length = u16::try_from(chain.len() + payload.len()).unwrap_or(u16::MAX);
    let address = |text: &str| match text.parse() {
        Ok(IpAddr::V6(address)) => address.octets(),
        _ => [0; 16],
    };
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([kinds.first().copied().unwrap_or(next.0), 64]);
    bytes.extend([address(PEER[1]), address(HOST[1])].concat());
    bytes.extend(chain);
    bytes.extend(payload);
    bytes
}

/// Returns a UDP datagram without a checksum.
pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// Returns a UDP packet from the peer of `length` octets, without options: a normal input.
pub fn normal(length: usize) -> Vec<u8> {
    v4(PEER[0], HOST[0], &[], IpProto::UDP, &udp(7, 4711, &vec![0x55; length.max(28) - 28]))
}
