//! ISAKMP SAs of a capture: each is followed from its first message on, with the secrets of the command line.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ike_codec::{Body, Cookie, ExchangeKind, Fragment, Header, MAX_FRAGMENTS, Message, PayloadKind, Reassembly};
use ike_v1::{FollowError, Followed, Follower, NotVerified, Role, Verdict};
use zeroize::Zeroizing;

use super::key_table::KeyTable;
use super::source::Found;

/// SAs that are followed at a time. The one whose last message is the oldest is forgotten.
const MAX_SAS: usize = 4096;

/// Secrets from the command line.
#[derive(Default)]
pub struct Secrets {
    /// Pre-shared keys, sufficient for the hashes of phase 1.
    pub psks: Vec<Zeroizing<Vec<u8>>>,
    /// Shared secrets g^xy, sufficient for everything with the pre-shared key, or with signatures.
    pub shared: Vec<Zeroizing<Vec<u8>>>,
    /// Encryption keys by initiator cookie.
    pub keys: KeyTable,
}

/// Results for a message besides its fields.
pub struct Opened {
    /// Decrypted message with its encryption flag cleared.
    pub message: Option<Vec<u8>>,
    /// Result of the hash verification.
    pub hash: Verdict,
    /// Value that is signed, in a message with a signature.
    pub signed: Option<Vec<u8>>,
    /// Reason why an encrypted message was not decrypted.
    pub closed: Option<FollowError>,
    /// Message that this fragment completes.
    pub reassembled: Option<Vec<u8>>,
}

impl Opened {
    const NOTHING: Self = Self { message: None, hash: Verdict::Absent, signed: None, closed: None, reassembled: None };
}

/// All SAs of a capture.
#[derive(Default)]
pub struct Sessions {
    secrets: Secrets,
    sessions: BTreeMap<Cookie, Box<Session>>,
    /// Number of messages so far.
    seen: usize,
    fragments: HashMap<FragmentsOf, Pieces>,
}

/// Key that the fragments of one message share.
type FragmentsOf = (Cookie, Option<IpAddr>, u32, u16);

#[derive(Default)]
struct Session {
    initiator: Option<IpAddr>,
    follower: Follower<32, 4096>,
    last_seen: usize,
}

impl Sessions {
    /// Creates an empty table of SAs with these secrets.
    pub fn new(secrets: Secrets) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Processes the next message of the capture.
    pub fn see(&mut self, found: &Found) -> Opened {
        let Ok(message) = Message::parse(&found.message) else { return Opened::NOTHING };
        let source = found.ends.map(|(source, _)| source);
        if let Some(whole) = self.reassemble(&message, source, &found.message) {
            // A reassembled message that is a fragment is shown, and not reassembled again.
            let is_fragment = Message::parse(&whole).is_ok_and(|m| m.header().next_payload == PayloadKind::FRAGMENT);
            let inner = match is_fragment {
                true => Opened::NOTHING,
                false => self.see(&Found { message: whole.clone(), ..*found }),
            };
            return Opened { reassembled: Some(whole), ..inner };
        }
        let header = *message.header();
        self.seen += 1;
        let seen = self.seen;
        self.make_space(&header.initiator_cookie);
        let session = self.sessions.entry(header.initiator_cookie).or_default();
        session.last_seen = seen;
        let (bytes, result) = session.follow(&self.secrets, &header, &found.message, source);
        let message = message.is_encrypted().then_some(bytes);
        match result {
            Ok(Followed { verdict: hash, computed, .. }) => {
                let is_signed = hash == Verdict::NotVerified(NotVerified::Signature);
                let signed = computed.filter(|_| is_signed).map(|value| value.expose().to_vec());
                Opened { message, hash, signed, ..Opened::NOTHING }
            }
            Err(why) => Opened { closed: Some(why), ..Opened::NOTHING },
        }
    }

    /// Returns the encryption key of every SA that was decrypted, ordered by cookie: the rows of Wireshark's
    /// `ikev1_decryption_table`.
    pub fn keys(&self) -> impl Iterator<Item = (&Cookie, &[u8])> {
        self.sessions.iter().filter_map(|(cookie, session)| Some((cookie, session.follower.encryption_key()?)))
    }

    /// Forgets an SA if the table is full and does not contain this one.
    fn make_space(&mut self, cookie: &Cookie) {
        if self.sessions.len() < MAX_SAS || self.sessions.contains_key(cookie) {
            return;
        }
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_seen).map(|(cookie, _)| *cookie);
        oldest.and_then(|cookie| self.sessions.remove(&cookie));
    }

    fn reassemble(&mut self, message: &Message<'_>, source: Option<IpAddr>, bytes: &[u8]) -> Option<Vec<u8>> {
        let Some(Body::Fragment(fragment)) = message.payloads().next().map(|p| p.view()) else { return None };
        let header = message.header();
        let key = (header.initiator_cookie, source, header.message_id, fragment.id);
        let pieces = self.fragments.entry(key).or_default();
        match pieces.add(&fragment, bytes) {
            Added::Waiting => None,
            Added::Complete => {
                let pieces = self.fragments.remove(&key)?;
                let (mut store, mut out) = (vec![0; 65535], vec![0; 65535]);
                let mut reassembly = Reassembly::new(&mut store);
                let whole = pieces
                    .by_number
                    .values()
                    .all(|piece| Message::parse(piece).is_ok_and(|message| reassembly.add(&message).is_ok()));
                // Fragments of two messages with one ID: reassembly restarts with the last fragment.
                if !whole {
                    let _ = self.fragments.entry(key).or_default().add(&fragment, bytes);
                    return None;
                }
                reassembly.message(&mut out).ok().map(|message| message.to_vec())
            }
        }
    }
}

/// Fragments of one message. Each is examined once, and all are joined when the message is complete.
#[derive(Default)]
struct Pieces {
    by_number: BTreeMap<u8, Vec<u8>>,
    /// Number of the last fragment.
    last: Option<u8>,
}

enum Added {
    Waiting,
    Complete,
}

impl Pieces {
    fn add(&mut self, fragment: &Fragment<'_>, bytes: &[u8]) -> Added {
        let number = fragment.number;
        if number == 0 || number > MAX_FRAGMENTS {
            return Added::Waiting;
        }
        let highest = self.by_number.last_key_value().map_or(0, |(number, _)| *number);
        let conflicts = match self.by_number.get(&number) {
            Some(known) if known == bytes => return Added::Waiting, // a retransmission
            Some(_) => true,
            None => {
                self.last.is_some_and(|last| number > last || fragment.is_last())
                    || fragment.is_last() && number < highest
            }
        };
        // The ID was reused for another message; this is its first fragment.
        if conflicts {
            *self = Self::default();
        }
        if fragment.is_last() {
            self.last = Some(number);
        }
        self.by_number.insert(number, bytes.to_vec());
        if self.last.is_some_and(|last| self.by_number.len() == usize::from(last)) {
            Added::Complete
        } else {
            Added::Waiting
        }
    }
}

impl Session {
    /// Follows a message with the first secrets that open it and with which its hash is good, else with the first ones.
    fn follow(
        &mut self,
        secrets: &Secrets,
        header: &Header,
        bytes: &[u8],
        source: Option<IpAddr>,
    ) -> (Vec<u8>, Result<Followed, FollowError>) {
        let is_first = header.message_id == 0 && header.responder_cookie == [0; 8];
        if is_first && header.exchange != ExchangeKind::INFORMATIONAL {
            self.initiator = source;
        }
        let sender = if source.is_some() && source != self.initiator { Role::Responder } else { Role::Initiator };
        let mut first = None;
        for (psk, shared) in secrets.pairs() {
            let encryption_key = secrets.keys.get(&header.initiator_cookie).map(|key| &key[..]);
            let these = ike_v1::Secrets { pre_shared_key: psk, shared, encryption_key, ..Default::default() };
            let mut message = bytes.to_vec();
            let result = self.follower.follow(sender, &mut message, &these);
            if result.as_ref().is_ok_and(|followed| is_accepted(followed.verdict)) {
                return (message, result);
            }
            first.get_or_insert((message, result));
        }
        first.unwrap_or((bytes.to_vec(), Err(FollowError::NoKey)))
    }
}

impl Secrets {
    /// Returns every pre-shared key with every shared secret.
    fn pairs(&self) -> impl Iterator<Item = (Option<&[u8]>, Option<&[u8]>)> {
        let shared = || or_none(&self.shared);
        or_none(&self.psks).flat_map(move |psk| shared().map(move |shared| (psk, shared)))
    }
}

/// Returns each secret, or `None` once if there is none.
fn or_none(secrets: &[Zeroizing<Vec<u8>>]) -> impl Iterator<Item = Option<&[u8]>> {
    let none = secrets.is_empty().then_some(None);
    secrets.iter().map(|secret| Some(&secret[..])).chain(none)
}

/// Returns whether the hash of a message is not wrong.
pub fn is_accepted(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Bad | Verdict::NotVerified(NotVerified::Missing))
}
