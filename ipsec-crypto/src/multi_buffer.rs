//! HMAC (RFC 2104) of sixteen packets at a time: each instruction processes the same word of all packets.

use fearless_simd::{Avx512, Level, Simd, SimdBase, u32x16};
use heapless::Vec;

use crate::Icv;
use crate::hash::{Hash, KeyedInput};
use crate::hash_blocks::blocks;
use crate::suite::BATCH;
use words::columns;
use zeroize::Zeroize;

#[cfg(feature = "hmac-md5")]
mod md5;
#[cfg(feature = "hmac-sha1")]
mod sha1;
#[cfg(feature = "hmac-sha2-256")]
mod sha256;
mod words;

/// Number of packets that are hashed together.
const LANES: usize = 16;
/// One word of each packet.
type Words = u32x16<Avx512>;
/// Length of a hash block in octets.
const BLOCK: usize = 64;
/// Hash with a state of `N` words and a multi-buffer compression function.
pub(crate) trait MultiBufferHash<const N: usize>: Hash<State = [u32; N], Block = [u8; BLOCK]> {
    /// Number of packets from which the multi-buffer implementation is faster.
    const MIN_BATCH: usize;

    /// Compresses one block of each lane.
    fn compress_lanes(simd: Avx512, state: [Words; N], block: [Words; 16]) -> [Words; N];
}

/// Returns the number of packets from which the multi-buffer implementation is faster, on this machine.
pub(crate) fn min_batch<H: MultiBufferHash<N>, const N: usize>() -> usize {
    if Level::new().as_avx512().is_some() { H::MIN_BATCH } else { usize::MAX }
}

/// Computes the first `len` octets of the HMAC of at most [`BATCH`] texts, from the states behind the two blocks of
/// their keys. Returns false if there are too few texts, or the machine lacks the instructions.
pub(crate) fn hmac_batch<H: MultiBufferHash<N>, const N: usize>(
    texts: &[KeyedInput<'_, H>],
    tags: &mut [Icv],
    len: crate::IcvLen,
) -> bool {
    let Some(simd) = Level::new().as_avx512().filter(|_| texts.len() >= H::MIN_BATCH) else { return false };
    simd.vectorize(
        #[inline(always)]
        || hmac_multi_buffer::<H, N>(simd, texts, tags, len),
    );
    true
}

#[inline(always)]
fn hmac_multi_buffer<H: MultiBufferHash<N>, const N: usize>(
    simd: Avx512,
    texts: &[KeyedInput<'_, H>],
    tags: &mut [Icv],
    len: crate::IcvLen,
) {
    let mut hashed = [[0; N]; BATCH];
    hashed.iter_mut().zip(texts).for_each(|(state, keyed)| *state = *keyed.inner);
    hash::<H, N>(simd, texts, &mut hashed);
    for ((texts, hashed), tags) in texts.chunks(LANES).zip(hashed.chunks(LANES)).zip(tags.chunks_mut(LANES)) {
        let whole = outer_hash::<H, N>(simd, texts, hashed);
        tags.iter_mut().zip(texts).zip(whole).for_each(|((tag, _), words)| *tag = Icv::of::<H>(&words, len));
    }
    hashed.zeroize();
}

/// Computes the outer hashes over the inner ones, each of a single block.
#[inline(always)]
fn outer_hash<H: MultiBufferHash<N>, const N: usize>(
    simd: Avx512,
    texts: &[KeyedInput<'_, H>],
    inner: &[[u32; N]],
) -> [[u32; N]; LANES] {
    let mut block = [Words::splat(simd, 0); 16];
    let bits = u32::try_from(BLOCK.saturating_add(H::OUTPUT).saturating_mul(8)).unwrap_or_default();
    let ends = if H::BIG_ENDIAN { [(N, 1 << 31), (15, bits)] } else { [(N, 0x80), (14, bits)] };
    for (at, word) in ends {
        block.iter_mut().skip(at).take(1).for_each(|to| *to = Words::splat(simd, word));
    }
    let (mut hashes, mut states) = ([[0; LANES]; N], [[0; LANES]; N]);
    for (lane, (inner, keyed)) in inner.iter().zip(texts).enumerate() {
        set(&mut hashes, lane, inner);
        set(&mut states, lane, keyed.outer);
    }
    block.iter_mut().zip(&hashes).for_each(|(to, words)| *to = Words::load_array_ref(simd, words));
    let outer = states.each_ref().map(|words| Words::load_array_ref(simd, words));
    let whole = compress::<H, N>(simd, outer, block);
    states.iter_mut().zip(whole).for_each(|(to, words)| words.store_array(to));
    let each = core::array::from_fn(|lane| get(&states, lane));
    hashes.zeroize();
    states.zeroize();
    each
}

/// Hashes each text from its state on. A lane whose text ends takes the next text; the last few texts are hashed one
/// by one.
#[inline(always)]
fn hash<H: MultiBufferHash<N>, const N: usize>(simd: Avx512, texts: &[KeyedInput<'_, H>], hashed: &mut [[u32; N]]) {
    let mut waiting = texts.iter().zip(hashed);
    let mut lanes: Vec<BatchItem<'_, H>, LANES> = Vec::new();
    let mut states = [[0; LANES]; N];
    loop {
        for (keyed, state) in waiting.by_ref().take(LANES.saturating_sub(lanes.len())) {
            let mut end = [H::ZERO; 2];
            let (whole, last) = blocks::<H>(keyed.text, &mut end);
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
    lanes.iter_mut().for_each(BatchItem::finish);
}

/// Text in a lane.
struct BatchItem<'t, H: Hash> {
    whole: &'t [H::Block],
    end: [H::Block; 2],
    /// Number of padding blocks that are needed.
    last: usize,
    at: usize,
    state: &'t mut H::State,
}

impl<H: Hash> BatchItem<'_, H> {
    #[inline(always)]
    fn left(&self) -> usize {
        self.whole.len().saturating_add(self.last).saturating_sub(self.at)
    }

    #[inline(always)]
    fn end(&self) -> &[H::Block] {
        self.end.get(self.end.len().saturating_sub(self.last)..).unwrap_or_default()
    }

    #[inline(always)]
    fn get(&self, step: usize) -> Option<&H::Block> {
        let at = self.at.saturating_add(step);
        match at.checked_sub(self.whole.len()) {
            None => self.whole.get(at),
            Some(beyond) => self.end().get(beyond),
        }
    }

    /// Hashes the rest of the text with the single-buffer implementation.
    fn finish(&mut self) {
        let beyond = self.at.saturating_sub(self.whole.len());
        let end = self.end.get(self.end.len().saturating_sub(self.last).saturating_add(beyond)..);
        H::compress(self.state, self.whole.get(self.at..).unwrap_or_default());
        H::compress(self.state, end.unwrap_or_default());
    }
}

/// A separate function keeps one copy of the code.
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
