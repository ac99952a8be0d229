//! Counter mode (RFC 3686 section 4) with the key stream of sixteen blocks at a time.

use core::arch::x86_64::*;

use fearless_simd::{Avx512, SimdBase, SimdFrom, kernel, u8x64};

use super::{BLOCKS, BLOCKS_PER_REGISTER, REGISTERS, Schedule, Vaes, load};

impl Vaes {
    /// XORs the key stream to a body of less than 2^32 blocks. The block counter begins at 1 (RFC 3686 section 4).
    #[inline]
    pub fn apply_stream(&self, nonce: [u8; 12], body: &mut [u8]) {
        apply_stream(self.simd, &self.encrypt, nonce, body);
    }
}

kernel! {
    pub(super) fn apply_stream(simd: Avx512, keys: &Schedule, nonce: [u8; 12], body: &mut [u8]) {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = nonce;
        let zero = load(simd, &[a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]);
        let first = _mm512_setr_epi32(0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4);
        let mut counters = _mm512_add_epi32(_mm512_broadcast_i32x4(zero), first);
        let (groups, rest) = body.as_chunks_mut::<{ 16 * BLOCKS }>();
        for group in groups {
            counters = apply_some::<REGISTERS>(simd, keys, counters, group);
        }
        // The rest is seldom longer than half of a group, and often the whole body.
        if rest.len() > 16 * BLOCKS / 2 {
            apply_some::<REGISTERS>(simd, keys, counters, rest);
        } else if !rest.is_empty() {
            apply_some::<{ REGISTERS / 2 }>(simd, keys, counters, rest);
        }
    }
}

/// Processes as many octets as fit into `N` registers, and returns the next counters.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn apply_some<const N: usize>(simd: Avx512, keys: &Schedule, mut counters: __m512i, text: &mut [u8]) -> __m512i {
    // The block counter is the last word. It is in network order for the encryption only.
    let ordered = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12));
    let further = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4));
    let mut stream = [_mm512_setzero_si512(); N];
    for blocks in &mut stream {
        *blocks = _mm512_shuffle_epi8(counters, ordered);
        counters = _mm512_add_epi32(counters, further);
    }
    encrypt_all(keys, &mut stream);
    let (fours, some) = text.as_chunks_mut::<{ 16 * BLOCKS_PER_REGISTER }>();
    let mut stream = stream.into_iter();
    for (four, stream) in fours.iter_mut().zip(&mut stream) {
        let text = u8x64::load_array_ref(simd, four).into();
        *four = u8x64::simd_from(simd, _mm512_xor_si512(text, stream)).to_array();
    }
    if let Some(stream) = stream.next().filter(|_| !some.is_empty()) {
        let octets = u8x64::simd_from(simd, stream).to_array();
        // The text is processed by words of 4 octets, as the length of an ESP body is a multiple of 4.
        let ((words, rest), (stream, _)) = (some.as_chunks_mut::<4>(), octets.as_chunks::<4>());
        let beyond = octets.iter().skip(words.len().saturating_mul(4));
        rest.iter_mut().zip(beyond).for_each(|(text, octet)| *text ^= octet);
        for (text, stream) in words.iter_mut().zip(stream) {
            *text = (u32::from_ne_bytes(*text) ^ u32::from_ne_bytes(*stream)).to_ne_bytes();
        }
    }
    counters
}

#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn encrypt_all<const N: usize>(keys: &Schedule, states: &mut [__m512i; N]) {
    let first = _mm512_broadcast_i32x4(keys.first);
    states.iter_mut().for_each(|state| *state = _mm512_xor_si512(*state, first));
    for key in keys.middle() {
        let key = _mm512_broadcast_i32x4(*key);
        states.iter_mut().for_each(|state| *state = _mm512_aesenc_epi128(*state, key));
    }
    let last = _mm512_broadcast_i32x4(keys.last);
    states.iter_mut().for_each(|state| *state = _mm512_aesenclast_epi128(*state, last));
}
