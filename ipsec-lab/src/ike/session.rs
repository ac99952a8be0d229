//! ISAKMP SAs of a capture: each is followed from its first message on, with the secrets of the command line.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use ike_codec::{Body, Cookie, Fragment, Header, MAX_FRAGMENTS, Message, PayloadKind, Reassembly};
use ike_v1::{FollowError, Followed, Follower, NotVerified, Role, Verdict};
use zeroize::Zeroizing;

use super::key_table::KeyTable;
use super::sides::{Sides, other};
use super::source::Found;

/// Largest number of SAs in the table. The SA whose last message is the oldest is dropped.
const MAX_SAS: usize = 4096;

/// Largest number of messages of which fragments are kept.
const MAX_FRAGMENTED: usize = 64;

/// Number of octets of fragments from which the oldest message is dropped.
const MAX_FRAGMENT_OCTETS: usize = 32 << 20;

/// Secrets from the command line.
#[derive(Default)]
pub struct Secrets {
    /// Pre-shared keys, sufficient for the hashes of phase 1.
    pub psks: Vec<Zeroizing<Vec<u8>>>,
    /// Shared secrets g^xy, sufficient for all messages with the pre-shared key, or with signatures.
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
    /// Set if a secret was given that should decrypt the message.
    pub has_secret: bool,
    /// Side of the ISAKMP SA that sent the message.
    pub sender: Option<Role>,
}

impl Opened {
    const NOTHING: Self = Self {
        message: None,
        hash: Verdict::Absent,
        signed: None,
        closed: None,
        reassembled: None,
        has_secret: false,
        sender: None,
    };
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
    sides: Sides,
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
        let source = found.ends.map(|(source, _)| source.ip());
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
        let has_secret = self.secrets.decrypt(&header.initiator_cookie);
        let Processed { bytes, sender, result } = session.follow(&self.secrets, &message, &found.message, found.ends);
        let opened = Opened { has_secret, sender: Some(sender), ..Opened::NOTHING };
        let message = message.is_encrypted().then_some(bytes);
        match result {
            Ok(Followed { verdict: hash, computed, .. }) => {
                let is_signed = hash == Verdict::NotVerified(NotVerified::Signature);
                let signed = computed.filter(|_| is_signed).map(|value| value.expose().to_vec());
                Opened { message, hash, signed, ..opened }
            }
            Err(why) => Opened { closed: Some(why), ..opened },
        }
    }

    /// Returns the encryption key of every SA that was decrypted, ordered by cookie: the rows of Wireshark's
    /// `ikev1_decryption_table`.
    pub fn keys(&self) -> impl Iterator<Item = (&Cookie, &[u8])> {
        self.sessions.iter().filter_map(|(cookie, session)| Some((cookie, session.follower.encryption_key()?)))
    }

    /// Drops an SA if the table is full and does not contain this one.
    fn make_space(&mut self, cookie: &Cookie) {
        if self.sessions.len() < MAX_SAS || self.sessions.contains_key(cookie) {
            return;
        }
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_seen).map(|(cookie, _)| *cookie);
        oldest.and_then(|cookie| self.sessions.remove(&cookie));
    }

    /// Drops the message whose last fragment is the oldest while the fragments of others are too many.
    fn prepare_fragments(&mut self, key: &FragmentsOf) {
        self.seen += 1;
        let is_known = self.fragments.contains_key(key);
        let octets = self.fragments.values().flat_map(|pieces| pieces.by_number.values()).map(Vec::len).sum::<usize>();
        if octets < MAX_FRAGMENT_OCTETS && (is_known || self.fragments.len() < MAX_FRAGMENTED) {
            return;
        }
        let others = self.fragments.iter().filter(|(other, _)| *other != key);
        let oldest = others.min_by_key(|(_, pieces)| pieces.last_seen).map(|(key, _)| *key);
        oldest.and_then(|key| self.fragments.remove(&key));
    }

    fn reassemble(&mut self, message: &Message<'_>, source: Option<IpAddr>, bytes: &[u8]) -> Option<Vec<u8>> {
        let Some(Body::Fragment(fragment)) = message.payloads().next().map(|p| p.view()) else { return None };
        let header = message.header();
        let key = (header.initiator_cookie, source, header.message_id, fragment.id);
        self.prepare_fragments(&key);
        let pieces = self.fragments.entry(key).or_default();
        pieces.last_seen = self.seen;
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
    last_seen: usize,
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

/// Message after it was followed, decrypted if possible.
struct Processed {
    bytes: Vec<u8>,
    sender: Role,
    result: Result<Followed, FollowError>,
}

impl Processed {
    fn is_accepted(&self) -> bool {
        self.result.as_ref().is_ok_and(|followed| is_accepted(followed.verdict))
    }
}

impl Session {
    /// Follows a message with the first secrets that open it and with which its hash is good, else with the first ones.
    /// If neither opens it as a message of its probable sender, it may be from the other side.
    fn follow(
        &mut self,
        secrets: &Secrets,
        message: &Message<'_>,
        bytes: &[u8],
        ends: Option<(SocketAddr, SocketAddr)>,
    ) -> Processed {
        let header = message.header();
        let probable = self.sides.sender(header, bytes, ends);
        let mut processed = self.follow_from(probable, secrets, header, bytes);
        if message.is_encrypted() && processed.result.is_ok() && !processed.is_accepted() {
            let from_other_side = self.follow_from(other(probable), secrets, header, bytes);
            if from_other_side.is_accepted() {
                processed = from_other_side;
            }
        }
        // The addresses of an encrypted message that cannot be verified are not those of a peer.
        if !message.is_encrypted() || processed.is_accepted() {
            self.sides.record(processed.sender, header, bytes, ends);
        }
        processed
    }

    fn follow_from(&mut self, sender: Role, secrets: &Secrets, header: &Header, bytes: &[u8]) -> Processed {
        let mut first = None;
        for (psk, shared) in secrets.pairs() {
            let encryption_key = secrets.keys.get(&header.initiator_cookie).map(|key| &key[..]);
            let these = ike_v1::Secrets { pre_shared_key: psk, shared, encryption_key, ..Default::default() };
            let mut message = bytes.to_vec();
            let result = self.follower.follow(sender, &mut message, &these);
            let processed = Processed { bytes: message, sender, result };
            if processed.is_accepted() {
                return processed;
            }
            first.get_or_insert(processed);
        }
        first.unwrap_or(Processed { bytes: bytes.to_vec(), sender, result: Err(FollowError::NoKey) })
    }
}

impl Secrets {
    /// Returns whether a secret should decrypt the messages of this SA.
    fn decrypt(&self, initiator_cookie: &Cookie) -> bool {
        !self.shared.is_empty() || self.keys.contains_key(initiator_cookie)
    }

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

/// Returns whether the hash of a message verifies, or was not verified.
pub fn is_accepted(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Bad | Verdict::NotVerified(NotVerified::Missing))
}
