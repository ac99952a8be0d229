use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{CipherAlgorithm, IntegrityAlgorithm};

/// Secret of up to `N` octets. It is wiped on drop and never printed.
pub struct Secret<const N: usize> {
    octets: [u8; N],
    len: usize,
}

impl<const N: usize> Secret<N> {
    /// Copies a key, which the caller wipes.
    ///
    /// # Errors
    /// [`KeyError::Length`] if it is longer than `N`.
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        if key.len() > N {
            return Err(KeyError::length(KeyLengths { min: 0, max: N, step: 1 }, key));
        }
        Ok(Self::truncated(key))
    }

    /// Copies a key of exactly this length.
    pub fn from_array(key: &[u8; N]) -> Self {
        Self { octets: *key, len: N }
    }

    /// Copies as many octets as fit.
    pub(crate) fn truncated(octets: &[u8]) -> Self {
        let mut secret = Self { octets: [0; N], len: octets.len().min(N) };
        copy(&mut secret.octets, octets);
        secret
    }

    /// Returns the octets, for an algorithm or for display to the owner of the key.
    pub fn expose(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// Copies as many octets as fit.
#[cfg_attr(ipsec_small, inline(never))] // one function for all lengths
fn copy(target: &mut [u8], octets: &[u8]) {
    target.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
}

#[cfg_attr(ipsec_small, inline(never))] // one function for all lengths
fn wipe(octets: &mut [u8]) {
    octets.zeroize();
}

impl<const N: usize> Zeroize for Secret<N> {
    fn zeroize(&mut self) {
        wipe(&mut self.octets);
        self.len = 0;
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        wipe(&mut self.octets);
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} octets)", self.len)
    }
}

/// Algorithms of an SA, chosen at run time, and their keys. The salt or nonce (RFC 3686, RFC 4106, RFC 4309, RFC
/// 7634) is the end of the cipher key, as in KEYMAT and setkey(8).
#[derive(Debug)]
pub struct SuiteKeys {
    /// Cipher or AEAD of the SA.
    pub cipher: CipherAlgorithm,
    /// Key of the cipher, with its salt.
    pub cipher_key: Secret<56>,
    /// Integrity algorithm; [`IntegrityAlgorithm::None`] with an AEAD, or for encryption without integrity.
    pub integrity: IntegrityAlgorithm,
    /// Key of the integrity algorithm.
    pub integrity_key: Secret<256>,
}

impl SuiteKeys {
    /// Copies the keys. Their lengths are checked when a suite is created from them.
    ///
    /// # Errors
    /// [`KeyError::Length`] for keys longer than those of any algorithm.
    pub fn new(
        cipher: CipherAlgorithm,
        cipher_key: &[u8],
        integrity: IntegrityAlgorithm,
        integrity_key: &[u8],
    ) -> Result<Self, KeyError> {
        let (cipher_key, integrity_key) = (Secret::new(cipher_key)?, Secret::new(integrity_key)?);
        Ok(Self { cipher, cipher_key, integrity, integrity_key })
    }
}

/// Key lengths of an algorithm, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLengths {
    /// Length of the shortest key.
    pub min: usize,
    /// Length of the longest key.
    pub max: usize,
    /// Difference between two allowed lengths.
    pub step: usize,
}

impl KeyLengths {
    /// Key lengths of HMAC: any except 0 (RFC 2104 section 3).
    pub const HMAC: Self = Self { min: 1, max: usize::MAX, step: 1 };

    /// Allows keys of one length only.
    pub const fn exactly(octets: usize) -> Self {
        Self { min: octets, max: octets, step: 1 }
    }

    /// Returns whether a key of this length is allowed.
    pub const fn allow(&self, octets: usize) -> bool {
        match octets.checked_sub(self.min) {
            Some(above) => octets <= self.max && above.is_multiple_of(self.step),
            None => false,
        }
    }

    /// Checks the length of a key.
    ///
    /// # Errors
    /// [`KeyError::Length`].
    pub const fn check(&self, key: &[u8]) -> Result<(), KeyError> {
        if self.allow(key.len()) { Ok(()) } else { Err(KeyError::length(*self, key)) }
    }
}

impl fmt::Display for KeyLengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max, self.step) {
            (min, max, _) if min == max => write!(f, "{min}"),
            (min, usize::MAX, _) => write!(f, "{min} or more"),
            (min, max, 1) => write!(f, "{min} to {max}"),
            (min, max, step) => write!(f, "{min} to {max} in steps of {step}"),
        }
    }
}

/// Reason why keys or a combination of algorithms are refused (RFC 2405 section 4.1, RFC 2451 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The algorithm has no keys of this length, in octets.
    Length {
        /// Key lengths of the algorithm.
        allowed: KeyLengths,
        /// Length of the given key.
        actual: usize,
    },
    /// The DES key is weak: two encryptions yield the plaintext.
    WeakDes,
    /// The DES key is semi-weak: encryption under another key reverses it.
    SemiWeakDes,
    /// Two adjacent thirds of the 3DES key are equal, which reduces the cipher to single DES.
    DegenerateTripleDes,
    /// NULL encryption without integrity protects nothing (RFC 4303 section 3.2).
    NullWithoutIntegrity,
    /// Encryption without integrity was not requested explicitly.
    NoIntegrity,
    /// An AEAD provides its own integrity; a second algorithm was given.
    IntegrityTwice,
    /// The algorithm is unknown, or its feature is not enabled.
    Unsupported,
}

impl KeyError {
    pub(crate) const fn length(allowed: KeyLengths, key: &[u8]) -> Self {
        Self::Length { allowed, actual: key.len() }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { allowed, actual } => {
                write!(f, "invalid key length: got {actual} octets, expected {allowed}")
            }
            Self::WeakDes => f.write_str("weak DES key"),
            Self::SemiWeakDes => f.write_str("semi-weak DES key"),
            Self::DegenerateTripleDes => f.write_str("degenerate 3DES key: two adjacent thirds are equal"),
            Self::NullWithoutIntegrity => f.write_str("NULL encryption without integrity"),
            Self::NoIntegrity => f.write_str("encryption without integrity"),
            Self::IntegrityTwice => f.write_str("AEAD with a second integrity algorithm"),
            Self::Unsupported => f.write_str("algorithm not supported"),
        }
    }
}

impl core::error::Error for KeyError {}
