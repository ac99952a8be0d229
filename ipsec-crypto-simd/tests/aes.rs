//! AES-CBC and AES-CTR agree with AES of RustCrypto octet for octet.
#![cfg(all(target_arch = "x86_64", not(target_os = "none")))]

use cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit, consts::U16};
use ipsec_crypto_simd::{Vaes, available};

/// Fills octets with the same pseudo-random values in each run (SplitMix64).
fn fill(seed: &mut u64, octets: &mut [u8]) {
    for octet in octets {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        *octet = ((mixed ^ (mixed >> 27)) >> 40).to_le_bytes()[0];
    }
}

/// Returns whether the processor lacks the instructions, and prints it.
fn skipped(test: &str) -> bool {
    let lacks = available().is_none();
    if lacks {
        eprintln!("{test}: skipped, as the processor lacks AVX-512 with VAES and SHA");
    }
    lacks
}

fn encrypt_block<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>>(aes: &A, block: &mut [u8; 16]) {
    let mut state = (*block).into();
    aes.encrypt_block(&mut state);
    *block = state.into();
}

/// Encrypts in CBC mode (RFC 3602 section 2).
fn cbc<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>>(aes: &A, iv: [u8; 16], body: &mut [[u8; 16]]) {
    let mut chain = iv;
    for block in body {
        chain.iter_mut().zip(&*block).for_each(|(to, from)| *to ^= from);
        encrypt_block(aes, &mut chain);
        *block = chain;
    }
}

/// Encrypts in counter mode (RFC 3686 section 4).
fn ctr<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>>(aes: &A, nonce: [u8; 12], body: &mut [u8]) {
    for (n, piece) in (1u32..).zip(body.chunks_mut(16)) {
        let mut stream = [0; 16];
        stream[..12].copy_from_slice(&nonce);
        stream[12..].copy_from_slice(&n.to_be_bytes());
        encrypt_block(aes, &mut stream);
        piece.iter_mut().zip(stream).for_each(|(to, from)| *to ^= from);
    }
}

macro_rules! key_sizes {
    ($($name:ident: $aes:ty, $octets:literal;)*) => {$(
        mod $name {
            use super::*;

            fn both(seed: &mut u64) -> (Vaes, $aes) {
                let mut key = [0; $octets];
                fill(seed, &mut key);
                (Vaes::new(&key).unwrap(), <$aes>::new(&key.into()))
            }

            /// Tests every number of blocks up to four groups and more.
            #[test]
            fn cbc_of_one_packet_matches_the_reference() {
                if skipped("cbc_of_one_packet_matches_the_reference") {
                    return;
                }
                let seed = &mut $octets;
                for blocks in 0..=70 {
                    let (aes, library) = both(seed);
                    let (mut iv, mut plain) = ([0; 16], [[0; 16]; 70]);
                    fill(seed, &mut iv);
                    fill(seed, plain.as_flattened_mut());
                    let (mut one, mut other, mut chain) = (plain, plain, iv);
                    aes.encrypt_chain(&mut chain, &mut one[..blocks]);
                    cbc(&library, iv, &mut other[..blocks]);
                    assert_eq!(one, other, "{blocks} blocks");
                    assert_eq!(chain, if blocks == 0 { iv } else { one[blocks - 1] }, "chain of {blocks} blocks");
                    aes.decrypt(&iv, one[..blocks].as_flattened_mut());
                    assert_eq!(one, plain, "{blocks} blocks");
                }
            }

            /// Tests every number of lanes, under one key and under a key for each, with bodies of different lengths.
            #[test]
            fn cbc_of_several_packets_match_the_reference() {
                if skipped("cbc_of_several_packets_match_the_reference") {
                    return;
                }
                let seed = &mut $octets;
                let keys: Vec<_> = (0..Vaes::LANES).map(|_| both(seed)).collect();
                for lanes in 1..=Vaes::LANES {
                    for steps in 0..=13 {
                        for different in [0, 1] {
                            let of = |lane: usize| &keys[lane * different];
                            let mut ivs = vec![[0; 16]; lanes];
                            fill(seed, ivs.as_flattened_mut());
                            let mut texts: Vec<_> = (0..lanes).map(|lane| vec![[0; 16]; steps + lane % 3]).collect();
                            texts.iter_mut().for_each(|text| fill(seed, text.as_flattened_mut()));
                            let (mut expected, mut chains) = (texts.clone(), ivs.clone());
                            for (lane, text) in expected.iter_mut().enumerate() {
                                cbc(&of(lane).1, ivs[lane], &mut text[..steps]);
                            }
                            let all: Vec<_> = (0..lanes).map(|lane| &of(lane).0).collect();
                            let mut bodies: Vec<_> = texts.iter_mut().map(Vec::as_mut_slice).collect();
                            Vaes::encrypt_chains(&all, &mut chains, &mut bodies, steps);
                            for (lane, body) in bodies.iter().enumerate() {
                                assert_eq!(body.len(), lane % 3, "rest of lane {lane}");
                            }
                            assert_eq!(texts, expected, "{lanes} lanes, {steps} steps");
                            for (lane, chain) in chains.iter().enumerate() {
                                let last = steps.checked_sub(1).map_or(ivs[lane], |last| expected[lane][last]);
                                assert_eq!(*chain, last, "chain of lane {lane} of {lanes}, {steps} steps");
                            }
                        }
                    }
                }
            }

            /// Tests every length up to four groups of blocks and more.
            #[test]
            fn ctr_of_one_packet_matches_the_reference() {
                if skipped("ctr_of_one_packet_matches_the_reference") {
                    return;
                }
                let seed = &mut $octets;
                let (aes, library) = both(seed);
                for length in 0..1100 {
                    let (mut nonce, mut one) = ([0; 12], [0; 1100]);
                    fill(seed, &mut nonce);
                    fill(seed, &mut one);
                    let mut other = one;
                    aes.apply_stream(nonce, &mut one[..length]);
                    ctr(&library, nonce, &mut other[..length]);
                    assert_eq!(one, other, "{length} octets");
                }
            }
        }
    )*};
}
key_sizes! {
    aes_128: aes::Aes128, 16;
    aes_192: aes::Aes192, 24;
    aes_256: aes::Aes256, 32;
}

#[test]
fn keys_of_other_lengths_are_refused() {
    for octets in (0..=64).filter(|octets| ![16, 24, 32].contains(octets)) {
        assert!(Vaes::new(&[0; 64][..octets]).is_none(), "{octets} octets");
    }
}

#[test]
fn keys_are_not_printed() {
    if skipped("keys_are_not_printed") {
        return;
    }
    assert_eq!(format!("{:?}", Vaes::new(&[0x42; 16]).unwrap()), "Vaes(..)");
}
