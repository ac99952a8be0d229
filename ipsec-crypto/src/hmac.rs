use core::fmt;

use ::hmac::block_api::HmacCore;
use ::hmac::digest::Output;
use ::hmac::digest::block_api::{Buffer, EagerHash, FixedOutputCore, UpdateCore};
use cipher::{Key, KeyInit};

use crate::{Icv, KeyError, KeyLengths, Tag};

/// HMAC (RFC 2104) truncated to `ICV` octets, with a key of `KEY` octets.
///
/// The two blocks of key are hashed once, when it is set: what is kept is what the hash `H` remembers behind each.
pub struct HmacIcv<H: EagerHash, const ICV: usize, const KEY: usize> {
    keyed: HmacCore<H>,
}

/// HMAC-MD5-96 (RFC 2403). **Legacy**.
#[cfg(feature = "hmac-md5")]
pub type HmacMd5_96 = HmacIcv<md5::Md5, 12, 16>;
/// HMAC-SHA1-96 (RFC 2404). **Legacy**, but unbroken.
#[cfg(feature = "hmac-sha1")]
pub type HmacSha1_96 = HmacIcv<sha1::Sha1, 12, 20>;
/// HMAC-SHA2-256 truncated to 96 bits, as in draft-ietf-ipsec-ciph-sha-256-00. **Legacy**: KAME, and Linux by default.
#[cfg(feature = "hmac-sha2-256")]
pub type HmacSha2_256_96 = HmacIcv<sha2::Sha256, 12, 32>;
/// HMAC-SHA2-256-128 (RFC 4868).
#[cfg(feature = "hmac-sha2-256")]
pub type HmacSha2_256_128 = HmacIcv<sha2::Sha256, 16, 32>;
/// HMAC-SHA2-384-192 (RFC 4868).
#[cfg(feature = "hmac-sha2-384")]
pub type HmacSha2_384_192 = HmacIcv<sha2::Sha384, 24, 48>;
/// HMAC-SHA2-512-256 (RFC 4868).
#[cfg(feature = "hmac-sha2-512")]
pub type HmacSha2_512_256 = HmacIcv<sha2::Sha512, 32, 64>;
/// HMAC-RIPEMD-160-96 (RFC 2857). **Legacy**.
#[cfg(feature = "hmac-ripemd160")]
pub type HmacRipemd160_96 = HmacIcv<ripemd::Ripemd160, 12, 20>;

impl<H: EagerHash, const ICV: usize, const KEY: usize> HmacIcv<H, ICV, KEY> {
    /// From a key of the length the RFC asks for.
    pub fn new(key: &[u8; KEY]) -> Self {
        // HMAC pads a key to the block of its hash with zeros (RFC 2104 2), and every standard key is shorter than that.
        let mut block = Key::<HmacCore<H>>::default();
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let keyed = HmacCore::new(&block);
        zeroize::Zeroize::zeroize(block.as_mut_slice());
        Self { keyed }
    }

    /// From a key of any length but 0, which HMAC allows though the RFCs fix it (RFC 2403 3, 2404 3, 4868 2.1.1).
    ///
    /// # Errors
    /// [`KeyError::Length`] for an empty key.
    pub fn from_slice(key: &[u8]) -> Result<Self, KeyError> {
        KeyLengths::HMAC.check(key)?;
        let keyed = HmacCore::new_from_slice(key).map_err(|_| KeyError::length(KeyLengths::HMAC, key))?;
        Ok(Self { keyed })
    }
}

impl<H: EagerHash, const ICV: usize, const KEY: usize> Icv for HmacIcv<H, ICV, KEY> {
    fn icv_len(&self) -> usize {
        ICV
    }

    fn compute_over(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Tag {
        let (mut mac, mut begun) = (self.keyed.clone(), Buffer::<HmacCore<H>>::default());
        feed(&mut |piece| begun.digest_blocks(piece, |blocks| mac.update_blocks(blocks)));
        finish(&mut mac, &mut begun, ICV)
    }
}

#[cfg_attr(not(feature = "small"), inline(always))]
#[cfg_attr(feature = "small", inline(never))] // its stack is not in use while the text is hashed
fn finish<H: EagerHash>(mac: &mut HmacCore<H>, begun: &mut Buffer<HmacCore<H>>, len: usize) -> Tag {
    let mut whole = Output::<HmacCore<H>>::default();
    mac.finalize_fixed_core(begun, &mut whole);
    Tag::truncated(&whole, len)
}

impl<H: EagerHash, const ICV: usize, const KEY: usize> fmt::Debug for HmacIcv<H, ICV, KEY> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HmacIcv<{ICV}>(..)")
    }
}
