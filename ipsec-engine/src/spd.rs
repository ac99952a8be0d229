use core::fmt;
use core::time::Duration;

use heapless::Vec;
use ipsec_packet::{Detail, Flow, Match, Selector};

use crate::hash_index::{address, bucket, hash};
use crate::policy::{Action, Level, MAX_TRANSFORMS, Mode, Policy, PolicyDirection, PolicyId, Template};

/// The database of policies: in their order, with a cache of flows in front.
#[derive(Debug)]
pub(crate) struct Spd<const P: usize, const F: usize> {
    /// In the order in which they are looked at: by priority, and among equals by age.
    rules: Vec<Rule, P>,
    /// What rules select, apart: a search reads nothing else.
    selectors: Vec<(PolicyDirection, Selector), P>,
    flows: [Option<CachedFlow>; F],
    /// Whether there are any for `in`, `out` and `fwd`: few have all, and none are not worth a search.
    has_direction: [bool; 3],
    next_id: u32,
}

/// A policy and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) id: PolicyId,
    pub(crate) policy: Policy,
    /// When it asked for an SA last.
    pub(crate) last_acquire: Option<Duration>,
}

/// What the policies say to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The policy at this place.
    Rule(u16),
    /// There is none.
    NoPolicy,
    /// One that discards or protects might be for it, if only its ports were there.
    Opaque,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CachedFlow {
    flow: Flow,
    direction: PolicyDirection,
    verdict: Verdict,
    /// The SAs of an outbound flow, as of this generation of the other database.
    pub(crate) chosen: Option<(u32, Chosen)>,
}

/// The slots of the SAs that serve the transforms of a policy, in their order; `None` where one goes without.
pub(crate) type Chosen = [Option<u16>; MAX_TRANSFORMS];

/// Why a policy was not added (RFC 4301 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// There is one with the same selector and direction.
    Exists(PolicyId),
    /// There is no room.
    Full,
    /// It is to protect, and says with nothing.
    NoTransform,
    /// A tunnel whose other end is not named, and which is not unique either: anybody's would do.
    NoEndpoints,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(id) => write!(f, "policy {id} is for the same packets"),
            Self::Full => f.write_str("no room for another policy"),
            Self::NoTransform => f.write_str("a policy that protects with nothing"),
            Self::NoEndpoints => f.write_str("a tunnel that does not say with whom"),
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
            if bundle.iter().any(|template| is_anybodys(template, policy.direction)) {
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

    /// Whether any policy is for this direction.
    pub(crate) fn has_policies(&self, direction: PolicyDirection) -> bool {
        let [inward, out, forward] = self.has_direction;
        match direction {
            PolicyDirection::In => inward,
            PolicyDirection::Out => out,
            PolicyDirection::Forward => forward,
        }
    }

    /// What the policies say to a flow, and whether the cache knew it.
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

    /// The place of a flow in the cache, if it is there.
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
                // What might be let pass goes on to those that follow; what might not, must not slip through.
                Match::Unknown if self.rule(at).is_none_or(|rule| rule.policy.action.passes()) => {}
                Match::Unknown => return Verdict::Opaque,
            }
        }
        Verdict::NoPolicy
    }
}

/// Whether any peer's tunnel would serve a transform: its other end is not named, nor is it for the SAs of one number.
fn is_anybodys(template: &Template, direction: PolicyDirection) -> bool {
    let Some(ends) = template.ends else { return matches!(template.mode, Mode::Tunnel | Mode::Beet) };
    let (other_end, _) = if direction == PolicyDirection::Out { ends.destination } else { ends.source };
    let is_unique = !matches!(template.level, Level::Default | Level::Use | Level::Require | Level::UniqueId(0));
    template.mode != Mode::Transport && other_end.is_none() && !is_unique
}

/// Moves the last element to `at`; those from there on move back by one.
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
