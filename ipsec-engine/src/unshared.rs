//! An engine that shares no state with others: it has its own policies, the counters of its SAs, and all SPIs. With the
//! feature `shards`, the module `shards` replaces this one.

use ipsec_packet::{Instant, SeqCounter};
use ipsec_sa::{SaId, Usage};

use crate::policy_set::{PolicyError, PolicySet};
use crate::table::SlotNumber;

/// Policies of an engine.
#[derive(Debug)]
pub(crate) struct Held<const P: usize>(PolicySet<P>);

impl<const P: usize> Held<P> {
    pub(crate) const fn own() -> Self {
        Self(PolicySet::new())
    }

    #[cfg(feature = "alloc")]
    pub(crate) const fn set_limit(&mut self, policies: usize) {
        self.0.set_limit(policies);
    }

    pub(crate) const fn get(&self) -> &PolicySet<P> {
        &self.0
    }

    #[allow(clippy::unnecessary_wraps)] // shared policies are not changed
    pub(crate) const fn own_mut(&mut self) -> Result<&mut PolicySet<P>, PolicyError> {
        Ok(&mut self.0)
    }

    pub(crate) fn last_acquire(&mut self, slot: SlotNumber) -> Option<&mut Option<Instant>> {
        self.0.last_acquire(slot)
    }
}

/// Sequence numbers of an SA: those of its counter.
pub(crate) struct Numbers;

impl Numbers {
    pub(crate) const OWN: Self = Self;

    pub(crate) const fn is_revoked(&self) -> bool {
        false
    }

    pub(crate) const fn revoke(&self) {}

    pub(crate) const fn total(&self, usage: &Usage) -> Usage {
        *usage
    }

    pub(crate) const fn report(&mut self, _: &Usage) {}

    pub(crate) const fn left(&self, counter: &SeqCounter) -> u64 {
        counter.remaining()
    }

    pub(crate) const fn take_run(&mut self, _: &SeqCounter, _: u64) -> Option<u64> {
        None
    }
}

/// SPIs of the engine: all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership;

impl Membership {
    pub(crate) const ALONE: Self = Self;

    pub(crate) const fn other_owner(self, _: &SaId) -> Option<u16> {
        None
    }

    pub(crate) const fn count(self) -> u16 {
        1
    }
}
