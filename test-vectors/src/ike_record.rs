use serde::Deserialize;

use crate::Hex;

/// Key derivation of phase 1: inputs, and the results that the record contains (types `ike-phase1`, `ike-skeyid` and
/// `ike-psk-hash`).
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Phase1Record {
    pub id: String,
    /// Type of the record, one of the three above.
    #[serde(rename = "type")]
    pub kind: String,
    pub prf: String,
    /// Hash algorithm, if it is not that of `prf`.
    pub hash: Option<String>,
    /// Authentication method; absent for `psk`.
    pub auth_method: Option<String>,
    #[serde(default)]
    pub psk: Hex,
    #[serde(default)]
    pub cky_i: Hex,
    #[serde(default)]
    pub cky_r: Hex,
    #[serde(default)]
    pub ni: Hex,
    #[serde(default)]
    pub nr: Hex,
    pub g_xi: Option<Hex>,
    pub g_xr: Option<Hex>,
    pub g_xy: Option<Hex>,
    #[serde(default)]
    pub sai_b: Hex,
    pub idii_b: Option<Hex>,
    pub idir_b: Option<Hex>,
    pub skeyid: Option<Hex>,
    pub skeyid_d: Option<Hex>,
    pub skeyid_a: Option<Hex>,
    pub skeyid_e: Option<Hex>,
    pub ka: Option<Hex>,
    pub initial_iv: Option<Hex>,
    pub hash_i: Option<Hex>,
    /// Input of HASH_I, whose key is SKEYID.
    pub hash_i_data: Option<Hex>,
    pub hash_r: Option<Hex>,
    /// Input of HASH_R, whose key is SKEYID.
    pub hash_r_data: Option<Hex>,
}

/// Keying material of a quick mode exchange (RFC 2409 section 5.5).
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct KeymatRecord {
    pub id: String,
    pub prf: String,
    pub skeyid_d: Hex,
    /// Seed `[g(qm)^xy |] protocol | SPI | Ni_b | Nr_b` of the SA to the initiator.
    pub seed_initiator_sa: Hex,
    /// Seed of the SA to the responder, in the form of `seed_initiator_sa`.
    pub seed_responder_sa: Hex,
    #[serde(default)]
    pub pfs: bool,
    pub enc_key_initiator: Hex,
    pub integ_key_initiator: Hex,
    pub enc_key_responder: Hex,
    pub integ_key_responder: Hex,
}

/// Complete exchange with encrypted messages.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct FlowRecord {
    pub id: String,
    pub prf: String,
    /// Hash algorithm, if it is not that of `prf`.
    pub hash: Option<String>,
    pub ka: Hex,
    pub skeyid_a: Hex,
    pub messages: Vec<FlowMessage>,
}

/// Message of a [`FlowRecord`].
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct FlowMessage {
    /// Sender of the message, `initiator` or `responder`.
    pub from_: Option<String>,
    pub wire: Hex,
    pub cipher: Option<String>,
    pub iv: Option<Hex>,
    pub plaintext: Option<Hex>,
    /// Type and length in octets of each payload.
    pub payloads: Option<Vec<(u8, usize)>>,
    pub padding: Option<Hex>,
    /// Hash of phase 2 in the message: a text that begins with `HASH(1)`, `HASH(2)` or `HASH(3)`.
    pub hash: Option<String>,
}

/// Conversation of two peers as it was on the wire, with one or more ISAKMP SAs, and their secrets.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct ConversationRecord {
    pub id: String,
    pub psk: Option<Hex>,
    /// Shared secrets g^xy of the SAs, in any order.
    #[serde(default)]
    pub shared: Vec<Hex>,
    /// Initiator cookie and encryption key of each SA without other secrets.
    #[serde(default)]
    pub ka: Vec<(Hex, Hex)>,
    pub messages: Vec<ConversationMessage>,
}

/// Message of a [`ConversationRecord`].
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct ConversationMessage {
    /// Sender of the message, `initiator` or `responder` of its SA.
    pub from_: String,
    pub wire: Hex,
    /// Result of the verification with the secrets: `good`, `signature` for a signature that is not verified, `not
    /// verified` without a secret for it; absent for a message without a hash.
    pub hash: Option<String>,
    /// Value that is signed.
    pub signed: Option<Hex>,
}
