//! Cache of SPD lookups by flow, in sets of a few entries.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use ipsec_packet::{Detail, Flow};
use ipsec_sa::PolicyDirection;

use crate::hash_index::{address, bucket, keyed_hash};
use crate::policy_set::Verdict;
use crate::sad_index::KnownChoice;

/// Number of entries of a set. A new flow replaces one of them.
const WAYS: usize = 4;

#[cfg(not(feature = "alloc"))]
type Entries<const F: usize> = [Option<CachedFlow>; F];
#[cfg(feature = "alloc")]
type Entries<const F: usize> = Vec<Option<CachedFlow>>;

/// Number of a state of the SPD.
#[cfg(not(feature = "alloc"))]
type Generation = u16;
#[cfg(feature = "alloc")]
type Generation = u32;

/// Cache of at most `F` flows.
#[derive(Debug)]
pub(crate) struct FlowCache<const F: usize> {
    entries: Entries<F>,
    /// Secret key of the hash: without it, an attacker cannot choose flows that share a set.
    key: [u64; 2],
    /// Number of the current state of the SPD. Entries with another number are void.
    generation: Generation,
    /// Way that the next new flow replaces in a full set.
    victim: u8,
    /// Largest number of entries.
    #[cfg(feature = "alloc")]
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct CachedFlow {
    flow: Flow,
    direction: PolicyDirection,
    verdict: Verdict,
    generation: Generation,
    /// SAs of an outbound flow.
    chosen: Option<KnownChoice>,
}

/// Place of a cached flow, until the next lookup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowPlace(usize);

impl<const F: usize> FlowCache<F> {
    pub(crate) const fn new() -> Self {
        Self {
            #[cfg(not(feature = "alloc"))]
            entries: [const { None }; F],
            #[cfg(feature = "alloc")]
            entries: Vec::new(),
            key: [0, 0],
            generation: 0,
            victim: 0,
            #[cfg(feature = "alloc")]
            limit: F,
        }
    }

    /// Sets the largest number of flows.
    #[cfg(feature = "alloc")]
    pub(crate) const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Sets the key of the hash, and voids all entries.
    pub(crate) fn set_key(&mut self, key: [u64; 2]) {
        self.key = key;
        self.clear();
    }

    /// Voids all entries of the cache.
    pub(crate) fn clear(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.entries.fill(None); // an entry could have the new number
        }
    }

    /// Finds the verdict for a flow.
    pub(crate) fn find(&self, direction: PolicyDirection, flow: &Flow) -> Option<(FlowPlace, Verdict)> {
        let (start, set) = self.set(direction, flow);
        let set = self.entries.get(start..start.saturating_add(set))?;
        let way = set.iter().position(|entry| entry.as_ref().is_some_and(|cached| self.is(cached, direction, flow)))?;
        let verdict = set.get(way)?.as_ref()?.verdict;
        Some((FlowPlace(start.saturating_add(way)), verdict))
    }

    /// Returns the verdict for a flow if it is at this place.
    pub(crate) fn find_at(
        &self,
        place: FlowPlace,
        direction: PolicyDirection,
        flow: &Flow,
    ) -> Option<(FlowPlace, Verdict)> {
        let cached = self.entries.get(place.0)?.as_ref().filter(|cached| self.is(cached, direction, flow))?;
        Some((place, cached.verdict))
    }

    fn is(&self, cached: &CachedFlow, direction: PolicyDirection, flow: &Flow) -> bool {
        cached.generation == self.generation && cached.flow == *flow && cached.direction == direction
    }

    /// Returns the SAs that were chosen for the flow at a place.
    pub(crate) fn chosen_at(&self, FlowPlace(at): FlowPlace) -> Option<&KnownChoice> {
        self.entries.get(at)?.as_ref()?.chosen.as_ref()
    }

    /// Records the verdict for a flow that is not in the cache. Returns `None` if the cache has no space at all.
    pub(crate) fn insert(&mut self, direction: PolicyDirection, flow: &Flow, verdict: Verdict) -> Option<FlowPlace> {
        let (start, ways) = self.set(direction, flow);
        let generation = self.generation;
        let set = self.entries.get_mut(start..start.saturating_add(ways))?;
        let is_free = |entry: &Option<CachedFlow>| entry.as_ref().is_none_or(|cached| cached.generation != generation);
        let way = match set.iter().position(is_free) {
            Some(way) => way,
            None => {
                self.victim = self.victim.wrapping_add(1);
                usize::from(self.victim).checked_rem(ways)?
            }
        };
        *set.get_mut(way)? = Some(CachedFlow { flow: *flow, direction, verdict, generation, chosen: None });
        Some(FlowPlace(start.saturating_add(way)))
    }

    /// Allocates all entries, so that no packet does.
    #[cfg(feature = "alloc")]
    pub(crate) fn allocate(&mut self) {
        self.entries.resize(self.limit, None);
    }

    /// Returns the SAs that were chosen for a flow, for reading and writing.
    pub(crate) fn chosen(&mut self, FlowPlace(at): FlowPlace) -> Option<&mut Option<KnownChoice>> {
        self.entries.get_mut(at)?.as_mut().map(|cached| &mut cached.chosen)
    }

    /// Returns the first entry of the set of a flow, and the number of its entries.
    fn set(&self, direction: PolicyDirection, flow: &Flow) -> (usize, usize) {
        let (sets, ways) = match self.entries.len().checked_div(WAYS) {
            None | Some(0) => (1, self.entries.len()),
            Some(sets) => (sets, WAYS),
        };
        (place_of(self.key, direction, flow, sets).saturating_mul(ways), ways)
    }
}

/// Returns the number of the set of a flow, below `sets`.
fn place_of(key: [u64; 2], direction: PolicyDirection, flow: &Flow, sets: usize) -> usize {
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
    let rest = detail | direction_bits | u64::from(flow.protocol.0) << 8;
    let hash =
        if flow.source.is_ipv4() { keyed_hash(key, [a << 32 | c, rest]) } else { keyed_hash(key, [a, b, c, d, rest]) };
    bucket(hash, sets)
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use ipsec_packet::IpProto;

    use super::*;

    /// A full set loses flows; a hash that mixes badly fills few sets.
    #[test]
    fn flows_that_differ_in_one_value_are_spread_over_the_sets() {
        let v4 = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a01_0000 | n));
        let v6 = |n: u32| IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n)));
        let flow = |source, destination, ports: (u16, u16)| Flow {
            source,
            destination,
            protocol: IpProto::UDP,
            detail: Detail::Ports(ports.0, ports.1),
        };
        let port = |n: u32| u16::try_from(n).unwrap_or_default();
        let kinds: [&dyn Fn(u32) -> Flow; 6] = [
            &|n| flow(v4(n), v4(0), (1, 1)),
            &|n| flow(v4(0), v4(n), (1, 1)),
            &|n| flow(v4(0), v4(0), (port(n), 1)),
            &|n| flow(v4(0), v4(0), (1, port(n))),
            &|n| flow(v6(n), v6(0), (1, 1)),
            &|n| flow(v6(0), v6(n), (1, 1)),
        ];
        for key in [[0, 0], [0, 1], [1, 0], [u64::MAX, u64::MAX], [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]] {
            for (number, kind) in kinds.iter().enumerate() {
                let mut cache = FlowCache::<1024>::new();
                #[cfg(feature = "alloc")]
                cache.allocate();
                cache.set_key(key);
                for n in 0..512 {
                    cache.insert(PolicyDirection::Out, &kind(n), Verdict::NoPolicy);
                }
                let found = (0..512).filter(|n| cache.find(PolicyDirection::Out, &kind(*n)).is_some()).count();
                // With random sets, 94 % are found.
                assert!(found > 440, "{found} of 512 flows of kind {number} are found with key {key:x?}");
            }
        }
    }
}
