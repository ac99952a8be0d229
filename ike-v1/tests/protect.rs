//! Encryption of messages and its IV chain: every cipher, retransmissions and forged messages.
#![cfg(all(feature = "modern", feature = "legacy"))]

use ike_codec::{DecodeErrorKind, ExchangeKind, Flags, Header, Message, MessageWriter, PayloadKind, Version};
use ike_v1::{IvChain, NextIv, Phase1Keys, ProtectError, Protection, plaintext};
use ipsec_crypto::{CipherAlgorithm, HashFunction, KeyError, Prf};
use proptest::collection::vec;
use proptest::prelude::*;

/// Cipher, length of its key and its block size in octets.
const CIPHERS: [(CipherAlgorithm, usize, usize); 7] = [
    (CipherAlgorithm::DesCbc, 8, 8),
    (CipherAlgorithm::TripleDesCbc, 24, 8),
    (CipherAlgorithm::BlowfishCbc, 56, 8),
    (CipherAlgorithm::Cast128Cbc, 16, 8),
    (CipherAlgorithm::AesCbc, 16, 16),
    (CipherAlgorithm::AesCbc, 24, 16),
    (CipherAlgorithm::AesCbc, 32, 16),
];

const HASHES: [(&str, HashFunction); 5] = [
    ("md5", HashFunction::Md5),
    ("sha1", HashFunction::Sha1),
    ("sha256", HashFunction::Sha2_256),
    ("sha384", HashFunction::Sha2_384),
    ("sha512", HashFunction::Sha2_512),
];

fn key(octets: usize) -> Vec<u8> {
    (0..octets).map(|i| 0x35u8.wrapping_add((5 * i) as u8)).collect()
}

fn protection(index: usize) -> Protection {
    let (cipher, octets, _) = CIPHERS[index];
    Protection::new(cipher, &key(octets), HashFunction::Sha1).unwrap()
}

/// Builds a message with the given payloads, padded to whole blocks.
fn message(block: usize, header: &Header, payloads: &[(PayloadKind, Vec<u8>)]) -> Vec<u8> {
    let mut buf = vec![0xee; 65_535];
    let mut writer = MessageWriter::new(&mut buf, header).unwrap();
    for (kind, body) in payloads {
        writer.bytes(*kind, body).unwrap();
    }
    writer.finish_padded(block).unwrap().to_vec()
}

fn quick(block: usize) -> Vec<u8> {
    let header = Header::new([1; 8], [2; 8], ExchangeKind::QUICK, 0x0102_0304);
    message(block, &header, &[(PayloadKind::HASH, vec![0x5a; 20]), (PayloadKind::NONCE, (0..21).collect())])
}

fn chain() -> IvChain {
    IvChain::starting_at(&core::array::from_fn::<u8, 16, _>(|i| 0x90 + i as u8))
}

//= RFC 2409 B/4
//# MUST: the IV of a message is the last block of the one before
#[test]
fn iv_chain_continues_from_last_ciphertext_block() {
    for (index, (cipher, _, block)) in CIPHERS.into_iter().enumerate() {
        let (protection, mut chain, mut bytes) = (protection(index), chain(), quick(block));
        assert_eq!(protection.block(), block);
        let before = chain;
        let next = protection.encrypt(&chain, &mut bytes).unwrap();
        assert_eq!(chain, before, "{cipher}: encryption must not advance the chain");
        chain.confirm(next);
        assert_eq!(chain.iv()[..block], bytes[bytes.len() - block..], "{cipher}");
        assert_eq!(chain.iv()[block..], [0; 16][block..], "{cipher}: the IV must not exceed a block");
    }
}

//= RFC 2408 4.8/2
//# MUST: every exchange begins with its cryptography synchronised
#[test]
fn phase_2_iv_is_hash_of_last_phase_1_block_and_message_id() {
    for (index, (cipher, octets, block)) in CIPHERS.into_iter().enumerate() {
        for (name, hash) in HASHES {
            let protection = Protection::new(cipher, &key(octets), hash).unwrap();
            let expected = hash.digest(&[b"g^xi", b"g^xr"]);
            let phase_1 = protection.phase_1(b"g^xi", b"g^xr");
            assert_eq!(phase_1.iv(), &expected.expose()[..16], "{cipher} {name}");
            let expected = hash.digest(&[&phase_1.iv()[..block], &[0xde, 0xad, 0, 1]]);
            assert_eq!(protection.phase_2(&phase_1, 0xdead_0001).iv(), &expected.expose()[..16], "{cipher} {name}");
        }
        // Octets after the first block have no effect: a chain that was started with more octets is the same.
        let (long, short) = (chain(), IvChain::starting_at(&chain().iv()[..block]));
        let protection = protection(index);
        assert_eq!(protection.phase_2(&long, 7), protection.phase_2(&short, 7), "{cipher}");
    }
}

//= RFC 2409 10/3
//# SHOULD NOT: the running IV does not move before a message is found to be good and new
#[test]
fn retransmission_decrypts_with_unconfirmed_chain() {
    for (index, (cipher, _, block)) in CIPHERS.into_iter().enumerate() {
        let (protection, mut sender, mut receiver) = (protection(index), chain(), chain());
        let clear = quick(block);
        let mut wire = clear.clone();
        let sent = protection.encrypt(&sender, &mut wire).unwrap();
        for _ in 0..3 {
            let mut again = clear.clone();
            assert_eq!(protection.encrypt(&sender, &mut again).unwrap(), sent);
            assert_eq!(again, wire, "{cipher}: the retransmission must be identical");
            let mut received = wire.clone();
            assert_eq!(protection.decrypt(&receiver, &mut received).unwrap(), sent);
            assert_eq!(received, clear, "{cipher}");
        }
        sender.confirm(sent);
        let mut received = wire.clone();
        receiver.confirm(protection.decrypt(&receiver, &mut received).unwrap());
        assert_eq!(sender, receiver, "{cipher}");
        // After confirmation the first message no longer decrypts, and the next one does.
        let mut late = wire.clone();
        let _: NextIv = protection.decrypt(&receiver, &mut late).unwrap();
        assert_ne!(late, clear, "{cipher}");
        let mut second = clear.clone();
        let _: NextIv = protection.encrypt(&sender, &mut second).unwrap();
        assert_ne!(second, wire, "{cipher}: the IV must differ");
        let _: NextIv = protection.decrypt(&receiver, &mut second).unwrap();
        assert_eq!(second, clear, "{cipher}");
    }
}

//= RFC 2408 5.11/4
//# MUST: receiving: the hash is computed, and the message discarded if it is wrong
//= RFC 2409 10/3
//# SHOULD NOT: the running IV does not move before a message is found to be good and new
#[test]
fn forged_message_does_not_advance_chain() {
    for (index, (cipher, _, block)) in CIPHERS.into_iter().enumerate() {
        let (protection, receiver, clear) = (protection(index), chain(), quick(block));
        let keys = Phase1Keys::import(Prf::HmacSha1, &[0], &[3; 20], &[0]).unwrap();
        let hash = keys.hash_1(9, &clear[28 + 24..]);
        let mut wire = clear.clone();
        let valid = protection.encrypt(&receiver, &mut wire).unwrap();
        for bit in 28 * 8..wire.len() * 8 {
            let mut forged = wire.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let flipped = forged.clone();
            let next = protection.decrypt(&receiver, &mut forged).unwrap();
            assert_eq!(receiver, chain(), "{cipher}: bit {bit}");
            assert_ne!(forged, clear, "{cipher}: bit {bit}");
            assert_eq!(next == valid, bit / 8 < wire.len() - block, "{cipher}: bit {bit}");
            let body_is_whole = forged[28..52] == clear[28..52];
            assert!(!body_is_whole || keys.hash_1(9, &forged[52..]).verify(hash.expose()).is_err());
            protection.restore_ciphertext(&receiver, &mut forged).unwrap();
            assert_eq!(forged, flipped, "{cipher}: bit {bit}: the ciphertext must be restored");
        }
        let mut received = wire.clone();
        assert_eq!(protection.decrypt(&receiver, &mut received).unwrap(), valid);
        assert_eq!(received, clear, "{cipher}: the authentic message must still decrypt");
    }
}

//= RFC 2408 4.8/3
//# SHOULD: the message ID of an informational exchange does not touch the ivs of others
#[test]
fn message_ids_have_distinct_iv_chains() {
    for index in 0..CIPHERS.len() {
        let (protection, phase_1) = (protection(index), chain());
        let ids = [0u32, 1, 2, 0x0100_0000, 0x0000_0100, 0x8000_0000, u32::MAX];
        for (i, id) in ids.iter().enumerate() {
            assert_eq!(protection.phase_2(&phase_1, *id), protection.phase_2(&phase_1, *id));
            for other in &ids[..i] {
                assert_ne!(protection.phase_2(&phase_1, *id), protection.phase_2(&phase_1, *other), "{id} {other}");
            }
            assert_ne!(
                protection.phase_2(&phase_1, *id),
                phase_1,
                "message ID 0 must not continue the chain of phase 1"
            );
        }
    }
}

//= RFC 2408 4.8/2
//# MUST: every exchange begins with its cryptography synchronised
#[test]
fn phase_2_chains_are_independent() {
    let protection = protection(4);
    let phase_1 = chain();
    let (mut one, two) = (protection.phase_2(&phase_1, 1), protection.phase_2(&phase_1, 2));
    let mut bytes = quick(16);
    one.confirm(protection.encrypt(&one, &mut bytes).unwrap());
    assert_ne!(one, protection.phase_2(&phase_1, 1));
    assert_eq!(two, protection.phase_2(&phase_1, 2));
    assert_eq!(phase_1, chain());
}

//= RFC 2408 3.1/7, 4.1.1/2
//# MUST: flags without a name are sent as 0
//# MUST: encryption begins directly after the ISAKMP header
#[test]
fn encryption_changes_only_the_encryption_flag_of_the_header() {
    let protection = protection(4);
    for flags in (0..=u8::MAX).filter(|flags| flags & 1 == 0) {
        let mut clear = quick(16);
        clear[19] = flags;
        let mut bytes = clear.clone();
        let _: NextIv = protection.encrypt(&chain(), &mut bytes).unwrap();
        assert_eq!((&bytes[..19], bytes[19], &bytes[20..28]), (&clear[..19], flags | 1, &clear[20..28]));
        let _: NextIv = protection.decrypt(&chain(), &mut bytes).unwrap();
        assert_eq!(bytes, clear);
    }
}

/// Returns the errors of `encrypt` and `decrypt` for a message, and verifies that a refused message is unchanged.
fn errors_of(protection: &Protection, message: &[u8]) -> [Option<ProtectError>; 2] {
    let mut bytes = message.to_vec();
    let encrypted = protection.encrypt(&chain(), &mut bytes).err();
    assert!(encrypted.is_none() || bytes == message, "a refused message must be unchanged");
    let mut bytes = message.to_vec();
    let decrypted = protection.decrypt(&chain(), &mut bytes).err();
    assert!(decrypted.is_none() || bytes == message, "a refused message must be unchanged");
    let mut bytes = message.to_vec();
    let undone = protection.restore_ciphertext(&chain(), &mut bytes).err();
    assert_eq!(undone, encrypted);
    assert!(undone.is_none() || bytes == message, "a refused message must be unchanged");
    [encrypted, decrypted]
}

/// Builds a message with the given flags and a body of `body` octets.
fn raw(flags: u8, body: usize) -> Vec<u8> {
    let header = Header {
        next_payload: PayloadKind::HASH,
        flags: Flags(flags),
        length: 28 + body as u32,
        ..Header::new([1; 8], [2; 8], ExchangeKind::INFORMATIONAL, 5)
    };
    [&header.to_bytes()[..], &vec![0x61; body]].concat()
}

#[test]
fn body_not_multiple_of_block_size_is_refused() {
    for (index, (cipher, _, block)) in CIPHERS.into_iter().enumerate() {
        let protection = protection(index);
        for body in 0..=64 {
            let whole = body != 0 && body % block == 0;
            let error = (!whole).then_some(ProtectError::Length { body, block });
            let [encrypted, _] = errors_of(&protection, &raw(0, body));
            assert_eq!(encrypted, error, "{cipher}: {body} octets");
            let [_, decrypted] = errors_of(&protection, &raw(1, body));
            assert_eq!(decrypted.is_none(), whole, "{cipher}: {body} octets");
            if body != 0 && body % 8 == 0 {
                assert_eq!(decrypted, error, "{cipher}: {body} octets");
            } else {
                let malformed = |error| matches!(error, Some(ProtectError::Malformed(_)));
                assert!(malformed(decrypted), "{cipher}: {body} octets");
            }
        }
    }
}

#[test]
fn wrong_encryption_flag_is_refused() {
    for index in 0..CIPHERS.len() {
        let header = Header::new([1; 8], [2; 8], ExchangeKind::QUICK, 9);
        let clear = message(16, &header, &[(PayloadKind::HASH, vec![1; 20]), (PayloadKind::NONCE, vec![2; 20])]);
        assert_eq!(clear.len(), 28 + 48, "the message must consist of whole blocks without padding");
        assert_eq!(errors_of(&protection(index), &clear), [None, Some(ProtectError::FlagNotSet)]);
        let mut wire = clear;
        let _: NextIv = protection(index).encrypt(&chain(), &mut wire).unwrap();
        assert_eq!(errors_of(&protection(index), &wire), [Some(ProtectError::FlagSet), None]);
    }
}

fn decode_error(error: Option<ProtectError>) -> Option<DecodeErrorKind> {
    match error {
        Some(ProtectError::Malformed(error)) => Some(error.kind),
        _ => None,
    }
}

/// Returns a quick mode message with this octet changed.
fn changed(at: usize, octet: u8) -> Vec<u8> {
    let mut bytes = quick(16);
    bytes[at] = octet;
    bytes
}

#[test]
fn malformed_headers_are_refused_by_encrypt_and_decrypt() {
    let valid = quick(16);
    let both = [
        ("no octets", Vec::new(), DecodeErrorKind::TooShort),
        ("27 octets", valid[..27].to_vec(), DecodeErrorKind::TooShort),
        ("IKEv2", changed(17, 0x20), DecodeErrorKind::Ikev2),
        ("version 3", changed(17, 0x30), DecodeErrorKind::MajorVersion(3)),
        ("version 1.1", changed(17, Version::IKEV1.0 | 1), DecodeErrorKind::MinorVersion(1)),
        (
            "truncated",
            valid[..valid.len() - 16].to_vec(),
            DecodeErrorKind::Truncated { declared: valid.len() as u32, received: valid.len() as u16 - 16 },
        ),
        (
            "one block too many",
            [&valid[..], &[0; 16]].concat(),
            DecodeErrorKind::LengthMismatch { declared: valid.len() as u32, received: valid.len() as u16 + 16 },
        ),
    ];
    for (name, bytes, expected) in both {
        for flag in [0, 1] {
            let mut bytes = bytes.clone();
            if let Some(flags) = bytes.get_mut(19) {
                *flags = flag;
            }
            let errors = errors_of(&protection(4), &bytes).map(decode_error);
            assert_eq!(errors, [Some(expected), Some(expected)], "{name}, flags {flag}");
        }
    }
}

#[test]
fn encrypted_octets_without_a_payload_are_refused() {
    let mut nothing = changed(16, 0);
    nothing[19] = 1;
    let [_, decrypted] = errors_of(&protection(4), &nothing);
    assert_eq!(decode_error(decrypted), Some(DecodeErrorKind::TrailingData));
}

#[test]
fn encrypted_fragment_is_not_decrypted() {
    let mut fragment = changed(16, PayloadKind::FRAGMENT.0);
    fragment[19] = 1;
    let [_, decrypted] = errors_of(&protection(4), &fragment);
    assert!(decrypted.is_some());
}

fn key_error(cipher: CipherAlgorithm, key: &[u8]) -> Option<KeyError> {
    Protection::new(cipher, key, HashFunction::Sha1).err()
}

#[test]
fn protection_requires_a_key_of_the_length_of_its_cipher() {
    for (cipher, octets, _) in CIPHERS {
        assert_eq!(key_error(cipher, &key(octets)), None, "{cipher} {octets}");
        for wrong in [0, 4, 57, 64] {
            let error = key_error(cipher, &key(wrong));
            assert!(matches!(error, Some(KeyError::Length { actual, .. }) if actual == wrong), "{cipher} {wrong}");
        }
    }
}

#[test]
fn protection_requires_a_block_cipher() {
    let others = [
        (CipherAlgorithm::Null, 0),
        (CipherAlgorithm::AesCtr, 20),
        (CipherAlgorithm::AesGcm16, 20),
        (CipherAlgorithm::AesCcm8, 19),
        (CipherAlgorithm::ChaCha20Poly1305, 36),
        (CipherAlgorithm::NullAesGmac, 20),
    ];
    for (cipher, octets) in others {
        assert_eq!(key_error(cipher, &key(octets)), Some(KeyError::Unsupported), "{cipher}");
    }
}

#[test]
fn protection_refuses_weak_des_keys() {
    assert_eq!(key_error(CipherAlgorithm::DesCbc, &[1; 8]), Some(KeyError::WeakDes));
    let semi_weak = [1, 0xfe, 1, 0xfe, 1, 0xfe, 1, 0xfe];
    assert_eq!(key_error(CipherAlgorithm::DesCbc, &semi_weak), Some(KeyError::SemiWeakDes));
    assert_eq!(key_error(CipherAlgorithm::TripleDesCbc, &[7; 24]), Some(KeyError::DegenerateTripleDes));
}

#[test]
fn wrong_key_or_iv_gives_no_valid_payloads() {
    for (index, (cipher, _, block)) in CIPHERS.into_iter().enumerate() {
        let clear = quick(block);
        let mut wire = clear.clone();
        let _: NextIv = protection(index).encrypt(&chain(), &mut wire).unwrap();
        let mut other_iv = wire.clone();
        let wrong = IvChain::starting_at(&[0xff; 16]);
        let _: NextIv = protection(index).decrypt(&wrong, &mut other_iv).unwrap();
        assert_ne!(other_iv, clear, "{cipher}");
        assert_eq!(other_iv[28 + block..], clear[28 + block..], "{cipher}: CBC must recover after one block");
        assert!(plaintext(&other_iv).is_err(), "{cipher}: the modified first block must not parse");
        let (algorithm, octets, _) = CIPHERS[index];
        let other_key: Vec<u8> = key(octets).iter().map(|octet| octet ^ 0x5a).collect();
        let other = Protection::new(algorithm, &other_key, HashFunction::Sha1).unwrap();
        let mut with_other_key = wire.clone();
        let _: NextIv = other.decrypt(&chain(), &mut with_other_key).unwrap();
        assert!(with_other_key[28..].iter().zip(&clear[28..]).filter(|(a, b)| a == b).count() < 8, "{cipher}");
        assert!(plaintext(&with_other_key).is_err(), "{cipher}: the result of a wrong key must not parse");
    }
}

#[test]
fn protection_errors_name_field_and_values() {
    let error = ProtectError::Length { body: 9, block: 8 };
    assert_eq!(error.to_string(), "body of 9 octets is empty or not a multiple of the block size 8");
    assert_eq!(ProtectError::FlagSet.to_string(), "encryption flag is already set");
    assert_eq!(ProtectError::FlagNotSet.to_string(), "encryption flag is not set");
    let [short, _] = errors_of(&protection(0), &[]);
    let Some(ProtectError::Malformed(inner)) = short else { panic!("{short:?}") };
    assert_eq!(short.unwrap().to_string(), inner.to_string());
}

fn payloads() -> impl Strategy<Value = Vec<(PayloadKind, Vec<u8>)>> {
    let kinds = prop_oneof![
        Just(PayloadKind::HASH),
        Just(PayloadKind::NONCE),
        Just(PayloadKind::VENDOR_ID),
        Just(PayloadKind::KEY_EXCHANGE),
        Just(PayloadKind::SIGNATURE),
    ];
    vec((kinds, vec(any::<u8>(), 1..300)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_decrypt_in_order(
        index in 0..CIPHERS.len(),
        seed in vec(any::<u8>(), 16),
        id in any::<u32>(),
        messages in vec(payloads(), 1..4),
    ) {
        let (protection, block) = (protection(index), CIPHERS[index].2);
        let (mut sender, mut receiver) = (IvChain::starting_at(&seed), IvChain::starting_at(&seed));
        for payloads in messages {
            let clear = message(block, &Header::new([3; 8], [4; 8], ExchangeKind::QUICK, id), &payloads);
            let mut wire = clear.clone();
            let sent = protection.encrypt(&sender, &mut wire).unwrap();
            prop_assert!(Message::parse(&wire).unwrap().is_encrypted());
            prop_assert_ne!(&wire[28..], &clear[28..]);
            let mut received = wire.clone();
            let got = protection.decrypt(&receiver, &mut received).unwrap();
            prop_assert_eq!(&received, &clear);
            let read: Vec<_> =
                plaintext(&received).unwrap().payloads().map(|p| (p.kind, p.body.to_vec())).collect();
            prop_assert_eq!(read, payloads);
            protection.restore_ciphertext(&receiver, &mut received).unwrap();
            prop_assert_eq!(&received, &wire);
            prop_assert_eq!(sent, got);
            sender.confirm(sent);
            receiver.confirm(got);
            prop_assert_eq!(&sender.iv()[..block], &wire[wire.len() - block..]);
        }
    }

    #[test]
    fn arbitrary_octets_do_not_panic_and_errors_change_nothing(
        index in 0..CIPHERS.len(),
        mut bytes in vec(any::<u8>(), 0..200),
        valid_header in any::<bool>(),
    ) {
        if valid_header && bytes.len() >= 28 {
            bytes[17] = 0x10;
            let length = bytes.len() as u32;
            bytes[24..28].copy_from_slice(&length.to_be_bytes());
        }
        let protection = protection(index);
        let before = bytes.clone();
        let (encrypted, mut again) = (protection.encrypt(&chain(), &mut bytes), before.clone());
        let decrypted = protection.decrypt(&chain(), &mut again);
        prop_assert!(encrypted.is_err() || decrypted.is_err(), "encrypt and decrypt must not both succeed");
        prop_assert_eq!(encrypted.is_err(), bytes == before);
        prop_assert_eq!(decrypted.is_err(), again == before);
        if decrypted.is_ok() {
            protection.restore_ciphertext(&chain(), &mut again).unwrap();
            prop_assert_eq!(&again, &before);
        }
        prop_assert!(plaintext(&bytes).is_err() || bytes.len() > 28);
    }
}
