//! Bounds on the state and the computations that peers can cause before they are authenticated.

use core::cmp::Reverse;
use core::net::IpAddr;

use ipsec_packet::Instant;

use super::counters::Counter;
use super::event::{Gone, IsakmpSaId, SlotId};
use super::exchange::{Output, State};
use super::features::FRAGMENTS;
use super::ipsec_sa::IpsecSlot;
use super::isakmp_sa::IsakmpSa;
use super::stage::Stage;
use super::{Negotiator, PeerId, Refusal, Role, Table};

/// Token bucket: permits a number of events per second, all of which may occur at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    tokens: u16,
    filled: Instant,
}

impl Bucket {
    pub const fn full(rate: u16) -> Self {
        Self { tokens: rate, filled: Instant::ZERO }
    }

    /// Takes a token and returns whether there was one.
    pub fn take(&mut self, now: Instant, rate: u16) -> bool {
        self.fill(now, rate);
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// Returns whether there is a token.
    pub fn has_token(&mut self, now: Instant, rate: u16) -> bool {
        self.fill(now, rate);
        self.tokens > 0
    }

    fn fill(&mut self, now: Instant, rate: u16) {
        let elapsed = now.saturating_duration_since(self.filled);
        let millis = elapsed.as_secs().saturating_mul(1000).saturating_add(elapsed.subsec_millis().into());
        let new = millis.saturating_mul(rate.into()).wrapping_div(1000);
        if new > 0 {
            let tokens = u64::from(self.tokens).saturating_add(new).min(rate.into());
            self.tokens = u16::try_from(tokens).unwrap_or(rate);
            self.filled = now;
        }
    }
}

/// Largest number of messages in a second that have the cookies of an ISAKMP SA and are not authentic. Further messages
/// are dropped without a computation.
const BAD_MESSAGES_PER_SECOND: u16 = 50;

/// Bound on the computations that messages with the cookies of an ISAKMP SA cause without being authentic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BadMessages(Bucket);

impl BadMessages {
    pub const NONE: Self = Self(Bucket::full(BAD_MESSAGES_PER_SECOND));

    /// Permits the decryption of a message.
    pub fn permit(&mut self, now: Instant) -> Result<(), Refusal> {
        if self.0.has_token(now, BAD_MESSAGES_PER_SECOND) { Ok(()) } else { Err(Refusal::TooManyBadMessages) }
    }

    /// Counts a message that was decrypted and is refused for this reason, if it is not authentic.
    pub fn count(&mut self, now: Instant, reason: Refusal) {
        if reason.is_unauthentic() {
            self.0.take(now, BAD_MESSAGES_PER_SECOND);
        }
    }
}

impl State {
    /// Returns whether the initiator of a half-open exchange has not returned the cookie of this host: its address may
    /// be forged. A step that waits for the host is one of a message with the cookie.
    pub fn is_unproven(&self) -> bool {
        match self.stage {
            Stage::AggressiveBegins | Stage::AggressiveAwaitsProof => true,
            Stage::MainAwaitsKeyI | Stage::BaseAwaitsKeyI => self.suspended.is_none(),
            _ => false,
        }
    }

    /// Returns whether the peer of this exchange has begun it and is not authenticated.
    const fn is_half_open(&self) -> bool {
        matches!(self.role, Role::Responder) && self.stage.awaits_initiator()
    }
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Returns the index of an exchange for a first message from this address. A source that has as many as it may
    /// loses the oldest one; when all are in use, the busiest source does so for one that has fewer.
    ///
    /// Exchanges whose initiator has not returned the cookie of this host are evicted, as their addresses, and that of
    /// the first message, may be forged. The others are evicted only if more than a quarter of the exchanges is of
    /// such others from one network, for a first message from another one. Tables of less than four exchanges are for
    /// one peer.
    pub(super) fn half_open_slot(&mut self, remote: IpAddr) -> Result<usize, Refusal> {
        let own = self.half_open_of(remote);
        let unproven = || self.half_open().filter(|(_, state)| state.is_unproven());
        if own >= self.settings.half_open_per_source.into() {
            let of_source = unproven().filter(|(_, state)| source(state.path.remote.ip()) == source(remote));
            let oldest = of_source.map(|(index, state)| (state.started, index)).min();
            return oldest.map(|(_, index)| self.shed(index)).ok_or(Refusal::TooManyHalfOpen);
        }
        if let Some(index) = self.idle_slot() {
            return Ok(index);
        }
        let busiest = unproven().map(|(index, state)| {
            let count = self.half_open_of(state.path.remote.ip());
            (count, Reverse(state.started), index)
        });
        if let Some((_, _, index)) = busiest.max().filter(|(count, ..)| *count > own) {
            return Ok(self.shed(index));
        }
        if EXCHANGES < 4 {
            return Err(Refusal::Full(Table::Exchanges));
        }
        let proven = self.half_open().filter(|(_, state)| !state.is_unproven());
        let busiest = proven.map(|(index, state)| {
            let count = self.proven_in_network_of(state.path.remote.ip());
            (count, Reverse(state.started), index)
        });
        let least = EXCHANGES.wrapping_div(4).max(self.proven_in_network_of(remote)).max(1);
        let index = busiest.max().filter(|(count, ..)| *count > least).map(|(.., index)| index);
        index.map(|index| self.shed(index)).ok_or(Refusal::Full(Table::Exchanges))
    }

    /// Returns the index of an exchange for a negotiation of this host, or of an authenticated peer. Half-open
    /// exchanges are evicted for it, first those whose initiator has not returned the cookie of this host.
    pub(super) fn free_exchange(&mut self) -> Result<usize, Refusal> {
        if let Some(index) = self.idle_slot() {
            return Ok(index);
        }
        let rank = |state: &State| (!state.is_unproven(), state.started);
        let first = self.half_open().map(|(index, state)| (rank(state), index)).min();
        first.map(|(_, index)| self.shed(index)).ok_or(Refusal::Full(Table::Exchanges))
    }

    /// Refuses a first message of quick mode for which [`free_exchange`](Self::free_exchange) will find no exchange,
    /// before a policy is generated for it. Hosts with small tables generate none.
    pub(super) fn check_free_exchange(&self) -> Result<(), Refusal> {
        let is_free = EXCHANGES < 4 || self.idle_slot().is_some() || self.half_open().next().is_some();
        if is_free { Ok(()) } else { Err(Refusal::Full(Table::Exchanges)) }
    }

    /// Refuses a first message of quick mode if its peer uses half of the exchanges, or negotiates three
    /// quarters of the pairs. Small tables are for one peer: those of less than four exchanges, or eight pairs.
    pub(super) fn check_share(&self, sa: SlotId) -> Result<(), Refusal> {
        let sa = self.isakmp_sa(sa)?;
        let is_of_peer = |pair: &IpsecSlot| (pair.peer, pair.identity) == (sa.peer, Some(sa.identity));
        let is_held = |pair: &&IpsecSlot| is_of_peer(pair) && pair.role == Role::Responder && !pair.is_finished();
        let pairs = self.pairs.values().filter(is_held).count();
        if IPSEC_SAS >= 8 && pairs >= IPSEC_SAS.saturating_sub(IPSEC_SAS.wrapping_div(4)) {
            return Err(Refusal::Full(Table::IpsecSas));
        }
        let is_open = |state: &State| {
            let pair = state.ipsec.and_then(|id| self.pair(id));
            state.stage == Stage::QuickAwaitsHash3 && pair.is_some_and(is_of_peer)
        };
        let open = self.exchanges.values().filter(|exchange| is_open(&exchange.state)).count();
        let is_held = EXCHANGES >= 4 && open >= EXCHANGES.wrapping_div(2);
        if is_held { Err(Refusal::Full(Table::Exchanges)) } else { Ok(()) }
    }

    /// Permits the key exchange of a responder.
    pub(super) fn take_key_exchange(&mut self, now: Instant) -> Result<(), Refusal> {
        let rate = self.settings.key_exchanges_per_second;
        if self.key_exchanges.take(now, rate) { Ok(()) } else { Err(Refusal::TooManyKeyExchanges) }
    }

    /// Permits the key exchange of a responder of aggressive mode, whose initiator may have forged its address.
    pub(super) fn take_unproven_key_exchange(&mut self, now: Instant) -> Result<(), Refusal> {
        let rate = self.settings.unproven_key_exchanges_per_second;
        if self.unproven_key_exchanges.take(now, rate) { Ok(()) } else { Err(Refusal::TooManyKeyExchanges) }
    }

    /// Permits the verification of a signature of an initiator, and of its certificates.
    pub(super) fn take_verification(&mut self, now: Instant) -> Result<(), Refusal> {
        let rate = self.settings.verifications_per_second;
        if self.verifications.take(now, rate) { Ok(()) } else { Err(Refusal::TooManyVerifications) }
    }

    /// Returns the ISAKMP SA that is removed for one of a client at this address whose user is still to be
    /// authenticated: every holder of the key of a group can establish such SAs. A source that has as many as it may
    /// loses the oldest one; when half of the table is used for them, the busiest source does so for one that has
    /// fewer.
    pub(super) fn login_place(&self, remote: IpAddr) -> Result<Option<(usize, IsakmpSaId)>, Refusal> {
        let owing = || self.isakmp.iter().filter(|(_, sa)| sa.owes_login());
        let count = |address: IpAddr| owing().filter(|(_, sa)| source(sa.path.remote.ip()) == source(address)).count();
        let own = count(remote);
        let oldest = if own >= self.settings.logins_per_source.into() {
            let of_source = owing().filter(|(_, sa)| source(sa.path.remote.ip()) == source(remote));
            of_source.min_by_key(|(_, sa)| sa.established)
        } else if owing().count() >= SAS.wrapping_div(2).max(1) {
            let busiest = owing().max_by_key(|(_, sa)| (count(sa.path.remote.ip()), Reverse(sa.established)));
            busiest.filter(|(_, sa)| count(sa.path.remote.ip()) > own)
        } else {
            return Ok(None);
        };
        // One SA that was evicted is reported at a time.
        let oldest = oldest.filter(|_| self.superseded.is_none()).ok_or(Refusal::TooManyLogins)?;
        Ok(Some((oldest.0, IsakmpSaId(oldest.1.id))))
    }

    /// Ends the oldest ISAKMP SA of a user who has more than a quarter of them: the others are for other users.
    pub(super) fn limit_sas_of_user(&mut self, peer: PeerId, identity: u64) {
        let is_of = |sa: &&mut IsakmpSa| (sa.peer, sa.identity) == (peer, identity) && sa.is_usable();
        let count = self.isakmp.values_mut().filter(is_of).count();
        if count > SAS.wrapping_div(4).max(2)
            && let Some(oldest) = self.isakmp.values_mut().filter(is_of).min_by_key(|sa| sa.established)
        {
            oldest.end(Gone::Superseded);
        }
    }

    /// Returns the index of a free slot, or of the oldest complete exchange, which only answers duplicates.
    pub(super) fn idle_slot(&self) -> Option<usize> {
        self.exchanges.free().or_else(|| self.oldest(is_complete)).or_else(|| self.oldest(is_reassembly))
    }

    /// Returns the index of an exchange for the fragments of a first message from this address: one that no other
    /// exchange needs. A source that has as many as it may loses the oldest one, as all do together.
    pub(super) fn reassembly_slot(&self, remote: IpAddr) -> Result<usize, Refusal> {
        let (all, of_one) = (EXCHANGES.wrapping_div(4).max(1), EXCHANGES.wrapping_div(8).max(1));
        let is_of_source = |state: &State| is_reassembly(state) && source(state.path.remote.ip()) == source(remote);
        let count =
            |is_it: &dyn Fn(&State) -> bool| self.exchanges.values().filter(|exchange| is_it(&exchange.state)).count();
        let found = if count(&is_of_source) >= of_one {
            self.oldest(is_of_source)
        } else if count(&is_reassembly) >= all {
            self.oldest(is_reassembly)
        } else {
            self.idle_slot()
        };
        found.ok_or(Refusal::Full(Table::Exchanges))
    }

    /// Returns the index of the oldest exchange for which this holds.
    fn oldest(&self, is_it: impl Fn(&State) -> bool) -> Option<usize> {
        let found = self.exchanges.iter().filter(|(_, exchange)| is_it(&exchange.state));
        found.min_by_key(|(_, exchange)| exchange.state.started).map(|(index, _)| index)
    }

    fn half_open(&self) -> impl Iterator<Item = (usize, &State)> {
        let states = self.exchanges.iter().map(|(index, exchange)| (index, &exchange.state));
        states.filter(|(_, state)| state.is_half_open())
    }

    /// Returns the number of half-open exchanges from the source of an address.
    fn half_open_of(&self, remote: IpAddr) -> usize {
        self.half_open().filter(|(_, state)| source(state.path.remote.ip()) == source(remote)).count()
    }

    /// Returns the number of half-open exchanges from the network of an address whose initiators have returned the
    /// cookie of this host.
    fn proven_in_network_of(&self, remote: IpAddr) -> usize {
        let is_of = |state: &State| !state.is_unproven() && network(state.path.remote.ip()) == network(remote);
        self.half_open().filter(|(_, state)| is_of(state)).count()
    }

    fn shed(&mut self, index: usize) -> usize {
        self.exchanges.clear(index);
        self.counters.count(Counter::Shed);
        index
    }
}

/// Returns whether an exchange only answers duplicates.
fn is_complete(state: &State) -> bool {
    state.stage == Stage::Answers && state.output == Output::Idle && state.spans.attributes.is_empty()
}

/// Returns whether an exchange stores the fragments of a first message.
fn is_reassembly(state: &State) -> bool {
    FRAGMENTS && state.stage == Stage::Reassembles
}

/// Returns the identifier of the source of an address: an IPv4 address, or the network prefix of 64 bits of an IPv6
/// address, of which a host may use any.
fn source(address: IpAddr) -> (bool, u64) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (true, v4.to_bits().into()),
        IpAddr::V6(v6) => (false, u64::try_from(v6.to_bits() >> 64).unwrap_or(0)),
    }
}

/// Returns the identifier of the network of an address that one attacker may have: 24 bits of an IPv4 address, 48 of an
/// IPv6 address.
fn network(address: IpAddr) -> (bool, u64) {
    match source(address) {
        (true, v4) => (true, v4 >> 8),
        (false, v6) => (false, v6 >> 16),
    }
}
