//! Checks of a cipher in CBC mode against an implementation that encrypts single blocks.

use super::*;

extern crate std;
use std::vec::Vec;

/// Returns octets that differ with the seed.
pub(crate) fn octets(seed: &mut u64) -> [u8; 8] {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed ^ *seed >> 29).to_be_bytes()
}

fn blocks(seed: &mut u64, count: usize) -> Vec<[u8; 8]> {
    (0..count).map(|_| octets(seed)).collect()
}

/// Compares CBC mode with `encrypt`, which encrypts a block with the cipher of this index.
pub(crate) fn agree<C: Cbc64>(ciphers: &[C], encrypt: impl Fn(usize, [u8; 8]) -> [u8; 8], seed: &mut u64) {
    let chained = |cipher: usize, iv: [u8; 8], text: &[[u8; 8]]| -> Vec<[u8; 8]> {
        let next = |chain: &mut [u8; 8], block: &[u8; 8]| {
            *chain = encrypt(cipher, (u64::from_ne_bytes(*chain) ^ u64::from_ne_bytes(*block)).to_ne_bytes());
            Some(*chain)
        };
        text.iter().scan(iv, next).collect()
    };
    for count in (0..40).chain([177]) {
        let (cipher, iv, text) = (count % ciphers.len(), octets(seed), blocks(seed, count));
        let expected = chained(cipher, iv, &text);
        // The chain is continued by a second call.
        let mut sealed = text.clone();
        let (front, back) = sealed.split_at_mut(count / 3);
        let mut chain = iv;
        ciphers[cipher].encrypt_chain(&mut chain, front);
        ciphers[cipher].encrypt_chain(&mut chain, back);
        assert_eq!(sealed, expected, "{count} blocks");
        assert_eq!(chain, *expected.last().unwrap_or(&iv), "{count} blocks");
        // A partial block is unchanged.
        let mut opened = sealed.as_flattened().to_vec();
        opened.extend([7; 5]);
        ciphers[cipher].decrypt(&iv, &mut opened);
        let (whole, partial) = opened.split_at(8 * count);
        assert_eq!((whole, partial), (text.as_flattened(), &[7; 5][..]), "{count} blocks");
    }
    for (keys, count) in (1..=ciphers.len()).flat_map(|keys| (0..=CHAINS + 3).map(move |count| (keys, count))) {
        let steps = count * 5 % 7;
        let all: Vec<&C> = (0..count).map(|lane| &ciphers[lane % keys]).collect();
        let ivs = blocks(seed, count);
        let texts: Vec<_> = (0..count).map(|lane| blocks(seed, steps + lane % 3)).collect();
        let (mut chains, mut sealed) = (ivs.clone(), texts.clone());
        let mut bodies: Vec<&mut [[u8; 8]]> = sealed.iter_mut().map(|text| &mut text[..]).collect();
        C::encrypt_chains(&all, &mut chains, &mut bodies, steps);
        assert!(bodies.iter().enumerate().all(|(lane, body)| body.len() == lane % 3), "blocks that are left");
        for (lane, text) in texts.iter().enumerate() {
            let expected = chained(lane % keys, ivs[lane], &text[..steps]);
            assert_eq!(sealed[lane][..steps], expected, "{count} chains, {keys} keys, {steps} steps, lane {lane}");
            assert_eq!(sealed[lane][steps..], text[steps..], "blocks after the last step");
            assert_eq!(chains[lane], *expected.last().unwrap_or(&ivs[lane]), "{count} chains, lane {lane}");
        }
    }
}
