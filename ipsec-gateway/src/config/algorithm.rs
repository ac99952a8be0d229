//! Names of the algorithms of both phases in gateway.conf.

use ike_codec::{AuthMethod, Group, Lifetimes};
use ike_v1::{GroupLengths, Phase1Choice, Phase2Suite};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};

/// Description of the ciphers of phase 1 for messages.
pub const PHASE_1_CIPHERS: &str =
    "a cipher of phase 1: des, 3des, blowfish, cast or aes, with its key bits if they vary";
/// Description of the hash algorithms of phase 1 for messages.
pub const HASHES: &str = "a hash algorithm: md5, sha1, sha256, sha384 or sha512";
/// Description of the groups of phase 1 for messages.
pub const GROUPS: &str = "a group: modp768 to modp8192, ecp256, ecp384, ecp521, or its number";
/// Description of the suites of ESP for messages.
pub const INTEGRITIES: &str = "an integrity algorithm: md5, sha1, sha256, sha384 or sha512";
pub const SUITES: &str = "an ESP suite such as aes128-sha1, 3des-md5, null-sha256 or aes256gcm16";

/// Ciphers of phase 1 (RFC 2409 appendix A).
const PHASE_1: &[(&str, CipherAlgorithm)] = &[
    ("des", CipherAlgorithm::DesCbc),
    ("3des", CipherAlgorithm::TripleDesCbc),
    ("blowfish", CipherAlgorithm::BlowfishCbc),
    ("cast", CipherAlgorithm::Cast128Cbc),
    ("aes", CipherAlgorithm::AesCbc),
];

/// Ciphers of ESP: the parts of the name in front of the key bits and behind them.
const ESP: &[(&str, &str, CipherAlgorithm)] = &[
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

/// Integrity algorithms of ESP.
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
const HASH_FUNCTIONS: &[(&str, HashFunction)] = &[
    ("md5", HashFunction::Md5),
    ("sha1", HashFunction::Sha1),
    ("sha256", HashFunction::Sha2_256),
    ("sha384", HashFunction::Sha2_384),
    ("sha512", HashFunction::Sha2_512),
];

/// Returns the cipher of phase 1 with this name, and the length of its key in octets.
pub fn phase_1_cipher(name: &str) -> Option<(CipherAlgorithm, usize)> {
    PHASE_1.iter().find_map(|&(prefix, cipher)| with_key_bits(cipher, name.strip_prefix(prefix)?))
}

/// Returns the hash algorithm with this name.
pub fn hash(name: &str) -> Option<HashFunction> {
    HASH_FUNCTIONS.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// Returns the group with this name or number, if it is implemented.
pub fn group(name: &str) -> Option<Group> {
    let is_named = |group: &Group| group.to_string() == name || group.0.to_string() == name;
    (1..=u16::from(u8::MAX)).map(Group).find(is_named).filter(|group| GroupLengths::of(*group).is_some())
}

/// Returns the ESP suite with this name. Suites without integrity are refused.
pub fn suite(name: &str) -> Option<Phase2Suite> {
    let (cipher, integrity) = name.split_once('-').map_or((name, None), |(cipher, name)| (cipher, Some(name)));
    let (cipher, cipher_key) = ESP.iter().find_map(|&(prefix, suffix, algorithm)| {
        with_key_bits(algorithm, cipher.strip_prefix(prefix)?.strip_suffix(suffix)?)
    })?;
    let is_aead = cipher.row()?.icv > 0;
    let (integrity, integrity_key) = match integrity {
        None if is_aead => (IntegrityAlgorithm::None, 0),
        Some(name) if !is_aead => {
            let integrity = INTEGRITY.iter().find(|row| row.0 == name)?.1;
            (integrity, integrity.row()?.default_key)
        }
        _ => return None,
    };
    Some(Phase2Suite::Keyed { cipher, cipher_key, integrity, integrity_key })
}

/// Returns the suite of AH with an integrity algorithm of this name.
pub fn integrity(name: &str) -> Option<Phase2Suite> {
    let integrity = INTEGRITY.iter().find(|row| row.0 == name)?.1;
    let integrity_key = integrity.row()?.default_key;
    Some(Phase2Suite::Keyed { cipher: CipherAlgorithm::Null, cipher_key: 0, integrity, integrity_key })
}

/// Returns a cipher and the length of its key with the salt in octets, for key bits that may be empty.
fn with_key_bits(cipher: CipherAlgorithm, bits: &str) -> Option<(CipherAlgorithm, usize)> {
    let row = cipher.row()?;
    if bits.is_empty() {
        return Some((cipher, row.default_key));
    }
    let bits: usize = bits.parse().ok().filter(|bits| bits % 8 == 0)?;
    let octets = (bits / 8).checked_add(row.salt)?;
    (row.keys.min != row.keys.max && row.keys.allow(octets)).then_some((cipher, octets))
}

/// Returns a transform of phase 1 with a pre-shared key.
pub fn proposal(
    (cipher, cipher_key): (CipherAlgorithm, usize),
    hash: HashFunction,
    group: Group,
    seconds: u64,
) -> Phase1Choice {
    Phase1Choice::new(cipher, hash, AuthMethod::PRE_SHARED_KEY, group)
        .with_cipher_key(cipher_key)
        .with_lifetimes(Lifetimes { seconds: Some(seconds), ..Lifetimes::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciphers_of_phase_1_have_key_bits() {
        let table = [
            ("des", CipherAlgorithm::DesCbc, 8),
            ("3des", CipherAlgorithm::TripleDesCbc, 24),
            ("blowfish448", CipherAlgorithm::BlowfishCbc, 56),
            ("cast", CipherAlgorithm::Cast128Cbc, 16),
            ("aes", CipherAlgorithm::AesCbc, 16),
            ("aes256", CipherAlgorithm::AesCbc, 32),
        ];
        for (name, cipher, octets) in table {
            assert_eq!(phase_1_cipher(name), Some((cipher, octets)), "{name}");
        }
        for name in ["", "aes1", "aes129", "aes512", "des64", "null", "aes128gcm16", "AES"] {
            assert_eq!(phase_1_cipher(name), None, "{name}");
        }
    }

    #[test]
    fn groups_have_names_and_numbers() {
        assert_eq!(group("modp2048"), Some(Group::MODP_2048));
        assert_eq!(group("2"), Some(Group::MODP_1024));
        assert_eq!(group("ecp521"), Some(Group::ECP_521));
        for name in ["0", "3", "modp1", "curve25519", "65550"] {
            assert_eq!(group(name), None, "{name}");
        }
    }

    #[test]
    fn suites_of_esp_have_integrity() {
        let keyed = |cipher, cipher_key, integrity, integrity_key| {
            Some(Phase2Suite::Keyed { cipher, cipher_key, integrity, integrity_key })
        };
        assert_eq!(suite("aes128-sha1"), keyed(CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha1_96, 20));
        assert_eq!(suite("3des-md5"), keyed(CipherAlgorithm::TripleDesCbc, 24, IntegrityAlgorithm::HmacMd5_96, 16));
        assert_eq!(suite("aes256gcm16"), keyed(CipherAlgorithm::AesGcm16, 36, IntegrityAlgorithm::None, 0));
        for name in ["null", "aes128", "aes128gcm16-sha1", "aes100-sha1", "aes128-", "aes128-crc32", ""] {
            assert_eq!(suite(name), None, "{name}");
        }
    }
}
