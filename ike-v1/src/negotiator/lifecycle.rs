//! Beginning and end of exchanges, and of the SAs that they negotiate.

use ike_codec::{ExchangeKind, NotifyKind};
use ipsec_packet::Instant;

use super::counters::Counter;
use super::dpd::Liveness;
use super::event::{Failure, Gone, Phase, SlotId};
use super::exchange::{Exchange, Output, State};
use super::features::XAUTH;
use super::informational::new_message_id;
use super::ipsec_sa::{IpsecSlot, Negotiation};
use super::isakmp_sa::{IsakmpSa, MessageIds};
use super::lease::Lease;
use super::limits::BadMessages;
use super::retry::Retry;
use super::stage::Stage;
use super::suspend::end_step;
use super::xauth::{Access, XauthRole, xauth_role};
use super::{Host, Negotiator, PeerId, Refusal, Role, Table, identity, quick};

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Starts the negotiations that wait for an ISAKMP SA or for an exchange.
    pub(super) fn start_wanted(&mut self, now: Instant, host: &mut dyn Host) {
        if !core::mem::take(&mut self.has_wanted) {
            return;
        }
        self.start_transactions(now, host);
        for index in 0..self.pairs.len() {
            let Some(pair) = self.pairs.get(index) else { continue };
            if pair.stage != Negotiation::Wanted || pair.gone.is_some() {
                continue;
            }
            let (peer, path) = (pair.peer, pair.path);
            // Several clients may share the configuration of a peer without an address. The pair belongs to one of
            // them.
            let is_one_of_several = host.peer(peer).is_some_and(|peer| peer.path.is_none());
            let identity = pair.identity.filter(|_| is_one_of_several);
            if self.leave_to_peer(now, index, host) {
                continue;
            }
            let started = match self.carrier_of(peer, identity).filter(|&sa| self.is_usable(sa)) {
                Some(sa) if !self.is_open_for_quick(sa) => Ok(()),
                Some(sa) => self.begin_quick(now, index, sa, host),
                None if is_one_of_several => Err(Refusal::Passive),
                None if self.is_phase_1_open(peer) => Ok(()),
                None => self.begin_phase_1(now, peer, path, host),
            };
            match started {
                Ok(()) => {}
                Err(Refusal::Full(Table::Exchanges)) => self.has_wanted = true,
                Err(reason) => {
                    self.counters.count(reason.counter());
                    self.fail_pair(index, Phase::Two, reason, None);
                }
            }
        }
        self.release_spis(host);
    }

    /// Releases the SPIs of negotiations that failed.
    pub(super) fn release_spis(&mut self, host: &mut dyn Host) {
        for pair in self.pairs.values_mut() {
            let path = pair.path;
            for member in pair.members_mut().filter(|member| member.releases_spi) {
                member.releases_spi = false;
                host.release_spi(member.protocol, &path, member.inbound.spi.value());
            }
        }
    }

    pub(super) fn begin_quick(
        &mut self,
        now: Instant,
        pair: usize,
        sa: usize,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let index = self.free_exchange()?;
        let mut jitter = [0; 1];
        host.random(&mut jitter);
        let [jitter] = jitter;
        let retry = Retry::new(&self.settings, jitter);
        let sa = self.isakmp.get_mut(sa).ok_or(Refusal::Internal)?;
        let message_id = new_message_id(sa, host);
        let pair = self.pairs.get_mut(pair).ok_or(Refusal::Internal)?;
        let (kind, stage, role) = (ExchangeKind::QUICK, Stage::QuickAwaitsAnswer, Role::Initiator);
        let mut state = State::new(kind, stage, role, sa.peer, sa.path, now, retry);
        state.cookies = sa.cookies;
        state.fragment_data = sa.fragment_data;
        state.message_id = message_id;
        (state.isakmp, state.ipsec) = (Some(sa.id), Some(pair.id));
        pair.identity = Some(sa.identity);
        pair.began = now;
        (pair.stage, pair.wait_until) = (Negotiation::InProgress, None);
        self.exchanges.put(index, Exchange::new(state)).ok_or(Refusal::Full(Table::Exchanges))?;
        let begun = self.take_begin_step(index, host);
        if begun.is_err() {
            self.exchanges.clear(index);
        }
        begun
    }

    /// Repeats the first step of a quick mode, which had to wait for the host.
    pub(super) fn begin_quick_again(&mut self, index: usize, host: &mut dyn Host) -> Result<(), Refusal> {
        let pair = self.exchange(index)?.state.ipsec.ok_or(Refusal::Internal)?;
        let begun = self.take_begin_step(index, host);
        if let Err(reason) = begun {
            self.exchanges.clear(index);
            self.fail_pair(usize::from(pair.index), Phase::Two, reason, None);
        }
        begun
    }

    fn take_begin_step(&mut self, index: usize, host: &mut dyn Host) -> Result<(), Refusal> {
        let (mut step, start) = self.quick_step(index, host)?;
        let begun = quick::begin(&mut step);
        match end_step(step.state, &mut step.scratch, start, None, begun)? {
            Some(()) => step.state.output = Output::Ready,
            None => self.note_suspended(),
        }
        self.touch();
        Ok(())
    }

    /// Establishes the ISAKMP SA of an exchange whose peer is authenticated.
    pub(super) fn establish(
        &mut self,
        now: Instant,
        index: usize,
        sa_index: usize,
        (peer, identity): (PeerId, u64),
    ) -> Result<SlotId, Refusal> {
        let id = self.slot_id(sa_index)?;
        let state = &mut self.exchange_mut(index)?.state;
        let choice = state.choice.ok_or(Refusal::Internal)?;
        // The keys are copied: a value that is moved leaves its octets behind, and one that is dropped wipes them.
        let (keys, encryption_key) = state.secrets.as_ref().ok_or(Refusal::Internal)?.keys()?;
        state.secrets = None;
        let cookies = state.cookies;
        let role = state.role;
        // Until the user is known, the SA has an identity of its own: those of a group have the same one in phase 1.
        let own = identity::cookie_digest(&self.secret.0, &cookies);
        let is_group = xauth_role(choice.auth_method, role) == Some(XauthRole::Server);
        let identity = if is_group { identity ^ own } else { identity };
        let state = &mut self.exchange_mut(index)?.state;
        let sa = IsakmpSa {
            id,
            identity,
            had_initial_contact: false,
            cookies: state.cookies,
            path: state.path,
            peer,
            role,
            choice,
            quirks: state.quirks,
            nat: state.nat,
            fragment_data: state.fragment_data,
            keys,
            encryption_key,
            last_of_phase_1: state.chain.ok_or(Refusal::Internal)?,
            ours: MessageIds::NONE,
            theirs: MessageIds::NONE,
            theirs_quick: MessageIds::NONE,
            last_sent: now,
            bad: BadMessages::NONE,
            began: state.started,
            established: now,
            renew: now.saturating_add(IsakmpSa::renewal(&choice, role, state.retry.jitter())),
            expires: now.saturating_add(IsakmpSa::lifetime(&choice)),
            access: Access::New,
            access_until: now,
            lease: Lease::NONE,
            has_logged_in: false,
            liveness: Liveness::new(now),
            is_new: true,
            notify: None,
            delete: None,
            gone: None,
            is_reported: false,
        };
        state.isakmp = Some(id);
        state.peer = peer;
        state.started = now;
        self.isakmp.put(sa_index, sa).ok_or(Refusal::Internal)?;
        self.note_life(peer, identity, now);
        self.counters.count(Counter::Phase1Up);
        self.has_wanted = true;
        self.touch();
        Ok(id)
    }

    /// Completes a quick mode as responder: the peer has its inbound SA.
    pub(super) fn confirm_pair(&mut self, index: usize, now: Instant) -> Result<(), Refusal> {
        let pair = self.exchange(index)?.state.ipsec.ok_or(Refusal::Internal)?;
        self.exchanges.clear(index);
        self.complete_pair(pair, now, true);
        Ok(())
    }

    /// Completes a quick mode as initiator whose responder has set the commit flag.
    pub(super) fn connect(&mut self, index: usize, now: Instant) -> Result<(), Refusal> {
        let state = &mut self.exchange_mut(index)?.state;
        state.stage = Stage::Answers;
        state.connect_by = None;
        state.started = now;
        let pair = state.ipsec.ok_or(Refusal::Internal)?;
        self.complete_pair(pair, now, true);
        Ok(())
    }

    /// Returns whether an exchange is not complete. A quick mode is complete with its pair: before that, its last
    /// message waits for the caller, or to be sent.
    fn is_open(&self, index: usize) -> bool {
        let Ok(Exchange { state, .. }) = self.exchange(index) else { return false };
        let pair = state.ipsec.and_then(|id| self.pairs.get(usize::from(id.index)));
        let is_negotiating = |pair: &IpsecSlot| Some(pair.id) == state.ipsec && pair.stage == Negotiation::InProgress;
        let is_silent = matches!(state.stage, Stage::Answers | Stage::Reassembles);
        !is_silent || pair.is_some_and(|pair| pair.gone.is_none() && is_negotiating(pair))
    }

    /// Ends an exchange that did not succeed, and reports why.
    pub(super) fn end_exchange(&mut self, index: usize, reason: Refusal) {
        let is_open = self.is_open(index);
        let Some(Exchange { state, .. }) = self.exchanges.get(index) else { return };
        let State { role, path, peer, hint, is_reported, stage, isakmp, ipsec, .. } = *state;
        let phase = state.phase();
        self.exchanges.clear(index);
        self.has_wanted = true;
        self.touch();
        if !is_open {
            return;
        }
        self.counters.count(reason.counter());
        let failure = Failure { peer: Some(peer), path, sa: None, phase, role, reason, hint };
        match (phase, role) {
            (Phase::Transaction, _) if XAUTH => self.end_transaction(isakmp, stage),
            (Phase::Transaction, _) => {}
            (Phase::One, Role::Initiator) => {
                let mut is_wanted = false;
                for index in 0..self.pairs.len() {
                    let waits = self.pairs.get(index).is_some_and(|pair| {
                        pair.peer == peer && pair.stage == Negotiation::Wanted && pair.gone.is_none()
                    });
                    if waits {
                        is_wanted = true;
                        self.fail_pair(index, phase, reason, hint);
                    }
                }
                if !is_wanted {
                    self.fail(failure);
                }
            }
            (Phase::Two, Role::Initiator) => {
                if let Some(id) = ipsec {
                    self.fail_pair(usize::from(id.index), phase, reason, hint);
                }
                if stage == Stage::QuickAwaitsAnswer && matches!(reason, Refusal::NoAnswer { .. }) {
                    self.abandon(isakmp);
                }
            }
            (_, Role::Responder) => {
                if let Some(pair) = ipsec.and_then(|id| self.pair_mut(id)) {
                    pair.end(Gone::Failed);
                }
                // A first message that is not followed by another one may be a probe.
                let is_probe =
                    matches!(stage, Stage::MainAwaitsKeyI | Stage::BaseAwaitsKeyI | Stage::AggressiveAwaitsProof);
                if !is_reported && !is_probe {
                    self.fail(failure);
                }
            }
        }
    }

    /// Ends an ISAKMP SA in which a quick mode had no answer: the peer has probably lost it, as it does not answer in
    /// an unknown SA. The next request begins phase 1.
    fn abandon(&mut self, isakmp: Option<SlotId>) {
        if let Some(sa) = isakmp.and_then(|id| self.isakmp_sa_mut(id).ok()) {
            sa.end(Gone::NoAnswer);
        }
    }

    /// Ends the quick mode of a pair.
    pub(super) fn end_quick_of(&mut self, pair: SlotId, reason: Refusal) {
        if let Some(index) = self.exchanges.position(|exchange| exchange.state.ipsec == Some(pair)) {
            self.end_exchange(index, reason);
        }
    }

    /// Ends a pair whose negotiation failed.
    pub(super) fn fail_pair(&mut self, index: usize, phase: Phase, reason: Refusal, hint: Option<NotifyKind>) {
        let Some(pair) = self.pairs.get_mut(index) else { return };
        if pair.gone.is_none() {
            pair.end(Gone::Failed);
            pair.failed = Some((phase, reason, hint));
        }
        self.has_wanted = true;
        self.touch();
    }

    /// Ends the quick modes of ISAKMP SAs that no longer exist. A request of this host without a message sent waits for
    /// another one.
    pub(super) fn end_orphans(&mut self) {
        for index in 0..self.exchanges.len() {
            let Ok(Exchange { state, .. }) = self.exchange(index) else { continue };
            let (is_unsent, pair) = (state.role == Role::Initiator && state.chain.is_none(), state.ipsec);
            let Some(id) = state.isakmp.filter(|id| self.is_open(index) && self.isakmp_sa(*id).is_err()) else {
                continue;
            };
            if is_unsent && let Some(pair) = pair.and_then(|id| self.pair_mut(id)) {
                pair.stage = Negotiation::Wanted;
                self.exchanges.clear(index);
                self.has_wanted = true;
                continue;
            }
            let sa = self.isakmp.get(usize::from(id.index)).filter(|sa| sa.id == id);
            let reason = match sa.map(|sa| sa.gone) {
                Some(Some(Gone::Expired)) => Refusal::Expired,
                Some(Some(Gone::NoAnswer)) => Refusal::NoAnswer { sends: 0 },
                Some(Some(Gone::PeerDead)) => Refusal::PeerDead,
                Some(Some(Gone::Operator)) | None => Refusal::Deleted,
                Some(_) => Refusal::DeletedByPeer,
            };
            self.end_exchange(index, reason);
        }
    }

    /// Keeps a failure until it is fetched as an event.
    pub(super) fn fail(&mut self, failure: Failure) {
        match self.failures.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(failure),
            None => self.counters.count(Counter::FailuresLost),
        }
        self.touch();
    }
}
