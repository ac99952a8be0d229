//! MD5 of sixteen blocks (RFC 1321 section 3.4).

use fearless_simd::{Avx512, SimdBase};

use super::{MultiBufferHash, Words};

/// MD5 of sixteen texts (RFC 1321).
#[derive(Clone, Copy, Debug)]
pub enum Md5 {}

impl super::Sealed for Md5 {}

impl MultiBufferHash<4> for Md5 {
    const BIG_ENDIAN: bool = false;
    const MIN_BATCH: usize = 2;

    #[inline(always)]
    fn compress_lanes(simd: Avx512, state: [Words; 4], w: [Words; 16]) -> [Words; 4] {
        let [mut a, mut b, mut c, mut d] = state;
        macro_rules! rounds {
            ($f:ident, word $factor:literal t + $offset:literal: $($t:literal $s:literal)*) => {$(
                let sum = a + $f(b, c, d) + Words::splat(simd, T[$t]) + w[($factor * $t + $offset) % 16];
                (a, d, c, b) = (d, c, b, b + (sum << $s | sum >> (32 - $s)));
            )*};
        }
        rounds!(f, word 1 t + 0: 0 7 1 12 2 17 3 22 4 7 5 12 6 17 7 22 8 7 9 12 10 17 11 22 12 7 13 12 14 17 15 22);
        rounds!(g, word 5 t + 1: 16 5 17 9 18 14 19 20 20 5 21 9 22 14 23 20 24 5 25 9 26 14 27 20 28 5 29 9 30 14 31 20);
        rounds!(h, word 3 t + 5: 32 4 33 11 34 16 35 23 36 4 37 11 38 16 39 23 40 4 41 11 42 16 43 23 44 4 45 11 46 16 47 23);
        rounds!(i, word 7 t + 0: 48 6 49 10 50 15 51 21 52 6 53 10 54 15 55 21 56 6 57 10 58 15 59 21 60 6 61 10 62 15 63 21);
        let [a0, b0, c0, d0] = state;
        [a0 + a, b0 + b, c0 + c, d0 + d]
    }
}

#[inline(always)]
fn f(x: Words, y: Words, z: Words) -> Words {
    (x & y) | (!x & z)
}

#[inline(always)]
fn g(x: Words, y: Words, z: Words) -> Words {
    (x & z) | (y & !z)
}

#[inline(always)]
fn h(x: Words, y: Words, z: Words) -> Words {
    x ^ y ^ z
}

#[inline(always)]
fn i(x: Words, y: Words, z: Words) -> Words {
    y ^ (x | !z)
}

#[rustfmt::skip]
const T: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];
