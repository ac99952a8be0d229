//! Poly1305 (RFC 8439 section 2.5) in words of 64 bits.
//!
//! The accumulator h has two words and a few bits above them, r has two words. The product of two words has 128 bits,
//! which is one instruction:
//!
//! ```text
//!                 2^128     2^64      1
//!
//!                 h2        h1        h0
//!                     x     r1        r0
//!                 ----------------------
//!                           h1*r0     h0*r0
//!                 h2*r0     h0*r1
//!       h2*r1     h1*r1
//!         |         |
//!         |         +------ * 5/4 --> h1*s
//!         +-- * 5/4 ------> h2*s
//! ```
//!
//! Modulo 2^130 - 5, 2^130 is 5, so that 2^128 * r1 is s = 5/4 * r1, an integer, as the two low bits of r1 are 0. Then
//! bits from 2^130 on are multiplied by 5 and added at the bottom. The representation is that of "poly1305-donna" by
//! Moon for words of 64 bits and of Bernstein's "floating-point-free" implementations. No branch and no address depends
//! on key or text.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Accumulator, from the lowest word.
pub(super) type Accumulator = [u64; 3];

/// One-time key, wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Key {
    r: [u64; 2],
    /// 5/4 of the upper word of r.
    s: u64,
    pad: u128,
}

impl Key {
    /// Returns the key from the first 32 octets of a block of key stream (RFC 8439 section 2.6).
    #[inline(always)]
    pub fn new([r, pad]: [u128; 2]) -> Self {
        let [low, high] = words(r);
        let (low, high) = (low & 0x0fff_fffc_0fff_ffff, high & 0x0fff_fffc_0fff_fffc);
        Self { r: [low, high], s: high.wrapping_add(high >> 2), pad }
    }

    /// Adds a block of 16 octets, and multiplies by r.
    #[inline(always)]
    pub fn absorb(&self, [h0, h1, h2]: Accumulator, block: u128) -> Accumulator {
        let ([m0, m1], [r0, r1], s) = (words(block), self.r, self.s);
        let (h0, carry) = h0.overflowing_add(m0);
        let (h1, carry1) = h1.overflowing_add(m1);
        let (h1, carry2) = h1.overflowing_add(u64::from(carry));
        // Each block has the bit 2^128 in addition.
        let h2 = h2.wrapping_add(1).wrapping_add(u64::from(carry1)).wrapping_add(u64::from(carry2));

        // h2 has three bits, so that its products have 64.
        let [low, carry] = words(product(h0, r0).wrapping_add(product(h1, s)));
        let middle = product(h0, r1).wrapping_add(product(h1, r0)).wrapping_add(u128::from(h2.wrapping_mul(s)));
        let [middle, carry] = words(middle.wrapping_add(u128::from(carry)));
        let high = h2.wrapping_mul(r0).wrapping_add(carry);

        // Five times what is above 2^130: that, and four times that, which is where it is.
        let above = (high >> 2).wrapping_add(high & !3);
        let (h0, carry) = low.overflowing_add(above);
        let (h1, carry) = middle.overflowing_add(u64::from(carry));
        [h0, h1, (high & 3).wrapping_add(u64::from(carry))]
    }

    /// Adds a text whose last block is filled with zeros (RFC 8439 section 2.8).
    #[inline(always)]
    pub fn absorb_padded(&self, h: Accumulator, text: &[u8]) -> Accumulator {
        let (blocks, rest) = text.as_chunks();
        let h = blocks.iter().fold(h, |h, block| self.absorb(h, u128::from_le_bytes(*block)));
        if rest.is_empty() {
            return h;
        }
        // Octets that were just encrypted are slow to read in other units: the block is not composed in memory.
        let (words, octets) = rest.as_chunks();
        let block = octets.iter().rev().fold(0, |block, octet| block << 8 | u128::from(*octet));
        let block = words.iter().rev().fold(block, |block, word| block << 32 | u128::from(u32::from_le_bytes(*word)));
        self.absorb(h, block)
    }

    /// Reduces the accumulator completely and adds the second half of the key.
    #[inline(always)]
    pub fn finish(&self, [h0, h1, h2]: Accumulator) -> [u8; 16] {
        // h - p = h + 5 - 2^130 if that is not negative.
        let (g0, carry) = h0.overflowing_add(5);
        let (g1, carry) = h1.overflowing_add(u64::from(carry));
        let exceeds = (h2.wrapping_add(u64::from(carry)) >> 2).wrapping_neg();
        let select = |h: u64, g: u64| u128::from((h & !exceeds) | (g & exceeds));
        (select(h0, g0) | select(h1, g1) << 64).wrapping_add(self.pad).to_le_bytes()
    }
}

#[inline(always)]
fn product(a: u64, b: u64) -> u128 {
    u128::from(a).wrapping_mul(u128::from(b))
}

/// Returns the lower and the upper word.
#[inline(always)]
fn words(of: u128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = of.to_le_bytes();
    [u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p])]
}
