//! AES-GCM agrees with the `aes-gcm` crate octet for octet, and with published vectors.
#![cfg(all(target_arch = "x86_64", not(target_os = "none")))]

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut, KeyInit};
use ipsec_crypto_simd::{AesGcm, available};

/// Returns whether the processor lacks the instructions, and prints it. `EXPECT_AVX512` in the environment makes that a
/// failure.
fn skipped(test: &str) -> bool {
    let lacks = available().is_none();
    assert!(!lacks || std::env::var_os("EXPECT_AVX512").is_none(), "the processor lacks AVX-512 with VAES");
    eprintln!("{test}: {}", if lacks { "skipped, as the processor lacks AVX-512 with VAES" } else { "AVX-512" });
    lacks
}

/// Returns lengths of texts in octets. `GCM_LENGTHS` in the environment limits how many are tested one by one.
fn lengths() -> impl Iterator<Item = usize> {
    let every = std::env::var("GCM_LENGTHS").map_or(600, |number| number.parse().unwrap());
    let around = [1023, 767, 768, 769, 784, 1024, 1408, 1536, 1537, 2000, 2047, 2048, 2049, 2063, 2112, 2304, 2313];
    (0..=every).chain(around).chain([3071, 3072, 3073, 4095, 4096, 4500])
}

fn octets(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|n| (n.wrapping_mul(0x9e37_79b9).wrapping_add(seed.wrapping_mul(977)) >> 11).to_le_bytes()[0])
        .collect()
}

fn agree<A: KeyInit + AeadInOut<NonceSize = U12>>(key: &[u8], nonce: &[u8; 12], aad: &[u8], text: &[u8]) {
    let gcm = AesGcm::new(key).unwrap();
    let mut expected = text.to_vec();
    let reference = A::new_from_slice(key).unwrap();
    let tag = reference.encrypt_inout_detached(nonce.into(), aad, expected.as_mut_slice().into()).unwrap();
    let case = format!("{} octets of AAD, {} of text", aad.len(), text.len());
    let mut sealed = text.to_vec();
    let icv = gcm.seal(nonce, aad, &mut sealed);
    assert!(sealed == expected, "ciphertext, {case}");
    assert_eq!(icv[..], tag[..], "ICV, {case}");

    // Forged ICVs of every length, text and AAD: the packet is unchanged.
    for len in [8, 12, 16] {
        let mut forged = icv;
        forged[len - 1] ^= 1;
        assert!(!gcm.open(nonce, aad, &mut sealed, &|computed| computed[..len] == forged[..len]));
        assert!(sealed == expected, "forged ICV, {case}");
    }
    if !text.is_empty() {
        let mut forged = expected.clone();
        *forged.last_mut().unwrap() ^= 0x80;
        let before = forged.clone();
        assert!(!gcm.open(nonce, aad, &mut forged, &|computed| *computed == icv));
        assert!(forged == before, "forged text, {case}");
    }
    if !aad.is_empty() {
        let mut forged = aad.to_vec();
        forged[0] ^= 1;
        assert!(!gcm.open(nonce, &forged, &mut sealed, &|computed| *computed == icv));
        assert!(sealed == expected, "forged AAD, {case}");
    }
    for len in [8, 12, 16] {
        let mut opened = expected.clone();
        assert!(gcm.open(nonce, aad, &mut opened, &|computed| computed[..len] == tag[..len]), "{case}");
        assert!(opened == text, "opened, {case}");
    }
}

macro_rules! key_sizes {
    ($($name:ident: $aes:ty, $octets:literal;)*) => {$(
        #[test]
        fn $name() {
            if skipped(stringify!($name)) {
                return;
            }
            for len in lengths() {
                let nonce = octets(12, len + 5).try_into().unwrap();
                // Every length of AAD for few texts, those of ESP in turn for the others.
                let aads = if len % 37 == 0 { &[0, 8, 12, 20, 64][..] } else { &[8, 12][len % 2..=len % 2] };
                for aad in aads {
                    agree::<aes_gcm::AesGcm<$aes, U12>>(
                        &octets($octets, len), &nonce, &octets(*aad, len + 9), &octets(len, len + 1),
                    );
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

/// AAD of several sums of products, with and without a part of a block at its end.
#[test]
fn long_aad_agrees_with_rustcrypto() {
    if skipped("long_aad_agrees_with_rustcrypto") {
        return;
    }
    for blocks in [1usize, 2, 3, 4, 5, 31, 32, 33, 34, 64, 65, 130] {
        for len in [16 * blocks, 16 * blocks + 5] {
            let aad = octets(len, blocks);
            agree::<aes_gcm::AesGcm<aes::Aes128, U12>>(&octets(16, 3), &[7; 12], &aad, &octets(33, blocks));
        }
    }
}

fn decoded(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Test cases 1 to 4, 8, 14 and 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B.
#[test]
fn the_published_test_cases_are_sealed() {
    if skipped("the_published_test_cases_are_sealed") {
        return;
    }
    const KEY: &str = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    const TEXT: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
        1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
    const SEALED_128: &str = "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
        21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985";
    const SEALED_256: &str = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
        8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
    const AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    let (zeros, zero_nonce, nonce) = ("00".repeat(32), "00".repeat(12), "cafebabefacedbaddecaf888");
    #[rustfmt::skip]
    let cases: [(&str, &str, &str, &str, &str, &str); 7] = [
        (&zeros[..32], &zero_nonce[..], "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"),
        (&zeros[..32], &zero_nonce, "", &zeros[..32], "0388dace60b6a392f328c2b971b2fe78",
            "ab6e47d42cec13bdf53a67b21257bddf"),
        (&KEY[..32], nonce, "", TEXT, SEALED_128, "4d5c2af327cd64a62cf35abd2ba6fab4"),
        (&KEY[..32], nonce, AAD, &TEXT[..120], &SEALED_128[..120], "5bc94fbc3221a5db94fae95ae7121a47"),
        (&zeros[..48], &zero_nonce, "", &zeros[..32], "98e7247c07f0fe411c267e4384b0f600",
            "2ff58d80033927ab8ef4d4587514f0fb"),
        (&zeros[..64], &zero_nonce, "", &zeros[..32], "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919"),
        (KEY, nonce, AAD, &TEXT[..120], &SEALED_256[..120], "76fc6ece0f4e1768cddf8853bb2d551b"),
    ];
    for (key, nonce, aad, text, sealed, tag) in cases {
        let mut octets = decoded(text);
        let nonce = decoded(nonce).try_into().unwrap();
        let icv = AesGcm::new(&decoded(key)).unwrap().seal(&nonce, &decoded(aad), &mut octets);
        assert_eq!((octets, icv.to_vec()), (decoded(sealed), decoded(tag)));
    }
}

#[test]
fn keys_of_other_lengths_are_refused_and_no_key_is_printed() {
    for octets in (0..=64).filter(|octets| ![16, 24, 32].contains(octets)) {
        assert!(AesGcm::new(&[0; 64][..octets]).is_none(), "{octets} octets");
    }
    if !skipped("keys_of_other_lengths_are_refused_and_no_key_is_printed") {
        assert_eq!(format!("{:?}", AesGcm::new(&[0x42; 16]).unwrap()), "AesGcm(..)");
    }
}
