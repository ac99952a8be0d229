//! SHA-256 with the SHA instructions (RFC 6234 section 6.2).

use core::arch::x86_64::*;

use fearless_simd::{Avx512, SimdBase, SimdFrom, kernel, u8x16, u32x4};

use super::words;
use crate::{KeyedText, Sha256};

kernel! {
    /// Computes the HMAC of the text.
    #[inline]
    pub fn hmac(simd: Avx512, text: KeyedText<'_, 8>, mac: &mut [u8; 32]) {
        let places = u8x16::load_array(simd, PLACES).into();
        let mut end = [[0; 64]; 2];
        let (whole, last) = text.blocks::<Sha256>(&mut end);
        let mut inner = load(simd, text.inner);
        for blocks in [whole, last] {
            for block in blocks {
                inner = compress(simd, inner, words(simd, block, places));
            }
        }
        let [first, second] = in_order(inner);
        let (end, bits) = (_mm_set_epi32(0, 0, 0, i32::MIN), _mm_set_epi32((64 + 32) * 8, 0, 0, 0));
        let outer = compress(simd, load(simd, text.outer), [first, second, end, bits]);
        let (halves, _) = mac.as_chunks_mut();
        for (to, half) in halves.iter_mut().zip(in_order(outer)) {
            *to = u8x16::simd_from(simd, _mm_shuffle_epi8(half, places)).to_array();
        }
    }
}

/// Order of octets that converts big-endian words.
const PLACES: [u8; 16] = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];

/// State in the order of the instructions: words f, e, b, a and h, g, d, c, the first lowest.
type State = [__m128i; 2];

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn load(simd: Avx512, [a, b, c, d, e, f, g, h]: &[u32; 8]) -> State {
    [[*f, *e, *b, *a], [*h, *g, *d, *c]].map(|words| u32x4::load_array(simd, words).into())
}

/// Returns the words a, b, c, d and e, f, g, h.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn in_order([feba, hgdc]: State) -> [__m128i; 2] {
    [_mm_unpackhi_epi64(feba, hgdc), _mm_unpacklo_epi64(feba, hgdc)]
        .map(|pairs| _mm_shuffle_epi32::<0b10_11_00_01>(pairs))
}

#[inline]
#[target_feature(enable = "sha,avx512f,avx512vl,avx512bw")]
fn compress(simd: Avx512, [feba, hgdc]: State, mut w: [__m128i; 4]) -> State {
    let (mut now, mut other) = (feba, hgdc);
    macro_rules! four_rounds {
        ($($t:literal)*) => {$(
            if $t >= 4 {
                let between = _mm_alignr_epi8::<4>(w[($t + 3) % 4], w[($t + 2) % 4]);
                let early = _mm_add_epi32(_mm_sha256msg1_epu32(w[$t % 4], w[($t + 1) % 4]), between);
                w[$t % 4] = _mm_sha256msg2_epu32(early, w[($t + 3) % 4]);
            }
            let added = _mm_add_epi32(w[$t % 4], u32x4::load_array_ref(simd, &K[$t]).into());
            other = _mm_sha256rnds2_epu32(other, now, added);
            now = _mm_sha256rnds2_epu32(now, other, _mm_shuffle_epi32::<0b11_10>(added));
        )*};
    }
    four_rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    [_mm_add_epi32(feba, now), _mm_add_epi32(hgdc, other)]
}

/// Round constants (RFC 6234 section 5.1).
#[rustfmt::skip]
pub(crate) static K: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5], [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3], [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc], [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7], [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13], [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3], [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5], [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208], [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];
