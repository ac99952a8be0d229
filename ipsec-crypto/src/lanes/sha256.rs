//! SHA-256 (RFC 6234 6.2).

use fearless_simd::{Avx512, SimdBase};

use super::{LaneHash, Words};

impl LaneHash<8> for crate::Sha256 {
    const WORTH: usize = 10;

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
                let one = h + sum + choice + Words::splat(simd, K[$t]) + w[$t % 16];
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

#[rustfmt::skip]
const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];
