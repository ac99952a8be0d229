//! AES-CCM agrees with the `ccm` crate octet for octet.
#![cfg(all(target_arch = "x86_64", not(target_os = "none")))]

use ccm::Ccm;
use ccm::aead::{AeadInOut, KeyInit};
use ccm::consts::{U8, U11, U12, U16};
use ipsec_crypto_simd::{AesCcm, available};

/// Returns whether the processor lacks the instructions, and prints it. `EXPECT_AVX512` in the environment makes that a
/// failure.
fn skipped(test: &str) -> bool {
    let lacks = available().is_none();
    assert!(!lacks || std::env::var_os("EXPECT_AVX512").is_none(), "the processor lacks AVX-512 with VAES");
    eprintln!("{test}: {}", if lacks { "skipped, as the processor lacks AVX-512 with VAES" } else { "AVX-512" });
    lacks
}

fn octets(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|n| (n.wrapping_mul(0x9e37_79b9).wrapping_add(seed.wrapping_mul(977)) >> 11).to_le_bytes()[0])
        .collect()
}

/// Seals and opens with this crate what `A` seals.
fn agree<A: KeyInit + AeadInOut<NonceSize = U11>>(key: &[u8], icv_len: usize, aad: &[u8], text: &[u8]) {
    let nonce: [u8; 11] = octets(11, text.len() + 5).try_into().unwrap();
    let ccm = AesCcm::new(key, icv_len).unwrap();
    let mut expected = text.to_vec();
    let reference = A::new_from_slice(key).unwrap();
    let tag = reference.encrypt_inout_detached((&nonce).into(), aad, expected.as_mut_slice().into()).unwrap();
    let case = format!("ICV of {icv_len} octets, {} of AAD, {} of text", aad.len(), text.len());
    let mut packet = text.to_vec();
    let icv = ccm.seal(&nonce, aad, &mut packet).unwrap();
    assert!(packet == expected, "ciphertext, {case}");
    assert_eq!(icv[..icv_len], tag[..], "ICV, {case}");
    let is_icv = |computed: &[u8; 16]| computed[..icv_len] == tag[..];

    // A forged ICV, text and AAD: the packet is unchanged.
    let mut forged = icv;
    forged[icv_len - 1] ^= 1;
    assert!(!ccm.open(&nonce, aad, &mut packet, &|computed| computed[..icv_len] == forged[..icv_len]), "{case}");
    assert!(packet == expected, "forged ICV, {case}");
    if !text.is_empty() {
        let mut forged = expected.clone();
        *forged.last_mut().unwrap() ^= 0x80;
        let before = forged.clone();
        assert!(!ccm.open(&nonce, aad, &mut forged, &is_icv), "{case}");
        assert!(forged == before, "forged text, {case}");
    }
    if !aad.is_empty() {
        let mut forged = aad.to_vec();
        forged[0] ^= 1;
        assert!(!ccm.open(&nonce, &forged, &mut packet, &is_icv), "{case}");
        assert!(packet == expected, "forged AAD, {case}");
    }
    assert!(ccm.open(&nonce, aad, &mut packet, &is_icv), "{case}");
    assert!(packet == text, "opened, {case}");
}

macro_rules! key_sizes {
    ($($name:ident: $aes:ty, $octets:literal;)*) => {$(
        #[test]
        fn $name() {
            if skipped(stringify!($name)) {
                return;
            }
            for len in (0..=200).chain([255, 256, 257, 1023, 1024, 1408, 1410, 1472, 2047, 4096, 9001]) {
                let (key, text) = (octets($octets, len), octets(len, len + 1));
                for aad in [0, 8, 12, 14] {
                    let aad = octets(aad, len + 9);
                    agree::<Ccm<$aes, U8, U11>>(&key, 8, &aad, &text);
                    agree::<Ccm<$aes, U12, U11>>(&key, 12, &aad, &text);
                    agree::<Ccm<$aes, U16, U11>>(&key, 16, &aad, &text);
                }
            }
        }
    )*};
}
key_sizes! {
    aes_128_agrees_with_rustcrypto: aes::Aes128, 16;
    aes_192_agrees_with_rustcrypto: aes::Aes192, 24;
    aes_256_agrees_with_rustcrypto: aes::Aes256, 32;
}

#[test]
fn other_lengths_are_refused_and_no_key_is_printed() {
    for octets in (0..=64).filter(|octets| ![16, 24, 32].contains(octets)) {
        assert!(AesCcm::new(&[0; 64][..octets], 16).is_none(), "key of {octets} octets");
    }
    for octets in (0..=300).filter(|octets| ![8, 12, 16].contains(octets)) {
        assert!(AesCcm::new(&[0; 16], octets).is_none(), "ICV of {octets} octets");
    }
    if !skipped("other_lengths_are_refused_and_no_key_is_printed") {
        let ccm = AesCcm::new(&[0x42; 16], 16).unwrap();
        let mut text = [0x17; 40];
        assert_eq!(ccm.seal(&[0; 11], &[0; 15], &mut text), None);
        assert!(!ccm.open(&[0; 11], &[0; 15], &mut text, &|_| true));
        assert_eq!(text, [0x17; 40]);
        assert_eq!(format!("{ccm:?}"), "AesCcm(..)");
    }
}
