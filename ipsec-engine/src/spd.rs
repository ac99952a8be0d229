use core::fmt;
use core::time::Duration;

use heapless::Vec;
use ipsec_packet::{Detail, Flow, Match, Selector};

use crate::hash_index::{address, bucket, hash};
use crate::policy::{Action, Level, MAX_TRANSFORMS, Mode, Policy, PolicyDirection, PolicyId, Template};

/// Security Policy Database (RFC 4301 section 4.4.1), ordered, with a cache of flows.
#[derive(Debug)]
pub(crate) struct Spd<const P: usize, const F: usize> {
    /// Policies in the order of the search: by priority, and by age among equals.
    rules: Vec<Rule, P>,
    /// Selectors of the rules, stored apart so that a search reads nothing else.
    selectors: Vec<(PolicyDirection, Selector), P>,
    flows: [Option<CachedFlow>; F],
    /// Set for each of `in`, `out` and `fwd` that has a policy, so that a direction without policies is not searched.
    has_direction: [bool; 3],
    next_id: u32,
}

/// Policy with its number and state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) id: PolicyId,
    pub(crate) policy: Policy,
    /// Time of the last acquire.
    pub(crate) last_acquire: Option<Duration>,
}

/// Result of an SPD lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The policy at this index matches.
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
        const { assert!(P < 0xffff, "up to 65534 policies") };
        Self {
            rules: Vec::new(),
            selectors: Vec::new(),
            flows: [const { None }; F],
            has_direction: [false; 3],
            next_id: 1,
        }
    }

    pub(crate) fn add(&mut self, policy: Policy) -> Result<PolicyId, PolicyError> {
        if let Action::Ipsec(bundle) = policy.action {
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
        let id = PolicyId(self.next_id);
        let at = self.rules.iter().take_while(|rule| rule.policy.priority <= policy.priority).count();
        self.rules.push(Rule { id, policy, last_acquire: None }).map_err(|_| PolicyError::Full)?;
        self.selectors.push((policy.direction, policy.selector)).map_err(|_| PolicyError::Full)?;
        rotate_last_to(&mut self.rules, at);
        rotate_last_to(&mut self.selectors, at);
        self.next_id = self.next_id.saturating_add(1);
        self.note_directions();
        self.forget_flows();
        Ok(id)
    }

    pub(crate) fn find(&self, direction: PolicyDirection, selector: &Selector) -> Option<PolicyId> {
        let at = self.selectors.iter().position(|known| *known == (direction, *selector))?;
        self.rules.get(at).map(|rule| rule.id)
    }

    pub(crate) fn remove(&mut self, id: PolicyId) -> Option<Policy> {
        let at = self.rules.iter().position(|rule| rule.id == id)?;
        let policy = self.rules.get(at)?.policy;
        remove_at(&mut self.rules, at);
        remove_at(&mut self.selectors, at);
        self.note_directions();
        self.forget_flows();
        Some(policy)
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn rule(&self, at: u16) -> Option<&Rule> {
        self.rules.get(usize::from(at))
    }

    pub(crate) fn rule_mut(&mut self, at: u16) -> Option<&mut Rule> {
        self.rules.get_mut(usize::from(at))
    }

    pub(crate) fn forget_flows(&mut self) {
        self.flows.fill(None);
    }

    fn note_directions(&mut self) {
        let any = |direction| self.selectors.iter().any(|(rule_direction, _)| *rule_direction == direction);
        self.has_direction = [PolicyDirection::In, PolicyDirection::Out, PolicyDirection::Forward].map(any);
    }

    /// Returns whether any policy has this direction.
    pub(crate) fn has_policies(&self, direction: PolicyDirection) -> bool {
        let [inward, out, forward] = self.has_direction;
        match direction {
            PolicyDirection::In => inward,
            PolicyDirection::Out => out,
            PolicyDirection::Forward => forward,
        }
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
        for ((rule_direction, selector), at) in self.selectors.iter().zip(0u16..) {
            if *rule_direction != direction {
                continue;
            }
            match selector.matches(flow) {
                Match::No => {}
                Match::Yes => return Verdict::Rule(at),
                // The search continues behind a policy that would let the packet pass. Behind one that would not, it
                // must not.
                Match::Unknown if self.rule(at).is_none_or(|rule| rule.policy.action.passes()) => {}
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
fn rotate_last_to<T, const N: usize>(items: &mut Vec<T, N>, at: usize) {
    if let Some(tail @ [_, ..]) = items.get_mut(at..) {
        tail.rotate_right(1);
    }
}

fn remove_at<T, const N: usize>(items: &mut Vec<T, N>, at: usize) {
    if let Some(tail @ [_, ..]) = items.get_mut(at..) {
        tail.rotate_left(1);
        items.pop();
    }
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
