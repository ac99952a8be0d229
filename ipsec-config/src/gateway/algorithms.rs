//! Names of the algorithms of both phases in gateway.conf.

use ike_codec::{AuthMethod, Group, Lifetimes};
use ike_v1::{GroupLengths, Phase1Choice, Phase2Suite, encryption_number, names};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};

/// Description of the ciphers of phase 1 for messages.
pub(super) const PHASE_1_CIPHERS: &str =
    "a cipher of phase 1: des, 3des, blowfish, cast or aes, with its key bits if they vary";
/// Description of the hash algorithms of phase 1 for messages.
pub(super) const HASHES: &str = "a hash algorithm: md5, sha1, sha256, sha384 or sha512";
/// Description of the groups of phase 1 for messages.
pub(super) const GROUPS: &str = "a group: modp768 to modp8192, ecp256, ecp384, ecp521, or its number";
/// Description of the integrity algorithms of AH for messages.
pub(super) const INTEGRITIES: &str = "an integrity algorithm: md5, sha1, sha256, sha384 or sha512";
/// Description of the suites of ESP for messages.
pub(super) const SUITES: &str = "an ESP suite such as aes128-sha1, 3des-md5, null-sha256 or aes256gcm16";

/// Returns the cipher of phase 1 with this name, and the length of its key in octets.
pub(super) fn phase_1_cipher(name: &str) -> Option<(CipherAlgorithm, usize)> {
    names::cipher(name).filter(|(cipher, _)| encryption_number(*cipher).is_some())
}

/// Returns the group with this name or number, if it is implemented.
pub(super) fn group(name: &str) -> Option<Group> {
    let numbered = || name.parse().ok().map(Group).filter(|group| GroupLengths::of(*group).is_some());
    names::group(name).or_else(numbered)
}

/// Returns the ESP suite with this name. Suites without integrity are refused.
pub(super) fn suite(name: &str) -> Option<Phase2Suite> {
    let (cipher, integrity) = name.split_once('-').map_or((name, None), |(cipher, name)| (cipher, Some(name)));
    let (cipher, cipher_key) = names::cipher(cipher)?;
    let is_aead = cipher.row()?.icv > 0;
    let (integrity, integrity_key) = match integrity {
        None if is_aead => (IntegrityAlgorithm::None, 0),
        Some(name) if !is_aead => {
            let integrity = names::integrity(name)?;
            (integrity, integrity.row()?.default_key)
        }
        _ => return None,
    };
    Some(Phase2Suite::Keyed { cipher, cipher_key, integrity, integrity_key })
}

/// Returns the suite of AH with an integrity algorithm of this name.
pub(super) fn integrity(name: &str) -> Option<Phase2Suite> {
    let integrity = names::integrity(name)?;
    let integrity_key = integrity.row()?.default_key;
    Some(Phase2Suite::Keyed { cipher: CipherAlgorithm::Null, cipher_key: 0, integrity, integrity_key })
}

/// Returns a transform of phase 1.
pub(super) fn proposal(
    (cipher, cipher_key): (CipherAlgorithm, usize),
    hash: HashFunction,
    method: AuthMethod,
    group: Group,
    lifetimes: Lifetimes,
) -> Phase1Choice {
    Phase1Choice::new(cipher, hash, method, group).with_cipher_key(cipher_key).with_lifetimes(lifetimes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_1_cipher_names_with_key_lengths_are_parsed() {
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
    fn diffie_hellman_groups_are_parsed_by_name_or_number() {
        assert_eq!(group("modp2048"), Some(Group::MODP_2048));
        assert_eq!(group("2"), Some(Group::MODP_1024));
        assert_eq!(group("ecp521"), Some(Group::ECP_521));
        for name in ["0", "3", "modp1", "curve25519", "65550"] {
            assert_eq!(group(name), None, "{name}");
        }
    }

    #[test]
    fn esp_suites_are_parsed_and_those_without_integrity_refused() {
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
