//! Adapter between HMAC of this crate and the vector code of `ipsec-crypto-simd`.

use ipsec_crypto_simd::{KeyedText, MultiBufferHash, available};
use zeroize::Zeroize;

use crate::hash::{Hash, KeyedInput};
use crate::suite::BATCH;
use crate::{Icv, IcvLen};

impl<H: Hash<State = [u32; N]>, const N: usize> KeyedInput<'_, H> {
    /// Returns the text as an argument of the vector code.
    #[inline(always)]
    pub(crate) fn for_simd(&self) -> KeyedText<'_, N> {
        KeyedText { inner: self.inner, outer: self.outer, octets: self.text.octets(), high: self.text.high() }
    }
}

/// Returns the number of packets from which the multi-buffer implementation is faster, on this machine.
pub(crate) fn min_batch<M: MultiBufferHash<N>, const N: usize>() -> usize {
    available().map_or(usize::MAX, |_| M::MIN_BATCH)
}

/// Computes the first `len` octets of the HMAC of at most [`BATCH`] texts, from the states after the two blocks of
/// their keys. Returns false if there are too few texts, or the machine lacks the instructions.
pub(crate) fn hmac_batch<H, M, const N: usize>(texts: &[KeyedInput<'_, H>], tags: &mut [Icv], len: IcvLen) -> bool
where
    H: Hash<State = [u32; N], Block = [u8; 64]>,
    M: MultiBufferHash<N>,
{
    let Some(simd) = available().filter(|_| texts.len() >= M::MIN_BATCH) else { return false };
    let mut hashes = [[0; N]; BATCH];
    ipsec_crypto_simd::hmac_batch::<M, N>(simd, texts.iter().map(KeyedInput::for_simd), &mut hashes, H::compress);
    let each = tags.iter_mut().zip(texts).zip(&hashes);
    each.for_each(|((tag, _), words)| *tag = Icv::of::<H>(words, len));
    hashes.zeroize();
    true
}
