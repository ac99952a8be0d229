//! Key stream of counter mode in registers of four blocks, beside other work, and the texts that it is XORed to.

use core::arch::x86_64::*;

use fearless_simd::{Avx512, SimdBase, SimdFrom, u8x64};

use super::ghash::{load_partial_block, reversed};
use super::{BLOCKS_PER_REGISTER, Schedule, load};

/// Length of a register in octets.
pub(super) const REGISTER: usize = 16 * BLOCKS_PER_REGISTER;

#[inline]
#[target_feature(enable = "aes")]
pub(super) fn encrypt_block(keys: &Schedule, block: __m128i) -> __m128i {
    let mut state = _mm_xor_si128(block, keys.first);
    for key in keys.middle() {
        state = _mm_aesenc_si128(state, *key);
    }
    _mm_aesenclast_si128(state, keys.last)
}

/// Computes the key stream of `N` registers, and calls `beside` with the numbers 0 to 3 between the rounds.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
pub(super) fn key_stream<const N: usize>(
    keys: &Schedule,
    counters: &mut __m512i,
    mut beside: impl FnMut(usize),
) -> [__m512i; N] {
    let order = _mm512_broadcast_i32x4(reversed());
    let further = _mm512_broadcast_i32x4(_mm_setr_epi32(4, 0, 0, 0));
    let first = _mm512_broadcast_i32x4(keys.first);
    let mut states = [_mm512_setzero_si512(); N];
    for state in &mut states {
        *state = _mm512_xor_si512(_mm512_shuffle_epi8(*counters, order), first);
        *counters = _mm512_add_epi32(*counters, further);
    }
    // Every key size has these rounds, which are not a loop.
    let [a, b, c, d, e, f, g, h, others @ ..] = &keys.middle;
    round(&mut states, a);
    beside(0);
    round(&mut states, b);
    round(&mut states, c);
    beside(1);
    round(&mut states, d);
    round(&mut states, e);
    beside(2);
    round(&mut states, f);
    round(&mut states, g);
    beside(3);
    round(&mut states, h);
    for key in others.iter().take(keys.between.saturating_sub(8)) {
        round(&mut states, key);
    }
    let last = _mm512_broadcast_i32x4(keys.last);
    states.iter_mut().for_each(|state| *state = _mm512_aesenclast_epi128(*state, last));
    states
}

#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn round<const N: usize>(states: &mut [__m512i; N], key: &__m128i) {
    let key = _mm512_broadcast_i32x4(*key);
    for state in states {
        *state = _mm512_aesenc_epi128(*state, key);
    }
}

/// XORs key stream to a text that is not longer, and returns the text then, with zeros after its end.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn apply<const N: usize>(simd: Avx512, mut stream: [__m512i; N], text: &mut [u8]) -> [__m512i; N] {
    let (registers, partial) = text.as_chunks_mut::<REGISTER>();
    let mut each = stream.iter_mut();
    for (text, stream) in registers.iter_mut().zip(&mut each) {
        *stream = _mm512_xor_si512(u8x64::load_array_ref(simd, text).into(), *stream);
        *text = u8x64::simd_from(simd, *stream).to_array();
    }
    if let Some(stream) = each.next().filter(|_| !partial.is_empty()) {
        let result = _mm512_xor_si512(load_partial(simd, partial), *stream);
        store_partial(simd, result, partial);
        *stream = cut(result, partial.len());
    }
    stream
}

/// Replaces all octets of a register after the first ones by zeros. There is at least one octet.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn cut(register: __m512i, octets: usize) -> __m512i {
    _mm512_maskz_mov_epi8(u64::MAX >> REGISTER.saturating_sub(octets).min(63), register)
}

/// Loads less than a register, padded with zeros. The blocks meet in a register, as those of [`load_partial_block`].
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_partial(simd: Avx512, octets: &[u8]) -> __m512i {
    let (blocks, rest) = octets.as_chunks();
    let block = |n: usize| match blocks.get(n) {
        Some(block) => load(simd, block),
        None if n == blocks.len() => load_partial_block(rest),
        None => _mm_setzero_si128(),
    };
    let low = _mm512_inserti32x4(_mm512_zextsi128_si512(block(0)), block(1), 1);
    _mm512_inserti32x4(_mm512_inserti32x4(low, block(2), 2), block(3), 3)
}

/// Stores the first octets of a register, in words of 4 octets, of which an ESP body consists.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_partial(simd: Avx512, register: __m512i, to: &mut [u8]) {
    let all = u8x64::simd_from(simd, register).to_array();
    let ((words, rest), (from, _)) = (to.as_chunks_mut::<4>(), all.as_chunks::<4>());
    let beyond = all.iter().skip(words.len().saturating_mul(4));
    rest.iter_mut().zip(beyond).for_each(|(to, from)| *to = *from);
    words.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
