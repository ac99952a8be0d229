//! CAST-128 in CBC mode (RFC 2144, RFC 2451), several blocks at a time.
//!
//! Each round adds to one half a function of the other, its round key of 32 bits and its rotation. There are three
//! kinds of function, in turn, with the operators in another order:
//!
//! ```text
//! I = (key + half) <<< rotation    ((S1[a] ^ S2[b]) - S3[c]) + S4[d]
//! I = (key ^ half) <<< rotation    ((S1[a] - S2[b]) + S3[c]) ^ S4[d]
//! I = (key - half) <<< rotation    ((S1[a] + S2[b]) ^ S3[c]) - S4[d]
//! ```
//!
//! Addresses depend on key and text, so the code is not constant-time.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::cbc64::{self, Cbc64, Feistel, Halves};
use sboxes::{ROUND, SBox};

mod sboxes;
mod schedule;
#[cfg(test)]
mod tests;

/// Number of blocks that are decrypted in turn.
const DECRYPTED: usize = 6;
/// Number of last blocks that are decrypted in turn instead: with payloads of 64, 512 and 1408 octets there are three.
const DECRYPTED_LAST: usize = 3;
/// Number of chains that advance in turn: with eight, two to four chains take twice as long.
const ENCRYPTED: usize = 4;

/// CAST-128 with a key, whose schedule has 128 octets that are wiped on drop. **Not** constant-time.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Cast128 {
    keys: [u32; 16],
    rotations: [u32; 16],
    /// Keys of at most 80 bits use twelve rounds (RFC 2144 section 2.5).
    sixteen_rounds: bool,
}

impl Cast128 {
    /// Creates the cipher from a key; octets after the sixteenth are ignored.
    pub fn new(key: &[u8]) -> Self {
        let mut cast = Self { keys: [0; 16], rotations: [0; 16], sixteen_rounds: key.len() > 10 };
        schedule::compute(key, &mut cast.keys, &mut cast.rotations);
        cast
    }

    #[inline(always)]
    fn function<const ROUND_NUMBER: usize>(&self, half: u32) -> u32 {
        let key = self.keys.get(ROUND_NUMBER).copied().unwrap_or_default();
        let rotation = self.rotations.get(ROUND_NUMBER).copied().unwrap_or_default();
        let mixed = match const { ROUND_NUMBER % 3 } {
            0 => key.wrapping_add(half),
            1 => key ^ half,
            _ => key.wrapping_sub(half),
        };
        let [d, c, b, a] = mixed.rotate_left(rotation).to_le_bytes();
        let [s1, s2, s3, s4] = &ROUND;
        let (a, b, c, d) = (entry(s1, a), entry(s2, b), entry(s3, c), entry(s4, d));
        match const { ROUND_NUMBER % 3 } {
            0 => (a ^ b).wrapping_sub(c).wrapping_add(d),
            1 => a.wrapping_sub(b).wrapping_add(c) ^ d,
            _ => (a.wrapping_add(b) ^ c).wrapping_sub(d),
        }
    }
}

#[inline(always)]
fn entry(table: &SBox, octet: u8) -> u32 {
    table.get(usize::from(octet)).copied().unwrap_or_default()
}

/// Performs pairs of rounds: the first of a pair changes the left half, the second the right.
macro_rules! rounds {
    ($all:expr, $blocks:expr, $($left:literal $right:literal),*) => {$(
        for ([left, right], cast) in $blocks.iter_mut().zip($all) {
            *left ^= cast.function::<$left>(*right);
        }
        for ([left, right], cast) in $blocks.iter_mut().zip($all) {
            *right ^= cast.function::<$right>(*left);
        }
    )*};
}

impl Feistel for Cast128 {
    type Half = u32;

    #[inline(always)]
    fn load(block: &[u8; 8]) -> Halves<u32> {
        cbc64::words(block)
    }

    #[inline(always)]
    fn store(halves: Halves<u32>) -> [u8; 8] {
        cbc64::octets(halves)
    }

    #[inline(always)]
    fn encrypt_block(&self, block: Halves<u32>) -> Halves<u32> {
        let mut block = [block];
        Self::encrypt_blocks([self], &mut block);
        let [block] = block;
        block
    }

    /// Encrypts a block with each key; keys of both lengths may be among `all`.
    #[inline(always)]
    fn encrypt_blocks<const N: usize>(all: [&Self; N], blocks: &mut [Halves<u32>; N]) {
        rounds!(all, blocks, 0 1, 2 3, 4 5, 6 7, 8 9, 10 11);
        if all.iter().all(|cast| cast.sixteen_rounds) {
            rounds!(all, blocks, 12 13, 14 15);
        } else {
            for (block, cast) in blocks.iter_mut().zip(all).filter(|(_, cast)| cast.sixteen_rounds) {
                rounds!([cast], core::slice::from_mut(block), 12 13, 14 15);
            }
        }
        blocks.iter_mut().for_each(|block| block.reverse());
    }

    #[inline(always)]
    fn decrypt_blocks<const N: usize>(&self, blocks: &mut [Halves<u32>; N]) {
        let all = [self; N];
        if self.sixteen_rounds {
            rounds!(all, blocks, 15 14, 13 12);
        }
        rounds!(all, blocks, 11 10, 9 8, 7 6, 5 4, 3 2, 1 0);
        blocks.iter_mut().for_each(|block| block.reverse());
    }
}

impl Cbc64 for Cast128 {
    fn encrypt_chain(&self, chain: &mut [u8; 8], blocks: &mut [[u8; 8]]) {
        cbc64::encrypt_chain(self, chain, blocks);
    }

    fn encrypt_chains(all: &[&Self], chains: &mut [[u8; 8]], bodies: &mut [&mut [[u8; 8]]], steps: usize) {
        cbc64::encrypt_chains::<_, ENCRYPTED>(all, chains, bodies, steps);
    }

    fn decrypt(&self, iv: &[u8; 8], body: &mut [u8]) {
        cbc64::decrypt::<_, DECRYPTED, DECRYPTED_LAST>(self, iv, body);
    }
}

impl fmt::Debug for Cast128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cast128(..)")
    }
}
