//! Follower of ISAKMP SAs: recorded exchanges and conversations, retransmissions, forged and missing messages.
#![cfg(all(feature = "modern", feature = "legacy"))]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use ike_codec::{Cookie, ExchangeKind, Header, Message, MessageWriter, PayloadKind};
use ike_v1::{
    Cookies, FollowError, Followed, HashForm, IvChain, NotVerified, Phase1Keys, Protection, Role, Secrets, Verdict,
    plaintext,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, Prf};
use proptest::collection::vec;
use proptest::prelude::*;
use test_vectors::{ConversationRecord, FlowRecord, Located, Record, data, read_file};

type Follower = ike_v1::Follower<8, 2048>;

const ALGORITHMS: (CipherAlgorithm, HashFunction) = (CipherAlgorithm::AesCbc, HashFunction::Sha1);

/// Keys of a flow of the vectors.
struct Known {
    algorithms: (CipherAlgorithm, HashFunction),
    ka: Vec<u8>,
    keys: Phase1Keys,
}

impl Known {
    fn of(record: &FlowRecord) -> Self {
        let name = record.messages.iter().find_map(|m| m.cipher.as_deref()).unwrap().to_lowercase();
        let ciphers = [
            ("3des", CipherAlgorithm::TripleDesCbc),
            ("aes", CipherAlgorithm::AesCbc),
            ("blowfish", CipherAlgorithm::BlowfishCbc),
            ("cast", CipherAlgorithm::Cast128Cbc),
        ];
        let hashes = [
            ("md5", HashFunction::Md5),
            ("sha1", HashFunction::Sha1),
            ("sha256", HashFunction::Sha2_256),
            ("sha384", HashFunction::Sha2_384),
            ("sha512", HashFunction::Sha2_512),
        ];
        let hash = record.hash.as_deref().unwrap_or_else(|| record.prf.trim_start_matches("hmac-"));
        let algorithms = (
            ciphers.iter().find(|(word, _)| name.contains(word)).unwrap().1,
            hashes.iter().find(|row| row.0 == hash).unwrap().1,
        );
        let prf = *Prf::ALL.iter().find(|prf| prf.name() == record.prf).unwrap();
        let keys = Phase1Keys::import(prf, &[0], &record.skeyid_a, &[0]).unwrap();
        Self { algorithms, ka: record.ka.to_vec(), keys }
    }

    fn secrets(&self) -> Secrets<'_> {
        Secrets {
            encryption_key: Some(&self.ka),
            phase_1_keys: Some(&self.keys),
            algorithms: Some(self.algorithms),
            ..Secrets::default()
        }
    }
}

fn flows(file: &str) -> Vec<FlowRecord> {
    let of = |located: Located| if let Record::Flow(record) = located.record { Some(*record) } else { None };
    read_file(&data().join(file)).unwrap().into_iter().filter_map(of).collect()
}

/// Recorded conversations, with the messages of one or more ISAKMP SAs each.
static CONVERSATIONS: LazyLock<Vec<ConversationRecord>> = LazyLock::new(test_vectors::conversations);

fn conversation(id: &str) -> &'static ConversationRecord {
    CONVERSATIONS.iter().find(|record| record.id == id).unwrap()
}

fn role(name: &str) -> Role {
    if name == "initiator" { Role::Initiator } else { Role::Responder }
}

/// Numbers of messages, message IDs and verified hashes in recorded exchanges.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    clear: usize,
    phase_1: usize,
    phase_2: usize,
    ids: usize,
    hashes: [usize; 3],
}

/// Follows the exchanges of a file and compares IVs, plaintexts, payloads and hashes.
fn follow(file: &str, exchanges: usize) -> Found {
    let (records, mut found) = (flows(file), Found::default());
    assert_eq!(records.len(), exchanges);
    for record in &records {
        let (known, mut follower, mut ids) = (Known::of(record), Follower::new(), BTreeSet::new());
        for (number, entry) in record.messages.iter().enumerate() {
            let at = format!("{} message {}", record.id, number + 1);
            let mut bytes = entry.wire.to_vec();
            let sender = role(entry.from_.as_deref().unwrap());
            let followed = follower.follow(sender, &mut bytes, &known.secrets()).unwrap();
            let Some(chain) = followed.chain else {
                found.clear += 1;
                continue;
            };
            let protection = follower.protection().unwrap();
            assert_eq!(chain.iv()[..protection.block()], entry.iv.as_ref().unwrap()[..protection.block()], "{at}: IV");
            assert_eq!(bytes[28..], entry.plaintext.as_ref().unwrap()[..], "{at}: plaintext");
            let payloads: Vec<_> = plaintext(&bytes).unwrap().payloads().map(|p| (p.kind.0, p.length())).collect();
            assert_eq!(*entry.payloads.as_ref().unwrap(), payloads, "{at}: payloads");
            protection.restore_ciphertext(&chain, &mut bytes).unwrap();
            assert_eq!(bytes, entry.wire[..], "{at}: encrypted again");
            let id = Message::parse(&entry.wire).unwrap().header().message_id;
            if id == 0 {
                // The vectors contain no secret for the hashes of phase 1.
                assert!(matches!(followed.verdict, Verdict::NotVerified(_)), "{at}: {followed:?}");
                found.phase_1 += 1;
                continue;
            }
            let (index, form) = match &entry.hash.as_deref().unwrap()[..7] {
                "HASH(1)" => (0, HashForm::One),
                "HASH(2)" => (1, HashForm::Two),
                "HASH(3)" => (2, HashForm::Three),
                other => panic!("{at}: {other}"),
            };
            assert_eq!((followed.form, followed.verdict), (Some(form), Verdict::Good), "{at}");
            found.hashes[index] += 1;
            found.phase_2 += 1;
            ids.insert(id);
        }
        found.ids += ids.len();
    }
    found
}

//= RFC 2408 4.1.1/3, 5.14/6
//# MUST: all payloads after the header are encrypted
//# MUST: receiving: an encrypted informational exchange is decrypted
#[test]
fn python_exchanges_decrypt_with_one_iv_chain_per_message_id() {
    // Each of the 18 exchanges has two cleartext messages, two encrypted messages of phase 1, two quick modes, a delete
    // and a mode config exchange.
    let expected = Found { clear: 36, phase_1: 36, phase_2: 18 * 8, ids: 18 * 4, hashes: [18 * 4, 36, 36] };
    assert_eq!(follow("ike/flows.jsonl", 18), expected);
}

//= RFC 2409 B/4
//# MUST: the IV of a message is the last block of the one before
#[test]
fn strongswan_exchanges_decrypt_with_one_iv_chain_per_message_id() {
    let expected = Found { clear: 20, phase_1: 10, phase_2: 20, ids: 10, hashes: [10, 5, 5] };
    assert_eq!(follow("ike/strongswan.jsonl", 5), expected);
}

/// Follows one SA of a conversation with each shared secret until one opens the message.
fn follow_with_any(
    follower: &mut Follower,
    record: &ConversationRecord,
    sender: Role,
    message: &mut [u8],
) -> Result<Followed, FollowError> {
    let cookie = &message[..8];
    let ka = record.ka.iter().find(|(of, _)| **of == *cookie).map(|(_, key)| &key[..]);
    let secrets = Secrets { pre_shared_key: record.psk.as_deref(), encryption_key: ka, ..Secrets::default() };
    let all = record.shared.iter().map(|shared| Some(&shared[..])).chain([None]);
    let results = all.map(|shared| follower.follow(sender, message, &Secrets { shared, ..secrets }));
    results.reduce(|first, next| first.or(next)).unwrap()
}

//= RFC 2408 5.11/4
//# MUST: receiving: the hash is computed, and the message discarded if it is wrong
#[test]
fn exchanges_of_recorded_daemons_are_decrypted_and_every_hash_verifies() {
    let (mut opened, mut verdicts) = (0, BTreeMap::new());
    for record in &*CONVERSATIONS {
        let mut followers: BTreeMap<Cookie, Follower> = BTreeMap::new();
        for (number, entry) in record.messages.iter().enumerate() {
            let at = format!("{} message {}", record.id, number + 1);
            let mut bytes = entry.wire.to_vec();
            let follower = followers.entry(bytes[..8].try_into().unwrap()).or_default();
            let followed = follow_with_any(follower, record, role(&entry.from_), &mut bytes);
            let followed = followed.unwrap_or_else(|e| panic!("{at}: {e}"));
            opened += usize::from(followed.chain.is_some());
            let verdict = match followed.verdict {
                Verdict::Absent => None,
                Verdict::Good => Some("good"),
                Verdict::NotVerified(NotVerified::Signature) => Some("signature"),
                Verdict::NotVerified(NotVerified::NoPreSharedKey) => Some("not verified"),
                other => panic!("{at}: {other:?}"),
            };
            assert_eq!(verdict, entry.hash.as_deref(), "{at}");
            if let Some(signed) = &entry.signed {
                assert_eq!(followed.computed.unwrap().expose(), &signed[..], "{at}");
            }
            *verdicts.entry(verdict).or_insert(0) += 1;
        }
    }
    assert_eq!(opened, 308);
    assert_eq!(verdicts[&Some("good")], 265);
    assert_eq!((verdicts[&Some("signature")], verdicts[&Some("not verified")]), (16, 37));
}

/// Returns the secrets of a conversation with one SA.
fn secrets(record: &ConversationRecord) -> Secrets<'_> {
    Secrets { pre_shared_key: record.psk.as_deref(), shared: Some(&record.shared[0]), ..Secrets::default() }
}

//= RFC 2409 10/3
//# SHOULD NOT: the running IV does not move before a message is found to be good and new
#[test]
fn retransmissions_and_forged_messages_do_not_advance_the_iv_chain() {
    for id in ["isakmpd-isakmpd-mm-psk-3des-sha", "racoon-racoon-base-psk-3des-sha1"] {
        let record = conversation(id);
        let mut follower = Follower::new();
        let mut seen: Vec<(Role, Vec<u8>)> = Vec::new();
        for entry in &record.messages {
            let (sender, wire) = (role(&entry.from_), entry.wire.to_vec());
            let message = Message::parse(&wire).unwrap();
            // The hash of phase 1 covers the identity. Padding is covered by no hash.
            let end = match message.header().message_id {
                _ if !message.is_encrypted() => 28,
                0 => 28 + 12 + 24,
                _ => wire.len() - 8,
            };
            for at in (28..end).step_by(7) {
                let mut forged = wire.clone();
                forged[at] ^= 0x10;
                let before = forged.clone();
                match follower.follow(sender, &mut forged, &secrets(record)) {
                    Ok(followed) => assert!(
                        matches!(followed.verdict, Verdict::Bad | Verdict::NotVerified(NotVerified::Missing)),
                        "{id}: octet {at}: {followed:?}"
                    ),
                    Err(FollowError::Plaintext(_)) => assert_eq!(forged, before, "{id}: the message has changed"),
                    Err(other) => panic!("{id}: {other}"),
                }
            }
            seen.push((sender, wire));
            // Every message so far once more, the oldest first.
            for (sender, wire) in &seen {
                let followed = follower.follow(*sender, &mut wire.clone(), &secrets(record)).unwrap();
                assert!(matches!(followed.verdict, Verdict::Good | Verdict::Absent), "{id}: {followed:?}");
            }
        }
    }
}

#[test]
fn wrong_secrets_are_replaced_by_those_that_decrypt_a_message() {
    let record = conversation("isakmpd-isakmpd-mm-psk-3des-sha");
    let mut follower = Follower::new();
    let right = secrets(record);
    for entry in &record.messages {
        let sender = role(&entry.from_);
        let mut bytes = entry.wire.to_vec();
        if follower.encryption_key().is_none() && Message::parse(&bytes).unwrap().is_encrypted() {
            let no_key = follower.follow(sender, &mut bytes, &Secrets::default());
            assert_eq!(no_key.unwrap_err(), FollowError::NoKey);
            let wrong_secret = Secrets { shared: Some(&[7; 128]), ..right };
            assert!(matches!(follower.follow(sender, &mut bytes, &wrong_secret), Err(FollowError::Plaintext(_))));
            assert_eq!(bytes, entry.wire[..], "the message is unchanged");
            let ka = from_the_right_secrets(record);
            let wrong_key = Secrets { pre_shared_key: Some(b"another"), encryption_key: Some(&ka), ..right };
            let followed = follower.follow(sender, &mut bytes, &wrong_key).unwrap();
            assert_eq!((followed.form, followed.verdict), (Some(HashForm::Phase1(sender)), Verdict::Bad));
            assert!(follower.encryption_key().is_none() && follower.phase_1_keys().is_none());
            bytes = entry.wire.to_vec();
        }
        let followed = follower.follow(sender, &mut bytes, &right).unwrap();
        assert!(matches!(followed.verdict, Verdict::Good | Verdict::Absent));
    }
}

fn from_the_right_secrets(record: &ConversationRecord) -> Vec<u8> {
    let mut follower = Follower::new();
    for entry in &record.messages {
        let _ = follower.follow(role(&entry.from_), &mut entry.wire.to_vec(), &secrets(record));
    }
    follower.encryption_key().unwrap().to_vec()
}

#[test]
fn cleartext_values_do_not_replace_values_that_have_decrypted_a_message() {
    let record = conversation("isakmpd-isakmpd-mm-psk-3des-sha");
    let mut follower = Follower::new();
    for (index, entry) in record.messages.iter().enumerate() {
        if index == 5 {
            // Message 3 once more with another public value.
            let mut forged = record.messages[2].wire.to_vec();
            forged[40] ^= 1;
            follower.follow(Role::Initiator, &mut forged, &secrets(record)).unwrap();
        }
        let followed = follower.follow(role(&entry.from_), &mut entry.wire.to_vec(), &secrets(record)).unwrap();
        assert!(matches!(followed.verdict, Verdict::Good | Verdict::Absent), "message {}", index + 1);
    }
}

#[test]
fn values_longer_than_their_buffer_are_refused() {
    let record = conversation("isakmpd-isakmpd-mm-psk-3des-sha");
    let mut follower = ike_v1::Follower::<1, 16>::new();
    let first = &record.messages[0];
    let result = follower.follow(Role::Initiator, &mut first.wire.to_vec(), &Secrets::default());
    assert_eq!(result.unwrap_err(), FollowError::TooLong { octets: 48 });
}

/// Both sides of an ISAKMP SA whose phase 1 has not been recorded.
struct Sa {
    cookies: Cookies,
    keys: Phase1Keys,
    protection: Protection,
    phase_1: IvChain,
}

impl Sa {
    fn new() -> Self {
        Self {
            cookies: Cookies { initiator: [1; 8], responder: [2; 8] },
            keys: Phase1Keys::import(Prf::HmacSha1, &[1; 20], &[2; 20], &[3; 20]).unwrap(),
            protection: Protection::new(ALGORITHMS.0, &[4; 16], ALGORITHMS.1).unwrap(),
            phase_1: IvChain::starting_at(&[5; 16]),
        }
    }

    fn follower<const EXCHANGES: usize>(&self) -> ike_v1::Follower<EXCHANGES, 64> {
        let mut follower = ike_v1::Follower::new();
        follower.begin(0, self.phase_1);
        follower
    }

    fn follow<const EXCHANGES: usize>(
        &self,
        follower: &mut ike_v1::Follower<EXCHANGES, 64>,
        message: &[u8],
    ) -> Result<Followed, FollowError> {
        let secrets = Secrets {
            phase_1_keys: Some(&self.keys),
            encryption_key: Some(&[4; 16]),
            algorithms: Some(ALGORITHMS),
            ..Secrets::default()
        };
        follower.follow(Role::Initiator, &mut message.to_vec(), &secrets)
    }

    /// Writes a message with the hash HASH(1), or without a hash, and advances the chain.
    fn message(&self, exchange: ExchangeKind, id: u32, chain: &mut IvChain, has_hash: bool) -> Vec<u8> {
        let mut buf = [0; 256];
        let mut writer =
            MessageWriter::new(&mut buf, &Header::new(self.cookies.initiator, self.cookies.responder, exchange, id))
                .unwrap();
        if has_hash {
            writer.bytes(PayloadKind::HASH, &[0; 20]).unwrap();
        }
        let begin = writer.len();
        writer.bytes(PayloadKind::VENDOR_ID, &id.to_be_bytes()).unwrap();
        let end = writer.len();
        let message = writer.finish_padded(16).unwrap();
        if has_hash {
            let hash = self.keys.hash_1(id, &message[begin..end]);
            message[begin - 20..begin].copy_from_slice(hash.expose());
        }
        chain.confirm(self.protection.encrypt(chain, message).unwrap());
        message.to_vec()
    }

    fn first(&self, exchange: ExchangeKind, id: u32) -> (Vec<u8>, IvChain) {
        let mut chain = self.protection.phase_2(&self.phase_1, id);
        (self.message(exchange, id, &mut chain, true), chain)
    }
}

#[test]
fn a_message_without_a_hash_does_not_advance_the_iv_chain() {
    let sa = Sa::new();
    let mut follower = sa.follower::<4>();
    let mut chain = sa.protection.phase_2(&sa.phase_1, 7);
    let bare = sa.message(ExchangeKind::INFORMATIONAL, 7, &mut chain, false);
    let followed = sa.follow(&mut follower, &bare).unwrap();
    assert_eq!(followed.verdict, Verdict::NotVerified(NotVerified::Missing));
    assert!(follower.protection().is_none(), "no message was accepted");
    let (good, _) = sa.first(ExchangeKind::INFORMATIONAL, 7);
    assert_eq!(sa.follow(&mut follower, &good).unwrap().verdict, Verdict::Good);
}

#[test]
fn an_informational_exchange_may_use_the_message_id_and_the_chain_of_a_quick_mode() {
    let sa = Sa::new();
    for is_continued in [true, false] {
        let mut follower = sa.follower::<4>();
        let (first, mut chain) = sa.first(ExchangeKind::QUICK, 9);
        assert_eq!(sa.follow(&mut follower, &first).unwrap().verdict, Verdict::Good);
        let notification = match is_continued {
            true => sa.message(ExchangeKind::INFORMATIONAL, 9, &mut chain, true),
            false => sa.first(ExchangeKind::INFORMATIONAL, 9).0,
        };
        let followed = sa.follow(&mut follower, &notification).unwrap();
        assert_eq!((followed.form, followed.verdict), (Some(HashForm::One), Verdict::Good), "{is_continued}");
        assert_eq!(follower.chain(9), Some(chain), "the chain of quick mode continues");
    }
}

#[test]
fn a_transaction_exchange_has_any_number_of_messages_and_may_reuse_a_message_id() {
    let sa = Sa::new();
    let mut follower = sa.follower::<4>();
    let (first, mut chain) = sa.first(ExchangeKind::TRANSACTION, 3);
    let mut all = vec![first.clone()];
    all.extend((0..20).map(|_| sa.message(ExchangeKind::TRANSACTION, 3, &mut chain, true)));
    for message in &all {
        assert_eq!(sa.follow(&mut follower, message).unwrap().verdict, Verdict::Good);
    }
    assert_eq!(follower.chain(3), Some(chain));
    assert_eq!(sa.follow(&mut follower, &all[18]).unwrap().verdict, Verdict::Good, "a retransmission");
    assert_eq!(follower.chain(3), Some(chain));
    // The chain begins again.
    assert_eq!(sa.follow(&mut follower, &first).unwrap().verdict, Verdict::Good);
    assert_ne!(follower.chain(3), Some(chain));
}

#[test]
fn the_oldest_exchange_is_replaced_when_the_table_is_full() {
    let sa = Sa::new();
    let mut follower = sa.follower::<2>();
    let mut chains = BTreeMap::new();
    for id in 1..=3 {
        let (message, chain) = sa.first(ExchangeKind::TRANSACTION, id);
        assert_eq!(sa.follow(&mut follower, &message).unwrap().verdict, Verdict::Good);
        chains.insert(id, chain);
    }
    assert_eq!(follower.chain(1), Some(sa.protection.phase_2(&sa.phase_1, 1)), "it is forgotten");
    assert_eq!([follower.chain(2), follower.chain(3)], [Some(chains[&2]), Some(chains[&3])]);
}

proptest! {
    #[test]
    fn messages_in_any_order_and_number_do_not_panic_and_errors_change_nothing(
        messages in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8), 1..40),
        id in prop::sample::select(vec!["racoon-racoon-base-rsa-3des-sha1", "strongswan-aggressive-hybrid"]),
    ) {
        let record = conversation(id);
        let mut follower = ike_v1::Follower::<1, 1024>::new();
        for (message, at, change) in messages {
            let entry = message.get(&record.messages);
            let mut bytes = entry.wire.to_vec();
            match change {
                0 => bytes[at.index(entry.wire.len())] ^= 1,
                1 => bytes.truncate(at.index(entry.wire.len())),
                _ => {}
            }
            let before = bytes.clone();
            if follower.follow(role(&entry.from_), &mut bytes, &secrets(record)).is_err() {
                prop_assert_eq!(bytes, before);
            }
        }
    }
}

#[test]
fn no_secret_is_printed() {
    let secrets = Secrets { pre_shared_key: Some(b"secret"), shared: Some(&[0xab; 4]), ..Secrets::default() };
    let text = format!("{secrets:?} {:?}", Follower::new());
    assert!(!text.contains("secret\"") && !text.contains("171") && text.contains("pre_shared_key: true"), "{text}");
}

#[test]
fn error_messages_name_the_missing_value() {
    let reasons = [
        (NotVerified::Missing, "hash payload is missing"),
        (NotVerified::Signature, "signature is not verified"),
        (NotVerified::NoShared, "shared secret is not known"),
    ];
    for (reason, text) in reasons {
        assert_eq!(reason.to_string(), text);
    }
    assert_eq!(FollowError::NoKey.to_string(), "encryption key is not known");
    assert!(FollowError::NoKey.is_incomplete() && !FollowError::TooLong { octets: 1 }.is_incomplete());
}
