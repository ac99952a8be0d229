//! Suites by name in the format of strongSwan: `aes128-sha1`, `3des-md5`, `aes256gcm16`.

mod listing;
mod similar;

use ike_codec::{AuthMethod, Lifetimes};
use ike_v1::{Phase1Choice, names};
use ipsec_crypto::{AnySuite, CipherAlgorithm, IntegrityAlgorithm, KeyError};
use rand::Rng;

pub use listing::{Args, ike_help, run, suite_help};
use similar::similar;

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

impl std::str::FromStr for SuiteName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let (cipher, integrity) = name.split_once('-').unwrap_or((name, ""));
        let (cipher, cipher_key) = names::cipher(cipher).ok_or_else(|| unknown_suite(name, "cipher"))?;
        let integrity = match integrity {
            "" => Some(IntegrityAlgorithm::None),
            name => names::integrity(name),
        };
        let integrity = integrity.ok_or_else(|| unknown_suite(name, "integrity algorithm"))?;
        let suite = Self { cipher, cipher_key, integrity };
        suite.keyed(&suite.random_keys(&mut rand::rng())).map_err(|e| match e {
            KeyError::NoIntegrity | KeyError::NullWithoutIntegrity => format!("{e}: add one, as in {name}-sha1"),
            KeyError::IntegrityTwice => format!("{e}: omit {:?}", name.split_once('-').map_or("", |parts| parts.1)),
            e => e.to_string(),
        })?;
        Ok(suite)
    }
}

/// Returns the error for a name with an unknown part: the most similar name, and where all are listed.
fn unknown_suite(name: &str, part: &str) -> String {
    let (ciphers, integrity) = (listing::ciphers(false), listing::integrity_names());
    let pairs =
        ciphers.iter().flat_map(|cipher| integrity.iter().map(move |integrity| format!("{cipher}-{integrity}")));
    with_similar(name, part, &pairs.chain(listing::ciphers(true)).collect::<Vec<_>>())
}

fn with_similar(name: &str, part: &str, candidates: &[String]) -> String {
    let similar = similar(name, candidates.iter().map(String::as_str));
    let meant = similar.map(|similar| format!(": did you mean {similar}?")).unwrap_or_default();
    format!("unknown {part}{meant} (`ipsec-lab suites` lists all names)")
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

impl std::str::FromStr for IkeSuite {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let parts: Vec<&str> = name.split('-').collect();
        let &[cipher, hash, group] = parts.as_slice() else {
            return Err(format!("{}; expected CIPHER-HASH-GROUP, as in 3des-md5-modp1024", unknown_ike(name, "name")));
        };
        let (cipher, octets) = names::cipher(cipher).ok_or_else(|| unknown_ike(name, "cipher"))?;
        let hash = names::hash(hash).ok_or_else(|| unknown_ike(name, "hash"))?;
        let group = names::group(group).ok_or_else(|| unknown_ike(name, "group"))?;
        ike_v1::encryption_number(cipher).ok_or_else(|| format!("{cipher} is not a cipher of phase 1"))?;
        let choice = Phase1Choice::new(cipher, hash, AuthMethod::PRE_SHARED_KEY, group).with_cipher_key(octets);
        let lifetimes = Lifetimes { seconds: Some(28_800), ..Lifetimes::default() };
        Ok(Self(choice.with_lifetimes(lifetimes)))
    }
}

/// Returns the error for a name of phase 1 with an unknown part.
fn unknown_ike(name: &str, part: &str) -> String {
    let (ciphers, hashes, groups) = (listing::ike_ciphers(), listing::hash_names(), listing::group_names());
    let mut candidates = Vec::new();
    for cipher in &ciphers {
        for hash in &hashes {
            candidates.extend(groups.iter().map(|group| format!("{cipher}-{hash}-{group}")));
        }
    }
    with_similar(name, part, &candidates)
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
    fn suite_names_are_parsed() {
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

    #[test]
    fn errors_suggest_a_similar_name() {
        for (name, similar) in [
            ("aes128-sha", "unknown integrity algorithm: did you mean aes128-sha1?"),
            ("aes-cbc-hmac-sha1", "did you mean aes128-sha1?"),
            ("aes128gcm", "unknown cipher: did you mean aes128gcm16?"),
            ("AES256-SHA256", "did you mean aes256-sha256?"),
            ("aes128", "add one, as in aes128-sha1"),
            ("aes128gcm16-sha1", "omit \"sha1\""),
        ] {
            let said = name.parse::<SuiteName>().unwrap_err();
            assert!(said.contains(similar), "{name}: {said}");
        }
        for (name, similar) in [
            ("3des-md5-group2", "unknown group: did you mean 3des-md5-modp1024?"),
            ("aes128-sha1-modp1025", "did you mean aes128-sha1-modp1024?"),
            ("aes128-sha1", "expected CIPHER-HASH-GROUP"),
        ] {
            let said = name.parse::<IkeSuite>().unwrap_err();
            assert!(said.contains(similar), "{name}: {said}");
        }
    }

    #[test]
    fn every_listed_name_is_accepted() {
        let (ciphers, integrity) = (listing::ciphers(false), listing::integrity_names());
        for cipher in &ciphers {
            for integrity in &integrity {
                let name = format!("{cipher}-{integrity}");
                assert!(name.parse::<SuiteName>().is_ok(), "{name}");
            }
        }
        assert!(listing::ciphers(true).iter().all(|name| name.parse::<SuiteName>().is_ok()));
        for name in listing::ike_ciphers() {
            assert!(format!("{name}-sha1-modp2048").parse::<IkeSuite>().is_ok(), "{name}");
        }
        let help = suite_help() + &ike_help();
        for name in ["aes192ctr", "aes256gmac", "blowfish448", "sha256_96", "cmac", "ecp384", "modp768"] {
            assert!(help.contains(name), "{name} in {help}");
        }
    }
}
