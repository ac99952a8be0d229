//! Configuration language of setkey(8): SAs and policies as text, parsed without allocation, and written.
//!
//! Host names are not resolved: addresses are numeric, as with `setkey -n`.

mod algorithm;
#[cfg(feature = "any")]
mod apply;
mod dump;
mod error;
mod lexer;
mod names;
mod policy;
mod statement;
mod values;
mod write;

pub use algorithm::{Algorithm, Compression, Key, cipher_name, mac_name};
#[cfg(feature = "any")]
pub use apply::{ApplyError, LoadOptions, Sha2256};
pub use dump::{DumpPolicy, DumpSa};
pub use error::{Location, SetkeyError, SetkeyErrorKind};
pub use policy::{PolicyStatement, Range, Selector, Upper};
pub use statement::{Add, Lifetimes, Padding, Statement, Statements};
pub use values::{End, Family, SaProtocol, SaSpec, SecurityContext};
