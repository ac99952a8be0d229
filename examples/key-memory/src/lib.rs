//! Values in separate allocations whose bytes can be read, including padding between fields, and after the value was
//! dropped.

mod cases;
mod search;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

pub use cases::{Case, DESTINATION, NOW, SOURCE, SPI, all, replacement};
pub use search::{Search, longest_run};

/// Value in an allocation that was zero before the value was written.
#[derive(Debug)]
pub struct Observed<T> {
    at: NonNull<T>,
}

impl<T> Observed<T> {
    const LAYOUT: Layout = Layout::new::<T>();

    /// Moves a value into a separate allocation.
    pub fn new(value: T) -> Self {
        const { assert!(size_of::<T>() > 0) };
        // SAFETY: the layout is not of size zero.
        let at = unsafe { alloc_zeroed(Self::LAYOUT) }.cast::<T>();
        let Some(at) = NonNull::new(at) else { handle_alloc_error(Self::LAYOUT) };
        // SAFETY: the allocation has the size and alignment of `T`, and nothing else refers to it.
        unsafe { at.write(value) };
        Self { at }
    }

    /// Returns the bytes of the value, including padding.
    pub fn bytes(&self) -> Vec<u8> {
        let first = self.at.as_ptr().cast::<u8>();
        // SAFETY: each byte is inside the allocation, which is initialised, as it was zero before the value was
        // written. Padding may count as uninitialised since then: the volatile read returns the contents of memory,
        // which the tests examine.
        (0..size_of::<T>()).map(|offset| unsafe { first.add(offset).read_volatile() }).collect()
    }

    /// Returns the range of bytes that a part of the value occupies.
    pub fn range_of<P>(&self, part: &P) -> Range<usize> {
        let start = std::ptr::from_ref(part).addr() - self.at.addr().get();
        assert!(start + size_of::<P>() <= size_of::<T>(), "part outside the value");
        start..start + size_of::<P>()
    }

    /// Drops the value in place and returns the contents of its memory.
    pub fn bytes_after_drop(self) -> Vec<u8> {
        let observed = ManuallyDrop::new(self);
        // SAFETY: the value is initialised, and is not used afterwards: `observed` is only read as bytes and freed.
        unsafe { observed.at.drop_in_place() };
        let bytes = observed.bytes();
        // SAFETY: the memory was allocated with this layout, and there are no references to it.
        unsafe { dealloc(observed.at.as_ptr().cast(), Self::LAYOUT) };
        bytes
    }
}

/// Calls a function on a part of the stack that is overwritten with zeros before and after the call.
///
/// Moving an SA leaves copies of its keys on the stack, and moving another value may copy such remains into its
/// padding: remains of the engine could not be distinguished from remains of its caller.
pub fn on_clean_stack<R>(function: impl FnOnce() -> R) -> R {
    overwrite_stack();
    let result = call(function);
    overwrite_stack();
    result
}

/// Calls the function in a separate stack frame, which `overwrite_stack` has overwritten.
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
