//! A batch of ICV inputs gives the ICVs that single computations give.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

use std::vec;
use std::vec::Vec;

use test_vectors::Random;

use crate::internal::Internal;
use crate::*;

/// Asserts that batch and single computations agree on inputs of these lengths, each under one of the keys.
fn agrees(name: &str, icvs: &[impl Integrity], lengths: &[usize], rng: &mut Random) {
    let octets: Vec<u8> = (0..2100).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
    let inputs: Vec<IcvInput<'_>> = lengths
        .iter()
        .enumerate()
        .map(|(n, &length)| IcvInput::new(&octets[n % 100..n % 100 + length], (n % 3 == 1).then_some(&[1, 2, 3, 4])))
        .collect();
    let inputs: Vec<_> = inputs.into_iter().map(|input| (&icvs[rng.below(icvs.len())], input)).collect();
    let single: Vec<Icv> = inputs.iter().map(|(icv, input)| icv.compute(&input.segments())).collect();
    let mut batch = vec![icvs[0].compute(&[]); inputs.len()];
    Integrity::compute_batch(&inputs, &mut batch, Internal);
    for (((icv, input), one), both) in inputs.iter().zip(&single).zip(&batch) {
        assert_eq!(one.as_slice(), both.as_slice(), "{name}, {input:?} of {}", inputs.len());
        assert_eq!(one.as_slice(), icv.compute_input(*input, Internal).as_slice(), "{name}, {input:?}");
        assert_eq!(one.as_slice(), icv.compute_received(*input, Internal).as_slice(), "{name}, {input:?}");
    }
}

fn each_icv(mut check: impl FnMut(&str, &dyn Fn(&[usize], &mut Random))) {
    let key: [u8; 66] = core::array::from_fn(|n| n as u8);
    macro_rules! with {
        ($name:literal, $octets:literal, $new:expr) => {
            let icvs = [0, 1, 2].map(|n| $new(&key[n..n + $octets]));
            check($name, &|lengths, rng| agrees($name, &icvs, lengths, rng));
        };
    }
    with!("md5", 16, |key| HmacMd5_96::from_slice(key).unwrap());
    with!("sha1", 20, |key| HmacSha1_96::from_slice(key).unwrap());
    with!("sha256", 32, |key| HmacSha2_256_128::from_slice(key).unwrap());
    with!("sha256-96", 32, |key| HmacSha2_256_96::from_slice(key).unwrap());
    with!("sha384", 48, |key| HmacSha2_384_192::from_slice(key).unwrap());
    with!("sha512", 64, |key| HmacSha2_512_256::from_slice(key).unwrap());
    with!("ripemd", 20, |key| HmacRipemd160_96::from_slice(key).unwrap());
    with!("xcbc", 16, |key: &[u8]| AesXcbcMac96::new(key.first_chunk().unwrap()));
}

#[test]
fn batch_icv_equals_single_icv_for_every_length() {
    let rng = &mut Random(1);
    each_icv(|_, agrees| {
        for first in (0..288).step_by(16) {
            let lengths: Vec<usize> = (first..first + 16).collect();
            agrees(&lengths, rng);
        }
    });
}

#[test]
fn batch_icv_equals_single_icv_for_every_batch_size() {
    each_icv(|_, agrees| {
        let rng = &mut Random(2);
        for size in (0..40).chain([47, 48, 49, 64, 65, 100]) {
            let mixed: Vec<usize> = (0..size).map(|_| [rng.below(100), 1448, rng.below(2000)][rng.below(3)]).collect();
            agrees(&mixed, rng);
        }
    });
}

#[test]
fn batch_icv_equals_single_icv_for_keys_longer_than_a_block() {
    let rng = &mut Random(3);
    for length in [63, 64, 65, 128, 200] {
        let key = vec![0x5a; length];
        let lengths = [0, 1, 55, 56, 63, 64, 65, 119, 120, 1448, 20, 30, 40, 50, 60, 70, 80, 90];
        agrees("md5", &[HmacMd5_96::from_slice(&key).unwrap()], &lengths, rng);
        agrees("sha1", &[HmacSha1_96::from_slice(&key).unwrap()], &lengths, rng);
        agrees("sha256", &[HmacSha2_256_128::from_slice(&key).unwrap()], &lengths, rng);
    }
}
