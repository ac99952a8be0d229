//! Records of types `ike-flow` and `ike-conversation`.

use std::net::{IpAddr, SocketAddr};

use ike_codec::{Chain, Header, Message, PayloadKind};
use ike_v1::{
    FollowError, Followed, Follower, HashForm, IvChain, NotVerified, Phase1Keys, Role, Secrets, Verdict, plaintext,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction};
use test_vectors::{ConversationMessage, ConversationRecord, FlowMessage, FlowRecord, Hex, to_hex};

use super::Failure;
use super::ike_keys::{hash_of, prf};
use crate::ike::{self, Found, Sessions};

/// Checks each message of the exchange: IV, plaintext, payloads and padding, hash, and the ciphertext when it is
/// encrypted again.
pub fn check(record: &FlowRecord) -> Result<(), Failure> {
    let hash = hash_of(&record.prf, record.hash.as_deref()).ok_or(Failure::new("a known hash", &record.prf))?;
    let name = record.messages.iter().find_map(|m| m.cipher.as_deref()).unwrap_or_default();
    // The other two keys are not used here.
    let phase_1_keys =
        Phase1Keys::import(prf(&record.prf)?, &[0], &record.skeyid_a, &[0]).map_err(|e| Failure::new("keys", e))?;
    let mut flow = Flow {
        follower: Follower::new(),
        algorithms: (cipher(name)?, hash),
        ka: &record.ka,
        phase_1_keys,
        first_public: None,
        decrypted: 0,
    };
    for (index, message) in record.messages.iter().enumerate() {
        flow.message(message).map_err(|f| Failure::new(format!("message {}: {}", index + 1, f.expected), f.got))?;
    }
    if flow.decrypted == 0 { Err(Failure::new("an encrypted message", "none")) } else { Ok(()) }
}

struct Flow<'r> {
    follower: Follower<8, 4096>,
    algorithms: (CipherAlgorithm, HashFunction),
    ka: &'r [u8],
    phase_1_keys: Phase1Keys,
    first_public: Option<Vec<u8>>,
    decrypted: usize,
}

impl Flow<'_> {
    fn message(&mut self, record: &FlowMessage) -> Result<(), Failure> {
        let message = Message::parse(&record.wire).map_err(|e| Failure::new("a message", e))?;
        let sender = self.sender(record, &message);
        let mut bytes = record.wire.to_vec();
        let followed = self.follow(sender, &mut bytes, record.iv.as_deref());
        let followed = followed.map_err(|e| Failure::new("a message that can be decrypted", e))?;
        let Some(chain) = followed.chain else { return Ok(()) };
        let protection =
            self.follower.protection().ok_or(Failure::new("keys that have decrypted a message", "none"))?;
        if let Some(iv) = &record.iv {
            equal("IV", iv, &chain.iv()[..protection.block().min(iv.len())])?;
        }
        if let Some(expected) = &record.plaintext {
            equal("plaintext", expected, &bytes[28..])?;
        }
        contents(record, &plaintext(&bytes).map_err(|e| Failure::new("payloads", e))?)?;
        hash(record, &followed)?;
        protection.restore_ciphertext(&chain, &mut bytes).map_err(|e| Failure::new("encryption", e))?;
        equal("ciphertext", &record.wire, &bytes)?;
        self.decrypted += 1;
        Ok(())
    }

    /// Returns the sender of a message. In a record without it, the first public value is that of the initiator.
    fn sender(&mut self, record: &FlowMessage, message: &Message<'_>) -> Role {
        let public = message.find(PayloadKind::KEY_EXCHANGE).map(|payload| payload.body);
        match (record.from_.as_deref(), public) {
            (Some("responder"), _) => Role::Responder,
            (None, Some(public)) if *self.first_public.get_or_insert(public.to_vec()) != *public => Role::Responder,
            _ => Role::Initiator,
        }
    }

    fn follow(&mut self, sender: Role, bytes: &mut [u8], iv: Option<&[u8]>) -> Result<Followed, FollowError> {
        let secrets = Secrets {
            encryption_key: Some(self.ka),
            phase_1_keys: Some(&self.phase_1_keys),
            algorithms: Some(self.algorithms),
            ..Secrets::default()
        };
        match (self.follower.follow(sender, bytes, &secrets), iv) {
            // An exchange that was recorded from its middle on begins with the IV of the record.
            (Err(FollowError::NoKeyExchange), Some(iv)) => {
                let (header, _) = Header::parse(bytes).map_err(FollowError::Malformed)?;
                self.follower.begin(header.message_id, IvChain::starting_at(iv));
                self.follower.follow(sender, bytes, &secrets)
            }
            (result, _) => result,
        }
    }
}

/// Follows the messages of all SAs, as the decoder of captures does, and compares the results of the verification.
pub fn check_conversation(record: &ConversationRecord) -> Result<(), Failure> {
    let key = |(cookie, key): &(Hex, Hex)| {
        let length = |_| Failure::new("a cookie of 8 octets", cookie.len());
        Ok((cookie[..].try_into().map_err(length)?, key.to_vec().into()))
    };
    let secrets = |of: &[Hex]| of.iter().map(|secret| secret.to_vec().into()).collect();
    let mut sessions = Sessions::new(ike::Secrets {
        psks: secrets(record.psk.as_slice()),
        shared: secrets(&record.shared),
        keys: record.ka.iter().map(key).collect::<Result<_, Failure>>()?,
    });
    for (index, message) in record.messages.iter().enumerate() {
        conversation_message(&mut sessions, message)
            .map_err(|f| Failure::new(format!("message {}: {}", index + 1, f.expected), f.got))?;
    }
    Ok(())
}

fn conversation_message(sessions: &mut Sessions, message: &ConversationMessage) -> Result<(), Failure> {
    let mut ends = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
    if message.from_ == "responder" {
        ends.reverse();
    }
    let ends = ends.map(|address| SocketAddr::new(address, 500));
    let found =
        Found { frame: 0, time: None, cut: None, ends: Some((ends[0], ends[1])), message: message.wire.to_vec() };
    let opened = sessions.see(&found);
    if let Some(why) = opened.closed {
        return Err(Failure::new("a message that can be decrypted", why));
    }
    let expected = message.hash.as_deref();
    let is_expected = match opened.hash {
        Verdict::Absent => expected.is_none(),
        Verdict::Good => expected == Some("good"),
        Verdict::NotVerified(NotVerified::Signature) => expected == Some("signature"),
        Verdict::NotVerified(NotVerified::NoPreSharedKey | NotVerified::NoShared) => expected == Some("not verified"),
        _ => false,
    };
    if !is_expected {
        return Err(Failure::new(format!("hash {expected:?}"), format!("{:?}", opened.hash)));
    }
    match &message.signed {
        Some(signed) => equal("signed value", signed, opened.signed.as_deref().unwrap_or_default()),
        None => Ok(()),
    }
}

fn contents(record: &FlowMessage, chain: &Chain<'_>) -> Result<(), Failure> {
    if let Some(expected) = &record.payloads {
        let found: Vec<_> = chain.payloads().map(|p| (p.kind.0, p.length())).collect();
        if *expected != found {
            return Err(Failure::new(format!("{expected:?}"), format!("{found:?}")));
        }
    }
    match &record.padding {
        Some(padding) => equal("padding", padding, chain.padding()),
        None => Ok(()),
    }
}

/// Compares the hash that the message contains, and the result of its verification, with the record.
fn hash(record: &FlowMessage, followed: &Followed) -> Result<(), Failure> {
    let Some(name) = &record.hash else { return Ok(()) };
    let form = match name.get(..7) {
        Some("HASH(1)") => HashForm::One,
        Some("HASH(2)") => HashForm::Two,
        Some("HASH(3)") => HashForm::Three,
        _ => return Err(Failure::new("a known hash", name)),
    };
    if (followed.form, followed.verdict) == (Some(form), Verdict::Good) {
        return Ok(());
    }
    let computed = followed.computed.as_ref().map(|computed| to_hex(computed.expose())).unwrap_or_default();
    Err(Failure::new(format!("{name} {computed}"), format!("{:?} {:?}", followed.form, followed.verdict)))
}

fn equal(what: &str, expected: &[u8], got: &[u8]) -> Result<(), Failure> {
    if expected == got { Ok(()) } else { Err(Failure::new(format!("{what} {}", to_hex(expected)), to_hex(got))) }
}

fn cipher(name: &str) -> Result<CipherAlgorithm, Failure> {
    let name = name.to_ascii_lowercase();
    let known = [
        ("3des", CipherAlgorithm::TripleDesCbc),
        ("aes", CipherAlgorithm::AesCbc),
        ("des", CipherAlgorithm::DesCbc),
        ("blowfish", CipherAlgorithm::BlowfishCbc),
        ("cast", CipherAlgorithm::Cast128Cbc),
    ];
    let found = known.into_iter().find(|(word, _)| name.contains(word));
    found.map(|(_, cipher)| cipher).ok_or(Failure::new("a known cipher", name))
}
