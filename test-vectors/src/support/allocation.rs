//! Counts heap operations, for the tests that a library allocates no memory.
//!
//! The test binary installs the allocator: `#[global_allocator] static ALLOCATOR: CountingAllocator =
//! CountingAllocator;`

use std::fmt::Display;
use std::hint::black_box;

pub use assert_no_alloc::AllocDisabler as CountingAllocator;
use assert_no_alloc::{assert_no_alloc, violation_count};

/// Returns the number of allocations, reallocations and deallocations of `work` in this thread, and its result.
pub fn heap_operations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = violation_count();
    let result = assert_no_alloc(work);
    ((violation_count() - before) as usize, result)
}

/// Runs `work` and returns its result.
///
/// # Panics
/// This thread allocated, reallocated or freed memory meanwhile; the message begins with `what`.
#[track_caller]
pub fn without_allocation<T>(what: impl Display, work: impl FnOnce() -> T) -> T {
    let (count, result) = heap_operations(work);
    assert_eq!(count, 0, "{what}: number of heap operations");
    result
}

/// Asserts that the allocator of this test binary counts allocations and deallocations.
///
/// # Panics
/// [`CountingAllocator`] is not the global allocator.
#[track_caller]
pub fn assert_operations_are_counted() {
    let (count, made) = heap_operations(|| vec![7u8; black_box(100)]);
    assert_eq!((count, made.len()), (1, 100), "an allocation must be counted");
    assert_eq!(heap_operations(|| drop(made)).0, 1, "a deallocation must be counted");
}
