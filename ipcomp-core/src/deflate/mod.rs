//! DEFLATE compression (RFC 1951) of packets: one pass over the input finds matches, a second pass writes them as the
//! smallest kind of block.

mod bits;
mod code;
mod dynamic;
mod fixed;
mod matches;
mod symbols;
mod tables;

pub use dynamic::Deflate;
pub use fixed::FixedDeflate;
