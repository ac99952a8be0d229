//! Blowfish agrees with the `blowfish` crate, and its constants with pi.

use cipher::{BlockCipherEncrypt, KeyInit};

use super::*;
use crate::cbc64::tests::{agree, octets};

extern crate std;
use std::vec::Vec;

#[test]
fn cbc_mode_with_keys_of_every_length_agrees_with_rustcrypto() {
    for first in 4..=56usize {
        let mut seed = first as u64;
        let keys: Vec<Vec<u8>> = [first, 16, first.div_ceil(2).max(4)]
            .map(|len| (0..len).map(|_| octets(&mut seed)[0]).collect())
            .into_iter()
            .collect();
        let schedule = |key: &Vec<u8>| {
            let mut blowfish = Blowfish::without_key();
            blowfish.expand_key(key);
            blowfish
        };
        let crates: Vec<blowfish::Blowfish> =
            keys.iter().map(|key| blowfish::Blowfish::new_from_slice(key).unwrap()).collect();
        let encrypt = |number: usize, block: [u8; 8]| {
            let mut block = block.into();
            crates[number].encrypt_block(&mut block);
            block.into()
        };
        agree(&keys.iter().map(schedule).collect::<Vec<_>>(), encrypt, &mut seed);
    }
}

/// Fixed-point number with 32 bits before the point, from the highest word.
type Number = [u32; 1 + 18 + 4 * 256 + 2];

/// Divides by a number below 2^16, and returns whether the quotient is not 0.
fn divide(number: &mut Number, divisor: u64) -> bool {
    let mut remainder = 0;
    let mut some = 0;
    for word in number {
        let dividend = remainder << 32 | u64::from(*word);
        *word = u32::try_from(dividend / divisor).unwrap();
        remainder = dividend % divisor;
        some |= *word;
    }
    some != 0
}

/// Adds or subtracts the multiple of a number.
fn add(sum: &mut Number, number: &Number, by: i64) {
    let mut carry = 0;
    for (to, word) in sum.iter_mut().zip(number).rev() {
        let value = i64::from(*to) + by * i64::from(*word) + carry;
        *to = u32::try_from(value.rem_euclid(1 << 32)).unwrap();
        carry = value.div_euclid(1 << 32);
    }
}

/// Pi = 16 arctan 1/5 - 4 arctan 1/239 (Machin), by the series of the arctangent.
#[test]
fn constants_are_the_fraction_of_pi() {
    let mut pi: Number = [0; _];
    for (factor, inverse) in [(16, 5), (-4, 239)] {
        let mut power: Number = [0; _];
        power[0] = 1;
        divide(&mut power, inverse);
        for (sign, odd) in [1, -1].into_iter().cycle().zip((1..).step_by(2)) {
            let mut term = power;
            if !divide(&mut term, odd) {
                break;
            }
            add(&mut pi, &term, factor * sign);
            divide(&mut power, inverse);
            divide(&mut power, inverse);
        }
    }
    assert_eq!(pi[0], 3);
    assert_eq!(pi[1..=pi::PI.len()], pi::PI);
}
