use core::fmt;
use core::iter;

use ipsec_packet::{AddressRange, Detail, Flow, Instant, Match, PortRange, Selector, Upper};

use crate::hash_index::{Index, address, bucket, hash};
use crate::table::Table;
use ipsec_sa::{Action, Level, MAX_TRANSFORMS, Mode, PolicyDirection, PolicyId, PolicyParams, Priority, Template};

/// Security Policy Database (RFC 4301 section 4.4.1), ordered, with a cache of flows.
#[derive(Debug)]
pub(crate) struct Spd<const P: usize, const F: usize> {
    /// Policies in slots, which they keep until they are removed.
    rules: Table<Option<Rule>, P>,
    /// Selectors of the rules by slot, stored apart so that a search reads nothing else.
    selectors: Table<(PolicyDirection, Selector), P>,
    /// Slots in the order of the search: by direction, by priority, and by age among equals.
    order: Table<u16, P>,
    /// Slots of removed policies.
    free: Table<u16, P>,
    /// Slots by direction and selector.
    index: Index<P>,
    flows: [Option<CachedFlow>; F],
    /// Number of policies for `in`, `out` and `fwd`, which follow each other in `order`.
    per_direction: [u16; 3],
    next_id: u32,
}

/// Directions in the order of [`Spd::per_direction`].
const DIRECTIONS: [PolicyDirection; 3] = [PolicyDirection::In, PolicyDirection::Out, PolicyDirection::Forward];

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
    Rule(u16),
    /// No policy matches.
    NoPolicy,
    /// A policy that discards or protects may match, but the flow has no ports.
    Opaque,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CachedFlow {
    flow: Flow,
    direction: PolicyDirection,
    verdict: Verdict,
    /// SAs of an outbound flow, valid for this generation of the SAD.
    pub(crate) chosen: Option<(u32, Chosen)>,
}

/// Slots of the SAs of the templates of a policy, in their order; `None` for an optional template without an SA.
pub(crate) type Chosen = [Option<u16>; MAX_TRANSFORMS];

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
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(id) => write!(f, "duplicate selector: policy {id}"),
            Self::Full => f.write_str("policy table is full"),
            Self::NoTransform => f.write_str("PROTECT policy without a template"),
            Self::NoEndpoints => f.write_str("tunnel-mode template without endpoints"),
        }
    }
}

impl core::error::Error for PolicyError {}

impl<const P: usize, const F: usize> Spd<P, F> {
    pub(crate) const fn new() -> Self {
        Self {
            rules: Table::new(),
            selectors: Table::new(),
            order: Table::new(),
            free: Table::new(),
            index: Index::new(),
            flows: [const { None }; F],
            per_direction: [0; 3],
            next_id: 1,
        }
    }

    pub(crate) fn add(&mut self, policy: PolicyParams) -> Result<PolicyId, PolicyError> {
        if let Action::Protect(bundle) = policy.action {
            if bundle.iter().next().is_none() {
                return Err(PolicyError::NoTransform);
            }
            if bundle.iter().any(|template| matches_any_peer(template, policy.direction)) {
                return Err(PolicyError::NoEndpoints);
            }
        }
        if let Some(id) = self.find(policy.direction, &policy.selector) {
            return Err(PolicyError::Exists(id));
        }
        let id = PolicyId::new(self.next_id);
        let priority_of = |&slot: &u16| self.rule(slot).map_or(Priority(u32::MAX), |rule| rule.policy.priority);
        let (start, slots) = self.slots(policy.direction);
        let position = start.saturating_add(slots.partition_point(|slot| priority_of(slot) <= policy.priority));
        let slot = self.free_slot().ok_or(PolicyError::Full)?;
        self.order.push(slot).map_err(|_| PolicyError::Full)?;
        rotate_last_to(&mut self.order, position);
        if let Some(rule) = self.rules.get_mut(usize::from(slot)) {
            *rule = Some(Rule { id, policy, last_acquire: None });
        }
        if let Some(selector) = self.selectors.get_mut(usize::from(slot)) {
            *selector = (policy.direction, policy.selector);
        }
        self.index.insert(hash_of(policy.direction, &policy.selector), slot);
        self.next_id = self.next_id.saturating_add(1);
        self.count(policy.direction, |policies| policies.saturating_add(1));
        self.forget_flows();
        Ok(id)
    }

    /// Returns the slot of a removed policy, or a new one.
    fn free_slot(&mut self) -> Option<u16> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = u16::try_from(self.rules.len()).ok()?;
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
            .find(|&slot| self.selectors.get(usize::from(slot)).is_some_and(|known| *known == wanted))?;
        self.rule(slot).map(|rule| rule.id)
    }

    pub(crate) fn remove(&mut self, id: PolicyId) -> Option<PolicyParams> {
        let position = self.order.iter().position(|&slot| self.rule(slot).is_some_and(|rule| rule.id == id))?;
        let slot = remove_at(&mut self.order, position)?;
        let policy = self.rules.get_mut(usize::from(slot))?.take()?.policy;
        self.index.remove(hash_of(policy.direction, &policy.selector), slot);
        let _ = self.free.push(slot); // it has space for every slot
        self.count(policy.direction, |policies| policies.saturating_sub(1));
        self.forget_flows();
        Some(policy)
    }

    /// Iterates over the policies of all directions, by priority and by age among equals.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        let mut rest = DIRECTIONS.map(|direction| self.slots(direction).1);
        iter::from_fn(move || {
            let first = |slots: &&[u16]| self.rule(*slots.first()?);
            let (rule, slots) = rest
                .iter_mut()
                .filter_map(|slots| Some((first(slots)?, slots)))
                .min_by_key(|(rule, _)| (rule.policy.priority, rule.id))?;
            *slots = slots.get(1..).unwrap_or_default();
            Some(rule)
        })
    }

    /// Iterates over the policies of a direction in the order of the search.
    pub(crate) fn rules_of(&self, direction: PolicyDirection) -> impl Iterator<Item = &Rule> {
        self.slots(direction).1.iter().filter_map(|&slot| self.rule(slot))
    }

    /// Iterates over the policies for `in`, then over those for `fwd`.
    pub(crate) fn inbound_rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules_of(PolicyDirection::In).chain(self.rules_of(PolicyDirection::Forward))
    }

    /// Returns the slots of a direction in the order of the search, and their position in `order`.
    fn slots(&self, direction: PolicyDirection) -> (usize, &[u16]) {
        let [inward, out, forward] = self.per_direction.map(usize::from);
        let (start, length) = match direction {
            PolicyDirection::In => (0, inward),
            PolicyDirection::Out => (inward, out),
            PolicyDirection::Forward => (inward.saturating_add(out), forward),
        };
        (start, self.order.get(start..).and_then(|slots| slots.get(..length)).unwrap_or_default())
    }

    pub(crate) fn rule(&self, slot: u16) -> Option<&Rule> {
        self.rules.get(usize::from(slot))?.as_ref()
    }

    pub(crate) fn rule_mut(&mut self, slot: u16) -> Option<&mut Rule> {
        self.rules.get_mut(usize::from(slot))?.as_mut()
    }

    pub(crate) fn forget_flows(&mut self) {
        self.flows.fill(None);
    }

    fn count(&mut self, direction: PolicyDirection, change: impl FnOnce(u16) -> u16) {
        let [inward, out, forward] = &mut self.per_direction;
        let policies = match direction {
            PolicyDirection::In => inward,
            PolicyDirection::Out => out,
            PolicyDirection::Forward => forward,
        };
        *policies = change(*policies);
    }

    /// Returns whether any policy has this direction.
    pub(crate) fn has_policies(&self, direction: PolicyDirection) -> bool {
        !self.slots(direction).1.is_empty()
    }

    /// Looks a flow up. Returns the result and whether it was cached.
    pub(crate) fn lookup(&mut self, direction: PolicyDirection, flow: &Flow) -> (Verdict, bool) {
        let known = self.cached(direction, flow).as_ref().map(|cached| cached.verdict);
        if let Some(verdict) = known {
            return (verdict, true);
        }
        let verdict = self.search(direction, flow);
        let place = place_of(direction, flow, F);
        if let Some(place) = self.flows.get_mut(place) {
            *place = Some(CachedFlow { flow: *flow, direction, verdict, chosen: None });
        }
        (verdict, false)
    }

    /// Returns the cache entry of a flow.
    pub(crate) fn cached(&mut self, direction: PolicyDirection, flow: &Flow) -> Option<&mut CachedFlow> {
        let cached = self.flows.get_mut(place_of(direction, flow, F))?.as_mut()?;
        (cached.flow == *flow && cached.direction == direction).then_some(cached)
    }

    fn search(&self, direction: PolicyDirection, flow: &Flow) -> Verdict {
        for &at in self.slots(direction).1 {
            let Some((_, selector)) = self.selectors.get(usize::from(at)) else { continue };
            match selector.matches(flow) {
                Match::No => {}
                Match::Yes => return Verdict::Rule(at),
                // The search continues behind a policy that would let the packet pass. Behind one that would not, it
                // must not.
                Match::Unknown if self.rule(at).is_none_or(|rule| rule.policy.action == Action::Bypass) => {}
                Match::Unknown => return Verdict::Opaque,
            }
        }
        Verdict::NoPolicy
    }
}

/// Returns whether an SA of any peer would match a template: it has no address of the peer, and no request ID is
/// required.
fn matches_any_peer(template: &Template, direction: PolicyDirection) -> bool {
    let Some(ends) = template.ends else { return matches!(template.mode, Mode::Tunnel | Mode::Beet) };
    let (other_end, _) = if direction == PolicyDirection::Out { ends.destination } else { ends.source };
    let is_unique = !matches!(template.level, Level::Default | Level::Use | Level::Require | Level::UniqueId(0));
    template.mode != Mode::Transport && other_end.is_none() && !is_unique
}

/// Moves the last element to `at` and shifts the following elements by one.
fn rotate_last_to<T, const N: usize>(items: &mut Table<T, N>, at: usize) {
    if let Some(tail @ [_, ..]) = items.get_mut(at..) {
        tail.rotate_right(1);
    }
}

/// Removes the element at `at` and shifts the following elements by one.
fn remove_at<T: Copy, const N: usize>(items: &mut Table<T, N>, at: usize) -> Option<T> {
    if let Some(tail @ [_, ..]) = items.get_mut(at..) {
        tail.rotate_left(1);
        return items.pop();
    }
    None
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

fn place_of(direction: PolicyDirection, flow: &Flow, of: usize) -> usize {
    let ([a, b], [c, d]) = (address(flow.source), address(flow.destination));
    let detail = match flow.detail {
        Detail::None => 0,
        Detail::Opaque => 1,
        Detail::Ports(source, destination) => 2 | u64::from(source) << 32 | u64::from(destination) << 16,
        Detail::Icmp(kind, code) => 3 | u64::from(kind) << 32 | u64::from(code) << 16,
    };
    let direction_bits = match direction {
        PolicyDirection::In => 0,
        PolicyDirection::Out => 1 << 2,
        PolicyDirection::Forward => 2 << 2,
    };
    bucket(hash([a, b, c, d, detail | direction_bits | u64::from(flow.protocol.0) << 8]), of)
}
