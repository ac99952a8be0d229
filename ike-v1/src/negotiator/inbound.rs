//! Processing of received datagrams, from the cheapest check to the most expensive one. Nothing is changed before the
//! last step, and only an [`Authentic`] message reaches code that changes an SA.
//!
//! 1. framing of UDP, 2. header and payloads, 3. cookies and message ID, 4. ISAKMP SA and exchange, 5. duplicates,
//! 6. addresses, 7. exchange type and encryption flag, 8. decryption, 9. payloads, 10. hash, 11. meaning and policy,
//! 12. change of the state and answer.

use core::hash::Hasher;
use core::time::Duration;

use ike_codec::{Chain, Cookie, Datagram, ExchangeKind, Flags, Header, Message, Port, unframe_udp};
use ipsec_crypto::PrfOutput;
use ipsec_packet::Instant;
use siphasher::sip::SipHasher13;

use super::census::Census;
use super::counters::Counter;
use super::event::{Failure, Phase, SlotId};
use super::exchange::{Exchange, Output, State};
use super::main_mode::{self, Step};
use super::message::after_hash;
use super::retry::Retry;
use super::stage::{Row, Stage};
use super::{Host, Negotiator, Path, PeerHint, PeerId, Refusal, Role, Table, informational, quick};
use crate::{Cookies, NextIv, plaintext};

/// Decrypted message whose hash has not been verified: it may come from an attacker, or be decrypted with a wrong key.
pub(crate) struct Opened<'m> {
    pub chain: Chain<'m>,
    census: Census<'m>,
    next: NextIv,
}

/// Message whose hash was verified. Only [`Opened::authenticate`] creates one.
pub(crate) struct Authentic<'m> {
    /// Payloads of the message.
    pub census: Census<'m>,
    /// IV of the next message of the exchange.
    pub next: Option<NextIv>,
}

impl<'m> Opened<'m> {
    /// Parses a message after its decryption (steps 8 and 9).
    pub fn parse(message: &'m [u8], row: &Row, next: NextIv) -> Result<Self, Refusal> {
        let chain = plaintext(message).map_err(Refusal::Malformed)?;
        Ok(Self { chain, census: Census::of(row, chain.payloads())?, next })
    }

    /// Verifies the hash (step 10).
    pub fn authenticate(self, expected: &PrfOutput) -> Result<Authentic<'m>, Refusal> {
        expected.verify(self.census.hash()?).map_err(|_| Refusal::HashMismatch)?;
        Ok(Authentic { census: self.census, next: Some(self.next) })
    }
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

    fn receive(&mut self, now: Instant, path: Path, message: &mut [u8], host: &mut dyn Host) -> Result<(), Refusal> {
        let parsed = Message::parse(message).map_err(Refusal::Malformed)?;
        let header = *parsed.header();
        check_header(&header)?;
        let received =
            Received { now, path, header, is_encrypted: parsed.is_encrypted(), digest: self.digest(message) };
        match header.exchange {
            ExchangeKind::MAIN => self.receive_main(&received, message, host),
            ExchangeKind::QUICK => self.receive_quick(&received, message, host),
            ExchangeKind::INFORMATIONAL => self.receive_informational(&received, message, host),
            other => Err(Refusal::OutOfState(other)),
        }
    }

    /// Returns the keyed digest by which a duplicate is recognised.
    fn digest(&self, message: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.secret);
        hasher.write(message);
        hasher.finish()
    }

    fn receive_main(&mut self, received: &Received, message: &mut [u8], host: &mut dyn Host) -> Result<(), Refusal> {
        let Some(index) = self.find_main(received) else { return self.receive_first(received, message, host) };
        let exchange = self.exchange(index)?;
        if exchange.state.taken == Some(received.digest) {
            return self.answer_again(index);
        }
        if exchange.state.path != received.path {
            return Err(Refusal::WrongPath);
        }
        let row = Row::find(Some(exchange.state.stage), ExchangeKind::MAIN, received.is_encrypted)
            .ok_or(Refusal::OutOfState(ExchangeKind::MAIN))?;
        let result = match row.hash {
            None => self.take_clear(index, row, received, message, host),
            Some(_) => self.take_encrypted(index, row, received, message, host),
        };
        if let Err(refusal) = result {
            self.note_refusal(index, refusal);
        }
        result
    }

    /// Returns the exchange of main mode that a message belongs to.
    //= RFC 2408 2.4/1
    //# MUST: cookies, message ID and SPI are there in each step that needs them
    fn find_main(&self, received: &Received) -> Option<usize> {
        let Header { initiator_cookie, responder_cookie, .. } = received.header;
        self.exchanges.iter().position(|slot| {
            slot.as_ref().is_some_and(|exchange| {
                let state = &exchange.state;
                let is_first =
                    responder_cookie == [0; 8] && state.role == Role::Responder && state.path == received.path;
                let is_second = state.cookies.responder == [0; 8] && state.role == Role::Initiator;
                state.kind == ExchangeKind::MAIN
                    && state.cookies.initiator == initiator_cookie
                    && (state.cookies.responder == responder_cookie || is_first || is_second)
            })
        })
    }

    /// Processes a message of main mode without an exchange: the first one, or one that is late or unknown.
    fn receive_first(&mut self, received: &Received, message: &[u8], host: &mut dyn Host) -> Result<(), Refusal> {
        let Header { initiator_cookie, responder_cookie, .. } = received.header;
        if responder_cookie != [0; 8] {
            let cookies = Cookies { initiator: initiator_cookie, responder: responder_cookie };
            return Err(match self.find_sa(&cookies) {
                Some(_) => Refusal::Duplicate,
                None => self.unknown_sa(received),
            });
        }
        let row = Row::find(None, ExchangeKind::MAIN, received.is_encrypted)
            .ok_or(Refusal::OutOfState(ExchangeKind::MAIN))?;
        let parsed = Message::parse(message).map_err(Refusal::Malformed)?;
        let census = Census::of(row, parsed.payloads())?;
        let hint = PeerHint { path: received.path, exchange: ExchangeKind::MAIN, candidate: None, identity: None };
        let peer = host.find_peer(&hint);
        let result = match peer {
            Some(peer) => self.respond(received, &census, peer, host),
            None => Err(Refusal::NoPeer),
        };
        if let Err(reason) = result
            && reason.concerns_negotiation()
        {
            let hint = None;
            let role = Role::Responder;
            self.fail(Failure { peer, path: received.path, sa: None, phase: Phase::One, role, reason, hint });
            if matches!(reason, Refusal::NoProposal(_)) {
                self.refuse_in_clear(received, initiator_cookie);
            }
        }
        result
    }

    /// Begins main mode as responder.
    fn respond(
        &mut self,
        received: &Received,
        census: &Census<'_>,
        peer: PeerId,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let index = self.half_open_slot(received.path.remote.ip())?;
        let mut random = [0; 9];
        host.random(&mut random);
        let [jitter, cookie @ ..] = random;
        //= RFC 2408 5.2/1
        //# MUST: sending: the cookie is created
        let cookies = Cookies { initiator: received.header.initiator_cookie, responder: not_zero(cookie) };
        let retry = Retry::new(&self.settings, jitter);
        let (kind, stage, role) = (ExchangeKind::MAIN, Stage::MainAwaitsKeyI, Role::Responder);
        let mut exchange = Exchange::new(State::new(kind, stage, role, peer, received.path, received.now, retry));
        let (state, scratch) = exchange.parts();
        main_mode::answer_offer(&mut Step { state, scratch, host }, cookies, census)?;
        exchange.state.take(received.digest);
        self.set_exchange(index, exchange)
    }

    /// Takes a message of main mode in cleartext.
    fn take_clear(
        &mut self,
        index: usize,
        row: &Row,
        received: &Received,
        message: &[u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let settings = self.settings;
        let parsed = Message::parse(message).map_err(Refusal::Malformed)?;
        let census = Census::of(row, parsed.payloads())?;
        let state = &self.exchange(index)?.state;
        let is_first = !self.has_sas(state.peer);
        if state.stage == Stage::MainAwaitsKeyI {
            // The initiator has received the cookie of this host, so that its address is not forged.
            self.take_key_exchange(received.now)?;
        }
        let exchange = self.exchange_mut(index)?;
        let (state, scratch) = exchange.parts();
        let position = scratch.position();
        let mut step = Step { state, scratch, host };
        let taken = match step.state.stage {
            Stage::MainAwaitsSa => main_mode::take_answer(&mut step, received.header.responder_cookie, &census),
            Stage::MainAwaitsKeyI => main_mode::answer_key(&mut step, &census),
            Stage::MainAwaitsKeyR => main_mode::take_key(&mut step, &census, is_first),
            _ => Err(Refusal::Internal),
        };
        if taken.is_err() {
            step.scratch.truncate(position);
        }
        taken?;
        step.state.take(received.digest);
        step.state.retry.restart(&settings);
        Ok(())
    }

    /// Takes message 5 or 6 of main mode, and establishes the ISAKMP SA.
    fn take_encrypted(
        &mut self,
        index: usize,
        row: &Row,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let exchange = self.exchange_mut(index)?;
        let (state, scratch) = exchange.parts();
        let secrets = state.secrets.as_ref().ok_or(Refusal::Internal)?;
        let protection = secrets.protection(&state.choice.ok_or(Refusal::Internal)?)?;
        let chain = state.chain.ok_or(Refusal::Internal)?;
        let next = protection.decrypt(&chain, message).map_err(Refusal::Undecryptable)?;
        let opened = Opened::parse(message, row, next).map_err(|_| Refusal::WrongKeyLikely)?;
        let (_, id_body) = opened.census.identity()?;
        let expected = main_mode::peer_hash(state, &scratch, id_body)?;
        let authentic = opened.authenticate(&expected)?;
        let peer = state.peer;
        let began = state.started;
        let identity = self.digest(id_body);
        let has_initial_contact = informational::has_initial_contact(&authentic.census);
        let sa_index = self.free_isakmp_sa(peer)?;
        let settings = self.settings;
        let exchange = self.exchange_mut(index)?;
        let (state, scratch) = exchange.parts();
        let position = scratch.position();
        let mut step = Step { state, scratch, host };
        let taken = match step.state.role {
            Role::Initiator => main_mode::take_auth(&mut step, &authentic),
            Role::Responder => main_mode::answer_auth(&mut step, &authentic),
        };
        if taken.is_err() {
            step.scratch.truncate(position);
        }
        let peer = taken?;
        step.state.take(received.digest);
        step.state.retry.restart(&settings);
        step.scratch.wipe_stored();
        let sa = self.establish(received.now, index, sa_index, (peer, identity))?;
        if has_initial_contact {
            self.take_initial_contact(sa, began);
        }
        Ok(())
    }

    fn receive_quick(&mut self, received: &Received, message: &mut [u8], host: &mut dyn Host) -> Result<(), Refusal> {
        let sa = self.sa_of(received)?;
        let message_id = received.header.message_id;
        let found = self.exchanges.iter().position(|slot| {
            slot.as_ref()
                .is_some_and(|exchange| exchange.state.isakmp == Some(sa) && exchange.state.message_id == message_id)
        });
        let result = match found {
            Some(index) => self.continue_quick(index, received, message, host),
            None => self.answer_quick(sa, received, message, host),
        };
        if let (Some(index), Err(refusal)) = (found, result) {
            self.note_refusal(index, refusal);
        }
        result
    }

    /// Returns the ISAKMP SA of an encrypted message after phase 1 (steps 4, 6 and 7).
    pub(super) fn sa_of(&mut self, received: &Received) -> Result<SlotId, Refusal> {
        let Header { initiator_cookie, responder_cookie, exchange, .. } = received.header;
        let cookies = Cookies { initiator: initiator_cookie, responder: responder_cookie };
        let Some(sa) = self.find_sa(&cookies) else { return Err(self.unknown_sa(received)) };
        if sa.path != received.path {
            return Err(Refusal::WrongPath);
        }
        //= RFC 2409 5.5/1
        //# MUST: quick mode is protected by the ISAKMP SA
        if !received.is_encrypted {
            return Err(Refusal::OutOfState(exchange));
        }
        Ok(sa.id)
    }

    /// Takes a message of quick mode behind the first one.
    pub(super) fn continue_quick(
        &mut self,
        index: usize,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let state = &self.exchange(index)?.state;
        if state.taken == Some(received.digest) {
            return self.answer_again(index);
        }
        let (stage, exchange) = (state.stage, received.header.exchange);
        let row = Row::find(Some(stage), exchange, true).ok_or(Refusal::OutOfState(exchange))?;
        let form = row.hash.ok_or(Refusal::Internal)?;
        let (sa, pair) = (state.isakmp.ok_or(Refusal::Internal)?, state.ipsec.ok_or(Refusal::Internal)?);
        let settings = self.settings;
        let sa = self.isakmp.get(usize::from(sa.index)).and_then(Option::as_ref).ok_or(Refusal::Internal)?;
        let pair = self.pairs.get_mut(usize::from(pair.index)).and_then(Option::as_mut).ok_or(Refusal::Internal)?;
        let exchange = self.exchanges.get_mut(index).and_then(Option::as_mut).ok_or(Refusal::Internal)?;
        let (state, scratch) = exchange.parts();
        let chain = state.chain.ok_or(Refusal::Internal)?;
        let next = sa.protection()?.decrypt(&chain, message).map_err(Refusal::Undecryptable)?;
        let opened = Opened::parse(message, row, next)?;
        let expected = quick::peer_hash(sa, state, scratch.stored(), form, after_hash(&opened.chain))?;
        let authentic = opened.authenticate(&expected)?;
        match stage {
            Stage::QuickAwaitsHash3 => return self.confirm_pair(index, received.now),
            Stage::QuickAwaitsConnected => return self.connect(index, received.now),
            _ => {}
        }
        let mut jitter = [0; 1];
        host.random(&mut jitter);
        let position = scratch.position();
        let mut step = quick::Step { state, scratch, sa, pair, host };
        let [jitter] = jitter;
        let has_commit = received.header.flags.contains(Flags::COMMIT);
        let taken = quick::take_answer(&mut step, &authentic, (jitter, has_commit));
        if taken.is_err() {
            step.scratch.truncate(position);
            return taken;
        }
        step.state.take(received.digest);
        step.state.output = Output::Held;
        step.state.retry.restart(&settings);
        self.touch();
        Ok(())
    }

    /// Answers the first message of quick mode.
    fn answer_quick(
        &mut self,
        sa_id: SlotId,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let message_id = received.header.message_id;
        let sa = self.isakmp_sa(sa_id)?;
        if sa.theirs.contains(message_id) || sa.ours.contains(message_id) {
            return Err(Refusal::MessageIdReused(message_id));
        }
        let row = Row::find(None, ExchangeKind::QUICK, true).ok_or(Refusal::Internal)?;
        let protection = sa.protection()?;
        let chain = protection.phase_2(&sa.last_of_phase_1, message_id);
        let next = protection.decrypt(&chain, message).map_err(Refusal::Undecryptable)?;
        let opened = Opened::parse(message, row, next)?;
        let expected = sa.keys.hash_1(message_id, after_hash(&opened.chain));
        let authentic = opened.authenticate(&expected)?;
        self.isakmp_sa_mut(sa_id)?.theirs.add(message_id);
        let answered = self.answer_authentic_quick(sa_id, received, &authentic, host);
        if let Err(reason) = answered {
            let peer = Some(self.isakmp_sa(sa_id)?.peer);
            let (path, role, phase) = (received.path, Role::Responder, Phase::Two);
            self.fail(Failure { peer, path, sa: None, phase, role, reason, hint: None });
            self.refuse_quick(sa_id, &authentic.census, reason, host);
        }
        answered
    }

    fn answer_authentic_quick(
        &mut self,
        sa_id: SlotId,
        received: &Received,
        message: &Authentic<'_>,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let index = self.free_exchange()?;
        let pair_index = self.free_pair()?;
        let mut random = [0; 2];
        host.random(&mut random);
        let [jitter, life] = random;
        let retry = Retry::new(&self.settings, jitter);
        let pair_id = self.slot_id(pair_index)?;
        let sa = self.isakmp_sa(sa_id)?;
        let (kind, stage, role) = (ExchangeKind::QUICK, Stage::QuickAwaitsHash3, Role::Responder);
        let mut state = State::new(kind, stage, role, sa.peer, received.path, received.now, retry);
        state.cookies = sa.cookies;
        state.message_id = received.header.message_id;
        (state.isakmp, state.ipsec) = (Some(sa_id), Some(pair_id));
        let mut exchange = Exchange::new(state);
        let mut pair = super::ipsec_sa::IpsecSlot::new(pair_id, sa.peer, 0, role, received.path);
        pair.identity = Some(sa.identity);
        let (state, scratch) = exchange.parts();
        quick::answer(&mut quick::Step { state, scratch, sa, pair: &mut pair, host }, message, life)?;
        exchange.state.take(received.digest);
        exchange.state.output = Output::Held;
        self.set_pair(pair_index, pair)?;
        self.set_exchange(index, exchange)
    }

    /// Sends the last message of an exchange again, because the peer has repeated the message that it answers.
    fn answer_again(&mut self, index: usize) -> Result<(), Refusal> {
        let state = &mut self.exchange_mut(index)?.state;
        if state.output != Output::Idle || !state.retry.answer() {
            return Err(Refusal::Duplicate);
        }
        state.output = Output::Ready;
        self.counters.count(Counter::AnsweredAgain);
        self.touch();
        Ok(())
    }

    /// Remembers why a message of an exchange was refused. The exchange continues: the message may be forged.
    fn note_refusal(&mut self, index: usize, reason: Refusal) {
        let Ok(exchange) = self.exchange_mut(index) else { return };
        let state = &mut exchange.state;
        if !reason.concerns_negotiation() {
            return;
        }
        state.refusal.get_or_insert(reason);
        if state.role == Role::Initiator {
            state.retry.shorten();
        }
        let is_first = !core::mem::replace(&mut state.is_reported, true);
        let (role, path, peer) = (state.role, state.path, Some(state.peer));
        let phase = if state.kind == ExchangeKind::MAIN { Phase::One } else { Phase::Two };
        if role == Role::Responder && is_first {
            self.fail(Failure { peer, path, sa: None, phase, role, reason, hint: None });
        }
    }

    /// Counts a message of an unknown SA, and reports it at most once a minute.
    fn unknown_sa(&mut self, received: &Received) -> Refusal {
        let is_due =
            self.unknown_reported.is_none_or(|last| received.now.saturating_duration_since(last) >= REPORT_INTERVAL);
        if is_due {
            self.unknown_reported = Some(received.now);
            self.unknown = Some(received.path);
            self.touch();
        }
        Refusal::UnknownSa
    }

    pub(super) fn exchange(&self, index: usize) -> Result<&Exchange<BUFFER>, Refusal> {
        self.exchanges.get(index).and_then(Option::as_ref).ok_or(Refusal::Internal)
    }

    pub(super) fn exchange_mut(&mut self, index: usize) -> Result<&mut Exchange<BUFFER>, Refusal> {
        self.exchanges.get_mut(index).and_then(Option::as_mut).ok_or(Refusal::Internal)
    }

    pub(super) fn set_exchange(&mut self, index: usize, exchange: Exchange<BUFFER>) -> Result<(), Refusal> {
        *self.exchanges.get_mut(index).ok_or(Refusal::Full(Table::Exchanges))? = Some(exchange);
        self.touch();
        Ok(())
    }
}

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
    let is_phase_1 = header.exchange == ExchangeKind::MAIN;
    let is_informational = header.exchange == ExchangeKind::INFORMATIONAL;
    //= RFC 2408 5.2/5
    //# MUST: receiving: both cookies are verified, or the message discarded
    if header.initiator_cookie == [0; 8] {
        return Err(Refusal::Cookie);
    }
    //= RFC 2408 5.2/10
    //# MUST: receiving: a message with a wrong message ID is discarded
    match (header.message_id, is_phase_1) {
        (0, true) => Ok(()),
        (0, false) if is_informational && !header.is_encrypted() => Ok(()),
        (0, false) => Err(Refusal::MessageId(0)),
        (id, true) => Err(Refusal::MessageId(id)),
        (_, false) if header.responder_cookie == [0; 8] && !is_informational => Err(Refusal::Cookie),
        _ => Ok(()),
    }
}

/// Replaces the cookie 0, which has a meaning of its own.
pub(crate) fn not_zero(cookie: Cookie) -> Cookie {
    if cookie == [0; 8] { [1; 8] } else { cookie }
}
