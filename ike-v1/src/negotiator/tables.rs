//! Look-up of slots in the tables: free ones, and those of a peer, of cookies or of an identifier.

use core::cmp::Reverse;

use crate::Cookies;

use super::event::{IsakmpSaId, SlotId};
use super::exchange::Exchange;
use super::ipsec_sa::IpsecSlot;
use super::isakmp_sa::IsakmpSa;
use super::xauth::Access;
use super::{Negotiator, PeerId, Refusal, Role, Table};

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Records that there may be events and datagrams.
    pub(super) const fn touch(&mut self) {
        (self.has_events, self.has_output) = (true, true);
    }

    /// Returns the identifier of the next use of a slot.
    pub(super) fn slot_id(&mut self, index: usize) -> Result<SlotId, Refusal> {
        self.generation = self.generation.wrapping_add(1);
        Ok(SlotId { index: u16::try_from(index).map_err(|_| Refusal::Internal)?, generation: self.generation })
    }

    /// Returns the index of a free pair.
    pub(super) fn free_pair(&mut self) -> Result<usize, Refusal> {
        let finished = || self.pairs.position(IpsecSlot::is_finished);
        self.pairs.free().or_else(finished).ok_or(Refusal::Full(Table::IpsecSas))
    }

    pub(super) fn set_pair(&mut self, index: usize, pair: IpsecSlot) -> Result<(), Refusal> {
        self.pairs.put(index, pair).map(drop).ok_or(Refusal::Full(Table::IpsecSas))
    }

    pub(super) fn pair(&self, id: SlotId) -> Option<&IpsecSlot> {
        self.pairs.get(usize::from(id.index)).filter(|pair| pair.id == id)
    }

    pub(super) fn pair_mut(&mut self, id: SlotId) -> Option<&mut IpsecSlot> {
        self.pairs.get_mut(usize::from(id.index)).filter(|pair| pair.id == id)
    }

    /// Returns the index of a free ISAKMP SA. If there is none, one of the same peer is evicted: the oldest one of the
    /// identity, or of the address, that has most of them. An SA whose user is still to be authenticated replaces
    /// another such one only.
    pub(super) fn free_isakmp_sa(
        &self,
        peer: PeerId,
        owes_login: bool,
    ) -> Result<(usize, Option<IsakmpSaId>), Refusal> {
        if let Some(index) = self.isakmp.free().or_else(|| self.isakmp.position(IsakmpSa::is_finished)) {
            return Ok((index, None));
        }
        let may_yield = |sa: &IsakmpSa| !owes_login || !sa.access.permits_peer();
        let same_peer = || self.isakmp.iter().filter(|(_, sa)| sa.peer == peer && sa.is_usable() && may_yield(sa));
        // Of several clients of a peer, one that has many SAs does not evict those of the others.
        let share = |own: &IsakmpSa| {
            // A table of two is for one peer.
            if SAS < 3 {
                return 0;
            }
            let of_identity = same_peer().filter(|(_, sa)| sa.identity == own.identity).count();
            let of_address = same_peer().filter(|(_, sa)| sa.path.remote.ip() == own.path.remote.ip()).count();
            of_identity.max(of_address)
        };
        match same_peer().max_by_key(|(_, sa)| (share(sa), Reverse(sa.established))) {
            Some((index, sa)) if self.superseded.is_none() => Ok((index, Some(IsakmpSaId(sa.id)))),
            _ => Err(Refusal::Full(Table::IsakmpSas)),
        }
    }

    /// Returns the ISAKMP SA with these cookies.
    pub(super) fn find_sa(&self, cookies: &Cookies) -> Option<&IsakmpSa> {
        self.isakmp.values().find(|sa| sa.cookies == *cookies && sa.is_usable())
    }

    pub(super) fn isakmp_sa(&self, id: SlotId) -> Result<&IsakmpSa, Refusal> {
        let sa = self.isakmp.get(usize::from(id.index));
        sa.filter(|sa| sa.id == id && sa.is_usable()).ok_or(Refusal::UnknownSa)
    }

    pub(super) fn isakmp_sa_mut(&mut self, id: SlotId) -> Result<&mut IsakmpSa, Refusal> {
        let sa = self.isakmp.get_mut(usize::from(id.index));
        sa.filter(|sa| sa.id == id && sa.is_usable()).ok_or(Refusal::UnknownSa)
    }

    /// Returns the index of the newest ISAKMP SA with a peer that can protect messages: a usable one, or one that is
    /// being deleted. Of SAs whose main modes have crossed, both ends use the one with the highest initiator cookie.
    pub(super) fn carrier(&self, peer: PeerId) -> Option<usize> {
        self.carrier_of(peer, None)
    }

    /// Returns the index of the newest ISAKMP SA with an identity of a peer, as [`carrier`](Self::carrier).
    pub(super) fn carrier_of(&self, peer: PeerId, identity: Option<u64>) -> Option<usize> {
        let is_of = |sa: &IsakmpSa| sa.peer == peer && identity.is_none_or(|identity| sa.identity == identity);
        let can_carry = |(_, sa): &(usize, &IsakmpSa)| is_of(sa) && (sa.is_usable() || sa.delete.is_some());
        let carriers = || self.isakmp.iter().filter(can_carry);
        let (_, newest) = carriers().max_by_key(|(index, sa)| (sa.is_usable(), sa.established, *index))?;
        let alike = carriers()
            .filter(|(_, sa)| sa.id == newest.id || (sa.is_usable() == newest.is_usable() && newest.has_crossed(sa)));
        alike.max_by_key(|(_, sa)| sa.cookies.initiator).map(|(index, _)| index)
    }

    /// Returns whether this host may begin quick mode in an ISAKMP SA.
    pub(super) fn is_open_for_quick(&self, sa: usize) -> bool {
        self.isakmp.get(sa).is_some_and(|sa| sa.access == Access::Open)
    }

    pub(super) fn is_usable(&self, sa: usize) -> bool {
        self.isakmp.get(sa).is_some_and(IsakmpSa::is_usable)
    }

    /// Returns whether phase 1 with a peer is in progress.
    pub(super) fn is_phase_1_open(&self, peer: PeerId) -> bool {
        self.exchanges.values().any(|exchange| {
            let state = &exchange.state;
            // As responder the peer may be another one than it seems, until it is authenticated.
            state.peer == peer && state.stage.is_phase_1() && state.role == Role::Initiator
        })
    }

    pub(super) fn exchange(&self, index: usize) -> Result<&Exchange<BUFFER>, Refusal> {
        self.exchanges.get(index).ok_or(Refusal::Internal)
    }

    pub(super) fn exchange_mut(&mut self, index: usize) -> Result<&mut Exchange<BUFFER>, Refusal> {
        self.exchanges.get_mut(index).ok_or(Refusal::Internal)
    }

    /// Stores a new exchange in its slot and performs its first step. If it is refused, the slot is free again.
    pub(super) fn put_exchange(
        &mut self,
        index: usize,
        exchange: Exchange<BUFFER>,
        step: impl FnOnce(&mut Exchange<BUFFER>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let exchange = self.exchanges.put(index, exchange).ok_or(Refusal::Full(Table::Exchanges))?;
        let result = step(exchange);
        if result.is_err() {
            self.exchanges.clear(index);
        }
        self.touch();
        result
    }
}
