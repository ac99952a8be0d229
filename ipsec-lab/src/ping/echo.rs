//! ICMP and ICMPv6 echo requests and replies.

use std::error::Error;
use std::net::IpAddr;

use ipsec_packet::{
    Checksum, ChecksumRepair, DestinationOptions, Ip, IpProto, Ipv4Header, Ipv6Header, repair_checksum,
    transport_position,
};
use zerocopy::IntoBytes;

/// Echo request or reply.
pub struct Echo {
    /// Source address of the packet.
    pub source: IpAddr,
    destination: IpAddr,
    /// Set for a request, clear for a reply.
    pub is_request: bool,
    /// Received TTL or hop limit.
    pub hops: u8,
    /// Identifier of the sending process.
    pub id: u16,
    /// Sequence number of the request.
    pub number: u16,
    /// Payload of the echo message.
    pub payload: Vec<u8>,
}

/// Payload text. Unlike a counter it can be compressed.
const FILL: &[u8] = b"the quick brown fox jumps over the lazy dog; ";

/// Returns the payload of a request with this length.
pub fn payload(octets: u16) -> Vec<u8> {
    FILL.iter().copied().cycle().take(octets.into()).collect()
}

impl Echo {
    /// Creates an echo request.
    pub fn request(source: IpAddr, destination: IpAddr, id: u16, number: u16, octets: u16) -> Self {
        Self { source, destination, is_request: true, hops: 64, id, number, payload: payload(octets) }
    }

    /// Creates the reply to a request.
    pub fn reply(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            is_request: false,
            payload: self.payload.clone(),
            ..*self
        }
    }

    /// Parses an IP packet. Returns `None` if it is not an echo message.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let ip = Ip::parse(packet).ok()?;
        let place = transport_position(packet, DestinationOptions::Unprotected).ok()?;
        let [kind, 0, _, _, id_1, id_2, number_1, number_2, payload @ ..] = ip.packet().get(place.at..)? else {
            return None;
        };
        let is_request = match (place.next, kind) {
            (IpProto::ICMP, 8) | (IpProto::ICMPV6, 128) => true,
            (IpProto::ICMP, 0) | (IpProto::ICMPV6, 129) => false,
            _ => return None,
        };
        Some(Self {
            source: ip.source(),
            destination: ip.destination(),
            is_request,
            hops: ip.hop_limit(),
            id: u16::from_be_bytes([*id_1, *id_2]),
            number: u16::from_be_bytes([*number_1, *number_2]),
            payload: payload.to_vec(),
        })
    }

    /// Returns the IP packet of the message.
    pub fn packet(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let kind = match (self.source.is_ipv4(), self.is_request) {
            (true, true) => 8,
            (true, false) => 0,
            (false, true) => 128,
            (false, false) => 129,
        };
        let numbers = [self.id.to_be_bytes(), self.number.to_be_bytes()].concat();
        let length = u16::try_from(8 + self.payload.len())?;
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header = Ipv4Header::new(source, destination, IpProto::ICMP, 64);
                header.set_total_length(length.checked_add(20).ok_or("packet too long")?);
                header.set_identification(self.number);
                header.set_checksum();
                let sum = Checksum::new().over(&[kind, 0, 0, 0]).over(&numbers).over(&self.payload).finish();
                let icmp = [&[kind, 0][..], &sum.to_be_bytes(), &numbers, &self.payload].concat();
                Ok([header.as_bytes(), &icmp].concat())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut header = Ipv6Header::new(source, destination, IpProto::ICMPV6, 64);
                header.set_payload_length(length);
                let icmp = [&[kind, 0, 0, 0][..], &numbers, &self.payload].concat();
                let mut packet = [header.as_bytes(), &icmp].concat();
                repair_checksum(&mut packet, ChecksumRepair::Recompute)?;
                Ok(packet)
            }
            _ => Err("source and destination address families differ".into()),
        }
    }
}
