//! Search of policies by tuples: policies whose selectors compare the same bits are in one hash table, and a lookup
//! searches each table once (tuple space search). Its cost grows with the number of different prefix lengths, not with
//! the number of policies. A range that is not a prefix is found by the bits that its addresses or ports have in
//! common.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use ipsec_packet::{Detail, Flow, IpProto, Selector, Upper};
use ipsec_sa::{Action, Bundle, MAX_TRANSFORMS, Mode, PolicyDirection, PolicyId, PolicyParams, Priority};

use crate::multiset::Multiset;
use crate::policy_set::Verdict;
use crate::selector_key::{Key, PORTS, Point};
use crate::table::SlotNumber;
use crate::tuples::{Rank, Tuple, Tuples};

/// Slots of any number of policies.
#[derive(Clone, Debug)]
pub(crate) struct PolicyOrder<const P: usize> {
    directions: [OneDirection; 3],
    slots: BTreeMap<PolicyId, SlotNumber>,
    /// Inbound policies with tunnels: by the addresses of the selector, and by the endpoints of each of their tunnels
    /// in which there is another one.
    tunnels: [Tuples; MAX_TRANSFORMS],
    /// Destinations of the SAs of the templates of inbound policies.
    destinations: Multiset<IpAddr>,
}

/// Policies of one direction.
#[derive(Clone, Debug)]
struct OneDirection {
    order: BTreeMap<Rank, SlotNumber>,
    /// Every policy, by the addresses, protocol and ports of its selector.
    by_selector: Tuples,
    /// Policies that may match a packet whose ports, or type and code, are not available.
    without_ports: Tuples,
    /// Policies that may match a later IPv6 fragment, whose protocol is not available either.
    without_protocol: Tuples,
}

impl<const P: usize> PolicyOrder<P> {
    pub(crate) const fn new() -> Self {
        Self {
            directions: [const { OneDirection::new() }; 3],
            slots: BTreeMap::new(),
            tunnels: [const { Tuples::new() }; MAX_TRANSFORMS],
            destinations: Multiset::new(),
        }
    }

    /// Inserts a policy after the others of its priority.
    pub(crate) fn insert(
        &mut self,
        policy: &PolicyParams,
        id: PolicyId,
        slot: SlotNumber,
        _: impl Fn(SlotNumber) -> Priority,
    ) {
        self.slots.insert(id, slot);
        let rank = (policy.priority, id);
        self.direction_mut(policy.direction).order.insert(rank, slot);
        for (tuples, key) in self.tables(policy) {
            tuples.insert(key, rank, slot);
        }
        if let Some(bundle) = inbound_bundle(policy) {
            destinations(bundle).for_each(|destination| self.destinations.insert(destination));
        }
    }

    pub(crate) fn remove(&mut self, policy: &PolicyParams, id: PolicyId, slot: SlotNumber) {
        self.slots.remove(&id);
        let rank = (policy.priority, id);
        self.direction_mut(policy.direction).order.remove(&rank);
        for (tuples, key) in self.tables(policy) {
            tuples.remove(key, rank, slot);
        }
        if let Some(bundle) = inbound_bundle(policy) {
            destinations(bundle).for_each(|destination| self.destinations.remove(destination));
        }
    }

    /// Returns the tables that a policy is in, with its key in each.
    fn tables<'t>(&'t mut self, policy: &PolicyParams) -> impl Iterator<Item = (&'t mut Tuples, Key)> {
        let [inward, out, forward] = &mut self.directions;
        let direction = match policy.direction {
            PolicyDirection::In => inward,
            PolicyDirection::Out => out,
            PolicyDirection::Forward => forward,
        };
        let tunnels = inbound_bundle(policy).map(|bundle| tunnel_keys(&policy.selector, bundle));
        direction.entries(policy).chain(self.tunnels.iter_mut().zip(tunnels.into_iter().flatten()))
    }

    /// Returns whether `test` holds for an inbound policy with a tunnel that may contain packets between these
    /// addresses.
    pub(crate) fn any_with_tunnel(&self, ends: (IpAddr, IpAddr), mut test: impl FnMut(SlotNumber) -> bool) -> bool {
        let point = Point::between(ends);
        self.tunnels.iter().any(|tunnels| {
            let mut candidates = tunnels.iter().flat_map(|tuple| tunnels.candidates(tuple, &point));
            candidates.any(|(_, slot)| test(slot))
        })
    }

    /// Returns whether the SAs of an inbound policy have this destination.
    pub(crate) fn has_destination(&self, address: IpAddr, _: impl Fn(SlotNumber) -> bool) -> bool {
        self.destinations.contains(&address)
    }

    /// Finds the slot of a policy by its number.
    pub(crate) fn find(&self, id: PolicyId, _: impl Fn(SlotNumber) -> bool) -> Option<SlotNumber> {
        self.slots.get(&id).copied()
    }

    /// Returns whether any policy has this direction.
    pub(crate) fn has_policies(&self, direction: PolicyDirection) -> bool {
        !self.direction(direction).order.is_empty()
    }

    /// Iterates over the policies of a direction in the order of the search.
    pub(crate) fn of_direction(&self, direction: PolicyDirection) -> impl Iterator<Item = SlotNumber> + '_ {
        self.direction(direction).order.values().copied()
    }

    /// Returns the verdict of the first policy that has one for this flow.
    pub(crate) fn search(
        &self,
        direction: PolicyDirection,
        flow: &Flow,
        verdict: impl Fn(SlotNumber) -> Option<Verdict>,
    ) -> Option<Verdict> {
        let OneDirection { by_selector, without_ports, without_protocol, .. } = self.direction(direction);
        let key = Point::of(flow);
        let mut search = Search { first: None, verdict };
        match (flow.protocol, flow.detail) {
            (IpProto::FRAGMENT, Detail::Opaque) => {
                search.tuples(by_selector, &key, |tuple| tuple.mask.upper() == 0);
                search.tuples(without_protocol, &key, |_| true);
            }
            (_, Detail::Opaque) => {
                search.tuples(by_selector, &key, |tuple| tuple.mask.upper() & PORTS == 0);
                search.tuples(without_ports, &key, |_| true);
            }
            _ => search.tuples(by_selector, &key, |_| true),
        }
        search.first.map(|(_, verdict)| verdict)
    }

    const fn direction(&self, direction: PolicyDirection) -> &OneDirection {
        let [inward, out, forward] = &self.directions;
        match direction {
            PolicyDirection::In => inward,
            PolicyDirection::Out => out,
            PolicyDirection::Forward => forward,
        }
    }

    const fn direction_mut(&mut self, direction: PolicyDirection) -> &mut OneDirection {
        let [inward, out, forward] = &mut self.directions;
        match direction {
            PolicyDirection::In => inward,
            PolicyDirection::Out => out,
            PolicyDirection::Forward => forward,
        }
    }
}

/// Returns the bundle of an inbound PROTECT policy.
const fn inbound_bundle(policy: &PolicyParams) -> Option<&Bundle> {
    match (policy.direction, &policy.action) {
        (PolicyDirection::In | PolicyDirection::Forward, Action::Protect(bundle)) => Some(bundle),
        _ => None,
    }
}

/// Iterates over the destinations of the SAs of a bundle, as far as its templates specify them.
fn destinations(bundle: &Bundle) -> impl Iterator<Item = IpAddr> + '_ {
    bundle.iter().filter_map(|template| template.ends?.destination.0)
}

/// Iterates over the addresses between which the tunnels of a bundle carry packets: those of the selector, and the
/// endpoints of each tunnel for the next one around it.
fn tunnel_keys<'b>(selector: &Selector, bundle: &'b Bundle) -> impl Iterator<Item = Key> + use<'b> {
    let own = Key::of(&Selector { upper: Upper::Any, ..*selector });
    let tunnels = || bundle.iter().filter(|template| matches!(template.mode, Mode::Tunnel | Mode::Beet));
    let around = tunnels().count();
    let keys = core::iter::once(own).chain(tunnels().filter_map(|tunnel| tunnel.ends.as_ref().map(Key::between)));
    keys.take(around)
}

impl OneDirection {
    const fn new() -> Self {
        Self {
            order: BTreeMap::new(),
            by_selector: Tuples::new(),
            without_ports: Tuples::new(),
            without_protocol: Tuples::new(),
        }
    }

    /// Returns the tables that a policy is in, with its key in each.
    fn entries(&mut self, policy: &PolicyParams) -> impl Iterator<Item = (&mut Tuples, Key)> {
        let key = Key::of(&policy.selector);
        // A packet without ports passes over a policy that may match it and bypasses.
        let may_decide = policy.action != Action::Bypass;
        let hides_ports = may_decide && key.mask.upper() & PORTS != 0;
        let hides_protocol = may_decide && key.mask.upper() != 0;
        [
            Some((&mut self.by_selector, key)),
            hides_ports.then_some((&mut self.without_ports, key.masked(!PORTS))),
            hides_protocol.then_some((&mut self.without_protocol, key.masked(0))),
        ]
        .into_iter()
        .flatten()
    }
}

/// Search for the policy with the lowest rank.
struct Search<V> {
    first: Option<(Rank, Verdict)>,
    verdict: V,
}

impl<V: Fn(SlotNumber) -> Option<Verdict>> Search<V> {
    fn tuples(&mut self, tuples: &Tuples, flow: &Point, is_asked: impl Fn(&Tuple) -> bool) {
        for tuple in tuples.iter() {
            if self.is_behind(tuple.first) {
                return;
            }
            if !is_asked(tuple) {
                continue;
            }
            for (rank, slot) in tuples.candidates(tuple, flow) {
                if !self.is_behind(rank)
                    && let Some(verdict) = (self.verdict)(slot)
                {
                    self.first = Some((rank, verdict));
                }
            }
        }
    }

    fn is_behind(&self, rank: Rank) -> bool {
        self.first.is_some_and(|(first, _)| first < rank)
    }
}
