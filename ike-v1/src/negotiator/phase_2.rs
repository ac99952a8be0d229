//! Received messages of quick mode.

use ike_codec::{ExchangeKind, Flags};

use super::event::{Failure, Gone, IsakmpSaId, Phase, SlotId};
use super::exchange::{Exchange, Output, State};
use super::features::{NAT_TRAVERSAL, XAUTH};
use super::inbound::{Authentic, Opened, Received, authenticate_first, decrypt_first};
use super::ipsec_sa::{IpsecSlot, Negotiation};
use super::message::after_hash;
use super::retry::Retry;
use super::stage::{Row, Stage};
use super::suspend::{Start, Taken, begin_step, end_step};
use super::{Host, Negotiator, PolicyRequest, Refusal, Refused, Role, Table, natt, quick, selectors};
use crate::NextIv;

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

    /// Processes a message of quick mode after the first one.
    pub(super) fn continue_quick(
        &mut self,
        index: usize,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let Some((id, next)) = self.decrypt_next(index, received, message)? else {
            return self.answer_again(index);
        };
        self.take_quick(index, received, (message, next), host)?;
        // The hash of the message covers the nonce of this host.
        self.note_life_in(id, received.now);
        Ok(())
    }

    /// Processes a decrypted message of quick mode after the first one (steps 9 to 12).
    pub(super) fn take_quick(
        &mut self,
        index: usize,
        received: &Received,
        (message, next): (&[u8], NextIv),
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let settings = self.settings;
        let mut jitter = [0; 1];
        host.random(&mut jitter);
        let [jitter] = jitter;
        let (mut step, start) = self.quick_step(index, host)?;
        let stage = step.state.stage;
        let row = Row::find(Some(stage), received.header.exchange, true).ok_or(Refusal::Internal)?;
        let form = row.hash.ok_or(Refusal::Internal)?;
        let (opened, chain) = Opened::parse(message, row, next)?;
        let expected = quick::peer_hash(step.sa, step.state, step.scratch.stored(), form, after_hash(&chain))?;
        let authentic = opened.authenticate(&expected)?;
        if step.state.path != received.path || step.sa.path != received.path {
            let id = step.state.isakmp.ok_or(Refusal::Internal)?;
            end_step(step.state, &mut step.scratch, start, None, Ok(()))?;
            // The hash covers the nonce of this host, so that the message is not one that was recorded.
            self.follow_message(id, received.path);
            self.exchange_mut(index)?.state.path = received.path;
            // The step is taken on the new path.
            return self.take_quick(index, received, (message, next), host);
        }
        match stage {
            Stage::QuickAwaitsHash3 => return self.confirm_pair(index, received.now),
            Stage::QuickAwaitsConnected => return self.connect(index, received.now),
            _ => {}
        }
        let has_commit = received.header.flags.contains(Flags::COMMIT);
        let taken = quick::take_answer(&mut step, &authentic, (jitter, has_commit));
        let message = Taken { message, next: Some(next), digest: received.digest };
        match end_step(step.state, &mut step.scratch, start, Some(message), taken)? {
            Some(()) => {
                step.state.take(received.digest);
                step.state.output = Output::Held;
                step.state.retry.restart(&settings);
            }
            None => self.note_suspended(),
        }
        self.touch();
        Ok(())
    }

    /// Returns a step of the quick mode in a slot.
    pub(super) fn quick_step<'a>(
        &'a mut self,
        index: usize,
        host: &'a mut dyn Host,
    ) -> Result<(quick::Step<'a>, Start), Refusal> {
        let state = &self.exchange(index)?.state;
        let (id, pair) = (state.isakmp.ok_or(Refusal::Internal)?, state.ipsec.ok_or(Refusal::Internal)?);
        let sa = self.isakmp.get(usize::from(id.index)).filter(|sa| sa.id == id).ok_or(Refusal::UnknownSa)?;
        let pair = self.pairs.get_mut(usize::from(pair.index)).filter(|own| own.id == pair);
        let pair = pair.ok_or(Refusal::Internal)?;
        let exchange = self.exchanges.get_mut(index).ok_or(Refusal::Internal)?;
        let (state, mut scratch) = exchange.parts();
        let start = begin_step(state, &mut scratch);
        Ok((quick::Step { state, scratch, sa, pair, host }, start))
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
        // The peer repeats the message, and may be authenticated then.
        if !sa.access.permits_peer() {
            return Err(Refusal::XauthOwed);
        }
        if XAUTH && sa.owes_address() {
            return Err(Refusal::NoAddress);
        }
        let next = decrypt_first(sa, &received.header, message)?;
        let authentic = authenticate_first(&sa.keys, &received.header, message, next)?;
        let answered = self.answer_authentic_quick(sa_id, received, &authentic, (message, next), host);
        self.note_message_id(sa_id, message_id, answered);
        self.report_unanswered(sa_id, received, &authentic, answered, host)
    }

    /// Records the message ID of a first message when its step has ended. Without a free slot or an SPI the
    /// initiator may repeat the message.
    fn note_message_id(&mut self, sa_id: SlotId, message_id: u32, answered: Result<(), Refusal>) {
        let is_suspended = self.exchanges.values().any(|Exchange { state, .. }| {
            (state.isakmp, state.message_id) == (Some(sa_id), message_id) && state.suspended.is_some()
        });
        if !is_suspended
            && !matches!(answered, Err(Refusal::Full(_) | Refusal::NoSpi))
            && let Ok(sa) = self.isakmp_sa_mut(sa_id)
        {
            sa.theirs_quick.add(message_id);
        }
    }

    /// Reports the refusal of a first message, to the caller and to the peer.
    fn report_unanswered(
        &mut self,
        sa_id: SlotId,
        received: &Received,
        message: &Authentic<'_>,
        answered: Result<(), Refusal>,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        if let Err(reason) = answered {
            let peer = Some(self.isakmp_sa(sa_id)?.peer);
            let (path, role, phase) = (received.path, Role::Responder, Phase::Two);
            self.fail(Failure { peer, path, sa: None, phase, role, reason, hint: None });
            self.refuse_quick(sa_id, &message.census, reason, host);
        }
        answered
    }

    pub(super) fn answer_authentic_quick(
        &mut self,
        sa_id: SlotId,
        received: &Received,
        message: &Authentic<'_>,
        plaintext: (&[u8], NextIv),
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        self.check_share(sa_id)?;
        self.check_free_exchange()?;
        let pair_index = self.free_pair()?;
        let mut jitter = [0; 1];
        host.random(&mut jitter);
        let [jitter] = jitter;
        let retry = Retry::new(&self.settings, jitter);
        let pair_id = self.slot_id(pair_index)?;
        let sa = self.isakmp_sa(sa_id)?;
        let (kind, stage, role) = (ExchangeKind::QUICK, Stage::QuickAwaitsHash3, Role::Responder);
        let mut state = State::new(kind, stage, role, sa.peer, received.path, received.now, retry);
        state.cookies = sa.cookies;
        state.fragment_data = sa.fragment_data;
        state.message_id = received.header.message_id;
        (state.isakmp, state.ipsec) = (Some(sa_id), Some(pair_id));
        let mut pair = IpsecSlot::new(pair_id, sa.peer, 0, role, received.path);
        pair.stage = Negotiation::InProgress;
        pair.identity = Some(sa.identity);
        pair.nat = sa.nat;
        pair.began = received.now;
        let ids = message.census.clients().map(|ids| ids.map(|(id, _)| id));
        let through = natt::transport_through(&message.census, &sa.nat);
        let selector = selectors::selector(ids, Role::Responder, &received.path, through)?;
        let (offer, _) = message.census.sa()?;
        let (id, path, identity) = (IsakmpSaId(sa_id), received.path, sa.identity);
        let request = PolicyRequest { sa: id, path, identity, selector, offer };
        pair.policy = self.policy_for(sa_id, &request, host)?;
        pair.selector = Some(selector);
        if self.has_too_many_siblings(received.now, &pair) {
            return Err(Refusal::TooManySas);
        }
        // The transform that is chosen later has the mode of the policy, whatever the first one has.
        let is_transport = || host.policy(pair.policy).is_some_and(|policy| !policy.is_tunnel());
        if NAT_TRAVERSAL && is_transport() && self.is_of_neighbour(&pair) {
            return Err(Refusal::SelectorTaken);
        }
        // A message that is refused evicts no exchange.
        let index = self.free_exchange()?;
        self.set_pair(pair_index, pair)?;
        self.exchanges.put(index, Exchange::new(state)).ok_or(Refusal::Full(Table::Exchanges))?;
        self.take_answer_step(index, received, message, plaintext, host)
    }

    /// Returns the number of the policy for selectors that a peer proposes.
    fn policy_for(&self, sa_id: SlotId, request: &PolicyRequest<'_>, host: &mut dyn Host) -> Result<u32, Refusal> {
        let (peer, selector) = (self.isakmp_sa(sa_id)?.peer, request.selector);
        let found = self.check_lease(sa_id, &selector);
        let found = found.and_then(|()| host.find_policy(peer, request).map_err(Refusal::from));
        match found {
            Err(Refusal::NotLeased) => host.refused(peer, &Refused::NotLeased(selector)),
            Err(Refusal::NoPolicy) => host.refused(peer, &Refused::Selectors(selector)),
            _ => {}
        }
        found
    }

    /// Answers a first message of quick mode again, which had to wait for the host.
    pub(super) fn answer_quick_again(
        &mut self,
        index: usize,
        received: &Received,
        (message, next): (&[u8], NextIv),
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let sa_id = self.exchange(index)?.state.isakmp.ok_or(Refusal::Internal)?;
        let authentic = authenticate_first(&self.isakmp_sa(sa_id)?.keys, &received.header, message, next)?;
        let answered = self.take_answer_step(index, received, &authentic, (message, next), host);
        self.note_message_id(sa_id, received.header.message_id, answered);
        self.report_unanswered(sa_id, received, &authentic, answered, host)
    }

    /// Performs the step that answers a first message. If it is refused, the exchange and its pair end.
    fn take_answer_step(
        &mut self,
        index: usize,
        received: &Received,
        authentic: &Authentic<'_>,
        (message, next): (&[u8], NextIv),
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let mut life = [0; 1];
        host.random(&mut life);
        let [life] = life;
        let (mut step, start) = self.quick_step(index, host)?;
        let answered = quick::answer(&mut step, authentic, life);
        let message = Taken { message, next: Some(next), digest: received.digest };
        let ended = end_step(step.state, &mut step.scratch, start, Some(message), answered);
        match ended {
            Ok(Some(())) => {
                step.state.take(received.digest);
                step.state.output = Output::Held;
            }
            Ok(None) => self.note_suspended(),
            Err(_) => {
                step.pair.end(Gone::Failed);
                self.exchanges.clear(index);
                self.has_wanted = true;
            }
        }
        self.touch();
        ended.map(drop)
    }
}
