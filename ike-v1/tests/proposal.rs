//! Proposals: mapping between numbers and algorithms in both directions, key lengths, refused transforms, and the split
//! of KEYMAT.
#![cfg(all(feature = "modern", feature = "legacy"))]
#![allow(clippy::type_complexity)]

use ike_codec::{
    AhTransform, Attribute, AttributeError, AttributeWriter, Attributes, AuthAlgorithm, AuthMethod, BodyWriter,
    EncapsulationMode, Encryption, EspTransform, Group, Hash, IpcompTransform, LifeType, Lifetimes, NoSpace,
    ProtocolId, Quirks, TransformId, Value,
};
use ike_v1::{
    PeerDefaults, Phase1Choice, Phase2Choice, Phase2Suite, ProposalError, auth_numbers, encryption_number, esp_number,
};
use ipsec_crypto::{AnyAhIntegrity, AnyCipher, AnySuite, CipherAlgorithm, HashFunction, IntegrityAlgorithm, KeyError};

type List<'a> = Vec<(u16, Value<'a>)>;

/// Encodes attributes in wire format.
fn wire(list: &[(u16, Value<'_>)]) -> Vec<u8> {
    let one = |&(kind, value): &(u16, Value<'_>)| match value {
        Value::Basic(value) => [(kind | 0x8000).to_be_bytes(), value.to_be_bytes()].concat(),
        Value::Variable(bytes) => [&kind.to_be_bytes()[..], &(bytes.len() as u16).to_be_bytes(), bytes].concat(),
    };
    list.iter().flat_map(one).collect()
}

fn basic(list: &[(u16, u16)]) -> List<'static> {
    list.iter().map(|&(kind, value)| (kind, Value::Basic(value))).collect()
}

const RFC: PeerDefaults = PeerDefaults::RFC;
const RACOON: PeerDefaults = PeerDefaults::RACOON;

fn phase_1_with(list: &[(u16, Value<'_>)], defaults: &PeerDefaults) -> Result<Phase1Choice, ProposalError> {
    Phase1Choice::read(&Attributes::parse(&wire(list)).unwrap(), defaults)
}

fn phase_1(list: &[(u16, u16)]) -> Result<Phase1Choice, ProposalError> {
    phase_1_with(&basic(list), &RFC)
}

/// Reads a transform with an encryption algorithm, an optional key length, SHA-1, pre-shared key and group 14.
fn cipher(
    encryption: u16,
    bits: Option<u16>,
    defaults: &PeerDefaults,
) -> Result<(CipherAlgorithm, usize), ProposalError> {
    let mut list = vec![(1, encryption), (2, 2), (3, 1), (4, 14)];
    list.extend(bits.map(|bits| (14, bits)));
    phase_1_with(&basic(&list), defaults).map(|choice| (choice.cipher, choice.cipher_key))
}

fn phase_2_with(
    protocol: u8,
    id: u8,
    list: &[(u16, Value<'_>)],
    defaults: &PeerDefaults,
) -> Result<Phase2Choice, ProposalError> {
    Phase2Choice::read(ProtocolId(protocol), TransformId(id), &Attributes::parse(&wire(list)).unwrap(), defaults)
}

fn suite(protocol: u8, id: u8, list: &[(u16, u16)], defaults: &PeerDefaults) -> Result<Phase2Suite, ProposalError> {
    phase_2_with(protocol, id, &basic(list), defaults).map(|choice| choice.suite)
}

const AH: u8 = 2;
const ESP: u8 = 3;
const IPCOMP: u8 = 4;

/// Number, cipher and key lengths in bits of the algorithms of RFC 2409 appendix A and RFC 3602 that are implemented.
const PHASE_1: [(u16, CipherAlgorithm, &[u16]); 5] = [
    (1, CipherAlgorithm::DesCbc, &[64]),
    (3, CipherAlgorithm::BlowfishCbc, &[40, 48, 128, 256, 448]),
    (5, CipherAlgorithm::TripleDesCbc, &[192]),
    (6, CipherAlgorithm::Cast128Cbc, &[40, 80, 128]),
    (7, CipherAlgorithm::AesCbc, &[128, 192, 256]),
];

/// Number, cipher, key lengths in bits, length of the salt in octets, default key length in octets, and true for an
/// AEAD (RFC 2407 section 4.4.4, RFC 3602, 3686, 4106, 4309, 4543, 7634).
const ESP_ROWS: [(u8, CipherAlgorithm, &[u16], usize, usize, bool); 15] = [
    (2, CipherAlgorithm::DesCbc, &[64], 0, 8, false),
    (3, CipherAlgorithm::TripleDesCbc, &[192], 0, 24, false),
    (6, CipherAlgorithm::Cast128Cbc, &[40, 80, 128], 0, 16, false),
    (7, CipherAlgorithm::BlowfishCbc, &[40, 128, 160, 448], 0, 16, false),
    (11, CipherAlgorithm::Null, &[], 0, 0, false),
    (12, CipherAlgorithm::AesCbc, &[128, 192, 256], 0, 16, false),
    (13, CipherAlgorithm::AesCtr, &[128, 192, 256], 4, 20, false),
    (14, CipherAlgorithm::AesCcm8, &[128, 192, 256], 3, 19, true),
    (15, CipherAlgorithm::AesCcm12, &[128, 192, 256], 3, 19, true),
    (16, CipherAlgorithm::AesCcm16, &[128, 192, 256], 3, 19, true),
    (18, CipherAlgorithm::AesGcm8, &[128, 192, 256], 4, 20, true),
    (19, CipherAlgorithm::AesGcm12, &[128, 192, 256], 4, 20, true),
    (20, CipherAlgorithm::AesGcm16, &[128, 192, 256], 4, 20, true),
    (23, CipherAlgorithm::NullAesGmac, &[128, 192, 256], 4, 20, true),
    (28, CipherAlgorithm::ChaCha20Poly1305, &[256], 4, 36, true),
];

/// Attribute value, AH transform, algorithm and key length in octets according to the RFCs, and the algorithm for
/// racoon.
const AUTH: [(u16, u8, IntegrityAlgorithm, usize, IntegrityAlgorithm); 12] = [
    (1, 2, IntegrityAlgorithm::HmacMd5_96, 16, IntegrityAlgorithm::HmacMd5_96),
    (2, 3, IntegrityAlgorithm::HmacSha1_96, 20, IntegrityAlgorithm::HmacSha1_96),
    (5, 5, IntegrityAlgorithm::HmacSha2_256_128, 32, IntegrityAlgorithm::HmacSha2_256_96),
    (6, 6, IntegrityAlgorithm::HmacSha2_384_192, 48, IntegrityAlgorithm::HmacSha2_384_192),
    (7, 7, IntegrityAlgorithm::HmacSha2_512_256, 64, IntegrityAlgorithm::HmacSha2_512_256),
    (8, 8, IntegrityAlgorithm::HmacRipemd160_96, 20, IntegrityAlgorithm::HmacRipemd160_96),
    (9, 9, IntegrityAlgorithm::AesXcbcMac96, 16, IntegrityAlgorithm::AesXcbcMac96),
    (11, 11, IntegrityAlgorithm::AesGmac, 20, IntegrityAlgorithm::AesGmac),
    (12, 12, IntegrityAlgorithm::AesGmac, 28, IntegrityAlgorithm::AesGmac),
    (13, 13, IntegrityAlgorithm::AesGmac, 36, IntegrityAlgorithm::AesGmac),
    (250, 250, IntegrityAlgorithm::AesCmac96, 16, IntegrityAlgorithm::AesCmac96),
    (252, 252, IntegrityAlgorithm::HmacSha2_256_96, 32, IntegrityAlgorithm::HmacSha2_256_96),
];

fn is_gmac(row: &(u16, u8, IntegrityAlgorithm, usize, IntegrityAlgorithm)) -> bool {
    row.2 == IntegrityAlgorithm::AesGmac
}

//= RFC 2409 4/13
//# SHOULD: 3des is supported
#[test]
fn phase_1_ciphers_map_to_their_numbers_in_both_directions() {
    for (number, algorithm, lengths) in PHASE_1 {
        assert_eq!(encryption_number(algorithm), Some(Encryption(number)));
        for &bits in lengths {
            assert_eq!(cipher(number, Some(bits), &RFC), Ok((algorithm, usize::from(bits) / 8)), "{number} {bits}");
        }
    }
    for row in CipherAlgorithm::ALL {
        let known = PHASE_1.iter().any(|known| known.1 == row.algorithm);
        assert_eq!(encryption_number(row.algorithm).is_some(), known, "{}", row.name);
    }
    for number in (0..=u16::MAX).filter(|number| PHASE_1.iter().all(|row| row.0 != *number)) {
        assert_eq!(cipher(number, Some(128), &RFC), Err(ProposalError::Encryption(Encryption(number))));
    }
}

#[test]
fn phase_1_default_key_lengths_need_no_attribute() {
    let expected = [(1, 8), (5, 24), (6, 16), (7, 16)];
    for (number, octets) in expected {
        for defaults in [RFC, RACOON] {
            assert_eq!(cipher(number, None, &defaults).map(|found| found.1), Ok(octets), "{number}");
        }
    }
    assert_eq!(cipher(3, None, &RACOON), Ok((CipherAlgorithm::BlowfishCbc, 56)));
    let own = PeerDefaults { phase_1_blowfish_bits: 160, ..RFC };
    assert_eq!(cipher(3, None, &own), Ok((CipherAlgorithm::BlowfishCbc, 20)));
}

/// Verifies the rule of RFC 2409 appendix B: "The key for Blowfish-CBC is either the negotiated key size, or the first
/// fifty-six (56) bytes of a key (if no key size is negotiated)". The default of 128 bits in RFC 2451 is for ESP.
#[test]
fn phase_1_blowfish_key_has_56_octets_by_default() {
    assert_eq!(cipher(3, None, &RFC), Ok((CipherAlgorithm::BlowfishCbc, 56)));
}

#[test]
fn phase_1_invalid_key_lengths_are_refused() {
    let wrong: [(u16, &[u16]); 5] = [
        (1, &[0, 8, 56, 63, 65, 72, 128]),
        (3, &[0, 1, 32, 39, 41, 447, 456, 512, 65_528, 65_535]),
        (5, &[0, 64, 128, 168, 191, 193, 200]),
        (6, &[0, 32, 127, 129, 136, 256]),
        (7, &[0, 16, 120, 127, 129, 136, 160, 255, 257, 264, 512, 65_535]),
    ];
    for (number, lengths) in wrong {
        for &bits in lengths {
            assert_eq!(cipher(number, Some(bits), &RFC), Err(ProposalError::KeyLength { bits }), "{number} {bits}");
        }
    }
}

//= RFC 2408 5.11/3
//# MUST: receiving: a message of a hash that is not supported is discarded
//= RFC 2409 4/10
//# MUST: md5 and sha are supported
#[test]
fn phase_1_hashes_are_read_by_number() {
    let known = [
        (1, HashFunction::Md5),
        (2, HashFunction::Sha1),
        (4, HashFunction::Sha2_256),
        (5, HashFunction::Sha2_384),
        (6, HashFunction::Sha2_512),
    ];
    for number in 0..=u16::MAX {
        let found = phase_1(&[(1, 7), (2, number), (3, 1), (4, 14)]).map(|choice| choice.hash);
        let expected = known.iter().find(|row| row.0 == number).map(|row| row.1);
        assert_eq!(found, expected.ok_or(ProposalError::Hash(Hash(number))), "{number}");
    }
}

//= RFC 2407 4.4.1.1/1
//# MUST: proto_isakmp is supported
//= RFC 2409 A/2
//# MUST: a key length is in network byte order
#[test]
fn phase_1_transform_is_read() {
    let list = [(14, 256), (1, 7), (2, 4), (4, 19), (3, 65_001), (11, 1), (12, 28_800), (11, 2), (12, 100)];
    let choice = phase_1(&list).unwrap();
    assert_eq!((choice.cipher, choice.cipher_key, choice.hash), (CipherAlgorithm::AesCbc, 32, HashFunction::Sha2_256));
    assert_eq!((choice.auth_method, choice.group), (AuthMethod(65_001), Group(19)));
    assert_eq!(choice.lifetimes, Lifetimes { seconds: Some(28_800), kilobytes: Some(100), other: None });
    assert_eq!(
        phase_1(&[(1, 1), (2, 1), (3, 3), (4, 9999)]).unwrap().group,
        Group(9999),
        "unknown groups must be preserved"
    );
    let variable: List<'_> = [1, 2, 3, 4]
        .into_iter()
        .zip([&[7u8][..], &[0, 2], &[0, 0, 1], &[14]])
        .map(|(kind, v)| (kind, Value::Variable(v)))
        .collect();
    assert_eq!(phase_1_with(&variable, &RFC).unwrap().group, Group(14), "numbers of any width must be read");
}

//= RFC 2409 4/5, 4/7
//# MUST: cipher, hash, authentication method and group are negotiated
//# MUST: a group is named, or described by all its attributes
#[test]
fn phase_1_missing_attribute_is_reported() {
    let all = [(1, 7), (2, 2), (3, 1), (4, 14)];
    for missing in 1..=4 {
        let list: Vec<_> = all.into_iter().filter(|(kind, _)| *kind != missing).collect();
        assert_eq!(phase_1(&list), Err(ProposalError::Missing(missing)));
    }
    assert_eq!(phase_1(&[]), Err(ProposalError::Missing(1)));
    assert!(phase_1(&all).is_ok());
}

#[test]
fn negotiated_prf_is_refused() {
    for prf in [0, 1, 2, 65_535] {
        assert_eq!(phase_1(&[(1, 7), (2, 2), (3, 1), (4, 14), (13, prf)]), Err(ProposalError::Prf(prf)));
    }
}

#[test]
fn invalid_attributes_of_phase_1_are_refused() {
    let cases: [(List<'_>, AttributeError); 5] = [
        (basic(&[(11, 1), (11, 2)]), AttributeError::Duplicate(11)),
        (basic(&[(11, 1)]), AttributeError::UnpairedLifetime),
        (basic(&[(12, 1)]), AttributeError::UnpairedLifetime),
        (vec![(14, Value::Variable(&[1, 0, 0]))], AttributeError::OutOfRange(14)),
        (vec![(2, Value::Variable(&[]))], AttributeError::OutOfRange(2)),
    ];
    for (list, error) in cases {
        assert_eq!(phase_1_with(&list, &RFC), Err(ProposalError::Attributes(error)), "{list:?}");
    }
}

//= RFC 2407 4.5.2/3
//# MUST: and abort the association
#[test]
fn invalid_attributes_of_phase_2_are_refused() {
    let cases: [(List<'_>, AttributeError); 4] = [
        (basic(&[(5, 2), (5, 1)]), AttributeError::Duplicate(5)),
        (basic(&[(1, 1)]), AttributeError::UnpairedLifetime),
        (vec![(1, Value::Basic(1)), (2, Value::Variable(&[1; 9]))], AttributeError::OutOfRange(2)),
        (vec![(6, Value::Variable(&[1, 0, 0]))], AttributeError::OutOfRange(6)),
    ];
    for (list, error) in cases {
        for (protocol, id) in [(AH, 3), (ESP, 12), (IPCOMP, 2)] {
            let found = phase_2_with(protocol, id, &list, &RFC);
            assert_eq!(found, Err(ProposalError::Attributes(error)), "{protocol}: {list:?}");
        }
    }
}

fn keyed(
    cipher: CipherAlgorithm,
    cipher_key: usize,
    integrity: IntegrityAlgorithm,
    integrity_key: usize,
) -> (CipherAlgorithm, usize, IntegrityAlgorithm, usize) {
    (cipher, cipher_key, integrity, integrity_key)
}

/// Returns the algorithms and key lengths of a keyed suite.
fn parts(suite: Phase2Suite) -> (CipherAlgorithm, usize, IntegrityAlgorithm, usize) {
    match suite {
        Phase2Suite::Keyed { cipher, cipher_key, integrity, integrity_key } => {
            keyed(cipher, cipher_key, integrity, integrity_key)
        }
        other => panic!("{other:?}"),
    }
}

//= RFC 4303 1/1
//# MUST: integrity-only offered as a choice, also when keys are negotiated
//= RFC 2407 4.4.4.11/1
//# MUST: esp_null is supported
#[test]
fn esp_transforms_map_to_their_numbers_in_both_directions() {
    for (number, algorithm, lengths, salt, default, aead) in ESP_ROWS {
        assert_eq!(esp_number(algorithm), Some(EspTransform(number)));
        let (auth, integrity): (&[(u16, u16)], _) = if aead {
            (&[], (IntegrityAlgorithm::None, 0))
        } else {
            (&[(5, 2)], (IntegrityAlgorithm::HmacSha1_96, 20))
        };
        let found = suite(ESP, number, auth, &RFC).map(parts);
        assert_eq!(found, Ok(keyed(algorithm, default, integrity.0, integrity.1)), "{number}");
        for &bits in lengths {
            let list: Vec<_> = auth.iter().copied().chain([(6, bits)]).collect();
            let octets = usize::from(bits) / 8 + salt;
            let found = suite(ESP, number, &list, &RFC).map(parts);
            assert_eq!(found, Ok(keyed(algorithm, octets, integrity.0, integrity.1)), "{number} {bits}");
        }
    }
    assert_eq!(ESP_ROWS.len(), CipherAlgorithm::ALL.len(), "every cipher must have a number");
}

//= RFC 2408 5.6/3
//# MUST: receiving: whether a transform is supported is determined
#[test]
fn unknown_esp_transforms_are_refused() {
    for number in (0..=u8::MAX).filter(|number| ESP_ROWS.iter().all(|row| row.0 != *number)) {
        let error = Err(ProposalError::Transform(TransformId(number)));
        assert_eq!(suite(ESP, number, &[(5, 2)], &RFC), error, "{number} with an integrity algorithm");
        assert_eq!(suite(ESP, number, &[], &RFC), error, "{number}");
    }
}

#[test]
fn esp_blowfish_key_has_128_bits_by_default_and_448_for_racoon() {
    for (defaults, octets) in [(RFC, 16), (RACOON, 56), (PeerDefaults { blowfish_bits: 40, ..RFC }, 5)] {
        assert_eq!(suite(ESP, 7, &[(5, 2)], &defaults).map(parts).unwrap().1, octets);
        assert_eq!(suite(ESP, 7, &[(5, 2), (6, 256)], &defaults).map(parts).unwrap().1, 32);
    }
    for blowfish_bits in [0, 39, 41, 456] {
        let defaults = PeerDefaults { blowfish_bits, ..RFC };
        assert_eq!(suite(ESP, 7, &[(5, 2)], &defaults), Err(ProposalError::KeyLength { bits: blowfish_bits }));
    }
}

#[test]
fn esp_invalid_key_lengths_are_refused() {
    for (number, _, lengths, salt, _, aead) in ESP_ROWS {
        let list: &[(u16, u16)] = if aead { &[] } else { &[(5, 2)] };
        let mut wrong = vec![1, 7, 9, 32, 127, 129, 136, 464, 65_528, 65_535];
        wrong.extend(lengths.iter().flat_map(|bits| [bits + 1, bits + 7]));
        if salt != 0 {
            // The key length attribute does not include the salt, and the salt does not extend a key that is too short.
            wrong.extend([0, 128 - 8 * salt as u16, 128 + 8 * salt as u16, 256 + 8 * salt as u16]);
        }
        for bits in wrong.into_iter().filter(|bits| !lengths.contains(bits)) {
            if matches!(number, 6 | 7) && bits % 8 == 0 && (40..=if number == 6 { 128 } else { 448 }).contains(&bits) {
                continue; // Blowfish and CAST accept every whole number of octets
            }
            let list: Vec<_> = list.iter().copied().chain([(6, bits)]).collect();
            assert_eq!(suite(ESP, number, &list, &RFC), Err(ProposalError::KeyLength { bits }), "{number} {bits}");
        }
    }
}

//= RFC 2407 4.4.4.2/1
//# MUST: esp_des with hmac-md5 is supported
#[test]
fn esp_accepts_every_authentication_algorithm_but_gmac() {
    for (number, algorithm, _, _, default, _) in ESP_ROWS.into_iter().filter(|row| !row.5) {
        for row in AUTH {
            let (attribute, _, integrity, octets, of_racoon) = row;
            let found = suite(ESP, number, &[(5, attribute)], &RFC).map(parts);
            let racoon =
                suite(ESP, number, &[(5, attribute)], &PeerDefaults { blowfish_bits: 128, ..RACOON }).map(parts);
            if is_gmac(&row) {
                let error = Err(ProposalError::Auth(Some(AuthAlgorithm(attribute))));
                assert_eq!((found, racoon), (error, error), "GMAC requires an IV, which only AH carries");
            } else {
                assert_eq!(found, Ok(keyed(algorithm, default, integrity, octets)), "{number} {attribute}");
                assert_eq!(racoon, Ok(keyed(algorithm, default, of_racoon, octets)), "{number} {attribute}");
            }
        }
    }
}

#[test]
fn unknown_authentication_algorithms_are_refused() {
    for number in (0..=u16::MAX).filter(|number| AUTH.iter().all(|row| row.0 != *number)) {
        let error = Err(ProposalError::Auth(Some(AuthAlgorithm(number))));
        assert_eq!(suite(ESP, 12, &[(5, number)], &RFC), error);
        assert_eq!(suite(AH, 3, &[(5, number)], &RFC), error);
    }
}

//= RFC 2407 4.4.4/1, 4.5/6
//# MUST: a transform of ESP that authenticates has an authentication algorithm attribute
//# MUST: ESP without confidentiality has that attribute, and is esp_null
#[test]
fn esp_cipher_without_authentication_is_refused() {
    for (number, ..) in ESP_ROWS.into_iter().filter(|row| !row.5) {
        assert_eq!(suite(ESP, number, &[], &RFC), Err(ProposalError::Auth(None)), "{number}");
        assert_eq!(suite(ESP, number, &[(4, 1)], &RACOON), Err(ProposalError::Auth(None)), "{number}");
    }
}

#[test]
fn esp_aead_with_authentication_algorithm_is_refused() {
    for (number, ..) in ESP_ROWS.into_iter().filter(|row| row.5) {
        for attribute in AUTH.iter().map(|row| row.0).chain([0, 3, 999]) {
            let error = Err(ProposalError::Auth(Some(AuthAlgorithm(attribute))));
            assert_eq!(suite(ESP, number, &[(5, attribute)], &RFC), error, "{number} {attribute}");
        }
    }
}

//= RFC 2407 4.4.1.2/1, 4.4.3.1/1, 4.4.3.2/1, 4.4.3/1
//# MUST NOT: transforms of AH give no confidentiality
//# MUST: ah_md5 with hmac-md5 is supported
//# MUST: ah_sha with hmac-sha is supported
//# MUST: a transform of AH has an authentication algorithm attribute
#[test]
fn ah_transform_and_attribute_must_match() {
    for (attribute, transform, integrity, octets, of_racoon) in AUTH {
        for (other, ..) in AUTH {
            let found = suite(AH, transform, &[(5, other)], &RFC).map(parts);
            let expected = if other == attribute {
                Ok(keyed(CipherAlgorithm::Null, 0, integrity, octets))
            } else {
                Err(ProposalError::Auth(Some(AuthAlgorithm(other))))
            };
            assert_eq!(found, expected, "{transform} {other}");
        }
        let racoon = suite(AH, transform, &[(5, attribute)], &RACOON).map(parts);
        assert_eq!(racoon, Ok(keyed(CipherAlgorithm::Null, 0, of_racoon, octets)), "{transform}");
        assert_eq!(suite(AH, transform, &[], &RFC), Err(ProposalError::Auth(None)), "{transform}");
    }
}

#[test]
fn unknown_ah_transforms_are_refused() {
    for number in (0..=u8::MAX).filter(|number| AUTH.iter().all(|row| row.1 != *number)) {
        let error = Err(ProposalError::Transform(TransformId(number)));
        assert_eq!(suite(AH, number, &[(5, 2)], &RFC), error, "{number}");
    }
}

#[test]
fn integrity_algorithms_map_to_their_numbers() {
    for (attribute, transform, integrity, octets, _) in AUTH {
        let expected = if attribute == 252 { (5, 5) } else { (attribute, transform) };
        let expected = (AuthAlgorithm(expected.0), AhTransform(expected.1));
        assert_eq!(auth_numbers(integrity, octets), Some(expected), "{integrity}");
    }
    assert_eq!(auth_numbers(IntegrityAlgorithm::None, 0), None);
    for row in IntegrityAlgorithm::ALL {
        let known = row.algorithm != IntegrityAlgorithm::None;
        assert_eq!(auth_numbers(row.algorithm, row.default_key).is_some(), known, "{}", row.name);
    }
}

//= RFC 3173 4.1/8
//# MUST NOT: a proposal is not rejected for lack of attributes of other protocols
#[test]
fn ipcomp_accepts_deflate_and_lzs_without_keys() {
    for number in 0..=u8::MAX {
        let found = suite(IPCOMP, number, &[(4, 1)], &RFC);
        if matches!(number, 2 | 3) {
            assert_eq!(found, Ok(Phase2Suite::Compression(IpcompTransform(number))));
            let suite = found.unwrap();
            assert_eq!(suite.keymat_len(), 0);
            assert_eq!(suite.split(&[]).unwrap_err(), KeyError::Unsupported);
            assert_eq!(suite.split(&[0; 16]).unwrap_err(), KeyError::Unsupported);
        } else {
            assert_eq!(found, Err(ProposalError::Transform(TransformId(number))));
        }
    }
}

//= RFC 2408 5.5/4
//# MUST: receiving: a proposal of an invalid protocol is discarded
#[test]
fn phase_2_refuses_other_protocols() {
    for protocol in (0..=u8::MAX).filter(|protocol| ![AH, ESP, IPCOMP].contains(protocol)) {
        let error = Err(ProposalError::Protocol(ProtocolId(protocol)));
        assert_eq!(suite(protocol, 12, &[(5, 2)], &RFC), error);
    }
}

//= RFC 2407 4.5.1/1, 4.5/4
//# MUST: life type, life duration and authentication algorithm can be negotiated
//# MUST: without an encapsulation mode the host decides
#[test]
fn phase_2_transform_is_read() {
    let list = [(6, 256), (5, 5), (4, 3), (3, 14), (11, 1), (1, 1), (2, 3600)];
    let mut list = basic(&list);
    list.extend([(1, Value::Basic(2)), (2, Value::Variable(&[0, 0x46, 0x50, 0]))]);
    let choice = phase_2_with(ESP, 12, &list, &RFC).unwrap();
    assert_eq!(parts(choice.suite), keyed(CipherAlgorithm::AesCbc, 32, IntegrityAlgorithm::HmacSha2_256_128, 32));
    assert_eq!((choice.protocol, choice.encapsulation), (ProtocolId::ESP, Some(EncapsulationMode::UDP_TUNNEL)));
    assert_eq!((choice.group, choice.extended_sequence), (Some(Group::MODP_2048), true));
    assert_eq!(choice.lifetimes, Lifetimes { seconds: Some(3600), kilobytes: Some(4_608_000), other: None });
    let choice = phase_2_with(AH, 3, &basic(&[(5, 2)]), &RFC).unwrap();
    assert_eq!((choice.protocol, choice.encapsulation, choice.group), (ProtocolId::AH, None, None));
    assert_eq!((choice.extended_sequence, choice.lifetimes), (false, Lifetimes::default()));
    let short = phase_2_with(ESP, 12, &basic(&[(5, 2), (11, 0)]), &RFC).unwrap();
    assert!(!short.extended_sequence);
}

#[test]
fn lifetimes_of_one_to_eight_octets_are_read_in_either_order() {
    let octets = [1u8, 2, 3, 4, 5, 6, 7, 8];
    for width in 1..=8 {
        let expected = octets[..width].iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet));
        for (unit, lifetimes) in [
            (1, Lifetimes { seconds: Some(expected), ..Lifetimes::default() }),
            (2, Lifetimes { kilobytes: Some(expected), ..Lifetimes::default() }),
            (9, Lifetimes { other: Some((LifeType(9), expected)), ..Lifetimes::default() }),
        ] {
            let pair = [(11, Value::Basic(unit)), (12, Value::Variable(&octets[..width]))];
            let all = basic(&[(1, 7), (2, 2), (3, 1), (4, 14)]);
            let there = phase_1_with(&[&all[..], &pair].concat(), &RFC).unwrap();
            let back = phase_1_with(&[&[pair[1], pair[0]], &all[..]].concat(), &RFC).unwrap();
            assert_eq!((there.lifetimes, back.lifetimes), (lifetimes, lifetimes), "{unit} {width}");
            let pair = [(1, Value::Basic(unit)), (2, Value::Variable(&octets[..width])), (5, Value::Basic(2))];
            assert_eq!(phase_2_with(ESP, 12, &pair, &RFC).unwrap().lifetimes, lifetimes, "{unit} {width}");
        }
    }
}

#[test]
fn peer_defaults_of_racoon_differ_from_the_rfc() {
    assert_eq!(RFC, PeerDefaults { blowfish_bits: 128, phase_1_blowfish_bits: 448, sha2_256_at_96: false });
    assert_eq!(RACOON, PeerDefaults { blowfish_bits: 448, phase_1_blowfish_bits: 448, sha2_256_at_96: true });
    let mut quirks = Quirks::default();
    assert_eq!(PeerDefaults::of(&quirks), RFC);
    quirks.racoon = true;
    assert_eq!(PeerDefaults::of(&quirks), RACOON);
}

/// Returns every suite that can be negotiated, with every key length of the tables above.
fn suites() -> Vec<(u8, Phase2Suite)> {
    let mut suites = Vec::new();
    for (number, _, lengths, _, _, aead) in ESP_ROWS {
        let auths: Vec<Option<u16>> =
            if aead { vec![None] } else { AUTH.iter().filter(|row| !is_gmac(row)).map(|row| Some(row.0)).collect() };
        for auth in auths {
            for bits in lengths.iter().map(|bits| Some(*bits)).chain([None]) {
                for defaults in [RFC, RACOON] {
                    let list: Vec<_> =
                        auth.map(|auth| (5, auth)).into_iter().chain(bits.map(|bits| (6, bits))).collect();
                    suites.push((ESP, suite(ESP, number, &list, &defaults).unwrap()));
                }
            }
        }
    }
    for (attribute, transform, ..) in AUTH {
        suites.extend([RFC, RACOON].map(|defaults| (AH, suite(AH, transform, &[(5, attribute)], &defaults).unwrap())));
    }
    suites
}

//= RFC 2409 B/2
//# MUST: a service derives a suitable key from the keying material
#[test]
fn split_gives_keys_that_every_suite_accepts() {
    let suites = suites();
    let lengths_of = |aead| ESP_ROWS.iter().filter(move |row| row.5 == aead).map(|row| row.2.len() + 1).sum::<usize>();
    assert_eq!(suites.len(), 2 * (9 * lengths_of(false) + lengths_of(true) + 12));
    for (protocol, suite) in suites {
        let (cipher, cipher_key, integrity, integrity_key) = parts(suite);
        assert_eq!(suite.keymat_len(), cipher_key + integrity_key);
        assert_ne!(suite.keymat_len(), 0, "an SA must have keys: {suite:?}");
        let keymat: Vec<u8> = (0..suite.keymat_len()).map(|i| (7 * i + 1) as u8).collect();
        let keys = suite.split(&keymat).unwrap();
        assert_eq!((keys.cipher, keys.integrity), (cipher, integrity));
        assert_eq!(keys.cipher_key.expose(), &keymat[..cipher_key], "{suite:?}");
        assert_eq!(keys.integrity_key.expose(), &keymat[cipher_key..], "{suite:?}");
        match protocol {
            ESP => drop(AnySuite::from_keys(&keys).unwrap()),
            _ => {
                drop(AnyCipher::new(keys.cipher, keys.cipher_key.expose()).unwrap());
                drop(AnyAhIntegrity::new(keys.integrity, keys.integrity_key.expose()).unwrap());
            }
        }
        for wrong in [0, 1, keymat.len() - 1] {
            assert!(suite.split(&keymat[..wrong]).is_err(), "{suite:?}: {wrong} octets");
        }
        assert!(suite.split(&[&keymat[..], &[0]].concat()).is_err(), "{suite:?}: one octet too many");
    }
}

//= RFC 2408 A.3/1
//# MUST: ISAKMP has protocol 1 in every domain of interpretation
#[test]
fn proposal_errors_name_attribute_and_values() {
    let texts = [
        (ProposalError::Missing(4), "mandatory attribute 4 is missing"),
        (ProposalError::Encryption(Encryption(2)), "encryption algorithm IDEA-CBC is not supported"),
        (ProposalError::Hash(Hash(77)), "hash algorithm 77 is not supported"),
        (ProposalError::Prf(1), "PRF 1 is not supported"),
        (
            ProposalError::Protocol(ProtocolId(1)),
            "protocol: got ISAKMP, expected ISAKMP in phase 1, and AH, ESP or IPComp in phase 2",
        ),
        (ProposalError::Transform(TransformId(99)), "transform 99 is not supported"),
        (
            ProposalError::Auth(Some(AuthAlgorithm(3))),
            "authentication algorithm DES-MAC is not valid for this transform",
        ),
        (ProposalError::Auth(None), "authentication algorithm is missing"),
        (ProposalError::KeyLength { bits: 129 }, "key length of 129 bits is not valid for this algorithm"),
        (AttributeError::Duplicate(5).into(), "duplicate attribute 5"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
    let attribute = Attribute { kind: 1, value: Value::Basic(7) };
    assert_eq!(Attributes::parse(&wire(&[(1, attribute.value)])).unwrap().find(1), Some(attribute));
}

#[test]
fn hash_functions_map_to_their_numbers() {
    use ike_v1::hash_number;
    use ipsec_crypto::HashFunction;
    let all = [
        (1, HashFunction::Md5),
        (2, HashFunction::Sha1),
        (4, HashFunction::Sha2_256),
        (5, HashFunction::Sha2_384),
        (6, HashFunction::Sha2_512),
    ];
    for (number, hash) in all {
        assert_eq!(hash_number(hash).map(|wire| wire.0), Some(number));
    }
}

/// Returns the octets of the attributes that `write` writes.
fn written(write: impl FnOnce(&mut AttributeWriter<'_>) -> Result<(), NoSpace>) -> Result<Vec<u8>, NoSpace> {
    let mut buffer = [0; 256];
    let mut body = BodyWriter::new(&mut buffer);
    body.attributes(write)?;
    Ok(body.finish().to_vec())
}

const HOUR: Lifetimes = Lifetimes { seconds: Some(3600), kilobytes: Some(u32::MAX as u64), other: None };

#[test]
fn every_choice_of_phase_1_is_read_as_it_was_written() {
    let mut count = 0;
    for row in CipherAlgorithm::ALL.iter().filter(|row| encryption_number(row.algorithm).is_some()) {
        let lengths = (row.keys.min..=row.keys.max).filter(|octets| row.keys.allow(*octets));
        for octets in lengths {
            for hash in [HashFunction::Md5, HashFunction::Sha1, HashFunction::Sha2_256, HashFunction::Sha2_512] {
                let choice = Phase1Choice::new(row.algorithm, hash, AuthMethod::PRE_SHARED_KEY, Group::MODP_2048)
                    .with_cipher_key(octets)
                    .with_lifetimes(HOUR);
                let octets = written(|attributes| choice.write(attributes)).unwrap();
                assert_eq!(Phase1Choice::read(&Attributes::parse(&octets).unwrap(), &RFC), Ok(choice));
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count}");
    let gcm = Phase1Choice::new(CipherAlgorithm::AesGcm16, HashFunction::Sha1, AuthMethod::PRE_SHARED_KEY, Group(14));
    assert_eq!(written(|attributes| gcm.write(attributes)), Err(NoSpace), "no number in phase 1");
    let long = Lifetimes { seconds: Some(1 << 32), ..HOUR };
    let choice = Phase1Choice::new(CipherAlgorithm::AesCbc, HashFunction::Sha1, AuthMethod::PRE_SHARED_KEY, Group(14));
    assert_eq!(written(|attributes| choice.with_lifetimes(long).write(attributes)), Err(NoSpace));
}

#[test]
fn every_choice_of_phase_2_is_read_as_it_was_written() {
    let mut count = 0;
    let mut passes = |choice: Phase2Choice| {
        let octets = written(|attributes| choice.write(attributes)).unwrap();
        let id = choice.transform_id().unwrap();
        let read = Phase2Choice::read(choice.protocol, id, &Attributes::parse(&octets).unwrap(), &RFC);
        assert_eq!(read, Ok(choice));
        count += 1;
    };
    let macs = [(IntegrityAlgorithm::HmacMd5_96, 16), (IntegrityAlgorithm::HmacSha2_512_256, 64)];
    for row in CipherAlgorithm::ALL.iter().filter(|row| esp_number(row.algorithm).is_some()) {
        let suites = if row.icv > 0 { &[(IntegrityAlgorithm::None, 0)][..] } else { &macs };
        for &(integrity, integrity_key) in suites {
            let cipher_key = row.keys.max.min(row.default_key + 16 * usize::from(row.keys.step == 8));
            let suite = Phase2Suite::Keyed { cipher: row.algorithm, cipher_key, integrity, integrity_key };
            let choice = Phase2Choice::new(ProtocolId::ESP, suite, EncapsulationMode::TUNNEL).with_lifetimes(HOUR);
            passes(choice);
            passes(choice.with_group(Group::MODP_2048).with_extended_sequence());
        }
    }
    for row in IntegrityAlgorithm::ALL.iter().filter(|row| row.algorithm != IntegrityAlgorithm::None) {
        if auth_numbers(row.algorithm, row.default_key)
            .is_none_or(|_| row.algorithm == IntegrityAlgorithm::HmacSha2_256_96)
        {
            continue; // it has the number of the truncation to 128 bits
        }
        let (cipher, integrity, integrity_key) = (CipherAlgorithm::Null, row.algorithm, row.default_key);
        let suite = Phase2Suite::Keyed { cipher, cipher_key: 0, integrity, integrity_key };
        passes(Phase2Choice::new(ProtocolId::AH, suite, EncapsulationMode::TRANSPORT));
    }
    let deflate = Phase2Suite::Compression(IpcompTransform::DEFLATE);
    passes(Phase2Choice::new(ProtocolId::IPCOMP, deflate, EncapsulationMode::TRANSPORT));
    assert!(count > 30, "{count}");
}
