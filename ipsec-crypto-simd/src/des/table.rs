//! DES by tables, which is the fastest form for one block after the other, as in the chain of a packet that is sealed.
//!
//! E repeats bits of a half, and P moves what the S-boxes give. Here a half is kept expanded, eight octets of six bits,
//! and the table of an S-box has all that the box adds to the other half *as it will be after E*:
//!
//! ```text
//! right half   | 0 0 b b b b b b | 0 0 b b b b b b | ... eight octets
//!                      |                 |
//!                 TABLES[0]         TABLES[1]      ... each entry: S, P and E of the next round
//!                      |                 |
//! left half    ^= (entry | entry) + ... ^= key of its round
//! ```
//!
//! So a round is eight look-ups, and what is added to a half. The initial permutation, E and the XOR of CBC are linear:
//! the chain is added to the text in expanded form, and no permutation is between two blocks. Tables that combine S and
//! P are those of Outerbridge's implementations of DES (1987); FIPS 46-3 has the permutations.
//!
//! Addresses depend on key and text, so the code is not constant-time.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::key::{ENCRYPTION, KeyBits};
use super::sboxes::{for_each_sbox, substitute};
use crate::cbc64::{self, Cbc64, Feistel, Halves};

/// Entry for the six bits of an octet. With 256 entries no index has to be masked, which saves 5 % in a chain and loses
/// 8 % with three blocks in turn, and the tables would take half of a cache.
type Table = [u64; 64];

macro_rules! bits_of {
    ($($sbox:ident, $from:tt, $half:tt $choice:tt, $to:tt;)*) => {
        /// Bits of the half that each S-box takes, counted from 0 (E).
        const TAKEN: [[u32; 6]; 8] = [$($from),*];
        /// Bits of the half that each S-box gives, counted from 0 (P).
        const GIVEN: [[u32; 4]; 8] = [$($to),*];
        /// Bits of C or D that each S-box takes, counted from 0 (permuted choice 2).
        const CHOSEN: [[u32; 6]; 8] = [$($choice),*];
    };
}
for_each_sbox!(bits_of);

static TABLES: [Table; 8] = tables();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated at compile time only
const fn tables() -> [Table; 8] {
    let mut tables = [[0; 64]; 8];
    let mut at = 0;
    // Each octet and bit of the expanded half comes from one bit of one S-box.
    while at < 48 {
        let (octet, place) = (at / 6, at % 6);
        let bit = TAKEN[octet][place];
        let mut source = 0;
        while source < 32 {
            let (sbox, result) = (source / 4, source % 4);
            if GIVEN[sbox][result] == bit {
                let mut input = 0;
                while input < 64 {
                    if substitute(sbox, input) >> (3 - result) & 1 == 1 {
                        tables[sbox][input] |= 1 << (8 * octet + 5 - place);
                    }
                    input += 1;
                }
            }
            source += 1;
        }
        at += 1;
    }
    tables
}

/// Round keys in the form of the expanded half. A half always contains the key of the round that it enters, so that the
/// tables wait for no XOR: to each half is added, beside the result of the tables, the key of the round that it has
/// left and the key of that which it enters. In reverse these are the keys of decryption.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Schedule {
    first: u64,
    pairs: [[u64; 2]; 8],
    last: u64,
}

static EMPTY: Schedule = Schedule::EMPTY;

impl Schedule {
    const EMPTY: Self = Self { first: 0, pairs: [[0; 2]; 8], last: 0 };

    /// Writes the schedule in place, as a move would leave a copy behind.
    fn set(&mut self, key: &[u8; 8], encrypts: bool) {
        let bits = KeyBits::new(key);
        // The keys of the rounds before and after the first and the last are 0.
        let mut keys = [0; 18];
        let rounds = keys.iter_mut().skip(1).zip(&ENCRYPTION);
        rounds.for_each(|(key, rotation)| *key = round_key(&bits, *rotation));
        if !encrypts {
            keys.reverse();
        }
        let mut of = [0; 16];
        of.iter_mut().zip(keys.iter().zip(keys.iter().skip(2))).for_each(|(to, (before, after))| *to = before ^ after);
        self.pairs.as_flattened_mut().copy_from_slice(&of);
        let [_, first, .., last, _] = keys;
        (self.first, self.last) = (first, last);
        keys.zeroize();
        of.zeroize();
    }
}

/// Returns a round key, an octet for each S-box.
fn round_key(key: &KeyBits, rotation: usize) -> u64 {
    let (c, d) = key.rotated(rotation);
    let octet =
        |half: u64, chosen: &[u32; 6]| chosen.iter().fold(0, |octet, bit| octet << 1 | KeyBits::bit(half, *bit));
    let halves = [c, c, c, c, d, d, d, d];
    halves.iter().zip(&CHOSEN).rev().fold(0, |key, (half, chosen)| key << 8 | octet(*half, chosen))
}

/// Returns the value that a round adds to the other half. The bits of the entries are disjoint, so that all three
/// operators give the same; of a single one the compiler would make a chain of eight, of these it keeps the tree.
#[inline(always)]
fn look_up(half: u64) -> u64 {
    let [a, b, c, d, e, f, g, h] = half.to_le_bytes();
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    let entry = |table: &Table, octet: u8| table.get(usize::from(octet & 63)).copied().unwrap_or_default();
    (entry(t0, a) | entry(t1, b)).wrapping_add(entry(t2, c) | entry(t3, d))
        ^ (entry(t4, e) | entry(t5, f)).wrapping_add(entry(t6, g) | entry(t7, h))
}

/// DES with one key, or encrypt-decrypt-encrypt with three (FIPS 46-3), by tables of 4 KiB. **Not** constant-time.
///
/// The round keys have 144 octets for each key and are wiped on drop.
#[derive(ZeroizeOnDrop)]
pub struct TableDes<const KEYS: usize> {
    schedules: [Schedule; KEYS],
}

impl TableDes<1> {
    /// Creates DES from a key, whose parity bits are ignored.
    pub fn new(key: &[u8; 8]) -> Self {
        Self::of(&[*key])
    }
}

impl TableDes<3> {
    /// Creates 3DES from three keys, whose parity bits are ignored.
    pub fn new(key: &[u8; 24]) -> Self {
        Self::of(key.as_chunks().0)
    }
}

impl<const KEYS: usize> TableDes<KEYS> {
    #[inline(always)]
    fn of(keys: &[[u8; 8]]) -> Self {
        let mut all = Self { schedules: [Schedule::EMPTY; KEYS] };
        let each = all.schedules.iter_mut().zip(keys).zip([true, false, true]);
        each.for_each(|((schedule, key), encrypts)| schedule.set(key, encrypts));
        all
    }
}

/// Applies sixteen rounds, and exchanges the halves after the last. The function is not inlined: in the loop over
/// blocks it has a register too few, and a half in memory delays every second round.
#[inline(never)]
fn sixteen_rounds([mut left, mut right]: Halves<u64>, keys: &Schedule) -> Halves<u64> {
    right ^= keys.first;
    for [odd, even] in &keys.pairs {
        left = (left ^ odd) ^ look_up(right);
        right = (right ^ even) ^ look_up(left);
    }
    [right, left ^ keys.last]
}

impl<const KEYS: usize> Feistel for TableDes<KEYS> {
    /// Half with six bits in each octet: octet n, counted from the lowest, belongs to S-box n.
    type Half = u64;

    #[inline(always)]
    fn load(block: &[u8; 8]) -> Halves<u64> {
        let [a, b, c, d, e, f, g, h] = *block;
        let (left, right) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let (left, right) = exchange(left, right, 4, 0x0f0f_0f0f);
        let (left, right) = exchange(left, right, 16, 0x0000_ffff);
        let (right, left) = exchange(right, left, 2, 0x3333_3333);
        let (right, left) = exchange(right, left, 8, 0x00ff_00ff);
        let (left, right) = exchange(left, right, 1, 0x5555_5555);
        [expand(left), expand(right)]
    }

    #[inline(always)]
    fn store([left, right]: Halves<u64>) -> [u8; 8] {
        let (left, right) = exchange(contract(left), contract(right), 1, 0x5555_5555);
        let (right, left) = exchange(right, left, 8, 0x00ff_00ff);
        let (right, left) = exchange(right, left, 2, 0x3333_3333);
        let (left, right) = exchange(left, right, 16, 0x0000_ffff);
        let (left, right) = exchange(left, right, 4, 0x0f0f_0f0f);
        let ([a, b, c, d], [e, f, g, h]) = (left.to_be_bytes(), right.to_be_bytes());
        [a, b, c, d, e, f, g, h]
    }

    #[inline(always)]
    fn encrypt_block(&self, block: Halves<u64>) -> Halves<u64> {
        self.schedules.iter().fold(block, sixteen_rounds)
    }

    #[inline(always)]
    fn encrypt_blocks<const N: usize>(all: [&Self; N], blocks: &mut [Halves<u64>; N]) {
        for key in 0..KEYS {
            let keys = all.map(|des| des.schedules.get(key).unwrap_or(&EMPTY));
            blocks.iter_mut().zip(keys).for_each(|([_, right], keys)| *right ^= keys.first);
            for round in 0..8 {
                for ([left, right], keys) in blocks.iter_mut().zip(keys) {
                    let [odd, _] = keys.pairs.get(round).copied().unwrap_or_default();
                    *left = (*left ^ odd) ^ look_up(*right);
                }
                for ([left, right], keys) in blocks.iter_mut().zip(keys) {
                    let [_, even] = keys.pairs.get(round).copied().unwrap_or_default();
                    *right = (*right ^ even) ^ look_up(*left);
                }
            }
            blocks.iter_mut().zip(keys).for_each(|(block, keys)| *block = [block[1], block[0] ^ keys.last]);
        }
    }

    #[inline(always)]
    fn decrypt_blocks<const N: usize>(&self, blocks: &mut [Halves<u64>; N]) {
        for keys in self.schedules.iter().rev() {
            blocks.iter_mut().for_each(|[_, right]| *right ^= keys.last);
            for [even, odd] in keys.pairs.iter().rev() {
                blocks.iter_mut().for_each(|[left, right]| *left = (*left ^ odd) ^ look_up(*right));
                blocks.iter_mut().for_each(|[left, right]| *right = (*right ^ even) ^ look_up(*left));
            }
            blocks.iter_mut().for_each(|block| *block = [block[1], block[0] ^ keys.first]);
        }
    }
}

/// Number of blocks that advance together when a packet is decrypted or several are encrypted.
const INTERLEAVED: usize = 3;

impl<const KEYS: usize> Cbc64 for TableDes<KEYS> {
    fn encrypt_chain(&self, chain: &mut [u8; 8], blocks: &mut [[u8; 8]]) {
        cbc64::encrypt_chain(self, chain, blocks);
    }

    fn encrypt_chains(all: &[&Self], chains: &mut [[u8; 8]], bodies: &mut [&mut [[u8; 8]]], steps: usize) {
        cbc64::encrypt_chains::<_, INTERLEAVED>(all, chains, bodies, steps);
    }

    fn decrypt(&self, iv: &[u8; 8], body: &mut [u8]) {
        cbc64::decrypt::<_, INTERLEAVED, 0>(self, iv, body);
    }
}

impl<const KEYS: usize> fmt::Debug for TableDes<KEYS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableDes(..)")
    }
}

/// Exchanges the bits of `one` above `by` with those of `other` that the mask selects.
#[inline(always)]
const fn exchange(one: u32, other: u32, by: u32, mask: u32) -> (u32, u32) {
    let differing = (one.wrapping_shr(by) ^ other) & mask;
    (one ^ differing.wrapping_shl(by), other ^ differing)
}

/// Returns a half after E: S-box n takes the six bits 4n - 1 to 4n + 4, counted from the first.
#[inline(always)]
fn expand(half: u32) -> u64 {
    // After a rotation the bits of every second S-box are the lowest six of an octet.
    let spread = |half: u32| {
        let octets = u64::from((half & 0x3f3f_3f3f).swap_bytes());
        let octets = (octets | octets << 16) & 0x0000_ffff_0000_ffff;
        (octets | octets << 8) & 0x00ff_00ff_00ff_00ff
    };
    spread(half.rotate_right(3)) | spread(half.rotate_left(1)) << 8
}

/// Reverses [`expand`]: the middle four bits of each octet are the half.
#[inline(always)]
fn contract(half: u64) -> u32 {
    let bits = half.swap_bytes() >> 1 & 0x0f0f_0f0f_0f0f_0f0f;
    let bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    let bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    let [a, b, c, d, ..] = (bits | bits >> 16).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
