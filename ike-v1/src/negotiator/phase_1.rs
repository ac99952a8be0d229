//! Received messages of phase 1, in main, aggressive and base mode.

use ike_codec::{Cookie, ExchangeKind, Header, Identification, Message};
use ipsec_packet::Instant;

use super::census::Census;
use super::counters::Counter;
use super::event::{Failure, IsakmpSaId, Phase};
use super::exchange::{Exchange, State};
use super::features::{self, AGGRESSIVE, BASE, PHASE_1_EVENTS, SIGNATURES, XAUTH};
use super::inbound::{Opened, Received, not_zero};
use super::informational::MAX_EARLY;
use super::isakmp_sa::IsakmpSa;
use super::retry::Retry;
use super::stage::{Row, Stage};
use super::step::{Outcome, Step, check_identity, check_values};
use super::suspend::{Stop, Taken, begin_step, end_step};
use super::xauth::{XauthRole, xauth_role};
use super::{
    CertificateRequests, Host, Negotiator, PeerHint, PeerId, Refusal, Role, aggressive, base, identity, informational,
    main_mode, vendor,
};
use crate::method::authentication;
use crate::{Cookies, NextIv};

/// Index of a new ISAKMP SA, and the SA that is removed for it.
type Place = (usize, Option<IsakmpSaId>);

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    pub(super) fn receive_phase_1(
        &mut self,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let Some(index) = self.find_phase_1(received) else { return self.receive_first(received, message, host) };
        let exchange = self.exchange(index)?;
        if exchange.state.taken == Some(received.digest) {
            return self.answer_again(index);
        }
        if exchange.state.suspended.is_some() {
            return Err(Refusal::Duplicate);
        }
        if !exchange.state.accepts(&received.path) {
            return Err(Refusal::WrongPath);
        }
        let kind = received.header.exchange;
        let row =
            Row::find(Some(exchange.state.stage), kind, received.is_encrypted).ok_or(Refusal::OutOfState(kind))?;
        if row.hash.is_some() {
            self.exchange_mut(index)?.state.bad.permit(received.now)?;
        }
        let result = self.open_phase_1(index, row, received, message, host);
        if let Err(refusal) = result {
            if row.hash.is_some() {
                self.exchange_mut(index)?.state.bad.count(received.now, refusal);
            }
            self.note_refusal(index, refusal);
            self.bound_proofs(index, refusal)?;
        }
        result
    }

    /// Ends an exchange after several refused signatures: each costs verifications.
    fn bound_proofs(&mut self, index: usize, refusal: Refusal) -> Result<(), Refusal> {
        if SIGNATURES && matches!(refusal, Refusal::Certificate(_)) {
            let refused = &mut self.exchange_mut(index)?.state.refused_proofs;
            *refused = refused.saturating_add(1);
            if *refused >= MAX_REFUSED_PROOFS {
                self.end_exchange(index, refusal);
            }
        }
        Ok(())
    }

    /// Returns the exchange of phase 1 with the cookies of a message.
    //= RFC 2408 2.4/1
    //# MUST: cookies, message ID and SPI are there in each step that needs them
    pub(super) fn find_phase_1(&self, received: &Received) -> Option<usize> {
        let Header { initiator_cookie, responder_cookie, exchange, .. } = received.header;
        self.exchanges.position(|Exchange { state, .. }| {
            let is_first = responder_cookie == [0; 8] && state.role == Role::Responder && state.path == received.path;
            let is_second = state.cookies.responder == [0; 8] && state.role == Role::Initiator;
            state.kind == exchange
                && state.cookies.initiator == initiator_cookie
                && (state.cookies.responder == responder_cookie || is_first || is_second)
        })
    }

    /// Processes a message of phase 1 without an exchange: the first one, or one that is late or unknown.
    fn receive_first(&mut self, received: &Received, message: &[u8], host: &mut dyn Host) -> Result<(), Refusal> {
        let Header { initiator_cookie, responder_cookie, exchange, .. } = received.header;
        if responder_cookie != [0; 8] {
            let cookies = Cookies { initiator: initiator_cookie, responder: responder_cookie };
            return Err(match self.find_sa(&cookies) {
                Some(_) => Refusal::Duplicate,
                None => self.unknown_sa(received, host),
            });
        }
        let row = Row::find(None, exchange, received.is_encrypted).ok_or(Refusal::OutOfState(exchange))?;
        let parsed = Message::parse(message).map_err(Refusal::Malformed)?;
        let census = Census::of(row, parsed.payloads())?;
        // Main mode has no identity here.
        let identity = census.identity().ok().map(|(id, _)| id);
        let peer = host.find_peer(&PeerHint { path: received.path, exchange, candidate: None, identity });
        let result = match peer {
            Some(peer) => self.respond(received, (message, &census), peer, host),
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

    /// Begins phase 1 as responder.
    fn respond(
        &mut self,
        received: &Received,
        (message, census): (&[u8], &Census<'_>),
        peer: PeerId,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let kind = received.header.exchange;
        if !features::has(kind) || !host.peer(peer).ok_or(Refusal::Superseded)?.exchanges.contains(&kind) {
            return Err(Refusal::ModeNotAllowed(kind));
        }
        // Another exchange is evicted only for an offer that is acceptable.
        let choice = main_mode::check_offer(peer, census, host)?;
        let mut random = [0; 9];
        host.random(&mut random);
        let [jitter, cookie @ ..] = random;
        //= RFC 2408 5.2/1
        //# MUST: sending: the cookie is created
        let cookies = Cookies { initiator: received.header.initiator_cookie, responder: not_zero(cookie) };
        let retry = Retry::new(&self.settings, jitter);
        let stage = if kind == ExchangeKind::AGGRESSIVE { Stage::AggressiveBegins } else { Stage::Answers };
        let mut state = State::new(kind, stage, Role::Responder, peer, received.path, received.now, retry);
        state.cookies = cookies;
        if let Ok((id, _)) = census.identity() {
            check_identity(host, peer, &id)?;
            census.nonce()?;
        }
        if kind == ExchangeKind::AGGRESSIVE {
            super::key_exchange::check_public(choice.group, census.key_exchange()?)?;
            self.take_unproven_key_exchange(received.now)?;
        }
        let index = self.half_open_slot(received.path.remote.ip())?;
        let begun = self.put_exchange(index, Exchange::new(state), |_| Ok(()));
        let begun = begun.and_then(|()| self.answer_first(index, received, (message, census), host));
        self.settle_first(index, begun)
    }

    /// Reports an exchange of phase 1 whose first step is taken, or removes it if the step was refused.
    fn settle_first(&mut self, index: usize, begun: Result<(), Refusal>) -> Result<(), Refusal> {
        if begun.is_err() {
            self.exchanges.clear(index);
        } else if PHASE_1_EVENTS {
            self.exchange_mut(index)?.state.is_new = true;
            self.has_events = true;
        }
        begun
    }

    /// Answers the first message of an exchange.
    fn answer_first(
        &mut self,
        index: usize,
        received: &Received,
        (message, census): (&[u8], &Census<'_>),
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let (mut step, start) = self.phase_1_step(index, received, census, host)?;
        let answered = match received.header.exchange {
            ExchangeKind::MAIN => main_mode::answer_offer(&mut step, census),
            ExchangeKind::AGGRESSIVE if AGGRESSIVE => aggressive::answer_offer(&mut step, census),
            ExchangeKind::BASE if BASE => base::answer_offer(&mut step, census),
            _ => Err(Refusal::Internal.into()),
        };
        let message = Taken { message, next: None, digest: received.digest };
        let is_done = end_step(step.state, &mut step.scratch, start, Some(message), answered)?.is_some();
        if is_done {
            step.learn();
            step.state.take(received.digest);
        } else {
            self.note_suspended();
        }
        self.touch();
        Ok(())
    }

    /// Answers the first message of aggressive mode, which had to wait for the host.
    pub(super) fn answer_first_again(
        &mut self,
        index: usize,
        received: &Received,
        message: &[u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let row = Row::find(None, received.header.exchange, false).ok_or(Refusal::Internal)?;
        let parsed = Message::parse(message).map_err(Refusal::Malformed)?;
        let census = Census::of(row, parsed.payloads())?;
        let answered = self.answer_first(index, received, (message, &census), host);
        if let Err(reason) = answered {
            self.end_exchange(index, reason);
        }
        answered
    }

    /// Returns a step of the exchange in a slot.
    fn phase_1_step<'a>(
        &'a mut self,
        index: usize,
        received: &Received,
        census: &Census<'_>,
        host: &'a mut dyn Host,
    ) -> Result<(Step<'a>, super::suspend::Start), Refusal> {
        let is_first = !self.has_sas(self.exchange(index)?.state.peer);
        let nat_traversal_port = self.settings.nat_traversal_port;
        let (state, mut scratch) = self.exchange_mut(index)?.parts();
        let is_new = state.suspended.is_none();
        let start = begin_step(state, &mut scratch);
        let quirks = vendor::collect(state.quirks, census);
        let payloads = census.payloads();
        let requests = CertificateRequests(&payloads);
        let has_requests = SIGNATURES && requests.iter().next().is_some();
        let credential = if has_requests { host.choose_certificate(state.peer, &requests) } else { state.credential };
        let path = received.path;
        state.arrived = path;
        Ok((Step { state, scratch, host, quirks, credential, path, is_new, is_first, nat_traversal_port }, start))
    }

    /// Decrypts a message of phase 1, if it is encrypted, and processes it.
    fn open_phase_1(
        &mut self,
        index: usize,
        row: &Row,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        if !row.is_encrypted {
            return self.take_phase_1(index, row, received, (message, None), host);
        }
        let state = &self.exchange(index)?.state;
        let secrets = state.secrets.as_ref().ok_or(Refusal::Internal)?;
        let protection = secrets.protection(&state.choice.ok_or(Refusal::Internal)?)?;
        let chain = state.chain.ok_or(Refusal::Internal)?;
        let next = protection.decrypt(&chain, message).map_err(Refusal::Undecryptable)?;
        self.take_phase_1(index, row, received, (message, Some(next)), host)
    }

    /// Processes a message of phase 1 after the first one, in cleartext or decrypted.
    pub(super) fn take_phase_1(
        &mut self,
        index: usize,
        row: &Row,
        received: &Received,
        (message, next): (&[u8], Option<NextIv>),
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let settings = self.settings;
        let opened = match next {
            Some(next) => Opened::parse(message, row, next).map_err(|_| Refusal::WrongKeyLikely)?.0,
            None => Opened::clear(message, row)?,
        };
        let census = opened.unverified().clone();
        let exchange = self.exchange_mut(index)?;
        let (state, scratch) = exchange.parts();
        let stage = state.stage;
        check_values(state, scratch.stored(), &census)?;
        let is_new = state.suspended.is_none();
        if is_new && matches!(stage, Stage::MainAwaitsKeyI | Stage::BaseAwaitsKeyI) {
            // The initiator has received the cookie of this host, so that its address is not forged.
            self.take_key_exchange(received.now)?;
        }
        if is_new && matches!(stage, Stage::MainAwaitsKeyI | Stage::MainAwaitsKeyR | Stage::BaseAwaitsKeyI) {
            self.exchange_mut(index)?.state.take_attempt()?;
        }
        let place = row.hash.map(|_| self.place_for(index, received)).transpose()?;
        if SIGNATURES && is_new && opened.unverified().signature().is_ok() {
            self.permit_signature(index, received.now)?;
        }
        let (mut step, start) = self.phase_1_step(index, received, &census, host)?;
        let responder = received.header.responder_cookie;
        let taken = take_step(&mut step, stage, responder, opened);
        let message = Taken { message, next, digest: received.digest };
        let Some(outcome) = end_step(step.state, &mut step.scratch, start, Some(message), taken)? else {
            self.note_suspended();
            return Ok(());
        };
        step.learn();
        step.state.take(received.digest);
        step.state.retry.restart(&settings);
        match (outcome, place) {
            (Outcome::Authenticated(peer), Some(place)) => {
                let has_initial_contact = row.is_encrypted && informational::has_initial_contact(&census);
                self.authenticated(received, (index, stage), place, (peer, has_initial_contact), host)
            }
            (Outcome::Continues, _) => Ok(()),
            (Outcome::Authenticated(_), None) => Err(Refusal::Internal),
        }
    }

    /// Returns the place of the ISAKMP SA of an exchange.
    fn place_for(&self, index: usize, received: &Received) -> Result<Place, Refusal> {
        let State { peer, choice, role, .. } = &self.exchange(index)?.state;
        let given = choice.and_then(|choice| xauth_role(choice.auth_method, *role));
        let owes_login = XAUTH && given == Some(XauthRole::Server);
        if owes_login && let Some((index, other)) = self.login_place(received.path.remote.ip())? {
            return Ok((index, Some(other)));
        }
        self.free_isakmp_sa(*peer, owes_login)
    }

    /// Permits the verification of the signature of an initiator.
    fn permit_signature(&mut self, index: usize, now: Instant) -> Result<(), Refusal> {
        let state = &self.exchange(index)?.state;
        let way = state.choice.and_then(|choice| authentication(choice.auth_method, &state.quirks));
        let is_signed = way.is_some_and(|way| way.signs(Role::Initiator));
        if is_signed && state.role == Role::Responder { self.take_verification(now) } else { Ok(()) }
    }

    /// Establishes the ISAKMP SA of a peer that is authenticated.
    fn authenticated(
        &mut self,
        received: &Received,
        (index, stage): (usize, Stage),
        (sa_index, replaced): Place,
        (peer, has_initial_contact): (PeerId, bool),
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let exchange = self.exchanges.get_mut(index).ok_or(Refusal::Internal)?;
        let (state, mut scratch) = exchange.parts();
        let began = state.started;
        let id = Identification::parse(scratch.get(state.spans.peer_id)).ok_or(Refusal::Internal)?;
        let digest = identity::digest(&id, &self.secret.0);
        let path = if state.role == Role::Responder { received.path } else { state.path };
        host.authenticated(peer, &path, &id);
        let mut early = [0; MAX_EARLY];
        let kept = scratch.get(state.spans.early);
        let early_len = early.iter_mut().zip(kept).map(|(to, from)| *to = *from).count();
        scratch.wipe_stored();
        state.path = path;
        let (is_initiator, is_main) = (state.role == Role::Initiator, state.kind == ExchangeKind::MAIN);
        let has_login = state.choice.is_some_and(|choice| xauth_role(choice.auth_method, state.role).is_some());
        let is_first = is_initiator && !is_main && !has_login && !self.has_sas(peer);
        if XAUTH && self.isakmp.get(sa_index).is_some_and(IsakmpSa::owes_login) {
            self.counters.count(Counter::TooManyLogins);
        }
        self.superseded = replaced.map(|sa| (peer, sa)).or(self.superseded.take());
        let sa = self.establish(received.now, index, sa_index, (peer, digest))?;
        if !stage.is_answered() {
            // The last message is not repeated for a duplicate of that of the peer.
            self.exchanges.clear(index);
        }
        if is_first && host.peer(peer).is_some_and(|peer| peer.initial_contact) {
            self.send_initial_contact(sa, host);
        }
        if has_initial_contact {
            self.take_initial_contact(sa, began);
        }
        if let Some(message) = early.get_mut(..early_len).filter(|message| AGGRESSIVE && !message.is_empty()) {
            self.take_early(received, message, host);
        }
        self.end_orphans();
        Ok(())
    }

    /// Begins phase 1 as initiator, in the first exchange that is configured for the peer.
    pub(super) fn begin_phase_1(
        &mut self,
        now: Instant,
        peer: PeerId,
        path: super::Path,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let exchanges = host.peer(peer).ok_or(Refusal::Superseded)?.exchanges;
        let kind = exchanges.first().copied().ok_or(Refusal::ModeNotAllowed(ExchangeKind::MAIN))?;
        let stage = match kind {
            ExchangeKind::MAIN => Stage::MainAwaitsSa,
            ExchangeKind::AGGRESSIVE if AGGRESSIVE => Stage::AggressiveAwaitsAnswer,
            ExchangeKind::BASE if BASE => Stage::BaseAwaitsSa,
            other => return Err(Refusal::ModeNotAllowed(other)),
        };
        let index = self.free_exchange()?;
        let mut random = [0; 9];
        host.random(&mut random);
        let [jitter, cookie @ ..] = random;
        let retry = Retry::new(&self.settings, jitter);
        let mut state = State::new(kind, stage, Role::Initiator, peer, path, now, retry);
        state.cookies.initiator = not_zero(cookie);
        self.put_exchange(index, Exchange::new(state), |_| Ok(()))?;
        let begun = self.take_first_step(index, now, host);
        self.settle_first(index, begun)
    }

    /// Repeats the first step of phase 1, which had to wait for the host.
    pub(super) fn begin_phase_1_again(
        &mut self,
        index: usize,
        now: Instant,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let begun = self.take_first_step(index, now, host);
        if let Err(reason) = begun {
            self.end_exchange(index, reason);
        }
        begun
    }

    fn take_first_step(&mut self, index: usize, now: Instant, host: &mut dyn Host) -> Result<(), Refusal> {
        let state = &self.exchange(index)?.state;
        let (kind, cookies, path) = (state.kind, state.cookies, state.path);
        let header = Header::new(cookies.initiator, cookies.responder, kind, 0);
        let received = Received { now, path, header, is_encrypted: false, digest: 0 };
        let (mut step, start) = self.phase_1_step(index, &received, &Census::NONE, host)?;
        let begun = match kind {
            ExchangeKind::MAIN => main_mode::begin(&mut step).map_err(Stop::from),
            ExchangeKind::AGGRESSIVE if AGGRESSIVE => aggressive::begin(&mut step),
            ExchangeKind::BASE if BASE => base::begin(&mut step),
            _ => Err(Refusal::Internal.into()),
        };
        match end_step(step.state, &mut step.scratch, start, None, begun)? {
            Some(()) => step.state.output = super::exchange::Output::Ready,
            None => self.note_suspended(),
        }
        self.touch();
        Ok(())
    }
}

/// Number of refused signatures that end an exchange.
const MAX_REFUSED_PROOFS: u8 = 3;

/// Performs the step of a stage.
fn take_step(step: &mut Step<'_>, stage: Stage, responder: Cookie, message: Opened<'_>) -> Result<Outcome, Stop> {
    let values = message.unverified();
    match stage {
        Stage::MainAwaitsSa => main_mode::take_answer(step, responder, values),
        Stage::MainAwaitsKeyI => main_mode::answer_key(step, values),
        Stage::MainAwaitsKeyR => main_mode::take_key(step, values),
        Stage::MainAwaitsAuthI => main_mode::answer_auth(step, message),
        Stage::MainAwaitsAuthR => main_mode::take_auth(step, message),
        Stage::AggressiveAwaitsAnswer if AGGRESSIVE => aggressive::take_answer(step, responder, message),
        Stage::AggressiveAwaitsProof if AGGRESSIVE => aggressive::take_proof(step, message),
        Stage::BaseAwaitsSa if BASE => base::take_answer(step, responder, values),
        Stage::BaseAwaitsKeyI if BASE => base::answer_key(step, message),
        Stage::BaseAwaitsKeyR if BASE => base::take_key(step, message),
        _ => Err(Refusal::Internal.into()),
    }
}
