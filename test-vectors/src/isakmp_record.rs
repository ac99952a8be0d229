use serde::Deserialize;

use crate::{Expected, Hex};

/// IKEv1 message that every parser accepts.
#[derive(Clone, Debug, Deserialize)]
pub struct IsakmpRecord {
    /// Name of the record.
    pub id: String,
    /// Octets of the message.
    pub hex: Hex,
    /// UDP payload with the non-ESP marker, if the message was received on port 4500.
    pub udp_payload: Option<Hex>,
    /// Fields of the ISAKMP header.
    pub header: IsakmpHeaderRecord,
    /// Encryption flag of the header: the body is ciphertext.
    pub encrypted: bool,
    /// Payloads of a cleartext message.
    pub payloads: Option<Vec<PayloadNode>>,
    /// Result expected from a parser.
    pub expected: Expected,
    /// Text that the reason of the refusal contains; `None` accepts any reason.
    pub expected_reason: Option<String>,
}

/// ISAKMP header of an [`IsakmpRecord`].
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
    /// Payload with nested payloads.
    Branch(u8, i64, u64, Vec<PayloadNode>),
    /// Payload without nested payloads.
    Leaf(u8, i64, u64),
}

/// Hostile or unusual message.
#[derive(Clone, Debug, Deserialize)]
pub struct IsakmpBytesRecord {
    /// Name of the record.
    pub id: String,
    /// Octets of the message.
    pub hex: Hex,
    /// Result expected from a parser.
    pub expected: Expected,
    /// Text that the reason of the refusal contains; `None` accepts any reason.
    pub expected_reason: Option<String>,
}

/// Message in IKE fragments.
#[derive(Clone, Debug, Deserialize)]
pub struct IsakmpFragmentsRecord {
    /// Name of the record.
    pub id: String,
    /// ISAKMP messages with one fragment each, in order.
    pub fragments: Vec<Hex>,
    /// Fragment ID of all fragments.
    pub fragment_id: u16,
    /// Message that was reassembled.
    pub reassembled: Hex,
    /// Result expected from a receiver.
    pub expected: Expected,
    /// Text that the reason of the refusal contains; `None` accepts any reason.
    pub expected_reason: Option<String>,
}
