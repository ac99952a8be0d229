//! Configuration language of setkey(8): SAs and policies as text, parsed without allocation, and written.
//!
//! Host names are not resolved: addresses are numeric, as with `setkey -n`.

mod algorithm;
mod apply;
mod dump;
mod error;
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
pub use params::{LoadOptions, Sha2256, StatementError};
pub use policy::{PolicyAction, PolicyStatement, Range, Selector, Upper};
pub use statement::{Add, Lifetimes, Padding, Statement, Statements};
pub use values::{End, Family, SaProtocol, SaSpec, SecurityContext};
