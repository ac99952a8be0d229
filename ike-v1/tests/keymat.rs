//! Key schedule: recorded and computed vectors, cipher keys, KEYMAT, the hashes of phase 1 and quick mode, and the
//! redaction of secrets in `Debug`.
#![cfg(all(feature = "modern", feature = "legacy"))]

use std::fmt::Debug;

use ike_codec::ProtocolId;
use ike_v1::{
    CookieGenerator, Cookies, EmptyKeymat, IvChain, KeymatSeed, Nonces, Phase1Keys, Phase1Publics, Protection, Skeyid,
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

/// Returns the hash algorithm of a record, named explicitly or by its prf.
fn hash(prf: &str, hash: Option<&str>) -> HashFunction {
    let name = hash.unwrap_or_else(|| prf.trim_start_matches("hmac-"));
    HASHES.iter().find(|row| row.0 == name).unwrap().1
}

fn records(file: &str) -> Vec<Record> {
    read_file(&data().join(file)).unwrap().into_iter().map(|located| located.record).collect()
}

fn phase_1(file: &str) -> Vec<Phase1Record> {
    let of = |record| if let Record::Phase1(record) = record { Some(*record) } else { None };
    records(file).into_iter().filter_map(of).collect()
}

fn keymats(file: &str) -> Vec<KeymatRecord> {
    let of = |record| if let Record::Keymat(record) = record { Some(*record) } else { None };
    records(file).into_iter().filter_map(of).collect()
}

/// Compares the results in the record with the computed ones. Returns the number of results compare.
fn compare(id: &str, results: &[(&str, &Option<Hex>, &[u8])]) -> usize {
    let known = results.iter().filter_map(|(name, expected, got)| Some((name, expected.as_ref()?, got)));
    known
        .map(|(name, expected, got)| {
            assert!(!expected.is_empty(), "{id}: {name} is empty");
            assert_eq!(&expected[..], *got, "{id}: {name}");
        })
        .count()
}

/// Computes and compares every result of a phase 1 record. Returns their number.
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
    compare(
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
//# MUST: authentication by pre-shared keys is supported
#[test]
fn phase_1_keys_match_strongswan() {
    let records = phase_1("ike/strongswan.jsonl");
    assert_eq!(records.len(), 5);
    assert_eq!(records.iter().map(check_phase_1).sum::<usize>(), 40);
}

//= RFC 2409 4/6
//# MUST: the hash works by itself and as HMAC
#[test]
fn phase_1_keys_match_python_for_every_prf_method_and_key_length() {
    let records = phase_1("ike/phase1.jsonl");
    assert_eq!(records.len(), 6 * 4 * 4);
    assert_eq!(records.iter().map(check_phase_1).sum::<usize>(), 96 * 8);
    for record in &records {
        assert_eq!(record.idii_b.as_ref().unwrap().len(), 8);
        assert!(record.hash_i_data.as_ref().unwrap().ends_with(record.idii_b.as_ref().unwrap()), "{}", record.id);
        assert!(record.hash_r_data.as_ref().unwrap().ends_with(record.idir_b.as_ref().unwrap()), "{}", record.id);
    }
}

/// Computes and compares KEYMAT of both directions of a record. Returns the number of octets compared. With PFS, the
/// first 128 octets of the seeds are g(qm)^xy.
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
fn keymat_matches_strongswan() {
    let records = keymats("ike/strongswan.jsonl");
    assert_eq!(records.len(), 5);
    assert_eq!(records.iter().map(check_keymat).sum::<usize>(), 2 * (32 + 36 + 36 + 32 + 32));
}

//= RFC 2409 5.5/4
//# MUST: key exchange payloads in quick mode are supported
#[test]
fn keymat_matches_python_for_every_prf_with_and_without_pfs() {
    let records = keymats("ike/keymat.jsonl");
    assert_eq!((records.len(), records.iter().filter(|r| r.pfs).count()), (48, 24));
    assert_eq!(records.iter().map(check_keymat).sum::<usize>(), 2 * 12 * (24 + 44 + 36 + 120));
}

/// Weak and semi-weak DES keys of RFC 2409 appendix A.
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
const STRONG_DES: &str = "133457799bbcdff1";

fn des_key(prf: Prf, e: &[u8]) -> Result<Vec<u8>, KeyError> {
    let keys = Phase1Keys::import(prf, &[0], &[0], e).unwrap();
    keys.cipher_key(CipherAlgorithm::DesCbc, 8).map(|key| key.expose().to_vec())
}

//= RFC 2409 4/9
//# MUST: des-cbc with a check for weak and semi-weak keys is supported
#[test]
fn des_cipher_key_skips_weak_and_semi_weak_keys() {
    let strong = from_hex(STRONG_DES).unwrap();
    for weak in WEAK_DES.iter().chain(&SEMI_WEAK_DES) {
        let weak = from_hex(weak).unwrap();
        let parity: Vec<u8> = weak.iter().map(|octet| octet ^ 1).collect();
        for weak in [weak, parity] {
            assert_eq!(des_key(Prf::HmacMd5, &[&weak[..], &strong].concat()), Ok(strong.clone()), "{weak:02x?}");
            assert_eq!(des_key(Prf::HmacMd5, &[&strong[..], &weak].concat()), Ok(strong.clone()), "{weak:02x?}");
            assert_eq!(
                des_key(Prf::HmacSha1, &[&weak[..], &strong, &[7; 4]].concat()),
                Ok(strong.clone()),
                "{weak:02x?}"
            );
        }
    }
    let weak: Vec<u8> = SEMI_WEAK_DES[..7].iter().flat_map(|key| from_hex(key).unwrap()).collect();
    assert_eq!(
        des_key(Prf::HmacSha2_512, &[&weak[..], &strong].concat()),
        Ok(strong),
        "the last eight of 64 octets must be used"
    );
}

#[test]
fn des_cipher_key_fails_without_strong_key() {
    for prf in [Prf::HmacMd5, Prf::HmacSha1, Prf::HmacSha2_256, Prf::HmacSha2_512] {
        for (last, error) in WEAK_DES
            .iter()
            .map(|key| (key, KeyError::WeakDes))
            .chain(SEMI_WEAK_DES.iter().map(|key| (key, KeyError::SemiWeakDes)))
        {
            let keys = prf.output_len() / 8;
            let mut e = from_hex(WEAK_DES[0]).unwrap().repeat(keys - 1);
            e.extend(from_hex(last).unwrap());
            e.resize(prf.output_len(), 0x77); // the remaining four octets are not a key
            assert_eq!(des_key(prf, &e), Err(error), "{prf:?} {last}");
        }
    }
}

#[test]
fn des_cipher_key_is_first_eight_octets_if_strong() {
    for &prf in Prf::ALL {
        let e: Vec<u8> = (0..prf.output_len()).map(|i| 0x12 + 3 * i as u8).collect();
        assert_eq!(des_key(prf, &e).unwrap(), &e[..8], "{prf:?}");
    }
}

/// Computes Ka as RFC 2409 appendix B describes it: concatenates blocks and truncates the result.
fn reference_ka(prf: Prf, e: &[u8], octets: usize) -> Vec<u8> {
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

/// Computes KEYMAT as RFC 2409 section 5.5 describes it.
fn reference_keymat(prf: Prf, d: &[u8], seed: &[u8], octets: usize) -> Vec<u8> {
    let (mut keymat, mut last) = (Vec::new(), Vec::new());
    while keymat.len() < octets {
        last = prf.compute(d, &[&[&last[..], seed].concat()]).expose().to_vec();
        keymat.extend_from_slice(&last);
    }
    keymat.truncate(octets);
    keymat
}

#[test]
fn ka_is_expanded_only_if_skeyid_e_is_too_short() {
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
                assert_eq!(key.expose(), reference_ka(prf, &e, octets), "{prf:?} {cipher} {octets}");
                assert_eq!(key.expose().starts_with(&e[..octets.min(e.len())]), octets <= e.len());
            }
        }
    }
}

#[test]
fn cipher_key_refuses_more_than_56_octets() {
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
fn import_preserves_keys_and_refuses_empty_or_long_keys() {
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
fn empty_keymat_is_refused() {
    for &prf in Prf::ALL {
        let keys = Phase1Keys::import(prf, &[1; 16], &[2; 16], &[3; 16]).unwrap();
        assert_eq!(keys.keymat(&SEED, &mut []), Err(EmptyKeymat), "{prf:?}");
        assert_eq!(keys.keymat(&SEED, &mut [0; 1]), Ok(()), "{prf:?}");
    }
    assert_eq!(EmptyKeymat.to_string(), "key material is empty");
}

#[test]
fn shorter_keymat_is_prefix_of_longer_keymat() {
    let seed = [&[0x11; 48][..], &[3, 0x22, 0x33, 0x44, 0x55], &[0x66; 20], &[0x77; 21]].concat();
    for &prf in Prf::ALL {
        let long = keymat(prf, &SEED, 5000);
        assert_eq!(long, reference_keymat(prf, &[0x88; 20], &seed, 5000), "{prf:?}");
        for octets in (1..=200).chain([4999]) {
            assert_eq!(keymat(prf, &SEED, octets), long[..octets], "{prf:?} {octets}");
        }
    }
}

#[test]
fn keymat_depends_on_every_input() {
    let other = [
        ("without PFS", KeymatSeed { shared: None, ..SEED }),
        ("another secret", KeymatSeed { shared: Some(&[0x12; 48]), ..SEED }),
        ("AH", KeymatSeed { protocol: ProtocolId::AH, ..SEED }),
        ("IPComp", KeymatSeed { protocol: ProtocolId::IPCOMP, ..SEED }),
        ("SPI of the other direction", KeymatSeed { spi: &[0x22, 0x33, 0x44, 0x56], ..SEED }),
        ("CPI of 4 octets", KeymatSeed { protocol: ProtocolId::IPCOMP, spi: &[0, 0, 0x44, 0x55], ..SEED }),
        ("CPI of 2 octets", KeymatSeed { protocol: ProtocolId::IPCOMP, spi: &[0x44, 0x55], ..SEED }),
        ("nonces exchanged", KeymatSeed { nonces: Nonces { initiator: &[0x77; 21], responder: &[0x66; 20] }, ..SEED }),
        ("another Ni", KeymatSeed { nonces: Nonces { initiator: &[0x67; 20], responder: &[0x77; 21] }, ..SEED }),
        ("another Nr", KeymatSeed { nonces: Nonces { initiator: &[0x66; 20], responder: &[0x78; 21] }, ..SEED }),
    ];
    for &prf in Prf::ALL {
        let mut seen = vec![("unmodified", keymat(prf, &SEED, 36))];
        for (name, seed) in &other {
            let made = keymat(prf, seed, 36);
            for (before, earlier) in &seen {
                assert_ne!(&made, earlier, "{prf:?}: {name} must not give the same KEYMAT as {before}");
            }
            seen.push((name, made));
        }
    }
}

#[test]
fn keymat_uses_spi_in_its_negotiated_length() {
    for (spi, octets) in [(&[0x44, 0x55][..], "4455"), (&[0, 0, 0x44, 0x55], "00004455")] {
        let seed = KeymatSeed { shared: None, protocol: ProtocolId::IPCOMP, spi, ..SEED };
        let expected = [&[4][..], &from_hex(octets).unwrap(), &[0x66; 20], &[0x77; 21]].concat();
        assert_eq!(keymat(Prf::HmacSha1, &seed, 50), reference_keymat(Prf::HmacSha1, &[0x88; 20], &expected, 50));
    }
}

/// Returns all strings that differ from the given one in one octet.
fn one_octet_variants(octets: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..octets.len()).map(|i| {
        let mut other = octets.to_vec();
        other[i] ^= 0x40;
        other
    })
}

/// Verifies that the result of `function` depends on every octet of every input. Returns the number of octets.
fn octets_with_effect(inputs: &[&[u8]], function: impl Fn(&[Vec<u8>]) -> PrfOutput) -> usize {
    let all: Vec<Vec<u8>> = inputs.iter().map(|input| input.to_vec()).collect();
    let expected = function(&all);
    assert_eq!(function(&all).expose(), expected.expose());
    let mut count = 0;
    for (i, input) in inputs.iter().enumerate() {
        for other in one_octet_variants(input) {
            let mut changed = all.clone();
            changed[i] = other;
            assert!(
                function(&changed).verify(expected.expose()).is_err(),
                "the result does not depend on an octet of input {i}"
            );
            count += 1;
        }
    }
    count
}

#[test]
fn hash_i_and_hash_r_depend_on_every_octet() {
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
        assert_eq!(octets_with_effect(&inputs, |v| hash_of(v, true)), 112, "{prf:?}");
        assert_eq!(octets_with_effect(&inputs, |v| hash_of(v, false)), 112, "{prf:?}");
        let same: Vec<Vec<u8>> = inputs.iter().map(|input| input.to_vec()).collect();
        assert_ne!(
            hash_of(&same, true).expose(),
            hash_of(&same, false).expose(),
            "HASH_I and HASH_R must differ, so that neither can be reflected"
        );
    }
}

#[test]
fn quick_mode_hashes_depend_on_every_octet() {
    for &prf in Prf::ALL {
        let keys = |a: &[u8]| Phase1Keys::import(prf, &[0], a, &[0]).unwrap();
        let id = |octets: &[u8]| u32::from_be_bytes(octets.try_into().unwrap());
        let inputs: [&[u8]; 4] = [&[0xa1; 20], &[0, 0, 0, 9], &[0xb2; 16], &[0xc3; 33]];
        let one: [&[u8]; 3] = [inputs[0], inputs[1], inputs[3]];
        assert_eq!(octets_with_effect(&one, |v| keys(&v[0]).hash_1(id(&v[1]), &v[2])), 57, "{prf:?}");
        assert_eq!(octets_with_effect(&inputs, |v| keys(&v[0]).hash_2(id(&v[1]), &v[2], &v[3])), 73, "{prf:?}");
        let three = |v: &[Vec<u8>]| keys(&v[0]).hash_3(id(&v[1]), &Nonces { initiator: &v[2], responder: &v[3] });
        assert_eq!(octets_with_effect(&inputs, three), 73, "{prf:?}");
    }
}

#[test]
fn quick_mode_hashes_match_rfc_2409_5_5() {
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
//# SHOULD: the random information of both parties is part of the authentication
//# SHOULD: the random information of both parties is part of the authentication
#[test]
fn phase_1_keys_depend_on_every_octet() {
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
                assert_eq!(octets_with_effect(&inputs, one), if method == 0 { 90 } else { 80 });
            }
            let keys = skeyids(&inputs.map(<[u8]>::to_vec));
            assert!(keys.d() != keys.a() && keys.a() != keys.e() && keys.d() != keys.e());
        }
    }
}

#[test]
fn signature_skeyid_accepts_nonces_up_to_256_octets() {
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

/// Verifies the rule of RFC 2409 section 5 for each nonce separately: "the length of nonce payload MUST be between 8
/// and 256 bytes inclusive".
//= RFC 2409 5/8
//# MUST: a nonce has 8 to 256 octets
#[test]
fn signature_skeyid_refuses_one_nonce_above_256_octets() {
    let octets = [9u8; 512];
    for (initiator, responder) in [(257, 16), (16, 257), (400, 100), (504, 8)] {
        let nonces = Nonces { initiator: &octets[..initiator], responder: &octets[..responder] };
        let refused = Skeyid::signature(Prf::HmacSha1, &nonces, &[1; 96]).is_err();
        assert!(refused, "nonces of {initiator} and {responder} octets");
    }
}

/// Verifies that the `Debug` output of a value does not contain the secret, in decimal or hexadecimal.
fn assert_hidden(value: &dyn Debug, secret: &[u8]) {
    assert!(secret.len() >= 8, "the secret is too short to be recognised");
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        let words = |text: &str| -> Vec<String> {
            text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
        };
        let printed = words(&text);
        let listed = |format: &dyn Fn(&u8) -> String| {
            let list: Vec<String> = secret[..4].iter().map(format).collect();
            printed.windows(4).any(|window| window == list)
        };
        assert!(!listed(&|octet| format!("{octet}")), "secret octets in decimal: {text}");
        assert!(!listed(&|octet| format!("{octet:x}")) && !listed(&|octet| format!("0x{octet:x}")), "{text}");
        assert!(
            !text.to_lowercase().contains(&test_vectors::to_hex(&secret[..4])),
            "secret octets in hexadecimal: {text}"
        );
    }
}

const SECRET: [u8; 32] = [0xa7; 32];

#[test]
fn debug_output_hides_secrets() {
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
    assert_hidden(&CookieGenerator::new(&SECRET), &SECRET);
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
fn debug_output_of_keymat_seed_hides_shared_secret() {
    let seed = KeymatSeed { shared: Some(&SECRET), ..SEED };
    assert_hidden(&seed, &SECRET);
}

/// Verifies that `assert_hidden` detects printed secrets.
#[test]
fn assert_hidden_detects_printed_octets() {
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
    fn keys_match_reference_implementation(
        index in 0..Prf::ALL.len(),
        d in vec(any::<u8>(), 1..=64),
        seed in vec(any::<u8>(), 21..200),
        octets in 1..=56usize,
        keymat_octets in 1..600usize,
    ) {
        let prf = Prf::ALL[index];
        let keys = Phase1Keys::import(prf, &d, &[0], &d).unwrap();
        let ka = keys.cipher_key(CipherAlgorithm::BlowfishCbc, octets).unwrap();
        prop_assert_eq!(ka.expose(), reference_ka(prf, &d, octets));
        let parts = KeymatSeed {
            shared: Some(&seed[..7]),
            protocol: ProtocolId(seed[7]),
            spi: &seed[8..12],
            nonces: Nonces { initiator: &seed[12..20], responder: &seed[20..] },
        };
        let mut keymat = vec![0; keymat_octets];
        keys.keymat(&parts, &mut keymat).unwrap();
        prop_assert_eq!(keymat, reference_keymat(prf, &d, &seed, keymat_octets));
    }
}

#[test]
fn empty_pre_shared_key_is_refused() {
    let nonces = Nonces { initiator: &[1; 16], responder: &[2; 16] };
    for prf in Prf::ALL {
        assert!(matches!(Skeyid::pre_shared_key(*prf, &[], &nonces), Err(KeyError::Length { actual: 0, .. })));
        assert!(Skeyid::pre_shared_key(*prf, &[0], &nonces).is_ok());
    }
}
