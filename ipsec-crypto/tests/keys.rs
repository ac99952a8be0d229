//! Keys and combinations of algorithms: accepted lengths, the error of each refusal, and redacted `Debug` output.
#![cfg(all(feature = "modern", feature = "legacy", feature = "runtime-suites"))]

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};

use des::cipher::{Array, BlockCipherEncrypt, KeyInit};
use ipsec_crypto::{
    Aes128Cbc, Aes128Ccm8, Aes128Ctr, Aes128Gcm16, Aes128Gmac, AesCmac96, AesXcbcMac96, AhIntegrity, AnyAhIntegrity,
    AnyCipher, AnyIntegrity, AnySuite, BlowfishCbc, Cast128Cbc, ChaCha20Poly1305, Cipher, CipherAlgorithm as C, DesCbc,
    EncryptThenMac, EncryptWithoutIntegrity, HmacMd5_96, HmacRipemd160_96, HmacSha1_96, HmacSha2_256_96,
    HmacSha2_256_128, HmacSha2_384_192, HmacSha2_512_256, Integrity, IntegrityAlgorithm as I, KeyError, KeyLengths,
    Secret, SuiteKeys, TripleDesCbc,
};

/// Weak keys of RFC 2409 appendix A and NIST SP 800-67, with odd parity.
const WEAK: [u64; 4] = [0x0101010101010101, 0x1f1f1f1f0e0e0e0e, 0xe0e0e0e0f1f1f1f1, 0xfefefefefefefefe];
const SEMI_WEAK: [[u64; 2]; 6] = [
    [0x011f011f010e010e, 0x1f011f010e010e01],
    [0x01e001e001f101f1, 0xe001e001f101f101],
    [0x01fe01fe01fe01fe, 0xfe01fe01fe01fe01],
    [0x1fe01fe00ef10ef1, 0xe01fe01ff10ef10e],
    [0x1ffe1ffe0efe0efe, 0xfe1ffe1ffe0efe0e],
    [0xe0fee0fef1fef1fe, 0xfee0fee0fef1fef1],
];
const PARITY: u64 = 0x0101010101010101;

/// Returns a key of octets that no type name contains, in hexadecimal or decimal; its blocks of 8 octets differ.
fn key(length: usize) -> Vec<u8> {
    const OCTETS: [u8; 8] = [0xd3, 0xe3, 0xb7, 0x9d, 0xf5, 0xeb, 0xa7, 0x8b];
    (0..length).map(|at| OCTETS[(at + at / 8) % 8]).collect()
}

fn array<const N: usize>() -> [u8; N] {
    key(N).try_into().unwrap()
}

fn des_refuses(key: u64, error: KeyError) {
    let key = key.to_be_bytes();
    let integrity = (I::HmacSha1_96, array::<20>());
    let refusals = [
        DesCbc::new(&key).err(),
        DesCbc::from_slice(&key).err(),
        AnyCipher::new(C::DesCbc, &key).err(),
        AnySuite::without_integrity(C::DesCbc, &key).err(),
        AnySuite::from_slices(C::DesCbc, &key, integrity.0, &integrity.1).err(),
    ];
    assert_eq!(refusals, [Some(error); 5], "{key:02x?}");
}

#[test]
fn weak_and_semi_weak_des_keys_are_refused_with_any_parity() {
    let mut refused = 0;
    // Each octet with its parity bit as printed or inverted.
    let parities = (0..=u8::MAX).map(|bits| (0..8).fold(0, |mask, at| mask << 8 | u64::from(bits >> at & 1)));
    for flipped in parities {
        for weak in WEAK {
            des_refuses(weak ^ flipped, KeyError::WeakDes);
            refused += 1;
        }
        for semi_weak in SEMI_WEAK.into_iter().flatten() {
            des_refuses(semi_weak ^ flipped, KeyError::SemiWeakDes);
            refused += 1;
        }
    }
    assert_eq!(refused, 256 * 16);
}

#[test]
fn refused_des_keys_decrypt_their_own_or_their_pairs_encryption() {
    let clear = Array([0x0b, 0xad, 0xc0, 0xff, 0xee, 0x15, 0x90, 0x0d]);
    for [first, second] in WEAK.map(|key| [key, key]).into_iter().chain(SEMI_WEAK) {
        let mut block = clear;
        for key in [first, second] {
            des::Des::new(&Array(key.to_be_bytes())).encrypt_block(&mut block);
        }
        assert_eq!(block, clear, "{first:x}");
    }
}

#[test]
fn des_keys_one_bit_from_a_weak_key_are_accepted() {
    for refused in WEAK.into_iter().chain(SEMI_WEAK.into_iter().flatten()) {
        for bit in (0..64).filter(|bit| PARITY >> bit & 1 == 0) {
            let key = (refused ^ 1 << bit).to_be_bytes();
            assert!(DesCbc::new(&key).is_ok(), "{key:02x?}");
        }
    }
}

#[test]
fn triple_des_is_degenerate_when_adjacent_keys_are_equal_except_for_parity() {
    let [a, b, c] = [0x23456789abcdef01_u64, 0xfedcba9876543210, 0x0f1e2d3c4b5a6978];
    #[rustfmt::skip]
    let table = [
        // three keys                      degenerate
        ([a, a, a],                        true),
        ([a, a, b],                        true),
        ([a, b, b],                        true),
        ([a, a ^ PARITY, b],               true),
        ([a, b, b ^ 1],                    true),
        ([a, b, b ^ 1 << 56],              true),
        ([a, a ^ 1, a ^ PARITY],           true),
        ([a, b, a],                        false), // two-key 3DES
        ([a, b, a ^ PARITY],               false),
        ([a, b, c],                        false),
        ([a, a ^ 2, a],                    false),
        ([a, a ^ 1 << 63, a ^ 1 << 57],    false),
    ];
    for (keys, degenerate) in table {
        let key: [u8; 24] = keys.map(u64::to_be_bytes).concat().try_into().unwrap();
        let refusals = [
            TripleDesCbc::new(&key).err(),
            TripleDesCbc::from_slice(&key).err(),
            AnyCipher::new(C::TripleDesCbc, &key).err(),
            AnySuite::from_slices(C::TripleDesCbc, &key, I::HmacSha1_96, &array::<20>()).err(),
        ];
        assert_eq!(refusals, [degenerate.then_some(KeyError::DegenerateTripleDes); 4], "{keys:x?}");
    }
}

#[test]
fn cipher_keys_are_accepted_in_registry_lengths_only() {
    let aead = || vec![20, 28, 36];
    let ciphers = [
        (C::Null, vec![0]),
        (C::DesCbc, vec![8]),
        (C::TripleDesCbc, vec![24]),
        (C::BlowfishCbc, (5..=56).collect()),
        (C::Cast128Cbc, (5..=16).collect()),
        (C::AesCbc, vec![16, 24, 32]),
        (C::AesCtr, vec![20, 28, 36]),
        (C::AesGcm8, aead()),
        (C::AesGcm12, aead()),
        (C::AesGcm16, aead()),
        (C::AesCcm8, vec![19, 27, 35]),
        (C::AesCcm12, vec![19, 27, 35]),
        (C::AesCcm16, vec![19, 27, 35]),
        (C::ChaCha20Poly1305, vec![36]),
        (C::NullAesGmac, aead()),
    ];
    assert_eq!(ciphers.len(), C::ALL.len());
    for (cipher, lengths) in ciphers {
        let row = cipher.row().unwrap();
        assert!(lengths.contains(&row.default_key) && row.salt <= row.keys.min, "{cipher}");
        let integrity = if row.icv == 0 { (I::HmacSha1_96, key(20)) } else { (I::None, vec![]) };
        for actual in 0..=80 {
            let error = (!lengths.contains(&actual)).then_some(KeyError::Length { allowed: row.keys, actual });
            let suite = AnySuite::from_slices(cipher, &key(actual), integrity.0, &integrity.1);
            assert_eq!(suite.err(), error, "{cipher} with {actual} octets");
            // An AEAD cannot be used as a cipher without its ICV.
            let error = error.or((row.icv > 0).then_some(KeyError::Unsupported));
            assert_eq!(AnyCipher::new(cipher, &key(actual)).err(), error, "{cipher} with {actual} octets");
        }
    }
}

#[test]
fn integrity_keys_are_accepted_in_registry_lengths_only() {
    let mut hmacs = 0;
    for row in I::ALL {
        let (lengths, icv) = match row.algorithm {
            I::None => (vec![0], false),
            I::AesXcbcMac96 | I::AesCmac96 => (vec![16], true),
            I::AesGmac => (vec![20, 28, 36], false),
            _ => ((1..=80).collect(), true),
        };
        hmacs += u32::from(lengths.len() == 80);
        assert!(lengths.contains(&row.default_key), "{}", row.name);
        for actual in 0..=80 {
            let length = KeyError::Length { allowed: row.keys, actual };
            let error = (!lengths.contains(&actual)).then_some(length).or((!icv).then_some(KeyError::Unsupported));
            assert_eq!(
                AnyIntegrity::new(row.algorithm, &key(actual)).err(),
                error,
                "{} with {actual} octets",
                row.name
            );
            // AH accepts AES-GMAC as well, and refuses NONE.
            let error = match row.algorithm {
                I::None => Some(KeyError::NoIntegrity),
                I::AesGmac => (!lengths.contains(&actual)).then_some(length),
                _ => error,
            };
            let ah = AnyAhIntegrity::new(row.algorithm, &key(actual));
            assert_eq!(ah.as_ref().err().copied(), error, "{} with {actual} octets", row.name);
            let iv = if row.algorithm == I::AesGmac { 8 } else { 0 };
            assert!(ah.is_ok_and(|ah| (ah.iv_len(), ah.field_len()) == (iv, iv + row.icv)) || error.is_some());
        }
    }
    assert_eq!(hmacs, 7);
}

#[test]
fn typed_keys_are_accepted_in_registry_lengths() {
    fn accepted<T>(from_slice: fn(&[u8]) -> Result<T, KeyError>) -> Vec<usize> {
        (0..=80).filter(|length| from_slice(&key(*length)).is_ok()).collect()
    }
    let hmac: Vec<usize> = (1..=80).collect();
    assert_eq!(accepted(DesCbc::from_slice), [8]);
    assert_eq!(accepted(TripleDesCbc::from_slice), [24]);
    assert_eq!(accepted(BlowfishCbc::from_slice), (5..=56).collect::<Vec<_>>());
    assert_eq!(accepted(Cast128Cbc::from_slice), (5..=16).collect::<Vec<_>>());
    assert_eq!(accepted(HmacMd5_96::from_slice), hmac);
    assert_eq!(accepted(HmacSha1_96::from_slice), hmac);
    assert_eq!(accepted(HmacSha2_256_96::from_slice), hmac);
    assert_eq!(accepted(HmacSha2_256_128::from_slice), hmac);
    assert_eq!(accepted(HmacSha2_384_192::from_slice), hmac);
    assert_eq!(accepted(HmacSha2_512_256::from_slice), hmac);
    assert_eq!(accepted(HmacRipemd160_96::from_slice), hmac);
    assert_eq!(accepted(Secret::<24>::new), (0..=24).collect::<Vec<_>>());
}

//= RFC 2406 5/4
//# MUST: des-cbc, hmac-md5, hmac-sha1, null encryption and null authentication are supported
//= RFC 4303 1/3, 1/4, 3.2/1
//# MUST: integrity without confidentiality is supported
//# MUST: confidentiality together with integrity is supported
//# MUST: confidentiality or integrity is selected: the algorithms are never both null
#[test]
fn every_algorithm_pair_is_a_suite_or_refused_with_its_reason() {
    let mut suites = 0;
    for cipher in C::ALL {
        for integrity in I::ALL {
            let refusal = match (cipher.algorithm, cipher.icv, integrity.algorithm) {
                (C::Null, _, I::None) => Some(KeyError::NullWithoutIntegrity),
                (_, 0, I::None) => Some(KeyError::NoIntegrity),
                (_, 0, I::AesGmac) => Some(KeyError::Unsupported), // for AH only
                (_, 0, _) | (_, _, I::None) => None,
                _ => Some(KeyError::IntegrityTwice),
            };
            let (key, integrity_key) = (key(cipher.default_key), key(integrity.default_key));
            let keys = SuiteKeys::new(cipher.algorithm, &key, integrity.algorithm, &integrity_key).unwrap();
            let slices = AnySuite::from_slices(cipher.algorithm, &key, integrity.algorithm, &integrity_key);
            assert_eq!(slices.err(), refusal, "{} with {}", cipher.name, integrity.name);
            assert_eq!(AnySuite::from_keys(&keys).err(), refusal, "{} with {}", cipher.name, integrity.name);
            suites += u32::from(refusal.is_none());
        }
        let refusal = match (cipher.algorithm, cipher.icv) {
            (C::Null, _) => Some(KeyError::NullWithoutIntegrity),
            (_, 0) => None,
            _ => Some(KeyError::Unsupported),
        };
        let alone = AnySuite::without_integrity(cipher.algorithm, &key(cipher.default_key));
        assert_eq!(alone.err(), refusal, "{} alone", cipher.name);
    }
    assert_eq!(suites, 7 * 9 + 8);
}

#[test]
fn hmac_sha2_256_truncations_have_their_own_names() {
    let [short, long] = ["hmac-sha2-256-96", "hmac-sha2-256-128"].map(|name| I::by_name(name).unwrap());
    assert_ne!(short, long);
    let [(short, short_tag), (long, long_tag)] = [short, long].map(|algorithm| {
        let row = algorithm.row().unwrap();
        (row, AnyIntegrity::new(algorithm, &key(row.default_key)).unwrap().compute(&[b"one key, two lengths"]))
    });
    assert_eq!((short.default_key, long.default_key, short.icv, long.icv), (32, 32, 12, 16));
    assert_eq!((short_tag.as_slice().len(), short_tag.as_slice()), (12, &long_tag.as_slice()[..12]));
    assert!(long_tag.verify(short_tag.as_slice()).is_err() && short_tag.verify(long_tag.as_slice()).is_err());
}

fn encrypted(cipher: C, key: &[u8]) -> [u8; 8] {
    let mut block = *b"one body";
    AnyCipher::new(cipher, key).unwrap().encrypt(&[0; 16], &mut block);
    block
}

#[test]
fn blowfish_default_key_is_128_bits_and_maximum_448() {
    let row = C::BlowfishCbc.row().unwrap();
    assert_eq!((row.default_key, row.keys), (16, KeyLengths { min: 5, max: 56, step: 1 }));
    assert_ne!(encrypted(C::BlowfishCbc, &key(16)), encrypted(C::BlowfishCbc, &key(56)));
}

/// RFC 2144 section 2.5 pads keys with zeros on the right, and uses 12 rounds for keys of at most 80 bits.
#[test]
fn cast128_uses_12_rounds_up_to_80_bits_and_16_above() {
    assert_eq!(C::Cast128Cbc.row().unwrap().default_key, 16);
    for length in 5..=16 {
        let padded = |to: usize| encrypted(C::Cast128Cbc, &[key(length), vec![0; to - length]].concat());
        assert_eq!(padded(length) == padded(16), length > 10, "{length} octets");
        if length <= 10 {
            assert_eq!(padded(length), padded(10), "{length} octets");
        }
    }
}

#[test]
fn des_parity_bits_are_ignored_by_encryption() {
    let other = |length| key(length).iter().map(|octet| octet ^ 1).collect::<Vec<_>>();
    assert_eq!(encrypted(C::DesCbc, &key(8)), encrypted(C::DesCbc, &other(8)));
    assert_eq!(encrypted(C::TripleDesCbc, &key(24)), encrypted(C::TripleDesCbc, &other(24)));
}

#[test]
fn aes_ctr_keying_material_includes_the_nonce() {
    let row = C::AesCtr.row().unwrap();
    assert_eq!((row.default_key, row.salt), (16 + 4, 4));
    assert_eq!([16, 20, 24, 28, 32, 36].map(|length| row.keys.allow(length)), [false, true, false, true, false, true]);
}

#[test]
fn algorithm_names_are_unique() {
    let names = || C::ALL.iter().map(|row| row.name).chain(I::ALL.iter().map(|row| row.name));
    assert_eq!(names().collect::<BTreeSet<_>>().len(), 15 + 11);
    let wireshark: Vec<_> = C::ALL.iter().filter_map(|row| row.wireshark).collect();
    assert_eq!(wireshark.iter().collect::<BTreeSet<_>>().len(), wireshark.len());
}

#[test]
fn algorithm_names_resolve_to_their_rows() {
    for row in C::ALL {
        assert_eq!(row.algorithm.row().unwrap().name, row.name);
        assert_eq!((C::by_name(row.name), row.algorithm.to_string()), (Some(row.algorithm), row.name.to_owned()));
    }
    for row in I::ALL {
        assert_eq!(row.algorithm.row().unwrap().name, row.name);
        assert_eq!((I::by_name(row.name), row.algorithm.to_string()), (Some(row.algorithm), row.name.to_owned()));
    }
}

#[test]
fn other_algorithm_names_are_refused() {
    for name in ["", "aes", "AES-CBC", "aes-cbc ", "unknown"] {
        assert_eq!((C::by_name(name), I::by_name(name)), (None, None), "{name:?}");
    }
}

#[test]
fn debug_output_never_contains_keys() {
    fn assert_redacted(keyed: &dyn Debug) -> usize {
        for text in [format!("{keyed:?}"), format!("{keyed:#?}"), format!("{keyed:x?}")] {
            for octet in key(8) {
                for name in [format!("{octet:x}"), format!("{octet:X}"), octet.to_string()] {
                    assert!(!text.contains(&name), "{text} shows {name}");
                }
            }
        }
        1
    }
    let mut types = 0;
    for row in C::ALL {
        types += AnyCipher::new(row.algorithm, &key(row.default_key)).map_or(0, |cipher| assert_redacted(&cipher));
        let (integrity, length) = if row.icv == 0 { (I::HmacMd5_96, 16) } else { (I::None, 0) };
        let keys = SuiteKeys::new(row.algorithm, &key(row.default_key), integrity, &key(length)).unwrap();
        types += assert_redacted(&keys) + assert_redacted(&AnySuite::from_keys(&keys).unwrap());
    }
    for row in I::ALL {
        types += AnyIntegrity::new(row.algorithm, &key(row.default_key)).map_or(0, |icv| assert_redacted(&icv));
        types += AnyAhIntegrity::new(row.algorithm, &key(row.default_key)).map_or(0, |icv| assert_redacted(&icv));
    }
    types += assert_redacted(&Secret::<56>::new(&key(56)).unwrap());
    types += assert_redacted(&EncryptThenMac::new(Aes128Cbc::new(&array()), HmacSha2_512_256::new(&array())));
    types += assert_redacted(&EncryptWithoutIntegrity::new(Aes128Ctr::new(&array(), array())));
    types += assert_redacted(&AesXcbcMac96::new(&array())) + assert_redacted(&AesCmac96::new(&array()));
    types += assert_redacted(&AesCmac96::new(&array()).compute(&[]));
    types +=
        assert_redacted(&Aes128Gcm16::new(&array(), array())) + assert_redacted(&Aes128Ccm8::new(&array(), array()));
    types += assert_redacted(&ChaCha20Poly1305::new(&array(), array()))
        + assert_redacted(&Aes128Gmac::new(&array(), array()));
    assert_eq!(types, 7 + 15 * 2 + 9 + 10 + 10);
}

#[test]
fn key_error_messages_name_lengths_and_never_the_key() {
    let length = |algorithm: C, actual| KeyError::Length { allowed: algorithm.row().unwrap().keys, actual };
    #[rustfmt::skip]
    let table: [(&dyn Display, &str); 8] = [
        (&length(C::DesCbc, 7),                                        "invalid key length: got 7 octets, expected 8"),
        (&length(C::Cast128Cbc, 17),
            "invalid key length: got 17 octets, expected 5 to 16"),
        (&length(C::AesCbc, 20),
            "invalid key length: got 20 octets, expected 16 to 32 in steps of 8"),
        (&KeyError::Length { allowed: KeyLengths::HMAC, actual: 0 },
            "invalid key length: got 0 octets, expected 1 or more"),
        (&KeyError::WeakDes,                                           "weak DES key"),
        (&KeyError::SemiWeakDes,                                       "semi-weak DES key"),
        (&KeyError::NullWithoutIntegrity,                              "NULL encryption without integrity"),
        (&KeyError::IntegrityTwice,                                    "AEAD with a second integrity algorithm"),
    ];
    for (error, text) in table {
        assert_eq!(error.to_string(), text);
    }
}
