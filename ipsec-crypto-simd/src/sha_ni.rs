//! HMAC (RFC 2104) of one text with the SHA instructions of x86-64. The state stays in registers from the first block
//! to the ICV, and the outer hash takes its block from the registers of the inner hash.

use core::arch::x86_64::{__m128i, _mm_shuffle_epi8};

use fearless_simd::{Avx512, SimdBase, u8x16};

pub mod sha1;
pub mod sha256;

/// Loads a block into four registers, with its octets in the order of the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn words(simd: Avx512, block: &[u8; 64], places: __m128i) -> [__m128i; 4] {
    let (quarters, _) = block.as_chunks();
    let mut each = quarters.iter().map(|quarter| u8x16::load_array_ref(simd, quarter).into());
    core::array::from_fn(|_| each.next().map_or(places, |quarter| _mm_shuffle_epi8(quarter, places)))
}
