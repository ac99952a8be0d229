//! Helpers that the tests of several crates share. They take and return octets, so that no library is needed here.

mod address;
#[cfg(feature = "allocation")]
pub mod allocation;
mod capture;
pub mod checksum;
mod random;
mod segment;

pub use address::address;
pub use capture::packets_of_capture;
pub use segment::{tcp, udp};
