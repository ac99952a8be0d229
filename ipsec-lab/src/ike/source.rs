//! Sources of messages: captures, or hexadecimal on the command line.

use std::error::Error;
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;

use ike_codec::{Datagram, Message, Port, unframe_udp};
use ipsec_packet::{Ip, IpProto, find_header};
use test_vectors::from_hex;

use crate::capture;

/// Message with its position.
pub struct Found {
    /// Number of the packet in the capture, from 1; 0 for the command line.
    pub frame: usize,
    /// Source and destination address, from a capture.
    pub ends: Option<(IpAddr, IpAddr)>,
    /// ISAKMP message without marker.
    pub message: Vec<u8>,
}

/// Returns every message of a capture file, or the one in hexadecimal.
pub fn messages(source: &str) -> Result<Vec<Found>, Box<dyn Error>> {
    let path = Path::new(source);
    if !path.exists() {
        let digits: String = source.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
        let digits = digits.strip_prefix("0x").unwrap_or(&digits);
        let message = from_hex(digits).ok_or_else(|| format!("{source}: neither a file nor hexadecimal"))?;
        // The marker is removed, unless the octets are a message with it.
        let message = match message.as_slice() {
            [0, 0, 0, 0, behind_marker @ ..] if Message::parse(&message).is_err() => behind_marker.to_vec(),
            _ => message,
        };
        return Ok(vec![Found { frame: 0, ends: None, message }]);
    }
    let file = File::open(path).map_err(|e| format!("{source}: {e}"))?;
    let packets = capture::read(file).map_err(|e| format!("{source}: {e}"))?;
    Ok(packets.iter().enumerate().filter_map(|(index, captured)| find(index + 1, &captured.packet)).collect())
}

/// Returns the message in an IP packet with UDP port 500 or 4500.
fn find(frame: usize, packet: &[u8]) -> Option<Found> {
    let ip = Ip::parse(packet).ok()?;
    let at = find_header(ip.packet(), IpProto::UDP).ok()?.at;
    let (&[s0, s1, d0, d1, l0, l1, _, _], _) = ip.packet().get(at..)?.split_first_chunk::<8>()?;
    let ports = [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])];
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let payload = ip.packet().get(at + 8..(at + length.max(8)).min(ip.packet().len()))?;
    let port = match ports {
        [500, _] | [_, 500] => Port::Ike,
        [4500, _] | [_, 4500] => Port::NatTraversal,
        _ => return None,
    };
    let Datagram::Ike(message) = unframe_udp(port, payload) else { return None };
    Some(Found { frame, ends: Some((ip.source(), ip.destination())), message: message.to_vec() })
}
