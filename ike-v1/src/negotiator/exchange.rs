use core::fmt;

use ike_codec::{ExchangeKind, Group, NotifyKind, Quirks};
use ipsec_crypto::Secret;
use ipsec_packet::Instant;
use zeroize::Zeroize;

use super::event::{Event, Phase, SlotId};
use super::fragments::Fragments;
use super::inbound::is_phase_1;
use super::limits::BadMessages;
use super::retry::Retry;
use super::scratch::{Marks, Scratch, Span};
use super::stage::Stage;
use super::suspend::Suspended;
use super::{NatSituation, Path, PeerId, Refusal, Role};
use crate::{Cookies, IvChain, Phase1Choice, Phase1Keys, Protection, Skeyid};

/// Exchange in progress: phase 1, quick mode or a transaction exchange.
pub(crate) struct Exchange<const N: usize> {
    pub state: State,
    marks: Marks,
    buffer: [u8; N],
}

/// State of an exchange besides its buffer.
#[derive(Debug)]
pub(crate) struct State {
    pub kind: ExchangeKind,
    pub stage: Stage,
    pub role: Role,
    pub path: Path,
    pub cookies: Cookies,
    /// Message ID, 0 in phase 1.
    pub message_id: u32,
    pub peer: PeerId,
    /// ISAKMP SA that protects a quick mode, or that main mode has established.
    pub isakmp: Option<SlotId>,
    /// Pair of SAs that a quick mode negotiates.
    pub ipsec: Option<SlotId>,
    /// IV of the next message, once messages are encrypted.
    pub chain: Option<IvChain>,
    /// Keyed digest of the message that was processed last.
    pub taken: Option<u64>,
    pub retry: Retry,
    pub output: Output,
    pub started: Instant,
    pub spans: Spans,
    /// Time at which the initiator of quick mode uses its outbound SA without CONNECTED.
    pub connect_by: Option<Instant>,
    /// Group of perfect forward secrecy that this host has offered in quick mode.
    pub group: Option<Group>,
    /// Properties of the peer, from its vendor IDs.
    pub quirks: Quirks,
    /// Number of the certificate of this host that fits the requests of the peer.
    pub credential: u8,
    /// NAT traversal, once the NAT-D payloads of the peer are known.
    pub nat: NatSituation,
    /// Algorithms of phase 1.
    pub choice: Option<Phase1Choice>,
    /// Keys of phase 1, from the key exchange to its end.
    pub secrets: Option<Phase1Secrets>,
    /// Error that was reported without authentication.
    pub hint: Option<NotifyKind>,
    /// Refusal of the last message, which is reported if no better one follows.
    pub refusal: Option<Refusal>,
    /// Set until the beginning of phase 1 was reported.
    pub is_new: bool,
    /// Set when a failure was reported already.
    pub is_reported: bool,
    /// Number of key exchanges that messages of phase 1 may still cause without being authentic.
    pub attempts: u8,
    /// Number of signatures of the peer that were refused.
    pub refused_proofs: u8,
    /// Bound on messages of phase 1 that are not authentic.
    pub bad: BadMessages,
    /// Path of the message of phase 1 that arrived last.
    pub arrived: Path,
    /// Step that waits for the host.
    pub suspended: Option<Suspended>,
    /// Fragments of the next message of the peer.
    pub fragments: Fragments,
    /// Largest number of octets of a message in one fragment, 0 if messages are not divided.
    pub fragment_data: u16,
    /// Number of fragments of the datagram at the end of the buffer that were sent.
    pub next_fragment: u8,
}

/// Key exchanges of one main mode: messages with an invalid public value cost as much as a valid one.
const ATTEMPTS: u8 = 2;

/// State of the datagram at the end of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The datagram was sent, or there is none.
    Idle,
    /// The datagram is to be sent.
    Ready,
    /// The datagram is to be sent when the caller has installed the inbound SA.
    Held,
}

/// Values of an exchange in its buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spans {
    /// Body of the SA payload of the initiator, SAi_b.
    pub offer: Span,
    /// Private value of this host.
    pub private: Span,
    /// Public values of this host and of the peer.
    pub own_public: Span,
    pub peer_public: Span,
    /// Nonces of this host and of the peer.
    pub own_nonce: Span,
    pub peer_nonce: Span,
    /// Bodies of the identities of this host and of the peer in phase 1.
    pub own_id: Span,
    pub peer_id: Span,
    /// Message of an informational exchange that has overtaken message 3 of aggressive mode.
    pub early: Span,
    /// Attributes of Mode Config that the caller has not fetched.
    pub attributes: Span,
}

/// Keys of phase 1 before the ISAKMP SA is established.
#[derive(Debug)]
pub(crate) struct Phase1Secrets {
    pub skeyid: Skeyid,
    pub keys: Phase1Keys,
    pub encryption_key: Secret<56>,
}

impl Phase1Secrets {
    /// Returns the encryption of the messages of phase 1.
    pub fn protection(&self, choice: &Phase1Choice) -> Result<Protection, Refusal> {
        Protection::new(choice.cipher, self.encryption_key.expose(), choice.hash).map_err(|_| Refusal::Internal)
    }

    /// Returns the keys that an ISAKMP SA needs: not SKEYID_e, from which the encryption key was derived.
    pub fn keys(&self) -> Result<(Phase1Keys, Secret<56>), Refusal> {
        let Phase1Secrets { keys, encryption_key, .. } = self;
        let keys = Phase1Keys::import(keys.prf(), keys.d(), keys.a(), &[0]).map_err(|_| Refusal::Internal)?;
        Ok((keys, Secret::new(encryption_key.expose()).map_err(|_| Refusal::Internal)?))
    }
}

impl<const N: usize> Exchange<N> {
    pub const fn new(state: State) -> Self {
        Self { state, marks: Marks { front: 0, sent: 0, kept: 0 }, buffer: [0; N] }
    }

    /// Returns the state and the buffer.
    pub const fn parts(&mut self) -> (&mut State, Scratch<'_>) {
        (&mut self.state, Scratch::new(&mut self.buffer, &mut self.marks))
    }
}

impl<const N: usize> fmt::Debug for Exchange<N> {
    /// Omits the buffer, which contains private values and shared secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("state", &self.state).field("marks", &self.marks).finish_non_exhaustive()
    }
}

impl<const N: usize> Drop for Exchange<N> {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

impl State {
    /// Creates the state of an exchange that begins now.
    pub fn new(
        kind: ExchangeKind,
        stage: Stage,
        role: Role,
        peer: PeerId,
        path: Path,
        started: Instant,
        retry: Retry,
    ) -> Self {
        Self {
            kind,
            stage,
            role,
            path,
            cookies: Cookies { initiator: [0; 8], responder: [0; 8] },
            message_id: 0,
            peer,
            isakmp: None,
            ipsec: None,
            chain: None,
            taken: None,
            retry,
            output: Output::Idle,
            started,
            spans: Spans::default(),
            connect_by: None,
            group: None,
            quirks: Quirks::default(),
            credential: 0,
            nat: NatSituation::default(),
            choice: None,
            secrets: None,
            hint: None,
            refusal: None,
            is_new: false,
            is_reported: false,
            attempts: ATTEMPTS,
            refused_proofs: 0,
            bad: BadMessages::NONE,
            arrived: path,
            suspended: None,
            fragments: Fragments::default(),
            fragment_data: 0,
            next_fragment: 0,
        }
    }

    /// Returns the event of the beginning of phase 1, once.
    pub fn poll_begun(&mut self) -> Option<Event> {
        let Self { peer, role, kind: exchange, path, .. } = *self;
        core::mem::take(&mut self.is_new).then_some(Event::Phase1Begun { peer, role, exchange, path })
    }

    /// Returns the phase of the exchange.
    pub const fn phase(&self) -> Phase {
        match self.kind {
            ExchangeKind::TRANSACTION => Phase::Transaction,
            kind if is_phase_1(kind) => Phase::One,
            _ => Phase::Two,
        }
    }

    /// Counts a key exchange with a public value of the peer against its limit.
    pub fn take_attempt(&mut self) -> Result<(), Refusal> {
        self.attempts = self.attempts.checked_sub(1).ok_or(Refusal::TooManyKeyExchanges)?;
        Ok(())
    }

    /// Records that a message was processed and its answer is to be sent.
    pub const fn take(&mut self, digest: u64) {
        self.taken = Some(digest);
        self.output = Output::Ready;
        self.next_fragment = 0;
        self.refusal = None;
    }
}
