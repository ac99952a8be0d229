//! Names of algorithms in racoon.conf(5).

use ike_codec::{AuthMethod, ExchangeKind, Group};
use ike_v1::{ProposalCheck, XauthRole};
use ipsec_crypto::{CipherAlgorithm as C, HashFunction, IntegrityAlgorithm as I};

use super::syntax::{GeneratePolicy, LogLevel, ScriptEvent, Switch};

/// Words of a switch with their values.
pub(super) const BOOLEANS: &[(&str, bool)] = &[("on", true), ("off", false), ("yes", true), ("no", false)];
pub(super) const SWITCHES: &[(&str, Switch)] = &[("on", Switch::On), ("off", Switch::Off), ("force", Switch::Force)];

/// Ciphers of phase 1; `None` for those that are not implemented.
pub(super) const PHASE_1_CIPHERS: &[(&str, Option<C>)] = &[
    ("des", Some(C::DesCbc)),
    ("3des", Some(C::TripleDesCbc)),
    ("blowfish", Some(C::BlowfishCbc)),
    ("cast128", Some(C::Cast128Cbc)),
    ("aes", Some(C::AesCbc)),
    ("rijndael", Some(C::AesCbc)),
    ("camellia", None),
    ("rc5", None),
    ("idea", None),
];

/// Ciphers of ESP; `None` for those that are not implemented.
pub(super) const ESP_CIPHERS: &[(&str, Option<C>)] = &[
    ("des", Some(C::DesCbc)),
    ("3des", Some(C::TripleDesCbc)),
    ("blowfish", Some(C::BlowfishCbc)),
    ("cast128", Some(C::Cast128Cbc)),
    ("aes", Some(C::AesCbc)),
    ("rijndael", Some(C::AesCbc)),
    ("null_enc", Some(C::Null)),
    ("null", Some(C::Null)),
    ("des_iv64", None),
    ("des_iv32", None),
    ("rc5", None),
    ("rc4", None),
    ("idea", None),
    ("3idea", None),
    ("twofish", None),
    ("camellia", None),
];

/// Hash algorithms of phase 1; `None` for those that are not implemented.
pub(super) const HASHES: &[(&str, Option<HashFunction>)] = &[
    ("md5", Some(HashFunction::Md5)),
    ("sha1", Some(HashFunction::Sha1)),
    ("sha256", Some(HashFunction::Sha2_256)),
    ("sha2_256", Some(HashFunction::Sha2_256)),
    ("sha384", Some(HashFunction::Sha2_384)),
    ("sha2_384", Some(HashFunction::Sha2_384)),
    ("sha512", Some(HashFunction::Sha2_512)),
    ("sha2_512", Some(HashFunction::Sha2_512)),
    ("tiger", None),
];

/// Integrity algorithms of ESP and AH; `None` for those that are not implemented. `hmac_sha256` is truncated to 128
/// bits, or to 96 if the peer does that.
pub(super) const INTEGRITY: &[(&str, Option<I>)] = &[
    ("hmac_md5", Some(I::HmacMd5_96)),
    ("hmac_sha1", Some(I::HmacSha1_96)),
    ("hmac_sha256", Some(I::HmacSha2_256_128)),
    ("hmac_sha2_256", Some(I::HmacSha2_256_128)),
    ("hmac_sha384", Some(I::HmacSha2_384_192)),
    ("hmac_sha2_384", Some(I::HmacSha2_384_192)),
    ("hmac_sha512", Some(I::HmacSha2_512_256)),
    ("hmac_sha2_512", Some(I::HmacSha2_512_256)),
    ("non_auth", Some(I::None)),
    ("des", None),
    ("des_mac", None),
    ("kpdk", None),
];

/// Diffie-Hellman groups. Groups 19 to 21 are an extension.
pub(super) const GROUPS: &[(&str, Group)] = &[
    ("modp768", Group(1)),
    ("modp1024", Group(2)),
    ("modp1536", Group(5)),
    ("modp2048", Group(14)),
    ("modp3072", Group(15)),
    ("modp4096", Group(16)),
    ("modp6144", Group(17)),
    ("modp8192", Group(18)),
    ("1", Group(1)),
    ("2", Group(2)),
    ("5", Group(5)),
    ("14", Group(14)),
    ("15", Group(15)),
    ("16", Group(16)),
    ("17", Group(17)),
    ("18", Group(18)),
    ("19", Group(19)),
    ("20", Group(20)),
    ("21", Group(21)),
    ("ecp256", Group(19)),
    ("ecp384", Group(20)),
    ("ecp521", Group(21)),
];

/// Groups on elliptic curves over GF(2^N), which racoon(8) reads and does not implement either.
pub(super) const EC2N_GROUPS: &[(&str, Group)] = &[("3", Group::EC2N_155), ("4", Group::EC2N_185)];

/// Exchanges of phase 1.
pub(crate) const EXCHANGES: &[(&str, ExchangeKind)] =
    &[("main", ExchangeKind::MAIN), ("aggressive", ExchangeKind::AGGRESSIVE), ("base", ExchangeKind::BASE)];

pub(crate) const CHECKS: &[(&str, ProposalCheck)] = &[
    ("obey", ProposalCheck::Obey),
    ("strict", ProposalCheck::Strict),
    ("claim", ProposalCheck::Claim),
    ("exact", ProposalCheck::Exact),
];

pub(super) const GENERATE_POLICY: &[(&str, GeneratePolicy)] = &[
    ("off", GeneratePolicy::Off),
    ("on", GeneratePolicy::Require),
    ("require", GeneratePolicy::Require),
    ("unique", GeneratePolicy::Unique),
    ("yes", GeneratePolicy::Require),
    ("no", GeneratePolicy::Off),
];

pub(super) const SCRIPT_EVENTS: &[(&str, ScriptEvent)] = &[
    ("phase1_up", ScriptEvent::Phase1Up),
    ("phase1_down", ScriptEvent::Phase1Down),
    ("phase1_dead", ScriptEvent::Phase1Dead),
];

/// Levels of messages. The last two are those of racoon before 2004.
pub(super) const LOG_LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warning", LogLevel::Warning),
    ("notify", LogLevel::Notify),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("debug2", LogLevel::Debug2),
    ("debug3", LogLevel::Debug2),
    ("debug4", LogLevel::Debug2),
];

/// Authentication method of racoon.conf(5).
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Method {
    /// Name of the method.
    pub name: &'static str,
    /// Number of the method in proposals of the initiator; `None` if the method is not implemented.
    pub number: Option<AuthMethod>,
    /// Role of this host in extended authentication.
    pub role: Option<XauthRole>,
    /// Set if this host signs.
    pub signs: bool,
    /// Set if the peer signs.
    pub verifies: bool,
}

impl Method {
    const fn new(name: &'static str, number: AuthMethod, signs: bool, verifies: bool) -> Self {
        Self { name, number: Some(number), role: None, signs, verifies }
    }

    const fn with(self, role: XauthRole) -> Self {
        Self { role: Some(role), ..self }
    }

    const fn unknown(name: &'static str) -> Self {
        Self { name, number: None, role: None, signs: false, verifies: false }
    }
}

/// Authentication methods. With XAUTH, the client is the initiator of phase 1.
pub static METHODS: [Method; 16] = [
    Method::new("pre_shared_key", AuthMethod::PRE_SHARED_KEY, false, false),
    Method::new("rsasig", AuthMethod::RSA_SIGNATURE, true, true),
    Method::new("hybrid_rsa_server", AuthMethod::HYBRID_INIT_RSA, true, false).with(XauthRole::Server),
    Method::new("hybrid_rsa_client", AuthMethod::HYBRID_INIT_RSA, false, true).with(XauthRole::Client),
    Method::new("xauth_psk_server", AuthMethod::XAUTH_INIT_PRE_SHARED, false, false).with(XauthRole::Server),
    Method::new("xauth_psk_client", AuthMethod::XAUTH_INIT_PRE_SHARED, false, false).with(XauthRole::Client),
    Method::new("xauth_rsa_server", AuthMethod::XAUTH_INIT_RSA, true, true).with(XauthRole::Server),
    Method::new("xauth_rsa_client", AuthMethod::XAUTH_INIT_RSA, true, true).with(XauthRole::Client),
    Method::unknown("dsssig"),
    Method::unknown("rsaenc"),
    Method::unknown("rsarev"),
    Method::unknown("gssapi_krb"),
    Method::unknown("hybrid_dss_server"),
    Method::unknown("hybrid_dss_client"),
    Method::unknown("xauth_dss_server"),
    Method::unknown("xauth_dss_client"),
];

/// Upper-layer protocols that racoon.conf(5) has names for. Others are numbers: `ipencap` is 4.
pub(super) const PROTOCOLS: &[(&str, u8)] = &[
    ("any", 0),
    ("icmp", 1),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("icmpv6", 58),
    ("ipcomp", 108),
];

/// Units of time with their seconds.
pub(super) const TIME_UNITS: &[(&str, u64)] = &[
    ("sec", 1),
    ("secs", 1),
    ("second", 1),
    ("seconds", 1),
    ("min", 60),
    ("mins", 60),
    ("minute", 60),
    ("minutes", 60),
    ("hour", 3600),
    ("hours", 3600),
];

/// Units of octets with their factors.
pub(super) const BYTE_UNITS: &[(&str, u64)] =
    &[("B", 1), ("byte", 1), ("bytes", 1), ("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)];

/// Returns the name of a value of a table: the first that has it.
pub(crate) fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table.iter().find(|row| row.1 == *value).map_or("", |row| row.0)
}
