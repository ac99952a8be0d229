//! Follower of ISAKMP SAs: recorded exchanges, message IDs and missing hashes.
#![cfg(all(feature = "modern", feature = "legacy"))]

use std::collections::{BTreeMap, BTreeSet};

use ike_codec::{ExchangeKind, Header, Message, MessageWriter, PayloadKind};
use ike_v1::{
    Cookies, FollowError, Followed, HashForm, IvChain, NotVerified, Phase1Keys, Protection, Role, Secrets, Verdict,
    plaintext,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, Prf};
use test_vectors::{FlowRecord, Record, data, read_file};

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
    let records = read_file(&data().join(file)).unwrap();
    records
        .into_iter()
        .map(|located| match located.record {
            Record::Flow(record) => *record,
            other => panic!("{} in {file}", other.kind()),
        })
        .collect()
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
//# MUST: all payloads behind the header are encrypted
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
    assert_eq!(follow("kdf/ike_flows.jsonl", 5), expected);
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
fn a_message_after_phase_1_without_a_hash_advances_nothing() {
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
fn the_oldest_exchange_is_replaced() {
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

#[test]
fn no_secret_is_printed() {
    let secrets = Secrets { pre_shared_key: Some(b"secret"), shared: Some(&[0xab; 4]), ..Secrets::default() };
    let text = format!("{secrets:?} {:?}", Follower::new());
    assert!(!text.contains("secret\"") && !text.contains("171") && text.contains("pre_shared_key: true"), "{text}");
}

#[test]
fn reasons_name_the_missing_value() {
    let reasons = [
        (NotVerified::Missing, "hash payload is missing"),
        (NotVerified::Signature, "signature is not verified"),
        (NotVerified::NoShared, "shared secret is not known"),
    ];
    for (reason, text) in reasons {
        assert_eq!(reason.to_string(), text);
    }
    assert_eq!(FollowError::NoKey.to_string(), "no key given");
    assert!(FollowError::NoKey.is_incomplete() && !FollowError::TooLong { octets: 1 }.is_incomplete());
}
