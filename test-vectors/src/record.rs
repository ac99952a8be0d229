use std::path::Path;
use std::{fs, io};

use serde::Deserialize;

use crate::Hex;
use crate::ike_record::{ConversationRecord, FlowRecord, KeymatRecord, Phase1Record};
use crate::isakmp_record::{IsakmpBytesRecord, IsakmpFragmentsRecord, IsakmpRecord};
use crate::schema;

/// Result that a record expects from a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// Exactly the given result is delivered.
    Accept,
    /// The input is refused.
    Reject,
    /// Either result is correct; implementations differ.
    Any,
}

/// UDP ports of UDP-encapsulated ESP (RFC 3948).
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct UdpPorts {
    /// UDP source port of the packet.
    pub sport: u16,
    /// UDP destination port of the packet.
    pub dport: u16,
}

/// SA of a record.
#[derive(Clone, Debug, Deserialize)]
pub struct SaRecord {
    /// Protocol, `esp` or `ah`.
    pub proto: String,
    /// Mode, `transport` or `tunnel`.
    pub mode: String,
    /// Name of the cipher of ESP; empty for AH.
    #[serde(default)]
    pub cipher: String,
    /// Key of the cipher, without the salt.
    #[serde(default)]
    pub enc_key: Hex,
    /// Salt of an AEAD or nonce of AES-CTR.
    #[serde(default)]
    pub salt: Hex,
    /// Name of the integrity algorithm.
    #[serde(default)]
    pub auth: String,
    /// Key of the integrity algorithm.
    #[serde(default)]
    pub auth_key: Hex,
    /// Length of the ICV in octets; 0 if the algorithm has one length only.
    #[serde(default)]
    pub icv_len: usize,
    /// Security Parameters Index of the SA.
    pub spi: u32,
    /// Extended (64-bit) sequence numbers are used.
    #[serde(default)]
    pub esn: bool,
    /// Profile of AH padding; absent for that of RFC 4302.
    pub ah_profile: Option<String>,
    /// Ports of UDP encapsulation, if used.
    pub udp_encap: Option<UdpPorts>,
}

/// ESP or AH packet with its SA.
#[derive(Clone, Debug, Deserialize)]
pub struct PacketRecord {
    /// Name of the record.
    pub id: String,
    /// SA of the packet.
    #[serde(flatten)]
    pub sa: SaRecord,
    /// IP version of the outer header.
    pub ip_version: u8,
    /// Sequence number, with the high-order half if the SA uses ESN.
    pub seq: Option<u64>,
    /// High-order half of the sequence number in the receiver's state.
    pub seq_high: Option<u32>,
    /// IV as it is transmitted.
    #[serde(default)]
    pub iv: Hex,
    /// IP packet before IPsec processing.
    pub plain_packet: Option<Hex>,
    /// IP packet after IPsec processing.
    pub wire_packet: Hex,
    /// Result expected from a receiver of `wire_packet`.
    pub expected: Expected,
    /// Text that the reason of the refusal contains; `None` accepts any reason.
    pub expected_reason: Option<String>,
    /// Sealing `plain_packet` gives exactly `wire_packet`.
    #[serde(default)]
    pub seal: bool,
}

/// Sequence of packets for one receiver.
#[derive(Clone, Debug, Deserialize)]
pub struct ReplayRecord {
    /// Name of the record.
    pub id: String,
    /// SA of the packets.
    #[serde(flatten)]
    pub sa: SaRecord,
    /// Size of the anti-replay window in packets.
    pub window: u32,
    /// Initial top of the window. No sequence number at or below it has been received.
    pub initial_top: u64,
    /// Packets in order of arrival.
    pub packets: Vec<ReplayPacket>,
}

/// Packet of a [`ReplayRecord`].
#[derive(Clone, Debug, Deserialize)]
pub struct ReplayPacket {
    /// Sequence number, with the high-order half.
    pub seq: u64,
    /// IP packet after IPsec processing.
    pub wire_packet: Hex,
    /// IP packet before IPsec processing.
    pub plain_packet: Hex,
    /// Result expected from the receiver.
    pub expected: Expected,
    /// Text that the reason of the refusal contains; `None` accepts any reason.
    pub expected_reason: Option<String>,
}

/// IPComp packet with its IPCA.
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
    /// Text that the reason of the refusal contains; `None` accepts any reason.
    pub expected_reason: Option<String>,
    /// False if a sender must not compress the packet.
    pub compressible: Option<bool>,
}

/// Record of a vector file.
#[derive(Clone, Debug)]
pub enum Record {
    /// ESP or AH packet.
    Packet(Box<PacketRecord>),
    /// Sequence of packets for one receiver.
    Replay(Box<ReplayRecord>),
    /// Record of an IPComp packet.
    Ipcomp(Box<IpcompRecord>),
    /// Record of an IKEv1 message.
    Isakmp(Box<IsakmpRecord>),
    /// Hostile or unusual IKEv1 message.
    IsakmpBytes(Box<IsakmpBytesRecord>),
    /// Record of an IKEv1 message in fragments.
    IsakmpFragments(Box<IsakmpFragmentsRecord>),
    /// Key derivation of phase 1.
    Phase1(Box<Phase1Record>),
    /// Key derivation of phase 2.
    Keymat(Box<KeymatRecord>),
    /// Record of a complete IKEv1 exchange.
    Flow(Box<FlowRecord>),
    /// Conversation of two IKEv1 peers, as recorded.
    Conversation(Box<ConversationRecord>),
    /// Record of an unknown type, or malformed record.
    Unknown {
        /// Name of the record, or empty.
        id: String,
        /// Type of the record, or empty.
        kind: String,
        /// Error message of the parser.
        problem: String,
    },
}

impl Record {
    /// Returns the type of the record, as in the file.
    pub fn kind(&self) -> &str {
        match self {
            Self::Packet(_) => "packet",
            Self::Replay(_) => "replay",
            Self::Ipcomp(_) => "ipcomp",
            Self::Isakmp(_) => "isakmp",
            Self::IsakmpBytes(_) => "isakmp-bytes",
            Self::IsakmpFragments(_) => "isakmp-fragments",
            Self::Phase1(record) => &record.kind,
            Self::Keymat(_) => "ike-keymat",
            Self::Flow(_) => "ike-flow",
            Self::Conversation(_) => "ike-conversation",
            Self::Unknown { kind, .. } => kind,
        }
    }
}

/// Record with its position in the file.
#[derive(Clone, Debug)]
pub struct Located {
    /// Line number, counted from 1.
    pub line: usize,
    /// Record of this line.
    pub record: Record,
}

/// Parses one line. A malformed line gives [`Record::Unknown`] and is never left out.
pub fn parse_line(line: &str) -> Record {
    let mut value: serde_json::Value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(e) => return Record::Unknown { id: String::new(), kind: String::new(), problem: e.to_string() },
    };
    let text = |name: &str| value.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let (id, kind) = (text("id"), text("type"));
    if let Err(problem) = schema::check(&kind, &mut value) {
        return Record::Unknown { id, kind, problem };
    }
    let record = match kind.as_str() {
        "packet" => serde_json::from_value(value).map(|r| Record::Packet(Box::new(r))),
        "replay" => serde_json::from_value(value).map(|r| Record::Replay(Box::new(r))),
        "ipcomp" => serde_json::from_value(value).map(|r| Record::Ipcomp(Box::new(r))),
        "isakmp" => serde_json::from_value(value).map(|r| Record::Isakmp(Box::new(r))),
        "isakmp-bytes" => serde_json::from_value(value).map(|r| Record::IsakmpBytes(Box::new(r))),
        "isakmp-fragments" => serde_json::from_value(value).map(|r| Record::IsakmpFragments(Box::new(r))),
        "ike-phase1" | "ike-skeyid" | "ike-psk-hash" => {
            serde_json::from_value(value).map(|r| Record::Phase1(Box::new(r)))
        }
        "ike-keymat" => serde_json::from_value(value).map(|r| Record::Keymat(Box::new(r))),
        "ike-flow" => serde_json::from_value(value).map(|r| Record::Flow(Box::new(r))),
        "ike-conversation" => serde_json::from_value(value).map(|r| Record::Conversation(Box::new(r))),
        _ => return Record::Unknown { id, kind, problem: "unknown type".to_owned() },
    };
    record.unwrap_or_else(|e| Record::Unknown { id, kind, problem: e.to_string() })
}

/// Reads a file of records, one per non-empty line.
///
/// # Errors
/// If the file cannot be read.
pub fn read_file(path: &Path) -> io::Result<Vec<Located>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok(lines.map(|(number, line)| Located { line: number + 1, record: parse_line(line) }).collect())
}
