//! DES in bitsliced form, and CBC mode with it.
//!
//! 32 blocks of 64 bits for each lane become 64 registers, each with one bit of all blocks. Then an S-box is a circuit
//! of AND, OR, XOR and NOT for all blocks at once, and a permutation of bits is a choice of registers at compile time:
//!
//! ```text
//!            64 bits                            all blocks
//! block 0    01101..          register of bit 0   010..
//! block 1    10011..   --->   register of bit 1   101..
//! block 2    01110..          register of bit 2   101..
//!   ..                          ..
//! ```
//!
//! The method is that of Biham, "A Fast New DES Implementation in Software" (1997). No branch and no address depends on
//! keys or texts.

use super::circuits::{s1, s2, s3, s4, s5, s6, s7, s8};
use super::key::{DECRYPTION, ENCRYPTION, KeyMasks, RoundKey};
use super::sboxes::for_each_sbox;
use super::word::Word;

/// Lists the registers of the left or right half after the initial permutation, from the first bit to the last.
/// `$front` and `$back` have the bits of the first and the last four octets of a block, each octet from its least
/// significant bit. The expression can be read and assigned to, which is the final permutation.
macro_rules! half {
    (left of $front:ident, $back:ident) => {
        half!($front, $back, [30 22 14 6] [28 20 12 4] [26 18 10 2] [24 16 8 0])
    };
    (right of $front:ident, $back:ident) => {
        half!($front, $back, [31 23 15 7] [29 21 13 5] [27 19 11 3] [25 17 9 1])
    };
    ($front:ident, $back:ident, $([$a:literal $b:literal $c:literal $d:literal])*) => {
        [$($back[$a], $back[$b], $back[$c], $back[$d], $front[$a], $front[$b], $front[$c], $front[$d]),*]
    };
}

/// Decrypts blocks in CBC mode. The keys are those of encryption: one for DES, three for encrypt-decrypt-encrypt.
#[inline(always)]
pub(super) fn decrypt_cbc<W: Word<LANES>, const LANES: usize>(
    token: W::Token,
    keys: &[KeyMasks],
    iv: &[u8; 8],
    blocks: &mut [[u8; 8]],
) {
    let mut before = *iv;
    for group in blocks.chunks_mut(LANES.saturating_mul(32)) {
        // The halves of the blocks; row n has blocks n * LANES and following.
        let mut halves = [[[0; LANES]; 32]; 2];
        let [front, back] = &mut halves;
        for ((row, front), back) in group.chunks(LANES).zip(front).zip(back) {
            for ((block, front), back) in row.iter().zip(front).zip(back) {
                let [a, b, c, d, e, f, g, h] = *block;
                *front = u32::from_le_bytes([a, b, c, d]);
                *back = u32::from_le_bytes([e, f, g, h]);
            }
        }
        // Encrypt-decrypt-encrypt in reverse.
        let keys = keys.iter().rev().zip([&DECRYPTION, &ENCRYPTION, &DECRYPTION]);
        process_group::<W, LANES>(token, keys, &mut halves);
        let [front, back] = &halves;
        for ((row, front), back) in group.chunks_mut(LANES).zip(front).zip(back) {
            for ((block, front), back) in row.iter_mut().zip(front).zip(back) {
                let [a, b, c, d] = front.to_le_bytes();
                let [e, f, g, h] = back.to_le_bytes();
                let plain = u64::from_ne_bytes([a, b, c, d, e, f, g, h]) ^ u64::from_ne_bytes(before);
                before = *block;
                *block = plain.to_ne_bytes();
            }
        }
    }
}

/// Encrypts `steps` blocks of at most 32 chains in CBC mode, and removes them from the front of the bodies. Bit n of
/// each mask belongs to the key of chain n.
pub(super) fn encrypt_chains(keys: &[KeyMasks], chains: &mut [[u8; 8]], bodies: &mut [&mut [[u8; 8]]], steps: usize) {
    for _ in 0..steps {
        let mut halves = [[[0; 1]; 32]; 2];
        let [front, back] = &mut halves;
        for (((chain, body), [front]), [back]) in chains.iter().zip(&*bodies).zip(front).zip(back) {
            let block = body.first().copied().unwrap_or_default();
            let [a, b, c, d, e, f, g, h] = (u64::from_ne_bytes(*chain) ^ u64::from_ne_bytes(block)).to_ne_bytes();
            *front = u32::from_le_bytes([a, b, c, d]);
            *back = u32::from_le_bytes([e, f, g, h]);
        }
        process_group::<u32, 1>((), keys.iter().zip([&ENCRYPTION, &DECRYPTION, &ENCRYPTION]), &mut halves);
        let [front, back] = &halves;
        for (((chain, body), [front]), [back]) in chains.iter_mut().zip(&mut *bodies).zip(front).zip(back) {
            let [a, b, c, d] = front.to_le_bytes();
            let [e, f, g, h] = back.to_le_bytes();
            if let Some((block, rest)) = core::mem::take(body).split_first_mut() {
                *chain = [a, b, c, d, e, f, g, h];
                *block = *chain;
                *body = rest;
            }
        }
    }
}

/// Encrypts or decrypts 32 blocks for each lane with keys in their order, each with the rotations of its direction.
#[inline(always)]
fn process_group<'a, W: Word<LANES>, const LANES: usize>(
    token: W::Token,
    keys: impl Iterator<Item = (&'a KeyMasks, &'a [usize; 16])>,
    halves: &mut [[[u32; LANES]; 32]; 2],
) {
    let [mut front, mut back] = halves.each_ref().map(|half| half.each_ref().map(|row| W::load(token, row)));
    transpose(token, &mut front);
    transpose(token, &mut back);
    let (mut left, mut right) = (half!(left of front, back), half!(right of front, back));
    // The final permutation of one DES is reversed by the initial permutation of the next.
    for (key, rotations) in keys {
        let (pairs, _) = rotations.as_chunks();
        for [first, second] in pairs {
            round(token, &right, &mut left, key.rotated(*first));
            round(token, &left, &mut right, key.rotated(*second));
        }
        core::mem::swap(&mut left, &mut right);
    }
    half!(left of front, back) = left;
    half!(right of front, back) = right;
    transpose(token, &mut front);
    transpose(token, &mut back);
    *halves = [front.map(W::store), back.map(W::store)];
}

/// Transposes 32 by 32 bits in each lane: bit n of row m becomes bit m of row n, by exchange of ever smaller squares.
#[inline(always)]
fn transpose<W: Word<LANES>, const LANES: usize>(token: W::Token, rows: &mut [W; 32]) {
    exchange::<_, LANES, 16>(token, rows, 0x0000_ffff);
    exchange::<_, LANES, 8>(token, rows, 0x00ff_00ff);
    exchange::<_, LANES, 4>(token, rows, 0x0f0f_0f0f);
    exchange::<_, LANES, 2>(token, rows, 0x3333_3333);
    exchange::<_, LANES, 1>(token, rows, 0x5555_5555);
}

/// Exchanges the upper bits of each row with the lower bits, which the mask selects, of the row `SIZE` rows below.
#[inline(always)]
fn exchange<W: Word<LANES>, const LANES: usize, const SIZE: usize>(token: W::Token, rows: &mut [W; 32], lower: u32) {
    let mask = W::splat(token, lower);
    let bits = 1u32.wrapping_shl(SIZE.trailing_zeros());
    for square in rows.chunks_exact_mut(SIZE.saturating_mul(2)) {
        let (above, below) = square.split_at_mut_checked(SIZE).unwrap_or_default();
        for (above, below) in above.iter_mut().zip(below) {
            let differing = (above.shift_right(bits) ^ *below) & mask;
            *below = *below ^ differing;
            *above = *above ^ differing.shift_left(bits);
        }
    }
}

/// Adds the function f of one half and a round key to the other half (FIPS 46-3, "The Cipher Function f").
#[inline(always)]
fn round<W: Word<LANES>, const LANES: usize>(token: W::Token, from: &[W; 32], to: &mut [W; 32], key: RoundKey<'_>) {
    macro_rules! substitute {
        ($($sbox:ident, [$($bit:literal),*], $half:tt [$($mask:literal),*], [$a:literal, $b:literal, $c:literal, $d:literal];)*) => {$(
            let result = $sbox([$(from[$bit] ^ W::splat_mask(token, key.$half[$mask])),*]);
            to[$a] = to[$a] ^ result[0];
            to[$b] = to[$b] ^ result[1];
            to[$c] = to[$c] ^ result[2];
            to[$d] = to[$d] ^ result[3];
        )*};
    }
    for_each_sbox!(substitute);
}
