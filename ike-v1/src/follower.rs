//! Follower of the messages of one ISAKMP SA, for captures and tests.

use core::fmt;

use ike_codec::{Chain, DecodeError, ExchangeKind, Header, Message, PayloadKind};
use ipsec_crypto::{KeyError, PrfOutput};

use crate::{Cookies, IvChain, NextIv, Phase1Keys, ProposalError, ProtectError, Protection, Role, plaintext};

mod exchange;
mod phase_1;

pub use exchange::HashForm;
use exchange::{Begin, Exchange, Exchanges, Place, hash};
pub use phase_1::{NotVerified, Secrets};
use phase_1::{Phase1, SaKeys};

/// Follower of one ISAKMP SA: processes the messages of both sides in the order of a capture, decrypts them in place
/// and verifies their hashes (RFC 2409 section 5 and appendix B).
///
/// It decodes main, aggressive and base mode, quick mode, informational and transaction exchanges. A message advances
/// the IV chain of its exchange when its hash is good, or cannot be verified because a secret is not known. A
/// retransmission, a forged message and one that cannot be decrypted do not advance it.
///
/// `EXCHANGES` is the number of exchanges after phase 1 of which IVs and nonces are kept; the oldest is replaced.
/// `BUFFER` is the length in octets of the longest SA or identification payload.
#[derive(Debug)]
pub struct Follower<const EXCHANGES: usize, const BUFFER: usize> {
    phase_1: Phase1<BUFFER>,
    /// Keys that have decrypted a message.
    keys: Option<SaKeys>,
    chains: Option<Exchange>,
    exchanges: Exchanges<EXCHANGES>,
}

/// Result of the verification of a hash (RFC 2408 section 5.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Messages of this kind contain no hash.
    Absent,
    /// The hash equals the computed one.
    Good,
    /// The hash does not verify: the message or a secret is wrong.
    Bad,
    /// The hash was not verified.
    NotVerified(NotVerified),
}

/// Result for a message besides its octets.
#[derive(Debug)]
pub struct Followed {
    /// IV with which the message was decrypted; `None` for a message in cleartext.
    pub chain: Option<IvChain>,
    /// Hash of the message; `None` if it contains none.
    pub form: Option<HashForm>,
    /// Result of the verification.
    pub verdict: Verdict,
    /// Value that was computed for the hash, or for the value that is signed.
    pub computed: Option<PrfOutput>,
}

impl Followed {
    /// Message without a hash.
    const ABSENT: Self = Self { chain: None, form: None, verdict: Verdict::Absent, computed: None };

    /// Compares the hash of a message with the computed one.
    fn compared(form: HashForm, received: &[u8], computed: Result<PrfOutput, NotVerified>) -> Self {
        let (verdict, computed) = match computed {
            Ok(computed) if computed.verify(received).is_ok() => (Verdict::Good, Some(computed)),
            Ok(computed) => (Verdict::Bad, Some(computed)),
            Err(why) => (Verdict::NotVerified(why), None),
        };
        Self { chain: None, form: Some(form), verdict, computed }
    }

    /// Creates the result for a signed value; the signature is not verified.
    fn signed(form: HashForm, computed: Result<PrfOutput, NotVerified>) -> Self {
        let verdict = Verdict::NotVerified(NotVerified::Signature);
        Self { chain: None, form: Some(form), verdict, computed: computed.ok() }
    }

    /// Creates the result for an encrypted message without the hash that its exchange requires.
    const fn missing(form: HashForm) -> Self {
        let verdict = Verdict::NotVerified(NotVerified::Missing);
        Self { chain: None, form: Some(form), verdict, computed: None }
    }

    /// Returns whether a decrypted message advances the IV chain.
    const fn is_accepted(&self) -> bool {
        !matches!(self.verdict, Verdict::Bad | Verdict::NotVerified(NotVerified::Missing))
    }
}

/// Reason why a message was not followed (RFC 2408 section 5). The message is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FollowError {
    /// The message is malformed.
    Malformed(DecodeError),
    /// A value of phase 1 exceeds its buffer.
    TooLong {
        /// Length of the value in octets.
        octets: usize,
    },
    /// The SA payload of the responder is not known.
    NoChoice,
    /// The SA payload of the responder cannot be used.
    Choice(ProposalError),
    /// The public values of both sides are not known, from which the first IV is derived.
    NoKeyExchange,
    /// No secret is known from which the encryption key follows.
    NoKey,
    /// The encryption key does not follow from the secrets.
    Underivable(NotVerified),
    /// The encryption key is not valid for the cipher.
    Key(KeyError),
    /// The message cannot be decrypted.
    Protect(ProtectError),
    /// The decrypted message is malformed: a key is wrong, or a message before it is not known.
    Plaintext(DecodeError),
}

impl FollowError {
    /// Returns whether a secret or an earlier message is missing, so that neither message nor secret is known to be
    /// wrong.
    pub const fn is_incomplete(&self) -> bool {
        matches!(self, Self::NoChoice | Self::NoKeyExchange | Self::NoKey)
    }
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(e) => fmt::Display::fmt(e, f),
            Self::TooLong { octets } => write!(f, "value of {octets} octets exceeds its buffer"),
            Self::NoChoice => f.write_str("algorithms of phase 1 are not known"),
            Self::Choice(e) => fmt::Display::fmt(e, f),
            Self::NoKeyExchange => f.write_str("public values of phase 1 are not known"),
            Self::NoKey => f.write_str("encryption key is not known"),
            Self::Underivable(why) => write!(f, "encryption key cannot be derived: {why}"),
            Self::Key(e) => fmt::Display::fmt(e, f),
            Self::Protect(e) => fmt::Display::fmt(e, f),
            Self::Plaintext(e) => {
                write!(f, "a secret is wrong or an earlier message is missing: the decrypted message is malformed: {e}")
            }
        }
    }
}

impl core::error::Error for FollowError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(e) | Self::Plaintext(e) => Some(e),
            Self::Choice(e) => Some(e),
            Self::Key(e) => Some(e),
            Self::Protect(e) => Some(e),
            _ => None,
        }
    }
}

/// Message to be decrypted, and its sender.
struct Incoming {
    sender: Role,
    header: Header,
}

/// Message that was decrypted with the IV of a position in an exchange.
struct Attempt {
    place: Place,
    next: NextIv,
    followed: Followed,
}

impl<const EXCHANGES: usize, const BUFFER: usize> Default for Follower<EXCHANGES, BUFFER> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const EXCHANGES: usize, const BUFFER: usize> Follower<EXCHANGES, BUFFER> {
    /// Creates a follower that has processed no message.
    pub fn new() -> Self {
        Self { phase_1: Phase1::new(), keys: None, chains: None, exchanges: Exchanges::new() }
    }

    /// Processes the next message of either side. `sender` is its role in phase 1.
    ///
    /// A message in cleartext is not modified. An encrypted one is decrypted in place and its encryption flag cleared,
    /// also if its hash is bad. The secrets are used until they have opened one message, and may differ from call to
    /// call before that.
    ///
    /// # Errors
    /// [`FollowError`]; the message is unchanged, and no IV chain advances.
    pub fn follow(&mut self, sender: Role, message: &mut [u8], secrets: &Secrets<'_>) -> Result<Followed, FollowError> {
        let parsed = Message::parse(message).map_err(FollowError::Malformed)?;
        let incoming = Incoming { sender, header: *parsed.header() };
        if !parsed.is_encrypted() {
            return self.follow_cleartext(&incoming, &parsed, secrets);
        }
        let known = self.keys.take();
        let is_known = known.is_some();
        let keys = match known {
            Some(keys) => keys,
            None => self.phase_1.keys(secrets)?,
        };
        let result = self.follow_encrypted(&keys, &incoming, message);
        if is_known || result.as_ref().is_ok_and(Followed::is_accepted) {
            self.keys = Some(keys);
        }
        result
    }

    /// Begins an exchange with this IV chain, unless it has begun: for messages that were recorded from the middle of
    /// an exchange on. Message ID 0 is phase 1.
    pub fn begin(&mut self, message_id: u32, chain: IvChain) {
        if message_id == 0 {
            self.chains.get_or_insert(Exchange::new(0, chain));
        } else if self.exchanges.find(message_id).is_none() {
            self.exchanges.insert(Exchange::new(message_id, chain));
        }
    }

    /// Returns the IV chain of the next message of an exchange; `None` while that of phase 1 is not known.
    pub fn chain(&self, message_id: u32) -> Option<IvChain> {
        let exchange = if message_id == 0 { self.chains.as_ref() } else { self.exchanges.find(message_id) };
        match exchange {
            Some(exchange) => Some(exchange.next().chain),
            None => Some(self.protection()?.phase_2(&self.chains.as_ref()?.next().chain, message_id)),
        }
    }

    /// Returns the cookies of the SA; that of the responder is zero before its first message.
    pub const fn cookies(&self) -> Cookies {
        self.phase_1.cookies
    }

    /// Returns the encryption of messages, once a message has been decrypted.
    pub fn protection(&self) -> Option<Protection> {
        self.keys.as_ref()?.protection().ok()
    }

    /// Returns the encryption key Ka, once a message has been decrypted.
    pub fn encryption_key(&self) -> Option<&[u8]> {
        Some(self.keys.as_ref()?.encryption_key.expose())
    }

    /// Returns SKEYID_d, SKEYID_a and SKEYID_e, once a message has been decrypted; `None` without the secrets for them.
    pub fn phase_1_keys(&self) -> Option<&Phase1Keys> {
        self.keys.as_ref()?.phase_1_keys.as_ref().ok()
    }

    /// Stores the values of phase 1, and verifies the hash of aggressive and base mode.
    fn follow_cleartext(
        &mut self,
        incoming: &Incoming,
        message: &Message<'_>,
        secrets: &Secrets<'_>,
    ) -> Result<Followed, FollowError> {
        if !is_phase_1(&incoming.header) {
            return Ok(Followed::ABSENT);
        }
        // A message in cleartext is not authenticated: what has opened messages stays.
        if self.keys.is_none() {
            self.phase_1.learn(incoming.sender, message)?;
        }
        let followed = match &self.keys {
            Some(keys) => self.phase_1.verify(incoming, message.chain(), keys.skeyid.as_ref()),
            None => self.phase_1.verify(incoming, message.chain(), self.phase_1.skeyid(secrets).as_ref()),
        };
        Ok(followed.unwrap_or(Followed::ABSENT))
    }

    fn follow_encrypted(
        &mut self,
        keys: &SaKeys,
        incoming: &Incoming,
        message: &mut [u8],
    ) -> Result<Followed, FollowError> {
        let protection = keys.protection().map_err(FollowError::Key)?;
        let beginning = match &self.chains {
            Some(_) => None,
            None => self.phase_1.first_chain(&protection).map(|chain| Exchange::new(0, chain)),
        };
        let phase_1 = self.chains.as_ref().or(beginning.as_ref());
        let Attempt { place, next, mut followed } = self.open(keys, &protection, phase_1, incoming, message)?;
        followed.chain = Some(place.chain);
        if followed.is_accepted() {
            if self.chains.is_none() {
                self.chains = beginning;
            }
            self.advance(incoming, place, next, message);
        }
        Ok(followed)
    }

    /// Decrypts a message with the IV of the first position in which its hash is accepted, otherwise of the first
    /// place in which it can be parsed.
    fn open(
        &self,
        keys: &SaKeys,
        protection: &Protection,
        phase_1: Option<&Exchange>,
        incoming: &Incoming,
        message: &mut [u8],
    ) -> Result<Attempt, FollowError> {
        let id = incoming.header.message_id;
        let exchange = if id == 0 { phase_1 } else { self.exchanges.find(id) };
        let after = protection.chain_after(message);
        let begun = exchange.into_iter().flat_map(|exchange| exchange.places(after));
        // The sender of the first message may not have seen the last one of phase 1.
        let bases = phase_1.filter(|_| id != 0).into_iter().flat_map(Exchange::bases);
        let first = bases.map(|base| Place::first(protection.phase_2(&base, id)));
        let mut refused = None;
        for place in begun.chain(first) {
            match self.attempt(keys, protection, place, incoming, message) {
                Ok(attempt) if attempt.followed.is_accepted() => return Ok(attempt),
                Ok(attempt) => {
                    protection.restore_ciphertext(&place.chain, message).map_err(FollowError::Protect)?;
                    if !matches!(refused, Some(Ok(_))) {
                        refused = Some(Ok(attempt));
                    }
                }
                Err(error) => {
                    refused.get_or_insert(Err(error));
                }
            }
        }
        let mut attempt = refused.unwrap_or(Err(FollowError::NoKeyExchange))?;
        attempt.next = protection.decrypt(&attempt.place.chain, message).map_err(FollowError::Protect)?;
        Ok(attempt)
    }

    /// Decrypts a message with the IV of a position and verifies its hash. On an error, the message is unchanged.
    fn attempt(
        &self,
        keys: &SaKeys,
        protection: &Protection,
        place: Place,
        incoming: &Incoming,
        message: &mut [u8],
    ) -> Result<Attempt, FollowError> {
        let next = protection.decrypt(&place.chain, message).map_err(FollowError::Protect)?;
        match plaintext(message) {
            Ok(chain) => Ok(Attempt { place, next, followed: self.verify(keys, place, incoming, &chain) }),
            Err(e) => {
                protection.restore_ciphertext(&place.chain, message).map_err(FollowError::Protect)?;
                Err(FollowError::Plaintext(e))
            }
        }
    }

    fn verify(&self, keys: &SaKeys, place: Place, incoming: &Incoming, chain: &Chain<'_>) -> Followed {
        let Header { message_id, exchange, .. } = incoming.header;
        if message_id == 0 {
            let followed = self.phase_1.verify(incoming, chain, keys.skeyid.as_ref());
            return followed.unwrap_or(Followed::missing(HashForm::Phase1(incoming.sender)));
        }
        let form = match (exchange, place.number) {
            (ExchangeKind::QUICK, 2) => HashForm::Two,
            (ExchangeKind::QUICK, 3) => HashForm::Three,
            _ => HashForm::One,
        };
        let Some(received) = chain.payloads().next().filter(|payload| payload.kind == PayloadKind::HASH) else {
            return Followed::missing(form);
        };
        let rest = chain.bytes().get(received.length()..).unwrap_or_default();
        let of = (message_id, self.exchanges.find(message_id));
        let computed = keys.phase_1_keys.as_ref().map_err(|why| *why).and_then(|keys| hash(keys, form, of, rest));
        Followed::compared(form, received.body, computed)
    }

    /// Advances the IV chain past a decrypted message, and stores the values that later hashes cover.
    fn advance(&mut self, incoming: &Incoming, place: Place, next: NextIv, message: &[u8]) {
        let Ok(chain) = plaintext(message) else { return };
        let Header { message_id, exchange, .. } = incoming.header;
        if message_id == 0 {
            self.phase_1.learn_identity(incoming.sender, &chain);
        } else if place.begin == Begin::New {
            // An informational exchange with the message ID of another exchange does not end that.
            if exchange == ExchangeKind::INFORMATIONAL && self.exchanges.find(message_id).is_some() {
                return;
            }
            self.exchanges.insert(Exchange::new(message_id, place.chain));
        }
        let exchange = if message_id == 0 { self.chains.as_mut() } else { self.exchanges.find_mut(message_id) };
        if let Some(exchange) = exchange {
            exchange.advance(place, next, &chain);
        }
    }
}

/// Returns whether a message is one of phase 1.
fn is_phase_1(header: &Header) -> bool {
    header.message_id == 0 && header.exchange != ExchangeKind::INFORMATIONAL
}
