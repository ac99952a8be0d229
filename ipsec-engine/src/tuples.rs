//! Policies in hash tables, one for each set of bits that selectors compare.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use ipsec_sa::{PolicyId, Priority};

use crate::hash_index::Index;
use crate::selector_key::{Key, Point, Words};
use crate::table::SlotNumber;

/// Position of a policy in the order of the search.
pub(crate) type Rank = (Priority, PolicyId);

/// Tuples with the policies whose selectors compare the same bits.
#[derive(Clone, Debug)]
pub(crate) struct Tuples {
    /// Tuples in the order of the first policy that each has.
    tuples: Vec<Tuple>,
    /// Slots of all tuples by the bits that they compare.
    index: Index<0>,
    /// Rank of each policy by its slot.
    ranks: Vec<Rank>,
}

#[derive(Clone, Debug)]
pub(crate) struct Tuple {
    /// IP version; 0 for both, if no address is compared.
    version: u8,
    pub(crate) mask: Words,
    /// Hash of the mask.
    seed: u64,
    /// Rank of the first of its policies.
    pub(crate) first: Rank,
    ranks: BTreeSet<Rank>,
}

impl Tuple {
    const fn has_version(&self, version: u8) -> bool {
        self.version == version || self.version == 0
    }

    fn hash(&self, flow: &Point) -> u64 {
        flow.words.and(&self.mask).hash(self.version, self.seed)
    }
}

impl Tuples {
    pub(crate) const fn new() -> Self {
        Self { tuples: Vec::new(), index: Index::new(), ranks: Vec::new() }
    }

    /// Iterates over the tuples, by the first policy that each has.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tuple> {
        self.tuples.iter()
    }

    /// Iterates over the policies of a tuple that may match a flow. All of them have the bits of the flow; ranges that
    /// are not prefixes, and other policies with the same hash, are still to be compared.
    pub(crate) fn candidates(&self, tuple: &Tuple, flow: &Point) -> impl Iterator<Item = (Rank, SlotNumber)> + '_ {
        let hash = tuple.has_version(flow.version).then(|| tuple.hash(flow));
        let slots = hash.into_iter().flat_map(|hash| self.index.find(hash));
        slots.filter_map(|slot| Some((*self.ranks.get(slot.index())?, slot)))
    }

    pub(crate) fn insert(&mut self, key: Key, rank: Rank, slot: SlotNumber) {
        self.index.insert(key.hash(), slot);
        if self.ranks.len() <= slot.index() {
            self.ranks.resize(slot.index().saturating_add(1), rank);
        }
        if let Some(place) = self.ranks.get_mut(slot.index()) {
            *place = rank;
        }
        let Key { version, mask, .. } = key;
        let mut tuple = self.take(&key).unwrap_or_else(|| Tuple {
            version,
            mask,
            seed: key.seed(),
            first: rank,
            ranks: BTreeSet::new(),
        });
        tuple.ranks.insert(rank);
        self.put(tuple);
    }

    pub(crate) fn remove(&mut self, key: Key, rank: Rank, slot: SlotNumber) {
        self.index.remove(key.hash(), slot);
        if let Some(mut tuple) = self.take(&key) {
            tuple.ranks.remove(&rank);
            self.put(tuple);
        }
    }

    fn take(&mut self, key: &Key) -> Option<Tuple> {
        let at = self.tuples.iter().position(|tuple| (tuple.version, tuple.mask) == (key.version, key.mask))?;
        Some(self.tuples.remove(at))
    }

    /// Inserts a tuple at its position in the order, unless it has no policies.
    fn put(&mut self, tuple: Tuple) {
        let Some(&first) = tuple.ranks.first() else { return };
        let at = self.tuples.partition_point(|other| other.first < first);
        self.tuples.insert(at, Tuple { first, ..tuple });
    }
}
