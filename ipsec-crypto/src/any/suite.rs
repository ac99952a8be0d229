//! Suites of ESP, chosen at run time.

use core::fmt;

use heapless::Vec;

#[cfg(any(feature = "aes-gcm", feature = "aes-gmac", feature = "aes-ccm", feature = "chacha20-poly1305"))]
use super::salted;
use super::{AnyCipher, AnyIntegrity};
use crate::batch::KeyUse;
use crate::internal::Internal;
use crate::suite::BATCH;
use crate::{
    CipherAlgorithm, EncryptThenMac, EncryptWithoutIntegrity, EspParts, Icv, IcvMismatch, IntegrityAlgorithm, KeyError,
    KeyLengths, Layout, Suite, SuiteKeys, Verified,
};

/// ESP suite chosen at run time (RFC 4303 section 3.2).
pub struct AnySuite(Any);

macro_rules! any_suite {
    ($($(#[$cfg:meta])* $name:ident: $algorithm:ident, $octets:literal;)*) => {
        #[allow(clippy::large_enum_variant)] // as AnyCipher
        enum Any {
            EncryptThenMac(EncryptThenMac<AnyCipher, AnyIntegrity>),
            EncryptWithoutIntegrity(EncryptWithoutIntegrity<AnyCipher>),
            $($(#[$cfg])* $name(crate::$name),)*
        }

        /// Creates an AEAD by algorithm and length of its key material, including the salt.
        fn any_aead(algorithm: CipherAlgorithm, keys: &[u8]) -> Option<Any> {
            match (algorithm, keys.len()) {
                $($(#[$cfg])* (CipherAlgorithm::$algorithm, $octets) => {
                    salted(keys).map(|(key, salt)| Any::$name(crate::$name::new(key, salt)))
                })*
                _ => None,
            }
        }

        impl AnySuite {
            fn chosen(&self) -> &dyn Suite {
                match &self.0 {
                    Any::EncryptThenMac(suite) => suite,
                    Any::EncryptWithoutIntegrity(suite) => suite,
                    $($(#[$cfg])* Any::$name(suite) => suite,)*
                }
            }
        }
    };
}

#[rustfmt::skip]
any_suite! {
    #[cfg(feature = "aes-gcm")] Aes128Gcm8: AesGcm8, 20;
    #[cfg(feature = "aes-gcm")] Aes192Gcm8: AesGcm8, 28;
    #[cfg(feature = "aes-gcm")] Aes256Gcm8: AesGcm8, 36;
    #[cfg(feature = "aes-gcm")] Aes128Gcm12: AesGcm12, 20;
    #[cfg(feature = "aes-gcm")] Aes192Gcm12: AesGcm12, 28;
    #[cfg(feature = "aes-gcm")] Aes256Gcm12: AesGcm12, 36;
    #[cfg(feature = "aes-gcm")] Aes128Gcm16: AesGcm16, 20;
    #[cfg(feature = "aes-gcm")] Aes192Gcm16: AesGcm16, 28;
    #[cfg(feature = "aes-gcm")] Aes256Gcm16: AesGcm16, 36;
    #[cfg(feature = "aes-ccm")] Aes128Ccm8: AesCcm8, 19;
    #[cfg(feature = "aes-ccm")] Aes192Ccm8: AesCcm8, 27;
    #[cfg(feature = "aes-ccm")] Aes256Ccm8: AesCcm8, 35;
    #[cfg(feature = "aes-ccm")] Aes128Ccm12: AesCcm12, 19;
    #[cfg(feature = "aes-ccm")] Aes192Ccm12: AesCcm12, 27;
    #[cfg(feature = "aes-ccm")] Aes256Ccm12: AesCcm12, 35;
    #[cfg(feature = "aes-ccm")] Aes128Ccm16: AesCcm16, 19;
    #[cfg(feature = "aes-ccm")] Aes192Ccm16: AesCcm16, 27;
    #[cfg(feature = "aes-ccm")] Aes256Ccm16: AesCcm16, 35;
    #[cfg(feature = "chacha20-poly1305")] ChaCha20Poly1305: ChaCha20Poly1305, 36;
    #[cfg(feature = "aes-gmac")] Aes128Gmac: NullAesGmac, 20;
    #[cfg(feature = "aes-gmac")] Aes192Gmac: NullAesGmac, 28;
    #[cfg(feature = "aes-gmac")] Aes256Gmac: NullAesGmac, 36;
}

impl Suite for AnySuite {
    fn layout(&self) -> Layout {
        self.chosen().layout()
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        self.chosen().seal(parts);
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.chosen().open(parts)
    }

    fn read_ahead(&self, use_of_keys: KeyUse, _: Internal) {
        self.chosen().read_ahead(use_of_keys, Internal);
    }

    fn prefers_seal_batch(&self, packets: usize, _: Internal) -> bool {
        self.chosen().prefers_seal_batch(packets, Internal)
    }

    fn seal_all(batch: &mut [(&Self, &mut EspParts<'_>)], _: Internal) {
        for some in batch.chunks_mut(BATCH) {
            let mut encrypted: Vec<(&EncryptWithoutIntegrity<_>, &mut EspParts<'_>), BATCH> = Vec::new();
            let mut authenticated: Vec<(&EncryptThenMac<_, _>, &mut EspParts<'_>), BATCH> = Vec::new();
            for (suite, parts) in some {
                // Both vectors have space for all packets.
                match &suite.0 {
                    Any::EncryptThenMac(suite) => _ = authenticated.push((suite, parts)),
                    Any::EncryptWithoutIntegrity(suite) => _ = encrypted.push((suite, parts)),
                    #[allow(unreachable_patterns)] // without AEADs
                    _ => suite.seal(parts),
                }
            }
            Suite::seal_all(&mut authenticated, Internal);
            Suite::seal_all(&mut encrypted, Internal);
        }
    }

    fn prefers_verify_batch(&self, packets: usize, octets: usize, _: Internal) -> bool {
        self.chosen().prefers_verify_batch(packets, octets, Internal)
    }

    fn compute_icvs(batch: &[(&Self, &EspParts<'_>)], icvs: &mut [Option<Icv>], _: Internal) {
        for (some, icvs) in batch.chunks(BATCH).zip(icvs.chunks_mut(BATCH)) {
            let mut those: Vec<(&EncryptThenMac<_, _>, &EspParts<'_>), BATCH> = Vec::new();
            let mut of: Vec<&mut Option<Icv>, BATCH> = Vec::new();
            for ((suite, parts), icv) in some.iter().zip(icvs) {
                if let Any::EncryptThenMac(suite) = &suite.0 {
                    let _ = (those.push((suite, parts)), of.push(icv)); // there is room
                }
            }
            let mut computed = [None; BATCH];
            Suite::compute_icvs(&those, &mut computed, Internal);
            of.iter_mut().zip(computed).for_each(|(icv, computed)| **icv = computed);
        }
    }

    fn open_verified(&self, packet: Verified<'_, '_>, _: Internal) -> Result<(), IcvMismatch> {
        self.chosen().open_verified(packet, Internal)
    }
}

impl AnySuite {
    /// Returns whether the cipher or AEAD is implemented and its feature is enabled (RFC 4303 section 3.2).
    pub fn has_cipher(algorithm: CipherAlgorithm) -> bool {
        let key = [0x5a; 64];
        let Some(row) = algorithm.row() else { return false };
        let key = key.get(..row.default_key).unwrap_or_default();
        match row.icv {
            0 => !matches!(AnyCipher::new(algorithm, key), Err(KeyError::Unsupported)),
            _ => any_aead(algorithm, key).is_some(),
        }
    }

    /// Creates the suite of an SA (RFC 4303 section 3.2).
    ///
    /// # Errors
    /// [`KeyError`], among others for encryption without integrity, for which there is
    /// [`without_integrity`](Self::without_integrity).
    pub fn from_keys(keys: &SuiteKeys) -> Result<Self, KeyError> {
        Self::from_slices(keys.cipher, keys.cipher_key.expose(), keys.integrity, keys.integrity_key.expose())
    }

    /// Creates the suite from borrowed keys of any length, like [`from_keys`](Self::from_keys).
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_slices(
        cipher: CipherAlgorithm,
        cipher_key: &[u8],
        integrity: IntegrityAlgorithm,
        integrity_key: &[u8],
    ) -> Result<Self, KeyError> {
        let row = cipher.row().ok_or(KeyError::Unsupported)?;
        match (row.icv, cipher, integrity) {
            //= RFC 4303 3.2/1
            //# MUST: confidentiality or integrity is selected: the algorithms are never both null
            (0, CipherAlgorithm::Null, IntegrityAlgorithm::None) => Err(KeyError::NullWithoutIntegrity),
            (0, _, IntegrityAlgorithm::None) => Err(KeyError::NoIntegrity),
            (0, _, _) => {
                let (cipher, icv) = (AnyCipher::new(cipher, cipher_key)?, AnyIntegrity::new(integrity, integrity_key)?);
                Ok(Self(Any::EncryptThenMac(EncryptThenMac::new(cipher, icv))))
            }
            (_, _, IntegrityAlgorithm::None) => {
                row.keys.check(cipher_key)?;
                KeyLengths::exactly(0).check(integrity_key)?;
                any_aead(cipher, cipher_key).map(Self).ok_or(KeyError::Unsupported)
            }
            _ => Err(KeyError::IntegrityTwice),
        }
    }

    /// Creates a suite of encryption without integrity, which an attacker can modify unnoticed: see
    /// [`EncryptWithoutIntegrity`] (RFC 4303 section 1).
    ///
    /// # Errors
    /// [`KeyError::NullWithoutIntegrity`] for NULL, and errors of the key.
    //= RFC 2406 5/4
    //# MUST: des-cbc, hmac-md5, hmac-sha1, null encryption and null authentication are supported
    pub fn without_integrity(cipher: CipherAlgorithm, key: &[u8]) -> Result<Self, KeyError> {
        match cipher {
            CipherAlgorithm::Null => Err(KeyError::NullWithoutIntegrity),
            _ => AnyCipher::new(cipher, key)
                .map(|cipher| Self(Any::EncryptWithoutIntegrity(EncryptWithoutIntegrity::of_any(cipher)))),
        }
    }
}

impl fmt::Debug for AnySuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnySuite(..)")
    }
}
