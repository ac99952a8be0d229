//! Suites by name in the format of strongSwan: `aes128-sha1`, `3des-md5`, `aes256gcm16`.

use ike_codec::{AuthMethod, Group, Lifetimes};
use ike_v1::Phase1Choice;
use ipsec_crypto::{AnySuite, CipherAlgorithm, HashFunction, IntegrityAlgorithm, KeyError};
use rand::Rng;

/// Algorithms of an SA and the length of the cipher key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteName {
    /// Cipher or AEAD of the suite.
    pub cipher: CipherAlgorithm,
    /// Length of the cipher key with its salt, in octets.
    pub cipher_key: usize,
    /// Integrity algorithm of the suite.
    pub integrity: IntegrityAlgorithm,
}

/// Part of the text of `--help` that describes suite names.
pub const HELP: &str = "Cipher, key bits where they vary, then integrity:\n\
    null des 3des blowfish[40..448] cast[40..128] aes[128|192|256] aes128ctr,\n\
    with -md5 -sha1 -sha256_96 -sha256 -sha384 -sha512 -ripemd160 -xcbc -cmac;\n\
    or alone: aes128gcm8|12|16 aes128ccm8|12|16 aes128gmac chacha20poly1305";

const CIPHERS: &[(&str, &str, CipherAlgorithm)] = &[
    // prefix, suffix behind the key bits
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

impl std::str::FromStr for SuiteName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let (cipher, integrity) = name.split_once('-').unwrap_or((name, ""));
        let (cipher, cipher_key) = parse_cipher(cipher).ok_or_else(|| format!("unknown cipher in {name:?}\n{HELP}"))?;
        let integrity = match integrity {
            "" => Some(IntegrityAlgorithm::None),
            name => INTEGRITY.iter().find(|row| row.0 == name).map(|row| row.1),
        };
        let integrity = integrity.ok_or_else(|| format!("unknown integrity algorithm in {name:?}\n{HELP}"))?;
        let suite = Self { cipher, cipher_key, integrity };
        suite.keyed(&suite.random_keys(&mut rand::rng())).map_err(|e| format!("{name}: {e}"))?;
        Ok(suite)
    }
}

/// Algorithms of phase 1 by name, as strongSwan has them: `3des-md5-modp1024`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeSuite(Phase1Choice);

impl IkeSuite {
    /// Returns the transform of phase 1 with a pre-shared key.
    pub fn choice(&self) -> Phase1Choice {
        self.0
    }
}

const HASHES: &[(&str, HashFunction)] = &[
    ("md5", HashFunction::Md5),
    ("sha1", HashFunction::Sha1),
    ("sha256", HashFunction::Sha2_256),
    ("sha384", HashFunction::Sha2_384),
    ("sha512", HashFunction::Sha2_512),
];

const GROUPS: &[(&str, Group)] = &[
    ("modp768", Group::MODP_768),
    ("modp1024", Group::MODP_1024),
    ("modp1536", Group::MODP_1536),
    ("modp2048", Group::MODP_2048),
    ("modp3072", Group::MODP_3072),
    ("modp4096", Group::MODP_4096),
    ("modp6144", Group::MODP_6144),
    ("modp8192", Group::MODP_8192),
    ("ecp256", Group::ECP_256),
    ("ecp384", Group::ECP_384),
    ("ecp521", Group::ECP_521),
];

impl std::str::FromStr for IkeSuite {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || format!("{name:?}: expected CIPHER-HASH-GROUP, as in 3des-md5-modp1024");
        let mut parts = name.split('-');
        let (Some(cipher), Some(hash), Some(group), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(unknown());
        };
        let (cipher, octets) = parse_cipher(cipher).ok_or_else(unknown)?;
        let hash = HASHES.iter().find(|row| row.0 == hash).ok_or_else(unknown)?.1;
        let group = GROUPS.iter().find(|row| row.0 == group).ok_or_else(unknown)?.1;
        ike_v1::encryption_number(cipher).ok_or_else(|| format!("{cipher} is not a cipher of phase 1"))?;
        let choice = Phase1Choice::new(cipher, hash, AuthMethod::PRE_SHARED_KEY, group).with_cipher_key(octets);
        let lifetimes = Lifetimes { seconds: Some(28_800), ..Lifetimes::default() };
        Ok(Self(choice.with_lifetimes(lifetimes)))
    }
}

fn parse_cipher(name: &str) -> Option<(CipherAlgorithm, usize)> {
    CIPHERS.iter().find_map(|&(prefix, suffix, algorithm)| {
        let bits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
        let row = algorithm.row()?;
        let octets = match bits {
            "" => row.default_key,
            _ => bits.parse::<usize>().ok().filter(|bits| bits % 8 == 0)? / 8 + row.salt,
        };
        (row.keys.min != row.keys.max || bits.is_empty()).then_some((algorithm, octets))
    })
}

/// Keys of one SA, which the tool writes to `esp_sa` for its user.
#[derive(Clone)]
pub struct Keys {
    /// Key of the cipher, followed by its salt.
    pub cipher: Vec<u8>,
    /// Key of the integrity algorithm.
    pub integrity: Vec<u8>,
}

impl SuiteName {
    /// Draws random keys of the right lengths.
    pub fn random_keys(&self, rng: &mut impl Rng) -> Keys {
        let integrity = self.integrity.row().map_or(0, |row| row.default_key);
        let mut keys = Keys { cipher: vec![0; self.cipher_key], integrity: vec![0; integrity] };
        rng.fill_bytes(&mut keys.cipher);
        rng.fill_bytes(&mut keys.integrity);
        keys
    }

    /// Creates the suite with these keys.
    pub fn keyed(&self, keys: &Keys) -> Result<AnySuite, KeyError> {
        AnySuite::from_slices(self.cipher, &keys.cipher, self.integrity, &keys.integrity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suite_names_have_cipher_key_length_and_integrity() {
        let table = [
            ("aes128-sha1", CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha1_96),
            ("aes-sha256", CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha2_256_128),
            ("blowfish448-md5", CipherAlgorithm::BlowfishCbc, 56, IntegrityAlgorithm::HmacMd5_96),
            ("3des-xcbc", CipherAlgorithm::TripleDesCbc, 24, IntegrityAlgorithm::AesXcbcMac96),
            ("null-cmac", CipherAlgorithm::Null, 0, IntegrityAlgorithm::AesCmac96),
            ("aes256gcm16", CipherAlgorithm::AesGcm16, 36, IntegrityAlgorithm::None),
            ("aes192ccm8", CipherAlgorithm::AesCcm8, 27, IntegrityAlgorithm::None),
            ("chacha20poly1305", CipherAlgorithm::ChaCha20Poly1305, 36, IntegrityAlgorithm::None),
        ];
        for (name, cipher, cipher_key, integrity) in table {
            assert_eq!(name.parse(), Ok(SuiteName { cipher, cipher_key, integrity }), "{name}");
        }
    }

    #[test]
    fn unknown_and_unprotected_suites_are_refused() {
        for name in ["null", "aes128", "aes128gcm16-sha1", "aes100-sha1", "des64-sha1", "rot13-sha1", "aes-crc32", ""] {
            assert!(name.parse::<SuiteName>().is_err(), "{name}");
        }
    }
}
