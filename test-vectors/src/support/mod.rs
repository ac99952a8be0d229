//! Helpers that the tests of several crates share. They take and return octets, so that no library is needed here.

#[cfg(feature = "allocation")]
pub mod allocation;
mod capture;
pub mod checksum;
mod random;
mod segment;

use std::fmt::Display;
use std::str::FromStr;

pub use capture::{packets_of_capture, write_capture};
pub use segment::{tcp, udp};

/// Parses an address of any type: an IP address of one or both versions, or an address with a port.
///
/// # Panics
/// The text is not an address of this type.
#[track_caller]
pub fn address<T: FromStr<Err: Display>>(text: &str) -> T {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}
