//! SHA-256 of sixteen blocks (RFC 6234 section 6.2).

use fearless_simd::{Avx512, SimdBase};

use super::{MultiBufferHash, Words};
use crate::sha_ni::sha256::K;

/// SHA-256 of sixteen texts (RFC 6234).
#[derive(Clone, Copy, Debug)]
pub enum Sha256 {}

impl super::Sealed for Sha256 {}

impl MultiBufferHash<8> for Sha256 {
    const BIG_ENDIAN: bool = true;
    const MIN_BATCH: usize = 12;

    #[inline(always)]
    fn compress_lanes(simd: Avx512, state: [Words; 8], mut w: [Words; 16]) -> [Words; 8] {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        macro_rules! rounds {
            ($($t:literal)*) => {$(
                if $t >= 16 {
                    let (early, late) = (w[($t + 1) % 16], w[($t + 14) % 16]);
                    let early = right::<7>(early) ^ right::<18>(early) ^ early >> 3;
                    let late = right::<17>(late) ^ right::<19>(late) ^ late >> 10;
                    w[$t % 16] = w[$t % 16] + early + w[($t + 9) % 16] + late;
                }
                let choice = (e & f) ^ (!e & g);
                let sum = right::<6>(e) ^ right::<11>(e) ^ right::<25>(e);
                let one = h + sum + choice + Words::splat(simd, K[$t / 4][$t % 4]) + w[$t % 16];
                let majority = (a & b) | (c & (a | b));
                let two = (right::<2>(a) ^ right::<13>(a) ^ right::<22>(a)) + majority;
                (h, g, f, e, d, c, b, a) = (g, f, e, d + one, c, b, a, one + two);
            )*};
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        rounds!(16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
        rounds!(32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
        rounds!(48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
        let [a0, b0, c0, d0, e0, f0, g0, h0] = state;
        [a0 + a, b0 + b, c0 + c, d0 + d, e0 + e, f0 + f, g0 + g, h0 + h]
    }
}

#[inline(always)]
fn right<const BITS: u32>(word: Words) -> Words {
    word >> BITS | word << const { 32 - BITS }
}
