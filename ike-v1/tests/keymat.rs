//! The key schedule: recorded and computed vectors, the keys of ciphers, KEYMAT, the hashes, and what is never printed
//! (traps P4, X17, X22, X26).
#![cfg(all(feature = "modern", feature = "legacy"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::panic)]

use std::fmt::Debug;

use ike_codec::ProtocolId;
use ike_v1::{
    CookieJar, Cookies, IvChain, KeymatSeed, NoKeymat, Nonces, Phase1Keys, Phase1Publics, Protection, Skeyid,
    detection_hash,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm, KeyError, Prf, PrfOutput, Secret, SuiteKeys};
use proptest::collection::vec;
use proptest::prelude::*;
use test_vectors::{Hex, KeymatRecord, Phase1Record, Record, data, from_hex, read_file};

const HASHES: [(&str, HashFunction); 5] = [
    ("md5", HashFunction::Md5),
    ("sha1", HashFunction::Sha1),
    ("sha256", HashFunction::Sha2_256),
    ("sha384", HashFunction::Sha2_384),
    ("sha512", HashFunction::Sha2_512),
];

fn prf(name: &str) -> Prf {
    *Prf::ALL.iter().find(|prf| prf.name() == name).unwrap()
}

/// The hash that a record names, by itself or as that of its PRF.
fn hash(prf: &str, hash: Option<&str>) -> HashFunction {
    let name = hash.unwrap_or_else(|| prf.trim_start_matches("hmac-"));
    HASHES.iter().find(|row| row.0 == name).unwrap().1
}

fn records(file: &str) -> Vec<Record> {
    read_file(&data().join(file)).unwrap().into_iter().map(|located| located.record).collect()
}

fn phase_1(file: &str) -> Vec<Phase1Record> {
    records(file)
        .into_iter()
        .map(|record| match record {
            Record::Phase1(record) => *record,
            other => panic!("{} in {file}", other.kind()),
        })
        .collect()
}

fn keymats(file: &str) -> Vec<KeymatRecord> {
    records(file)
        .into_iter()
        .map(|record| match record {
            Record::Keymat(record) => *record,
            other => panic!("{} in {file}", other.kind()),
        })
        .collect()
}

/// Compares what the record has with what was computed; how many results that were.
fn compared(id: &str, results: &[(&str, &Option<Hex>, &[u8])]) -> usize {
    let known = results.iter().filter_map(|(name, expected, got)| Some((name, expected.as_ref()?, got)));
    known
        .map(|(name, expected, got)| {
            assert!(!expected.is_empty(), "{id}: {name} is empty");
            assert_eq!(&expected[..], *got, "{id}: {name}");
        })
        .count()
}

/// Every result of a phase 1 record, computed.
fn check_phase_1(r: &Phase1Record) -> usize {
    let cookies = Cookies { initiator: r.cky_i[..].try_into().unwrap(), responder: r.cky_r[..].try_into().unwrap() };
    let nonces = Nonces { initiator: &r.ni, responder: &r.nr };
    let (prf, hash, g_xy) = (prf(&r.prf), hash(&r.prf, r.hash.as_deref()), r.g_xy.as_ref().unwrap());
    let skeyid = match r.auth_method.as_deref() {
        Some("psk") => Skeyid::pre_shared_key(prf, &r.psk, &nonces).unwrap(),
        Some("signature") => Skeyid::signature(prf, &nonces, g_xy).unwrap(),
        Some("encryption" | "revised-encryption") => Skeyid::encryption(prf, hash, &nonces, &cookies),
        other => panic!("{}: method {other:?}", r.id),
    };
    let keys = skeyid.derive(g_xy, &cookies);
    let (g_xi, g_xr) = (r.g_xi.as_ref().unwrap(), r.g_xr.as_ref().unwrap());
    let publics = Phase1Publics { cookies, g_xi, g_xr, sai_b: &r.sai_b };
    let (data_i, data_r) = (r.hash_i_data.as_ref().unwrap(), r.hash_r_data.as_ref().unwrap());
    let before_id = g_xi.len() + g_xr.len() + 16 + r.sai_b.len();
    let ka = keys.cipher_key(CipherAlgorithm::AesCbc, r.ka.as_ref().unwrap().len()).unwrap();
    let protection = Protection::new(CipherAlgorithm::AesCbc, &[1; 16], hash).unwrap();
    let iv_octets = r.initial_iv.as_ref().unwrap().len();
    compared(
        &r.id,
        &[
            ("SKEYID", &r.skeyid, skeyid.expose()),
            ("SKEYID_d", &r.skeyid_d, keys.d()),
            ("SKEYID_a", &r.skeyid_a, keys.a()),
            ("SKEYID_e", &r.skeyid_e, keys.e()),
            ("Ka", &r.ka, ka.expose()),
            ("IV", &r.initial_iv, &protection.phase_1(g_xi, g_xr).iv()[..iv_octets]),
            ("HASH_I", &r.hash_i, skeyid.hash_i(&publics, &data_i[before_id..]).expose()),
            ("HASH_R", &r.hash_r, skeyid.hash_r(&publics, &data_r[before_id..]).expose()),
        ],
    )
}

//= RFC 2409 4/11
#[test]
fn phase_1_of_strongswan_is_computed_again() {
    let records = phase_1("kdf/phase1_full.jsonl");
    assert_eq!(records.len(), 5);
    assert_eq!(records.iter().map(check_phase_1).sum::<usize>(), 40);
}

//= RFC 2409 4/6
#[test]
fn phase_1_of_every_prf_method_and_key_length_is_as_python_computes_it() {
    let records = phase_1("ike/phase1.jsonl");
    assert_eq!(records.len(), 6 * 4 * 4);
    assert_eq!(records.iter().map(check_phase_1).sum::<usize>(), 96 * 8);
    for record in &records {
        assert_eq!(record.idii_b.as_ref().unwrap().len(), 8);
        assert!(record.hash_i_data.as_ref().unwrap().ends_with(record.idii_b.as_ref().unwrap()), "{}", record.id);
        assert!(record.hash_r_data.as_ref().unwrap().ends_with(record.idir_b.as_ref().unwrap()), "{}", record.id);
    }
}

/// Both directions of a record; how many octets were compared. With PFS the first 128 octets of its seeds are g(qm)^xy.
fn check_keymat(r: &KeymatRecord) -> usize {
    let keys = Phase1Keys::import(prf(&r.prf), &r.skeyid_d, &[0], &[0]).unwrap();
    let directions = [
        (&r.seed_initiator_sa, &r.enc_key_initiator, &r.integ_key_initiator),
        (&r.seed_responder_sa, &r.enc_key_responder, &r.integ_key_responder),
    ];
    let mut octets = 0;
    for (seed, enc, integ) in directions {
        let (shared, rest) = seed.split_at(if r.pfs { 128 } else { 0 });
        let (initiator, responder) = rest[5..].split_at((rest.len() - 5) / 2);
        let seed = KeymatSeed {
            shared: r.pfs.then_some(shared),
            protocol: ProtocolId(rest[0]),
            spi: &rest[1..5],
            nonces: Nonces { initiator, responder },
        };
        let mut keymat = vec![0; enc.len() + integ.len()];
        keys.keymat(&seed, &mut keymat).unwrap();
        assert_eq!(keymat, [&enc[..], integ].concat(), "{}", r.id);
        octets += keymat.len();
    }
    octets
}

#[test]
fn x22_keymat_of_strongswan_is_computed_again() {
    let records = keymats("kdf/quickmode_keymat.jsonl");
    assert_eq!(records.len(), 5);
    assert_eq!(records.iter().map(check_keymat).sum::<usize>(), 2 * (32 + 36 + 36 + 32 + 32));
}

//= RFC 2409 5.5/4
#[test]
fn x22_keymat_of_every_prf_with_and_without_pfs_is_as_python_computes_it() {
    let records = keymats("ike/keymat.jsonl");
    assert_eq!((records.len(), records.iter().filter(|r| r.pfs).count()), (48, 24));
    assert_eq!(records.iter().map(check_keymat).sum::<usize>(), 2 * 12 * (24 + 44 + 36 + 120));
}

/// The weak and semi-weak keys of RFC 2409 appendix A.
const WEAK_DES: [&str; 4] = ["0101010101010101", "1f1f1f1f0e0e0e0e", "e0e0e0e0f1f1f1f1", "fefefefefefefefe"];
const SEMI_WEAK_DES: [&str; 12] = [
    "01fe01fe01fe01fe",
    "1fe01fe00ef10ef1",
    "01e001e001f101f1",
    "1ffe1ffe0efe0efe",
    "011f011f010e010e",
    "e0fee0fef1fef1fe",
    "fe01fe01fe01fe01",
    "e01fe01ff10ef10e",
    "e001e001f101f101",
    "fe1ffe1ffe0efe0e",
    "1f011f010e010e01",
    "fee0fee0fef1fef1",
];
const GOOD_DES: &str = "133457799bbcdff1";

fn des_key(prf: Prf, e: &[u8]) -> Result<Vec<u8>, KeyError> {
    let keys = Phase1Keys::import(prf, &[0], &[0], e).unwrap();
    keys.cipher_key(CipherAlgorithm::DesCbc, 8).map(|key| key.expose().to_vec())
}

//= RFC 2409 4/9
#[test]
fn x17_weak_and_semi_weak_octets_are_passed_over_for_des() {
    let good = from_hex(GOOD_DES).unwrap();
    for bad in WEAK_DES.iter().chain(&SEMI_WEAK_DES) {
        let bad = from_hex(bad).unwrap();
        let parity: Vec<u8> = bad.iter().map(|octet| octet ^ 1).collect();
        for bad in [bad, parity] {
            assert_eq!(des_key(Prf::HmacMd5, &[&bad[..], &good].concat()), Ok(good.clone()), "{bad:02x?}");
            assert_eq!(des_key(Prf::HmacMd5, &[&good[..], &bad].concat()), Ok(good.clone()), "{bad:02x?}");
            assert_eq!(des_key(Prf::HmacSha1, &[&bad[..], &good, &[7; 4]].concat()), Ok(good.clone()), "{bad:02x?}");
        }
    }
    let bad: Vec<u8> = SEMI_WEAK_DES[..7].iter().flat_map(|key| from_hex(key).unwrap()).collect();
    assert_eq!(des_key(Prf::HmacSha2_512, &[&bad[..], &good].concat()), Ok(good), "the last eight octets of 64");
}

#[test]
fn x17_des_without_good_octets_is_an_error() {
    for prf in [Prf::HmacMd5, Prf::HmacSha1, Prf::HmacSha2_256, Prf::HmacSha2_512] {
        for (last, error) in WEAK_DES
            .iter()
            .map(|key| (key, KeyError::WeakDes))
            .chain(SEMI_WEAK_DES.iter().map(|key| (key, KeyError::SemiWeakDes)))
        {
            let keys = prf.output_len() / 8;
            let mut e = from_hex(WEAK_DES[0]).unwrap().repeat(keys - 1);
            e.extend(from_hex(last).unwrap());
            e.resize(prf.output_len(), 0x77); // four octets left over are no key
            assert_eq!(des_key(prf, &e), Err(error), "{prf:?} {last}");
        }
    }
}

#[test]
fn x17_des_takes_the_first_octets_when_they_are_good() {
    for &prf in Prf::ALL {
        let e: Vec<u8> = (0..prf.output_len()).map(|i| 0x12 + 3 * i as u8).collect();
        assert_eq!(des_key(prf, &e).unwrap(), &e[..8], "{prf:?}");
    }
}

/// RFC 2409 appendix B, slowly: block after block into a string, which is cut at the end.
fn slow_ka(prf: Prf, e: &[u8], octets: usize) -> Vec<u8> {
    if octets <= e.len() {
        return e[..octets].to_vec();
    }
    let mut blocks = vec![prf.compute(e, &[&[0]]).expose().to_vec()];
    while blocks.concat().len() < octets {
        let next = prf.compute(e, &[blocks.last().unwrap()]).expose().to_vec();
        blocks.push(next);
    }
    blocks.concat()[..octets].to_vec()
}

/// RFC 2409 5.5, slowly.
fn slow_keymat(prf: Prf, d: &[u8], seed: &[u8], octets: usize) -> Vec<u8> {
    let (mut keymat, mut last) = (Vec::new(), Vec::new());
    while keymat.len() < octets {
        last = prf.compute(d, &[&[&last[..], seed].concat()]).expose().to_vec();
        keymat.extend_from_slice(&last);
    }
    keymat.truncate(octets);
    keymat
}

#[test]
fn x17_ka_is_expanded_just_when_skeyid_e_is_too_short() {
    let ciphers = [
        (CipherAlgorithm::TripleDesCbc, &[24][..]),
        (CipherAlgorithm::BlowfishCbc, &[5, 16, 20, 21, 32, 40, 55, 56]),
        (CipherAlgorithm::Cast128Cbc, &[5, 15, 16]),
        (CipherAlgorithm::AesCbc, &[16, 24, 32]),
    ];
    for &prf in Prf::ALL {
        let e: Vec<u8> = (0..prf.output_len()).map(|i| 0xc1 ^ (7 * i) as u8).collect();
        let keys = Phase1Keys::import(prf, &[1], &[2], &e).unwrap();
        for (cipher, lengths) in ciphers {
            for &octets in lengths {
                let key = keys.cipher_key(cipher, octets).unwrap();
                assert_eq!(key.expose(), slow_ka(prf, &e, octets), "{prf:?} {cipher} {octets}");
                assert_eq!(key.expose().starts_with(&e[..octets.min(e.len())]), octets <= e.len());
            }
        }
    }
}

#[test]
fn x17_no_key_is_longer_than_blowfish_has() {
    for &prf in Prf::ALL {
        let keys = Phase1Keys::import(prf, &[0], &[0], &vec![9; prf.output_len()]).unwrap();
        assert_eq!(keys.cipher_key(CipherAlgorithm::BlowfishCbc, 56).unwrap().expose().len(), 56);
        for octets in [57, 64, 65, 127, 128, 129, usize::MAX] {
            let error = keys.cipher_key(CipherAlgorithm::BlowfishCbc, octets).unwrap_err();
            assert!(matches!(error, KeyError::Length { .. }), "{prf:?} {octets}: {error}");
        }
    }
}

#[test]
fn imported_keys_are_the_keys_and_none_is_longer_than_a_hash() {
    let keys = Phase1Keys::import(Prf::HmacSha1, &[1; 20], &[2; 64], &[3; 1]).unwrap();
    assert_eq!((keys.prf(), keys.d(), keys.a(), keys.e()), (Prf::HmacSha1, &[1; 20][..], &[2; 64][..], &[3][..]));
    for (d, a, e) in [(0, 20, 20), (20, 0, 20), (20, 20, 0)] {
        let error = Phase1Keys::import(Prf::HmacSha1, &vec![1; d], &vec![1; a], &vec![1; e]).unwrap_err();
        assert!(matches!(error, KeyError::Length { actual: 0, .. }), "{error}");
    }
    for (d, a, e) in [(65, 20, 20), (20, 65, 20), (20, 20, 65)] {
        let error = Phase1Keys::import(Prf::HmacSha1, &vec![1; d], &vec![1; a], &vec![1; e]).unwrap_err();
        assert!(matches!(error, KeyError::Length { actual: 65, .. }), "{error}");
    }
}

const SEED: KeymatSeed<'_> = KeymatSeed {
    shared: Some(&[0x11; 48]),
    protocol: ProtocolId::ESP,
    spi: &[0x22, 0x33, 0x44, 0x55],
    nonces: Nonces { initiator: &[0x66; 20], responder: &[0x77; 21] },
};

fn keymat(prf: Prf, seed: &KeymatSeed<'_>, octets: usize) -> Vec<u8> {
    let mut keymat = vec![0xee; octets];
    Phase1Keys::import(prf, &[0x88; 20], &[1], &[2]).unwrap().keymat(seed, &mut keymat).unwrap();
    keymat
}

#[test]
fn p4_key_material_of_no_octets_is_an_error() {
    for &prf in Prf::ALL {
        let keys = Phase1Keys::import(prf, &[1; 16], &[2; 16], &[3; 16]).unwrap();
        assert_eq!(keys.keymat(&SEED, &mut []), Err(NoKeymat), "{prf:?}");
        assert_eq!(keys.keymat(&SEED, &mut [0; 1]), Ok(()), "{prf:?}");
    }
    assert_eq!(NoKeymat.to_string(), "key material of no octets");
}

#[test]
fn x22_key_material_of_any_length_is_the_beginning_of_a_longer_one() {
    let seed = [&[0x11; 48][..], &[3, 0x22, 0x33, 0x44, 0x55], &[0x66; 20], &[0x77; 21]].concat();
    for &prf in Prf::ALL {
        let long = keymat(prf, &SEED, 5000);
        assert_eq!(long, slow_keymat(prf, &[0x88; 20], &seed, 5000), "{prf:?}");
        for octets in (1..=200).chain([4999]) {
            assert_eq!(keymat(prf, &SEED, octets), long[..octets], "{prf:?} {octets}");
        }
    }
}

#[test]
fn x22_every_input_of_keymat_counts() {
    let other = [
        ("without PFS", KeymatSeed { shared: None, ..SEED }),
        ("another secret", KeymatSeed { shared: Some(&[0x12; 48]), ..SEED }),
        ("AH", KeymatSeed { protocol: ProtocolId::AH, ..SEED }),
        ("IPComp", KeymatSeed { protocol: ProtocolId::IPCOMP, ..SEED }),
        ("the SPI of the other direction", KeymatSeed { spi: &[0x22, 0x33, 0x44, 0x56], ..SEED }),
        ("a CPI of 4 octets", KeymatSeed { protocol: ProtocolId::IPCOMP, spi: &[0, 0, 0x44, 0x55], ..SEED }),
        ("a CPI of 2 octets", KeymatSeed { protocol: ProtocolId::IPCOMP, spi: &[0x44, 0x55], ..SEED }),
        ("nonces exchanged", KeymatSeed { nonces: Nonces { initiator: &[0x77; 21], responder: &[0x66; 20] }, ..SEED }),
        ("another Ni", KeymatSeed { nonces: Nonces { initiator: &[0x67; 20], responder: &[0x77; 21] }, ..SEED }),
        ("another Nr", KeymatSeed { nonces: Nonces { initiator: &[0x66; 20], responder: &[0x78; 21] }, ..SEED }),
    ];
    for &prf in Prf::ALL {
        let mut seen = vec![("as it is", keymat(prf, &SEED, 36))];
        for (name, seed) in &other {
            let made = keymat(prf, seed, 36);
            for (before, earlier) in &seen {
                assert_ne!(&made, earlier, "{prf:?}: {name} gives the same as {before}");
            }
            seen.push((name, made));
        }
    }
}

#[test]
fn x22_spis_go_in_as_many_octets_as_they_have() {
    for (spi, octets) in [(&[0x44, 0x55][..], "4455"), (&[0, 0, 0x44, 0x55], "00004455")] {
        let seed = KeymatSeed { shared: None, protocol: ProtocolId::IPCOMP, spi, ..SEED };
        let expected = [&[4][..], &from_hex(octets).unwrap(), &[0x66; 20], &[0x77; 21]].concat();
        assert_eq!(keymat(Prf::HmacSha1, &seed, 50), slow_keymat(Prf::HmacSha1, &[0x88; 20], &expected, 50));
    }
}

/// All strings that differ from this one in one octet.
fn neighbours(octets: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..octets.len()).map(|i| {
        let mut other = octets.to_vec();
        other[i] ^= 0x40;
        other
    })
}

/// Whether a function of some strings gives something else when any octet of any of them changes; how many octets that
/// were.
fn every_octet_counts(inputs: &[&[u8]], function: impl Fn(&[Vec<u8>]) -> PrfOutput) -> usize {
    let all: Vec<Vec<u8>> = inputs.iter().map(|input| input.to_vec()).collect();
    let expected = function(&all);
    assert_eq!(function(&all).expose(), expected.expose());
    let mut count = 0;
    for (i, input) in inputs.iter().enumerate() {
        for other in neighbours(input) {
            let mut changed = all.clone();
            changed[i] = other;
            assert!(function(&changed).verify(expected.expose()).is_err(), "an octet of input {i} does not count");
            count += 1;
        }
    }
    count
}

#[test]
fn every_octet_counts_in_hash_i_and_hash_r() {
    let inputs: [&[u8]; 6] = [&[1; 8], &[2; 8], &[3; 24], &[4; 24], &[5; 40], &[6; 8]];
    for &prf in Prf::ALL {
        let skeyid = Skeyid::pre_shared_key(prf, b"key", &Nonces { initiator: &[7; 16], responder: &[8; 16] }).unwrap();
        let publics = |v: &[Vec<u8>]| -> (Cookies, Vec<Vec<u8>>) {
            let cookies = Cookies { initiator: v[0][..].try_into().unwrap(), responder: v[1][..].try_into().unwrap() };
            (cookies, v[2..].to_vec())
        };
        let hash_of = |v: &[Vec<u8>], initiator: bool| {
            let (cookies, rest) = publics(v);
            let publics = Phase1Publics { cookies, g_xi: &rest[0], g_xr: &rest[1], sai_b: &rest[2] };
            if initiator { skeyid.hash_i(&publics, &rest[3]) } else { skeyid.hash_r(&publics, &rest[3]) }
        };
        assert_eq!(every_octet_counts(&inputs, |v| hash_of(v, true)), 112, "{prf:?}");
        assert_eq!(every_octet_counts(&inputs, |v| hash_of(v, false)), 112, "{prf:?}");
        let same: Vec<Vec<u8>> = inputs.iter().map(|input| input.to_vec()).collect();
        assert_ne!(
            hash_of(&same, true).expose(),
            hash_of(&same, false).expose(),
            "one cannot be sent back as the other"
        );
    }
}

#[test]
fn x26_every_octet_counts_in_the_hashes_of_quick_mode() {
    for &prf in Prf::ALL {
        let keys = |a: &[u8]| Phase1Keys::import(prf, &[0], a, &[0]).unwrap();
        let id = |octets: &[u8]| u32::from_be_bytes(octets.try_into().unwrap());
        let inputs: [&[u8]; 4] = [&[0xa1; 20], &[0, 0, 0, 9], &[0xb2; 16], &[0xc3; 33]];
        let one: [&[u8]; 3] = [inputs[0], inputs[1], inputs[3]];
        assert_eq!(every_octet_counts(&one, |v| keys(&v[0]).hash_1(id(&v[1]), &v[2])), 57, "{prf:?}");
        assert_eq!(every_octet_counts(&inputs, |v| keys(&v[0]).hash_2(id(&v[1]), &v[2], &v[3])), 73, "{prf:?}");
        let three = |v: &[Vec<u8>]| keys(&v[0]).hash_3(id(&v[1]), &Nonces { initiator: &v[2], responder: &v[3] });
        assert_eq!(every_octet_counts(&inputs, three), 73, "{prf:?}");
    }
}

#[test]
fn x26_the_hashes_of_quick_mode_are_the_prf_of_the_octets_that_rfc_2409_names() {
    let (a, ni, nr, rest) = ([0xa1; 20], [0xb2; 16], [0xc3; 24], b"rest of the message");
    for &prf in Prf::ALL {
        let keys = Phase1Keys::import(prf, &[0], &a, &[0]).unwrap();
        let expected = |octets: &[&[u8]]| prf.compute(&a, &[&octets.concat()]).expose().to_vec();
        let m_id = [0x01, 0x23, 0x45, 0x67];
        let nonces = Nonces { initiator: &ni, responder: &nr };
        assert_eq!(keys.hash_1(0x0123_4567, rest).expose(), expected(&[&m_id, rest]));
        assert_eq!(keys.hash_2(0x0123_4567, &ni, rest).expose(), expected(&[&m_id, &ni, rest]));
        assert_eq!(keys.hash_2(0x0123_4567, &[], rest).expose(), keys.hash_1(0x0123_4567, rest).expose());
        assert_eq!(keys.hash_3(0x0123_4567, &nonces).expose(), expected(&[&[0], &m_id, &ni, &nr]));
    }
}

//= RFC 2408 4.5/1, 4.7/1
#[test]
fn every_octet_counts_in_the_keys_of_phase_1() {
    let inputs: [&[u8]; 6] = [b"pre-shared", &[2; 16], &[3; 16], &[4; 32], &[5; 8], &[6; 8]];
    for &prf in Prf::ALL {
        for method in 0..3 {
            let skeyids = |v: &[Vec<u8>]| {
                let nonces = Nonces { initiator: &v[1], responder: &v[2] };
                let cookies =
                    Cookies { initiator: v[4][..].try_into().unwrap(), responder: v[5][..].try_into().unwrap() };
                let skeyid = match method {
                    0 => Skeyid::pre_shared_key(prf, &v[0], &nonces).unwrap(),
                    1 => Skeyid::signature(prf, &nonces, &v[3]).unwrap(),
                    _ => Skeyid::encryption(prf, HashFunction::Sha1, &nonces, &cookies),
                };
                skeyid.derive(&v[3], &cookies)
            };
            let inputs =
                if method == 0 { inputs } else { [&[], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5]] };
            for key in [Phase1Keys::d, Phase1Keys::a, Phase1Keys::e] {
                let one = |v: &[Vec<u8>]| PrfOutput::import(key(&skeyids(v))).unwrap();
                assert_eq!(every_octet_counts(&inputs, one), if method == 0 { 90 } else { 80 });
            }
            let keys = skeyids(&inputs.map(<[u8]>::to_vec));
            assert!(keys.d() != keys.a() && keys.a() != keys.e() && keys.d() != keys.e());
        }
    }
}

#[test]
fn nonces_of_256_octets_each_are_taken_with_signatures_and_longer_ones_refused() {
    let octets = [9u8; 1000];
    for (initiator, responder) in [(8, 8), (16, 256), (256, 16), (256, 256)] {
        let nonces = Nonces { initiator: &octets[..initiator], responder: &octets[..responder] };
        let skeyid = Skeyid::signature(Prf::HmacSha1, &nonces, &[1; 96]).unwrap();
        let expected = Prf::HmacSha1.compute(&octets[..initiator + responder], &[&[1; 96]]);
        assert_eq!(skeyid.expose(), expected.expose());
    }
    for (initiator, responder) in [(257, 256), (256, 257), (513, 0), (0, 513), (1000, 1000)] {
        let nonces = Nonces { initiator: &octets[..initiator], responder: &octets[..responder] };
        let error = Skeyid::signature(Prf::HmacSha1, &nonces, &[1; 96]).unwrap_err();
        assert!(matches!(error, KeyError::Length { actual, .. } if actual == initiator.max(responder)), "{error}");
    }
}

/// RFC 2409 5: "the length of nonce payload MUST be between 8 and 256 bytes inclusive", each by itself.
//= RFC 2409 5/8
#[test]
fn one_nonce_of_more_than_256_octets_is_refused_with_signatures_whatever_the_other_is() {
    let octets = [9u8; 512];
    for (initiator, responder) in [(257, 16), (16, 257), (400, 100), (504, 8)] {
        let nonces = Nonces { initiator: &octets[..initiator], responder: &octets[..responder] };
        let refused = Skeyid::signature(Prf::HmacSha1, &nonces, &[1; 96]).is_err();
        assert!(refused, "nonces of {initiator} and {responder} octets");
    }
}

/// What is printed of a value has none of these octets, in decimal or hexadecimal.
fn assert_hidden(value: &dyn Debug, secret: &[u8]) {
    assert!(secret.len() >= 8, "too short to be told from anything else");
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        let words = |text: &str| -> Vec<String> {
            text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
        };
        let printed = words(&text);
        let listed = |format: &dyn Fn(&u8) -> String| {
            let list: Vec<String> = secret[..4].iter().map(format).collect();
            printed.windows(4).any(|window| window == list)
        };
        assert!(!listed(&|octet| format!("{octet}")), "octets in decimal: {text}");
        assert!(!listed(&|octet| format!("{octet:x}")) && !listed(&|octet| format!("0x{octet:x}")), "{text}");
        assert!(!text.to_lowercase().contains(&test_vectors::to_hex(&secret[..4])), "octets in hexadecimal: {text}");
    }
}

const SECRET: [u8; 32] = [0xa7; 32];

#[test]
fn nothing_secret_is_printed() {
    let nonces = Nonces { initiator: &[1; 16], responder: &[2; 16] };
    let skeyid = Skeyid::pre_shared_key(Prf::HmacSha2_256, &SECRET, &nonces).unwrap();
    assert_eq!(format!("{skeyid:?}"), "Skeyid(HmacSha2_256)");
    assert_hidden(&skeyid, &SECRET);
    assert_hidden(&skeyid, skeyid.expose());
    let keys = Phase1Keys::import(Prf::HmacSha1, &SECRET, &SECRET, &SECRET).unwrap();
    assert_eq!(format!("{keys:?}"), "Skeyids(HmacSha1)");
    assert_hidden(&keys, &SECRET);
    let derived = skeyid.derive(&SECRET, &Cookies { initiator: [3; 8], responder: [4; 8] });
    for key in [derived.d(), derived.a(), derived.e()] {
        assert_hidden(&derived, key);
    }
    assert_hidden(&PrfOutput::import(&SECRET).unwrap(), &SECRET);
    assert_hidden(&keys.cipher_key(CipherAlgorithm::AesCbc, 32).unwrap(), &SECRET);
    assert_hidden(&keys.cipher_key(CipherAlgorithm::AesCbc, 32), &SECRET);
    assert_hidden(&Secret::<32>::from_array(&SECRET), &SECRET);
    assert_hidden(&CookieJar::new(&SECRET), &SECRET);
    let suite =
        SuiteKeys::new(CipherAlgorithm::AesCbc, &SECRET, IntegrityAlgorithm::HmacSha2_256_128, &SECRET).unwrap();
    assert_hidden(&suite, &SECRET);
    for (cipher, octets) in [
        (CipherAlgorithm::DesCbc, 8),
        (CipherAlgorithm::BlowfishCbc, 32),
        (CipherAlgorithm::Cast128Cbc, 16),
        (CipherAlgorithm::AesCbc, 16),
        (CipherAlgorithm::AesCbc, 24),
        (CipherAlgorithm::AesCbc, 32),
    ] {
        assert_hidden(&Protection::new(cipher, &SECRET[..octets], HashFunction::Sha1).unwrap(), &SECRET);
    }
    let triple: Vec<u8> = (0xa0..0xb8).collect();
    assert_hidden(&Protection::new(CipherAlgorithm::TripleDesCbc, &triple, HashFunction::Sha1).unwrap(), &triple);
}

#[test]
fn g_qm_xy_is_not_printed_with_its_seed() {
    let seed = KeymatSeed { shared: Some(&SECRET), ..SEED };
    assert_hidden(&seed, &SECRET);
}

/// The test of the tests above.
#[test]
fn octets_that_are_printed_are_found() {
    let printed = std::panic::catch_unwind(|| assert_hidden(&SECRET, &SECRET));
    assert!(printed.is_err());
    let chain = IvChain::starting_at(&[0xa7; 16]);
    assert!(std::panic::catch_unwind(|| assert_hidden(&chain, &SECRET)).is_err());
    let end = "192.0.2.1:500".parse().unwrap();
    let hash = detection_hash(HashFunction::Sha1, &Cookies { initiator: [3; 8], responder: [4; 8] }, end);
    assert_eq!(format!("{hash:?}"), "Secret(20 octets)");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_of_any_length_are_as_the_slow_version_makes_them(
        index in 0..Prf::ALL.len(),
        d in vec(any::<u8>(), 1..=64),
        seed in vec(any::<u8>(), 21..200),
        octets in 1..=56usize,
        keymat_octets in 1..600usize,
    ) {
        let prf = Prf::ALL[index];
        let keys = Phase1Keys::import(prf, &d, &[0], &d).unwrap();
        let ka = keys.cipher_key(CipherAlgorithm::BlowfishCbc, octets).unwrap();
        prop_assert_eq!(ka.expose(), slow_ka(prf, &d, octets));
        let parts = KeymatSeed {
            shared: Some(&seed[..7]),
            protocol: ProtocolId(seed[7]),
            spi: &seed[8..12],
            nonces: Nonces { initiator: &seed[12..20], responder: &seed[20..] },
        };
        let mut keymat = vec![0; keymat_octets];
        keys.keymat(&parts, &mut keymat).unwrap();
        prop_assert_eq!(keymat, slow_keymat(prf, &d, &seed, keymat_octets));
    }
}

#[test]
fn an_empty_pre_shared_key_is_refused() {
    let nonces = Nonces { initiator: &[1; 16], responder: &[2; 16] };
    for prf in Prf::ALL {
        assert!(matches!(Skeyid::pre_shared_key(*prf, &[], &nonces), Err(KeyError::Length { actual: 0, .. })));
        assert!(Skeyid::pre_shared_key(*prf, &[0], &nonces).is_ok());
    }
}
