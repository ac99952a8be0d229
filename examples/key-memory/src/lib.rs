//! A value in an allocation of its own whose bytes can be read, those of gaps between fields included, and after the value was dropped.

mod cases;
mod search;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

pub use cases::{Case, DESTINATION, NOW, SOURCE, SPI, all, replacement};
pub use search::{Search, longest_run};

/// A value in an allocation that was zero before the value was written into it.
#[derive(Debug)]
pub struct Observed<T> {
    at: NonNull<T>,
}

impl<T> Observed<T> {
    const LAYOUT: Layout = Layout::new::<T>();

    /// Moves a value into an allocation of its own.
    pub fn new(value: T) -> Self {
        const { assert!(size_of::<T>() > 0) };
        // SAFETY: the layout is that of a type that is not of size zero.
        let at = unsafe { alloc_zeroed(Self::LAYOUT) }.cast::<T>();
        let Some(at) = NonNull::new(at) else { handle_alloc_error(Self::LAYOUT) };
        // SAFETY: the allocation has the size and alignment of `T`, and nothing else refers to it.
        unsafe { at.write(value) };
        Self { at }
    }

    /// The bytes of the value.
    pub fn bytes(&self) -> Vec<u8> {
        let first = self.at.as_ptr().cast::<u8>();
        // SAFETY: each byte is inside the allocation, which is initialised, as it was zero before the value was written into it. A byte of a
        // gap may count as not initialised since: the volatile read gives what is in memory, which is what the tests are about.
        (0..size_of::<T>()).map(|offset| unsafe { first.add(offset).read_volatile() }).collect()
    }

    /// Which bytes of the value a part of it has.
    pub fn range_of<P>(&self, part: &P) -> Range<usize> {
        let start = std::ptr::from_ref(part).addr() - self.at.addr().get();
        assert!(start + size_of::<P>() <= size_of::<T>(), "the part is not inside the value");
        start..start + size_of::<P>()
    }

    /// Drops the value where it is, and gives what its memory holds then.
    pub fn bytes_after_drop(self) -> Vec<u8> {
        let observed = ManuallyDrop::new(self);
        // SAFETY: the value is initialised, and is not used as a value any more: `observed` is only read as bytes and freed.
        unsafe { observed.at.drop_in_place() };
        let bytes = observed.bytes();
        // SAFETY: it was allocated with this layout, and nothing refers to it any more.
        unsafe { dealloc(observed.at.as_ptr().cast(), Self::LAYOUT) };
        bytes
    }
}

/// Calls a function on a part of the stack that was overwritten with zeros, and overwrites what it leaves there.
///
/// Moving an SA leaves copies of its keys on the stack, and moving another value copies such remains into the gaps between the fields of its
/// new place: what an engine leaves could not be told from what its caller left.
pub fn on_clean_stack<R>(function: impl FnOnce() -> R) -> R {
    overwrite_stack();
    let result = call(function);
    overwrite_stack();
    result
}

/// In a frame of its own, which `overwrite_stack` has overwritten.
#[inline(never)]
fn call<R>(function: impl FnOnce() -> R) -> R {
    function()
}

#[inline(never)]
fn overwrite_stack() {
    let mut stack = [0_u8; 1 << 19];
    std::hint::black_box(&mut stack);
}

impl<T> Deref for Observed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value is initialised for as long as `self` exists, and borrowed as `self` is.
        unsafe { self.at.as_ref() }
    }
}

impl<T> DerefMut for Observed<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.at.as_mut() }
    }
}

impl<T> Drop for Observed<T> {
    fn drop(&mut self) {
        // SAFETY: the value is initialised, and the allocation has this layout; neither is used afterwards.
        unsafe {
            self.at.drop_in_place();
            dealloc(self.at.as_ptr().cast(), Self::LAYOUT);
        }
    }
}
