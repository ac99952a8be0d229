//! Multiset: a count for each entry.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;

/// Entries, each of which may be inserted more than once.
#[derive(Clone, Debug)]
pub(crate) struct Multiset<T>(BTreeMap<T, usize>);

impl<T: Ord> Multiset<T> {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn insert(&mut self, entry: T) {
        let number = self.0.entry(entry).or_default();
        *number = number.saturating_add(1);
    }

    /// Removes an entry once.
    pub(crate) fn remove(&mut self, entry: T) {
        if let Entry::Occupied(mut number) = self.0.entry(entry) {
            *number.get_mut() = number.get().saturating_sub(1);
            if *number.get() == 0 {
                number.remove();
            }
        }
    }

    pub(crate) fn contains(&self, entry: &T) -> bool {
        self.0.contains_key(entry)
    }
}
