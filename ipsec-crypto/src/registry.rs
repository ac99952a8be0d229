//! Table of algorithms with names, key lengths and specifications, one row each.

use core::fmt;

use crate::KeyLengths;

/// Identity of a cipher or AEAD (RFC 4303 sections 3.2.1 and 3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CipherAlgorithm {
    /// NULL encryption (RFC 2410).
    Null,
    /// DES in CBC mode (RFC 2405).
    DesCbc,
    /// Triple DES in CBC mode (RFC 2451).
    TripleDesCbc,
    /// Blowfish in CBC mode (RFC 2451).
    BlowfishCbc,
    /// CAST-128 in CBC mode (RFC 2451).
    Cast128Cbc,
    /// AES in CBC mode (RFC 3602).
    AesCbc,
    /// AES in counter mode (RFC 3686).
    AesCtr,
    /// AES-GCM with an ICV of 8 octets (RFC 4106).
    AesGcm8,
    /// AES-GCM with an ICV of 12 octets (RFC 4106).
    AesGcm12,
    /// AES-GCM with an ICV of 16 octets (RFC 4106).
    AesGcm16,
    /// AES-CCM with an ICV of 8 octets (RFC 4309).
    AesCcm8,
    /// AES-CCM with an ICV of 12 octets (RFC 4309).
    AesCcm12,
    /// AES-CCM with an ICV of 16 octets (RFC 4309).
    AesCcm16,
    /// ChaCha20-Poly1305 with 256-bit key (RFC 7634).
    ChaCha20Poly1305,
    /// NULL encryption with AES-GMAC (RFC 4543).
    NullAesGmac,
}

/// Identity of an integrity algorithm (RFC 4303 section 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IntegrityAlgorithm {
    /// No separate integrity algorithm: with an AEAD, or for encryption without integrity.
    None,
    /// HMAC-MD5 truncated to 96 bits (RFC 2403).
    HmacMd5_96,
    /// HMAC-SHA1 truncated to 96 bits (RFC 2404).
    HmacSha1_96,
    /// HMAC-SHA2-256 truncated to 96 bits (draft-ietf-ipsec-ciph-sha-256-00).
    HmacSha2_256_96,
    /// HMAC-SHA2-256 truncated to 128 bits (RFC 4868).
    HmacSha2_256_128,
    /// HMAC-SHA2-384 truncated to 192 bits (RFC 4868).
    HmacSha2_384_192,
    /// HMAC-SHA2-512 truncated to 256 bits (RFC 4868).
    HmacSha2_512_256,
    /// HMAC-RIPEMD-160 truncated to 96 bits (RFC 2857).
    HmacRipemd160_96,
    /// AES-XCBC-MAC truncated to 96 bits (RFC 3566).
    AesXcbcMac96,
    /// AES-CMAC truncated to 96 bits (RFC 4494).
    AesCmac96,
    /// AES-GMAC for AH (RFC 4543); for ESP it is [`CipherAlgorithm::NullAesGmac`].
    AesGmac,
}

/// Row of the table of ciphers (RFC 4303 sections 3.2.1 and 3.2.3).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CipherRow {
    /// Identity of the cipher.
    pub algorithm: CipherAlgorithm,
    /// Name of the cipher in this workspace and in setkey(8).
    pub name: &'static str,
    /// Name in Wireshark's table of ESP SAs, if it has one.
    pub wireshark: Option<&'static str>,
    /// Number of the RFC that specifies it for ESP.
    pub rfc: u16,
    /// Key lengths in octets, including the salt.
    pub keys: KeyLengths,
    /// Default key length in octets, including the salt.
    pub default_key: usize,
    /// Length of the salt or nonce in the key, in octets.
    pub salt: usize,
    /// Length of the IV in each packet, in octets.
    pub iv: usize,
    /// Length of its own ICV in octets; 0 for a cipher that needs an integrity algorithm.
    pub icv: usize,
    /// Set for the algorithms of the feature `legacy`, for peers without better ones.
    pub legacy: bool,
}

/// Row of the table of integrity algorithms (RFC 4303 section 3.2.2).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct IntegrityRow {
    /// Identity of the integrity algorithm.
    pub algorithm: IntegrityAlgorithm,
    /// Name of the algorithm in this workspace.
    pub name: &'static str,
    /// Name in Wireshark's table of ESP SAs, if it has one.
    pub wireshark: Option<&'static str>,
    /// Number of the RFC that specifies it for ESP and AH; 0 for a draft.
    pub rfc: u16,
    /// Key lengths in octets, 1 or more for HMAC.
    pub keys: KeyLengths,
    /// Key length that the RFC specifies, in octets.
    pub default_key: usize,
    /// Length of the ICV in octets.
    pub icv: usize,
    /// Set for the algorithms of the feature `legacy`, for peers without better ones.
    pub legacy: bool,
}

macro_rules! ciphers {
    ($($algorithm:ident, $name:literal, $wireshark:expr, $rfc:literal, $min:literal..$max:literal/$step:literal,
       $default:literal, $salt:literal, $iv:literal, $icv:literal, $legacy:literal;)*) => {
        &[$(CipherRow {
            algorithm: CipherAlgorithm::$algorithm, name: $name, wireshark: $wireshark, rfc: $rfc,
            keys: KeyLengths { min: $min, max: $max, step: $step }, default_key: $default, salt: $salt, iv: $iv,
            icv: $icv, legacy: $legacy,
        },)*]
    };
}

impl CipherAlgorithm {
    /// Every cipher, in the order of the enum.
    #[rustfmt::skip]
    pub const ALL: &'static [CipherRow] = ciphers! {
        // algorithm      name                 Wireshark                                     RFC   keys      default
        // salt iv icv legacy
        Null,             "null",              Some("NULL"),                                 2410, 0..0/1,   0,      0,   0, 0,  false;
        DesCbc,           "des-cbc",           Some("DES-CBC [RFC2405]"),                    2405, 8..8/1,   8,      0,   8, 0,  true;
        TripleDesCbc,     "3des-cbc",          Some("TripleDES-CBC [RFC2451]"),              2451, 24..24/1, 24,     0,   8, 0,  true;
        BlowfishCbc,      "blowfish-cbc",      Some("BLOWFISH-CBC [RFC2451]"),               2451, 5..56/1,  16,     0,   8, 0,  true;
        Cast128Cbc,       "cast128-cbc",       Some("CAST5-CBC [RFC2144]"),                  2451, 5..16/1,  16,     0,   8, 0,  true;
        AesCbc,           "aes-cbc",           Some("AES-CBC [RFC3602]"),                    3602, 16..32/8, 16,     0,   16, 0, false;
        AesCtr,           "aes-ctr",           Some("AES-CTR [RFC3686]"),                    3686, 20..36/8, 20,     4,   8, 0,  false;
        AesGcm8,          "aes-gcm-8",         Some("AES-GCM with 8 octet ICV [RFC4106]"),   4106, 20..36/8, 20,     4,   8, 8,  false;
        AesGcm12,         "aes-gcm-12",        Some("AES-GCM with 12 octet ICV [RFC4106]"),  4106, 20..36/8, 20,     4,   8, 12, false;
        AesGcm16,         "aes-gcm-16",        Some("AES-GCM with 16 octet ICV [RFC4106]"),  4106, 20..36/8, 20,     4,   8, 16, false;
        AesCcm8,          "aes-ccm-8",         None,                                         4309, 19..35/8, 19,     3,   8, 8,  false;
        AesCcm12,         "aes-ccm-12",        None,                                         4309, 19..35/8, 19,     3,   8, 12, false;
        AesCcm16,         "aes-ccm-16",        None,                                         4309, 19..35/8, 19,     3,   8, 16, false;
        ChaCha20Poly1305, "chacha20-poly1305", Some("ChaCha20 with Poly1305 [RFC7634]"),     7634, 36..36/1, 36,     4,   8, 16, false;
        NullAesGmac,      "null-aes-gmac",     None,                                         4543, 20..36/8, 20,     4,   8, 16, false;
    };

    /// Returns the row of the algorithm.
    pub fn row(self) -> Option<&'static CipherRow> {
        Self::ALL.iter().find(|row| row.algorithm == self)
    }

    /// Returns the cipher with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.name == name).map(|row| row.algorithm)
    }
}

impl fmt::Display for CipherAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().map_or("unknown", |row| row.name))
    }
}

macro_rules! integrity {
    ($($algorithm:ident, $name:literal, $wireshark:expr, $rfc:literal, $keys:expr, $default:literal, $icv:literal,
       $legacy:literal;)*) => {
        &[$(IntegrityRow {
            algorithm: IntegrityAlgorithm::$algorithm, name: $name, wireshark: $wireshark, rfc: $rfc, keys: $keys,
            default_key: $default, icv: $icv, legacy: $legacy,
        },)*]
    };
}

const HMAC: KeyLengths = KeyLengths::HMAC;

impl IntegrityAlgorithm {
    /// Every integrity algorithm, in the order of the enum.
    #[rustfmt::skip]
    pub const ALL: &'static [IntegrityRow] = integrity! {
        // algorithm      name                  Wireshark                                                       RFC  
        // keys  default ICV legacy
        None,             "none",               Some("NULL"),                                                   2406, KeyLengths::exactly(0), 0, 0, true;
        HmacMd5_96,       "hmac-md5-96",        Some("HMAC-MD5-96 [RFC2403]"),                                  2403, HMAC, 16,     12, true;
        HmacSha1_96,      "hmac-sha1-96",       Some("HMAC-SHA-1-96 [RFC2404]"),                                2404, HMAC, 20,     12, false;
        HmacSha2_256_96,  "hmac-sha2-256-96",   Some("HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]"),     0,    HMAC, 32,     12, true;
        HmacSha2_256_128, "hmac-sha2-256-128",  Some("HMAC-SHA-256-128 [RFC4868]"),                             4868, HMAC, 32,     16, false;
        HmacSha2_384_192, "hmac-sha2-384-192",  Some("HMAC-SHA-384-192 [RFC4868]"),                             4868, HMAC, 48,     24, false;
        HmacSha2_512_256, "hmac-sha2-512-256",  Some("HMAC-SHA-512-256 [RFC4868]"),                             4868, HMAC, 64,     32, false;
        HmacRipemd160_96, "hmac-ripemd160-96",  Some("MAC-RIPEMD-160-96 [RFC2857]"),                            2857, HMAC, 20,     12, true;
        AesXcbcMac96,     "aes-xcbc-mac-96",    None,                                                           3566, KeyLengths::exactly(16), 16, 12, false;
        AesCmac96,        "aes-cmac-96",        None,                                                           4494, KeyLengths::exactly(16), 16, 12, false;
        AesGmac,          "aes-gmac",           None,                                                           4543, KeyLengths { min: 20, max: 36, step: 8 }, 20, 16, false;
    };

    /// Returns the row of the algorithm.
    pub fn row(self) -> Option<&'static IntegrityRow> {
        Self::ALL.iter().find(|row| row.algorithm == self)
    }

    /// Returns the integrity algorithm with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.name == name).map(|row| row.algorithm)
    }
}

impl fmt::Display for IntegrityAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().map_or("unknown", |row| row.name))
    }
}
