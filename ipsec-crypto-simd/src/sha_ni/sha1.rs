//! SHA-1 with the SHA instructions (RFC 3174 section 6.1).

use core::arch::x86_64::*;

use fearless_simd::{SimdBase, SimdFrom, kernel, u8x16, u32x4};

use super::words;
use crate::{KeyedText, Sha1};

kernel! {
    /// Computes the HMAC of the text, 20 octets with zeros after them.
    #[inline]
    pub fn hmac(simd: Avx512, text: KeyedText<'_, 5>, mac: &mut [u8; 32]) {
        let places = u8x16::load_array(simd, PLACES).into();
        let mut end = [[0; 64]; 2];
        let (whole, last) = text.blocks::<Sha1>(&mut end);
        let mut inner = load(text.inner);
        for blocks in [whole, last] {
            for block in blocks {
                inner = compress(inner, words(simd, block, places));
            }
        }
        let [first, second] = inner;
        let (end, bits) = (_mm_set_epi32(0, i32::MIN, 0, 0), _mm_set_epi32(0, 0, 0, (64 + 20) * 8));
        let block = [first, _mm_or_si128(second, end), _mm_setzero_si128(), bits];
        let outer = compress(load(text.outer), block);
        let (halves, _) = mac.as_chunks_mut();
        for (to, half) in halves.iter_mut().zip(outer) {
            *to = u8x16::simd_from(simd, _mm_shuffle_epi8(half, places)).to_array();
        }
    }
}

kernel! {
    /// Compresses consecutive blocks of one text.
    #[inline]
    pub fn compress_all(simd: Avx512, state: &mut [u32; 5], blocks: &[[u8; 64]]) {
        let places = u8x16::load_array(simd, PLACES).into();
        let mut words = load(state);
        for block in blocks {
            words = compress(words, super::words(simd, block, places));
        }
        let [dcba, e] = words;
        let [d, c, b, a] = u32x4::simd_from(simd, dcba).to_array();
        let [.., e] = u32x4::simd_from(simd, e).to_array();
        *state = [a, b, c, d, e];
    }
}

/// Order of octets that converts big-endian words, with the first word highest.
const PLACES: [u8; 16] = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];

/// State in the order of the instructions: words d, c, b, a; and e above zeros, the first lowest.
type State = [__m128i; 2];

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn load(state: &[u32; 5]) -> State {
    let [a, b, c, d, e] = state.map(u32::cast_signed);
    [_mm_set_epi32(a, b, c, d), _mm_set_epi32(e, 0, 0, 0)]
}

/// Ternary logic function that XORs three inputs.
const XOR: i32 = 0b1001_0110;

/// Compresses one block. From the ninth group of four rounds on, words depend on words that are far enough back to
/// compute four at once without the message instructions, which are slower: w(t) = (w(t-6) ^ w(t-16) ^ w(t-28) ^
/// w(t-32)) <<< 2, the recurrence of RFC 3174 section 6.1 applied twice.
#[inline]
#[target_feature(enable = "sha,avx512f,avx512vl")]
fn compress([dcba, e]: State, [w0, w1, w2, w3]: [__m128i; 4]) -> State {
    let (mut now, mut before) = (dcba, dcba);
    let mut w = [w0, w1, w2, w3, w0, w0, w0, w0];
    macro_rules! four_rounds {
        ($($t:literal)*) => {$(
            if $t >= 8 {
                let near = _mm_alignr_epi8::<8>(w[($t + 6) % 8], w[($t + 7) % 8]);
                let far = _mm_xor_si128(w[($t + 1) % 8], w[$t % 8]);
                let all = _mm_ternarylogic_epi32::<XOR>(near, w[($t + 4) % 8], far);
                w[$t % 8] = _mm_rol_epi32::<2>(all);
            } else if $t >= 4 {
                let early = _mm_xor_si128(_mm_sha1msg1_epu32(w[($t + 4) % 8], w[($t + 5) % 8]), w[($t + 6) % 8]);
                w[$t % 8] = _mm_sha1msg2_epu32(early, w[($t + 7) % 8]);
            }
            let added = if $t == 0 { _mm_add_epi32(e, w[0]) } else { _mm_sha1nexte_epu32(before, w[$t % 8]) };
            (before, now) = (now, _mm_sha1rnds4_epu32::<{ $t / 5 }>(now, added));
        )*};
    }
    four_rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    [_mm_add_epi32(dcba, now), _mm_sha1nexte_epu32(before, e)]
}
