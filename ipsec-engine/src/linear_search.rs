//! Policies in the order of the search, which compares them one by one: for a small number of policies.

use core::net::IpAddr;

use ipsec_packet::Flow;
use ipsec_sa::{PolicyDirection, PolicyId, PolicyParams, Priority};

use crate::policy_set::Verdict;
use crate::table::{SlotNumber, Table};

/// Slots of at most `P` policies, by direction, by priority, and by age among equals.
#[derive(Debug)]
pub(crate) struct PolicyOrder<const P: usize> {
    order: Table<SlotNumber, P>,
    /// Number of policies for `in`, `out` and `fwd`, which follow each other in `order`.
    per_direction: [u16; 3],
}

impl<const P: usize> PolicyOrder<P> {
    pub(crate) const fn new() -> Self {
        Self { order: Table::new(), per_direction: [0; 3] }
    }

    /// Inserts a policy after the others of its priority. The table has space for every slot.
    pub(crate) fn insert(
        &mut self,
        policy: &PolicyParams,
        _: PolicyId,
        slot: SlotNumber,
        priority_of: impl Fn(SlotNumber) -> Priority,
    ) {
        let (start, slots) = self.range(policy.direction);
        let behind = slots.partition_point(|slot| priority_of(*slot) <= policy.priority);
        if self.order.push(slot).is_ok() {
            if let Some(tail @ [_, ..]) = self.order.get_mut(start.saturating_add(behind)..) {
                tail.rotate_right(1);
            }
            *self.count(policy.direction) = self.count(policy.direction).saturating_add(1);
        }
    }

    pub(crate) fn remove(&mut self, policy: &PolicyParams, _: PolicyId, slot: SlotNumber) {
        let Some(at) = self.order.iter().position(|known| *known == slot) else { return };
        if let Some(tail @ [_, ..]) = self.order.get_mut(at..) {
            tail.rotate_left(1);
            let _ = self.order.pop();
            *self.count(policy.direction) = self.count(policy.direction).saturating_sub(1);
        }
    }

    /// Finds the slot of a policy by its number.
    pub(crate) fn find(&self, _: PolicyId, has_number: impl Fn(SlotNumber) -> bool) -> Option<SlotNumber> {
        self.order.iter().copied().find(|slot| has_number(*slot))
    }

    /// Returns whether any policy has this direction.
    pub(crate) fn has_policies(&self, direction: PolicyDirection) -> bool {
        !self.range(direction).1.is_empty()
    }

    /// Iterates over the policies of a direction in the order of the search.
    pub(crate) fn of_direction(&self, direction: PolicyDirection) -> impl Iterator<Item = SlotNumber> + '_ {
        self.range(direction).1.iter().copied()
    }

    /// Returns the verdict of the first policy that has one for this flow.
    pub(crate) fn search(
        &self,
        direction: PolicyDirection,
        _: &Flow,
        verdict: impl Fn(SlotNumber) -> Option<Verdict>,
    ) -> Option<Verdict> {
        self.range(direction).1.iter().find_map(|slot| verdict(*slot))
    }

    /// Returns whether `test` holds for an inbound policy that may have a tunnel.
    pub(crate) fn any_with_tunnel(&self, _: (IpAddr, IpAddr), test: impl FnMut(SlotNumber) -> bool) -> bool {
        self.inbound().any(test)
    }

    /// Returns whether the SAs of an inbound policy have this destination, as `test` decides.
    pub(crate) fn has_destination(&self, _: IpAddr, test: impl Fn(SlotNumber) -> bool) -> bool {
        self.inbound().any(test)
    }

    fn inbound(&self) -> impl Iterator<Item = SlotNumber> + '_ {
        self.of_direction(PolicyDirection::In).chain(self.of_direction(PolicyDirection::Forward))
    }

    /// Returns the policies of a direction in the order of the search, and their position in `order`.
    fn range(&self, direction: PolicyDirection) -> (usize, &[SlotNumber]) {
        let [inward, out, forward] = self.per_direction.map(usize::from);
        let (start, length) = match direction {
            PolicyDirection::In => (0, inward),
            PolicyDirection::Out => (inward, out),
            PolicyDirection::Forward => (inward.saturating_add(out), forward),
        };
        (start, self.order.get(start..).and_then(|slots| slots.get(..length)).unwrap_or_default())
    }

    const fn count(&mut self, direction: PolicyDirection) -> &mut u16 {
        let [inward, out, forward] = &mut self.per_direction;
        match direction {
            PolicyDirection::In => inward,
            PolicyDirection::Out => out,
            PolicyDirection::Forward => forward,
        }
    }
}
