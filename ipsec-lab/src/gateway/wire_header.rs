//! IPsec header of a captured packet, as far as it is not encrypted.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipsec_packet::IpProto;
use ipsec_sa::Protocol;
use serde_json::{Value, json};

use crate::capture::IpHeader;

/// Port of ESP in UDP (RFC 3948).
const ESP_PORT: u16 = 4500;

/// Addresses, SPI and sequence number of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireHeader {
    /// Source address of the packet.
    pub source: IpAddr,
    /// Destination address of the packet.
    pub destination: IpAddr,
    /// Protocol of the header.
    pub protocol: Protocol,
    /// SPI, or CPI of IPComp.
    pub spi: u32,
    /// Sequence number as transmitted; none for IPComp.
    pub sequence: Option<u32>,
    /// Ports of ESP in UDP.
    pub ports: Option<(u16, u16)>,
}

impl WireHeader {
    /// Reads the outermost header of a packet. Returns `None` if it is not an IPsec header. ESP in UDP has port 4500,
    /// or one of `ports`.
    pub fn read(packet: &[u8], ports: &BTreeSet<u16>) -> Option<Self> {
        let header = IpHeader::parse(packet)?;
        if header.fragment.is_some_and(|fragment| fragment.offset > 0) {
            return None;
        }
        let payload = header.payload(packet);
        let word = |at: usize| payload.get(at..)?.first_chunk().map(|octets| u32::from_be_bytes(*octets));
        let of = |protocol, spi, sequence, ports| Self {
            source: header.source,
            destination: header.destination,
            protocol,
            spi,
            sequence,
            ports,
        };
        match IpProto(header.protocol) {
            IpProto::ESP => Some(of(Protocol::Esp, word(0)?, word(4), None)),
            IpProto::AH => Some(of(Protocol::Ah, word(4)?, word(8), None)),
            IpProto::IPCOMP => Some(of(Protocol::Ipcomp, word(0)? & 0xffff, None, None)),
            IpProto::UDP => {
                let &[s0, s1, d0, d1, ..] = payload.first_chunk::<8>()?;
                let pair = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
                let is_esp = |port: u16| port == ESP_PORT || ports.contains(&port);
                // The non-IKE marker of the drafts is eight zero octets in front of ESP.
                let at = if word(8)? == 0 && word(12) == Some(0) { 16 } else { 8 };
                let (spi, sequence) = (word(at)?, word(at + 4)?);
                let is_esp = spi != 0 && (is_esp(pair.0) || is_esp(pair.1));
                is_esp.then(|| of(Protocol::Esp, spi, Some(sequence), Some(pair)))
            }
            _ => None,
        }
    }

    /// Returns the fields as a JSON object.
    pub fn json(&self) -> Value {
        json!({
            "source": self.source.to_string(),
            "destination": self.destination.to_string(),
            "protocol": self.protocol.to_string(),
            "spi": self.spi,
            "sequence": self.sequence,
            "udp_ports": self.ports.map(|(source, destination)| [source, destination]),
        })
    }
}

impl fmt::Display for WireHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.to_string().to_uppercase();
        match self.ports {
            Some((from, to)) => write!(f, "{}[{from}] > {}[{to}]: {protocol} in UDP", self.source, self.destination)?,
            None => write!(f, "{} > {}: {protocol}", self.source, self.destination)?,
        }
        write!(f, " spi=0x{:08x}", self.spi)?;
        self.sequence.map_or(Ok(()), |sequence| write!(f, " seq={sequence}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(20 + payload.len()).unwrap();
        let mut packet = vec![0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1];
        packet.extend(payload);
        packet
    }

    #[test]
    fn headers_are_read_without_keys() {
        let esp = [0, 0, 0x10, 1, 0, 0, 0, 7];
        let udp = |ports: [u8; 4], body: &[u8]| [&ports[..], &[0, 16, 0, 0], body].concat();
        let marker = [&[0; 8][..], &esp].concat();
        let none = BTreeSet::new();
        type Expected = Option<(Protocol, u32, Option<u32>)>;
        let table: &[(u8, Vec<u8>, Expected)] = &[
            (50, esp.to_vec(), Some((Protocol::Esp, 0x1001, Some(7)))),
            (51, [&[6, 4, 0, 0][..], &esp].concat(), Some((Protocol::Ah, 0x1001, Some(7)))),
            (108, vec![6, 0, 0, 2], Some((Protocol::Ipcomp, 2, None))),
            (17, udp([0x11, 0x94, 0xef, 0x32], &esp), Some((Protocol::Esp, 0x1001, Some(7)))),
            (17, udp([0x11, 0x94, 1, 0xf4], &marker), Some((Protocol::Esp, 0x1001, Some(7)))),
            (17, udp([0x11, 0x94, 0x11, 0x94], &[0, 0, 0, 0, 1, 2, 3, 4]), None),
            (17, udp([1, 0xf4, 1, 0xf4], &esp), None),
            (17, udp([0x11, 0x94, 0x11, 0x94], &[0xff]), None),
            (6, esp.to_vec(), None),
            (50, vec![0, 0], None),
        ];
        for (protocol, payload, expected) in table {
            let read = WireHeader::read(&packet(*protocol, payload), &none);
            assert_eq!(read.map(|wire| (wire.protocol, wire.spi, wire.sequence)), *expected, "{protocol} {payload:?}");
        }
        let other = packet(17, &udp([0x5f, 0xb4, 0x5f, 0xb4], &esp));
        assert_eq!(WireHeader::read(&other, &none), None);
        let read = WireHeader::read(&other, &BTreeSet::from([24500])).unwrap();
        assert_eq!(read.to_string(), "192.0.2.1[24500] > 198.51.100.1[24500]: ESP in UDP spi=0x00001001 seq=7");
    }
}
