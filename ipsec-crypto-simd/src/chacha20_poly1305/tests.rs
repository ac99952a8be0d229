//! Each width of the implementation agrees with the `chacha20poly1305` crate.

use ::chacha20poly1305::ChaCha20Poly1305 as Reference;
use ::chacha20poly1305::aead::{AeadInOut, KeyInit};
use proptest::prelude::*;

use super::*;

extern crate std;
use std::vec::Vec;

type Seal = fn(&[u8; 32], &[u8; 12], &[u8], &mut [u8]) -> [u8; 16];
type Open = fn(&[u8; 32], &[u8; 12], &[u8], &mut [u8], &dyn Fn(&[u8; 16]) -> bool) -> bool;

/// Returns the implementations that this processor has.
fn implementations() -> Vec<(Seal, Open)> {
    let mut all: Vec<(Seal, Open)> = std::vec![
        (
            |key, nonce, aad, text| ChaCha20Poly1305::new(key).unwrap().seal(nonce, aad, text),
            |key, nonce, aad, text, verify| ChaCha20Poly1305::new(key).unwrap().open(nonce, aad, text, verify),
        ),
        (
            |key, nonce, aad, text| seal_sse2(Level::new().as_sse2().unwrap(), key, nonce, aad, text),
            |key, nonce, aad, text, verify| {
                open_sse2(Level::new().as_sse2().unwrap(), key, nonce, aad, text, verify)
            },
        ),
    ];
    match Level::new().as_avx2() {
        Some(_) => all.push((
            |key, nonce, aad, text| seal_avx2(Level::new().as_avx2().unwrap(), key, nonce, aad, text),
            |key, nonce, aad, text, verify| open_avx2(Level::new().as_avx2().unwrap(), key, nonce, aad, text, verify),
        )),
        None => std::eprintln!("AVX2 is skipped, as the processor lacks it"),
    }
    match Level::new().as_avx512() {
        Some(_) => all.push((
            |key, nonce, aad, text| seal_avx512(Level::new().as_avx512().unwrap(), key, nonce, aad, text),
            |key, nonce, aad, text, verify| {
                open_avx512(Level::new().as_avx512().unwrap(), key, nonce, aad, text, verify)
            },
        )),
        None => std::eprintln!("AVX-512 is skipped, as the processor lacks it"),
    }
    all
}

fn agree(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &[u8]) {
    let reference = Reference::new(key.into());
    let mut expected = text.to_vec();
    let tag = reference.encrypt_inout_detached(nonce.into(), aad, (&mut expected[..]).into()).unwrap();
    for (number, (seal, open)) in implementations().iter().enumerate() {
        let mut sealed = text.to_vec();
        let icv = seal(key, nonce, aad, &mut sealed);
        assert_eq!(icv, *tag, "ICV of implementation {number}, {} and {} octets", aad.len(), text.len());
        assert!(sealed == expected, "implementation {number}, {} octets", text.len());
        // A forged packet is unchanged, though its ICV was computed.
        assert!(!open(key, nonce, aad, &mut sealed, &|computed| {
            assert_eq!(*computed, icv, "received, implementation {number}, {} octets", text.len());
            false
        }));
        assert!(sealed == expected, "forged, implementation {number}, {} octets", text.len());
        assert!(open(key, nonce, aad, &mut sealed, &|computed| *computed == icv));
        assert!(sealed == text, "opened, implementation {number}, {} octets", text.len());
    }
}

fn octets(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(0x9e37_79b9).wrapping_add(seed) >> 13).to_le_bytes()[0]).collect()
}

#[test]
fn every_length_agrees_with_rustcrypto() {
    for len in (0..=3000).chain([4096, 9000]) {
        let key: [u8; 32] = octets(32, len).try_into().unwrap();
        let nonce: [u8; 12] = octets(12, len + 5).try_into().unwrap();
        // Without and with ESN; further lengths with few texts.
        let aads = if len % 61 == 0 { &[0, 1, 8, 12, 15, 16, 17, 40][..] } else { &[8, 12][len % 2..=len % 2] };
        for aad in aads {
            agree(&key, &nonce, &octets(*aad, len + 9), &octets(len, len + 1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn random_messages_agree_with_rustcrypto(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in prop::collection::vec(any::<u8>(), 0..40),
        text in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        agree(&key, &nonce, &aad, &text);
    }

    /// Words of zeros and ones make carries that random words seldom have.
    #[test]
    fn poly1305_of_extreme_words_agrees_with_the_definition(
        key in prop::array::uniform8(extreme()),
        text in prop::collection::vec(extreme(), 0..40),
        cut in 0usize..4,
    ) {
        let mut octets: Vec<u8> = text.iter().flat_map(|word| word.to_le_bytes()).collect();
        octets.truncate(octets.len().saturating_sub(cut));
        let number = |words: &[u32]| words.iter().rev().fold(0u128, |number, word| number << 32 | u128::from(*word));
        let (r, pad) = (number(&key[..4]), number(&key[4..]));
        let mac = Key::new([r, pad]);
        let tag = mac.finish(mac.absorb_padded([0; 3], &octets));
        prop_assert_eq!(u128::from_le_bytes(tag), definition(r, pad, &octets));
    }
}

fn extreme() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(u32::MAX), Just(1), Just(u32::MAX - 4), Just(1 << 31), any::<u32>()]
}

/// Computes Poly1305 with padded blocks as RFC 8439 section 2.5 defines it: multiplication bit by bit, each step
/// reduced.
fn definition(r: u128, pad: u128, text: &[u8]) -> u128 {
    // Numbers below 2^130 - 5, as their upper two bits and the lower 128.
    fn reduced(high: u8, low: u128) -> (u8, u128) {
        let (low, carry) = low.overflowing_add(u128::from(high >> 2) * 5);
        let high = (high & 3) + u8::from(carry);
        if high > 3 || (high == 3 && low >= u128::MAX - 4) {
            let (low, borrow) = low.overflowing_sub(u128::MAX - 4);
            (high - 3 - u8::from(borrow), low)
        } else {
            (high, low)
        }
    }
    fn add((a, b): (u8, u128), (c, d): (u8, u128)) -> (u8, u128) {
        let (low, carry) = b.overflowing_add(d);
        reduced(a + c + u8::from(carry), low)
    }
    let r = r & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
    let h = text.chunks(16).fold((0, 0), |h, chunk| {
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        let h = add(h, (1, u128::from_le_bytes(block)));
        (0..128).rev().fold((0, 0), |product, bit| {
            let doubled = add(product, product);
            if r >> bit & 1 == 1 { add(doubled, h) } else { doubled }
        })
    });
    h.1.wrapping_add(pad)
}

/// RFC 8439 section 2.8.2.
#[test]
fn the_example_of_rfc_8439_is_sealed() {
    let key: [u8; 32] = core::array::from_fn(|n| [0x80, 0x90][n / 16] | (n % 16).to_le_bytes()[0]);
    let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
    let mut text = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    let icv = ChaCha20Poly1305::new(&key).unwrap().seal(&nonce, &aad, &mut text);
    assert_eq!(text[..8], [0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb]);
    assert_eq!(icv, 0x1ae1_0b59_4f09_e26a_7e90_2ecb_d060_0691_u128.to_be_bytes());
}
