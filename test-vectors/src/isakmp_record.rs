use serde::Deserialize;

use crate::{Expected, Hex};

/// One IKEv1 message that every parser takes.
#[derive(Clone, Debug, Deserialize)]
pub struct IsakmpRecord {
    /// Its name.
    pub id: String,
    /// The message.
    pub hex: Hex,
    /// The UDP payload it came in, with the non-ESP marker.
    pub udp_payload: Option<Hex>,
    /// What its header says.
    pub header: IsakmpHeaderRecord,
    /// Whether its body is ciphertext.
    pub encrypted: bool,
    /// Its payloads, where they are in clear.
    pub payloads: Option<Vec<PayloadNode>>,
    /// What a parser does with it.
    pub expected: Expected,
}

/// The header of an [`IsakmpRecord`].
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct IsakmpHeaderRecord {
    pub initiator_cookie: Hex,
    pub responder_cookie: Hex,
    pub next_payload: u8,
    pub version: String,
    pub exchange: u8,
    pub flags: u8,
    pub message_id: Hex,
    pub length: u32,
}

/// Payload type, offset from the ISAKMP header, length, and payloads nested in it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum PayloadNode {
    /// With children.
    Branch(u8, i64, u64, Vec<PayloadNode>),
    /// Without.
    Leaf(u8, i64, u64),
}

/// A hostile or odd message.
#[derive(Clone, Debug, Deserialize)]
pub struct IsakmpBytesRecord {
    /// Its name.
    pub id: String,
    /// The octets.
    pub hex: Hex,
    /// What a parser does with them.
    pub expected: Expected,
}

/// A message in fragments.
#[derive(Clone, Debug, Deserialize)]
pub struct IsakmpFragmentsRecord {
    /// Its name.
    pub id: String,
    /// Whole ISAKMP messages with one fragment each, in order.
    pub fragments: Vec<Hex>,
    /// The ID all of them carry.
    pub fragment_id: u16,
    /// The message.
    pub reassembled: Hex,
    /// What a receiver does with them.
    pub expected: Expected,
}
