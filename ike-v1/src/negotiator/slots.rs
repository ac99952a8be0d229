//! Tables of entries with a bounded number: in fixed memory inside the negotiator, or, with the feature `alloc`, on the
//! heap as they grow. An entry keeps its place in memory, so that no copy of a key remains where it was before.

use place::{as_mut, as_ref, empty, full};

#[cfg(feature = "alloc")]
type Slot<T> = Option<alloc::boxed::Box<T>>;

/// Place of an entry. An empty one consists of zeros only, which `Option` does not guarantee: a table that is created
/// at run time is cleared, and not copied from an image of each slot in flash.
#[cfg(not(feature = "alloc"))]
#[derive(Debug)]
#[repr(u8)]
enum Slot<T> {
    Empty = 0,
    Full(T) = 1,
}

/// Table of at most `N` entries.
#[derive(Debug)]
pub(crate) struct Slots<T, const N: usize> {
    #[cfg(feature = "alloc")]
    slots: alloc::vec::Vec<Slot<T>>,
    #[cfg(not(feature = "alloc"))]
    slots: [Slot<T>; N],
}

impl<T, const N: usize> Slots<T, N> {
    /// Creates an empty table.
    pub const fn new() -> Self {
        #[cfg(feature = "alloc")]
        let slots = alloc::vec::Vec::new();
        #[cfg(not(feature = "alloc"))]
        let slots = [const { Slot::Empty }; N];
        Self { slots }
    }

    /// Returns the number of slots that may have an entry.
    pub const fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn get(&self, index: usize) -> Option<&T> {
        self.slots.get(index).and_then(as_ref)
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.slots.get_mut(index).and_then(as_mut)
    }

    /// Iterates over the entries with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index, as_ref(slot)?)))
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(as_ref)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(as_mut)
    }

    /// Returns the index of the first entry for which `is_it` returns true.
    pub fn position(&self, mut is_it: impl FnMut(&T) -> bool) -> Option<usize> {
        self.iter().find_map(|(index, entry)| is_it(entry).then_some(index))
    }

    /// Returns the index of a slot without an entry, `None` if the table is full.
    pub fn free(&self) -> Option<usize> {
        let vacant = self.slots.iter().position(|slot| as_ref(slot).is_none());
        vacant.or_else(|| (self.slots.len() < N).then_some(self.slots.len()))
    }

    /// Stores an entry in a slot and drops the former one. Returns the entry, `None` if there is no such
    /// slot.
    pub fn put(&mut self, index: usize, entry: T) -> Option<&mut T> {
        #[cfg(feature = "alloc")]
        if index == self.slots.len() && index < N {
            self.slots.push(None);
        }
        let slot = self.slots.get_mut(index)?;
        *slot = full(entry);
        as_mut(slot)
    }

    /// Removes the entry of a slot.
    pub fn clear(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = empty();
        }
    }
}

#[cfg(feature = "alloc")]
mod place {
    use super::Slot;

    pub(super) const fn empty<T>() -> Slot<T> {
        None
    }

    pub(super) fn full<T>(entry: T) -> Slot<T> {
        Some(alloc::boxed::Box::new(entry))
    }

    pub(super) fn as_ref<T>(slot: &Slot<T>) -> Option<&T> {
        slot.as_deref()
    }

    pub(super) fn as_mut<T>(slot: &mut Slot<T>) -> Option<&mut T> {
        slot.as_deref_mut()
    }
}

#[cfg(not(feature = "alloc"))]
mod place {
    use super::Slot;

    pub(super) const fn empty<T>() -> Slot<T> {
        Slot::Empty
    }

    pub(super) const fn full<T>(entry: T) -> Slot<T> {
        Slot::Full(entry)
    }

    pub(super) const fn as_ref<T>(slot: &Slot<T>) -> Option<&T> {
        match slot {
            Slot::Full(entry) => Some(entry),
            Slot::Empty => None,
        }
    }

    pub(super) const fn as_mut<T>(slot: &mut Slot<T>) -> Option<&mut T> {
        match slot {
            Slot::Full(entry) => Some(entry),
            Slot::Empty => None,
        }
    }
}
