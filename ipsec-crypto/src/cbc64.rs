//! Ciphers with 64-bit blocks in CBC mode: RFC 2405 (DES), RFC 2451 (3DES, Blowfish, CAST-128).

use core::borrow::Borrow;
use core::fmt;

#[cfg(feature = "blowfish")]
use crate::blowfish_backend::{Blowfish, StoredBlowfish, stored_blowfish};
#[cfg(feature = "cast128")]
use crate::cast128_backend::{Cast128, cast128};
use crate::cbc_backend::CbcBackend;
use crate::cipher::BatchItem;
#[cfg(any(feature = "des", feature = "3des"))]
use crate::des_backend;
#[cfg(feature = "des")]
use crate::des_backend::Des;
#[cfg(feature = "3des")]
use crate::des_backend::TripleDes;
use crate::internal::Internal;
use crate::layout::layout;
use crate::{Cbc, Cipher, Confidential, IcvLen, Iv, KeyError, KeyLengths, Layout};

macro_rules! cbc {
    ($(#[$doc:meta])* $name:ident($stored:ty), $backend:ty, $block:literal, $text:literal) => {
        $(#[$doc])*
        pub struct $name($stored);

        impl $name {
            fn backend(&self) -> &$backend {
                self.0.borrow()
            }
        }

        impl Cipher for $name {
            fn layout(&self) -> Layout {
                layout!($block, $block, IcvLen::NONE, Unpredictable)
            }

            fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
                self.backend().encrypt(iv, body);
            }

            fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
                self.backend().decrypt(iv, body);
            }

            fn encrypt_and_mac(&self, iv: &Iv, text: &mut [u8], from: usize, follow: &mut dyn FnMut(&[u8]), _: Internal) {
                self.backend().encrypt_and_mac(iv, text, from, follow);
            }

            /// Returns the smallest batch: encryption takes longer than any hash, so batches are always faster.
            fn min_batch(&self, _: Internal) -> usize {
                2
            }

            fn interleaves_keys(&self, _: Internal) -> bool {
                <$backend>::INTERLEAVES_KEYS
            }

            fn encrypt_batch(lanes: &mut [BatchItem<'_, Self>], _: Internal) {
                <$backend>::encrypt_batch(lanes, Self::backend);
            }
        }

        impl Confidential for $name {}
        impl Cbc for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($text, "(..)"))
            }
        }
    };
}

#[cfg(feature = "des")]
cbc!(
    /// DES in CBC mode (RFC 2405). **Legacy**: the 56-bit key can be found by search. Not constant-time without
    /// `--cfg ipsec_constant_time_des`.
    DesCbc(Des), Des, 8, "DesCbc"
);

#[cfg(feature = "des")]
impl DesCbc {
    /// Creates the cipher from a key of 64 bits, whose parity bits are ignored.
    ///
    /// # Errors
    /// [`KeyError::WeakDes`] and [`KeyError::SemiWeakDes`] (RFC 2405 section 4.1).
    pub fn new(key: &[u8; 8]) -> Result<Self, KeyError> {
        crate::weak::check_des(key)?;
        Ok(Self(des_backend::des(key)))
    }

    /// Creates the cipher from a slice, as [`new`](Self::new).
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        Self::new(key.try_into().map_err(|_| KeyError::length(KeyLengths::exactly(8), key))?)
    }
}

#[cfg(feature = "3des")]
cbc!(
    /// Triple DES in CBC mode (RFC 2451), encrypt-decrypt-encrypt with three keys. **Legacy**: slow, with 64-bit
    /// blocks. Not constant-time without `--cfg ipsec_constant_time_des`.
    TripleDesCbc(TripleDes), TripleDes, 8, "TripleDesCbc"
);

#[cfg(feature = "3des")]
impl TripleDesCbc {
    /// Creates the cipher from three keys of 64 bits, whose parity bits are ignored.
    ///
    /// # Errors
    /// [`KeyError::DegenerateTripleDes`] if two adjacent keys are equal, which reduces the cipher to single DES (RFC
    /// 2451 section 2.1).
    pub fn new(key: &[u8; 24]) -> Result<Self, KeyError> {
        crate::weak::check_triple_des(key)?;
        Ok(Self(des_backend::triple_des(key)))
    }

    /// Creates the cipher from a slice, as [`new`](Self::new).
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        Self::new(key.try_into().map_err(|_| KeyError::length(KeyLengths::exactly(24), key))?)
    }
}

#[cfg(feature = "blowfish")]
cbc!(
    /// Blowfish in CBC mode (RFC 2451). **Legacy**: 64-bit blocks, key schedule of 4168 octets. Not constant-time.
    BlowfishCbc(StoredBlowfish), Blowfish, 8, "BlowfishCbc"
);

#[cfg(feature = "blowfish")]
impl BlowfishCbc {
    /// Creates the cipher from a key of 40 to 448 bits in steps of 8; 128 bits by default (RFC 2451 section 2.2).
    ///
    /// # Errors
    /// [`KeyError::Length`].
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        let allowed = KeyLengths { min: 5, max: 56, step: 1 };
        allowed.check(key)?;
        stored_blowfish(key).map(Self).ok_or(KeyError::length(allowed, key))
    }
}

#[cfg(feature = "cast128")]
cbc!(
    /// CAST-128 in CBC mode (RFC 2451, RFC 2144). **Legacy**: 64-bit blocks. Not constant-time.
    Cast128Cbc(Cast128), Cast128, 8, "Cast128Cbc"
);

#[cfg(feature = "cast128")]
impl Cast128Cbc {
    /// Creates the cipher from a key of 40 to 128 bits in steps of 8; 128 bits by default (RFC 2451 section 2.2).
    /// Keys up to 80 bits use 12 rounds (RFC 2144 section 2.5).
    ///
    /// # Errors
    /// [`KeyError::Length`].
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        let allowed = KeyLengths { min: 5, max: 16, step: 1 };
        allowed.check(key)?;
        cast128(key).map(Self).ok_or(KeyError::length(allowed, key))
    }
}
