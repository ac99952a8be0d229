use ipsec_packet::{Flow, Instant};

use crate::flow_cache::{FlowCache, FlowPlace};
use crate::policy_set::{PolicyError, PolicySet, Verdict};
#[cfg(feature = "alloc")]
use crate::rule_choices::RuleChoices;
use crate::sad_index::KnownChoice;
use crate::shards::Held;
use crate::table::SlotNumber;
use ipsec_sa::{MAX_TRANSFORMS, Mode, PolicyDirection, PolicyId, PolicyParams};

/// Security Policy Database (RFC 4301 section 4.4.1): policies, with a cache of flows.
#[derive(Debug)]
pub(crate) struct Spd<const P: usize, const F: usize> {
    policies: Held<P>,
    flows: FlowCache<F>,
    /// SAs of the policies whose templates select them without the packet.
    #[cfg(feature = "alloc")]
    choices: RuleChoices,
}

/// Result of an SPD lookup through the cache of flows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    pub(crate) verdict: Verdict,
    /// Set if the flow was in the cache.
    pub(crate) hit: bool,
    /// Place of the flow in the cache; `None` if it has no space, or if the lookup does not change it.
    pub(crate) place: Option<FlowPlace>,
}

/// SAs of the templates of a policy, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chosen {
    /// Slots of the SAs; `None` for an optional template without an SA.
    slots: [Option<SlotNumber>; MAX_TRANSFORMS],
    /// Modes in which they are used.
    modes: [Mode; MAX_TRANSFORMS],
}

impl Chosen {
    /// Sets the SA of the template at this index.
    pub(crate) fn set(&mut self, template: usize, at: SlotNumber, mode: Mode) {
        if let (Some(slot), Some(place)) = (self.slots.get_mut(template), self.modes.get_mut(template)) {
            (*slot, *place) = (Some(at), mode);
        }
    }

    /// Iterates over the slots of the SAs and their modes, the innermost first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SlotNumber, Mode)> + '_ {
        self.slots.iter().zip(&self.modes).filter_map(|(at, mode)| Some(((*at)?, *mode)))
    }
}

impl<const P: usize, const F: usize> Spd<P, F> {
    pub(crate) const fn new() -> Self {
        Self {
            policies: Held::own(),
            flows: FlowCache::new(),
            #[cfg(feature = "alloc")]
            choices: RuleChoices::new(),
        }
    }

    /// Sets the largest numbers of policies and cached flows.
    #[cfg(feature = "alloc")]
    pub(crate) const fn set_limits(&mut self, policies: usize, flows: usize) {
        self.policies.set_limit(policies);
        self.flows.set_limit(flows);
    }

    /// Returns the policies of the SPD.
    pub(crate) fn policies(&self) -> &PolicySet<P> {
        self.policies.get()
    }

    pub(crate) fn add(&mut self, policy: PolicyParams) -> Result<PolicyId, PolicyError> {
        let id = self.policies.own_mut()?.add(policy)?;
        self.changed();
        Ok(id)
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn reserve_id(&mut self) -> Result<PolicyId, PolicyError> {
        Ok(self.policies.own_mut()?.reserve_id())
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn add_reserved(&mut self, id: PolicyId, policy: PolicyParams) -> Result<(), PolicyError> {
        self.policies.own_mut()?.add_reserved(id, policy)?;
        self.changed();
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: PolicyId) -> Option<PolicyParams> {
        let policy = self.policies.own_mut().ok()?.remove(id)?;
        self.changed();
        Some(policy)
    }

    /// Replaces the policies of the SPD.
    #[cfg(all(feature = "shards", target_has_atomic = "64"))]
    pub(crate) fn replace_policies(&mut self, policies: Held<P>) {
        self.policies = policies;
        self.changed();
    }

    /// Voids the cached flows, whose policies may have changed.
    fn changed(&mut self) {
        #[cfg(feature = "alloc")]
        {
            self.flows.allocate();
            self.choices.allocate(self.policies.get().slots());
        }
        self.forget_flows();
    }

    /// Returns the time of the last acquire of a policy, for reading and writing.
    pub(crate) fn last_acquire(&mut self, slot: SlotNumber) -> Option<&mut Option<Instant>> {
        self.policies.last_acquire(slot)
    }

    pub(crate) fn forget_flows(&mut self) {
        self.flows.clear();
        #[cfg(feature = "alloc")]
        self.choices.clear();
    }

    /// Sets the key of the hash of the flow cache.
    pub(crate) fn set_hash_key(&mut self, key: [u64; 2]) {
        self.flows.set_key(key);
    }

    /// Looks a flow up without changing the cache, so that [`lookup`](Self::lookup) is faster.
    pub(crate) fn look_ahead(&self, direction: PolicyDirection, flow: &Flow) -> Lookup {
        match self.flows.find(direction, flow) {
            Some((place, verdict)) => Lookup { verdict, hit: true, place: Some(place) },
            None => Lookup { verdict: self.policies().search(direction, flow), hit: false, place: None },
        }
    }

    /// Looks a flow up in the cache, or searches its policy. `ahead` is the result of [`look_ahead`](Self::look_ahead)
    /// if no policy was changed since then; other flows may have changed the cache.
    pub(crate) fn lookup(&mut self, ahead: Option<Lookup>, direction: PolicyDirection, flow: &Flow) -> Lookup {
        let there = ahead.and_then(|ahead| self.flows.find_at(ahead.place?, direction, flow));
        if let Some((place, verdict)) = there.or_else(|| self.flows.find(direction, flow)) {
            return Lookup { verdict, hit: true, place: Some(place) };
        }
        let place = self.flows.place_for(direction, flow);
        let verdict = ahead.map_or_else(|| self.policies().search(direction, flow), |ahead| ahead.verdict);
        let place = place.map(|place| self.flows.insert(place, (direction, flow), verdict));
        Lookup { verdict, hit: false, place }
    }

    /// Returns the SAs that were chosen for the policy of a flow, or for the flow if it was in the cache.
    pub(crate) fn chosen(&self, lookup: &Lookup) -> Option<&KnownChoice> {
        self.choice(lookup.verdict).or_else(|| self.flows.chosen_at(lookup.place.filter(|_| lookup.hit)?))
    }

    /// Returns the SAs that were chosen for a policy, as they do not depend on the packet.
    #[cfg(feature = "alloc")]
    fn choice(&self, verdict: Verdict) -> Option<&KnownChoice> {
        match verdict {
            Verdict::Rule(rule) => self.choices.get(rule),
            Verdict::NoPolicy | Verdict::Opaque => None,
        }
    }

    #[cfg(not(feature = "alloc"))]
    const fn choice(&self, _: Verdict) -> Option<&KnownChoice> {
        None
    }

    /// Records the SAs that were chosen for a flow. Unless they depend on the packet, they are those of all flows of
    /// its policy.
    #[cfg_attr(not(feature = "alloc"), allow(unused_variables))]
    pub(crate) fn set_chosen(&mut self, lookup: &Lookup, known: KnownChoice, depends_on_packet: bool) {
        match (lookup.verdict, lookup.place) {
            #[cfg(feature = "alloc")]
            (Verdict::Rule(rule), _) if !depends_on_packet => self.choices.set(rule, known),
            (_, Some(place)) => self.flows.set_chosen(place, known),
            (_, None) => {}
        }
    }
}
