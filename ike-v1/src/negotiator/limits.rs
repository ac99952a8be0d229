//! Bounds on the state and the computations that peers can cause before they are authenticated.

use core::net::IpAddr;

use ipsec_packet::Instant;

use super::counters::Counter;
use super::event::SlotId;
use super::exchange::{Output, State};
use super::ipsec_sa::IpsecSlot;
use super::stage::Stage;
use super::{Negotiator, Refusal, Role, Table};

/// Token bucket: a number of events in each second, of which all may come at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    tokens: u16,
    filled: Instant,
}

impl Bucket {
    pub const fn full(rate: u16) -> Self {
        Self { tokens: rate, filled: Instant::ZERO }
    }

    /// Takes a token, if there is one.
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
    /// Only exchanges whose initiator has not returned the cookie of this host make room, as their addresses, and that
    /// of the first message, may be forged.
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
            (count, core::cmp::Reverse(state.started), index)
        });
        match busiest.max() {
            Some((count, _, index)) if count > own => Ok(self.shed(index)),
            _ => Err(Refusal::Full(Table::Exchanges)),
        }
    }

    /// Returns the index of an exchange for a negotiation of this host, or of an authenticated peer. Half-open
    /// exchanges give way to it, first those whose initiator has not returned the cookie of this host.
    pub(super) fn free_exchange(&mut self) -> Result<usize, Refusal> {
        if let Some(index) = self.idle_slot() {
            return Ok(index);
        }
        let rank = |state: &State| (!state.is_unproven(), state.started);
        let first = self.half_open().map(|(index, state)| (rank(state), index)).min();
        first.map(|(_, index)| self.shed(index)).ok_or(Refusal::Full(Table::Exchanges))
    }

    /// Refuses a first message of quick mode if its peer has begun half of the exchanges, or the negotiations of three
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

    /// Returns the index of a free slot, or of the oldest complete exchange, which only answers duplicates.
    pub(super) fn idle_slot(&self) -> Option<usize> {
        let is_complete = |state: &State| {
            state.stage == Stage::Answers && state.output == Output::Idle && state.spans.attributes.is_empty()
        };
        let complete = || self.exchanges.iter().filter(|(_, exchange)| is_complete(&exchange.state));
        let oldest = || complete().min_by_key(|(_, exchange)| exchange.state.started);
        self.exchanges.free().or_else(|| oldest().map(|(index, _)| index))
    }

    fn half_open(&self) -> impl Iterator<Item = (usize, &State)> {
        let states = self.exchanges.iter().map(|(index, exchange)| (index, &exchange.state));
        states.filter(|(_, state)| state.is_half_open())
    }

    /// Returns the number of half-open exchanges from the source of an address.
    fn half_open_of(&self, remote: IpAddr) -> usize {
        self.half_open().filter(|(_, state)| source(state.path.remote.ip()) == source(remote)).count()
    }

    fn shed(&mut self, index: usize) -> usize {
        self.exchanges.clear(index);
        self.counters.count(Counter::Shed);
        index
    }
}

/// Returns what identifies the source of an address: an IPv4 address, or the network prefix of 64 bits of an IPv6
/// address, of which a host may use any.
fn source(address: IpAddr) -> (bool, u64) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (true, v4.to_bits().into()),
        IpAddr::V6(v6) => (false, u64::try_from(v6.to_bits() >> 64).unwrap_or(0)),
    }
}
