//! The key schedule, message protection, Diffie-Hellman, cookies and NAT detection do not allocate.
#![cfg(all(feature = "modern", feature = "legacy", feature = "modp", feature = "ecp"))]

use std::hint::black_box;

use ike_codec::{ExchangeKind, Group, Header, MessageWriter, PayloadKind, ProtocolId};
use ike_v1::{
    CookieGenerator, Cookies, DhError, DiffieHellman, GroupLengths, KeymatSeed, Nonces, Phase1Publics, Protection,
    Skeyid, Software, detect, detection_hash, plaintext,
};
use ipsec_crypto::{BlowfishCbc, CipherAlgorithm, HashFunction, Prf};
use test_vectors::support::allocation::{CountingAllocator, assert_operations_are_counted, heap_operations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const COOKIES: Cookies = Cookies { initiator: [1; 8], responder: [2; 8] };
const NONCES: Nonces<'_> = Nonces { initiator: &[3; 32], responder: &[4; 32] };

/// Derives all keys and hashes. Returns the number of computed octets, which shows that no step was skipped.
fn keys(prf: Prf) -> usize {
    let g_xy = [5; 256];
    let publics = Phase1Publics { cookies: COOKIES, g_xi: &[6; 256], g_xr: &[7; 256], sai_b: &[8; 52] };
    let mut octets = 0;
    for skeyid in [
        Skeyid::pre_shared_key(prf, b"pre-shared key", &NONCES).unwrap(),
        Skeyid::signature(prf, &NONCES, &g_xy).unwrap(),
        Skeyid::encryption(prf, HashFunction::Sha2_512, &NONCES, &COOKIES),
    ] {
        let keys = skeyid.derive(&g_xy, &COOKIES);
        octets += skeyid.hash_i(&publics, &[9; 8]).expose().len() + skeyid.hash_r(&publics, &[9; 8]).expose().len();
        octets += keys.hash_1(1, &[1; 99]).expose().len() + keys.hash_2(1, &[2; 16], &[1; 99]).expose().len();
        octets += keys.hash_3(1, &NONCES).expose().len();
        octets += keys.cipher_key(CipherAlgorithm::DesCbc, 8).unwrap().expose().len();
        octets += keys.cipher_key(CipherAlgorithm::BlowfishCbc, 56).unwrap().expose().len();
        let mut keymat = [0; 300];
        let seed = KeymatSeed { shared: Some(&g_xy), protocol: ProtocolId::ESP, spi: &[1; 4], nonces: NONCES };
        keys.keymat(&seed, &mut keymat).unwrap();
        octets += black_box(keymat).len();
    }
    octets
}

/// Encrypts and decrypts a message. Returns whether the result equals the original.
fn message(cipher: CipherAlgorithm, octets: usize) -> bool {
    let key: [u8; 56] = core::array::from_fn(|i| (3 * i) as u8 ^ 0x35);
    let protection = Protection::new(cipher, &key[..octets], HashFunction::Md5).unwrap();
    let phase_1 = protection.phase_1(&[1; 128], &[2; 128]);
    let mut chain = protection.phase_2(&phase_1, 5);
    let mut buf = [0; 512];
    let mut writer = MessageWriter::new(&mut buf, &Header::new([1; 8], [2; 8], ExchangeKind::QUICK, 5)).unwrap();
    writer.bytes(PayloadKind::HASH, &[7; 20]).unwrap().bytes(PayloadKind::NONCE, &[8; 33]).unwrap();
    let bytes = writer.finish_padded(protection.block()).unwrap();
    let next = protection.encrypt(&chain, bytes).unwrap();
    let same = protection.decrypt(&chain, bytes) == Ok(next);
    let whole = plaintext(bytes).unwrap().payloads().map(|payload| payload.body.len()).sum::<usize>() == 53;
    protection.restore_ciphertext(&chain, bytes).unwrap();
    let refused = protection.encrypt(&chain, bytes).is_err();
    chain.confirm(next);
    same && whole && refused
}

/// Computes the shared secret of both peers. Returns whether they agree.
fn agree(group: Group) -> bool {
    let lengths = GroupLengths::of(group).unwrap();
    let (a, b) = ([0x11; 80], [0x22; 80]);
    let (a, b) = (&a[..lengths.private], &b[..lengths.private]);
    let (mut g_a, mut g_b, mut one, mut other) = ([0; 256], [0; 256], [0; 256], [0; 256]);
    let (g_a, g_b) = (&mut g_a[..lengths.public], &mut g_b[..lengths.public]);
    let (one, other) = (&mut one[..lengths.shared], &mut other[..lengths.shared]);
    Software.public(group, a, g_a).unwrap();
    Software.public(group, b, g_b).unwrap();
    Software.shared(group, a, g_b, one).unwrap();
    Software.shared(group, b, g_a, other).unwrap();
    g_b.fill(0);
    let refused = Software.shared(group, a, g_b, &mut g_a[..lengths.shared]) == Err(DhError::InvalidPublicValue);
    refused && one == other && one.iter().any(|octet| *octet != 0)
}

#[test]
fn allocator_counts_heap_operations() {
    assert_operations_are_counted();
}

#[test]
fn key_schedule_does_not_allocate() {
    for &prf in Prf::ALL {
        let expected = 3 * (5 * prf.output_len() + 8 + 56 + 300);
        assert_eq!(heap_operations(|| keys(black_box(prf))), (0, expected), "{prf:?}");
    }
}

#[test]
fn message_protection_does_not_allocate() {
    for (cipher, octets) in [
        (CipherAlgorithm::DesCbc, 8),
        (CipherAlgorithm::TripleDesCbc, 24),
        (CipherAlgorithm::BlowfishCbc, 56),
        (CipherAlgorithm::Cast128Cbc, 16),
        (CipherAlgorithm::AesCbc, 16),
        (CipherAlgorithm::AesCbc, 24),
        (CipherAlgorithm::AesCbc, 32),
    ] {
        // With the feature `alloc` of `ipsec-crypto`, which other crates of a build may enable, the key schedule of
        // Blowfish is on the heap.
        let is_on_the_heap = cipher == CipherAlgorithm::BlowfishCbc && size_of::<BlowfishCbc>() < 4168;
        let expected = if is_on_the_heap { 2 } else { 0 };
        assert_eq!(heap_operations(|| message(cipher, black_box(octets))), (expected, true), "{cipher} {octets}");
    }
}

#[test]
fn diffie_hellman_does_not_allocate() {
    for group in [Group::MODP_2048, Group::ECP_256, Group::ECP_384] {
        assert_eq!(heap_operations(|| agree(black_box(group))), (0, true), "{group}");
    }
}

#[test]
fn cookies_and_nat_detection_do_not_allocate() {
    let ends = ("192.0.2.1:500".parse().unwrap(), "[2001:db8::1]:4500".parse().unwrap());
    let (count, good) = heap_operations(|| {
        let jar = CookieGenerator::new(&[9; 32]);
        let cookie = jar.cookie(ends, &[1; 8], 7);
        let hashes = [ends.1, ends.0].map(|end| detection_hash(HashFunction::Sha1, &COOKIES, end));
        let found = detect(HashFunction::Sha1, &COOKIES, ends, hashes.iter().map(|hash| hash.expose()));
        jar.check(ends, &[1; 8], 8, &cookie).is_ok() && found.is_some_and(|found| !found.here && !found.there)
    });
    assert_eq!((count, good), (0, true), "cookies and NAT detection");
}
