//! Each width of the implementation agrees with the `des` crate octet for octet.

use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use proptest::prelude::*;

use super::*;
use crate::cbc64::tests::{agree as cbc_agrees, octets};
use crate::{Cbc64, TableDes};

extern crate std;
use std::vec::Vec;

type Implementation = fn(&[KeyMasks], &[u8; 8], &mut [[u8; 8]]);

/// Returns the implementations that this processor has.
fn implementations() -> Vec<Implementation> {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
    let mut all: Vec<Implementation> =
        std::vec![|keys, iv, blocks| bitslice::decrypt_cbc::<u32, 1>((), keys, iv, blocks), |keys, iv, blocks| {
            bitslice::decrypt_cbc::<u64, 2>((), keys, iv, blocks)
        },];
    #[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
    {
        all.push(|keys, iv, blocks| decrypt_sse2(Level::new().as_sse2().unwrap(), keys, iv, blocks));
        match Level::new().as_avx2() {
            Some(_) => all.push(|keys, iv, blocks| decrypt_avx2(Level::new().as_avx2().unwrap(), keys, iv, blocks)),
            None => std::eprintln!("AVX2 is skipped, as the processor lacks it"),
        }
        match Level::new().as_avx512() {
            Some(_) => {
                all.push(|keys, iv, blocks| decrypt_avx512(Level::new().as_avx512().unwrap(), keys, iv, blocks));
            }
            None => std::eprintln!("AVX-512 is skipped, as the processor lacks it"),
        }
    }
    all
}

/// Decrypts in CBC mode with the crate.
fn reference(des: &impl BlockCipherDecrypt<BlockSize = cipher::consts::U8>, iv: &[u8; 8], blocks: &mut [[u8; 8]]) {
    let mut before = *iv;
    for block in blocks {
        let mut plain = (*block).into();
        des.decrypt_block(&mut plain);
        plain.iter_mut().zip(before).for_each(|(plain, before)| *plain ^= before);
        before = *block;
        *block = plain.into();
    }
}

fn agree<const KEYS: usize>(keys: [[u8; 8]; KEYS], iv: &[u8; 8], blocks: &[[u8; 8]], expected: &[[u8; 8]]) {
    let masks = keys.each_ref().map(KeyMasks::new);
    for (number, decrypt) in implementations().iter().enumerate() {
        let mut decrypted = blocks.to_vec();
        decrypt(&masks, iv, &mut decrypted);
        assert!(decrypted == expected, "implementation {number}, {KEYS} keys, {} blocks", blocks.len());
    }
    let mut decrypted = blocks.to_vec();
    BitslicedDes { keys }.decrypt(iv, decrypted.as_flattened_mut());
    assert!(decrypted == expected, "{KEYS} keys, {} blocks", blocks.len());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn des_agrees_with_rustcrypto(
        key: [u8; 8],
        iv: [u8; 8],
        blocks in prop::collection::vec(any::<[u8; 8]>(), 0..600),
    ) {
        let mut expected = blocks.clone();
        reference(&des::Des::new(&key.into()), &iv, &mut expected);
        agree([key], &iv, &blocks, &expected);
    }

    #[test]
    fn triple_des_agrees_with_rustcrypto(
        keys: [[u8; 8]; 3],
        iv: [u8; 8],
        blocks in prop::collection::vec(any::<[u8; 8]>(), 0..600),
    ) {
        let mut expected = blocks.clone();
        let mut key = [0; 24];
        key.copy_from_slice(keys.as_flattened());
        reference(&des::TdesEde3::new(&key.into()), &iv, &mut expected);
        agree(keys, &iv, &blocks, &expected);
    }
}

/// Lengths around the groups of every width.
#[test]
fn every_length_up_to_two_groups_agrees_with_rustcrypto() {
    let (key, iv) = ([0x13, 0x34, 0x57, 0x79, 0x9b, 0xbc, 0xdf, 0xf1], [0x5a; 8]);
    let des = des::Des::new(&key.into());
    let blocks: Vec<[u8; 8]> = (0..520u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).collect();
    for len in 0..=blocks.len() {
        let mut expected = blocks[..len].to_vec();
        reference(&des, &iv, &mut expected);
        agree([key], &iv, &blocks[..len], &expected);
    }
}

/// The example of NIST SP 800-67 revision 1, appendix B.1, is TDEA in ECB mode: CBC with the blocks before as IVs.
#[test]
fn the_example_of_sp_800_67_is_decrypted() {
    let keys = [0x0123_4567_89ab_cdef_u64, 0x2345_6789_abcd_ef01, 0x4567_89ab_cdef_0123].map(u64::to_be_bytes);
    let blocks = [0xa826_fd8c_e53b_855f_u64, 0xcce2_1c81_1225_6fe6, 0x68d5_c05d_d9b6_b900];
    let text = b"The qufck brown fox jump";
    for (block, plain) in blocks.map(u64::to_be_bytes).iter().zip(text.as_chunks::<8>().0) {
        agree(keys, &[0; 8], &[*block], &[*plain]);
    }
}

/// Keys of RFC 2405 section 4.1, whose round keys repeat, and keys of one bit.
const SPECIAL: [u64; 8] = [
    0x0101_0101_0101_0101,
    0xfefe_fefe_fefe_fefe,
    0x1f1f_1f1f_0e0e_0e0e,
    0x01fe_01fe_01fe_01fe,
    0xe001_e001_f101_f101,
    0,
    1 << 63,
    2,
];

fn cbc_of_keys_agrees<D: Cbc64, T: Cbc64>(
    seed: &mut u64,
    special: bool,
    des: impl Fn(&[u8; 8]) -> D,
    triple: impl Fn(&[u8; 24]) -> T,
) {
    let mut key = |n: usize| if special { SPECIAL[n % 8].to_be_bytes() } else { octets(seed) };
    let keys: Vec<[u8; 8]> = (0..5).map(&mut key).collect();
    let triples: Vec<[[u8; 8]; 3]> = (5..10).map(|n| [key(n), key(n ^ 1), key(n ^ 7)]).collect();
    let joined = |keys: &[[u8; 8]; 3]| -> [u8; 24] { keys.as_flattened().try_into().unwrap() };
    let crates: Vec<_> = keys.iter().map(|key| des::Des::new(&(*key).into())).collect();
    let encrypt = |number: usize, block: [u8; 8]| {
        let mut block = block.into();
        crates[number].encrypt_block(&mut block);
        block.into()
    };
    cbc_agrees(&keys.iter().map(&des).collect::<Vec<_>>(), encrypt, seed);
    let crates: Vec<_> = triples.iter().map(|keys| des::TdesEde3::new(&joined(keys).into())).collect();
    let encrypt = |number: usize, block: [u8; 8]| {
        let mut block = block.into();
        crates[number].encrypt_block(&mut block);
        block.into()
    };
    cbc_agrees(&triples.iter().map(|keys| triple(&joined(keys))).collect::<Vec<_>>(), encrypt, seed);
}

#[test]
fn cbc_mode_of_every_form_agrees_with_rustcrypto() {
    for seed in 0..20 {
        cbc_of_keys_agrees(&mut { seed }, seed == 0, TableDes::<1>::new, TableDes::<3>::new);
    }
    for seed in 0..2 {
        cbc_of_keys_agrees(&mut { seed }, seed == 0, FastDes::<1>::new, FastDes::<3>::new);
    }
    for seed in 0..2 {
        cbc_of_keys_agrees(&mut { seed }, seed == 0, BitslicedDes::<1>::new, BitslicedDes::<3>::new);
    }
}

/// Octets after the last whole block are left alone.
#[test]
fn a_partial_block_is_unchanged() {
    let mut body = [7; 13];
    BitslicedDes::<1>::new(&[1; 8]).decrypt(&[0; 8], &mut body);
    assert_eq!(body[8..], [7; 5]);
    assert_ne!(body[..8], [7; 8]);
}
