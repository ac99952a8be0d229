//! Registers of a bitsliced implementation: integers and vectors of 32-bit lanes.

#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
use fearless_simd::{Simd, SimdBase, u32x4, u32x8};

use super::circuits::Bits;

/// Register of `LANES` lanes of 32 bits, each bit of which belongs to another block.
pub(super) trait Word<const LANES: usize>: Bits {
    /// Proof that the processor has the instructions.
    type Token: Copy;

    /// Returns a register with the mask, 0 or -1, in each lane.
    fn splat_mask(token: Self::Token, mask: i32) -> Self;

    /// Returns a register with a word in each lane.
    fn splat(token: Self::Token, word: u32) -> Self;

    /// Returns a register with one word for each lane.
    fn load(token: Self::Token, lanes: &[u32; LANES]) -> Self;

    /// Returns the words of the lanes.
    fn store(self) -> [u32; LANES];

    /// Shifts each lane to the left by less than 32 bits.
    fn shift_left(self, bits: u32) -> Self;

    /// Shifts each lane to the right by less than 32 bits.
    fn shift_right(self, bits: u32) -> Self;
}

impl Word<1> for u32 {
    type Token = ();

    #[inline(always)]
    fn splat_mask((): (), mask: i32) -> Self {
        mask.cast_unsigned()
    }

    #[inline(always)]
    fn splat((): (), word: u32) -> Self {
        word
    }

    #[inline(always)]
    fn load((): (), &[word]: &[u32; 1]) -> Self {
        word
    }

    #[inline(always)]
    fn store(self) -> [u32; 1] {
        [self]
    }

    #[inline(always)]
    fn shift_left(self, bits: u32) -> Self {
        self.wrapping_shl(bits)
    }

    #[inline(always)]
    fn shift_right(self, bits: u32) -> Self {
        self.wrapping_shr(bits)
    }
}

/// A shift moves bits from one lane into the other, which the masks of the caller remove.
impl Word<2> for u64 {
    type Token = ();

    #[inline(always)]
    fn splat_mask((): (), mask: i32) -> Self {
        i64::from(mask).cast_unsigned()
    }

    #[inline(always)]
    fn splat((): (), word: u32) -> Self {
        Self::load((), &[word; 2])
    }

    #[inline(always)]
    fn load((): (), &[low, high]: &[u32; 2]) -> Self {
        Self::from(low) | Self::from(high).wrapping_shl(32)
    }

    #[inline(always)]
    fn store(self) -> [u32; 2] {
        let [a, b, c, d, e, f, g, h] = self.to_le_bytes();
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
    }

    #[inline(always)]
    fn shift_left(self, bits: u32) -> Self {
        self.wrapping_shl(bits)
    }

    #[inline(always)]
    fn shift_right(self, bits: u32) -> Self {
        self.wrapping_shr(bits)
    }
}

#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
macro_rules! vectors {
    ($($vector:ident, $lanes:literal;)*) => {$(
        impl<S: Simd> Word<$lanes> for $vector<S> {
            type Token = S;

            #[inline(always)]
            fn splat_mask(simd: S, mask: i32) -> Self {
                SimdBase::splat(simd, mask.cast_unsigned())
            }

            #[inline(always)]
            fn splat(simd: S, word: u32) -> Self {
                SimdBase::splat(simd, word)
            }

            #[inline(always)]
            fn load(simd: S, lanes: &[u32; $lanes]) -> Self {
                Self::load_array_ref(simd, lanes)
            }

            #[inline(always)]
            fn store(self) -> [u32; $lanes] {
                self.to_array()
            }

            #[inline(always)]
            fn shift_left(self, bits: u32) -> Self {
                self << bits
            }

            #[inline(always)]
            fn shift_right(self, bits: u32) -> Self {
                self >> bits
            }
        }
    )*};
}
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
vectors! { u32x4, 4; u32x8, 8; }
