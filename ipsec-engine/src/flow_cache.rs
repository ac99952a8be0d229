//! Cache of SPD lookups by flow, in sets of a few entries.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
#[cfg(feature = "alloc")]
use core::hint::black_box;

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

#[cfg(not(feature = "alloc"))]
type Choices<const F: usize> = [Option<KnownChoice>; F];
#[cfg(feature = "alloc")]
type Choices<const F: usize> = Vec<Option<KnownChoice>>;

/// Tag of an entry: four bits of its generation, and 12 bits of the hash of its flow; 0 if it was never used. A flow
/// that is not in the cache differs from nearly all entries of its set by it, so that no entry is read.
#[cfg(feature = "alloc")]
type Tag = u16;

/// Number of a state of the SPD.
#[cfg(not(feature = "alloc"))]
type Generation = u16;
#[cfg(feature = "alloc")]
type Generation = u32;

/// Cache of at most `F` flows.
#[derive(Debug)]
pub(crate) struct FlowCache<const F: usize> {
    entries: Entries<F>,
    /// SAs of outbound flows, by the places of their entries. A new entry does not change them.
    chosen: Choices<F>,
    /// Tags of the entries, in one array that stays in the cache of the processor.
    #[cfg(feature = "alloc")]
    tags: Vec<Tag>,
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
#[cfg_attr(feature = "alloc", repr(align(64)))] // one line of the cache of a processor
struct CachedFlow {
    flow: Flow,
    direction: PolicyDirection,
    verdict: Verdict,
    generation: Generation,
    /// Set if SAs of this flow are recorded, and not those of the flow before.
    has_choice: bool,
}

/// Place of a cached flow, until the next lookup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowPlace(usize);

/// Place that a new flow gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewPlace {
    at: usize,
    #[cfg(feature = "alloc")]
    tag: Tag,
}

impl<const F: usize> FlowCache<F> {
    pub(crate) const fn new() -> Self {
        Self {
            #[cfg(not(feature = "alloc"))]
            entries: [const { None }; F],
            #[cfg(not(feature = "alloc"))]
            chosen: [const { None }; F],
            #[cfg(feature = "alloc")]
            entries: Vec::new(),
            #[cfg(feature = "alloc")]
            chosen: Vec::new(),
            #[cfg(feature = "alloc")]
            tags: Vec::new(),
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
        let set = self.set(direction, flow);
        self.candidates(&set).find_map(|at| self.find_at(FlowPlace(at), direction, flow))
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
        self.entries.get(at)?.as_ref().filter(|cached| cached.has_choice)?;
        self.chosen.get(at)?.as_ref()
    }

    /// Returns the place of a flow that is not in the cache: a void entry of its set, or the one that it replaces.
    /// `None` if the cache has no space at all.
    pub(crate) fn place_for(&mut self, direction: PolicyDirection, flow: &Flow) -> Option<NewPlace> {
        let set = self.set(direction, flow);
        let at = match (set.start..set.end).find(|&at| self.is_void(at)) {
            Some(at) => at,
            None => {
                self.victim = self.victim.wrapping_add(1);
                let way = usize::from(self.victim).checked_rem(set.end.saturating_sub(set.start))?;
                set.start.saturating_add(way)
            }
        };
        // A processor waits longer for memory that is written than for memory that was read before.
        #[cfg(feature = "alloc")]
        if let Some(replaced) = self.entries.get(at) {
            black_box(replaced.is_some());
        }
        Some(NewPlace {
            at,
            #[cfg(feature = "alloc")]
            tag: set.tag,
        })
    }

    /// Records the verdict for a flow.
    pub(crate) fn insert(
        &mut self,
        place: NewPlace,
        (direction, flow): (PolicyDirection, &Flow),
        verdict: Verdict,
    ) -> FlowPlace {
        let NewPlace { at, .. } = place;
        if let Some(entry) = self.entries.get_mut(at) {
            let generation = self.generation;
            *entry = Some(CachedFlow { flow: *flow, direction, verdict, generation, has_choice: false });
        }
        #[cfg(feature = "alloc")]
        if let Some(tag) = self.tags.get_mut(at) {
            *tag = place.tag;
        }
        FlowPlace(at)
    }

    /// Allocates all entries, so that no packet does.
    #[cfg(feature = "alloc")]
    pub(crate) fn allocate(&mut self) {
        self.entries.resize(self.limit, None);
        self.chosen.resize(self.limit, None);
        self.tags.resize(self.limit, 0);
    }

    /// Records the SAs that were chosen for the flow at a place.
    pub(crate) fn set_chosen(&mut self, FlowPlace(at): FlowPlace, known: KnownChoice) {
        let entry = self.entries.get_mut(at).and_then(Option::as_mut);
        if let (Some(cached), Some(chosen)) = (entry, self.chosen.get_mut(at)) {
            (cached.has_choice, *chosen) = (true, Some(known));
        }
    }

    /// Returns the set of a flow.
    fn set(&self, direction: PolicyDirection, flow: &Flow) -> Set {
        let hash = hash_of(self.key, direction, flow);
        let (sets, ways) = match self.entries.len().checked_div(WAYS) {
            None | Some(0) => (1, self.entries.len()),
            Some(sets) => (sets, WAYS),
        };
        let start = bucket(hash, sets).saturating_mul(ways);
        Set {
            start,
            end: start.saturating_add(ways),
            #[cfg(feature = "alloc")]
            tag: tag(self.generation, hash),
        }
    }

    /// Iterates over the entries of a set that may be that of its flow.
    #[cfg(feature = "alloc")]
    fn candidates(&self, set: &Set) -> impl Iterator<Item = usize> + '_ {
        let (start, tag) = (set.start, set.tag);
        let tags = self.tags.get(set.start..set.end).unwrap_or_default();
        tags.iter().zip(start..).filter(move |(other, _)| **other == tag).map(|(_, at)| at)
    }

    #[cfg(not(feature = "alloc"))]
    fn candidates(&self, set: &Set) -> impl Iterator<Item = usize> + use<F> {
        set.start..set.end
    }

    /// Returns whether an entry is void. Some void entries are not recognized by their tags.
    #[cfg(feature = "alloc")]
    fn is_void(&self, at: usize) -> bool {
        self.tags.get(at).is_some_and(|known| *known & GENERATION != tag(self.generation, 0) & GENERATION)
    }

    #[cfg(not(feature = "alloc"))]
    fn is_void(&self, at: usize) -> bool {
        let entry = self.entries.get(at).and_then(Option::as_ref);
        entry.is_none_or(|cached| cached.generation != self.generation)
    }
}

/// Entries in which a flow may be.
struct Set {
    start: usize,
    end: usize,
    #[cfg(feature = "alloc")]
    tag: Tag,
}

/// Bits of a tag that are those of the generation.
#[cfg(feature = "alloc")]
const GENERATION: Tag = 0xf000;

#[cfg(feature = "alloc")]
fn tag(generation: Generation, hash: u64) -> Tag {
    let bits = u64::from((generation % 15).saturating_add(1)) << 12 | hash & u64::from(!GENERATION);
    Tag::try_from(bits & u64::from(Tag::MAX)).unwrap_or(0)
}

/// Returns the hash of a flow.
fn hash_of(key: [u64; 2], direction: PolicyDirection, flow: &Flow) -> u64 {
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
    if flow.source.is_ipv4() { keyed_hash(key, [a << 32 | c, rest]) } else { keyed_hash(key, [a, b, c, d, rest]) }
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
                    let place = cache.place_for(PolicyDirection::Out, &kind(n)).unwrap();
                    cache.insert(place, (PolicyDirection::Out, &kind(n)), Verdict::NoPolicy);
                }
                let found = (0..512).filter(|n| cache.find(PolicyDirection::Out, &kind(*n)).is_some()).count();
                // With random sets, 94 % are found.
                assert!(found > 440, "{found} of 512 flows of kind {number} are found with key {key:x?}");
            }
        }
    }
}
