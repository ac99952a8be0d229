//! Policies that several engines share.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use ipsec_packet::{Instant, Selector};
use ipsec_sa::{PolicyDirection, PolicyId, PolicyParams};

use crate::policy_set::{PolicyError, PolicySet};
use crate::table::SlotNumber;

/// Policies on the heap, for engines that share them ([`HeapEngine::set_policies`](crate::HeapEngine::set_policies)).
///
/// A copy continues with its numbers: a [`PolicyId`] never becomes that of another policy.
pub type HeapPolicies = PolicySet<0>;

impl HeapPolicies {
    /// Creates a set without policies, for at most this number of them.
    pub const fn with_capacity(policies: usize) -> Self {
        let mut set = Self::new();
        set.set_limit(policies);
        set
    }

    /// Adds a policy after the others of its priority (RFC 4301 section 4.4.1).
    ///
    /// # Errors
    /// [`PolicyError`]; nothing has changed.
    pub fn add_policy(&mut self, policy: PolicyParams) -> Result<PolicyId, PolicyError> {
        self.add(policy)
    }

    /// Finds the policy with this selector and direction (RFC 4301 section 4.4.1).
    pub fn find_policy(&self, direction: PolicyDirection, selector: &Selector) -> Option<PolicyId> {
        self.find(direction, selector)
    }

    /// Removes a policy (RFC 4301 section 4.4.1).
    pub fn remove_policy(&mut self, id: PolicyId) -> Option<PolicyParams> {
        self.remove(id)
    }

    /// Iterates over the policies in the order of the SPD (RFC 4301 section 4.4.1).
    pub fn policies(&self) -> impl Iterator<Item = (PolicyId, &PolicyParams)> {
        self.rules().map(|rule| (rule.id, &rule.policy))
    }
}

/// Policies of an engine.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // an engine is created without the heap
pub(crate) enum Held<const P: usize> {
    Own(PolicySet<P>),
    /// Policies of several engines, and when this engine sent the last acquire of each.
    Shared(Arc<PolicySet<P>>, BTreeMap<SlotNumber, Option<Instant>>),
}

impl<const P: usize> Held<P> {
    pub(crate) const fn own() -> Self {
        Self::Own(PolicySet::new())
    }

    pub(crate) const fn shared(policies: Arc<PolicySet<P>>) -> Self {
        Self::Shared(policies, BTreeMap::new())
    }

    pub(crate) const fn set_limit(&mut self, policies: usize) {
        if let Self::Own(set) = self {
            set.set_limit(policies);
        }
    }

    pub(crate) fn get(&self) -> &PolicySet<P> {
        match self {
            Self::Own(set) => set,
            Self::Shared(set, _) => set,
        }
    }

    pub(crate) const fn own_mut(&mut self) -> Result<&mut PolicySet<P>, PolicyError> {
        match self {
            Self::Own(set) => Ok(set),
            Self::Shared(..) => Err(PolicyError::Shared),
        }
    }

    pub(crate) fn last_acquire(&mut self, slot: SlotNumber) -> Option<&mut Option<Instant>> {
        match self {
            Self::Own(set) => set.last_acquire(slot),
            Self::Shared(_, times) => Some(times.entry(slot).or_default()),
        }
    }
}
