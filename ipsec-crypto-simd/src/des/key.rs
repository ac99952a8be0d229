//! Round keys of DES as masks (FIPS 46-3, "KS").
//!
//! Each round key takes its 48 bits from the halves C and D of the key, which are rotated before each round. Here each
//! half is written twice in succession, so that a rotated half is a window of 28 masks, and a round key needs neither
//! memory nor time:
//!
//! ```text
//! c   0 1 2 3 ... 27 0 1 2 3 ... 27
//!         |---- by 2 ----|
//! ```

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Number of bits of C and of D.
const HALF: usize = 28;

/// Bits of the key in C, counted from 1 (permuted choice 1).
const C: [u32; HALF] =
    [57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36];
/// Bits of the key in D, counted from 1 (permuted choice 1).
const D: [u32; HALF] =
    [63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4];

/// Bits by which C and D are rotated to the left in each round of encryption, summed up.
pub(super) const ENCRYPTION: [usize; 16] = [1, 2, 4, 6, 8, 10, 12, 14, 15, 17, 19, 21, 23, 25, 27, 28];
/// The same for decryption, which takes the round keys in reverse.
pub(super) const DECRYPTION: [usize; 16] = [28, 27, 25, 23, 21, 19, 17, 15, 14, 12, 10, 8, 6, 4, 2, 1];

/// C and D of a round.
pub(super) type RoundKey<'a> = (&'a [i32; HALF], &'a [i32; HALF]);

/// C and D of a key, a mask of 0 or -1 for each bit, each half twice in succession; or C and D of at most 32 keys, of
/// which each has one bit of a mask. They are wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct KeyMasks {
    c: [i32; 2 * HALF],
    d: [i32; 2 * HALF],
}

impl KeyMasks {
    pub fn new(key: &[u8; 8]) -> Self {
        let mut masks = Self { c: [0; 2 * HALF], d: [0; 2 * HALF] };
        fill(&mut masks.c, &C, key);
        fill(&mut masks.d, &D, key);
        masks
    }

    /// Returns the masks of at most 32 keys: bit n belongs to key n.
    pub fn of_each<'k>(keys: impl Iterator<Item = &'k [u8; 8]> + Clone) -> Self {
        let mut masks = Self { c: [0; 2 * HALF], d: [0; 2 * HALF] };
        let mask = |bit: u32| keys.clone().zip(0..).fold(0, |mask, (key, at)| mask | i32::from(bit_of(key, bit)) << at);
        for (half, bits) in [(&mut masks.c, &C), (&mut masks.d, &D)] {
            half.iter_mut().zip(bits.iter().chain(bits)).for_each(|(to, bit)| *to = mask(*bit));
        }
        masks
    }

    /// Returns both halves, rotated to the left by at most 28 bits.
    #[inline(always)]
    pub fn rotated(&self, by: usize) -> RoundKey<'_> {
        (window(&self.c, by), window(&self.d, by))
    }
}

#[inline(always)]
fn fill(masks: &mut [i32; 2 * HALF], bits: &[u32; HALF], key: &[u8; 8]) {
    let mut half = bits.map(|bit| i32::from(bit_of(key, bit)).wrapping_neg());
    masks.as_chunks_mut().0.iter_mut().for_each(|copy| *copy = half);
    half.zeroize();
}

/// Returns a bit of the key, counted from 1.
#[inline(always)]
fn bit_of(key: &[u8; 8], bit: u32) -> u8 {
    let [.., octet] = u64::from_be_bytes(*key).rotate_left(bit).to_be_bytes();
    octet & 1
}

/// C and D of a key as integers, each half twice in succession. They are wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct KeyBits {
    c: u64,
    d: u64,
}

impl KeyBits {
    pub fn new(key: &[u8; 8]) -> Self {
        let twice =
            |bits: &[u32; HALF]| bits.iter().chain(bits).fold(0, |half, bit| half << 1 | u64::from(bit_of(key, *bit)));
        Self { c: twice(&C), d: twice(&D) }
    }

    /// Returns both halves, rotated to the left by at most 28 bits. They have 28 bits at the top.
    pub fn rotated(&self, by: usize) -> (u64, u64) {
        let by = u32::try_from(by.wrapping_add(8)).unwrap_or_default();
        (self.c.wrapping_shl(by), self.d.wrapping_shl(by))
    }

    /// Returns a bit of a half that was returned by [`rotated`](Self::rotated), counted from 0.
    pub const fn bit(half: u64, bit: u32) -> u64 {
        half.rotate_left(bit.wrapping_add(1)) & 1
    }
}

#[inline(always)]
fn window(masks: &[i32; 2 * HALF], by: usize) -> &[i32; HALF] {
    const EMPTY: &[i32; HALF] = &[0; HALF]; // of no rotation above
    masks.get(by..).and_then(|from| from.first_chunk()).unwrap_or(EMPTY)
}
