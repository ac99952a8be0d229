//! Tables with a bounded number of entries: in fixed memory inside the engine, or, with the feature `alloc`, on the
//! heap as they grow. An entry keeps its place in memory, so that no copy of a key remains where it was before.

use core::num::NonZero;

#[cfg(not(feature = "alloc"))]
pub(crate) use fixed::{Slots, Table};
#[cfg(feature = "alloc")]
pub(crate) use heap::{Slots, Table};

#[cfg(not(feature = "alloc"))]
type Raw = u16;
#[cfg(feature = "alloc")]
type Raw = u32;

/// Number of a slot of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotNumber(NonZero<Raw>);

impl SlotNumber {
    /// Returns the number of the slot at an index; `None` if the index is too large for it.
    pub(crate) fn of(index: usize) -> Option<Self> {
        Raw::try_from(index).ok()?.checked_add(1).and_then(NonZero::new).map(Self)
    }

    /// Returns the index of the slot.
    pub(crate) const fn index(self) -> usize {
        (self.0.get() as usize).saturating_sub(1)
    }

    /// Iterates over the numbers of the first `slots` slots.
    pub(crate) fn first(slots: usize) -> impl Iterator<Item = Self> {
        (0..slots).map_while(Self::of)
    }
}

#[cfg(not(feature = "alloc"))]
mod fixed {
    /// Table of small entries.
    pub(crate) type Table<T, const N: usize> = heapless::Vec<T, N>;
    /// Table of large entries that never move.
    pub(crate) type Slots<T, const N: usize> = heapless::Vec<T, N>;
}

#[cfg(feature = "alloc")]
mod heap {
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::ops::{Deref, DerefMut};

    /// Table of small entries, at most `N` unless another limit is set.
    #[derive(Clone, Debug)]
    pub(crate) struct Table<T, const N: usize> {
        entries: Vec<T>,
        limit: usize,
    }

    impl<T, const N: usize> Table<T, N> {
        pub(crate) const fn new() -> Self {
            Self { entries: Vec::new(), limit: N }
        }

        /// Sets the largest number of entries.
        pub(crate) const fn set_limit(&mut self, limit: usize) {
            self.limit = limit;
        }

        pub(crate) fn push(&mut self, entry: T) -> Result<(), T> {
            if self.entries.len() >= self.limit {
                return Err(entry);
            }
            self.entries.push(entry);
            Ok(())
        }

        pub(crate) fn pop(&mut self) -> Option<T> {
            self.entries.pop()
        }
    }

    impl<T, const N: usize> Deref for Table<T, N> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &self.entries
        }
    }

    impl<T, const N: usize> DerefMut for Table<T, N> {
        fn deref_mut(&mut self) -> &mut [T] {
            &mut self.entries
        }
    }

    /// Table of large entries, each in memory of its own; at most `N` unless another limit is set.
    #[derive(Debug)]
    #[allow(clippy::vec_box)] // an entry must not move when the table grows
    pub(crate) struct Slots<T, const N: usize> {
        entries: Vec<Box<T>>,
        limit: usize,
    }

    impl<T, const N: usize> Slots<T, N> {
        pub(crate) const fn new() -> Self {
            Self { entries: Vec::new(), limit: N }
        }

        /// Sets the largest number of entries.
        pub(crate) const fn set_limit(&mut self, limit: usize) {
            self.limit = limit;
        }

        pub(crate) fn push(&mut self, entry: T) -> Result<(), T> {
            if self.entries.len() >= self.limit {
                return Err(entry);
            }
            self.entries.push(Box::new(entry));
            Ok(())
        }

        pub(crate) fn len(&self) -> usize {
            self.entries.len()
        }

        pub(crate) fn get(&self, at: usize) -> Option<&T> {
            self.entries.get(at).map(AsRef::as_ref)
        }

        pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
            self.entries.get_mut(at).map(AsMut::as_mut)
        }

        pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
            self.entries.iter().map(AsRef::as_ref)
        }
    }
}
