//! Creation of suites and integrity algorithms, of types fixed at compile time or chosen at run time, from the
//! algorithms and keys of an SA.

use core::fmt;

use crate::{
    AhIntegrity, Cipher, CipherAlgorithm, Confidential, EncryptThenMac, EncryptWithoutIntegrity, Integrity,
    IntegrityAlgorithm, KeyError, KeyLengths, Suite, SuiteKeys,
};

/// Suite that can be created from the algorithms and keys of an SA (RFC 4301 section 4.4.2.1).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be created from the algorithms and keys of an SA",
    note = "implement `ipsec_crypto::KeyedSuite` for a suite of your own, or create the SA from the suite itself"
)]
pub trait KeyedSuite: Suite + Sized {
    /// Creates the suite of an SA.
    ///
    /// # Errors
    /// [`AlgorithmError`], among others for encryption without integrity.
    fn from_keys(keys: &SuiteKeys) -> Result<Self, AlgorithmError>;

    /// Creates a suite of encryption without integrity, which an attacker can modify unnoticed. The default refuses.
    ///
    /// # Errors
    /// [`AlgorithmError`].
    fn without_integrity(keys: &SuiteKeys) -> Result<Self, AlgorithmError> {
        Self::from_keys(keys)
    }
}

/// Cipher that can be created from an algorithm and a key (RFC 4303 section 3.2.1).
pub trait KeyedCipher: Cipher + Sized {
    /// Creates the cipher; the salt is after the key.
    ///
    /// # Errors
    /// [`AlgorithmError::Cipher`] for an algorithm that the type does not implement, and [`AlgorithmError::Key`].
    fn from_key(algorithm: CipherAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError>;
}

/// Integrity algorithm of ESP that can be created from an algorithm and a key (RFC 4303 section 3.2.2).
pub trait KeyedIntegrity: Integrity + Sized {
    /// Creates the integrity algorithm.
    ///
    /// # Errors
    /// [`AlgorithmError::Integrity`] for an algorithm that the type does not implement, and [`AlgorithmError::Key`].
    fn from_key(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError>;
}

/// Integrity algorithm of AH that can be created from an algorithm and a key (RFC 4302 section 3.2).
pub trait KeyedAhIntegrity: AhIntegrity + Sized {
    /// Creates the integrity algorithm; the salt of AES-GMAC is after the key.
    ///
    /// # Errors
    /// [`AlgorithmError::Integrity`] for an algorithm that the type does not implement, and [`AlgorithmError::Key`].
    fn from_key(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError>;
}

/// Reason why a suite was not created from the algorithms and keys of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlgorithmError {
    /// The cipher or AEAD is not implemented here.
    Cipher(CipherAlgorithm),
    /// The integrity algorithm is not implemented here.
    Integrity(IntegrityAlgorithm),
    /// The key, or the combination of algorithms, is refused.
    Key(KeyError),
}

impl From<KeyError> for AlgorithmError {
    fn from(e: KeyError) -> Self {
        Self::Key(e)
    }
}

impl fmt::Display for AlgorithmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cipher(algorithm) => write!(f, "cipher {algorithm} is not available"),
            Self::Integrity(algorithm) => write!(f, "integrity algorithm {algorithm} is not available"),
            Self::Key(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for AlgorithmError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Key(e) => Some(e),
            Self::Cipher(_) | Self::Integrity(_) => None,
        }
    }
}

/// Names the algorithm where the type or the build lacks it.
#[cfg(feature = "runtime-suites")]
fn of_cipher(algorithm: CipherAlgorithm) -> impl Fn(KeyError) -> AlgorithmError {
    move |e| if e == KeyError::Unsupported { AlgorithmError::Cipher(algorithm) } else { e.into() }
}

#[cfg(feature = "runtime-suites")]
fn of_integrity(algorithm: IntegrityAlgorithm) -> impl Fn(KeyError) -> AlgorithmError {
    move |e| if e == KeyError::Unsupported { AlgorithmError::Integrity(algorithm) } else { e.into() }
}

impl<C: KeyedCipher, I: KeyedIntegrity> KeyedSuite for EncryptThenMac<C, I> {
    fn from_keys(keys: &SuiteKeys) -> Result<Self, AlgorithmError> {
        let cipher = C::from_key(keys.cipher, keys.cipher_key.expose())?;
        let is_null = keys.cipher == CipherAlgorithm::Null;
        match keys.integrity {
            //= RFC 4303 3.2/1
            //# MUST: confidentiality or integrity is selected: the algorithms are never both null
            IntegrityAlgorithm::None if is_null => Err(KeyError::NullWithoutIntegrity.into()),
            IntegrityAlgorithm::None => Err(KeyError::NoIntegrity.into()),
            integrity => Ok(Self::new(cipher, I::from_key(integrity, keys.integrity_key.expose())?)),
        }
    }
}

impl<C: KeyedCipher + Confidential> KeyedSuite for EncryptWithoutIntegrity<C> {
    fn from_keys(_: &SuiteKeys) -> Result<Self, AlgorithmError> {
        Err(KeyError::NoIntegrity.into())
    }

    fn without_integrity(keys: &SuiteKeys) -> Result<Self, AlgorithmError> {
        Ok(Self::new(C::from_key(keys.cipher, keys.cipher_key.expose())?))
    }
}

impl<I: KeyedIntegrity> KeyedAhIntegrity for I {
    fn from_key(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
        <Self as KeyedIntegrity>::from_key(algorithm, key)
    }
}

#[cfg(feature = "runtime-suites")]
impl KeyedSuite for crate::AnySuite {
    fn from_keys(keys: &SuiteKeys) -> Result<Self, AlgorithmError> {
        let lacks = |e| match e {
            KeyError::Unsupported if Self::has_cipher(keys.cipher) => AlgorithmError::Integrity(keys.integrity),
            KeyError::Unsupported => AlgorithmError::Cipher(keys.cipher),
            e => e.into(),
        };
        Self::from_keys(keys).map_err(lacks)
    }

    fn without_integrity(keys: &SuiteKeys) -> Result<Self, AlgorithmError> {
        Self::without_integrity(keys.cipher, keys.cipher_key.expose()).map_err(of_cipher(keys.cipher))
    }
}

#[cfg(feature = "runtime-suites")]
impl KeyedCipher for crate::AnyCipher {
    fn from_key(algorithm: CipherAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
        Self::new(algorithm, key).map_err(of_cipher(algorithm))
    }
}

#[cfg(feature = "runtime-suites")]
impl KeyedIntegrity for crate::AnyIntegrity {
    fn from_key(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
        Self::new(algorithm, key).map_err(of_integrity(algorithm))
    }
}

#[cfg(feature = "runtime-suites")]
impl KeyedAhIntegrity for crate::AnyAhIntegrity {
    fn from_key(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
        Self::new(algorithm, key).map_err(of_integrity(algorithm))
    }
}

#[cfg(feature = "null")]
impl KeyedCipher for crate::Null {
    fn from_key(algorithm: CipherAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
        check_cipher(CipherAlgorithm::Null, algorithm)?;
        KeyLengths::exactly(0).check(key)?;
        Ok(Self)
    }
}

/// Refuses an algorithm other than that of the type.
#[allow(dead_code)] // without any cipher feature
fn check_cipher(own: CipherAlgorithm, asked: CipherAlgorithm) -> Result<(), AlgorithmError> {
    if own == asked { Ok(()) } else { Err(AlgorithmError::Cipher(asked)) }
}

#[allow(dead_code)] // without any integrity feature
fn check_integrity(own: IntegrityAlgorithm, asked: IntegrityAlgorithm) -> Result<(), AlgorithmError> {
    if own == asked { Ok(()) } else { Err(AlgorithmError::Integrity(asked)) }
}

/// Splits key material into a key of the length of the type, and the salt after it.
#[allow(dead_code)] // without any algorithm with a salt
fn split<const K: usize, const S: usize>(key: &[u8]) -> Result<(&[u8; K], [u8; S]), KeyError> {
    let length = KeyError::length(KeyLengths::exactly(K.saturating_add(S)), key);
    let (front, salt) = key.split_first_chunk::<K>().ok_or(length)?;
    Ok((front, salt.try_into().map_err(|_| length)?))
}

macro_rules! ciphers_from_slice {
    ($($feature:literal $name:ident;)*) => {$(
        #[cfg(feature = $feature)]
        impl KeyedCipher for crate::$name {
            fn from_key(algorithm: CipherAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
                check_cipher(CipherAlgorithm::$name, algorithm)?;
                Ok(Self::from_slice(key)?)
            }
        }
    )*};
}

ciphers_from_slice! {
    "des" DesCbc;
    "3des" TripleDesCbc;
    "blowfish" BlowfishCbc;
    "cast128" Cast128Cbc;
}

macro_rules! ciphers_from_array {
    ($($feature:literal $algorithm:ident $name:ident;)*) => {$(
        #[cfg(feature = $feature)]
        impl KeyedCipher for crate::$name {
            fn from_key(algorithm: CipherAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
                check_cipher(CipherAlgorithm::$algorithm, algorithm)?;
                let (key, []) = split(key)?;
                Ok(Self::new(key))
            }
        }
    )*};
}

ciphers_from_array! {
    "aes-cbc" AesCbc Aes128Cbc;
    "aes-cbc" AesCbc Aes192Cbc;
    "aes-cbc" AesCbc Aes256Cbc;
}

macro_rules! ciphers_with_salt {
    ($($feature:literal $algorithm:ident $name:ident;)*) => {$(
        #[cfg(feature = $feature)]
        impl KeyedCipher for crate::$name {
            fn from_key(algorithm: CipherAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
                check_cipher(CipherAlgorithm::$algorithm, algorithm)?;
                let (key, salt) = split(key)?;
                Ok(Self::new(key, salt))
            }
        }
    )*};
}

ciphers_with_salt! {
    "aes-ctr" AesCtr Aes128Ctr;
    "aes-ctr" AesCtr Aes192Ctr;
    "aes-ctr" AesCtr Aes256Ctr;
}

macro_rules! aeads {
    ($($feature:literal $algorithm:ident $name:ident;)*) => {$(
        #[cfg(feature = $feature)]
        impl KeyedSuite for crate::$name {
            fn from_keys(keys: &SuiteKeys) -> Result<Self, AlgorithmError> {
                check_cipher(CipherAlgorithm::$algorithm, keys.cipher)?;
                if keys.integrity != IntegrityAlgorithm::None {
                    return Err(KeyError::IntegrityTwice.into());
                }
                let (key, salt) = split(keys.cipher_key.expose())?;
                Ok(Self::new(key, salt))
            }
        }
    )*};
}

aeads! {
    "aes-gcm" AesGcm8 Aes128Gcm8;
    "aes-gcm" AesGcm8 Aes192Gcm8;
    "aes-gcm" AesGcm8 Aes256Gcm8;
    "aes-gcm" AesGcm12 Aes128Gcm12;
    "aes-gcm" AesGcm12 Aes192Gcm12;
    "aes-gcm" AesGcm12 Aes256Gcm12;
    "aes-gcm" AesGcm16 Aes128Gcm16;
    "aes-gcm" AesGcm16 Aes192Gcm16;
    "aes-gcm" AesGcm16 Aes256Gcm16;
    "aes-ccm" AesCcm8 Aes128Ccm8;
    "aes-ccm" AesCcm8 Aes192Ccm8;
    "aes-ccm" AesCcm8 Aes256Ccm8;
    "aes-ccm" AesCcm12 Aes128Ccm12;
    "aes-ccm" AesCcm12 Aes192Ccm12;
    "aes-ccm" AesCcm12 Aes256Ccm12;
    "aes-ccm" AesCcm16 Aes128Ccm16;
    "aes-ccm" AesCcm16 Aes192Ccm16;
    "aes-ccm" AesCcm16 Aes256Ccm16;
    "chacha20-poly1305" ChaCha20Poly1305 ChaCha20Poly1305;
    "aes-gmac" NullAesGmac Aes128Gmac;
    "aes-gmac" NullAesGmac Aes192Gmac;
    "aes-gmac" NullAesGmac Aes256Gmac;
}

macro_rules! macs_from_slice {
    ($($feature:literal $name:ident;)*) => {$(
        #[cfg(feature = $feature)]
        impl KeyedIntegrity for crate::$name {
            fn from_key(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
                check_integrity(IntegrityAlgorithm::$name, algorithm)?;
                Ok(Self::from_slice(key)?)
            }
        }
    )*};
}

macs_from_slice! {
    "hmac-md5" HmacMd5_96;
    "hmac-sha1" HmacSha1_96;
    "hmac-sha2-256-96" HmacSha2_256_96;
    "hmac-sha2-256" HmacSha2_256_128;
    "hmac-sha2-384" HmacSha2_384_192;
    "hmac-sha2-512" HmacSha2_512_256;
    "hmac-ripemd160" HmacRipemd160_96;
}

macro_rules! macs_from_array {
    ($($feature:literal $name:ident;)*) => {$(
        #[cfg(feature = $feature)]
        impl KeyedIntegrity for crate::$name {
            fn from_key(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
                check_integrity(IntegrityAlgorithm::$name, algorithm)?;
                let (key, []) = split(key)?;
                Ok(Self::new(key))
            }
        }
    )*};
}

macs_from_array! {
    "aes-xcbc" AesXcbcMac96;
    "aes-cmac" AesCmac96;
}

#[cfg(feature = "aes-gmac")]
macro_rules! gmac_of_ah {
    ($($name:ident;)*) => {$(
        impl KeyedAhIntegrity for crate::$name {
            fn from_key(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, AlgorithmError> {
                check_integrity(IntegrityAlgorithm::AesGmac, algorithm)?;
                let (key, salt) = split(key)?;
                Ok(Self::new(key, salt))
            }
        }
    )*};
}

#[cfg(feature = "aes-gmac")]
gmac_of_ah! {
    Aes128Gmac;
    Aes192Gmac;
    Aes256Gmac;
}
