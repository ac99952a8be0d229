use serde::Deserialize;

use crate::Hex;

/// Key derivation of phase 1: inputs, and as many results as the record knows (types `ike-phase1`, `ike-skeyid` and
/// `ike-psk-hash`).
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Phase1Record {
    pub id: String,
    /// Which of the three types it is.
    #[serde(rename = "type")]
    pub kind: String,
    pub prf: String,
    /// The hash, where it is not the one in `prf`.
    pub hash: Option<String>,
    /// `psk` where the record says nothing.
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
    /// What follows SKEYID in HASH_I.
    pub hash_i_data: Option<Hex>,
    pub hash_r: Option<Hex>,
    /// What follows SKEYID in HASH_R.
    pub hash_r_data: Option<Hex>,
}

/// Key material of a quick mode.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct KeymatRecord {
    pub id: String,
    pub prf: String,
    pub skeyid_d: Hex,
    /// `[g(qm)^xy |] protocol | SPI | Ni_b | Nr_b` of the SA to the initiator.
    pub seed_initiator_sa: Hex,
    /// The same of the SA to the responder.
    pub seed_responder_sa: Hex,
    #[serde(default)]
    pub pfs: bool,
    pub enc_key_initiator: Hex,
    pub integ_key_initiator: Hex,
    pub enc_key_responder: Hex,
    pub integ_key_responder: Hex,
}

/// A whole exchange.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct FlowRecord {
    pub id: String,
    pub prf: String,
    /// The hash, where it is not the one in `prf`.
    pub hash: Option<String>,
    pub ka: Hex,
    pub skeyid_a: Hex,
    pub messages: Vec<FlowMessage>,
}

/// One message of a [`FlowRecord`].
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct FlowMessage {
    /// `initiator` or `responder`.
    pub from_: Option<String>,
    pub wire: Hex,
    pub cipher: Option<String>,
    pub iv: Option<Hex>,
    pub plaintext: Option<Hex>,
    /// Kind and length of each payload.
    pub payloads: Option<Vec<(u8, usize)>>,
    pub padding: Option<Hex>,
    /// Which hash of phase 2 it carries, beginning with `HASH(1)`, `HASH(2)` or `HASH(3)`.
    pub hash: Option<String>,
}
