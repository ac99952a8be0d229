//! The block ciphers in CBC mode: RFC 2405 (DES), 2451 (3DES, Blowfish, CAST-128), 3602 (AES).
#![cfg(any(feature = "aes-cbc", feature = "des", feature = "blowfish", feature = "cast128"))]

use core::fmt;

use cipher::array::Array;
use cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};

use crate::{Cbc, Cipher, Confidential, Iv, IvRule, KeyError, KeyLengths};

fn encrypt<C: BlockCipherEncrypt>(cipher: &C, iv: &Block<C>, body: &mut [u8]) {
    let (blocks, _) = Array::slice_as_chunks_mut(body);
    cbc::Encryptor::inner_iv_init(cipher, iv).encrypt_blocks(blocks);
}

fn decrypt<C: BlockCipherDecrypt>(cipher: &C, iv: &Block<C>, body: &mut [u8]) {
    let (blocks, _) = Array::slice_as_chunks_mut(body);
    cbc::Decryptor::inner_iv_init(cipher, iv).decrypt_blocks(blocks);
}

#[cfg(any(feature = "des", feature = "blowfish", feature = "cast128"))]
fn first_half(iv: &Iv) -> Array<u8, cipher::consts::U8> {
    let &[a, b, c, d, e, f, g, h, ..] = iv;
    Array([a, b, c, d, e, f, g, h])
}

macro_rules! cbc {
    ($(#[$doc:meta])* $name:ident($inner:ty), $block:literal, $text:literal, $iv:expr) => {
        $(#[$doc])*
        pub struct $name($inner);

        impl Cipher for $name {
            fn iv_len(&self) -> usize {
                $block
            }

            fn block(&self) -> usize {
                $block
            }

            fn iv_rule(&self) -> IvRule {
                IvRule::Unpredictable
            }

            fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
                encrypt(&self.0, &$iv(iv), body);
            }

            fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
                decrypt(&self.0, &$iv(iv), body);
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
    /// DES-CBC (RFC 2405). **Legacy**: 56 bits of key can be searched. Not constant-time.
    DesCbc(des::Des), 8, "DesCbc", first_half
);

#[cfg(feature = "des")]
impl DesCbc {
    /// From 64 bits of key, whose parity bits are ignored.
    ///
    /// # Errors
    /// [`KeyError::WeakDes`] and [`KeyError::SemiWeakDes`] (RFC 2405 4.1).
    pub fn new(key: &[u8; 8]) -> Result<Self, KeyError> {
        crate::weak::check_des(key)?;
        Ok(Self(des::Des::new(&Array(*key))))
    }

    /// As [`new`](Self::new), from a slice.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        Self::new(key.try_into().map_err(|_| KeyError::length(KeyLengths::exactly(8), key))?)
    }
}

#[cfg(feature = "des")]
cbc!(
    /// 3DES-CBC (RFC 2451), encrypt-decrypt-encrypt with three keys. **Legacy**: slow, with 64-bit blocks. Not constant-time.
    TripleDesCbc(des::TdesEde3), 8, "TripleDesCbc", first_half
);

#[cfg(feature = "des")]
impl TripleDesCbc {
    /// From three keys of 64 bits, whose parity bits are ignored.
    ///
    /// # Errors
    /// [`KeyError::DegenerateTripleDes`] when two neighbours are equal, which leaves single DES (RFC 2451 2.1).
    pub fn new(key: &[u8; 24]) -> Result<Self, KeyError> {
        crate::weak::check_triple_des(key)?;
        Ok(Self(des::TdesEde3::new(&Array(*key))))
    }

    /// As [`new`](Self::new), from a slice.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        Self::new(key.try_into().map_err(|_| KeyError::length(KeyLengths::exactly(24), key))?)
    }
}

#[cfg(feature = "blowfish")]
cbc!(
    /// Blowfish-CBC (RFC 2451). **Legacy**: 64-bit blocks, a schedule of 4168 octets. Not constant-time.
    BlowfishCbc(blowfish::Blowfish), 8, "BlowfishCbc", first_half
);

#[cfg(feature = "blowfish")]
impl BlowfishCbc {
    /// From a key of 40 to 448 bits in steps of 8; 128 where nothing was negotiated (RFC 2451 2.2).
    ///
    /// # Errors
    /// [`KeyError::Length`].
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        let allowed = KeyLengths { min: 5, max: 56, step: 1 };
        allowed.check(key)?;
        blowfish::Blowfish::new_from_slice(key).map(Self).map_err(|_| KeyError::length(allowed, key))
    }
}

#[cfg(feature = "cast128")]
cbc!(
    /// CAST-128-CBC (RFC 2451, 2144). **Legacy**: 64-bit blocks. Not constant-time.
    Cast128Cbc(cast5::Cast5), 8, "Cast128Cbc", first_half
);

#[cfg(feature = "cast128")]
impl Cast128Cbc {
    /// From a key of 40 to 128 bits in steps of 8; 128 where nothing was negotiated (RFC 2451 2.2). Keys up to 80 bits
    /// use 12 rounds (RFC 2144 2.5).
    ///
    /// # Errors
    /// [`KeyError::Length`].
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        let allowed = KeyLengths { min: 5, max: 16, step: 1 };
        allowed.check(key)?;
        cast5::Cast5::new_from_slice(key).map(Self).map_err(|_| KeyError::length(allowed, key))
    }
}

/// AES-CBC (RFC 3602) with the key size of `A`.
#[cfg(feature = "aes-cbc")]
pub struct AesCbc<A>(A);

/// AES-128-CBC.
#[cfg(feature = "aes-cbc")]
pub type Aes128Cbc = AesCbc<aes::Aes128>;
/// AES-192-CBC.
#[cfg(feature = "aes-cbc")]
pub type Aes192Cbc = AesCbc<aes::Aes192>;
/// AES-256-CBC.
#[cfg(feature = "aes-cbc")]
pub type Aes256Cbc = AesCbc<aes::Aes256>;

#[cfg(feature = "aes-cbc")]
mod aes_cbc {
    use super::{
        AesCbc, Array, BlockCipherDecrypt, BlockCipherEncrypt, Cbc, Cipher, Confidential, Iv, IvRule, KeyInit, fmt,
    };
    use cipher::BlockSizeUser;
    use cipher::consts::U16;

    macro_rules! sizes {
        ($($aes:ty, $octets:literal;)*) => {$(
            impl AesCbc<$aes> {
                /// From a key of the right size.
                pub fn new(key: &[u8; $octets]) -> Self {
                    Self(<$aes>::new(&Array(*key)))
                }
            }
        )*};
    }
    sizes! { aes::Aes128, 16; aes::Aes192, 24; aes::Aes256, 32; }

    impl<A: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>> Cipher for AesCbc<A> {
        fn iv_len(&self) -> usize {
            16
        }

        fn block(&self) -> usize {
            16
        }

        fn iv_rule(&self) -> IvRule {
            IvRule::Unpredictable
        }

        fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
            super::encrypt(&self.0, &Array(*iv), body);
        }

        fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
            super::decrypt(&self.0, &Array(*iv), body);
        }
    }

    impl<A> Confidential for AesCbc<A> where Self: Cipher {}
    impl<A> Cbc for AesCbc<A> where Self: Cipher {}

    impl<A> fmt::Debug for AesCbc<A> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("AesCbc(..)")
        }
    }
}
