//! Tables with a bounded number of entries: in fixed memory inside the engine, or, with the feature `alloc`, on the
//! heap as they grow. An entry keeps its place in memory, so that no copy of a key remains where it was before.

#[cfg(not(feature = "alloc"))]
pub(crate) use fixed::{Slots, Table};
#[cfg(feature = "alloc")]
pub(crate) use heap::{Slots, Table};

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

    /// Table of small entries.
    #[derive(Debug)]
    pub(crate) struct Table<T, const N: usize>(Vec<T>);

    impl<T, const N: usize> Table<T, N> {
        pub(crate) const fn new() -> Self {
            Self(Vec::new())
        }

        pub(crate) fn push(&mut self, entry: T) -> Result<(), T> {
            if self.0.len() >= N {
                return Err(entry);
            }
            self.0.push(entry);
            Ok(())
        }

        pub(crate) fn pop(&mut self) -> Option<T> {
            self.0.pop()
        }
    }

    impl<T, const N: usize> Deref for Table<T, N> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &self.0
        }
    }

    impl<T, const N: usize> DerefMut for Table<T, N> {
        fn deref_mut(&mut self) -> &mut [T] {
            &mut self.0
        }
    }

    /// Table of large entries, each in memory of its own.
    #[derive(Debug)]
    #[allow(clippy::vec_box)] // an entry must not move when the table grows
    pub(crate) struct Slots<T, const N: usize>(Vec<Box<T>>);

    impl<T, const N: usize> Slots<T, N> {
        pub(crate) const fn new() -> Self {
            Self(Vec::new())
        }

        pub(crate) fn push(&mut self, entry: T) -> Result<(), T> {
            if self.0.len() >= N {
                return Err(entry);
            }
            self.0.push(Box::new(entry));
            Ok(())
        }

        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }

        pub(crate) fn get(&self, at: usize) -> Option<&T> {
            self.0.get(at).map(AsRef::as_ref)
        }

        pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
            self.0.get_mut(at).map(AsMut::as_mut)
        }

        pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
            self.0.iter().map(AsRef::as_ref)
        }
    }
}
