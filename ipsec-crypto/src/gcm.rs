use core::fmt;

use ::aead::{AeadCore, AeadInOut};
use aes::{Aes128Enc as Aes128, Aes192Enc as Aes192, Aes256Enc as Aes256};
use aes_gcm::AesGcm;
use cipher::KeyInit;
use cipher::array::Array;
use cipher::consts::{U8, U12, U16};
use zeroize::Zeroize;

use crate::aead_backend::{Aead, VectorAesGcm, vector_aes_gcm};
use crate::nonce::{LAYOUT, icv_len};
use crate::{EspParts, IcvMismatch, Layout, Suite};

/// AES-GCM (RFC 4106), with an ICV of 8, 12 or 16 octets.
pub struct Gcm<A> {
    aead: Aead<A, VectorAesGcm>,
    salt: [u8; 4],
}

impl<A: AeadInOut> Suite for Gcm<A> {
    fn layout(&self) -> Layout {
        LAYOUT.with_icv(icv_len::<<A as AeadCore>::TagSize>())
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        self.aead.seal(&self.salt, parts);
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.aead.open(&self.salt, parts)
    }
}

impl<A> Drop for Gcm<A> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl<A> fmt::Debug for Gcm<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gcm(..)")
    }
}

macro_rules! keyed {
    ($($name:ident = $aead:ty, $key:literal;)*) => {$(
        #[doc = concat!("[`Gcm`] with a key of ", $key, " octets.")]
        pub type $name = Gcm<$aead>;

        impl $name {
            /// Creates the suite from the key and the salt of the SA, which are negotiated together (RFC 4106 section
            /// 8.1).
            pub fn new(key: &[u8; $key], salt: [u8; 4]) -> Self {
                Self { aead: Aead::new(vector_aes_gcm(key), || <$aead>::new(&Array(*key))), salt }
            }
        }
    )*};
}

keyed! {
    Aes128Gcm8 = AesGcm<Aes128, U12, U8>, 16;
    Aes128Gcm12 = AesGcm<Aes128, U12, U12>, 16;
    Aes128Gcm16 = AesGcm<Aes128, U12, U16>, 16;
    Aes192Gcm8 = AesGcm<Aes192, U12, U8>, 24;
    Aes192Gcm12 = AesGcm<Aes192, U12, U12>, 24;
    Aes192Gcm16 = AesGcm<Aes192, U12, U16>, 24;
    Aes256Gcm8 = AesGcm<Aes256, U12, U8>, 32;
    Aes256Gcm12 = AesGcm<Aes256, U12, U12>, 32;
    Aes256Gcm16 = AesGcm<Aes256, U12, U16>, 32;
}
