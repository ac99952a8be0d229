//! ISAKMP SAs of a capture: the choice of algorithms and the cleartext payloads, and with a secret of one peer the
//! rest.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use ike_codec::{
    Attributes, Body, Chain, Cookie, ExchangeKind, Fragment, MAX_FRAGMENTS, Message, PayloadKind, ProtocolId, Quirks,
    Reassembly,
};
use ike_v1::{
    Cookies, IvChain, Nonces, PeerDefaults, Phase1Choice, Phase1Keys, Phase1Publics, Protection, Skeyid, plaintext,
};
use ipsec_crypto::{KeyError, PrfOutput};
use zeroize::Zeroizing;

use super::key_table::KeyTable;
use super::source::Found;
use crate::exchanges::Exchanges;

/// Secrets from the command line.
#[derive(Default)]
pub struct Secrets {
    /// Pre-shared key, sufficient for the hashes of phase 1.
    pub psk: Option<Zeroizing<Vec<u8>>>,
    /// Shared secret g^xy, sufficient for everything with the pre-shared key.
    pub shared: Option<Zeroizing<Vec<u8>>>,
    /// Encryption keys by initiator cookie.
    pub keys: KeyTable,
}

/// Results for a message besides its fields.
pub struct Opened {
    /// Decrypted message with its encryption flag cleared.
    pub message: Option<Vec<u8>>,
    /// Result of the hash verification; `None` without a hash, or without a secret to verify it.
    pub hash_is_good: Option<bool>,
    /// Reason why an encrypted message was not decrypted.
    pub closed: Option<Closed>,
    /// Message that this fragment completes.
    pub reassembled: Option<Vec<u8>>,
}

/// Reason why an encrypted message was not decrypted.
#[derive(Debug, PartialEq, Eq)]
pub enum Closed {
    /// No key was given or could be derived.
    NoKey(&'static str),
    /// Decryption with the given key failed.
    Failed(String),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey(why) => f.write_str(why),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// All SAs of a capture.
#[derive(Default)]
pub struct Sessions {
    secrets: Secrets,
    sessions: BTreeMap<Cookie, Session>,
    fragments: HashMap<FragmentsOf, Pieces>,
}

/// Key that the fragments of one message share.
type FragmentsOf = (Cookie, Option<IpAddr>, u32, u16);

#[derive(Default)]
struct Session {
    initiator: Option<IpAddr>,
    initiator_cookie: Cookie,
    responder_cookie: Cookie,
    sai_b: Vec<u8>,
    choice: Option<Phase1Choice>,
    quirks: Quirks,
    publics: [Option<Vec<u8>>; 2],
    nonces: [Option<Vec<u8>>; 2],
    identities: [Option<Vec<u8>>; 2],
    keys: Option<Keys>,
    exchanges: Exchanges,
}

/// Keys of one SA.
struct Keys {
    protection: Protection,
    ka: Zeroizing<Vec<u8>>,
    skeyid: Option<Skeyid>,
    skeyids: Option<Phase1Keys>,
}

impl Sessions {
    /// Creates an empty table of SAs with these secrets.
    pub fn new(secrets: Secrets) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Processes the next message of the capture.
    pub fn see(&mut self, found: &Found) -> Opened {
        let mut opened = Opened { message: None, hash_is_good: None, closed: None, reassembled: None };
        let Ok(message) = Message::parse(&found.message) else { return opened };
        let source = found.ends.map(|(source, _)| source);
        if let Some(whole) = self.reassemble(&message, source, &found.message) {
            // A reassembled message that is a fragment is shown, and not reassembled again.
            let is_fragment = Message::parse(&whole).is_ok_and(|m| m.header().next_payload == PayloadKind::FRAGMENT);
            let inner = if is_fragment { opened } else { self.see(&Found { message: whole.clone(), ..*found }) };
            return Opened { reassembled: Some(whole), ..inner };
        }
        let cookie = message.header().initiator_cookie;
        let session = self.sessions.entry(cookie).or_insert(Session { initiator_cookie: cookie, ..Session::default() });
        if message.is_encrypted() {
            match session.open(&self.secrets, &found.message, &message, source) {
                Ok((bytes, good)) => (opened.message, opened.hash_is_good) = (Some(bytes), good),
                Err(why) => opened.closed = Some(why),
            }
        } else {
            opened.hash_is_good = session.learn(&self.secrets, &message, source);
        }
        opened
    }

    /// Returns the encryption key of every SA that was decrypted, ordered by cookie: the rows of Wireshark's
    /// `ikev1_decryption_table`.
    pub fn keys(&self) -> impl Iterator<Item = (&Cookie, &[u8])> {
        let opened = self.sessions.iter().filter(|(_, session)| session.exchanges.any_confirmed());
        opened.filter_map(|(cookie, session)| Some((cookie, &session.keys.as_ref()?.ka[..])))
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
    /// Returns the side that sent a message: 0 for the initiator.
    fn side(&self, source: Option<IpAddr>) -> usize {
        usize::from(source.is_some() && source != self.initiator)
    }

    /// Records the cleartext payloads of phase 1.
    fn learn(&mut self, secrets: &Secrets, message: &Message<'_>, source: Option<IpAddr>) -> Option<bool> {
        if message.header().message_id != 0 || message.header().exchange == ExchangeKind::INFORMATIONAL {
            return None;
        }
        if message.header().responder_cookie == [0; 8] {
            (self.initiator, self.sai_b) = (source, Vec::new());
        } else {
            self.responder_cookie = message.header().responder_cookie;
        }
        let side = self.side(source);
        for payload in message.payloads() {
            match payload.view() {
                Body::VendorId(id) => self.quirks.add(id),
                Body::KeyExchange(value) => self.publics[side] = Some(value.to_vec()),
                Body::Nonce(nonce) => self.nonces[side] = Some(nonce.to_vec()),
                Body::Identification(_) => self.identities[side] = Some(payload.body.to_vec()),
                Body::SecurityAssociation(_) if side == 0 && self.sai_b.is_empty() => {
                    self.sai_b = payload.body.to_vec()
                }
                Body::SecurityAssociation(sa) => {
                    let chosen = sa.proposals().next().filter(|p| p.protocol == ProtocolId::ISAKMP);
                    let attributes: Option<Attributes<'_>> =
                        chosen.and_then(|p| p.transforms().next()).map(|t| t.attributes);
                    let defaults = PeerDefaults::of(&self.quirks);
                    self.choice = attributes.and_then(|a| Phase1Choice::read(&a, &defaults).ok());
                }
                _ => {}
            }
        }
        // Aggressive mode transmits its hashes in cleartext, so that a pre-shared key can be verified.
        let Some(Body::Hash(received)) = message.find(PayloadKind::HASH).map(|p| p.view()) else { return None };
        let skeyid = self.skeyid(secrets)?;
        Some(self.phase_1_hash(Some(&skeyid), side, self.identities[side].as_deref())?.verify(received).is_ok())
    }

    fn open(
        &mut self,
        secrets: &Secrets,
        bytes: &[u8],
        message: &Message<'_>,
        source: Option<IpAddr>,
    ) -> Result<(Vec<u8>, Option<bool>), Closed> {
        if self.keys.is_none() {
            let (keys, phase_1) = self.make_keys(secrets)?;
            self.exchanges.begin(0, phase_1);
            self.keys = Some(keys);
        }
        let (id, side) = (message.header().message_id, self.side(source));
        let keys = self.keys.as_ref().ok_or(Closed::NoKey("no keys"))?;
        let place = self.exchanges.place(&keys.protection, id, bytes).ok_or(Closed::NoKey("no key exchange seen"))?;
        let mut clear = bytes.to_vec();
        let failed = |e: &dyn fmt::Display| Closed::Failed(format!("decrypted, but {e}"));
        let next = keys.protection.decrypt(&place.chain, &mut clear).map_err(|e| failed(&e))?;
        let payloads = plaintext(&clear).map_err(|e| failed(&e))?;
        let identity = payloads.payloads().find(|p| p.kind == PayloadKind::ID).filter(|_| id == 0).map(|p| p.body);
        let computed = match (id, message.header().exchange, place.number) {
            (0, _, _) => self.phase_1_hash(keys.skeyid.as_ref(), side, identity.or(self.identities[side].as_deref())),
            (_, ExchangeKind::QUICK, which @ (2 | 3)) => self.phase_2_hash(which, id, &payloads),
            _ => self.phase_2_hash(1, id, &payloads),
        };
        let received = payloads.payloads().find(|p| p.kind == PayloadKind::HASH);
        let good = computed.zip(received).map(|(computed, received)| computed.verify(received.body).is_ok());
        // A message with a wrong hash does not advance the IV chain; one whose hash cannot be verified does.
        if good != Some(false) {
            self.exchanges.confirm(id, bytes, place, next, &payloads);
            if let Some(identity) = identity {
                self.identities[side] = Some(identity.to_vec());
            }
        }
        Ok((clear, good))
    }

    fn phase_2_hash(&self, which: usize, id: u32, payloads: &Chain<'_>) -> Option<PrfOutput> {
        self.exchanges.hash(self.keys.as_ref()?.skeyids.as_ref()?, which, id, payloads)
    }

    /// Derives the keys of the SA and the IV chain of phase 1.
    fn make_keys(&self, secrets: &Secrets) -> Result<(Keys, IvChain), Closed> {
        let choice = self.choice.as_ref().ok_or(Closed::NoKey("no choice of algorithms seen"))?;
        let [Some(g_xi), Some(g_xr)] = &self.publics else { return Err(Closed::NoKey("no key exchange seen")) };
        let failed = |e: KeyError| Closed::Failed(e.to_string());
        let skeyid = self.skeyid(secrets);
        let skeyids = match (&skeyid, &secrets.shared) {
            (Some(skeyid), Some(shared)) => Some(skeyid.derive(shared, &self.cookies())),
            _ => None,
        };
        let ka = match (secrets.keys.get(&self.initiator_cookie), &skeyids) {
            (Some(ka), _) => ka.clone(),
            (None, Some(skeyids)) => {
                skeyids.cipher_key(choice.cipher, choice.cipher_key).map_err(failed)?.expose().to_vec().into()
            }
            (None, None) => return Err(Closed::NoKey("no key given")),
        };
        let protection = Protection::new(choice.cipher, &ka, choice.hash).map_err(failed)?;
        let phase_1 = protection.phase_1(g_xi, g_xr);
        Ok((Keys { protection, ka, skeyid, skeyids }, phase_1))
    }

    fn skeyid(&self, secrets: &Secrets) -> Option<Skeyid> {
        let [Some(initiator), Some(responder)] = &self.nonces else { return None };
        let nonces = Nonces { initiator, responder };
        Skeyid::pre_shared_key(self.choice.as_ref()?.hash.prf(), secrets.psk.as_ref()?, &nonces).ok()
    }

    fn cookies(&self) -> Cookies {
        Cookies { initiator: self.initiator_cookie, responder: self.responder_cookie }
    }

    fn phase_1_hash(&self, skeyid: Option<&Skeyid>, side: usize, identity: Option<&[u8]>) -> Option<PrfOutput> {
        let [Some(g_xi), Some(g_xr)] = &self.publics else { return None };
        let (skeyid, identity) = (skeyid?, identity?);
        let publics = Phase1Publics { cookies: self.cookies(), g_xi, g_xr, sai_b: &self.sai_b };
        Some(if side == 0 { skeyid.hash_i(&publics, identity) } else { skeyid.hash_r(&publics, identity) })
    }
}
