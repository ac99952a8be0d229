//! Key schedule of CAST-128 (RFC 2144 section 2.4).
//!
//! Two strings of sixteen octets, x and z, are computed from each other in turn, a word after the other, and each word
//! of key is the XOR of entries for five octets of one of them:
//!
//! ```text
//! x = key -> z -> K1 .. K4 -> x -> K5 .. K8 -> z -> K9 .. K12 -> x -> K13 .. K16 -> again for K17 .. K32
//! ```

use zeroize::Zeroize;

use super::entry;
use super::sboxes::SCHEDULE;

/// Word of a string: number of the word of the other string that it is made of, octets for S5 to S8, and the octet of
/// the other string for a fifth table: S7, S8, S5 and S6 for the words in turn. The first four are octets of the other
/// string for the first word, and of the words before for the others.
type Word = [usize; 6];

/// Words of z from x.
const Z: [Word; 4] = [[0, 13, 15, 12, 14, 8], [2, 0, 2, 1, 3, 10], [3, 7, 6, 5, 4, 9], [1, 10, 9, 11, 8, 11]];
/// Words of x from z.
const X: [Word; 4] = [[2, 5, 7, 4, 6, 0], [0, 0, 2, 1, 3, 2], [1, 7, 6, 5, 4, 1], [3, 10, 9, 11, 8, 3]];

/// Octets for S5 to S8 and for a fifth table, S5 to S8 in turn, of K1 to K16. K17 to K32 have the same.
#[rustfmt::skip]
const KEYS: [[usize; 5]; 16] = [
    [8, 9, 7, 6, 2],
    [10, 11, 5, 4, 6],
    [12, 13, 3, 2, 9],
    [14, 15, 1, 0, 12],
    [3, 2, 12, 13, 8],
    [1, 0, 14, 15, 13],
    [7, 6, 8, 9, 3],
    [5, 4, 10, 11, 7],
    [3, 2, 12, 13, 9],
    [1, 0, 14, 15, 12],
    [7, 6, 8, 9, 2],
    [5, 4, 10, 11, 6],
    [8, 9, 7, 6, 3],
    [10, 11, 5, 4, 7],
    [12, 13, 3, 2, 8],
    [14, 15, 1, 0, 13],
];

/// Computes the round keys, and the rotations in bits.
pub(super) fn compute(key: &[u8], keys: &mut [u32; 16], rotations: &mut [u32; 16]) {
    let (mut x, mut z) = ([0; 16], [0; 16]);
    x.iter_mut().zip(key).for_each(|(to, octet)| *to = *octet);
    for all in [&mut *keys, &mut *rotations] {
        for (group, (keys, octets)) in all.chunks_mut(4).zip(KEYS.chunks(4)).enumerate() {
            let from = if group & 1 == 0 {
                advance(&x, &mut z, &Z);
                &z
            } else {
                advance(&z, &mut x, &X);
                &x
            };
            for (fifth, (key, [a, b, c, d, e])) in keys.iter_mut().zip(octets).enumerate() {
                *key = four(from, [*a, *b, *c, *d]) ^ look_up(fifth, from, *e);
            }
        }
    }
    rotations.iter_mut().for_each(|rotation| *rotation &= 31);
    x.zeroize();
    z.zeroize();
}

/// Computes one string from the other.
fn advance(from: &[u8; 16], to: &mut [u8; 16], words: &[Word; 4]) {
    for (number, ([word, a, b, c, d, e], fifth)) in words.iter().zip([2, 3, 0, 1]).enumerate() {
        let octets = [*a, *b, *c, *d];
        let of = from.as_chunks().0.get(*word).map_or(0, |octets| u32::from_be_bytes(*octets));
        let mixed = four(if number == 0 { from } else { to }, octets);
        let result = of ^ mixed ^ look_up(fifth, from, *e);
        to.as_chunks_mut().0.iter_mut().skip(number).take(1).for_each(|word| *word = result.to_be_bytes());
    }
}

/// Returns the XOR of entries of S5 to S8.
fn four(of: &[u8; 16], octets: [usize; 4]) -> u32 {
    octets.iter().enumerate().fold(0, |sum, (table, at)| sum ^ look_up(table, of, *at))
}

/// Returns the entry of a table, counted from S5, for an octet.
fn look_up(table: usize, of: &[u8; 16], at: usize) -> u32 {
    let octet = of.get(at).copied().unwrap_or_default();
    SCHEDULE.get(table).map_or(0, |table| entry(table, octet))
}
