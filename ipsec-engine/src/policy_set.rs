//! Policies with the indexes by which they are found, without the state of an engine.

use core::fmt;
use core::iter;
use core::net::IpAddr;

use ipsec_packet::{AddressRange, Flow, Instant, Match, PortRange, Selector, Upper};
use ipsec_sa::{Action, Level, Mode, PolicyDirection, PolicyId, PolicyParams, Priority, Template};

use crate::hash_index::{Index, address, hash};
#[cfg(not(feature = "alloc"))]
use crate::linear_search::PolicyOrder;
use crate::table::{SlotNumber, Table};
#[cfg(feature = "alloc")]
use crate::tuple_space::PolicyOrder;

/// Policies of all directions in the order of the SPD (RFC 4301 section 4.4.1).
#[derive(Debug)]
#[cfg_attr(feature = "alloc", derive(Clone))]
pub struct PolicySet<const P: usize> {
    /// Policies in slots, which they keep until they are removed.
    rules: Table<Option<Rule>, P>,
    /// Selectors of the rules by slot, stored separately so that a search reads no other data.
    selectors: Table<(PolicyDirection, Selector), P>,
    /// Slots in the order of the search.
    order: PolicyOrder<P>,
    /// Slots of removed policies.
    free: Table<SlotNumber, P>,
    /// Slots by direction and selector.
    index: Index<P>,
    next_id: u32,
}

/// Policy with its number and state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) id: PolicyId,
    pub(crate) policy: PolicyParams,
    /// Time of the last acquire.
    pub(crate) last_acquire: Option<Instant>,
}

/// Result of an SPD lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The policy in this slot matches.
    Rule(SlotNumber),
    /// No policy matches the packet.
    NoPolicy,
    /// A policy that discards or protects may match, but the flow has no ports.
    Opaque,
}

/// Reason why a policy was not added (RFC 4301 section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// A policy with the same selector and direction exists.
    Exists(PolicyId),
    /// The SPD is full.
    Full,
    /// The policy protects and has no template.
    NoTransform,
    /// A tunnel-mode template has neither the address of the peer nor level `unique`, so that an SA of any peer would
    /// match.
    NoEndpoints,
    /// The engine shares its policies with others and does not change them.
    Shared,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(id) => write!(f, "duplicate selector: policy {id}"),
            Self::Full => f.write_str("policy table is full"),
            Self::NoTransform => f.write_str("PROTECT policy without a template"),
            Self::NoEndpoints => f.write_str("tunnel-mode template without endpoints"),
            Self::Shared => f.write_str("policies are shared with other engines"),
        }
    }
}

impl core::error::Error for PolicyError {}

impl<const P: usize> PolicySet<P> {
    pub(crate) const fn new() -> Self {
        Self {
            rules: Table::new(),
            selectors: Table::new(),
            order: PolicyOrder::new(),
            free: Table::new(),
            index: Index::new(),
            next_id: 1,
        }
    }

    /// Sets the largest number of policies.
    #[cfg(feature = "alloc")]
    pub(crate) const fn set_limit(&mut self, policies: usize) {
        self.rules.set_limit(policies);
        self.selectors.set_limit(policies);
        self.free.set_limit(policies);
    }

    /// Returns a number that no policy has or will get.
    #[cfg(feature = "alloc")]
    pub(crate) const fn reserve_id(&mut self) -> PolicyId {
        let id = PolicyId::new(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    pub(crate) fn add(&mut self, policy: PolicyParams) -> Result<PolicyId, PolicyError> {
        let id = PolicyId::new(self.next_id);
        self.add_as(id, policy)?;
        self.next_id = self.next_id.saturating_add(1);
        Ok(id)
    }

    /// Adds a policy with a number that was reserved.
    #[cfg(feature = "alloc")]
    pub(crate) fn add_reserved(&mut self, id: PolicyId, policy: PolicyParams) -> Result<(), PolicyError> {
        if self.order.find(id, |slot| self.rule(slot).is_some_and(|rule| rule.id == id)).is_some() {
            return Err(PolicyError::Exists(id));
        }
        self.add_as(id, policy)?;
        // A number that was not reserved is not given to another policy, either.
        self.next_id = self.next_id.max(id.get().saturating_add(1));
        Ok(())
    }

    fn add_as(&mut self, id: PolicyId, policy: PolicyParams) -> Result<(), PolicyError> {
        check(&policy)?;
        if let Some(id) = self.find(policy.direction, &policy.selector) {
            return Err(PolicyError::Exists(id));
        }
        let slot = self.free_slot().ok_or(PolicyError::Full)?;
        if let Some(rule) = self.rules.get_mut(slot.index()) {
            *rule = Some(Rule { id, policy, last_acquire: None });
        }
        if let Some(selector) = self.selectors.get_mut(slot.index()) {
            *selector = (policy.direction, policy.selector);
        }
        let rules = &self.rules;
        self.order.insert(&policy, id, slot, |slot| {
            rules.get(slot.index()).and_then(Option::as_ref).map_or(Priority(u32::MAX), |rule| rule.policy.priority)
        });
        self.index.insert(hash_of(policy.direction, &policy.selector), slot);
        Ok(())
    }

    /// Returns the slot of a removed policy, or a new one.
    fn free_slot(&mut self) -> Option<SlotNumber> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = SlotNumber::of(self.rules.len())?;
        let any = Selector { source: AddressRange::ANY_V4, destination: AddressRange::ANY_V4, upper: Upper::Any };
        self.rules.push(None).ok()?;
        self.selectors.push((PolicyDirection::In, any)).ok()?;
        Some(slot)
    }

    pub(crate) fn find(&self, direction: PolicyDirection, selector: &Selector) -> Option<PolicyId> {
        let wanted = (direction, *selector);
        let slot = self
            .index
            .find(hash_of(direction, selector))
            .find(|slot| self.selectors.get(slot.index()).is_some_and(|known| *known == wanted))?;
        self.rule(slot).map(|rule| rule.id)
    }

    pub(crate) fn remove(&mut self, id: PolicyId) -> Option<PolicyParams> {
        let slot = self.order.find(id, |slot| self.rule(slot).is_some_and(|rule| rule.id == id))?;
        let policy = self.rules.get_mut(slot.index())?.take()?.policy;
        self.order.remove(&policy, id, slot);
        self.index.remove(hash_of(policy.direction, &policy.selector), slot);
        let _ = self.free.push(slot); // it has space for every slot
        Some(policy)
    }

    /// Iterates over the policies of all directions, by priority and by age among equals.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        let rank = |rule: &&Rule| (rule.policy.priority, rule.id);
        let mut rest = [PolicyDirection::In, PolicyDirection::Out, PolicyDirection::Forward]
            .map(|direction| self.rules_of(direction).peekable());
        iter::from_fn(move || {
            let first = rest.iter_mut().filter_map(|rules| Some((rules.peek().map(rank)?, rules)));
            first.min_by_key(|(rank, _)| *rank)?.1.next()
        })
    }

    /// Iterates over the policies of a direction in the order of the search.
    pub(crate) fn rules_of(&self, direction: PolicyDirection) -> impl Iterator<Item = &Rule> {
        self.order.of_direction(direction).filter_map(|slot| self.rule(slot))
    }

    /// Iterates over the policies for `in`, then over those for `fwd`.
    pub(crate) fn inbound_rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules_of(PolicyDirection::In).chain(self.rules_of(PolicyDirection::Forward))
    }

    /// Returns whether `test` holds for an inbound policy with a tunnel that may contain packets between these
    /// addresses.
    pub(crate) fn any_with_tunnel(&self, ends: (IpAddr, IpAddr), mut test: impl FnMut(&Rule) -> bool) -> bool {
        self.order.any_with_tunnel(ends, |slot| self.rule(slot).is_some_and(&mut test))
    }

    /// Returns whether the SAs of an inbound policy have this destination.
    pub(crate) fn has_destination(&self, address: IpAddr) -> bool {
        self.order.has_destination(address, |slot| match self.rule(slot).map(|rule| &rule.policy.action) {
            Some(Action::Protect(bundle)) => {
                bundle.iter().any(|template| template.ends.is_some_and(|ends| ends.destination.0 == Some(address)))
            }
            _ => false,
        })
    }

    /// Returns the number of slots, those of removed policies included.
    #[cfg(feature = "alloc")]
    pub(crate) fn slots(&self) -> usize {
        self.rules.len()
    }

    pub(crate) fn rule(&self, slot: SlotNumber) -> Option<&Rule> {
        self.rules.get(slot.index())?.as_ref()
    }

    /// Returns whether a policy has this number.
    #[cfg(all(feature = "shards", target_has_atomic = "64"))]
    pub(crate) fn contains(&self, id: PolicyId) -> bool {
        self.order.find(id, |_| true).is_some()
    }

    /// Returns the time of the last acquire of a policy, for reading and writing.
    pub(crate) fn last_acquire(&mut self, slot: SlotNumber) -> Option<&mut Option<Instant>> {
        Some(&mut self.rules.get_mut(slot.index())?.as_mut()?.last_acquire)
    }

    /// Returns whether any policy has this direction.
    pub(crate) fn has_policies(&self, direction: PolicyDirection) -> bool {
        self.order.has_policies(direction)
    }

    /// Searches the policy of a flow.
    pub(crate) fn search(&self, direction: PolicyDirection, flow: &Flow) -> Verdict {
        let verdict = |at: SlotNumber| {
            let (_, selector) = self.selectors.get(at.index())?;
            match selector.matches(flow) {
                Match::No => None,
                Match::Yes => Some(Verdict::Rule(at)),
                // The search continues after a policy that would let the packet pass. Behind one that would not, it
                // must not.
                Match::Unknown if self.rule(at).is_none_or(|rule| rule.policy.action == Action::Bypass) => None,
                Match::Unknown => Some(Verdict::Opaque),
            }
        };
        self.order.search(direction, flow, verdict).unwrap_or(Verdict::NoPolicy)
    }
}

/// Checks the templates of a policy, independently of other policies.
///
/// # Errors
/// [`PolicyError::NoTransform`] or [`PolicyError::NoEndpoints`].
pub(crate) fn check(policy: &PolicyParams) -> Result<(), PolicyError> {
    let Action::Protect(bundle) = &policy.action else { return Ok(()) };
    if bundle.iter().next().is_none() {
        return Err(PolicyError::NoTransform);
    }
    if bundle.iter().any(|template| matches_any_peer(template, policy.direction)) {
        return Err(PolicyError::NoEndpoints);
    }
    Ok(())
}

/// Returns whether an SA of any peer would match a template: it has no address of the peer, and no request ID is
/// required.
fn matches_any_peer(template: &Template, direction: PolicyDirection) -> bool {
    let Some(ends) = template.ends else { return matches!(template.mode, Mode::Tunnel | Mode::Beet) };
    let (other_end, _) = if direction == PolicyDirection::Out { ends.destination } else { ends.source };
    let is_unique = !matches!(template.level, Level::Default | Level::Use | Level::Require | Level::UniqueId(0));
    template.mode != Mode::Transport && other_end.is_none() && !is_unique
}

/// Returns the hash of a direction and a selector for the index.
fn hash_of(direction: PolicyDirection, selector: &Selector) -> u64 {
    let ([a, b], [c, d]) = (address(selector.source.first()), address(selector.source.last()));
    let ([e, f], [g, h]) = (address(selector.destination.first()), address(selector.destination.last()));
    let (kind, i, j) = match selector.upper {
        Upper::Any => (0, 0, 0),
        Upper::Ports(protocol, source, destination) => {
            let ports = |range: PortRange| u64::from(range.first) << 16 | u64::from(range.last);
            (1, protocol.map_or(256, |protocol| u64::from(protocol.0)), ports(source) << 32 | ports(destination))
        }
        Upper::Protocol(protocol) => (2, u64::from(protocol.0), 0),
        Upper::Icmp(protocol, kind, code) => {
            (3, u64::from(protocol.0), u64::from(kind) << 16 | code.map_or(256, u64::from))
        }
    };
    let direction = match direction {
        PolicyDirection::In => 0,
        PolicyDirection::Out => 1,
        PolicyDirection::Forward => 2,
    };
    hash([a, b, c, d, e, f, g, h, i, j, direction << 8 | kind])
}
