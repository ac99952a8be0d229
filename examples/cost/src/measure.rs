//! The function whose calls are counted.

use std::hint::black_box;

/// Runs a step. Callgrind counts in this function only and writes a file after each call, so that what prepares an input is
/// not counted.
///
/// The result passes through `black_box`, without which the compiler would leave the function by a jump.
#[inline(never)]
pub fn measured(step: &mut dyn FnMut() -> usize) -> usize {
    black_box(step())
}
