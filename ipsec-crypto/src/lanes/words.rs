//! Blocks of octets, one of each lane, into words, each of all lanes.

use fearless_simd::{Bytes, Simd, SimdBase, u8x16, u8x64, u32x16};

use super::{BLOCK, LANES, LaneHash};

#[inline(always)]
pub(super) fn columns<H: LaneHash<N>, S: Simd, const N: usize>(
    simd: S,
    blocks: &[&[u8; BLOCK]; LANES],
) -> [u32x16<S>; 16] {
    let swapped = u8x64::block_splat(u8x16::load_array(simd, SWAPPED));
    transposed(blocks.map(|block| {
        let octets = u8x64::load_array_ref(simd, block);
        u32x16::from_bytes(if H::BIG_ENDIAN { octets.swizzle_dyn_within_blocks(swapped) } else { octets })
    }))
}

/// Four perfect shuffles of sixteen rows.
#[inline(always)]
fn transposed<S: Simd>(rows: [u32x16<S>; 16]) -> [u32x16<S>; 16] {
    shuffled(shuffled(shuffled(shuffled(rows))))
}

/// Each row of the upper half interleaved with its counterpart of the lower.
#[inline(always)]
fn shuffled<S: Simd>(rows: [u32x16<S>; 16]) -> [u32x16<S>; 16] {
    let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7] = rows;
    let pairs = [(a0, b0), (a1, b1), (a2, b2), (a3, b3), (a4, b4), (a5, b5), (a6, b6), (a7, b7)];
    let [(r0, r1), (r2, r3), (r4, r5), (r6, r7), (r8, r9), (r10, r11), (r12, r13), (r14, r15)] =
        pairs.map(|(a, b)| a.interleave(b));
    [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15]
}

/// Where the octets of big-endian words go.
const SWAPPED: [u8; 16] = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];
