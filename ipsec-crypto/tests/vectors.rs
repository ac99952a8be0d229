//! Test vectors of the RFCs and of NIST's CAVP.
#![cfg(all(feature = "modern", feature = "legacy", feature = "runtime-suites"))]

use std::collections::BTreeMap;

use ipsec_crypto::{
    AesCmac96, AesXcbcMac96, AnyCipher, AnyIntegrity, BlowfishCbc, Cast128Cbc, Cipher, CipherAlgorithm, DesCbc,
    Integrity, IntegrityAlgorithm, Iv, KeyError, KeyLengths, TripleDesCbc,
};
use test_vectors::{cavp, from_hex};

type Case = BTreeMap<String, Vec<u8>>;

/// Reads the cases of a JSON file in the form of [`cavp`], with the name of the algorithm as `alg`.
fn rfc(name: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for record in test_vectors::rfc(name) {
        let mut case = Case::new();
        for (name, value) in record.as_object().unwrap() {
            let text = value.as_str().unwrap_or_default();
            let octets = if name == "alg" { Some(text.into()) } else { from_hex(text) };
            case.extend(octets.map(|octets| (name.clone(), octets)));
        }
        cases.push(case);
    }
    cases
}

/// Returns the first of these fields that the case has: the files name them differently.
fn either<'a>(case: &'a Case, names: &[&str]) -> &'a [u8] {
    names.iter().find_map(|name| case.get(*name)).unwrap_or_else(|| panic!("none of {names:?} in {case:02x?}"))
}

fn data(case: &Case) -> &[u8] {
    either(case, &["data", "msg", "message"])
}

/// Returns the MAC, which some sources truncate: RFC 4868 to the ICV, RFC 4231 in one case to 128 bits, RFC 4494 to 96.
fn mac(case: &Case) -> &[u8] {
    either(case, &["mac", "icv", "md", "output"])
}

/// Returns the IV, padded with zeros on the right. ECB is one block of CBC with an IV of zeros.
fn iv(case: &Case) -> Iv {
    let mut iv = [0; 16];
    if let Some(octets) = case.get("iv") {
        iv[..octets.len()].copy_from_slice(octets);
    }
    iv
}

/// Asserts that the case encrypts and decrypts, whichever direction the file lists it for.
fn encrypts_and_decrypts(cipher: &dyn Cipher, iv: &Iv, case: &Case) {
    let (plain, sealed) = (&case["plaintext"], &case["ciphertext"]);
    let mut body = plain.clone();
    cipher.encrypt(iv, &mut body);
    assert_eq!(&body, sealed, "encrypt {case:02x?}");
    cipher.decrypt(iv, &mut body);
    assert_eq!(&body, plain, "decrypt {case:02x?}");
}

/// Asserts the MAC of data in one segment, in single octets, and in three segments (the middle one empty) for each
/// split.
fn authenticates(icv: &impl Integrity, data: &[u8], mac: &[u8]) {
    let length = icv.icv_len().octets().min(mac.len());
    assert!(length >= 12);
    let check = |segments: &[&[u8]]| {
        let tag = icv.compute(segments);
        assert_eq!(tag.as_slice().len(), icv.icv_len().octets());
        assert_eq!(tag.as_slice()[..length], mac[..length], "{segments:02x?}");
    };
    check(&[data]);
    check(&data.chunks(1).collect::<Vec<_>>());
    for at in 0..=data.len() {
        check(&[&data[..at], &[], &data[at..]]);
    }
}

fn aes_cbc(case: &Case) -> AnyCipher {
    AnyCipher::new(CipherAlgorithm::AesCbc, &case["key"]).unwrap()
}

#[test]
fn aes_cbc_matches_rfc_3602() {
    let mut run = 0;
    for case in rfc("rfc3602_aes_cbc") {
        encrypts_and_decrypts(&aes_cbc(&case), &iv(&case), &case);
        run += 1;
    }
    assert_eq!(run, 4);
}

#[test]
fn aes_cbc_matches_cavp() {
    let cases = cavp("AES/CBC.rsp");
    for case in &cases {
        encrypts_and_decrypts(&aes_cbc(case), &iv(case), case);
    }
    for (bits, count) in [(128, 332), (192, 336), (256, 318)] {
        let of_length = || cases.iter().filter(|case| case["key"].len() * 8 == bits);
        let decrypted = of_length().filter(|case| case["section"] == b"DECRYPT").count();
        assert_eq!((of_length().count(), decrypted), (count, count / 2), "{bits}");
    }
    assert_eq!(cases.len(), 986);
}

#[test]
fn aes_ctr_matches_rfc_3686() {
    let mut run = 0;
    for case in rfc("rfc3686_aes_ctr") {
        let key = [&case["key"][..], &case["nonce"]].concat();
        encrypts_and_decrypts(&AnyCipher::new(CipherAlgorithm::AesCtr, &key).unwrap(), &iv(&case), &case);
        run += 1;
    }
    // The same vectors with the complete first counter block as the IV: nonce, IV, 1.
    for case in cavp("AES/aes-ctr.txt") {
        let (nonce, rest) = case["iv"].split_at(4);
        assert_eq!((rest.len(), &rest[8..]), (12, &[0, 0, 0, 1][..]), "not the counter block of RFC 3686");
        let key = [&case["key"], nonce].concat();
        let mut iv = [0; 16];
        iv[..8].copy_from_slice(&rest[..8]);
        encrypts_and_decrypts(&AnyCipher::new(CipherAlgorithm::AesCtr, &key).unwrap(), &iv, &case);
        run += 1;
    }
    assert_eq!(run, 18);
}

/// CAVP's tables for single DES are 3DES with three equal keys, which are degenerate; many of these keys are also weak.
#[test]
fn des_and_3des_match_cavp_and_refuse_its_degenerate_and_weak_keys() {
    // Cases with 3DES, cases with DES, and cases that both refuse.
    let mut run = (0, 0, 0);
    for case in cavp("3DES/TCBC.rsp") {
        let names = if case.contains_key("keys") { ["keys"; 3] } else { ["key1", "key2", "key3"] };
        let [k1, k2, k3] = names.map(|name| &case[name][..]);
        let three = TripleDesCbc::from_slice(&[k1, k2, k3].concat());
        if k1 != k2 && k2 != k3 {
            encrypts_and_decrypts(&three.unwrap(), &iv(&case), &case);
            run.0 += 1;
            continue;
        }
        assert_eq!(three.err(), Some(KeyError::DegenerateTripleDes));
        assert_eq!((k1, k2), (k2, k3), "degenerate keys of the files are three equal keys");
        match DesCbc::from_slice(k1) {
            Ok(one) => {
                encrypts_and_decrypts(&one, &iv(&case), &case);
                run.1 += 1;
            }
            Err(refusal) => {
                assert_eq!((refusal, k1), (KeyError::WeakDes, &[1; 8][..]));
                run.2 += 1;
            }
        }
    }
    assert_eq!(run, (40, 234, 256));
}

#[test]
fn blowfish_matches_its_vectors_and_refuses_keys_below_40_bits() {
    let (mut run, mut refused) = (0, 0);
    for case in cavp("Blowfish/bf.txt") {
        let (key, allowed) = (&case["key"], KeyLengths { min: 5, max: 56, step: 1 });
        match BlowfishCbc::from_slice(key) {
            Ok(cipher) => {
                encrypts_and_decrypts(&cipher, &iv(&case), &case);
                run += 1;
            }
            Err(refusal) => {
                assert_eq!((refusal, key.len()), (KeyError::Length { allowed, actual: 4 }, 4));
                refused += 1;
            }
        }
    }
    assert_eq!((run, refused), (55, 1));
}

#[test]
fn cast128_matches_rfc_2144_at_40_80_and_128_bits() {
    let mut run = BTreeMap::new();
    let cases = [rfc("rfc2144_cast128_ecb"), cavp("CAST5/cast5.txt")].concat();
    for case in cases {
        encrypts_and_decrypts(&Cast128Cbc::from_slice(&case["key"]).unwrap(), &iv(&case), &case);
        *run.entry(case["key"].len() * 8).or_insert(0) += 1;
    }
    assert_eq!(run, BTreeMap::from([(40, 2), (80, 2), (128, 22)]));
}

//= RFC 2402 5/4
//# MUST: hmac-md5 and hmac-sha1 are supported
//= RFC 4303 3.3.2.1/1
//# MUST: implicit padding for an integrity algorithm that requires whole blocks
#[test]
fn hmac_matches_the_rfcs_for_every_segmentation() {
    use IntegrityAlgorithm as I;
    #[rustfmt::skip]
    let sources: &[(&str, &str, &[I], usize)] = &[
        // source                  algorithm in it     integrity algorithms                       cases
        ("rfc2202_hmac_md5_sha1",  "HMAC-MD5",         &[I::HmacMd5_96],                          7),
        ("rfc2202_hmac_md5_sha1",  "HMAC-SHA1",        &[I::HmacSha1_96],                         7),
        ("rfc4231_hmac_sha2",      "HMAC-SHA-256",     &[I::HmacSha2_256_96, I::HmacSha2_256_128], 7),
        ("rfc4231_hmac_sha2",      "HMAC-SHA-384",     &[I::HmacSha2_384_192],                    7),
        ("rfc4231_hmac_sha2",      "HMAC-SHA-512",     &[I::HmacSha2_512_256],                    7),
        ("rfc4868_auth",           "HMAC-SHA-256-128", &[I::HmacSha2_256_96, I::HmacSha2_256_128], 4),
        ("rfc4868_auth",           "HMAC-SHA-384-192", &[I::HmacSha2_384_192],                    4),
        ("rfc4868_auth",           "HMAC-SHA-512-256", &[I::HmacSha2_512_256],                    4),
        ("HMAC/hmac.txt",          "HMAC-MD5",         &[I::HmacMd5_96],                          7),
        ("HMAC/hmac.txt",          "HMAC-SHA-1",       &[I::HmacSha1_96],                         7),
        ("HMAC/hmac.txt",          "HMAC-RIPEMD-160",  &[I::HmacRipemd160_96],                    7),
        ("HMAC/hmac.txt",          "HMAC-SHA-256",     &[I::HmacSha2_256_96, I::HmacSha2_256_128], 6),
        ("HMAC/hmac.txt",          "HMAC-SHA-384",     &[I::HmacSha2_384_192],                    6),
        ("HMAC/hmac.txt",          "HMAC-SHA-512",     &[I::HmacSha2_512_256],                    6),
    ];
    for &(file, name, algorithms, count) in sources {
        let mut cases = if file.starts_with("rfc") { rfc(file) } else { cavp(file) };
        let of_algorithm = |case: &Case| either(case, &["alg", "section"]) == name.as_bytes();
        cases.retain(of_algorithm);
        for case in &cases {
            for algorithm in algorithms {
                authenticates(&AnyIntegrity::new(*algorithm, &case["key"]).unwrap(), data(case), mac(case));
            }
        }
        assert_eq!(cases.len(), count, "{file} {name}");
    }
}

#[test]
fn aes_xcbc_matches_rfc_3566_and_refuses_other_key_lengths_of_rfc_4434() {
    let (mut run, mut refused) = (0, 0);
    for case in rfc("rfc3566_rfc4434_aes_xcbc") {
        let key = &case["key"];
        if let Ok(key) = key.as_slice().try_into() {
            authenticates(&AesXcbcMac96::new(key), data(&case), mac(&case));
            run += 1;
        } else {
            let length = KeyError::Length { allowed: KeyLengths::exactly(16), actual: key.len() };
            assert_eq!(AnyIntegrity::new(IntegrityAlgorithm::AesXcbcMac96, key).err(), Some(length));
            refused += 1;
        }
    }
    assert_eq!((run, refused), (8, 2));
}

#[test]
fn aes_cmac_matches_rfc_4493_4494_and_sp_800_38b() {
    let mut run = 0;
    for case in [rfc("rfc4493_rfc4494_aes_cmac"), cavp("CMAC/nist-800-38b-aes128.txt")].concat() {
        authenticates(&AesCmac96::new(case["key"].as_slice().try_into().unwrap()), data(&case), mac(&case));
        run += 1;
    }
    assert_eq!(run, 12);
}

#[test]
fn aes_xcbc_prf_matches_rfc_4434_for_every_key_length() {
    use ipsec_crypto::Prf;
    let mut ran = 0;
    for case in test_vectors::rfc("rfc3566_rfc4434_aes_xcbc").iter().filter(|case| case["case"] == "prf") {
        let octets = |name: &str| from_hex(case[name].as_str().unwrap()).unwrap();
        let (key, data) = (octets("key"), octets("data"));
        for cut in 0..=data.len() {
            let (front, back) = data.split_at(cut);
            assert_eq!(Prf::AesXcbc128.compute(&key, &[front, back]).expose(), octets("mac"));
        }
        ran += 1;
    }
    assert_eq!(ran, 3);
}
