//! AES-CCM in ESP (RFC 4309).
//!
//! CCM authenticates the plaintext, so a receiver has to decrypt before it can verify the ICV. If verification fails,
//! the packet is encrypted again: it is unchanged, and its plaintext never leaves this file.
//!
//! ```text
//! nonce:          salt (3, from the key)  |  IV (8, from the packet)
//! counter block:  3  |  nonce (11)  |  block counter (4), from 1
//! ```

use core::fmt;
use core::marker::PhantomData;

use ::aead::inout::InOutBuf;
use ::aead::{AeadInOut, Tag as AeadTag};
use ::ccm::{Ccm as Inner, TagSize};
use aes::{Aes128Enc as Aes128, Aes192Enc as Aes192, Aes256Enc as Aes256};
use cipher::array::{Array, ArraySize};
use cipher::consts::{U8, U11, U12, U16};
use cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit};
use zeroize::Zeroize;

use crate::nonce::{LAYOUT, icv_len, nonce, set_icv};
use crate::{EspParts, IcvMismatch, Layout, Suite, counter_mode, ct};

/// AES-CCM (RFC 4309) with an ICV of 8, 12 or 16 octets.
pub struct Ccm<A, M> {
    cipher: A,
    salt: [u8; 3],
    icv: PhantomData<M>,
}

macro_rules! keyed {
    ($($name:ident = $aes:ty, $icv:ty, $key:literal;)*) => {$(
        #[doc = concat!("[`Ccm`] with a key of ", $key, " octets.")]
        pub type $name = Ccm<$aes, $icv>;

        impl $name {
            /// Creates the suite from the key and the salt of the SA, which are negotiated together (RFC 4309 section
            /// 7.1).
            pub fn new(key: &[u8; $key], salt: [u8; 3]) -> Self {
                Self { cipher: <$aes>::new(&Array(*key)), salt, icv: PhantomData }
            }
        }
    )*};
}

keyed! {
    Aes128Ccm8 = Aes128, U8, 16;
    Aes128Ccm12 = Aes128, U12, 16;
    Aes128Ccm16 = Aes128, U16, 16;
    Aes192Ccm8 = Aes192, U8, 24;
    Aes192Ccm12 = Aes192, U12, 24;
    Aes192Ccm16 = Aes192, U16, 24;
    Aes256Ccm8 = Aes256, U8, 32;
    Aes256Ccm12 = Aes256, U12, 32;
    Aes256Ccm16 = Aes256, U16, 32;
}

impl<A, M> Ccm<A, M>
where
    A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
    M: ArraySize + TagSize,
{
    /// Encrypts the body. Returns the ICV; `None` for bodies of gigabytes only.
    fn encrypt(&self, parts: &mut EspParts<'_>) -> Option<AeadTag<Inner<&A, M, U11>>> {
        let (nonce, aad) = (nonce(&self.salt, parts), parts.aad());
        let ccm = Inner::<&A, M, U11>::from(&self.cipher);
        ccm.encrypt_inout_detached(&nonce, aad.as_slice(), InOutBuf::from(parts.body())).ok()
    }

    /// Applies the key stream, which encrypts or decrypts the body.
    fn apply_keystream(&self, parts: &mut EspParts<'_>) {
        let ([s0, s1, s2], [a, b, c, d, e, f, g, h, ..]) = (self.salt, parts.iv());
        counter_mode::apply(&self.cipher, [3, s0, s1, s2, a, b, c, d, e, f, g, h], parts.body());
    }
}

impl<A, M> Suite for Ccm<A, M>
where
    A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
    M: ArraySize + TagSize,
{
    fn layout(&self) -> Layout {
        LAYOUT.with_icv(icv_len::<M>())
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        match self.encrypt(parts) {
            Some(tag) => set_icv::<M>(parts, &tag),
            // Encryption fails for bodies of gigabytes only. Even then no plaintext may be sent.
            None => parts.body().zeroize(),
        }
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.apply_keystream(parts);
        match self.encrypt(parts) {
            //= RFC 4303 3.4.4.2/1
            //# MUST: a packet that a combined mode algorithm finds wrong is discarded
            Some(tag) if !ct::equal(&tag, parts.icv()) => Err(IcvMismatch),
            Some(_) => {
                self.apply_keystream(parts);
                Ok(())
            }
            None => {
                self.apply_keystream(parts);
                Err(IcvMismatch)
            }
        }
    }
}

impl<A, M> Drop for Ccm<A, M> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl<A, M> fmt::Debug for Ccm<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ccm(..)")
    }
}
