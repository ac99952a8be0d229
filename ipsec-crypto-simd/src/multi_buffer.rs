//! HMAC (RFC 2104) of sixteen packets at a time: each instruction processes the same word of all packets.

use fearless_simd::{Avx512, Simd, SimdBase, u32x16};
use heapless::Vec;
use words::columns;
use zeroize::Zeroize;

use crate::KeyedText;

mod md5;
mod sha1;
mod sha256;
mod words;

pub use md5::Md5;
pub use sha1::Sha1;
pub use sha256::Sha256;

/// Number of packets that are hashed together.
const LANES: usize = 16;
/// One word of each packet.
type Words = u32x16<Avx512>;
/// Length of a hash block in octets.
const BLOCK: usize = 64;

/// Hash with a state of `N` words and a multi-buffer compression function. Only types of this crate implement it.
pub trait MultiBufferHash<const N: usize>: Sealed {
    /// Set if words and the length after the padding are in network order.
    const BIG_ENDIAN: bool;

    /// Number of packets from which the multi-buffer implementation is faster.
    const MIN_BATCH: usize;

    /// Compresses one block of each lane.
    #[doc(hidden)]
    fn compress_lanes(simd: Avx512, state: [Words; N], block: [Words; 16]) -> [Words; N];
}

/// Prevents implementations of [`MultiBufferHash`] by other crates.
pub trait Sealed {}

/// Computes the HMAC of each text into its element of `hashes`, as words of the hash state. `compress` hashes blocks of
/// one text, for texts that are left over.
#[inline(always)]
pub fn hmac_batch<'t, H: MultiBufferHash<N>, const N: usize>(
    simd: Avx512,
    texts: impl ExactSizeIterator<Item = KeyedText<'t, N>> + Clone,
    hashes: &mut [[u32; N]],
    compress: impl Fn(&mut [u32; N], &[[u8; BLOCK]]),
) {
    simd.vectorize(
        #[inline(always)]
        || hmac_multi_buffer::<H, N>(simd, texts, hashes, compress),
    );
}

#[inline(always)]
fn hmac_multi_buffer<'t, H: MultiBufferHash<N>, const N: usize>(
    simd: Avx512,
    mut texts: impl ExactSizeIterator<Item = KeyedText<'t, N>> + Clone,
    hashes: &mut [[u32; N]],
    compress: impl Fn(&mut [u32; N], &[[u8; BLOCK]]),
) {
    hashes.iter_mut().zip(texts.clone()).for_each(|(state, text)| *state = *text.inner);
    hash::<H, N>(simd, texts.clone(), hashes, compress);
    for hashes in hashes.chunks_mut(LANES).take(texts.len().div_ceil(LANES)) {
        outer_hash::<H, N>(simd, texts.by_ref(), hashes);
    }
}

/// Replaces at most [`LANES`] inner hashes by the outer hashes over them, each of a single block.
#[inline(always)]
fn outer_hash<'t, H: MultiBufferHash<N>, const N: usize>(
    simd: Avx512,
    texts: impl Iterator<Item = KeyedText<'t, N>>,
    hashed: &mut [[u32; N]],
) {
    let mut block = [Words::splat(simd, 0); 16];
    let bits = u32::try_from(BLOCK.saturating_add(N.saturating_mul(4)).saturating_mul(8)).unwrap_or_default();
    let ends = if H::BIG_ENDIAN { [(N, 1 << 31), (15, bits)] } else { [(N, 0x80), (14, bits)] };
    for (at, word) in ends {
        block.iter_mut().skip(at).take(1).for_each(|to| *to = Words::splat(simd, word));
    }
    let (mut hashes, mut states) = ([[0; LANES]; N], [[0; LANES]; N]);
    for (lane, (inner, keyed)) in hashed.iter().zip(texts).enumerate() {
        set(&mut hashes, lane, inner);
        set(&mut states, lane, keyed.outer);
    }
    block.iter_mut().zip(&hashes).for_each(|(to, words)| *to = Words::load_array_ref(simd, words));
    let outer = states.each_ref().map(|words| Words::load_array_ref(simd, words));
    let whole = compress::<H, N>(simd, outer, block);
    states.iter_mut().zip(whole).for_each(|(to, words)| words.store_array(to));
    hashed.iter_mut().enumerate().for_each(|(lane, to)| *to = get(&states, lane));
    hashes.zeroize();
    states.zeroize();
}

/// Hashes each text from its state on. A lane whose text ends takes the next text; the last few texts are hashed one
/// by one.
#[inline(always)]
fn hash<'t, H: MultiBufferHash<N>, const N: usize>(
    simd: Avx512,
    texts: impl Iterator<Item = KeyedText<'t, N>>,
    hashed: &mut [[u32; N]],
    compress_one: impl Fn(&mut [u32; N], &[[u8; BLOCK]]),
) {
    let mut waiting = texts.zip(hashed);
    let mut lanes: Vec<BatchItem<'_, N>, LANES> = Vec::new();
    let mut states = [[0; LANES]; N];
    loop {
        for (keyed, state) in waiting.by_ref().take(LANES.saturating_sub(lanes.len())) {
            let mut end = [[0; BLOCK]; 2];
            let (whole, last) = keyed.blocks::<H>(&mut end);
            let last = last.len();
            let _ = lanes.push(BatchItem { whole, end, last, at: 0, state }); // there is room
        }
        if lanes.len() < H::MIN_BATCH {
            break;
        }
        lanes.iter().enumerate().for_each(|(n, lane)| set(&mut states, n, lane.state));
        let mut state = states.each_ref().map(|words| Words::load_array_ref(simd, words));
        // All lanes advance as far as the shortest text.
        let steps = lanes.iter().map(BatchItem::left).min().unwrap_or_default();
        for step in 0..steps {
            let mut blocks = [&[0; BLOCK]; LANES];
            blocks.iter_mut().zip(&lanes).for_each(|(to, lane)| *to = lane.get(step).unwrap_or(&[0; BLOCK]));
            state = compress::<H, N>(simd, state, columns(simd, &blocks, H::BIG_ENDIAN));
        }
        states.iter_mut().zip(state).for_each(|(to, words)| words.store_array(to));
        for (n, lane) in lanes.iter_mut().enumerate() {
            *lane.state = get(&states, n);
            lane.at = lane.at.saturating_add(steps);
        }
        lanes.retain(|lane| lane.left() > 0);
    }
    states.zeroize();
    lanes.iter_mut().for_each(|lane| lane.finish(&compress_one));
}

/// Text in a lane.
struct BatchItem<'t, const N: usize> {
    whole: &'t [[u8; BLOCK]],
    end: [[u8; BLOCK]; 2],
    /// Number of padding blocks that are needed.
    last: usize,
    at: usize,
    state: &'t mut [u32; N],
}

impl<const N: usize> BatchItem<'_, N> {
    #[inline(always)]
    fn left(&self) -> usize {
        self.whole.len().saturating_add(self.last).saturating_sub(self.at)
    }

    #[inline(always)]
    fn end(&self) -> &[[u8; BLOCK]] {
        self.end.get(self.end.len().saturating_sub(self.last)..).unwrap_or_default()
    }

    #[inline(always)]
    fn get(&self, step: usize) -> Option<&[u8; BLOCK]> {
        let at = self.at.saturating_add(step);
        match at.checked_sub(self.whole.len()) {
            None => self.whole.get(at),
            Some(beyond) => self.end().get(beyond),
        }
    }

    /// Hashes the rest of the text with the single-buffer implementation.
    #[inline(always)]
    fn finish(&mut self, compress: impl Fn(&mut [u32; N], &[[u8; BLOCK]])) {
        let beyond = self.at.saturating_sub(self.whole.len());
        let end = self.end.get(self.end.len().saturating_sub(self.last).saturating_add(beyond)..);
        compress(self.state, self.whole.get(self.at..).unwrap_or_default());
        compress(self.state, end.unwrap_or_default());
    }
}

/// Compresses a block of each lane. The function is separate, so that the code exists once.
#[inline(always)]
fn compress<H: MultiBufferHash<N>, const N: usize>(simd: Avx512, state: [Words; N], block: [Words; 16]) -> [Words; N] {
    simd.vectorize(
        #[inline(always)]
        || H::compress_lanes(simd, state, block),
    )
}

/// Returns the words of one lane.
#[inline(always)]
fn get<const N: usize>(states: &[[u32; LANES]; N], lane: usize) -> [u32; N] {
    states.each_ref().map(|words| words.get(lane).copied().unwrap_or_default())
}

#[inline(always)]
fn set<const N: usize>(states: &mut [[u32; LANES]; N], lane: usize, state: &[u32; N]) {
    for (words, word) in states.iter_mut().zip(state) {
        words.iter_mut().skip(lane).take(1).for_each(|to| *to = *word);
    }
}
