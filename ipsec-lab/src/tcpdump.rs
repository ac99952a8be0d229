//! One-line summary of a packet in the format of tcpdump(8).

use ipsec_packet::{DestinationOptions, Detail, Flow, Ip, IpProto, transport_position};
use serde_json::{Value, json};

use crate::capture::Frame;

/// Returns time, addresses and a summary of the readable headers.
pub fn line(seen: &Frame) -> String {
    let second = seen.time.as_secs() % 86_400;
    let time =
        format!("{:02}:{:02}:{:02}.{:06}", second / 3600, second / 60 % 60, second % 60, seen.time.subsec_micros());
    format!("{time} {}", summary(&seen.packet))
}

/// Returns addresses and a summary of the readable headers of a packet.
pub fn summary(packet: &[u8]) -> String {
    match Ip::parse(packet) {
        Ok(ip) => ip_line(&ip),
        Err(problem) => format!("malformed: {problem}"),
    }
}

/// Returns addresses, protocol and ports of a packet as a JSON object; `None` if it is malformed.
pub fn flow(packet: &[u8]) -> Option<Value> {
    let flow = Flow::read(packet).ok()?;
    let ports = match flow.detail {
        Detail::Ports(source, destination) => Some([source, destination]),
        _ => None,
    };
    Some(json!({
        "source": flow.source.to_string(),
        "destination": flow.destination.to_string(),
        "protocol": flow.protocol.0,
        "ports": ports,
        "octets": packet.len(),
        "summary": summary(packet),
    }))
}

fn ip_line(ip: &Ip<'_>) -> String {
    let version = if matches!(ip, Ip::V6(_)) { "IP6" } else { "IP" };
    let (from, to) = (ip.source(), ip.destination());
    let place = match transport_position(ip.packet(), DestinationOptions::Unprotected) {
        Ok(place) => place,
        Err(problem) => return format!("{version} {from} > {to}: {problem}"),
    };
    let rest = &ip.packet()[place.at..];
    let port = |at: usize| rest.get(at..at + 2).map_or(0, |p| u16::from_be_bytes([p[0], p[1]]));
    match place.next {
        IpProto::ESP => format!("{version} {from} > {to}: {}", esp(rest)),
        IpProto::AH => {
            let (spi, seq) = ah_core::peek(ip.packet()).unwrap_or_default();
            let next = rest.first().map_or(IpProto::NO_NEXT, |next| IpProto(*next));
            format!("{version} {from} > {to}: AH(spi=0x{spi:08x},seq=0x{seq:x}): {next}, length {}", rest.len())
        }
        IpProto::UDP => {
            let inside = rest.get(8..).unwrap_or_default();
            let what = match (port(0), port(2)) {
                (4500, _) | (_, 4500) => format!("UDP-encap: {}", esp(inside)),
                (53, _) | (_, 53) => format!("DNS, length {}", inside.len()),
                (514, _) | (_, 514) => format!("SYSLOG, length {}", inside.len()),
                _ => format!("UDP, length {}", inside.len()),
            };
            format!("{version} {from}.{} > {to}.{}: {what}", port(0), port(2))
        }
        IpProto::TCP => {
            format!("{version} {from}.{} > {to}.{}: {}", port(0), port(2), tcp(rest))
        }
        IpProto::ICMP | IpProto::ICMPV6 => {
            let what = match (place.next, rest.first()) {
                (IpProto::ICMP, Some(8)) | (IpProto::ICMPV6, Some(128)) => "echo request",
                (IpProto::ICMP, Some(0)) | (IpProto::ICMPV6, Some(129)) => "echo reply",
                _ => "other",
            };
            let name = if place.next == IpProto::ICMP { "ICMP" } else { "ICMP6" };
            format!("{version} {from} > {to}: {name} {what}, id {}, seq {}, length {}", port(4), port(6), rest.len())
        }
        other => format!("{version} {from} > {to}: {other}, length {}", rest.len()),
    }
}

fn esp(packet: &[u8]) -> String {
    match esp_core::peek(packet) {
        Ok(peek) => format!("ESP(spi=0x{:08x},seq=0x{:x}), length {}", peek.spi, peek.seq_low, peek.len),
        Err(problem) => format!("ESP, {problem}"),
    }
}

fn tcp(segment: &[u8]) -> String {
    let flags = segment.get(13).copied().unwrap_or_default();
    let names = [(0x02, 'S'), (0x01, 'F'), (0x04, 'R'), (0x08, 'P'), (0x10, '.')];
    let shown: String = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| name).collect();
    let header = segment.get(12).map_or(20, |offset| usize::from(offset >> 4) * 4);
    format!("Flags [{shown}], length {}", segment.len().saturating_sub(header))
}
