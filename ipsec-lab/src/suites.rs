//! Suites by name in the format of strongSwan: `aes128-sha1`, `3des-md5`, `aes256gcm16`.

use ike_codec::{AuthMethod, Lifetimes};
use ike_v1::{Phase1Choice, names};
use ipsec_crypto::{AnySuite, CipherAlgorithm, IntegrityAlgorithm, KeyError};
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

impl std::str::FromStr for SuiteName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let (cipher, integrity) = name.split_once('-').unwrap_or((name, ""));
        let (cipher, cipher_key) =
            names::cipher(cipher).ok_or_else(|| format!("unknown cipher in {name:?}\n{HELP}"))?;
        let integrity = match integrity {
            "" => Some(IntegrityAlgorithm::None),
            name => names::integrity(name),
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

impl std::str::FromStr for IkeSuite {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || format!("{name:?}: expected CIPHER-HASH-GROUP, as in 3des-md5-modp1024");
        let mut parts = name.split('-');
        let (Some(cipher), Some(hash), Some(group), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(unknown());
        };
        let (cipher, octets) = names::cipher(cipher).ok_or_else(unknown)?;
        let hash = names::hash(hash).ok_or_else(unknown)?;
        let group = names::group(group).ok_or_else(unknown)?;
        ike_v1::encryption_number(cipher).ok_or_else(|| format!("{cipher} is not a cipher of phase 1"))?;
        let choice = Phase1Choice::new(cipher, hash, AuthMethod::PRE_SHARED_KEY, group).with_cipher_key(octets);
        let lifetimes = Lifetimes { seconds: Some(28_800), ..Lifetimes::default() };
        Ok(Self(choice.with_lifetimes(lifetimes)))
    }
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
