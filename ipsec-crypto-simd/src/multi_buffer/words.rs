//! Transposition of blocks, one of each lane, into words, each of all lanes.

use core::arch::x86_64::{_mm512_broadcast_i32x4, _mm512_shuffle_epi8};

use fearless_simd::{SimdBase, SimdFrom, kernel, u8x16, u8x64};

use super::{BLOCK, LANES, Words};

kernel! {
    #[inline]
    pub(super) fn columns(simd: Avx512, blocks: &[&[u8; BLOCK]; LANES], big_endian: bool) -> [Words; 16] {
        let swapped = _mm512_broadcast_i32x4(u8x16::load_array(simd, SWAPPED).into());
        let mut rows = [Words::splat(simd, 0); 16];
        for (row, block) in rows.iter_mut().zip(blocks) {
            let octets = u8x64::load_array_ref(simd, block).into();
            *row = Words::simd_from(simd, if big_endian { _mm512_shuffle_epi8(octets, swapped) } else { octets });
        }
        // Four perfect shuffles of sixteen rows are a transposition.
        shuffled(shuffled(shuffled(shuffled(rows))))
    }
}

/// Interleaves each row of the upper half with its counterpart of the lower half.
#[inline(always)]
fn shuffled(rows: [Words; 16]) -> [Words; 16] {
    let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7] = rows;
    let ((r0, r1), (r2, r3), (r4, r5), (r6, r7)) =
        (a0.interleave(b0), a1.interleave(b1), a2.interleave(b2), a3.interleave(b3));
    let ((r8, r9), (r10, r11), (r12, r13), (r14, r15)) =
        (a4.interleave(b4), a5.interleave(b5), a6.interleave(b6), a7.interleave(b7));
    [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15]
}

/// Order of octets that converts big-endian words.
const SWAPPED: [u8; 16] = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];
