//! Transaction exchanges, which carry extended authentication and Mode Config (draft-dukes-ike-mode-cfg-02).
//!
//! Each exchange has two messages: a request and a reply, or a set and an acknowledgement. A timer repeats the first
//! one; the second one is sent again for a duplicate of the first.

use core::time::Duration;

use ike_codec::{AttributeWriter, Body, Config, ConfigKind, ExchangeKind, NoSpace, PayloadKind};
use ipsec_packet::Instant;
use zeroize::Zeroize;

use super::census::Census;
use super::event::SlotId;
use super::exchange::{Exchange, Output, State};
use super::features::XAUTH;
use super::inbound::{Opened, Received, authenticate_first, decrypt_first};
use super::informational::new_message_id;
use super::isakmp_sa::IsakmpSa;
use super::message::{after_hash, write_phase_2};
use super::mode_config::{self, ModeConfig};
use super::retry::Retry;
use super::scratch::Scratch;
use super::stage::{Row, Stage};
use super::suspend::{Start, Stop, Taken, begin_step, end_step};
use super::xauth::{self, Access, Denied, XauthRole, is_xauth, xauth_role};
use super::{Host, Negotiator, Refusal, Role, Table};
use crate::{IvChain, NextIv};

/// Time for which a client waits for a server, and time for the user, from the end of phase 1 or from the request.
const CLIENT_TIME: Duration = Duration::from_secs(60);
const USER_TIME: Duration = Duration::from_secs(180);

/// Transaction exchange whose next step is taken, and the services that it needs.
pub(crate) struct Step<'a> {
    pub state: &'a mut State,
    pub scratch: Scratch<'a>,
    pub sa: &'a mut IsakmpSa,
    pub host: &'a mut dyn Host,
    /// Key of the digests of identities.
    pub secret: &'a [u8; 16],
}

/// End of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A message is to be sent.
    Sent,
    /// The exchange is complete.
    Ended,
}

/// Returns the identifier of the attribute payload in an exchange that this host begins.
pub(crate) fn identifier(message_id: u32) -> u16 {
    let [_, _, high, low] = message_id.to_be_bytes();
    u16::from_be_bytes([high, low])
}

impl Step<'_> {
    /// Returns the chain of the first message.
    pub fn first_chain(&self) -> Result<IvChain, Refusal> {
        Ok(self.sa.protection()?.phase_2(&self.sa.last_of_phase_1, self.state.message_id))
    }

    /// Writes `HDR*, HASH(1), ATTR` as the message to be sent.
    pub fn send(
        &mut self,
        chain: &IvChain,
        kind: ConfigKind,
        identifier: u16,
        attributes: &mut dyn FnMut(&mut AttributeWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<(), Refusal> {
        let (sa, message_id) = (&*self.sa, self.state.message_id);
        let mut next = None;
        self.scratch.send(|buf, _| {
            let exchange = (ExchangeKind::TRANSACTION, message_id);
            let (len, following) = write_phase_2(
                buf,
                sa,
                exchange,
                chain,
                &mut |writer| {
                    let payload = writer.payload(PayloadKind::CONFIG, |body| {
                        body.put(&[kind.0, 0])?;
                        body.put(&identifier.to_be_bytes())?;
                        body.attributes(&mut *attributes)
                    });
                    payload.map(drop)
                },
                &|rest| sa.keys.hash_1(message_id, rest),
            )?;
            next = Some(following);
            Ok::<usize, Refusal>(len)
        })?;
        let mut chain = *chain;
        chain.confirm(next.ok_or(Refusal::Internal)?);
        self.state.chain = Some(chain);
        Ok(())
    }

    /// Processes a message in the present stage.
    fn take(&mut self, config: &Config<'_>, next: NextIv) -> Result<Outcome, Stop> {
        let expected = match self.state.stage {
            Stage::XauthAwaitsReply | Stage::ConfigAwaitsReply => ConfigKind::REPLY,
            Stage::XauthAwaitsAck | Stage::ConfigAwaitsAck => ConfigKind::ACK,
            _ => config.kind,
        };
        if config.kind != expected {
            return Err(Refusal::ConfigKind { got: config.kind, expected: Some(expected) }.into());
        }
        match (self.state.stage, config.kind) {
            (Stage::XauthAwaitsReply, _) => xauth::take_reply(self, config),
            (Stage::ConfigAwaitsReply, _) => mode_config::take_reply(self, config),
            (Stage::TransactionAwaitsHost, ConfigKind::REQUEST) if is_xauth(&config.attributes) => {
                xauth::answer(self, config, next)
            }
            (Stage::TransactionAwaitsHost, ConfigKind::REQUEST) => mode_config::answer(self, config, next),
            (Stage::TransactionAwaitsHost, ConfigKind::SET) if is_xauth(&config.attributes) => {
                xauth::take_status(self, config, next)
            }
            (Stage::TransactionAwaitsHost, ConfigKind::SET) => mode_config::take_set(self, config, next),
            (stage, _) => {
                self.sa.access = self.sa.access.acknowledged(stage);
                Ok(Outcome::Ended)
            }
        }
    }
}

/// Returns the only attribute payload of a message.
fn attribute_payload<'m>(census: &Census<'m>) -> Result<Config<'m>, Refusal> {
    let mut configs = census.payloads().filter_map(|payload| match payload.view() {
        Body::Config(config) => Some(config),
        _ => None,
    });
    let first = configs.next().ok_or(Refusal::MissingPayload(PayloadKind::CONFIG))?;
    if configs.next().is_some() { Err(Refusal::DuplicatePayload(PayloadKind::CONFIG)) } else { Ok(first) }
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    pub(super) fn receive_transaction(
        &mut self,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let sa = self.sa_of(received, host)?;
        self.isakmp_sa_mut(sa)?.bad.permit(received.now)?;
        let key = (Some(sa), received.header.message_id, ExchangeKind::TRANSACTION);
        let found =
            self.exchanges.position(|Exchange { state, .. }| (state.isakmp, state.message_id, state.kind) == key);
        let result = match found {
            Some(index) => self.continue_transaction(index, received, message, host),
            None => self.take_first_transaction(sa, received, message, host),
        };
        self.count_bad(sa, received.now, result);
        // The message may contain a password.
        message.zeroize();
        result
    }

    /// Processes the answer to a message of this host, or a duplicate.
    fn continue_transaction(
        &mut self,
        index: usize,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let Some((id, next)) = self.decrypt_next(index, received, message)? else {
            return self.answer_again(index);
        };
        self.take_transaction(index, received, (message, next), host)?;
        self.follow_message(id, received.path);
        self.note_life_in(id, received.now);
        Ok(())
    }

    /// Processes the first message of an exchange of the peer.
    fn take_first_transaction(
        &mut self,
        sa_id: SlotId,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let message_id = received.header.message_id;
        let sa = self.isakmp_sa(sa_id)?;
        if sa.has_message_id(message_id) {
            return Err(Refusal::MessageIdReused(message_id));
        }
        let next = decrypt_first(sa, &received.header, message)?;
        let authentic = authenticate_first(&sa.keys, &received.header, message, next)?;
        let config = attribute_payload(&authentic.census)?;
        if config.kind == ConfigKind::ACK {
            return self.take_late_ack(sa_id, message_id, &config);
        }
        let sa = self.isakmp_sa(sa_id)?;
        check_admission(sa, &config, host)?;
        let peer = sa.peer;
        // One request of a peer may wait for the host.
        let waits = |state: &State| (state.isakmp, state.stage) == (Some(sa_id), Stage::TransactionAwaitsHost);
        if self.exchanges.values().any(|exchange| waits(&exchange.state)) {
            return Err(Refusal::Full(Table::Exchanges));
        }
        let index = self.free_exchange()?;
        let mut jitter = [0; 1];
        host.random(&mut jitter);
        let [jitter] = jitter;
        let retry = Retry::new(&self.settings, jitter);
        let (stage, role) = (Stage::TransactionAwaitsHost, Role::Responder);
        let mut state = State::new(ExchangeKind::TRANSACTION, stage, role, peer, received.path, received.now, retry);
        (state.isakmp, state.message_id) = (Some(sa_id), message_id);
        self.exchanges.put(index, Exchange::new(state)).ok_or(Refusal::Full(Table::Exchanges))?;
        let taken = self.take_transaction(index, received, (message, next), host);
        match taken {
            Ok(()) => {
                let sa = self.isakmp_sa_mut(sa_id)?;
                sa.theirs.add(message_id);
                sa.access_until = sa.access_until.max(received.now.saturating_add(USER_TIME));
            }
            Err(_) => self.exchanges.clear(index),
        }
        taken
    }

    /// Processes an acknowledgement with a new message ID, as SSH Sentinel sends it.
    fn take_late_ack(&mut self, sa_id: SlotId, message_id: u32, config: &Config<'_>) -> Result<(), Refusal> {
        let sa = self.isakmp_sa(sa_id)?;
        let is_it = |state: &State| {
            sa.quirks.xauth_ack_has_new_message_id
                && state.isakmp == Some(sa_id)
                && matches!(state.stage, Stage::XauthAwaitsAck | Stage::ConfigAwaitsAck)
                && identifier(state.message_id) == config.identifier
        };
        let index = self.exchanges.position(|exchange| is_it(&exchange.state));
        let index = index.ok_or(Refusal::ConfigKind { got: config.kind, expected: None })?;
        let stage = self.exchange(index)?.state.stage;
        let sa = self.isakmp_sa_mut(sa_id)?;
        sa.access = sa.access.acknowledged(stage);
        sa.theirs.add(message_id);
        self.exchanges.clear(index);
        self.has_wanted = true;
        self.touch();
        Ok(())
    }

    /// Processes a message again, which had to wait for the host. A first message that is refused then ends its
    /// exchange.
    pub(super) fn resume_transaction(
        &mut self,
        index: usize,
        received: &Received,
        message: (&[u8], NextIv),
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let is_first = self.exchange(index)?.state.stage == Stage::TransactionAwaitsHost;
        let taken = self.take_transaction(index, received, message, host);
        if taken.is_err() && is_first {
            self.exchanges.clear(index);
        }
        taken
    }

    /// Processes a decrypted message (steps 9 to 12).
    pub(super) fn take_transaction(
        &mut self,
        index: usize,
        received: &Received,
        (message, next): (&[u8], NextIv),
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let settings = self.settings;
        let (mut step, start) = self.transaction_step(index, host)?;
        let stage = Some(step.state.stage).filter(|stage| *stage != Stage::TransactionAwaitsHost);
        let row = Row::find(stage, ExchangeKind::TRANSACTION, true).ok_or(Refusal::Internal)?;
        let (opened, chain) = Opened::parse(message, row, next)?;
        let expected = step.sa.keys.hash_1(received.header.message_id, after_hash(&chain));
        let authentic = opened.authenticate(&expected)?;
        let config = attribute_payload(&authentic.census)?;
        // charon answers with 0 instead of the identifier. The authenticated message ID names the exchange as well.
        let (got, expected) = (config.identifier, identifier(step.state.message_id));
        if stage.is_some() && ![0, expected].contains(&got) {
            return Err(Refusal::ConfigIdentifier { got, expected });
        }
        step.state.path = received.path;
        let taken = step.take(&config, next);
        let message = Taken { message, next: Some(next), digest: received.digest };
        let mut logged_in = None;
        match end_step(step.state, &mut step.scratch, start, Some(message), taken)? {
            Some(Outcome::Sent) => {
                let is_server = xauth_role(step.sa.choice.auth_method, step.sa.role) == Some(XauthRole::Server);
                logged_in = (is_server && step.sa.has_logged_in).then_some((step.sa.peer, step.sa.identity));
                // The host may have taken longer than an answer is kept.
                step.state.started = received.now;
                step.state.take(received.digest);
                step.state.retry.restart(&settings);
            }
            // A lease stays in the exchange until it is fetched.
            Some(Outcome::Ended) if !step.state.spans.attributes.is_empty() => step.state.retry.stop(),
            Some(Outcome::Ended) => self.exchanges.clear(index),
            None => self.note_suspended(),
        }
        if let Some((peer, identity)) = logged_in {
            self.limit_sas_of_user(peer, identity);
        }
        self.has_wanted = true;
        self.touch();
        Ok(())
    }

    fn transaction_step<'a>(&'a mut self, index: usize, host: &'a mut dyn Host) -> Result<(Step<'a>, Start), Refusal> {
        let id = self.exchange(index)?.state.isakmp.ok_or(Refusal::Internal)?;
        let sa = self.isakmp.get_mut(usize::from(id.index)).filter(|sa| sa.id == id && sa.is_usable());
        let sa = sa.ok_or(Refusal::UnknownSa)?;
        let (state, mut scratch) = self.exchanges.get_mut(index).ok_or(Refusal::Internal)?.parts();
        let start = begin_step(state, &mut scratch);
        Ok((Step { state, scratch, sa, host, secret: &self.secret.0 }, start))
    }

    /// Begins the transaction exchanges that ISAKMP SAs need before IPsec SAs are negotiated, and removes the SAs for
    /// which they fail.
    pub(super) fn start_transactions(&mut self, now: Instant, host: &mut dyn Host) {
        if !XAUTH {
            // Methods with extended authentication are refused.
            return self.isakmp.values_mut().for_each(|sa| sa.access = Access::Open);
        }
        for index in 0..self.isakmp.len() {
            let Some(sa) = self.isakmp.get_mut(index).filter(|sa| sa.is_usable()) else { continue };
            if sa.access == Access::New {
                let login = xauth_role(sa.choice.auth_method, sa.role);
                sa.access = Access::first(login, host.peer(sa.peer).and_then(|peer| peer.mode_config));
                let time = if login == Some(XauthRole::Server) { USER_TIME } else { CLIENT_TIME };
                sa.access_until = now.saturating_add(time);
            }
            if sa.access != Access::Open && sa.access_until <= now {
                sa.access = Access::Denied(Denied::Late);
            }
            let (stage, id) = (sa.access.to_begin(), sa.id);
            if let Some(stage) = stage.filter(|_| !self.has_open_transaction(id)) {
                self.begin_transaction(now, index, stage, host);
            }
            if let Some(Access::Denied(why)) = self.isakmp.get(index).map(|sa| sa.access) {
                self.deny(index, now, why, host);
            }
        }
    }

    fn has_open_transaction(&self, sa: SlotId) -> bool {
        let is_open = |state: &State| {
            state.isakmp == Some(sa) && state.kind == ExchangeKind::TRANSACTION && state.stage != Stage::Answers
        };
        self.exchanges.values().any(|exchange| is_open(&exchange.state))
    }

    fn begin_transaction(&mut self, now: Instant, sa_index: usize, stage: Stage, host: &mut dyn Host) {
        let Ok(index) = self.free_exchange() else {
            self.has_wanted = true;
            return;
        };
        let mut jitter = [0; 1];
        host.random(&mut jitter);
        let [jitter] = jitter;
        let retry = Retry::new(&self.settings, jitter);
        let Some(sa) = self.isakmp.get_mut(sa_index) else { return };
        let mut state = State::new(ExchangeKind::TRANSACTION, stage, Role::Initiator, sa.peer, sa.path, now, retry);
        state.isakmp = Some(sa.id);
        state.message_id = new_message_id(sa, host);
        self.exchanges.put(index, Exchange::new(state));
        if let Err(reason) = self.take_opening_step(index, host) {
            self.counters.count(reason.counter());
        }
    }

    /// Performs the first step of an exchange of this host, for the first time or after it had to wait for the host.
    pub(super) fn take_opening_step(&mut self, index: usize, host: &mut dyn Host) -> Result<(), Refusal> {
        let (mut step, start) = self.transaction_step(index, host)?;
        let begun = match step.state.stage {
            Stage::XauthAwaitsReply => xauth::begin(&mut step),
            Stage::ConfigAwaitsReply => mode_config::begin_request(&mut step),
            _ => mode_config::begin_set(&mut step),
        };
        let ended = end_step(step.state, &mut step.scratch, start, None, begun);
        match ended {
            Ok(Some(())) => step.state.output = Output::Ready,
            Ok(None) => self.note_suspended(),
            Err(_) => {
                step.sa.access = Access::Denied(Denied::NoAddress);
                self.exchanges.clear(index);
            }
        }
        self.has_wanted = true;
        self.touch();
        ended.map(drop)
    }
}

/// Refuses first messages that this host does not expect from its peer.
fn check_admission(sa: &IsakmpSa, config: &Config<'_>, host: &dyn Host) -> Result<(), Refusal> {
    let unexpected = Refusal::ConfigKind { got: config.kind, expected: None };
    let login = xauth_role(sa.choice.auth_method, sa.role);
    let mode = host.peer(sa.peer).ok_or(Refusal::Superseded)?.mode_config;
    let is_server = matches!(mode, Some(ModeConfig::Answer | ModeConfig::Assign));
    let is_client = matches!(mode, Some(ModeConfig::Request | ModeConfig::Accept));
    match (config.kind, is_xauth(&config.attributes)) {
        (ConfigKind::REQUEST | ConfigKind::SET, true) if login == Some(XauthRole::Client) => Ok(()),
        (ConfigKind::REQUEST, false) if is_server && !sa.access.permits_peer() => Err(Refusal::XauthOwed),
        (ConfigKind::REQUEST, false) if is_server => Ok(()),
        (ConfigKind::SET, false) if is_client && sa.access.permits_peer() => Ok(()),
        _ => Err(unexpected),
    }
}
