use core::{fmt, slice};

use heapless::Vec;
use zeroize::Zeroize;

use crate::append::{append, excluded};
use crate::hash::{Hash, KeyedInput};
use crate::hash_blocks::{blocks, write_length};
use crate::internal::Internal;
use crate::suite::BATCH;
use crate::{Icv, IcvInput, IcvLen, Integrity, KeyError, KeyLengths};

/// HMAC (RFC 2104) truncated to `ICV` octets, with a key of `KEY` octets.
///
/// The two blocks of key are hashed when the key is set; only the states of the hash `H` after them are kept.
pub struct HmacIntegrity<H: Hash, const ICV: usize, const KEY: usize> {
    inner: H::State,
    outer: H::State,
}

/// HMAC-MD5 truncated to 96 bits (RFC 2403). **Legacy**.
#[cfg(feature = "hmac-md5")]
pub type HmacMd5_96 = HmacIntegrity<crate::Md5, 12, 16>;
/// HMAC-SHA1 truncated to 96 bits (RFC 2404), which RFC 8221 rates MUST-.
#[cfg(feature = "hmac-sha1")]
pub type HmacSha1_96 = HmacIntegrity<crate::Sha1, 12, 20>;
/// HMAC-SHA2-256 truncated to 96 bits (draft-ietf-ipsec-ciph-sha-256-00). **Legacy**: KAME, and Linux by default.
#[cfg(feature = "hmac-sha2-256-96")]
pub type HmacSha2_256_96 = HmacIntegrity<crate::Sha256, 12, 32>;
/// HMAC-SHA2-256 truncated to 128 bits (RFC 4868).
#[cfg(feature = "hmac-sha2-256")]
pub type HmacSha2_256_128 = HmacIntegrity<crate::Sha256, 16, 32>;
/// HMAC-SHA2-384 truncated to 192 bits (RFC 4868).
#[cfg(feature = "hmac-sha2-384")]
pub type HmacSha2_384_192 = HmacIntegrity<crate::Sha384, 24, 48>;
/// HMAC-SHA2-512 truncated to 256 bits (RFC 4868).
#[cfg(feature = "hmac-sha2-512")]
pub type HmacSha2_512_256 = HmacIntegrity<crate::Sha512, 32, 64>;
/// HMAC-RIPEMD-160 truncated to 96 bits (RFC 2857). **Legacy**.
#[cfg(feature = "hmac-ripemd160")]
pub type HmacRipemd160_96 = HmacIntegrity<crate::Ripemd160, 12, 20>;

impl<H: Hash, const ICV: usize, const KEY: usize> HmacIntegrity<H, ICV, KEY> {
    /// Length of the ICV, at most that of the hash value.
    const LEN: IcvLen = {
        assert!(ICV <= H::OUTPUT, "the hash value is shorter");
        IcvLen::of::<ICV>()
    };

    /// Creates the algorithm from a key of the length that its RFC specifies.
    pub fn new(key: &[u8; KEY]) -> Self {
        Self::of(key)
    }

    /// Creates the algorithm from a key of any length except 0. HMAC allows it, although the RFCs of ESP fix the
    /// length (RFC 2403 section 3, RFC 2404 section 3, RFC 4868 section 2.1.1).
    ///
    /// # Errors
    /// [`KeyError::Length`] for an empty key.
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        KeyLengths::HMAC.check(key)?;
        Ok(Self::of(key))
    }

    /// Pads the key with zeros to a block, or hashes it first if it is longer (RFC 2104 section 2).
    fn of(key: &[u8]) -> Self {
        let mut block = H::ZERO;
        if key.len() > block.as_ref().len() {
            let mut hash = Running::<H>::from(H::START);
            hash.absorb(key);
            H::write(hash.finish(0), block.as_mut().get_mut(..H::OUTPUT).unwrap_or_else(excluded));
            hash.state.zeroize();
            hash.begun.zeroize();
        } else {
            append(block.as_mut(), key);
        }
        let behind = |pad: u8| {
            let (mut state, mut padded) = (H::START, block);
            padded.as_mut().iter_mut().for_each(|octet| *octet ^= pad);
            H::compress(&mut state, slice::from_ref(&padded));
            padded.zeroize();
            state
        };
        let keyed = Self { inner: behind(0x36), outer: behind(0x5c) };
        block.zeroize();
        keyed
    }

    /// Computes the outer hash over a block of key and the inner hash value.
    #[cfg_attr(not(ipsec_small), inline(always))]
    #[cfg_attr(ipsec_small, inline(never))] // its stack is not in use while the text is hashed
    fn finish(&self, mut inner: Running<H>) -> Icv {
        self.around(inner.finish(1))
    }

    #[inline(always)]
    fn around(&self, inner: &H::State) -> Icv {
        let mut outer = Running::<H>::from(self.outer);
        (outer.filled, outer.hashed) = (H::OUTPUT, H::OUTPUT);
        H::write(inner, outer.begun.as_mut().get_mut(..H::OUTPUT).unwrap_or_else(excluded));
        Icv::of::<H>(outer.finish(1), Self::LEN)
    }
}

impl<H: Hash, const ICV: usize, const KEY: usize> Integrity for HmacIntegrity<H, ICV, KEY> {
    fn icv_len(&self) -> IcvLen {
        Self::LEN
    }

    fn compute_over(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        let mut hash = Running::from(self.inner);
        feed(&mut |piece| hash.absorb(piece));
        self.finish(hash)
    }

    /// Prepares the last blocks before it hashes the first: octets that were just written are slow to read in units of
    /// another size.
    fn compute_input(&self, text: IcvInput<'_>, _: Internal) -> Icv {
        if cfg!(ipsec_small) {
            return self.compute(&text.segments());
        }
        let (mut end, mut inner) = ([H::ZERO; 2], self.inner);
        let (whole, last) = blocks::<H>(text, &mut end);
        H::compress(&mut inner, whole);
        H::compress(&mut inner, last);
        self.around(&inner)
    }

    fn compute_received(&self, text: IcvInput<'_>, _: Internal) -> Icv {
        let keyed = KeyedInput { inner: &self.inner, outer: &self.outer, text };
        H::hmac(&keyed, Self::LEN).unwrap_or_else(|| self.compute_input(text, Internal))
    }

    fn min_batch(&self, _: Internal) -> usize {
        H::min_batch()
    }

    fn compute_batch(texts: &[(&Self, IcvInput<'_>)], tags: &mut [Icv], _: Internal) {
        for (texts, tags) in texts.chunks(BATCH).zip(tags.chunks_mut(BATCH)) {
            let mut keyed: Vec<KeyedInput<'_, H>, BATCH> = Vec::new();
            for (icv, text) in texts {
                let _ = keyed.push(KeyedInput { inner: &icv.inner, outer: &icv.outer, text: *text }); // there is room
            }
            if !H::hmac_batch(&keyed, tags, Self::LEN) {
                tags.iter_mut().zip(texts).for_each(|(tag, (icv, text))| *tag = icv.compute_input(*text, Internal));
            }
        }
    }
}

impl<H: Hash, const ICV: usize, const KEY: usize> Drop for HmacIntegrity<H, ICV, KEY> {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl<H: Hash, const ICV: usize, const KEY: usize> zeroize::ZeroizeOnDrop for HmacIntegrity<H, ICV, KEY> {}

impl<H: Hash, const ICV: usize, const KEY: usize> fmt::Debug for HmacIntegrity<H, ICV, KEY> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HmacIcv<{ICV}>(..)")
    }
}

/// Hash of a text that is passed in pieces.
struct Running<H: Hash> {
    state: H::State,
    /// Current block, filled from the front and zero after.
    begun: H::Block,
    filled: usize,
    hashed: usize,
}

impl<H: Hash> Running<H> {
    #[inline(always)]
    fn from(state: H::State) -> Self {
        Self { state, begun: H::ZERO, filled: 0, hashed: 0 }
    }

    #[inline(always)]
    fn absorb(&mut self, piece: &[u8]) {
        self.hashed = self.hashed.saturating_add(piece.len());
        let piece = if self.filled == 0 { piece } else { self.fill(piece) };
        let (blocks, rest) = H::blocks(piece);
        if !blocks.is_empty() {
            H::compress(&mut self.state, blocks);
        }
        if !rest.is_empty() {
            self.fill(rest);
        }
    }

    /// Fills the current block and returns the rest of the piece.
    #[inline(always)]
    fn fill<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        let free = self.begun.as_mut().get_mut(self.filled..).unwrap_or_else(excluded);
        let (now, later) = piece.split_at_checked(free.len()).unwrap_or((piece, &[]));
        self.filled = self.filled.saturating_add(now.len());
        if append(free, now).is_empty() {
            H::compress(&mut self.state, slice::from_ref(&self.begun));
            (self.begun, self.filled) = (H::ZERO, 0);
        }
        later
    }

    /// Adds padding and the length of the text and of the blocks before it (RFC 6234 section 4, RFC 1321 sections 3.1
    /// and 3.2).
    #[inline(always)]
    fn finish(&mut self, before: usize) -> &H::State {
        let block = self.begun.as_ref().len();
        self.begun.as_mut().iter_mut().skip(self.filled).take(1).for_each(|end| *end = 0x80);
        if self.filled >= block.saturating_sub(H::LENGTH) {
            H::compress(&mut self.state, slice::from_ref(&self.begun));
            self.begun = H::ZERO;
        }
        write_length::<H>(self.begun.as_mut(), self.hashed.saturating_add(before.saturating_mul(block)));
        H::compress(&mut self.state, slice::from_ref(&self.begun));
        &self.state
    }
}
