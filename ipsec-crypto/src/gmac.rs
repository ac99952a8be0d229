//! AES-GMAC (RFC 4543): GCM that authenticates without encryption.

use core::fmt;

use aes::{Aes128Enc as Aes128, Aes192Enc as Aes192, Aes256Enc as Aes256};
use cipher::array::Array;
use cipher::consts::U16;
use cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroize;

use crate::append::excluded;
use crate::layout::layout;
use crate::{AhIntegrity, EspParts, Icv, IcvLen, IcvMismatch, Layout, Suite};

/// AES-GMAC with the key size of `A`, for ESP as a suite with NULL encryption and for AH (RFC 4543 sections 3 and 4).
pub struct AesGmac<A> {
    cipher: A,
    ghash: GHash,
    salt: [u8; 4],
}

/// AES-GMAC with a key of 128 bits (RFC 4543 section 5.4).
pub type Aes128Gmac = AesGmac<Aes128>;
/// AES-GMAC with a key of 192 bits (RFC 4543 section 5.4).
pub type Aes192Gmac = AesGmac<Aes192>;
/// AES-GMAC with a key of 256 bits (RFC 4543 section 5.4).
pub type Aes256Gmac = AesGmac<Aes256>;

macro_rules! sizes {
    ($($aes:ty, $octets:literal;)*) => {$(
        impl AesGmac<$aes> {
            /// Creates the algorithm from the key and the salt of the SA, which are negotiated together (RFC 4543
            /// section 5.4).
            pub fn new(key: &[u8; $octets], salt: [u8; 4]) -> Self {
                let cipher = <$aes>::new(&Array(*key));
                let mut hash_key = Array::default();
                cipher.encrypt_block(&mut hash_key);
                let ghash = GHash::new(&hash_key);
                hash_key.zeroize();
                Self { cipher, ghash, salt }
            }
        }
    )*};
}
sizes! { Aes128, 16; Aes192, 24; Aes256, 32; }

impl<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> AesGmac<A> {
    /// Computes the MAC of the input, under an IV that must never repeat (RFC 4543 section 3).
    fn mac(&self, iv: [u8; 8], feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        let mut hash = GhashInput { hash: self.ghash.clone(), block: Array::default(), filled: 0, octets: 0 };
        feed(&mut |piece| hash.absorb(piece));
        let mut tag = hash.finish();
        let ([s0, s1, s2, s3], [i0, i1, i2, i3, i4, i5, i6, i7]) = (self.salt, iv);
        let mut mask = Array([s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7, 0, 0, 0, 1]);
        self.cipher.encrypt_block(&mut mask);
        tag.iter_mut().zip(mask).for_each(|(t, m)| *t ^= m);
        Icv::first::<ICV>(tag.into())
    }

    fn tag(&self, parts: &EspParts<'_>) -> Icv {
        let [a, b, c, d, e, f, g, h, ..] = parts.iv();
        self.mac([a, b, c, d, e, f, g, h], |absorb| {
            absorb(parts.aad().as_slice());
            absorb(parts.iv_and_body());
        })
    }
}

const ICV: usize = 16;

/// GHASH over pieces of any length, as if they were one string, padded with zeros.
struct GhashInput {
    hash: GHash,
    block: Array<u8, U16>,
    filled: usize,
    octets: u64,
}

impl GhashInput {
    fn absorb(&mut self, piece: &[u8]) {
        self.octets = self.octets.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let mut rest = piece;
        if self.filled > 0 {
            let free = self.block.get_mut(self.filled..).unwrap_or_else(excluded);
            let taken = free.len().min(rest.len());
            free.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.filled = self.filled.saturating_add(taken);
            rest = rest.get(taken..).unwrap_or_else(excluded);
            if self.filled < 16 {
                return;
            }
            self.hash.update(&[self.block]);
        }
        let (blocks, tail) = Array::slice_as_chunks(rest);
        self.hash.update(blocks);
        self.block = Array::default();
        self.block.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
        self.filled = tail.len();
    }

    //= RFC 4303 3.3.2.1/3
    //# MUST: implicit padding is zeros where the algorithm says nothing else
    fn finish(mut self) -> Array<u8, U16> {
        if self.filled > 0 {
            self.hash.update(&[self.block]);
        }
        // The last block contains the lengths in bits of the authenticated input and of the ciphertext, which is
        // empty.
        let [a, b, c, d, e, f, g, h] = self.octets.wrapping_mul(8).to_be_bytes();
        self.hash.update(&[Array([a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0])]);
        self.hash.finalize()
    }
}

impl<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> AhIntegrity for AesGmac<A> {
    fn iv_len(&self) -> usize {
        8
    }

    fn field_len(&self) -> usize {
        24
    }

    fn authenticate(&self, iv: [u8; 8], feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        self.mac(iv, feed)
    }
}

impl<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Suite for AesGmac<A> {
    fn layout(&self) -> Layout {
        layout!(8, 4, IcvLen::of::<ICV>(), Unique)
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        let tag = self.tag(parts);
        parts.set_icv(&tag);
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.tag(parts).verify(parts.icv())
    }
}

impl<A> Drop for AesGmac<A> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl<A> fmt::Debug for AesGmac<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesGmac(..)")
    }
}
