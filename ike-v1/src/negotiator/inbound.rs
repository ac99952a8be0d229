//! Processing of received datagrams, in the order of the cost of the checks. No state is changed before the
//! last step, and only an [`Authentic`] message reaches code that changes an SA.
//!
//! 1. framing of UDP, 2. header and payloads, 3. cookies and message ID, 4. ISAKMP SA and exchange, 5. duplicates,
//! 6. addresses, 7. exchange type and encryption flag, 8. decryption, 9. payloads, 10. hash, 11. meaning and policy,
//! 12. change of the state and answer.

use core::time::Duration;

use ike_codec::{Chain, Cookie, Datagram, ExchangeKind, Flags, Header, Message, Port, unframe_udp};
use ipsec_crypto::PrfOutput;
use ipsec_packet::Instant;

use super::census::Census;
use super::counters::Counter;
use super::event::{Failure, SlotId};
use super::exchange::{Exchange, Output, State};
use super::features::{AGGRESSIVE, XAUTH};
use super::fragments::is_fragment;
use super::isakmp_sa::IsakmpSa;
use super::keyed_digest::KeyedDigest;
use super::message::after_hash;
use super::stage::{Row, Stage};
use super::{Host, Negotiator, Path, PeerHint, Refusal, Role};
use crate::{Cookies, NextIv, Phase1Keys, plaintext};

/// Message whose hash has not been verified: it may come from an attacker, or be decrypted with a wrong key.
pub(crate) struct Opened<'m> {
    census: Census<'m>,
    next: Option<NextIv>,
}

/// Message whose hash or signature was verified. Only [`Opened`] creates one.
pub(crate) struct Authentic<'m> {
    /// Payloads of the message.
    pub census: Census<'m>,
    /// IV of the next message of the exchange.
    pub next: Option<NextIv>,
}

impl<'m> Opened<'m> {
    /// Parses a message after its decryption (steps 8 and 9). Returns its payloads as well.
    pub fn parse(message: &'m [u8], row: &Row, next: NextIv) -> Result<(Self, Chain<'m>), Refusal> {
        let chain = plaintext(message).map_err(Refusal::Malformed)?;
        Ok((Self { census: Census::of(row, chain.payloads())?, next: Some(next) }, chain))
    }

    /// Parses a message in cleartext (step 9).
    pub fn clear(message: &'m [u8], row: &Row) -> Result<Self, Refusal> {
        let parsed = Message::parse(message).map_err(Refusal::Malformed)?;
        Ok(Self { census: Census::of(row, parsed.payloads())?, next: None })
    }

    /// Returns the payloads, which may come from an attacker.
    pub const fn unverified(&self) -> &Census<'m> {
        &self.census
    }

    /// Verifies the hash (step 10).
    pub fn authenticate(self, expected: &PrfOutput) -> Result<Authentic<'m>, Refusal> {
        self.census.verify(expected)?;
        Ok(Authentic { census: self.census, next: self.next })
    }

    /// Accepts a message whose signature was verified.
    pub fn signed(self) -> Authentic<'m> {
        Authentic { census: self.census, next: self.next }
    }
}

/// Decrypts and verifies the first message of an exchange after phase 1, which has HASH(1) (steps 8 to 10).
pub(crate) fn open_first<'m>(sa: &IsakmpSa, header: &Header, message: &'m mut [u8]) -> Result<Authentic<'m>, Refusal> {
    let next = decrypt_first(sa, header, message)?;
    authenticate_first(&sa.keys, header, message, next)
}

/// Decrypts the first message of an exchange after phase 1 (step 8).
pub(crate) fn decrypt_first(sa: &IsakmpSa, header: &Header, message: &mut [u8]) -> Result<NextIv, Refusal> {
    let protection = sa.protection()?;
    let chain = protection.phase_2(&sa.last_of_phase_1, header.message_id);
    protection.decrypt(&chain, message).map_err(Refusal::Undecryptable)
}

/// Verifies HASH(1) of a decrypted message (steps 9 and 10).
pub(crate) fn authenticate_first<'m>(
    keys: &Phase1Keys,
    header: &Header,
    message: &'m [u8],
    next: NextIv,
) -> Result<Authentic<'m>, Refusal> {
    let row = Row::find(None, header.exchange, true).ok_or(Refusal::Internal)?;
    let (opened, chain) = Opened::parse(message, row, next)?;
    let expected = keys.hash_1(header.message_id, after_hash(&chain));
    opened.authenticate(&expected)
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Processes the payload of a UDP datagram: on the port for NAT traversal, a non-ESP marker precedes the message.
    ///
    /// A message that is refused is counted and changes nothing else. The octets of `datagram` are decrypted in place.
    /// Events and datagrams are to be fetched afterwards.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], host: &mut dyn Host) {
        self.counters.count(Counter::Received);
        let is_marked = path.local.port() == self.settings.nat_traversal_port;
        let port = if is_marked { Port::NatTraversal } else { Port::Ike };
        let len = match unframe_udp(port, datagram) {
            Datagram::Ike(message) => message.len(),
            Datagram::KeepAlive => return self.counters.count(Counter::KeepAlive),
            Datagram::Esp(_) | Datagram::Runt => return self.counters.count(Counter::Framing),
        };
        let at = datagram.len().saturating_sub(len);
        if let Some(message) = datagram.get_mut(at..) {
            match self.receive(now, path, message, host) {
                Ok(()) => self.touch(),
                Err(refusal) => self.counters.count(refusal.counter()),
            }
        }
        self.start_wanted(now, host);
    }

    pub(super) fn receive(
        &mut self,
        now: Instant,
        path: Path,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let (header, _) = Header::parse(message).map_err(Refusal::Malformed)?;
        if is_fragment(&header) {
            check_header(&header)?;
            // Some peers set the encryption flag of the message that is divided.
            message.get_mut(FLAGS).into_iter().for_each(|flags| *flags &= !Flags::ENCRYPTION.0);
            let received = Received { now, path, header, is_encrypted: false, digest: 0 };
            return self.receive_fragment(&received, message, host);
        }
        let parsed = Message::parse(message).map_err(Refusal::Malformed)?;
        let header = *parsed.header();
        check_header(&header)?;
        let received =
            Received { now, path, header, is_encrypted: parsed.is_encrypted(), digest: self.digest(message) };
        match header.exchange {
            kind if is_phase_1(kind) => self.receive_phase_1(&received, message, host),
            ExchangeKind::QUICK => self.receive_quick(&received, message, host),
            ExchangeKind::INFORMATIONAL => self.receive_informational(&received, message, host),
            ExchangeKind::NEW_GROUP => self.receive_new_group(&received, message, host),
            ExchangeKind::TRANSACTION if XAUTH => self.receive_transaction(&received, message, host),
            other => Err(Refusal::OutOfState(other)),
        }
    }

    /// Returns the keyed digest by which a duplicate is recognised.
    pub(super) fn digest(&self, message: &[u8]) -> u64 {
        let mut digest = KeyedDigest::new(&self.secret.0);
        digest.write(message);
        digest.finish()
    }

    /// Returns the ISAKMP SA of an encrypted message after phase 1 (steps 4, 6 and 7).
    pub(super) fn sa_of(&mut self, received: &Received, host: &dyn Host) -> Result<SlotId, Refusal> {
        let Header { initiator_cookie, responder_cookie, exchange, .. } = received.header;
        let cookies = Cookies { initiator: initiator_cookie, responder: responder_cookie };
        let Some(sa) = self.find_sa(&cookies) else { return Err(self.without_sa(&cookies, received, host)) };
        if !sa.accepts(&received.path, self.settings.nat_traversal_port) {
            return Err(Refusal::WrongPath);
        }
        //= RFC 2409 5.5/1
        //# MUST: quick mode is protected by the ISAKMP SA
        if !received.is_encrypted {
            return Err(Refusal::OutOfState(exchange));
        }
        Ok(sa.id)
    }

    /// Counts a message without an ISAKMP SA. If it waits for message 3 of aggressive mode, that was lost: message 2 is
    /// sent again, and the initiator answers it.
    fn without_sa(&mut self, cookies: &Cookies, received: &Received, host: &dyn Host) -> Refusal {
        match self.awaiting_proof(cookies) {
            Some(index) if AGGRESSIVE && self.repeat(index).is_ok() => Refusal::AwaitsProof,
            Some(_) => Refusal::Duplicate,
            None => self.unknown_sa(received, host),
        }
    }

    /// Returns the aggressive mode with these cookies that waits for message 3.
    pub(super) fn awaiting_proof(&self, cookies: &Cookies) -> Option<usize> {
        self.exchanges
            .position(|Exchange { state, .. }| (state.stage, &state.cookies) == (Stage::AggressiveAwaitsProof, cookies))
    }

    /// Counts a message of an ISAKMP SA that was refused, if it is not authentic.
    pub(super) fn count_bad(&mut self, sa: SlotId, now: Instant, result: Result<(), Refusal>) {
        if let (Ok(sa), Err(reason)) = (self.isakmp_sa_mut(sa), result) {
            sa.bad.count(now, reason);
        }
    }

    /// Decrypts a later message of an exchange of phase 2. Returns the ISAKMP SA of the exchange, and the IV of the
    /// next message; `None` for a copy of the message that was processed last.
    pub(super) fn decrypt_next(
        &self,
        index: usize,
        received: &Received,
        message: &mut [u8],
    ) -> Result<Option<(SlotId, NextIv)>, Refusal> {
        let state = &self.exchange(index)?.state;
        if state.taken == Some(received.digest) {
            return Ok(None);
        }
        if state.suspended.is_some() {
            return Err(Refusal::Duplicate);
        }
        let exchange = received.header.exchange;
        Row::find(Some(state.stage), exchange, true).ok_or(Refusal::OutOfState(exchange))?;
        let (chain, id) = (state.chain.ok_or(Refusal::Internal)?, state.isakmp.ok_or(Refusal::Internal)?);
        let next = self.isakmp_sa(id)?.protection()?.decrypt(&chain, message).map_err(Refusal::Undecryptable)?;
        Ok(Some((id, next)))
    }

    /// Sends the last message of an exchange again, because the peer has repeated the message that it answers.
    pub(super) fn answer_again(&mut self, index: usize) -> Result<(), Refusal> {
        self.repeat(index)?;
        self.counters.count(Counter::AnsweredAgain);
        Ok(())
    }

    fn repeat(&mut self, index: usize) -> Result<(), Refusal> {
        let state = &mut self.exchange_mut(index)?.state;
        if state.output != Output::Idle || !state.retry.answer() {
            return Err(Refusal::Duplicate);
        }
        state.output = Output::Ready;
        self.touch();
        Ok(())
    }

    /// Stores the reason why a message of an exchange was refused. The exchange continues: the message may be forged.
    pub(super) fn note_refusal(&mut self, index: usize, reason: Refusal) {
        let Ok(exchange) = self.exchange_mut(index) else { return };
        let state = &mut exchange.state;
        if !reason.concerns_negotiation() {
            return;
        }
        state.refusal.get_or_insert(reason);
        // A message of quick mode that does not verify is forged, as both sides have the keys.
        if state.kind == ExchangeKind::QUICK && reason == Refusal::HashMismatch {
            return;
        }
        if state.role == Role::Initiator {
            state.retry.shorten();
        }
        let is_first = !core::mem::replace(&mut state.is_reported, true);
        let (role, path, peer) = (state.role, state.path, Some(state.peer));
        let phase = state.phase();
        if role == Role::Responder && is_first {
            self.fail(Failure { peer, path, sa: None, phase, role, reason, hint: None });
        }
    }

    /// Counts a message of an unknown SA. That of a configured peer is reported, at most once a minute, unless the SA
    /// has ended recently: the second copy of its deletion may arrive, and messages that were in transit.
    pub(super) fn unknown_sa(&mut self, received: &Received, host: &dyn Host) -> Refusal {
        let Header { initiator_cookie, responder_cookie, exchange, .. } = received.header;
        // The message has overtaken the last one of phase 1.
        let is_early = |state: &State| {
            state.stage.is_phase_1()
                && (state.cookies.initiator, state.cookies.responder) == (initiator_cookie, responder_cookie)
        };
        if self.exchanges.values().any(|exchange| is_early(&exchange.state)) {
            return Refusal::OutOfState(exchange);
        }
        let is_due =
            self.unknown_reported.is_none_or(|last| received.now.saturating_duration_since(last) >= REPORT_INTERVAL);
        let hint = PeerHint { path: received.path, exchange, candidate: None, identity: None };
        let has_ended = self.ended.contains(&received.header.initiator_cookie);
        if is_due && !has_ended && host.find_peer(&hint).is_some() {
            self.unknown_reported = Some(received.now);
            self.unknown = Some(received.path);
            self.touch();
        }
        Refusal::UnknownSa
    }
}

/// Position of the flags in a message.
const FLAGS: usize = 19;

/// Time between two reports of unknown SAs.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Message that was received, besides its payloads.
pub(crate) struct Received {
    pub now: Instant,
    pub path: Path,
    pub header: Header,
    pub is_encrypted: bool,
    /// Keyed digest of the whole message.
    pub digest: u64,
}

/// Checks cookies and message ID (step 3).
fn check_header(header: &Header) -> Result<(), Refusal> {
    let is_phase_1 = is_phase_1(header.exchange);
    let is_informational = header.exchange == ExchangeKind::INFORMATIONAL;
    //= RFC 2408 5.2/5
    //# MUST: receiving: both cookies are verified, or the message discarded
    if header.initiator_cookie == [0; 8] {
        return Err(Refusal::InitiatorCookie);
    }
    //= RFC 2408 5.2/10
    //# MUST: receiving: a message with a wrong message ID is discarded
    match (header.message_id, is_phase_1) {
        (0, true) => Ok(()),
        (0, false) if is_informational && !header.is_encrypted() => Ok(()),
        (0, false) => Err(Refusal::MessageId(0)),
        (id, true) => Err(Refusal::MessageId(id)),
        (_, false) if header.responder_cookie == [0; 8] && !is_informational => Err(Refusal::ResponderCookie),
        _ => Ok(()),
    }
}

/// Returns whether an exchange is one of phase 1.
pub(crate) const fn is_phase_1(exchange: ExchangeKind) -> bool {
    matches!(exchange, ExchangeKind::MAIN | ExchangeKind::AGGRESSIVE | ExchangeKind::BASE)
}

/// Replaces the cookie 0, which means that there is no cookie.
pub(crate) fn not_zero(cookie: Cookie) -> Cookie {
    if cookie == [0; 8] { [1; 8] } else { cookie }
}
