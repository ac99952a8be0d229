//! Names of algorithms in ipsec.conf(5), and defaults by release.

use ike_codec::Group;
use ipsec_crypto::{CipherAlgorithm as C, HashFunction, IntegrityAlgorithm as I};

/// Release of OpenBSD whose defaults are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Release {
    /// OpenBSD 3.8 of 2005.
    V3_8,
    /// OpenBSD 4.1 of 2007.
    V4_1,
    /// OpenBSD 4.6 of 2009, and 4.2 to 5.7.
    V4_6,
    /// OpenBSD 5.8 of 2015.
    V5_8,
    /// Defaults of the newest release.
    #[default]
    Newest,
}

impl Release {
    /// Names of the releases.
    pub const NAMES: &'static [(&'static str, Self)] =
        &[("3.8", Self::V3_8), ("4.1", Self::V4_1), ("4.6", Self::V4_6), ("5.8", Self::V5_8), ("newest", Self::Newest)];

    /// Returns the group of both phases, if a rule names none.
    pub(super) fn group(self) -> Group {
        if self < Self::V5_8 { Group(2) } else { Group(15) }
    }

    /// Returns whether the release truncates HMAC-SHA2-256 to 96 bits, as releases before 4.7 do.
    pub(super) fn cuts_sha2_256(self) -> bool {
        self <= Self::V4_6
    }
}

/// Lifetimes in seconds of phase 1 and phase 2, if a rule names none.
pub(super) const LIFETIMES: (u64, u64) = (3600, 1200);

/// Authentication algorithms: integrity algorithm of phase 2, and hash algorithm of phase 1.
pub(crate) const AUTH: &[(&str, Option<I>, Option<HashFunction>)] = &[
    ("hmac-md5", Some(I::HmacMd5_96), Some(HashFunction::Md5)),
    ("hmac-sha1", Some(I::HmacSha1_96), Some(HashFunction::Sha1)),
    ("hmac-sha2-256", Some(I::HmacSha2_256_128), Some(HashFunction::Sha2_256)),
    ("hmac-sha2-384", Some(I::HmacSha2_384_192), Some(HashFunction::Sha2_384)),
    ("hmac-sha2-512", Some(I::HmacSha2_512_256), Some(HashFunction::Sha2_512)),
    ("hmac-ripemd160", Some(I::HmacRipemd160_96), None),
    ("none", Some(I::None), None),
    // An extension, for releases on which the name without a number means 96 bits.
    ("hmac-sha2-256-96", Some(I::HmacSha2_256_96), None),
];

/// Encryption algorithms: cipher, and the length of its key in octets with the salt; `None` if not implemented.
pub(crate) const CIPHERS: &[(&str, Option<(C, usize)>)] = &[
    ("aes", Some((C::AesCbc, 16))),
    ("aes-128", Some((C::AesCbc, 16))),
    ("aes-192", Some((C::AesCbc, 24))),
    ("aes-256", Some((C::AesCbc, 32))),
    ("aesctr", Some((C::AesCtr, 20))),
    ("aes-128-ctr", Some((C::AesCtr, 20))),
    ("aes-192-ctr", Some((C::AesCtr, 28))),
    ("aes-256-ctr", Some((C::AesCtr, 36))),
    ("aes-128-gcm", Some((C::AesGcm16, 20))),
    ("aes-192-gcm", Some((C::AesGcm16, 28))),
    ("aes-256-gcm", Some((C::AesGcm16, 36))),
    ("aes-128-gmac", Some((C::NullAesGmac, 20))),
    ("aes-192-gmac", Some((C::NullAesGmac, 28))),
    ("aes-256-gmac", Some((C::NullAesGmac, 36))),
    ("chacha20-poly1305", Some((C::ChaCha20Poly1305, 36))),
    ("3des", Some((C::TripleDesCbc, 24))),
    ("3des-cbc", Some((C::TripleDesCbc, 24))),
    ("des", Some((C::DesCbc, 8))),
    ("des-cbc", Some((C::DesCbc, 8))),
    ("blowfish", Some((C::BlowfishCbc, 16))),
    ("cast128", Some((C::Cast128Cbc, 16))),
    // The manual of 2006 has this name.
    ("cast", Some((C::Cast128Cbc, 16))),
    ("null", Some((C::Null, 0))),
    ("skipjack", None),
];

/// Ciphers whose keys have any length that the cipher allows.
pub(super) const ANY_LENGTH: &[&str] = &["aes", "aesctr", "blowfish", "cast128", "cast"];

/// Diffie-Hellman groups of newer releases that are not implemented.
pub(super) const OTHER_GROUPS: &[&str] = &[
    "ecp192",
    "ecp224",
    "grp25",
    "grp26",
    "grp27",
    "grp28",
    "grp29",
    "grp30",
    "brainpool224",
    "brainpool256",
    "brainpool384",
    "brainpool512",
];

/// Diffie-Hellman groups; `none` is without perfect forward secrecy.
pub(super) const GROUPS: &[(&str, Option<Group>)] = &[
    ("none", None),
    ("modp768", Some(Group(1))),
    ("modp1024", Some(Group(2))),
    ("modp1536", Some(Group(5))),
    ("modp2048", Some(Group(14))),
    ("modp3072", Some(Group(15))),
    ("modp4096", Some(Group(16))),
    ("modp6144", Some(Group(17))),
    ("modp8192", Some(Group(18))),
    ("grp1", Some(Group(1))),
    ("grp2", Some(Group(2))),
    ("grp5", Some(Group(5))),
    ("grp14", Some(Group(14))),
    ("grp15", Some(Group(15))),
    ("grp16", Some(Group(16))),
    ("grp17", Some(Group(17))),
    ("grp18", Some(Group(18))),
    ("ecp256", Some(Group(19))),
    ("ecp384", Some(Group(20))),
    ("ecp521", Some(Group(21))),
    ("grp19", Some(Group(19))),
    ("grp20", Some(Group(20))),
    ("grp21", Some(Group(21))),
];
