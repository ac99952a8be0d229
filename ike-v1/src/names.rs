//! Names of algorithms in configurations and on command lines, in the format of strongSwan: `aes128`, `sha1`,
//! `modp2048`, `aes256gcm16`.

use core::fmt;

use ike_codec::Group;
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};

use crate::GroupLengths;

/// Ciphers: the parts of the name in front of the key bits and after them.
const CIPHERS: &[(&str, &str, CipherAlgorithm)] = &[
    ("null", "", CipherAlgorithm::Null),
    ("des", "", CipherAlgorithm::DesCbc),
    ("3des", "", CipherAlgorithm::TripleDesCbc),
    ("blowfish", "", CipherAlgorithm::BlowfishCbc),
    ("cast", "", CipherAlgorithm::Cast128Cbc),
    ("aes", "", CipherAlgorithm::AesCbc),
    ("aes", "ctr", CipherAlgorithm::AesCtr),
    ("aes", "gcm8", CipherAlgorithm::AesGcm8),
    ("aes", "gcm12", CipherAlgorithm::AesGcm12),
    ("aes", "gcm16", CipherAlgorithm::AesGcm16),
    ("aes", "ccm8", CipherAlgorithm::AesCcm8),
    ("aes", "ccm12", CipherAlgorithm::AesCcm12),
    ("aes", "ccm16", CipherAlgorithm::AesCcm16),
    ("aes", "gmac", CipherAlgorithm::NullAesGmac),
    ("chacha20poly1305", "", CipherAlgorithm::ChaCha20Poly1305),
];

/// Integrity algorithms of ESP and AH.
const INTEGRITY: &[(&str, IntegrityAlgorithm)] = &[
    ("md5", IntegrityAlgorithm::HmacMd5_96),
    ("sha1", IntegrityAlgorithm::HmacSha1_96),
    ("sha256_96", IntegrityAlgorithm::HmacSha2_256_96),
    ("sha256", IntegrityAlgorithm::HmacSha2_256_128),
    ("sha384", IntegrityAlgorithm::HmacSha2_384_192),
    ("sha512", IntegrityAlgorithm::HmacSha2_512_256),
    ("ripemd160", IntegrityAlgorithm::HmacRipemd160_96),
    ("xcbc", IntegrityAlgorithm::AesXcbcMac96),
    ("cmac", IntegrityAlgorithm::AesCmac96),
];

/// Hash algorithms of phase 1.
const HASHES: &[(&str, HashFunction)] = &[
    #[cfg(feature = "legacy")]
    ("md5", HashFunction::Md5),
    ("sha1", HashFunction::Sha1),
    #[cfg(feature = "modern")]
    ("sha256", HashFunction::Sha2_256),
    #[cfg(feature = "modern")]
    ("sha384", HashFunction::Sha2_384),
    #[cfg(feature = "modern")]
    ("sha512", HashFunction::Sha2_512),
];

/// Returns the cipher with this name, and the length of its key with the salt in octets. Without key bits, the length
/// is the default one; a cipher with one length has none.
#[must_use]
pub fn cipher(name: &str) -> Option<(CipherAlgorithm, usize)> {
    CIPHERS.iter().find_map(|&(prefix, suffix, cipher)| {
        let bits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
        let row = cipher.row()?;
        if bits.is_empty() {
            return Some((cipher, row.default_key));
        }
        let bits: usize = bits.parse().ok()?;
        let octets = bits.checked_div(8).filter(|octets| octets.checked_mul(8) == Some(bits))?.checked_add(row.salt)?;
        (row.keys.min != row.keys.max && row.keys.allow(octets)).then_some((cipher, octets))
    })
}

/// Returns the integrity algorithm with this name.
#[must_use]
pub fn integrity(name: &str) -> Option<IntegrityAlgorithm> {
    INTEGRITY.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// Returns the hash algorithm of phase 1 with this name.
#[must_use]
pub fn hash(name: &str) -> Option<HashFunction> {
    HASHES.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// Returns the group with this name, if it is implemented.
#[must_use]
pub fn group(name: &str) -> Option<Group> {
    let is_named = |group: &Group| group.name() == Some(name) && GroupLengths::of(*group).is_some();
    (1..=u16::from(u8::MAX)).map(Group).find(is_named)
}

/// Cipher with the length of its key in octets, printed by its name: `aes256`, `3des`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherName(pub CipherAlgorithm, pub usize);

impl fmt::Display for CipherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(cipher, octets) = *self;
        let (Some(&(prefix, suffix, _)), Some(row)) = (CIPHERS.iter().find(|row| row.2 == cipher), cipher.row()) else {
            return cipher.fmt(f);
        };
        f.write_str(prefix)?;
        if row.keys.min != row.keys.max {
            write!(f, "{}", octets.saturating_sub(row.salt).saturating_mul(8))?;
        }
        f.write_str(suffix)
    }
}

/// Returns the name of an integrity algorithm; `None` for one that is not negotiated by name.
#[must_use]
pub fn integrity_name(integrity: IntegrityAlgorithm) -> Option<&'static str> {
    INTEGRITY.iter().find(|row| row.1 == integrity).map(|row| row.0)
}

/// Returns the name of a hash algorithm of phase 1.
#[must_use]
pub fn hash_name(hash: HashFunction) -> Option<&'static str> {
    HASHES.iter().find(|row| row.1 == hash).map(|row| row.0)
}
