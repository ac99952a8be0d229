//! Received messages of quick mode.

use ike_codec::{ExchangeKind, Flags};

use super::event::{Failure, Phase, SlotId};
use super::exchange::{Exchange, Output, State};
use super::inbound::{Authentic, Opened, Received, open_first};
use super::ipsec_sa::IpsecSlot;
use super::message::after_hash;
use super::retry::Retry;
use super::stage::{Row, Stage};
use super::{Host, Negotiator, Refusal, Role, quick, selectors};

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    pub(super) fn receive_quick(
        &mut self,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let sa = self.sa_of(received, host)?;
        self.isakmp_sa_mut(sa)?.bad.permit(received.now)?;
        let message_id = received.header.message_id;
        let found = self
            .exchanges
            .position(|exchange| exchange.state.isakmp == Some(sa) && exchange.state.message_id == message_id);
        let result = match found {
            Some(index) => self.continue_quick(index, received, message, host),
            None => self.answer_quick(sa, received, message, host),
        };
        self.count_bad(sa, received.now, result);
        if let (Some(index), Err(refusal)) = (found, result) {
            self.note_refusal(index, refusal);
        }
        result
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
        let sa = self.isakmp.get(usize::from(sa.index)).ok_or(Refusal::Internal)?;
        let pair = self.pairs.get_mut(usize::from(pair.index)).ok_or(Refusal::Internal)?;
        let exchange = self.exchanges.get_mut(index).ok_or(Refusal::Internal)?;
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
    pub(super) fn answer_quick(
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
        let authentic = open_first(sa, &received.header, message)?;
        let answered = self.answer_authentic_quick(sa_id, received, &authentic, host);
        // Without a free place the initiator may repeat the message.
        if !matches!(answered, Err(Refusal::Full(_) | Refusal::NoSpi)) {
            self.isakmp_sa_mut(sa_id)?.theirs_quick.add(message_id);
        }
        if let Err(reason) = answered {
            let peer = Some(self.isakmp_sa(sa_id)?.peer);
            let (path, role, phase) = (received.path, Role::Responder, Phase::Two);
            self.fail(Failure { peer, path, sa: None, phase, role, reason, hint: None });
            self.refuse_quick(sa_id, &authentic.census, reason, host);
        }
        answered
    }

    pub(super) fn answer_authentic_quick(
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
        let mut pair = IpsecSlot::new(pair_id, sa.peer, 0, role, received.path);
        pair.identity = Some(sa.identity);
        pair.began = received.now;
        let ids = message.census.clients().map(|ids| ids.map(|(id, _)| id));
        let selector = selectors::selector(ids, Role::Responder, &received.path)?;
        pair.policy = host.find_policy(sa.peer, &selector).ok_or(Refusal::NoPolicy)?.number;
        pair.selector = Some(selector);
        if self.has_too_many_siblings(received.now, &pair) {
            return Err(Refusal::TooManySas);
        }
        let (state, scratch) = exchange.parts();
        quick::answer(&mut quick::Step { state, scratch, sa, pair: &mut pair, host }, message, life)?;
        exchange.state.take(received.digest);
        exchange.state.output = Output::Held;
        self.set_pair(pair_index, pair)?;
        self.set_exchange(index, exchange)
    }
}
