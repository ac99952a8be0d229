//! SAs in fixed memory: only the identifiers are indexed.

use super::*;
use crate::hash_index::Index;
use crate::table::SlotNumber;

/// Order of at most `N` SAs.
#[derive(Debug)]
pub(crate) struct SadIndex<const N: usize> {
    by_id: Index<N>,
    /// Number that changes whenever another SA may have to be chosen for a flow.
    stamp: Stamp,
    /// Number of slots with pending events.
    pending: u16,
    /// Number of slots that are empty.
    vacant: u16,
}

impl<const N: usize> SadIndex<N> {
    pub(crate) const fn new() -> Self {
        Self { by_id: Index::new(), stamp: 0, pending: 0, vacant: 0 }
    }

    pub(crate) fn link(&mut self, at: SlotNumber, sa: &Linked) {
        self.by_id.insert(hash_of_id(&sa.id), at);
    }

    pub(crate) fn unlink(&mut self, at: SlotNumber, sa: &Linked) {
        self.by_id.remove(hash_of_id(&sa.id), at);
    }

    pub(crate) fn find(&self, id: &SaId) -> impl Iterator<Item = SlotNumber> + '_ {
        self.by_id.find(hash_of_id(id))
    }

    /// Iterates over the slots that may have an SA for a template.
    pub(crate) fn wanted(&self, _: &Wanted, slots: usize) -> impl Iterator<Item = SlotNumber> + use<N> {
        SlotNumber::first(slots)
    }

    /// Returns the slot after another one in that order; the first one after `None`.
    pub(crate) fn next_wanted(&self, _: &Wanted, behind: Option<SlotNumber>, slots: usize) -> Option<SlotNumber> {
        let next = behind.map_or(0, |at| at.index().saturating_add(1));
        SlotNumber::of(next).filter(|_| next < slots)
    }

    /// Iterates over the slots that may have an inbound IPComp SA between these addresses.
    pub(crate) fn ipcomp_between(
        &self,
        _: (IpAddr, IpAddr),
        slots: usize,
    ) -> impl Iterator<Item = SlotNumber> + use<N> {
        SlotNumber::first(slots)
    }

    /// Describes the state in which SAs were chosen for these templates.
    pub(crate) fn known(&self, chosen: Chosen, _: impl Iterator<Item = Wanted>) -> KnownChoice {
        KnownChoice { chosen, stamp: self.stamp }
    }

    pub(crate) const fn is_current(&self, known: &KnownChoice) -> bool {
        self.stamp == known.stamp
    }

    /// Voids the choices that depend on an SA.
    pub(crate) const fn void_choices(&mut self, _: &Linked) {
        self.stamp = self.stamp.wrapping_add(1);
    }

    pub(crate) fn has_local(&self, _: IpAddr, _: Option<u16>, walk: impl FnOnce() -> bool) -> bool {
        walk()
    }

    pub(crate) const fn set_due(&mut self, _: SlotNumber, _: Due) {}

    /// Returns a slot that is due.
    pub(crate) fn overdue(
        &self,
        now: Instant,
        larval_lifetime: Duration,
        mut walk: impl Iterator<Item = (SlotNumber, Due)>,
    ) -> Option<SlotNumber> {
        walk.find(|(_, due)| due.is_over(now, larval_lifetime)).map(|(at, _)| at)
    }

    /// Returns the earliest time at which a slot is due.
    pub(crate) fn next_due(
        &self,
        larval_lifetime: Duration,
        walk: impl Iterator<Item = (SlotNumber, Due)>,
    ) -> Option<Instant> {
        walk.filter_map(|(_, due)| due.time(larval_lifetime)).min()
    }

    pub(crate) fn set_pending(&mut self, _: SlotNumber, was: bool, is: bool) {
        self.pending = self.pending.saturating_add(is.into()).saturating_sub(was.into());
    }

    /// Returns the first slot with a pending event.
    pub(crate) fn pending(&self, walk: impl FnOnce() -> Option<SlotNumber>) -> Option<SlotNumber> {
        if self.pending == 0 { None } else { walk() }
    }

    pub(crate) const fn set_dead(&mut self, _: SlotNumber, _: bool) {}

    /// Returns the first slot of a dead SA.
    pub(crate) fn dead(&self, walk: impl FnOnce() -> Option<SlotNumber>) -> Option<SlotNumber> {
        walk()
    }

    pub(crate) const fn add_vacant(&mut self, _: SlotNumber) {
        self.vacant = self.vacant.saturating_add(1);
    }

    pub(crate) fn take_vacant(&mut self, walk: impl FnOnce() -> Option<SlotNumber>) -> Option<SlotNumber> {
        self.vacant = self.vacant.checked_sub(1)?;
        walk()
    }
}
