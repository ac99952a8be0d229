//! Change from an old pair of SAs to a new one, and pairs whose negotiations have crossed.
//!
//! Both inbound SAs exist during the change. This host uses the old outbound SA until the peer has shown that it has
//! the new one: then the new pair is used, and the old one is retired. Of two pairs whose negotiations have crossed,
//! the one with the lowest of the four nonces is redundant at both ends (the rule of RFC 7296 section 2.8.1; RFC 2409
//! has none). A peer may decide otherwise: a pair with which it sends is not deleted.
//!
//! ```text
//! complete --> in use: at once, or when the peer has shown the pair, or after two seconds, or when the older pair ends
//!          `-> redundant: another pair that has crossed is in use; in use again if that one ends
//! in use   --> renewed: a newer pair is in use         } without an outbound SA; the initiator of the newer pair, or
//!          `-> redundant: a pair that has crossed is } of the redundant one, deletes it, if its lifetime lasts
//!          `-> deleted by the peer: packets in transit are received for five seconds
//! ```

use core::time::Duration;

use ipsec_packet::{Instant, Selector};

use super::counters::Counter;
use super::event::{Gone, IpsecSaId, SlotId};
use super::ipsec_sa::{IpsecSlot, Negotiation};
use super::{Host, Negotiator, PeerId, Refusal, Role, Settings};

/// Longest time for which the initiator of a pair uses an older one, without a packet or CONNECTED from the peer.
pub(super) const CHANGEOVER: Duration = Duration::from_secs(2);
/// Time after which the initiator of a redundant pair deletes it, if the peer has not used it in this time.
const REDUNDANT: Duration = Duration::from_secs(60);
/// Time for which packets of a deleted inbound SA are still accepted, as they may be in transit.
pub(super) const IN_TRANSIT: Duration = Duration::from_secs(5);
/// Time after a negotiation of the peer in which this host does not begin one for the same selectors.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// Longest time between the end of a negotiation and the beginning of one of the peer with which it counts as crossed,
/// and that for SAs with a lifetime in octets, which may be renewed soon.
pub(super) const CROSSED: Duration = Duration::from_secs(30);
const CROSSED_OCTETS: Duration = Duration::from_secs(5);
/// Longest time for which a request of this host waits for the negotiation of the peer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest number of pairs of one selector that a peer can negotiate without a pause, and the pause.
const SIBLINGS: usize = 8;
const SIBLINGS_PAUSE: Duration = Duration::from_secs(10);

/// Pair whose outbound SA is no longer used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retired {
    pub why: Gone,
    /// Time at which a delete payload for the outbound SA of the peer is sent.
    pub delete_at: Option<Instant>,
    /// Time at which the inbound SA is removed.
    pub remove_at: Option<Instant>,
    /// Time of the last authentic packet.
    pub heard: Option<Instant>,
}

impl IpsecSlot {
    /// Returns whether the pair is complete and its outbound SA is, or will be, used.
    const fn is_in_use(&self) -> bool {
        matches!(self.stage, Negotiation::Complete) && self.gone.is_none() && self.retired.is_none()
    }

    /// Returns whether both pairs have the same peer and selectors, so that one of them is enough.
    fn is_sibling(&self, other: &Self) -> bool {
        self.id != other.id
            && (self.peer, self.policy, self.identity) == (other.peer, other.policy, other.identity)
            && (self.selector, self.path.remote.ip()) == (other.selector, other.path.remote.ip())
    }

    /// Returns whether the negotiations of both pairs, one of each end, have crossed. Retransmission delays messages,
    /// so that the peers may decide differently, and send with different pairs.
    fn crosses(&self, other: &Self) -> bool {
        let begins_soon_after = |one: &Self, other: &Self| {
            let longest = if other.kilobytes().is_some() { CROSSED_OCTETS } else { CROSSED };
            let soon = longest.min(other.lifetime().checked_div(4).unwrap_or_default());
            other.established.is_none_or(|established| one.began <= established.saturating_add(soon))
        };
        self.role != other.role && begins_soon_after(self, other) && begins_soon_after(other, self)
    }

    /// Returns whether this pair is the redundant one of two that have crossed.
    fn loses_against(&self, other: &Self) -> bool {
        self.lowest_nonce < other.lowest_nonce
    }

    fn is_older(&self, other: &Self) -> bool {
        (self.established, self.id.generation) < (other.established, other.id.generation)
    }

    /// Ends the use of the outbound SA. The inbound SA exists until `remove_at`, or its end.
    pub fn retire(&mut self, retired: Retired) {
        self.retired = Some(retired);
        self.take_over_at = None;
        // A redundant outbound SA that was not announced may still be needed.
        let is_kept = retired.why == Gone::Redundant && self.has_unused_keys();
        self.members_mut().filter(|_| !is_kept).for_each(|member| member.outbound.end());
    }

    /// Returns whether outbound SAs were negotiated that were not announced.
    fn has_unused_keys(&self) -> bool {
        self.members().any(|member| member.outbound.keymat.is_some())
    }
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Completes the negotiation of a pair. With `is_shown`, a packet or CONNECTED has confirmed the inbound SA of the
    /// peer.
    pub(super) fn complete_pair(&mut self, id: SlotId, now: Instant, is_shown: bool) {
        let Some(pair) = self.pair_mut(id) else { return };
        pair.complete(now);
        self.counters.count(Counter::Phase2Up);
        self.has_wanted = true;
        self.touch();
        let Some(pair) = self.pair(id) else { return };
        let (has_older, is_redundant) = self.siblings(pair).fold((false, false), |(_, is_redundant), other| {
            (true, is_redundant || (pair.crosses(other) && pair.loses_against(other)))
        });
        let Some(pair) = self.pair_mut(id) else { return };
        if is_redundant {
            pair.retire(redundant(pair.role, now));
        } else if has_older && !is_shown {
            pair.take_over_at = Some(now.saturating_add(CHANGEOVER));
        } else {
            self.take_over(id, now);
        }
    }

    /// Uses the outbound SA of a pair instead of those of its siblings.
    pub(super) fn take_over(&mut self, id: SlotId, now: Instant) {
        let settings = self.settings;
        for index in 0..self.pairs.len() {
            let (Some(pair), Some(other)) = (self.pair(id), self.pairs.get(index)) else {
                continue;
            };
            let retired = replaced(pair, other, now, &settings);
            if let (Some(retired), Some(other)) = (retired, self.pairs.get_mut(index)) {
                other.retire(retired);
            }
        }
        if let Some(pair) = self.pair_mut(id) {
            pair.announce_outbound();
        }
        self.make_room(now);
        self.touch();
    }

    /// Uses the outbound SA of each unconfirmed pair if the older pair no longer exists, and that of a
    /// redundant pair if the other one no longer exists.
    pub(super) fn take_over_from_ended(&mut self, now: Instant) {
        for index in 0..self.pairs.len() {
            let is_unused = |pair: &&IpsecSlot| {
                let is_redundant = pair.retired.is_some_and(|retired| retired.why == Gone::Redundant);
                pair.take_over_at.is_some() || (is_redundant && pair.gone.is_none() && pair.has_unused_keys())
            };
            let Some(pair) = self.pairs.get(index).filter(is_unused) else { continue };
            let id = pair.id;
            if !self.siblings(pair).any(|other| other.take_over_at.is_none()) {
                if let Some(pair) = self.pair_mut(id) {
                    pair.retired = None;
                }
                self.take_over(id, now);
            }
        }
    }

    /// Completes the changes of pairs that are due.
    pub(super) fn change_over(&mut self, now: Instant, host: &mut dyn Host) {
        for index in 0..self.pairs.len() {
            let Some(pair) = self.pairs.get(index) else { continue };
            let is_due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
            let (id, retired) = (pair.id, pair.retired);
            if is_due(pair.take_over_at) {
                self.take_over(id, now);
            }
            let Some(retired) = retired.filter(|_| self.pair(id).is_some_and(|pair| pair.gone.is_none())) else {
                continue;
            };
            let is_used = |heard| now.saturating_duration_since(heard) < REDUNDANT;
            if is_due(retired.delete_at) && retired.why == Gone::Redundant && retired.heard.is_some_and(is_used) {
                let delete_at = Some(now.saturating_add(REDUNDANT));
                self.set_retired(id, Retired { delete_at, ..retired });
            } else if is_due(retired.delete_at) && !self.has_successor(id) {
                // The peer may have no other pair.
                let delete_at = Some(now.saturating_add(REDUNDANT));
                self.set_retired(id, Retired { delete_at, ..retired });
            } else if is_due(retired.delete_at) {
                // Without an ISAKMP SA no delete payload is sent, so that the inbound SA stays until its end.
                let is_sent = self.send_deletes(index, now, host);
                let remove_at = is_sent.then(|| now.saturating_add(IN_TRANSIT));
                self.set_retired(id, Retired { delete_at: None, remove_at, ..retired });
            } else if is_due(retired.remove_at)
                && let Some(pair) = self.pair_mut(id)
            {
                pair.end(retired.why);
                if retired.why == Gone::DeletedByPeer {
                    self.replace(index, now);
                }
            }
            self.touch();
        }
    }

    /// Returns whether a pair in use has the selectors of a retired one.
    fn has_successor(&self, id: SlotId) -> bool {
        self.pair(id).is_some_and(|pair| self.siblings(pair).next().is_some())
    }

    /// Negotiates a new pair if the peer has deleted the one in use and there are only retired ones, whose outbound SAs
    /// cannot be used again: their sequence numbers are not known.
    fn replace(&mut self, index: usize, now: Instant) {
        let Some(pair) = self.pairs.get(index) else { return };
        let is_retired = |other: &IpsecSlot| {
            let is_kept = other.retired.is_some_and(|retired| retired.why != Gone::DeletedByPeer);
            is_kept && other.gone.is_none() && other.is_sibling(pair)
        };
        let is_wanted = |other: &IpsecSlot| {
            let key = |pair: &IpsecSlot| (pair.peer, pair.policy);
            other.gone.is_none() && other.retired.is_none() && key(other) == key(pair)
        };
        if self.pairs.values().any(is_wanted) || !self.pairs.values().any(is_retired) {
            return;
        }
        let (peer, policy, path, identity) = (pair.peer, pair.policy, pair.path, pair.identity);
        if let Ok(index) = self.free_pair()
            && let Ok(id) = self.slot_id(index)
        {
            let wanted = IpsecSlot { began: now, identity, ..IpsecSlot::new(id, peer, policy, Role::Initiator, path) };
            // The slot is free.
            let _ = self.set_pair(index, wanted);
            self.has_wanted = true;
        }
    }

    /// Frees a slot for the next pair: if three quarters of the table are used, the oldest retired pair ends before its
    /// time.
    fn make_room(&mut self, now: Instant) {
        let used = self.pairs.values().filter(|pair| !pair.is_finished()).count();
        if used < IPSEC_SAS.saturating_sub(IPSEC_SAS.wrapping_div(4)) {
            return;
        }
        let retired = self.pairs.values_mut().filter(|pair| pair.gone.is_none());
        let is_kept = |pair: &&mut IpsecSlot| pair.retired.is_some_and(|retired| retired.remove_at.is_none());
        let Some(pair) = retired.filter(is_kept).min_by_key(|pair| pair.established) else { return };
        if let Some(retired) = &mut pair.retired {
            match retired.delete_at {
                Some(_) => retired.delete_at = Some(now),
                None => retired.remove_at = Some(now.saturating_add(IN_TRANSIT)),
            }
        }
    }

    fn set_retired(&mut self, id: SlotId, retired: Retired) {
        if let Some(pair) = self.pair_mut(id) {
            pair.retired = Some(retired);
        }
    }

    /// Negotiates the successor of a pair like [`initiate`](Self::initiate). A peer without an address may have several
    /// clients: the successor is that of the client whose pair it is, in the ISAKMP SA of the client.
    ///
    /// # Errors
    /// [`Refusal`], among others [`Refusal::Passive`] for a client without an ISAKMP SA.
    pub fn renew_pair(&mut self, now: Instant, sa: IpsecSaId, host: &mut dyn Host) -> Result<IpsecSaId, Refusal> {
        let &IpsecSlot { peer, policy, identity, selector, .. } = self.pair(sa.0).ok_or(Refusal::Superseded)?;
        if host.peer(peer).ok_or(Refusal::Superseded)?.path.is_some() {
            return self.initiate(now, peer, policy, host);
        }
        let carrier = self.carrier_of(peer, identity).filter(|_| identity.is_some());
        let carrier = carrier.and_then(|index| self.isakmp.get(index)).filter(|carrier| carrier.is_usable());
        let path = carrier.ok_or(Refusal::Passive)?.path;
        let of_client = |pair: &IpsecSlot| (pair.identity, pair.selector) == (identity, selector);
        if let Some(pair) = self.pairs.values().find(|pair| pair.is_pending(peer, policy) && of_client(pair)) {
            return Ok(IpsecSaId(pair.id));
        }
        self.want(now, host, |id| {
            let new = IpsecSlot::new(id, peer, policy, Role::Initiator, path);
            IpsecSlot { identity, selector, ..new }
        })
    }

    /// Returns the pair of a policy that the peer is negotiating, or has negotiated since a time: it makes one of this
    /// host unnecessary. With an identity, the pair is that of one client.
    pub(super) fn pair_of_peer(
        &self,
        now: Instant,
        since: Instant,
        (peer, policy, identity): (PeerId, u32, Option<u64>),
        selector: &Selector,
    ) -> Option<&IpsecSlot> {
        self.pairs.values().find(|pair| {
            let is_recent = now.saturating_duration_since(pair.began) < PATIENCE;
            (pair.peer, pair.policy, pair.role) == (peer, policy, Role::Responder)
                && identity.is_none_or(|identity| pair.identity == Some(identity))
                && pair.selector == Some(*selector)
                && (pair.gone.is_none() && pair.retired.is_none())
                && pair.established.map_or(is_recent, |established| established >= since)
        })
    }

    /// Suspends a request of this host for a pair that the peer is negotiating, or ends it if that pair is complete.
    /// Returns whether there is such a pair.
    pub(super) fn leave_to_peer(&mut self, now: Instant, index: usize, host: &dyn Host) -> bool {
        let Some(pair) = self.pairs.get(index) else { return false };
        let Some(policy) = host.policy(pair.policy) else { return false };
        let selector = pair.selector.unwrap_or(policy.selector);
        let of_peer = self.pair_of_peer(now, pair.began, (pair.peer, pair.policy, pair.identity), &selector);
        let of_peer = of_peer.map(|of_peer| (of_peer.stage, of_peer.began));
        let Some(pair) = self.pairs.get_mut(index) else { return false };
        match of_peer {
            Some((Negotiation::Complete, _)) => pair.end(Gone::Redundant),
            Some((_, began)) => pair.wait_until = Some(began.saturating_add(PATIENCE)),
            None => pair.wait_until = None,
        }
        self.touch();
        of_peer.is_some()
    }

    /// Returns whether a peer has reached the limit of pairs of one selector.
    pub(super) fn has_too_many_siblings(&self, now: Instant, pair: &IpsecSlot) -> bool {
        let siblings = || self.pairs.values().filter(|other| other.gone.is_none() && other.is_sibling(pair));
        let newest = siblings().map(|other| other.began).max();
        siblings().count() >= SIBLINGS
            && newest.is_some_and(|newest| now.saturating_duration_since(newest) < SIBLINGS_PAUSE)
    }

    /// Returns whether an SA of another identity behind the same NAT has the selector of a pair: packets could be sent
    /// to either.
    pub(super) fn is_of_neighbour(&self, pair: &IpsecSlot) -> bool {
        self.pairs.values().any(|other| {
            other.is_in_use()
                && (other.policy, other.selector) == (pair.policy, pair.selector)
                && other.path.remote.ip() == pair.path.remote.ip()
                && (other.peer, other.identity) != (pair.peer, pair.identity)
                && [other, pair].iter().any(|pair| pair.nat.in_udp().is_some())
        })
    }

    fn siblings(&self, pair: &IpsecSlot) -> impl Iterator<Item = &IpsecSlot> {
        self.pairs.values().filter(move |other| other.is_in_use() && other.is_sibling(pair))
    }
}

/// Returns the retirement of a pair when another one replaces it, `None` if it is not retired.
fn replaced(pair: &IpsecSlot, other: &IpsecSlot, now: Instant, settings: &Settings) -> Option<Retired> {
    if !other.is_in_use() || !other.is_sibling(pair) {
        return None;
    }
    if other.crosses(pair) && other.loses_against(pair) {
        return Some(redundant(other.role, now));
    }
    let is_deleted = pair.role == Role::Initiator && settings.delete_renewed;
    let delete_at = is_deleted.then(|| now.saturating_add(settings.keep_renewed));
    other.is_older(pair).then_some(Retired { why: Gone::Renewed, delete_at, remove_at: None, heard: None })
}

/// Returns the retirement of a pair that has crossed with another one. Its initiator deletes it.
fn redundant(role: Role, now: Instant) -> Retired {
    let delete_at = (role == Role::Initiator).then(|| now.saturating_add(REDUNDANT));
    Retired { why: Gone::Redundant, delete_at, remove_at: None, heard: None }
}
