//! One row per algorithm: what it is called, how long its keys are, where it is specified.

use core::fmt;

use crate::KeyLengths;

/// A cipher or AEAD, by identity (RFC 4303 3.2.1, 3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CipherAlgorithm {
    /// NULL.
    Null,
    /// DES-CBC.
    DesCbc,
    /// 3DES-CBC.
    TripleDesCbc,
    /// Blowfish-CBC.
    BlowfishCbc,
    /// CAST-128-CBC.
    Cast128Cbc,
    /// AES-CBC.
    AesCbc,
    /// AES-CTR.
    AesCtr,
    /// AES-GCM with an ICV of 8 octets.
    AesGcm8,
    /// AES-GCM with an ICV of 12 octets.
    AesGcm12,
    /// AES-GCM with an ICV of 16 octets.
    AesGcm16,
    /// AES-CCM with an ICV of 8 octets.
    AesCcm8,
    /// AES-CCM with an ICV of 12 octets.
    AesCcm12,
    /// AES-CCM with an ICV of 16 octets.
    AesCcm16,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
    /// NULL encryption with AES-GMAC.
    NullAesGmac,
}

/// An integrity algorithm, by identity (RFC 4303 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IntegrityAlgorithm {
    /// No separate integrity algorithm.
    None,
    /// HMAC-MD5-96.
    HmacMd5_96,
    /// HMAC-SHA1-96.
    HmacSha1_96,
    /// HMAC-SHA2-256 cut to 96 bits.
    HmacSha2_256_96,
    /// HMAC-SHA2-256-128.
    HmacSha2_256_128,
    /// HMAC-SHA2-384-192.
    HmacSha2_384_192,
    /// HMAC-SHA2-512-256.
    HmacSha2_512_256,
    /// HMAC-RIPEMD-160-96.
    HmacRipemd160_96,
    /// AES-XCBC-MAC-96.
    AesXcbcMac96,
    /// AES-CMAC-96.
    AesCmac96,
    /// AES-GMAC, for AH only.
    AesGmac,
}

/// What there is to know of a cipher (RFC 4303 3.2.1, 3.2.3).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CipherRow {
    /// Which one.
    pub algorithm: CipherAlgorithm,
    /// Its name in this workspace and in setkey(8).
    pub name: &'static str,
    /// Its name in Wireshark's ESP SA table, where it has one.
    pub wireshark: Option<&'static str>,
    /// The RFC that brings it to ESP.
    pub rfc: u16,
    /// Key lengths in octets, salt included.
    pub keys: KeyLengths,
    /// The key length, salt included, where nothing else was negotiated.
    pub default_key: usize,
    /// Octets of the key that are salt or nonce.
    pub salt: usize,
    /// Octets of IV in each packet.
    pub iv: usize,
    /// Octets of ICV that it brings itself; 0 for a cipher that needs an integrity algorithm.
    pub icv: usize,
    /// Only for peers that have nothing better.
    pub legacy: bool,
}

/// What there is to know of an integrity algorithm (RFC 4303 3.2.2).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct IntegrityRow {
    /// Which one.
    pub algorithm: IntegrityAlgorithm,
    /// Its name in this workspace.
    pub name: &'static str,
    /// Its name in Wireshark's ESP SA table, where it has one.
    pub wireshark: Option<&'static str>,
    /// The RFC that brings it to ESP and AH; 0 for a draft that became none.
    pub rfc: u16,
    /// Key lengths in octets.
    pub keys: KeyLengths,
    /// The key length the RFC asks for.
    pub default_key: usize,
    /// Octets of ICV.
    pub icv: usize,
    /// Only for peers that have nothing better.
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
        // algorithm      name                 Wireshark                                     RFC   keys      default salt iv icv legacy
        Null,             "null",              Some("NULL"),                                 2410, 0..0/1,   0,      0,   0, 0,  true;
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

    /// Its row.
    pub fn row(self) -> Option<&'static CipherRow> {
        Self::ALL.iter().find(|row| row.algorithm == self)
    }

    /// The cipher of this name.
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
        // algorithm      name                  Wireshark                                                       RFC   keys  default ICV legacy
        None,             "none",               Some("NULL"),                                                   2406, KeyLengths::exactly(0), 0, 0, true;
        HmacMd5_96,       "hmac-md5-96",        Some("HMAC-MD5-96 [RFC2403]"),                                  2403, HMAC, 16,     12, true;
        HmacSha1_96,      "hmac-sha1-96",       Some("HMAC-SHA-1-96 [RFC2404]"),                                2404, HMAC, 20,     12, true;
        HmacSha2_256_96,  "hmac-sha2-256-96",   Some("HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]"),     0,    HMAC, 32,     12, true;
        HmacSha2_256_128, "hmac-sha2-256-128",  Some("HMAC-SHA-256-128 [RFC4868]"),                             4868, HMAC, 32,     16, false;
        HmacSha2_384_192, "hmac-sha2-384-192",  Some("HMAC-SHA-384-192 [RFC4868]"),                             4868, HMAC, 48,     24, false;
        HmacSha2_512_256, "hmac-sha2-512-256",  Some("HMAC-SHA-512-256 [RFC4868]"),                             4868, HMAC, 64,     32, false;
        HmacRipemd160_96, "hmac-ripemd160-96",  Some("MAC-RIPEMD-160-96 [RFC2857]"),                            2857, HMAC, 20,     12, true;
        AesXcbcMac96,     "aes-xcbc-mac-96",    None,                                                           3566, KeyLengths::exactly(16), 16, 12, false;
        AesCmac96,        "aes-cmac-96",        None,                                                           4494, KeyLengths::exactly(16), 16, 12, false;
        AesGmac,          "aes-gmac",           None,                                                           4543, KeyLengths { min: 20, max: 36, step: 8 }, 20, 16, false;
    };

    /// Its row.
    pub fn row(self) -> Option<&'static IntegrityRow> {
        Self::ALL.iter().find(|row| row.algorithm == self)
    }

    /// The integrity algorithm of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.name == name).map(|row| row.algorithm)
    }
}

impl fmt::Display for IntegrityAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().map_or("unknown", |row| row.name))
    }
}
