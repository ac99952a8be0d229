//! Algorithms chosen at run time: enums over the algorithms whose features are enabled. Dispatch by value occurs in
//! this file only.
#![allow(unused_variables)] // where no feature gives an enum a variant, its methods use nothing

use heapless::Vec;

use crate::batch::KeyUse;
use crate::cipher::BatchItem;
use crate::internal::Internal;
use crate::suite::BATCH;
use crate::{
    AhIntegrity, Cipher, CipherAlgorithm, Icv, IcvInput, IcvLen, Integrity, IntegrityAlgorithm, Iv, KeyError, Layout,
};

mod suite;

pub use suite::AnySuite;

/// Splits key material into the key and the salt after it.
#[cfg(any(
    feature = "aes-ctr",
    feature = "aes-gcm",
    feature = "aes-gmac",
    feature = "aes-ccm",
    feature = "chacha20-poly1305"
))]
fn salted<const K: usize, const S: usize>(keys: &[u8]) -> Option<(&[u8; K], [u8; S])> {
    let (key, salt) = keys.split_first_chunk::<K>()?;
    Some((key, salt.try_into().ok()?))
}

/// Calls a method of the current variant.
macro_rules! one {
    (($self:ident, $inner:ident => $call:expr) $($(#[$cfg:meta])* $variant:ident)*) => {
        match *$self { $($(#[$cfg])* Self::$variant(ref $inner) => $call,)* }
    };
}

/// Calls a function for each variant, with a pattern that selects its items.
macro_rules! each {
    (($function:ident, $all:expr) $($(#[$cfg:meta])* $variant:ident)*) => {$(
        $(#[$cfg])*
        $function($all, |any| match any {
            &Self::$variant(ref of) => Some(of),
            #[allow(unreachable_patterns)] // where it is the only one
            _ => None,
        });
    )*};
}

/// Cipher chosen at run time (RFC 4303 section 3.2.1).
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is no heap to put Blowfish on
pub enum AnyCipher {
    /// NULL encryption (RFC 2410).
    #[cfg(feature = "null")]
    Null(crate::Null),
    /// DES in CBC mode (RFC 2405).
    #[cfg(feature = "des")]
    DesCbc(crate::DesCbc),
    /// Triple DES in CBC mode (RFC 2451).
    #[cfg(feature = "3des")]
    TripleDesCbc(crate::TripleDesCbc),
    /// Blowfish in CBC mode (RFC 2451).
    #[cfg(feature = "blowfish")]
    BlowfishCbc(crate::BlowfishCbc),
    /// CAST-128 in CBC mode (RFC 2451).
    #[cfg(feature = "cast128")]
    Cast128Cbc(crate::Cast128Cbc),
    /// AES in CBC mode, 128-bit key (RFC 3602).
    #[cfg(feature = "aes-cbc")]
    Aes128Cbc(crate::Aes128Cbc),
    /// AES in CBC mode, 192-bit key (RFC 3602).
    #[cfg(feature = "aes-cbc")]
    Aes192Cbc(crate::Aes192Cbc),
    /// AES in CBC mode, 256-bit key (RFC 3602).
    #[cfg(feature = "aes-cbc")]
    Aes256Cbc(crate::Aes256Cbc),
    /// AES in counter mode, 128-bit key (RFC 3686).
    #[cfg(feature = "aes-ctr")]
    Aes128Ctr(crate::Aes128Ctr),
    /// AES in counter mode, 192-bit key (RFC 3686).
    #[cfg(feature = "aes-ctr")]
    Aes192Ctr(crate::Aes192Ctr),
    /// AES in counter mode, 256-bit key (RFC 3686).
    #[cfg(feature = "aes-ctr")]
    Aes256Ctr(crate::Aes256Ctr),
}

macro_rules! ciphers {
    ($then:ident!($($arguments:tt)*)) => {
        $then!(($($arguments)*) #[cfg(feature = "null")] Null #[cfg(feature = "des")] DesCbc
            #[cfg(feature = "3des")] TripleDesCbc #[cfg(feature = "blowfish")] BlowfishCbc
            #[cfg(feature = "cast128")] Cast128Cbc #[cfg(feature = "aes-cbc")] Aes128Cbc
            #[cfg(feature = "aes-cbc")] Aes192Cbc #[cfg(feature = "aes-cbc")] Aes256Cbc
            #[cfg(feature = "aes-ctr")] Aes128Ctr #[cfg(feature = "aes-ctr")] Aes192Ctr
            #[cfg(feature = "aes-ctr")] Aes256Ctr)
    };
}

impl AnyCipher {
    /// Creates a cipher. AEADs are not ciphers of this type.
    ///
    /// # Errors
    /// [`KeyError`].
    #[allow(clippy::match_single_binding)] // without any cipher feature
    pub fn new(algorithm: CipherAlgorithm, key: &[u8]) -> Result<Self, KeyError> {
        let row = algorithm.row().ok_or(KeyError::Unsupported)?;
        row.keys.check(key)?;
        match algorithm {
            //= RFC 4303 1/3
            //# MUST: integrity without confidentiality is supported
            #[cfg(feature = "null")]
            CipherAlgorithm::Null => Ok(Self::Null(crate::Null)),
            //= RFC 2406 5/4
            //# MUST: des-cbc, hmac-md5, hmac-sha1, null encryption and null authentication are supported
            #[cfg(feature = "des")]
            CipherAlgorithm::DesCbc => crate::DesCbc::from_slice(key).map(Self::DesCbc),
            #[cfg(feature = "3des")]
            CipherAlgorithm::TripleDesCbc => crate::TripleDesCbc::from_slice(key).map(Self::TripleDesCbc),
            #[cfg(feature = "blowfish")]
            CipherAlgorithm::BlowfishCbc => crate::BlowfishCbc::from_slice(key).map(Self::BlowfishCbc),
            #[cfg(feature = "cast128")]
            CipherAlgorithm::Cast128Cbc => crate::Cast128Cbc::from_slice(key).map(Self::Cast128Cbc),
            #[cfg(feature = "aes-cbc")]
            CipherAlgorithm::AesCbc => match key.len() {
                16 => key.try_into().map(|key| Self::Aes128Cbc(crate::Aes128Cbc::new(key))),
                24 => key.try_into().map(|key| Self::Aes192Cbc(crate::Aes192Cbc::new(key))),
                _ => key.try_into().map(|key| Self::Aes256Cbc(crate::Aes256Cbc::new(key))),
            }
            .map_err(|_| KeyError::length(row.keys, key)),
            #[cfg(feature = "aes-ctr")]
            CipherAlgorithm::AesCtr => match key.len() {
                20 => salted(key).map(|(key, nonce)| Self::Aes128Ctr(crate::Aes128Ctr::new(key, nonce))),
                28 => salted(key).map(|(key, nonce)| Self::Aes192Ctr(crate::Aes192Ctr::new(key, nonce))),
                _ => salted(key).map(|(key, nonce)| Self::Aes256Ctr(crate::Aes256Ctr::new(key, nonce))),
            }
            .ok_or(KeyError::length(row.keys, key)),
            _ => Err(KeyError::Unsupported),
        }
    }
}

impl Cipher for AnyCipher {
    fn layout(&self) -> Layout {
        ciphers!(one!(self, c => c.layout()))
    }

    fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
        ciphers!(one!(self, c => c.encrypt(iv, body)))
    }

    fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
        ciphers!(one!(self, c => c.decrypt(iv, body)))
    }

    fn encrypt_and_mac(&self, iv: &Iv, text: &mut [u8], from: usize, follow: &mut dyn FnMut(&[u8]), _: Internal) {
        ciphers!(one!(self, c => c.encrypt_and_mac(iv, text, from, follow, Internal)))
    }

    fn read_ahead(&self, use_of_keys: KeyUse, _: Internal) {
        ciphers!(one!(self, c => c.read_ahead(use_of_keys, Internal)))
    }

    fn min_batch(&self, _: Internal) -> usize {
        ciphers!(one!(self, c => c.min_batch(Internal)))
    }

    fn interleaves_keys(&self, _: Internal) -> bool {
        ciphers!(one!(self, c => c.interleaves_keys(Internal)))
    }

    fn encrypt_batch(lanes: &mut [BatchItem<'_, Self>], _: Internal) {
        ciphers!(each!(encrypt_matching, lanes));
    }
}

/// Encrypts the packets whose cipher is of one variant.
#[allow(dead_code)] // without any cipher feature
fn encrypt_matching<C: Cipher>(lanes: &mut [BatchItem<'_, AnyCipher>], kind: impl Fn(&AnyCipher) -> Option<&C>) {
    for some in lanes.chunks_mut(BATCH) {
        let mut those: Vec<BatchItem<'_, C>, BATCH> = Vec::new();
        for lane in some {
            if let Some(cipher) = kind(lane.cipher) {
                let _ = those.push(BatchItem { cipher, iv: lane.iv, body: lane.body }); // there is room
            }
        }
        C::encrypt_batch(&mut those, Internal);
    }
}

/// Integrity algorithm chosen at run time (RFC 4303 section 3.2.2).
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyIntegrity {
    /// HMAC-MD5 truncated to 96 bits (RFC 2403).
    #[cfg(feature = "hmac-md5")]
    HmacMd5_96(crate::HmacMd5_96),
    /// HMAC-SHA1 truncated to 96 bits (RFC 2404).
    #[cfg(feature = "hmac-sha1")]
    HmacSha1_96(crate::HmacSha1_96),
    /// HMAC-SHA2-256 truncated to 96 bits (draft-ietf-ipsec-ciph-sha-256-00).
    #[cfg(feature = "hmac-sha2-256-96")]
    HmacSha2_256_96(crate::HmacSha2_256_96),
    /// HMAC-SHA2-256 truncated to 128 bits (RFC 4868).
    #[cfg(feature = "hmac-sha2-256")]
    HmacSha2_256_128(crate::HmacSha2_256_128),
    /// HMAC-SHA2-384 truncated to 192 bits (RFC 4868).
    #[cfg(feature = "hmac-sha2-384")]
    HmacSha2_384_192(crate::HmacSha2_384_192),
    /// HMAC-SHA2-512 truncated to 256 bits (RFC 4868).
    #[cfg(feature = "hmac-sha2-512")]
    HmacSha2_512_256(crate::HmacSha2_512_256),
    /// HMAC-RIPEMD-160 truncated to 96 bits (RFC 2857).
    #[cfg(feature = "hmac-ripemd160")]
    HmacRipemd160_96(crate::HmacRipemd160_96),
    /// AES-XCBC-MAC truncated to 96 bits (RFC 3566).
    #[cfg(feature = "aes-xcbc")]
    AesXcbcMac96(crate::AesXcbcMac96),
    /// AES-CMAC truncated to 96 bits (RFC 4494).
    #[cfg(feature = "aes-cmac")]
    AesCmac96(crate::AesCmac96),
}

macro_rules! icvs {
    ($then:ident!($($arguments:tt)*)) => {
        $then!(($($arguments)*) #[cfg(feature = "hmac-md5")] HmacMd5_96 #[cfg(feature = "hmac-sha1")] HmacSha1_96
            #[cfg(feature = "hmac-sha2-256-96")] HmacSha2_256_96 #[cfg(feature = "hmac-sha2-256")] HmacSha2_256_128
            #[cfg(feature = "hmac-sha2-384")] HmacSha2_384_192 #[cfg(feature = "hmac-sha2-512")] HmacSha2_512_256
            #[cfg(feature = "hmac-ripemd160")] HmacRipemd160_96 #[cfg(feature = "aes-xcbc")] AesXcbcMac96
            #[cfg(feature = "aes-cmac")] AesCmac96)
    };
}

impl AnyIntegrity {
    /// Creates an integrity algorithm. AES-GMAC needs an IV and is not an algorithm of this type.
    ///
    /// # Errors
    /// [`KeyError`].
    #[allow(clippy::match_single_binding)] // without any integrity feature
    pub fn new(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, KeyError> {
        let row = algorithm.row().ok_or(KeyError::Unsupported)?;
        row.keys.check(key)?;
        let length = KeyError::length(row.keys, key);
        match algorithm {
            //= RFC 2402 5/4
            //# MUST: hmac-md5 and hmac-sha1 are supported
            #[cfg(feature = "hmac-md5")]
            IntegrityAlgorithm::HmacMd5_96 => crate::HmacMd5_96::from_slice(key).map(Self::HmacMd5_96),
            //= RFC 2402 5/4
            //# MUST: hmac-md5 and hmac-sha1 are supported
            #[cfg(feature = "hmac-sha1")]
            IntegrityAlgorithm::HmacSha1_96 => crate::HmacSha1_96::from_slice(key).map(Self::HmacSha1_96),
            #[cfg(feature = "hmac-sha2-256-96")]
            IntegrityAlgorithm::HmacSha2_256_96 => crate::HmacSha2_256_96::from_slice(key).map(Self::HmacSha2_256_96),
            #[cfg(feature = "hmac-sha2-256")]
            IntegrityAlgorithm::HmacSha2_256_128 => {
                crate::HmacSha2_256_128::from_slice(key).map(Self::HmacSha2_256_128)
            }
            #[cfg(feature = "hmac-sha2-384")]
            IntegrityAlgorithm::HmacSha2_384_192 => {
                crate::HmacSha2_384_192::from_slice(key).map(Self::HmacSha2_384_192)
            }
            #[cfg(feature = "hmac-sha2-512")]
            IntegrityAlgorithm::HmacSha2_512_256 => {
                crate::HmacSha2_512_256::from_slice(key).map(Self::HmacSha2_512_256)
            }
            #[cfg(feature = "hmac-ripemd160")]
            IntegrityAlgorithm::HmacRipemd160_96 => {
                crate::HmacRipemd160_96::from_slice(key).map(Self::HmacRipemd160_96)
            }
            #[cfg(feature = "aes-xcbc")]
            IntegrityAlgorithm::AesXcbcMac96 => {
                key.try_into().map(|key| Self::AesXcbcMac96(crate::AesXcbcMac96::new(key))).map_err(|_| length)
            }
            #[cfg(feature = "aes-cmac")]
            IntegrityAlgorithm::AesCmac96 => {
                key.try_into().map(|key| Self::AesCmac96(crate::AesCmac96::new(key))).map_err(|_| length)
            }
            _ => Err(KeyError::Unsupported),
        }
    }
}

impl Integrity for AnyIntegrity {
    fn icv_len(&self) -> IcvLen {
        icvs!(one!(self, i => i.icv_len()))
    }

    fn compute_over(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        icvs!(one!(self, i => i.compute_over(feed)))
    }

    fn compute_input(&self, text: IcvInput<'_>, _: Internal) -> Icv {
        icvs!(one!(self, i => i.compute_input(text, Internal)))
    }

    fn compute_received(&self, text: IcvInput<'_>, _: Internal) -> Icv {
        icvs!(one!(self, i => i.compute_received(text, Internal)))
    }

    fn min_batch(&self, _: Internal) -> usize {
        icvs!(one!(self, i => i.min_batch(Internal)))
    }

    fn compute_batch(texts: &[(&Self, IcvInput<'_>)], tags: &mut [Icv], _: Internal) {
        icvs!(each!(compute_matching, (texts, &mut *tags)));
    }
}

/// Computes the ICVs of the packets whose algorithm is of one variant.
#[allow(dead_code)] // without any integrity feature
fn compute_matching<I: Integrity>(
    (texts, tags): (&[(&AnyIntegrity, IcvInput<'_>)], &mut [Icv]),
    kind: impl Fn(&AnyIntegrity) -> Option<&I>,
) {
    for (texts, tags) in texts.chunks(BATCH).zip(tags.chunks_mut(BATCH)) {
        let mut those: Vec<(&I, IcvInput<'_>), BATCH> = Vec::new();
        for (icv, text) in texts {
            if let Some(icv) = kind(icv) {
                let _ = those.push((icv, *text)); // there is room
            }
        }
        if those.is_empty() {
            continue;
        }
        let mut computed = [Icv::NONE; BATCH];
        I::compute_batch(&those, &mut computed, Internal);
        let own = tags.iter_mut().zip(texts).filter(|(_, (icv, _))| kind(icv).is_some());
        own.zip(computed).for_each(|((tag, _), computed)| *tag = computed);
    }
}

/// Integrity algorithm of an AH SA, chosen at run time (RFC 4302 section 3.2).
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyAhIntegrity {
    /// Any algorithm except AES-GMAC.
    Integrity(AnyIntegrity),
    /// AES-GMAC with a 128-bit key (RFC 4543).
    #[cfg(feature = "aes-gmac")]
    Aes128Gmac(crate::Aes128Gmac),
    /// AES-GMAC with a 192-bit key (RFC 4543).
    #[cfg(feature = "aes-gmac")]
    Aes192Gmac(crate::Aes192Gmac),
    /// AES-GMAC with a 256-bit key (RFC 4543).
    #[cfg(feature = "aes-gmac")]
    Aes256Gmac(crate::Aes256Gmac),
}

macro_rules! ah_integrities {
    ($then:ident!($($arguments:tt)*)) => {
        $then!(($($arguments)*) Integrity #[cfg(feature = "aes-gmac")] Aes128Gmac #[cfg(feature = "aes-gmac")] Aes192Gmac
            #[cfg(feature = "aes-gmac")] Aes256Gmac)
    };
}

impl AnyAhIntegrity {
    /// Creates an integrity algorithm. The key of AES-GMAC is followed by its salt.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(algorithm: IntegrityAlgorithm, key: &[u8]) -> Result<Self, KeyError> {
        match (algorithm, key.len()) {
            (IntegrityAlgorithm::None, _) => Err(KeyError::NoIntegrity),
            #[cfg(feature = "aes-gmac")]
            (IntegrityAlgorithm::AesGmac, octets) => match octets {
                20 => salted(key).map(|(key, salt)| Self::Aes128Gmac(crate::Aes128Gmac::new(key, salt))),
                28 => salted(key).map(|(key, salt)| Self::Aes192Gmac(crate::Aes192Gmac::new(key, salt))),
                36 => salted(key).map(|(key, salt)| Self::Aes256Gmac(crate::Aes256Gmac::new(key, salt))),
                _ => None,
            }
            .ok_or(KeyError::length(crate::KeyLengths { min: 20, max: 36, step: 8 }, key)),
            _ => AnyIntegrity::new(algorithm, key).map(Self::Integrity),
        }
    }
}

impl AhIntegrity for AnyAhIntegrity {
    fn iv_len(&self) -> usize {
        ah_integrities!(one!(self, i => i.iv_len()))
    }

    fn field_len(&self) -> usize {
        ah_integrities!(one!(self, i => i.field_len()))
    }

    fn authenticate(&self, iv: [u8; 8], feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        ah_integrities!(one!(self, i => i.authenticate(iv, feed)))
    }
}
