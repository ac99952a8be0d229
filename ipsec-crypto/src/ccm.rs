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
use cipher::typenum::Unsigned;
use cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit};
use zeroize::Zeroize;

use crate::ccm_backend::{Backend, VectorCcm};
use crate::nonce::{LAYOUT, icv_len, nonce, set_icv};
use crate::{EspParts, IcvMismatch, Layout, Suite, counter_mode, ct};

/// AES-CCM (RFC 4309) with an ICV of 8, 12 or 16 octets.
pub struct Ccm<A, M> {
    backend: Backend<A>,
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
                let backend = Backend::new(key, <$icv>::USIZE, || <$aes>::new(&Array(*key)));
                Self { backend, salt, icv: PhantomData }
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

/// Encrypts the body with the implementation of RustCrypto. Returns the ICV; `None` for bodies of gigabytes only.
fn encrypt<'a, A, M>(cipher: &'a A, salt: &[u8; 3], parts: &mut EspParts<'_>) -> Option<AeadTag<Inner<&'a A, M, U11>>>
where
    A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
    M: ArraySize + TagSize,
{
    let (nonce, aad) = (nonce(salt, parts), parts.aad());
    let ccm = Inner::<&A, M, U11>::from(cipher);
    ccm.encrypt_inout_detached(&nonce, aad.as_slice(), InOutBuf::from(parts.body())).ok()
}

/// Decrypts a packet with the implementation of RustCrypto, as [`Suite::open`] specifies.
fn open<A, M>(cipher: &A, salt: &[u8; 3], parts: &mut EspParts<'_>) -> Result<(), IcvMismatch>
where
    A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
    M: ArraySize + TagSize,
{
    apply_keystream(cipher, salt, parts);
    match encrypt::<A, M>(cipher, salt, parts) {
        //= RFC 4303 3.4.4.2/1
        //# MUST: a packet that a combined mode algorithm finds wrong is discarded
        Some(tag) if !ct::equal(&tag, parts.icv()) => Err(IcvMismatch),
        Some(_) => {
            apply_keystream(cipher, salt, parts);
            Ok(())
        }
        None => {
            apply_keystream(cipher, salt, parts);
            Err(IcvMismatch)
        }
    }
}

/// Applies the key stream, which encrypts or decrypts the body.
fn apply_keystream<A>(cipher: &A, [s0, s1, s2]: &[u8; 3], parts: &mut EspParts<'_>)
where
    A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let [a, b, c, d, e, f, g, h, ..] = parts.iv();
    counter_mode::apply(cipher, [3, *s0, *s1, *s2, a, b, c, d, e, f, g, h], parts.body());
}

/// Decrypts a packet with vector instructions, as [`Suite::open`] specifies.
fn open_with_vectors<M: ArraySize>(
    ccm: &VectorCcm,
    salt: [u8; 3],
    parts: &mut EspParts<'_>,
) -> Result<(), IcvMismatch> {
    let (nonce, aad) = (vector_nonce(salt, parts), parts.aad());
    let mut octets = [0; 16];
    let received = octets.get_mut(..M::USIZE).filter(|to| to.len() == parts.icv().len()).ok_or(IcvMismatch)?;
    received.copy_from_slice(parts.icv());
    let received = &*received;
    //= RFC 4303 3.4.4.2/1
    //# MUST: a packet that a combined mode algorithm finds wrong is discarded
    let valid = ccm.open(&nonce, aad.as_slice(), parts.body(), &|computed| {
        computed.get(..received.len()).is_some_and(|computed| ct::equal(computed, received))
    });
    if valid { Ok(()) } else { Err(IcvMismatch) }
}

/// Returns the nonce: the salt of the SA, then the IV of the packet.
fn vector_nonce([s0, s1, s2]: [u8; 3], parts: &EspParts<'_>) -> [u8; 11] {
    let [a, b, c, d, e, f, g, h, ..] = parts.iv();
    [s0, s1, s2, a, b, c, d, e, f, g, h]
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
        let sealed = match &self.backend {
            Backend::Portable(cipher) => {
                encrypt::<A, M>(cipher, &self.salt, parts).map(|tag| set_icv::<M>(parts, &tag))
            }
            Backend::Vectors(ccm) => {
                let (nonce, aad) = (vector_nonce(self.salt, parts), parts.aad());
                ccm.seal(&nonce, aad.as_slice(), parts.body()).map(|icv| set_icv::<M>(parts, &icv))
            }
        };
        if sealed.is_none() {
            // Encryption fails for bodies of gigabytes only. Even then no plaintext may be sent.
            parts.body().zeroize();
        }
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        match &self.backend {
            Backend::Portable(cipher) => open::<A, M>(cipher, &self.salt, parts),
            Backend::Vectors(ccm) => open_with_vectors::<M>(ccm, self.salt, parts),
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
