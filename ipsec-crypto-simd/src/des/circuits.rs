//! S-boxes of DES as circuits of AND, OR, XOR and NOT.
//!
//! A circuit takes the six bits of an S-box from the first to the last, which FIPS 46-3 writes from left to right, and
//! returns the four bits of the result in the same order. The circuits were found by a randomized recursive search from
//! the truth tables, after Kwan, "Reducing the Gate Count of Bitslice DES" (2000): a function is made of at most two
//! gates of functions that exist, or is divided at one of its inputs. The tests compare each circuit with the table of
//! the standard for all inputs. AND with the complement of an operand counts as one gate, which it is on most
//! processors.

use core::ops::{BitAnd, BitOr, BitXor, Not};

mod s1_to_s4;
mod s5_to_s8;
#[cfg(test)]
mod tests;

pub(super) use s1_to_s4::{s1, s2, s3, s4};
pub(super) use s5_to_s8::{s5, s6, s7, s8};

/// Register with one bit of many blocks.
pub(super) trait Bits:
    Copy + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
}

impl<T> Bits for T where
    T: Copy + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
}
