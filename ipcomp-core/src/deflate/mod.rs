//! DEFLATE (RFC 1951) for packets: one pass over the input finds matches, a second writes them as whichever block is
//! smallest.

mod bits;
mod code;
mod dynamic;
mod fixed;
mod matches;
mod symbols;
mod tables;

pub use dynamic::Deflate;
pub use fixed::FixedDeflate;
