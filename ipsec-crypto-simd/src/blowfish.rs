//! Blowfish in CBC mode (RFC 2451), several blocks at a time.
//!
//! Schneier, "Description of a New Variable-Length Key, 64-Bit Block Cipher (Blowfish)" (1993). Each of sixteen rounds
//! adds a word of the P-array to one half, and a function of it, by four tables that depend on the key, to the other:
//!
//! ```text
//! left ------ ^ P ---+------------------ ..
//!                    |  F = ((S1[a] + S2[b]) ^ S3[c]) + S4[d]
//! right -------------^----- ^ P -------- ..
//! ```
//!
//! The word of P that a half needs in the next round is added where nothing waits for it: to one half together with F
//! of this round, to the other after it. Addresses depend on key and text, so the code is not constant-time.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::cbc64::{self, Cbc64, Feistel, Halves};

mod pi;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;

/// Number of blocks that are decrypted in turn.
const DECRYPTED: usize = 6;
/// Number of last blocks that are decrypted in turn instead: with payloads of 64, 512 and 1408 octets there are three.
const DECRYPTED_LAST: usize = 3;
/// Number of chains that advance in turn: with eight, two to four chains take twice as long.
const ENCRYPTED: usize = 4;

/// Key schedule of Blowfish, 4168 octets that are wiped on drop. **Not** constant-time.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Blowfish {
    /// Words of the P-array, two of which two rounds use.
    p: [[u32; 2]; 9],
    s: [[u32; 256]; 4],
}

impl Blowfish {
    /// Returns the schedule without a key, which is public, so that it may be moved.
    pub fn without_key() -> Self {
        let mut initial = Self { p: [[0; 2]; 9], s: [[0; 256]; 4] };
        let words = initial.p.as_flattened_mut().iter_mut().chain(initial.s.as_flattened_mut());
        words.zip(&pi::PI).for_each(|(to, word)| *to = *word);
        initial
    }

    /// Computes the schedule of a key in place. A key that is empty changes nothing; of one that is longer, the first
    /// 72 octets are used.
    pub fn expand_key(&mut self, key: &[u8]) {
        let mut octets = key.iter().cycle();
        for word in self.p.as_flattened_mut() {
            *word ^= (0..4).fold(0, |word, _| word << 8 | octets.next().map_or(0, |octet| u32::from(*octet)));
        }
        let mut block = [0; 2];
        for at in 0..self.p.len() {
            block = self.encrypt_block(block);
            set_pair(&mut self.p, at, block);
        }
        for at in 0..self.s.as_flattened().len() / 2 {
            block = self.encrypt_block(block);
            set_pair(self.s.as_flattened_mut().as_chunks_mut().0, at, block);
        }
    }
}

fn set_pair(pairs: &mut [Halves<u32>], at: usize, block: Halves<u32>) {
    pairs.iter_mut().skip(at).take(1).for_each(|pair| *pair = block);
}

impl Blowfish {
    #[inline(always)]
    fn function(&self, half: u32) -> u32 {
        let [d, c, b, a] = half.to_le_bytes();
        let [s1, s2, s3, s4] = &self.s;
        let entry = |table: &[u32; 256], octet: u8| table.get(usize::from(octet)).copied().unwrap_or_default();
        (entry(s1, a).wrapping_add(entry(s2, b)) ^ entry(s3, c)).wrapping_add(entry(s4, d))
    }
}

/// Processes blocks with pairs of P: for each two rounds one of each block. The processor has the look-ups of several
/// blocks in flight also if the rounds of one follow those of another, and fewer halves are stored.
#[inline(always)]
fn rounds<const N: usize>(
    all: [&Blowfish; N],
    blocks: &mut [Halves<u32>; N],
    mut pairs: impl Iterator<Item = [Halves<u32>; N]>,
) {
    for ([left, right], [p, next]) in blocks.iter_mut().zip(pairs.next().into_iter().flatten()) {
        (*left, *right) = (*left ^ p, *right ^ next);
    }
    for pairs in pairs {
        for (([left, right], blowfish), [p, next]) in blocks.iter_mut().zip(all).zip(pairs) {
            *right ^= blowfish.function(*left);
            *left = (*left ^ p) ^ blowfish.function(*right);
            *right ^= next;
        }
    }
    blocks.iter_mut().for_each(|block| block.reverse());
}

impl Feistel for Blowfish {
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
        rounds([self], &mut block, self.p.iter().map(|pair| [*pair]));
        let [block] = block;
        block
    }

    #[inline(always)]
    fn encrypt_blocks<const N: usize>(all: [&Self; N], blocks: &mut [Halves<u32>; N]) {
        let pair = |blowfish: &Self, number| blowfish.p.get(number).copied().unwrap_or_default();
        rounds(all, blocks, (0..9).map(|number| all.map(|blowfish| pair(blowfish, number))));
    }

    #[inline(always)]
    fn decrypt_blocks<const N: usize>(&self, blocks: &mut [Halves<u32>; N]) {
        rounds([self; N], blocks, self.p.iter().rev().map(|[next, p]| [[*p, *next]; N]));
    }
}

impl Cbc64 for Blowfish {
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

impl fmt::Debug for Blowfish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blowfish(..)")
    }
}
