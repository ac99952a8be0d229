use std::fmt::Display;
use std::str::FromStr;

/// Parses an address of any type: an IP address of one or both versions, or an address with a port.
///
/// # Panics
/// The text is not an address of this type.
#[track_caller]
pub fn address<T: FromStr<Err: Display>>(text: &str) -> T {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}
