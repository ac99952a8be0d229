//! Function whose instructions callgrind counts.

use std::hint::black_box;

/// Runs a step. Callgrind counts in this function only and writes a file after each call, so that the preparation of
/// an input is not counted.
///
/// The result passes through `black_box`: otherwise the compiler would use a tail call.
#[inline(never)]
pub fn measured(step: &mut dyn FnMut() -> usize) -> usize {
    black_box(step())
}
