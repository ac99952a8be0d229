//! AES-GCM (RFC 4106) and ChaCha20-Poly1305 (RFC 7634).

use core::fmt;

use ::aead::inout::InOutBuf;
use ::aead::{AeadCore, AeadInOut, Tag as AeadTag};
use cipher::KeyInit;
use cipher::array::Array;
use zeroize::Zeroize;

use crate::nonce::{LAYOUT, icv_len, nonce, set_icv};
use crate::{EspParts, IcvMismatch, Layout, Suite};

fn seal<A: AeadInOut>(aead: &A, salt: &[u8], parts: &mut EspParts<'_>) {
    let (nonce, aad) = (nonce(salt, parts), parts.aad());
    let sealed = aead.encrypt_inout_detached(&nonce, aad.as_slice(), InOutBuf::from(parts.body()));
    match sealed {
        Ok(tag) => set_icv(parts, &tag),
        // Encryption fails for bodies of gigabytes only, which no packet has. Even then no plaintext may be sent.
        Err(_) => parts.body().zeroize(),
    }
}

fn open<A: AeadInOut>(aead: &A, salt: &[u8], parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
    let tag = AeadTag::<A>::try_from(parts.icv()).map_err(|_| IcvMismatch)?;
    let (nonce, aad) = (nonce(salt, parts), parts.aad());
    let body = InOutBuf::from(parts.body());
    //= RFC 4303 3.4.4.2/1
    //# MUST: a packet that a combined mode algorithm finds wrong is discarded
    aead.decrypt_inout_detached(&nonce, aad.as_slice(), body, &tag).map_err(|_| IcvMismatch)
}

macro_rules! suite {
    ($(#[$doc:meta])* $name:ident, $text:literal, $salt:literal, $feature:literal) => {
        $(#[$doc])*
        #[cfg(feature = $feature)]
        pub struct $name<A> {
            aead: A,
            salt: [u8; $salt],
        }

        #[cfg(feature = $feature)]
        impl<A: AeadInOut> Suite for $name<A> {
            fn layout(&self) -> Layout {
                LAYOUT.with_icv(icv_len::<<A as AeadCore>::TagSize>())
            }

            fn seal(&self, parts: &mut EspParts<'_>) {
                seal(&self.aead, &self.salt, parts);
            }

            fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
                open(&self.aead, &self.salt, parts)
            }
        }

        #[cfg(feature = $feature)]
        impl<A> Drop for $name<A> {
            fn drop(&mut self) {
                self.salt.zeroize();
            }
        }

        #[cfg(feature = $feature)]
        impl<A> fmt::Debug for $name<A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($text, "(..)"))
            }
        }
    };
}

macro_rules! keyed {
    ($($name:ident = $generic:ident<$inner:ty>, $key:literal, $salt:literal;)*) => {$(
        #[doc = concat!("[`", stringify!($generic), "`] with a key of ", $key, " octets.")]
        pub type $name = $generic<$inner>;

        impl $name {
            /// Creates the suite from the key and the salt of the SA, which are negotiated together (RFC 4106 section
            /// 8.1, RFC 7634 section 2).
            pub fn new(key: &[u8; $key], salt: [u8; $salt]) -> Self {
                Self { aead: <$inner>::new(&Array(*key)), salt }
            }
        }
    )*};
}

suite!(
    /// AES-GCM (RFC 4106), with an ICV of 8, 12 or 16 octets.
    Gcm, "Gcm", 4, "aes-gcm"
);
suite!(
    /// ChaCha20-Poly1305 in ESP (RFC 7634).
    ChaCha, "ChaCha", 4, "chacha20-poly1305"
);

#[cfg(feature = "aes-gcm")]
mod gcm {
    use super::{Array, Gcm, KeyInit};
    use aes::{Aes128Enc as Aes128, Aes192Enc as Aes192, Aes256Enc as Aes256};
    use aes_gcm::AesGcm;
    use cipher::consts::{U8, U12, U16};

    keyed! {
        Aes128Gcm8 = Gcm<AesGcm<Aes128, U12, U8>>, 16, 4;
        Aes128Gcm12 = Gcm<AesGcm<Aes128, U12, U12>>, 16, 4;
        Aes128Gcm16 = Gcm<AesGcm<Aes128, U12, U16>>, 16, 4;
        Aes192Gcm8 = Gcm<AesGcm<Aes192, U12, U8>>, 24, 4;
        Aes192Gcm12 = Gcm<AesGcm<Aes192, U12, U12>>, 24, 4;
        Aes192Gcm16 = Gcm<AesGcm<Aes192, U12, U16>>, 24, 4;
        Aes256Gcm8 = Gcm<AesGcm<Aes256, U12, U8>>, 32, 4;
        Aes256Gcm12 = Gcm<AesGcm<Aes256, U12, U12>>, 32, 4;
        Aes256Gcm16 = Gcm<AesGcm<Aes256, U12, U16>>, 32, 4;
    }
}
#[cfg(feature = "aes-gcm")]
pub use gcm::{
    Aes128Gcm8, Aes128Gcm12, Aes128Gcm16, Aes192Gcm8, Aes192Gcm12, Aes192Gcm16, Aes256Gcm8, Aes256Gcm12, Aes256Gcm16,
};

#[cfg(feature = "chacha20-poly1305")]
mod chacha {
    use super::{Array, ChaCha, KeyInit};

    keyed! {
        ChaCha20Poly1305 = ChaCha<chacha20poly1305::ChaCha20Poly1305>, 32, 4;
    }
}
#[cfg(feature = "chacha20-poly1305")]
pub use chacha::ChaCha20Poly1305;
