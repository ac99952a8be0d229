//! GHASH (NIST SP 800-38D section 6.4): products of four blocks per register, summed before they are reduced.
//!
//! GHASH is a polynomial in H. Instead of a multiplication and a reduction for each block, which wait for each other,
//! each block of a group is multiplied by a power of H of its own:
//!
//! ```text
//! AAD H^n + text 1 H^(n-1) + text 2 H^(n-2) + .. + text n-2 H^2 + lengths H
//! ```
//!
//! The products are independent. They are summed in three parts, by the halves of the operands, and the sum is reduced
//! once, as the white paper on carry-less multiplication by Gueron and Kounavis describes. In the order of bits of GCM
//! a product is shifted by one bit, so that the stored powers contain the factor x; the octets of blocks are reversed.

use core::arch::x86_64::*;

use fearless_simd::{Avx512, SimdBase, SimdFrom, u8x16, u8x64};
use zeroize::ZeroizeOnDrop;

use super::cbc::load_some;
use super::{BLOCKS_PER_REGISTER, Block, load};

/// Number of blocks of text that are summed before a reduction: two groups, so that an SA stays small.
const SUMMED: usize = 32;
/// Number of stored powers: of the blocks of text, the block in front of them, and the lengths.
const POWERS: usize = SUMMED + 2;

/// Powers of the hash key H, which are key material: H^34 to H. A register that begins with one of the last three is
/// filled with zeros.
#[derive(ZeroizeOnDrop)]
pub(super) struct Powers([Block; POWERS + BLOCKS_PER_REGISTER - 1]);

impl Powers {
    /// Computes the powers of H, which is the encrypted block of zeros.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,pclmulqdq,vpclmulqdq")]
    pub(super) fn new(simd: Avx512, h: __m128i) -> Self {
        let h = u128::from_le_bytes(store(simd, _mm_shuffle_epi8(h, reversed())));
        // The bit that leaves at the top is x^128, which is reduced without a branch.
        let carry = (h.cast_signed() >> 127).cast_unsigned();
        let shifted = h << 1 ^ carry & 0xc200_0000_0000_0000_0000_0000_0000_0001;
        let h = load(simd, &shifted.to_le_bytes());
        let mut powers = Self([[0; 16]; POWERS + BLOCKS_PER_REGISTER - 1]);
        let mut power = h;
        for to in powers.0.iter_mut().take(POWERS).rev() {
            *to = store(simd, power);
            power = multiply(power, h);
        }
        powers
    }

    /// Returns the powers with the exponents n, n - 1, n - 2 and n - 3.
    #[inline(always)]
    fn four(&self, simd: Avx512, n: usize) -> __m512i {
        let from = self.0.get(POWERS.wrapping_sub(n)..).and_then(|powers| powers.as_flattened().first_chunk());
        u8x64::load_array_ref(simd, from.unwrap_or(&[0; 64])).into() // n is 1 to 34
    }

    /// Returns the power with the exponent n, and zeros above it.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn one(&self, simd: Avx512, n: usize) -> __m512i {
        let from = self.0.get(POWERS.wrapping_sub(n)).unwrap_or(&[0; 16]);
        _mm512_zextsi128_si512(load(simd, from))
    }
}

/// Returns the order that reverses the octets of a block.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn reversed() -> __m128i {
    _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
}

#[inline(always)]
fn store(simd: Avx512, block: __m128i) -> Block {
    u8x16::simd_from(simd, block).to_array()
}

/// Sum of products that are not reduced: low halves, mixed halves and high halves.
#[derive(Clone, Copy)]
struct Sum {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl Sum {
    /// Returns the products of four blocks with four powers.
    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    fn of(blocks: __m512i, powers: __m512i) -> Self {
        Self {
            low: _mm512_clmulepi64_epi128(blocks, powers, 0x00),
            middle: _mm512_xor_si512(
                _mm512_clmulepi64_epi128(blocks, powers, 0x01),
                _mm512_clmulepi64_epi128(blocks, powers, 0x10),
            ),
            high: _mm512_clmulepi64_epi128(blocks, powers, 0x11),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    fn add(&mut self, blocks: __m512i, powers: __m512i) {
        self.low = _mm512_xor_si512(self.low, _mm512_clmulepi64_epi128(blocks, powers, 0x00));
        self.high = _mm512_xor_si512(self.high, _mm512_clmulepi64_epi128(blocks, powers, 0x11));
        let (one, other) =
            (_mm512_clmulepi64_epi128(blocks, powers, 0x01), _mm512_clmulepi64_epi128(blocks, powers, 0x10));
        self.middle = _mm512_ternarylogic_epi64(self.middle, one, other, 0x96);
    }

    /// Adds the four sums and reduces the result modulo x^128 + x^7 + x^2 + x + 1, 64 bits at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,pclmulqdq")]
    fn reduce(self) -> __m128i {
        let (low, middle, high) = (fold(self.low), fold(self.middle), fold(self.high));
        // x^127 + x^126 + x^121 in the order of bits of GCM, of which 64 bits remain.
        let polynomial = _mm_set1_epi64x(0xc200_0000_0000_0000_u64.cast_signed());
        let middle = _mm_xor_si128(middle, swap(low));
        let middle = _mm_xor_si128(middle, _mm_clmulepi64_si128(polynomial, low, 0x01));
        let high = _mm_xor_si128(high, swap(middle));
        _mm_xor_si128(high, _mm_clmulepi64_si128(polynomial, middle, 0x01))
    }
}

/// Adds the four blocks of a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold(four: __m512i) -> __m128i {
    let two = _mm256_xor_si256(_mm512_castsi512_si256(four), _mm512_extracti64x4_epi64(four, 1));
    _mm_xor_si128(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1))
}

/// Exchanges the halves of a block.
#[inline]
#[target_feature(enable = "sse2")]
fn swap(block: __m128i) -> __m128i {
    _mm_shuffle_epi32(block, 0x4e)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,pclmulqdq,vpclmulqdq")]
fn multiply(a: __m128i, b: __m128i) -> __m128i {
    Sum::of(_mm512_zextsi128_si512(a), _mm512_zextsi128_si512(b)).reduce()
}

/// GHASH of a packet. AAD comes first, then the text, four blocks at a time, and the lengths at the end.
pub(super) struct Ghash<'a> {
    simd: Avx512,
    powers: &'a Powers,
    sum: Sum,
    /// Reduced sum before the current one, which is added to the next block.
    before: __m128i,
    /// Number of blocks of text that are not in this sum or an earlier one.
    missing: usize,
    /// Exponent of the power of H by which the next block of text is multiplied; 0 if the sum is complete.
    exponent: usize,
}

impl<'a> Ghash<'a> {
    /// Begins with the AAD, before the number of blocks that the text has.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,pclmulqdq,vpclmulqdq")]
    pub(super) fn new(simd: Avx512, powers: &'a Powers, aad: &[u8], blocks: usize) -> Self {
        // The AAD of ESP is one block, which is part of the sum.
        let last = if let Some((first, last)) = all_but_last_block(aad) {
            let state = absorb(simd, powers, _mm_setzero_si128(), first);
            _mm_xor_si128(state, _mm_shuffle_epi8(load_partial_block(last), reversed()))
        } else {
            _mm_shuffle_epi8(load_partial_block(aad), reversed())
        };
        let (exponent, missing) = next_sum(blocks);
        let sum = Sum::of(_mm512_zextsi128_si512(last), powers.one(simd, exponent.saturating_add(1)));
        Self { simd, powers, sum, before: _mm_setzero_si128(), missing, exponent }
    }

    /// Reduces the sum if it is complete. It has to be called before four registers are added.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,pclmulqdq")]
    pub(super) fn begin_group(&mut self) {
        if self.exponent == 0 {
            self.before = self.sum.reduce();
            let none = _mm512_setzero_si512();
            self.sum = Sum { low: none, middle: none, high: none };
            (self.exponent, self.missing) = next_sum(self.missing);
        }
    }

    /// Adds four blocks of text, or the last ones and zeros.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
    pub(super) fn add(&mut self, four: __m512i) {
        let blocks = _mm512_shuffle_epi8(four, _mm512_broadcast_i32x4(reversed()));
        let blocks = _mm512_xor_si512(blocks, _mm512_zextsi128_si512(self.before));
        self.before = _mm_setzero_si128();
        self.sum.add(blocks, self.powers.four(self.simd, self.exponent));
        self.exponent = self.exponent.saturating_sub(BLOCKS_PER_REGISTER);
    }

    /// Adds the lengths in octets, and returns the hash.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,pclmulqdq,vpclmulqdq")]
    pub(super) fn finish(mut self, aad: usize, text: usize) -> __m128i {
        let bits = |octets: usize| u64::try_from(octets).unwrap_or(u64::MAX).wrapping_mul(8).cast_signed();
        let lengths = _mm_set_epi64x(bits(aad), bits(text));
        self.sum.add(_mm512_zextsi128_si512(lengths), self.powers.one(self.simd, 1));
        _mm_shuffle_epi8(self.sum.reduce(), reversed())
    }
}

/// Returns the exponent for the next block of text, if `missing` blocks follow, and the number of blocks that follow
/// the next sum. The last sum has the lengths at its end.
#[inline(always)]
fn next_sum(missing: usize) -> (usize, usize) {
    match missing.checked_sub(SUMMED) {
        Some(later) if later > 0 => (SUMMED, later),
        _ => (missing.saturating_add(1), 0),
    }
}

/// Absorbs whole blocks after others, whose hash is `state` in the order of this file.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,pclmulqdq,vpclmulqdq")]
fn absorb(simd: Avx512, powers: &Powers, mut state: __m128i, blocks: &[Block]) -> __m128i {
    let order = _mm512_broadcast_i32x4(reversed());
    for blocks in blocks.chunks(SUMMED) {
        let none = _mm512_setzero_si512();
        let mut sum = Sum { low: none, middle: none, high: none };
        let mut before = _mm512_zextsi128_si512(state);
        let mut exponent = blocks.len();
        let (fours, rest) = blocks.as_flattened().as_chunks::<{ 16 * BLOCKS_PER_REGISTER }>();
        for four in fours {
            let four = _mm512_shuffle_epi8(u8x64::load_array_ref(simd, four).into(), order);
            sum.add(_mm512_xor_si512(four, before), powers.four(simd, exponent));
            before = none;
            exponent = exponent.saturating_sub(BLOCKS_PER_REGISTER);
        }
        if exponent > 0 {
            let four = _mm512_shuffle_epi8(load_some(simd, rest.as_chunks().0), order);
            sum.add(_mm512_xor_si512(four, before), powers.four(simd, exponent));
        }
        state = sum.reduce();
    }
    state
}

/// Splits AAD of more than one block before its last block, which may be shorter than 16 octets.
#[inline(always)]
fn all_but_last_block(aad: &[u8]) -> Option<(&[Block], &[u8])> {
    let blocks = aad.len().checked_sub(1)? / 16;
    let (first, last) = aad.split_at_checked(blocks.wrapping_mul(16))?;
    (blocks > 0).then_some((first.as_chunks().0, last))
}

/// Loads up to 16 octets, padded with zeros. They meet in a register: a vector that is loaded from the place where
/// smaller pieces were just stored waits for the cache.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn load_partial_block(octets: &[u8]) -> __m128i {
    let (words, rest) = octets.as_chunks::<4>();
    // The parts of an ESP packet have no rest.
    let last = match *rest {
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c] => [a, b, c, 0],
        _ => [0; 4],
    };
    let word = |n: usize| {
        let word = words.get(n).copied().unwrap_or(if n == words.len() { last } else { [0; 4] });
        i32::from_le_bytes(word)
    };
    _mm_setr_epi32(word(0), word(1), word(2), word(3))
}
