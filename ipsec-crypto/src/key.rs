use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{CipherAlgorithm, IntegrityAlgorithm};

/// Up to `N` octets of secret: wiped on drop, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize> {
    octets: [u8; N],
    len: usize,
}

impl<const N: usize> Secret<N> {
    /// Takes a copy of a key.
    ///
    /// # Errors
    /// [`KeyError::Length`] when it is longer than `N`.
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        if key.len() > N {
            return Err(KeyError::length(KeyLengths { min: 0, max: N, step: 1 }, key));
        }
        Ok(Self::truncated(key))
    }

    /// Takes a copy of a key that has just this length.
    pub fn from_array(key: &[u8; N]) -> Self {
        Self { octets: *key, len: N }
    }

    /// A copy of as much of a string as there is room for.
    pub(crate) fn truncated(octets: &[u8]) -> Self {
        let mut secret = Self { octets: [0; N], len: octets.len().min(N) };
        secret.octets.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        secret
    }

    /// The octets, for those who set up an algorithm with them or show them to their owner.
    pub fn expose(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} octets)", self.len)
    }
}

/// The algorithms of an SA, chosen at run time, and their keys. A salt or nonce (RFC 3686, 4106, 4309, 7634) is the tail
/// of the cipher key, as in KEYMAT and setkey(8).
#[derive(Debug)]
pub struct SuiteKeys {
    /// The cipher or AEAD.
    pub cipher: CipherAlgorithm,
    /// Its key.
    pub cipher_key: Secret<56>,
    /// The integrity algorithm; [`IntegrityAlgorithm::None`] with an AEAD.
    pub integrity: IntegrityAlgorithm,
    /// Its key.
    pub integrity_key: Secret<256>,
}

impl SuiteKeys {
    /// Takes copies of the keys; that they fit the algorithms is checked when a suite is made of them.
    ///
    /// # Errors
    /// [`KeyError::Length`] for keys longer than any algorithm's.
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

/// The key lengths of an algorithm, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLengths {
    /// The shortest.
    pub min: usize,
    /// The longest.
    pub max: usize,
    /// The distance between two that are allowed.
    pub step: usize,
}

impl KeyLengths {
    /// HMAC takes any key but an empty one (RFC 2104 3).
    pub const HMAC: Self = Self { min: 1, max: usize::MAX, step: 1 };

    /// One length only.
    pub const fn exactly(octets: usize) -> Self {
        Self { min: octets, max: octets, step: 1 }
    }

    /// Whether a key of this length is allowed.
    pub const fn allow(&self, octets: usize) -> bool {
        match octets.checked_sub(self.min) {
            Some(above) => octets <= self.max && above.is_multiple_of(self.step),
            None => false,
        }
    }

    /// Refuses a key whose length is not allowed.
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

/// A key, or a choice of algorithms, that no SA is set up with (RFC 2405 4.1, RFC 2451 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The algorithm has no keys of this length; in octets.
    Length {
        /// The lengths it has.
        allowed: KeyLengths,
        /// The one it was given.
        actual: usize,
    },
    /// A weak DES key: encrypting twice gives the plaintext.
    WeakDes,
    /// A semi-weak DES key: another key undoes it.
    SemiWeakDes,
    /// A 3DES key of which two neighbouring thirds are equal: no more than single DES.
    DegenerateTripleDes,
    /// NULL encryption without integrity protects nothing (RFC 4303 3.2).
    NullWithoutIntegrity,
    /// Encryption without integrity was not asked for by name.
    NoIntegrity,
    /// An AEAD brings its own integrity; a second algorithm was given.
    IntegrityTwice,
    /// The algorithm is unknown here or its feature is not enabled.
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
            Self::Length { allowed, actual } => write!(f, "key of {actual} octets, {allowed} expected"),
            Self::WeakDes => f.write_str("weak des key"),
            Self::SemiWeakDes => f.write_str("semi-weak des key"),
            Self::DegenerateTripleDes => f.write_str("degenerate 3des key: two neighbouring thirds are equal"),
            Self::NullWithoutIntegrity => f.write_str("null encryption without integrity"),
            Self::NoIntegrity => f.write_str("encryption without integrity"),
            Self::IntegrityTwice => f.write_str("an aead with a second integrity algorithm"),
            Self::Unsupported => f.write_str("algorithm not supported"),
        }
    }
}

impl core::error::Error for KeyError {}
