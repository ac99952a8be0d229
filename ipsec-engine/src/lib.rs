//! The databases of an IPsec gateway (RFC 4301), in fixed memory.
//!
//! What it is, so far: the language of setkey(8), parsed without allocation and written again ([`setkey`]), and the types of
//! policies. What it is not, yet: the databases themselves and the two roads of a packet through them.
//!
//! ```
//! use ipsec_engine::setkey::{Statement, Statements};
//!
//! let text = r#"
//!     add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E 3des-cbc "ninja sentry 3des-cbc key" -A hmac-sha1 "this is the test key";
//!     spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
//! "#;
//! let mut statements = Statements::of(text);
//! assert!(statements.next().is_err()); // that key has 25 octets
//! assert!(matches!(statements.next(), Ok(Some(Statement::SpdAdd(_)))));
//! # assert!(matches!(statements.next(), Ok(None)));
//! ```
//!
//! Features: none.
//!
//! Security notes: keys are borrowed from the text and never printed by `Debug`; whoever holds the text wipes it.
#![no_std]

mod admission;
mod algorithms;
mod counters;
mod disposition;
mod engine;
mod event;
mod inbound;
mod index;
mod lifetime;
mod outbound;
pub mod pfkey;
mod policy;
mod sa;
mod sad;
pub mod setkey;
mod spd;
mod window;

#[cfg(feature = "any")]
pub use algorithms::AnyAlgorithms;
pub use algorithms::{Algorithms, Never};
pub use counters::{Counter, Counters, View};
pub use disposition::{BadPayload, Disposition, Reason};
pub use engine::{DefaultLevel, Engine, SaView, Settings, Unmatched};
pub use event::{Acquire, Audit, Event};
pub use inbound::Taken;
pub use lifetime::{Lifetimes, Limit, Usage};
pub use policy::{
    Action, Bundle, Direction, Ends, Level, MAX_TRANSFORMS, Mode, Policy, PolicyId, Priority, Protocol, Request,
};
pub use sa::{Encap, IpcompOut, Label, MixedFamilies, Sa, SaKey, Transform, Way};
pub use sad::{InstallError, ReserveError, SaState};
pub use spd::PolicyError;
pub use window::AnyWindow;
