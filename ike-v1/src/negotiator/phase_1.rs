//! Received messages of main mode.

use ike_codec::{ExchangeKind, Header, Message};

use super::census::Census;
use super::event::{Failure, Phase};
use super::exchange::{Exchange, State};
use super::inbound::{Opened, Received, not_zero};
use super::main_mode::{self, Step};
use super::retry::Retry;
use super::stage::{Row, Stage};
use super::suspend::{Taken, begin_step, end_step};
use super::{Host, Negotiator, PeerHint, PeerId, Refusal, Role, identity, informational, vendor};
use crate::Cookies;

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    pub(super) fn receive_main(
        &mut self,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let Some(index) = self.find_main(received) else { return self.receive_first(received, message, host) };
        let exchange = self.exchange(index)?;
        if exchange.state.taken == Some(received.digest) {
            return self.answer_again(index);
        }
        if exchange.state.suspended.is_some() {
            return Err(Refusal::Duplicate);
        }
        if exchange.state.path != received.path {
            return Err(Refusal::WrongPath);
        }
        let row = Row::find(Some(exchange.state.stage), ExchangeKind::MAIN, received.is_encrypted)
            .ok_or(Refusal::OutOfState(ExchangeKind::MAIN))?;
        let result = match row.hash {
            None => self.take_clear(index, row, received, message, host),
            Some(_) => {
                self.exchange_mut(index)?.state.bad.permit(received.now)?;
                self.take_encrypted(index, row, received, message, host)
            }
        };
        if let Err(refusal) = result {
            if row.hash.is_some() {
                self.exchange_mut(index)?.state.bad.count(received.now, refusal);
            }
            self.note_refusal(index, refusal);
        }
        result
    }

    /// Returns the exchange of main mode that a message belongs to.
    //= RFC 2408 2.4/1
    //# MUST: cookies, message ID and SPI are there in each step that needs them
    pub(super) fn find_main(&self, received: &Received) -> Option<usize> {
        let Header { initiator_cookie, responder_cookie, .. } = received.header;
        self.exchanges.position(|Exchange { state, .. }| {
            let is_first = responder_cookie == [0; 8] && state.role == Role::Responder && state.path == received.path;
            let is_second = state.cookies.responder == [0; 8] && state.role == Role::Initiator;
            state.kind == ExchangeKind::MAIN
                && state.cookies.initiator == initiator_cookie
                && (state.cookies.responder == responder_cookie || is_first || is_second)
        })
    }

    /// Processes a message of main mode without an exchange: the first one, or one that is late or unknown.
    pub(super) fn receive_first(
        &mut self,
        received: &Received,
        message: &[u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let Header { initiator_cookie, responder_cookie, .. } = received.header;
        if responder_cookie != [0; 8] {
            let cookies = Cookies { initiator: initiator_cookie, responder: responder_cookie };
            return Err(match self.find_sa(&cookies) {
                Some(_) => Refusal::Duplicate,
                None => self.unknown_sa(received, host),
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
    pub(super) fn respond(
        &mut self,
        received: &Received,
        census: &Census<'_>,
        peer: PeerId,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let mut random = [0; 9];
        host.random(&mut random);
        let [jitter, cookie @ ..] = random;
        //= RFC 2408 5.2/1
        //# MUST: sending: the cookie is created
        let cookies = Cookies { initiator: received.header.initiator_cookie, responder: not_zero(cookie) };
        let retry = Retry::new(&self.settings, jitter);
        let (kind, stage, role) = (ExchangeKind::MAIN, Stage::MainAwaitsKeyI, Role::Responder);
        // Another exchange makes room only for an offer that is acceptable.
        main_mode::check_offer(peer, census, host)?;
        let index = self.half_open_slot(received.path.remote.ip())?;
        let state = State::new(kind, stage, role, peer, received.path, received.now, retry);
        self.put_exchange(index, Exchange::new(state), |exchange| {
            let (state, scratch) = exchange.parts();
            let quirks = vendor::collect(state.quirks, census);
            main_mode::answer_offer(&mut Step { state, scratch, host, quirks }, cookies, census)?;
            exchange.state.quirks = quirks;
            exchange.state.take(received.digest);
            Ok(())
        })
    }

    /// Takes a message of main mode in cleartext.
    pub(super) fn take_clear(
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
        let is_first = !self.has_sas(self.exchange(index)?.state.peer);
        let (state, scratch) = self.exchange_mut(index)?.parts();
        let (stage, is_new) = (state.stage, state.suspended.is_none());
        if is_new && matches!(stage, Stage::MainAwaitsKeyI | Stage::MainAwaitsKeyR) {
            main_mode::check_key(state, scratch.stored(), &census)?;
            if stage == Stage::MainAwaitsKeyI {
                // The initiator has received the cookie of this host, so that its address is not forged.
                self.take_key_exchange(received.now)?;
            }
            self.exchange_mut(index)?.state.take_attempt()?;
        }
        let exchange = self.exchange_mut(index)?;
        let (state, mut scratch) = exchange.parts();
        let start = begin_step(state, &mut scratch);
        let quirks = vendor::collect(state.quirks, &census);
        let mut step = Step { state, scratch, host, quirks };
        let taken = match step.state.stage {
            Stage::MainAwaitsSa => main_mode::take_answer(&mut step, received.header.responder_cookie, &census),
            Stage::MainAwaitsKeyI => main_mode::answer_key(&mut step, &census),
            Stage::MainAwaitsKeyR => main_mode::take_key(&mut step, &census, is_first),
            _ => Err(Refusal::Internal.into()),
        };
        let message = Taken { message, next: None, digest: received.digest };
        match end_step(step.state, &mut step.scratch, start, Some(message), taken)? {
            Some(()) => {
                step.state.quirks = step.quirks;
                step.state.take(received.digest);
                step.state.retry.restart(&settings);
            }
            None => self.note_suspended(),
        }
        Ok(())
    }

    /// Takes message 5 or 6 of main mode, and establishes the ISAKMP SA.
    pub(super) fn take_encrypted(
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
        let id_body = opened.identity_body()?;
        let expected = main_mode::peer_hash(state, &scratch, id_body)?;
        let authentic = opened.authenticate(&expected)?;
        let peer = state.peer;
        let began = state.started;
        let (id, _) = authentic.census.identity()?;
        let identity = identity::digest(&id, &self.secret.0);
        let has_initial_contact = informational::has_initial_contact(&authentic.census);
        let (sa_index, replaced) = self.free_isakmp_sa(peer)?;
        let settings = self.settings;
        let exchange = self.exchange_mut(index)?;
        let (state, scratch) = exchange.parts();
        let position = scratch.position();
        let quirks = vendor::collect(state.quirks, &authentic.census);
        let mut step = Step { state, scratch, host, quirks };
        let taken = match step.state.role {
            Role::Initiator => main_mode::take_auth(&mut step, &authentic),
            Role::Responder => main_mode::answer_auth(&mut step, &authentic),
        };
        if taken.is_err() {
            step.scratch.truncate(position);
        }
        let peer = taken?;
        step.state.quirks = step.quirks;
        step.state.take(received.digest);
        step.state.retry.restart(&settings);
        step.scratch.wipe_stored();
        self.superseded = replaced.map(|sa| (peer, sa)).or(self.superseded.take());
        let sa = self.establish(received.now, index, sa_index, (peer, identity))?;
        if has_initial_contact {
            self.take_initial_contact(sa, began);
        }
        self.end_orphans();
        Ok(())
    }
}
