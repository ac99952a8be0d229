use std::path::Path;
use std::{fs, io};

use serde::Deserialize;

use crate::Hex;
use crate::ike_record::{FlowRecord, KeymatRecord, Phase1Record};
use crate::isakmp_record::{IsakmpBytesRecord, IsakmpFragmentsRecord, IsakmpRecord};

/// What a receiver must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// Deliver exactly the given result.
    Accept,
    /// Deliver nothing.
    Reject,
    /// Either; peers differ.
    Any,
}

/// The ports of ESP in UDP.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct UdpPorts {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
}

/// The SA that a record describes.
#[derive(Clone, Debug, Deserialize)]
pub struct SaRecord {
    /// `esp` or `ah`.
    pub proto: String,
    /// `transport` or `tunnel`.
    pub mode: String,
    /// Cipher, for ESP.
    #[serde(default)]
    pub cipher: String,
    /// Its key, without the salt.
    #[serde(default)]
    pub enc_key: Hex,
    /// Salt or nonce.
    #[serde(default)]
    pub salt: Hex,
    /// Integrity algorithm.
    #[serde(default)]
    pub auth: String,
    /// Its key.
    #[serde(default)]
    pub auth_key: Hex,
    /// Octets of ICV; 0 where the algorithm has only one length.
    #[serde(default)]
    pub icv_len: usize,
    /// The SPI.
    pub spi: u32,
    /// Whether numbers have 64 bits.
    #[serde(default)]
    pub esn: bool,
    /// How the ICV field of AH is padded, where not as RFC 4302 says.
    pub ah_profile: Option<String>,
    /// ESP in UDP.
    pub udp_encap: Option<UdpPorts>,
}

/// One ESP or AH packet.
#[derive(Clone, Debug, Deserialize)]
pub struct PacketRecord {
    /// Its name.
    pub id: String,
    /// Its SA.
    #[serde(flatten)]
    pub sa: SaRecord,
    /// Version of the outer header.
    pub ip_version: u8,
    /// The whole number of the packet.
    pub seq: Option<u64>,
    /// The high half that the receiver holds.
    pub seq_high: Option<u32>,
    /// The IV as carried.
    #[serde(default)]
    pub iv: Hex,
    /// The packet without IPsec.
    pub plain_packet: Option<Hex>,
    /// The packet with IPsec.
    pub wire_packet: Hex,
    /// What a receiver does with `wire_packet`.
    pub expected: Expected,
    /// Whether sealing `plain_packet` gives `wire_packet` byte for byte.
    #[serde(default)]
    pub seal: bool,
}

/// Packets fed in order to one receiver.
#[derive(Clone, Debug, Deserialize)]
pub struct ReplayRecord {
    /// Its name.
    pub id: String,
    /// Its SA.
    #[serde(flatten)]
    pub sa: SaRecord,
    /// Size of the window in packets.
    pub window: u32,
    /// Where the top of the window stands, nothing at or below it having been seen.
    pub initial_top: u64,
    /// What is fed.
    pub packets: Vec<ReplayPacket>,
}

/// One packet of a [`ReplayRecord`].
#[derive(Clone, Debug, Deserialize)]
pub struct ReplayPacket {
    /// Its whole number.
    pub seq: u64,
    /// The packet with IPsec.
    pub wire_packet: Hex,
    /// The packet without.
    pub plain_packet: Hex,
    /// What the receiver does with it.
    pub expected: Expected,
}

/// One IPComp packet.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct IpcompRecord {
    pub id: String,
    pub mode: String,
    pub ip_version: u8,
    pub cpi: u16,
    pub algorithm: String,
    pub plain_packet: Option<Hex>,
    pub wire_packet: Hex,
    pub expected: Expected,
    /// False: a sender must not have compressed it.
    pub compressible: Option<bool>,
}

/// One record of a vector file.
#[derive(Clone, Debug)]
pub enum Record {
    /// One ESP or AH packet.
    Packet(Box<PacketRecord>),
    /// A sequence of packets.
    ReplayError(Box<ReplayRecord>),
    /// One IPComp packet.
    Ipcomp(Box<IpcompRecord>),
    /// One IKEv1 message.
    Isakmp(Box<IsakmpRecord>),
    /// A hostile or odd message.
    IsakmpBytes(Box<IsakmpBytesRecord>),
    /// A message in fragments.
    IsakmpFragments(Box<IsakmpFragmentsRecord>),
    /// Key derivation of phase 1.
    Phase1(Box<Phase1Record>),
    /// Key derivation of phase 2.
    Keymat(Box<KeymatRecord>),
    /// A whole exchange.
    Flow(Box<FlowRecord>),
    /// A record of a type that this loader does not know, or one that is malformed.
    Unknown {
        /// Its name, as far as it has one.
        id: String,
        /// Its type, as far as it has one.
        kind: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Record {
    /// The type, as the file names it.
    pub fn kind(&self) -> &str {
        match self {
            Self::Packet(_) => "packet",
            Self::ReplayError(_) => "replay",
            Self::Ipcomp(_) => "ipcomp",
            Self::Isakmp(_) => "isakmp",
            Self::IsakmpBytes(_) => "isakmp-bytes",
            Self::IsakmpFragments(_) => "isakmp-fragments",
            Self::Phase1(record) => &record.kind,
            Self::Keymat(_) => "ike-keymat",
            Self::Flow(_) => "ike-flow",
            Self::Unknown { kind, .. } => kind,
        }
    }
}

/// A record and the line it stands in.
#[derive(Clone, Debug)]
pub struct Located {
    /// Line number, from 1.
    pub line: usize,
    /// The record.
    pub record: Record,
}

/// Reads one line; a line that makes no sense is [`Record::Unknown`], never left out.
pub fn parse_line(line: &str) -> Record {
    let value: serde_json::Value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(e) => return Record::Unknown { id: String::new(), kind: String::new(), problem: e.to_string() },
    };
    let text = |name: &str| value.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let (id, kind) = (text("id"), text("type"));
    let record = match kind.as_str() {
        "packet" => serde_json::from_value(value).map(|r| Record::Packet(Box::new(r))),
        "replay" => serde_json::from_value(value).map(|r| Record::ReplayError(Box::new(r))),
        "ipcomp" => serde_json::from_value(value).map(|r| Record::Ipcomp(Box::new(r))),
        "isakmp" => serde_json::from_value(value).map(|r| Record::Isakmp(Box::new(r))),
        "isakmp-bytes" => serde_json::from_value(value).map(|r| Record::IsakmpBytes(Box::new(r))),
        "isakmp-fragments" => serde_json::from_value(value).map(|r| Record::IsakmpFragments(Box::new(r))),
        "ike-phase1" | "ike-skeyid" | "ike-psk-hash" => {
            serde_json::from_value(value).map(|r| Record::Phase1(Box::new(r)))
        }
        "ike-keymat" => serde_json::from_value(value).map(|r| Record::Keymat(Box::new(r))),
        "ike-flow" => serde_json::from_value(value).map(|r| Record::Flow(Box::new(r))),
        _ => return Record::Unknown { id, kind, problem: "unknown type".to_owned() },
    };
    record.unwrap_or_else(|e| Record::Unknown { id, kind, problem: e.to_string() })
}

/// Reads a file of records.
///
/// # Errors
/// When the file cannot be read.
pub fn read_file(path: &Path) -> io::Result<Vec<Located>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok(lines.map(|(number, line)| Located { line: number + 1, record: parse_line(line) }).collect())
}
