//! Configuration language of setkey(8): SAs and policies as text, parsed without allocation, and written.
//!
//! Addresses are numeric, as with `setkey -n`, unless the caller resolves host names
//! ([`Statements::with_names`]).

mod algorithm;
mod apply;
mod dump;
mod error;
#[cfg(feature = "std")]
mod file;
mod lexer;
mod names;
mod params;
mod policy;
mod policy_params;
mod statement;
mod values;
mod write;

pub use algorithm::{Algorithm, Key, cipher_name, mac_name};
pub use apply::{
    ApplyError, ApplyErrorKind, Environment, Loaded, LocalAddresses, SaDirections, Shown, Warning, apply, apply_with,
};
pub use dump::{DumpPolicy, DumpSa};
pub use error::{Location, SetkeyError, SetkeyErrorKind};
#[cfg(feature = "std")]
pub use file::read;
pub use params::{LoadOptions, Sha2256, StatementError};
pub use policy::{PolicyAction, PolicyStatement, Range, Selector, Upper};
pub use statement::{Add, Lifetimes, Padding, Statement, Statements};
/// Returns the number of an upper-layer protocol that has a name in setkey(8).
#[cfg(feature = "std")]
pub(crate) fn protocol_number(name: &str) -> Option<u8> {
    names::PROTOCOLS.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// Returns the name of an upper-layer protocol in setkey(8).
#[cfg(feature = "std")]
pub(crate) fn protocol_name(number: u8) -> Option<&'static str> {
    names::PROTOCOLS.iter().find(|row| row.1 == number).map(|row| row.0)
}

/// Returns the number of a port that has a name.
#[cfg(feature = "std")]
pub(crate) fn port_number(name: &str) -> Option<u16> {
    names::PORTS.iter().find(|row| row.0 == name).map(|row| row.1)
}

pub use values::{End, Family, HostNames, SaProtocol, SaSpec, SecurityContext};
