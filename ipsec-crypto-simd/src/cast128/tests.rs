//! CAST-128 agrees with the `cast5` crate.

use cipher::{BlockCipherEncrypt, KeyInit};

use super::*;
use crate::cbc64::tests::{agree, octets};

extern crate std;
use std::vec::Vec;

#[test]
fn cbc_mode_with_keys_of_every_length_agrees_with_rustcrypto() {
    for first in 5..=16usize {
        let mut seed = first as u64;
        // Keys of twelve and of sixteen rounds in one batch.
        let keys: Vec<Vec<u8>> = [first, 16, 10, 11, first]
            .map(|len| (0..len).map(|_| octets(&mut seed)[0]).collect())
            .into_iter()
            .collect();
        let crates: Vec<_> = keys.iter().map(|key| cast5::Cast5::new_from_slice(key).unwrap()).collect();
        let encrypt = |number: usize, block: [u8; 8]| {
            let mut block = block.into();
            crates[number].encrypt_block(&mut block);
            block.into()
        };
        agree(&keys.iter().map(|key| Cast128::new(key)).collect::<Vec<_>>(), encrypt, &mut seed);
    }
}

/// RFC 2144 appendix B.1.
#[test]
fn the_examples_of_rfc_2144_are_encrypted() {
    let key = 0x0123_4567_1234_5678_2345_6789_3456_789a_u128.to_be_bytes();
    let (text, chain) = (0x0123_4567_89ab_cdef_u64, [0; 8]);
    for (len, expected) in [(16, 0x238b_4fe5_847e_44b2_u64), (10, 0xeb6a_711a_2c02_271b), (5, 0x7ac8_16d1_6e9b_302e)] {
        let mut blocks = [text.to_be_bytes()];
        Cast128::new(&key[..len]).encrypt_chain(&mut { chain }, &mut blocks);
        assert_eq!(u64::from_be_bytes(blocks[0]), expected, "{len} octets of key");
    }
}
