//! SHA-1 of sixteen blocks (RFC 3174 section 6.1).

use fearless_simd::{Avx512, SimdBase};

use super::{MultiBufferHash, Words};

/// SHA-1 of sixteen texts (RFC 3174).
#[derive(Clone, Copy, Debug)]
pub enum Sha1 {}

impl super::Sealed for Sha1 {}

impl MultiBufferHash<5> for Sha1 {
    const BIG_ENDIAN: bool = true;
    const MIN_BATCH: usize = 10;

    #[inline(always)]
    fn compress_lanes(simd: Avx512, state: [Words; 5], mut w: [Words; 16]) -> [Words; 5] {
        let [mut a, mut b, mut c, mut d, mut e] = state;
        macro_rules! rounds {
            ($f:ident $k:literal: $($t:literal)*) => {
                let k = Words::splat(simd, $k);
                $(
                    if $t >= 16 {
                        let new = w[($t + 13) % 16] ^ w[($t + 8) % 16] ^ w[($t + 2) % 16] ^ w[$t % 16];
                        w[$t % 16] = left::<1>(new);
                    }
                    let next = left::<5>(a) + $f(b, c, d) + e + k + w[$t % 16];
                    (e, d, c, b, a) = (d, c, left::<30>(b), a, next);
                )*
            };
        }
        rounds!(choose 0x5a82_7999: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
        rounds!(parity 0x6ed9_eba1: 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
        rounds!(majority 0x8f1b_bcdc: 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
        rounds!(parity 0xca62_c1d6: 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
        let [a0, b0, c0, d0, e0] = state;
        [a0 + a, b0 + b, c0 + c, d0 + d, e0 + e]
    }
}

#[inline(always)]
fn left<const BITS: u32>(word: Words) -> Words {
    word << BITS | word >> const { 32 - BITS }
}

#[inline(always)]
fn choose(b: Words, c: Words, d: Words) -> Words {
    (b & c) | (!b & d)
}

#[inline(always)]
fn parity(b: Words, c: Words, d: Words) -> Words {
    b ^ c ^ d
}

#[inline(always)]
fn majority(b: Words, c: Words, d: Words) -> Words {
    (b & c) | (d & (b | c))
}
