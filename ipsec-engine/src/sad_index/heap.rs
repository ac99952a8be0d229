//! SAs on the heap, all in order.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::*;
use crate::hash_index::{Index, bucket};
use crate::multiset::Multiset;
use crate::table::SlotNumber;
use ipsec_sa::MAX_TRANSFORMS;

/// Indices of the stamps on which a choice of SAs depends, one for each template.
pub(super) type Depends = [Option<core::num::NonZero<u32>>; MAX_TRANSFORMS];

/// Order of any number of SAs.
#[derive(Debug)]
pub(crate) struct SadIndex<const N: usize> {
    by_id: Index<N>,
    /// Outbound SAs by protocol and destination, and inbound IPComp SAs by source and destination.
    by_peer: Index<N>,
    /// Outbound SAs by protocol, destination and request ID.
    by_peer_and_reqid: Index<N>,
    /// Outbound SAs by protocol and request ID.
    by_reqid: Index<N>,
    /// Numbers of changes of the outbound SAs, in buckets of the three hashes before.
    stamps: Vec<u32>,
    /// Number of times that the buckets of the stamps were increased.
    epoch: u32,
    /// Destinations of the inbound SAs, without and with UDP port.
    local: Multiset<(IpAddr, Option<u16>)>,
    /// Entries of the next two sets by slot.
    due: Vec<Due>,
    deadlines: BTreeSet<(Instant, SlotNumber)>,
    larval: BTreeSet<(Instant, SlotNumber)>,
    pending: BTreeSet<SlotNumber>,
    dead: BTreeSet<SlotNumber>,
    vacant: Vec<SlotNumber>,
}

/// Properties by which the SA of a template is found.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Peer,
    PeerAndReqid,
    Reqid,
}

impl By {
    pub(super) const fn of(destination: Option<IpAddr>, reqid: u32) -> Self {
        match (destination, reqid) {
            (Some(_), 0) => Self::Peer,
            (Some(_), _) => Self::PeerAndReqid,
            (None, _) => Self::Reqid,
        }
    }
}

/// Returns the hash by which an outbound SA is found.
pub(super) fn outbound(protocol: Protocol, destination: Option<IpAddr>, reqid: u32) -> u64 {
    let [high, low] = destination.map_or([0, 0], address);
    hash([high, low, u64::from(reqid) << 3 | u64::from(destination.is_some()) << 2 | number(protocol)])
}

fn ipcomp(source: IpAddr, destination: IpAddr) -> u64 {
    let ([a, b], [c, d]) = (address(source), address(destination));
    hash([a, b, c, d])
}

impl<const N: usize> SadIndex<N> {
    pub(crate) const fn new() -> Self {
        Self {
            by_id: Index::new(),
            by_peer: Index::new(),
            by_peer_and_reqid: Index::new(),
            by_reqid: Index::new(),
            stamps: Vec::new(),
            epoch: 0,
            local: Multiset::new(),
            due: Vec::new(),
            deadlines: BTreeSet::new(),
            larval: BTreeSet::new(),
            pending: BTreeSet::new(),
            dead: BTreeSet::new(),
            vacant: Vec::new(),
        }
    }

    pub(crate) fn link(&mut self, at: SlotNumber, sa: &Linked) {
        let SaId { protocol, destination, direction, .. } = sa.id;
        self.by_id.insert(hash_of_id(&sa.id), at);
        if direction == Direction::Outbound {
            self.by_peer.insert(outbound(protocol, Some(destination), 0), at);
            self.by_peer_and_reqid.insert(outbound(protocol, Some(destination), sa.reqid), at);
            self.by_reqid.insert(outbound(protocol, None, sa.reqid), at);
            if self.stamps.len() <= at.index() {
                let buckets = self.stamps.len().saturating_mul(2).max(64);
                self.stamps.resize(buckets, 0);
                self.epoch = self.epoch.wrapping_add(1);
            }
            return;
        }
        if protocol == Protocol::Ipcomp {
            self.by_peer.insert(ipcomp(sa.source, destination), at);
        }
        sa.local().for_each(|local| self.local.insert(local));
    }

    pub(crate) fn unlink(&mut self, at: SlotNumber, sa: &Linked) {
        let SaId { protocol, destination, direction, .. } = sa.id;
        self.by_id.remove(hash_of_id(&sa.id), at);
        if direction == Direction::Outbound {
            self.by_peer.remove(outbound(protocol, Some(destination), 0), at);
            self.by_peer_and_reqid.remove(outbound(protocol, Some(destination), sa.reqid), at);
            self.by_reqid.remove(outbound(protocol, None, sa.reqid), at);
            return;
        }
        if protocol == Protocol::Ipcomp {
            self.by_peer.remove(ipcomp(sa.source, destination), at);
        }
        sa.local().for_each(|local| self.local.remove(local));
    }

    pub(crate) fn find(&self, id: &SaId) -> impl Iterator<Item = SlotNumber> + '_ {
        self.by_id.find(hash_of_id(id))
    }

    /// Iterates over the slots that may have an SA for a template, the newest first.
    pub(crate) fn wanted(&self, wanted: &Wanted, _: usize) -> impl Iterator<Item = SlotNumber> + '_ {
        self.index_of(wanted).find(wanted.hash)
    }

    /// Returns the slot after another one in that order; the first one after `None`.
    pub(crate) fn next_wanted(&self, wanted: &Wanted, behind: Option<SlotNumber>, _: usize) -> Option<SlotNumber> {
        match behind {
            None => self.index_of(wanted).find(wanted.hash).next(),
            Some(behind) => self.index_of(wanted).behind(wanted.hash, behind),
        }
    }

    const fn index_of(&self, wanted: &Wanted) -> &Index<N> {
        match wanted.by {
            By::Peer => &self.by_peer,
            By::PeerAndReqid => &self.by_peer_and_reqid,
            By::Reqid => &self.by_reqid,
        }
    }

    /// Iterates over the slots that may have an inbound IPComp SA between these addresses.
    pub(crate) fn ipcomp_between(
        &self,
        (source, destination): (IpAddr, IpAddr),
        _: usize,
    ) -> impl Iterator<Item = SlotNumber> + '_ {
        self.by_peer.find(ipcomp(source, destination))
    }

    /// Describes the state in which SAs were chosen for these templates.
    pub(crate) fn known(&self, chosen: Chosen, all: impl Iterator<Item = Wanted>) -> KnownChoice {
        let mut depends = Depends::default();
        for (place, wanted) in depends.iter_mut().zip(all) {
            let at = bucket(wanted.hash, self.stamps.len());
            *place = u32::try_from(at).ok().and_then(|at| core::num::NonZero::new(at.saturating_add(1)));
        }
        KnownChoice { chosen, depends, stamp: self.stamp(&depends) }
    }

    pub(crate) fn is_current(&self, known: &KnownChoice) -> bool {
        self.stamp(&known.depends) == known.stamp
    }

    /// Returns the state that a choice depends on.
    fn stamp(&self, depends: &Depends) -> Stamp {
        let stamps = depends.iter().flatten().map(|at| {
            let at = usize::try_from(at.get()).unwrap_or(usize::MAX).saturating_sub(1);
            self.stamps.get(at).copied().unwrap_or(0)
        });
        u64::from(self.epoch) << 32 | u64::from(stamps.fold(0u32, u32::wrapping_add))
    }

    /// Voids the choices that depend on an SA.
    pub(crate) fn void_choices(&mut self, sa: &Linked) {
        let SaId { protocol, destination, direction, .. } = sa.id;
        if direction == Direction::Inbound {
            return;
        }
        let buckets = self.stamps.len();
        for hash in [
            outbound(protocol, Some(destination), 0),
            outbound(protocol, Some(destination), sa.reqid),
            outbound(protocol, None, sa.reqid),
        ] {
            if let Some(stamp) = self.stamps.get_mut(bucket(hash, buckets)) {
                *stamp = stamp.wrapping_add(1);
            }
        }
    }

    /// Returns whether an inbound SA has this destination, and this UDP port if there is one.
    pub(crate) fn has_local(&self, address: IpAddr, port: Option<u16>, _: impl FnOnce() -> bool) -> bool {
        self.local.contains(&(address, port))
    }

    pub(crate) fn set_due(&mut self, at: SlotNumber, due: Due) {
        if self.due.len() <= at.index() {
            self.due.resize(at.index().saturating_add(1), Due::Never);
        }
        let Some(place) = self.due.get_mut(at.index()) else { return };
        if *place == due {
            return;
        }
        match core::mem::replace(place, due) {
            Due::Never => {}
            Due::At(time) => drop(self.deadlines.remove(&(time, at))),
            Due::Larval(added) => drop(self.larval.remove(&(added, at))),
        }
        match due {
            Due::Never => {}
            Due::At(time) => drop(self.deadlines.insert((time, at))),
            Due::Larval(added) => drop(self.larval.insert((added, at))),
        }
    }

    /// Returns a slot that is due.
    pub(crate) fn overdue(
        &self,
        now: Instant,
        larval_lifetime: Duration,
        _: impl Iterator<Item = (SlotNumber, Due)>,
    ) -> Option<SlotNumber> {
        let deadline = self.deadlines.first().map(|&(time, at)| (Due::At(time), at));
        let larval = [self.larval.first(), self.larval.last()];
        let larval = larval.into_iter().flatten().map(|&(added, at)| (Due::Larval(added), at));
        larval.chain(deadline).find(|(due, _)| due.is_over(now, larval_lifetime)).map(|(_, at)| at)
    }

    /// Returns the earliest time at which a slot is due.
    pub(crate) fn next_due(
        &self,
        larval_lifetime: Duration,
        _: impl Iterator<Item = (SlotNumber, Due)>,
    ) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|&(time, _)| Due::At(time));
        let larval = self.larval.first().map(|&(added, _)| Due::Larval(added));
        deadline.into_iter().chain(larval).filter_map(|due| due.time(larval_lifetime)).min()
    }

    pub(crate) fn set_pending(&mut self, at: SlotNumber, was: bool, is: bool) {
        match (was, is) {
            (false, true) => drop(self.pending.insert(at)),
            (true, false) => drop(self.pending.remove(&at)),
            _ => {}
        }
    }

    /// Returns the first slot with a pending event.
    pub(crate) fn pending(&self, _: impl FnOnce() -> Option<SlotNumber>) -> Option<SlotNumber> {
        self.pending.first().copied()
    }

    pub(crate) fn set_dead(&mut self, at: SlotNumber, is_dead: bool) {
        if is_dead {
            self.dead.insert(at);
        } else {
            self.dead.remove(&at);
        }
    }

    /// Returns the first slot of a dead SA.
    pub(crate) fn dead(&self, _: impl FnOnce() -> Option<SlotNumber>) -> Option<SlotNumber> {
        self.dead.first().copied()
    }

    pub(crate) fn add_vacant(&mut self, at: SlotNumber) {
        self.vacant.push(at);
    }

    pub(crate) fn take_vacant(&mut self, _: impl FnOnce() -> Option<SlotNumber>) -> Option<SlotNumber> {
        self.vacant.pop()
    }
}
