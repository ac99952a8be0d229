//! Retransmission, and the ends of exchanges and lifetimes.

use ipsec_packet::Instant;

use super::counters::Counter;
use super::event::Gone;
use super::exchange::{Exchange, Output, State};
use super::ipsec_sa::{IpsecSlot, Negotiation};
use super::isakmp_sa::IsakmpSa;
use super::stage::Stage;
use super::xauth::{Access, XauthRole, xauth_role};
use super::{Host, Negotiator, Refusal, fragments};

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Retransmits messages, and ends exchanges and SAs whose lifetime has ended. It is called at the time that
    /// [`poll_timeout`](Self::poll_timeout) returns, or later.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut dyn Host) {
        for index in 0..self.exchanges.len() {
            self.handle_exchange_timeout(now, index, host);
        }
        self.renew(now, host);
        self.detect_dead_peers(now, host);
        self.change_over(now, host);
        for sa in self.isakmp.values_mut().filter(|sa| sa.is_usable() && sa.expires <= now) {
            // No delete payload is sent: some peers remove the IPsec SAs as well.
            sa.end(Gone::Expired);
            self.has_events = true;
        }
        for pair in self.pairs.values_mut() {
            if pair.expires.is_some_and(|end| end <= now) {
                pair.end(Gone::Expired);
                self.has_events = true;
            }
        }
        self.take_over_from_ended(now);
        self.has_output = true;
        self.end_orphans();
        self.has_wanted = true;
        self.start_wanted(now, host);
    }

    /// Renews ISAKMP SAs whose peer has IPsec SAs, unless there is a newer one or the configuration of the peer forbids
    /// it. The old SA exists until its lifetime ends; IPsec SAs use the newest.
    fn renew(&mut self, now: Instant, host: &mut dyn Host) {
        for index in 0..self.isakmp.len() {
            let Some(sa) = self.isakmp.get_mut(index) else { continue };
            if !sa.is_usable() || sa.renew > now {
                continue;
            }
            // One attempt; without success the next request begins phase 1.
            sa.renew = sa.expires;
            let peer = sa.peer;
            // The client authenticates its user in phase 1 of its own.
            if xauth_role(sa.choice.auth_method, sa.role) == Some(XauthRole::Server) {
                continue;
            }
            let is_used = self.pairs.values().any(|pair| pair.peer == peer && pair.gone.is_none());
            let path = host.peer(peer).filter(|peer| peer.renews).and_then(|peer| peer.path);
            let Some(path) = path.filter(|_| is_used && self.carrier(peer) == Some(index)) else { continue };
            if !self.is_phase_1_open(peer)
                && let Err(refusal) = self.begin_phase_1(now, peer, path, host)
            {
                self.counters.count(refusal.counter());
            }
        }
    }

    fn handle_exchange_timeout(&mut self, now: Instant, index: usize, host: &mut dyn Host) {
        let settings = self.settings;
        let Ok(exchange) = self.exchange_mut(index) else { return };
        let state = &mut exchange.state;
        let is_over = now >= Self::end_of(state, &settings);
        let is_silent = matches!(state.stage, Stage::Answers | Stage::Reassembles);
        if is_over && is_silent && state.output != Output::Held {
            self.exchanges.clear(index);
            return;
        }
        if state.connect_by.is_some_and(|end| end <= now) {
            // The exchange and its pair exist.
            let _ = self.connect(index, now);
            return;
        }
        let is_due = state.retry.due().is_some_and(|due| due <= now && state.suspended.is_none());
        if is_over && state.suspended.is_some() {
            self.end_exchange(index, Refusal::HostTimeout);
        } else if is_over || (is_due && !state.retry.may_send()) {
            let reason = state.refusal.unwrap_or(Refusal::NoAnswer { sends: state.retry.sends() });
            if let Some(pair) = state.ipsec.filter(|_| state.stage == Stage::QuickAwaitsHash3) {
                // The initiator may have sent message 3, and use its outbound SA.
                self.send_deletes(usize::from(pair.index), now, host);
            }
            self.end_exchange(index, reason);
        } else if is_due && state.output == Output::Idle {
            state.output = Output::Ready;
            state.retry.stop();
            self.counters.count(Counter::Retransmitted);
        }
    }

    /// Returns when the next call of [`handle_timeout`](Self::handle_timeout) is due, `None` if no timer runs.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut earliest = Earliest(None);
        for Exchange { state, .. } in self.exchanges.values() {
            earliest.note(Some(Self::end_of(state, &self.settings)));
            earliest.note(state.retry.due().filter(|_| state.suspended.is_none()));
            earliest.note(state.connect_by);
        }
        for sa in self.isakmp.values() {
            // The deletion of an ISAKMP SA waits for those that it protects.
            let is_carrier = || self.pairs.values().any(|pair| pair.peer == sa.peer && pair.is_deleting());
            earliest.note(sa.delete.filter(|_| !is_carrier()).map(|pending| pending.due));
            if sa.is_usable() {
                earliest.note(Some(sa.renew.min(sa.expires)));
                earliest.note(sa.liveness.due());
                earliest.note(Some(sa.access_until).filter(|_| sa.access != Access::Open));
            }
        }
        for pair in self.pairs.values() {
            earliest.note(pair.expires);
            earliest.note(pair.take_over_at.or(pair.wait_until));
            if let Some(retired) = pair.retired.filter(|_| pair.gone.is_none()) {
                earliest.note(retired.delete_at);
                earliest.note(retired.remove_at);
            }
            pair.members().for_each(|member| earliest.note(member.delete.map(|pending| pending.due)));
        }
        earliest.note(self.wanted_due());
        earliest.note(self.keep_alive_due());
        earliest.0
    }

    /// Returns the time for a request that waited for a free exchange, if there is one now.
    fn wanted_due(&self) -> Option<Instant> {
        let is_wanted =
            |pair: &IpsecSlot| pair.stage == Negotiation::Wanted && pair.gone.is_none() && pair.wait_until.is_none();
        let is_owed = |sa: &IsakmpSa| sa.is_usable() && sa.access.to_begin().is_some();
        let has_request = self.pairs.values().any(is_wanted) || self.isakmp.values().any(is_owed);
        let is_due = self.has_wanted && self.idle_slot().is_some() && has_request;
        is_due.then_some(Instant::ZERO)
    }

    /// Returns the end of an exchange: of a complete one, the time until which duplicates are answered.
    fn end_of(state: &State, settings: &super::Settings) -> Instant {
        let lifetime = match state.stage {
            Stage::Answers => settings.keep_answer,
            Stage::Reassembles => fragments::LIFETIME,
            _ => settings.exchange_lifetime,
        };
        state.started.saturating_add(lifetime)
    }
}

/// The earliest of the times that were noted.
struct Earliest(Option<Instant>);

impl Earliest {
    #[inline(never)] // each of its calls would be a comparison of two options
    fn note(&mut self, due: Option<Instant>) {
        if let Some(due) = due
            && self.0.is_none_or(|earliest| due < earliest)
        {
            self.0 = Some(due);
        }
    }
}
