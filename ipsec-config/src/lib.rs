//! Configuration languages of IPsec, as text and as the parameters of SAs and policies (`ipsec-sa`).
//!
//! [`setkey`] reads and writes the language of setkey(8), and applies it to any back end: the engine, or a kernel by
//! PF_KEY, without allocation.
//!
//! ```
//! use ipsec_config::setkey::{Statement, Statements};
//!
//! let mut statements = Statements::of(r#"
//!     add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc "sixteen octets !" -A hmac-sha1 "twenty octets it has";
//!     spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
//! "#);
//! assert!(matches!(statements.next()?, Some(Statement::Add(sa)) if sa.id.spi == 0x1001));
//! assert!(matches!(statements.next()?, Some(Statement::SpdAdd(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `std` adds racoon.conf, psk.txt, ipsec.conf(5), isakmpd.conf, rc.conf, the output of ip-xfrm(8) and
//! gateway.conf, which [`load`] reads as one [`Configuration`].
//!
//! Security notes: a text contains keys. Errors show the position and, unless it may be part of a key, the word at
//! which they occur. Keys are never printed, except by the writer of statements.
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
mod blocks;
#[cfg(feature = "std")]
mod check;
#[cfg(feature = "std")]
mod configuration;
#[cfg(feature = "std")]
mod describe;
#[cfg(feature = "std")]
mod diagnostic;
#[cfg(feature = "std")]
pub mod distinguished_name;
#[cfg(feature = "std")]
mod files;
#[cfg(feature = "std")]
pub mod gateway;
#[cfg(feature = "std")]
pub mod isakmpd;
mod lexer;
#[cfg(feature = "std")]
mod load;
#[cfg(feature = "std")]
mod negotiation;
#[cfg(feature = "std")]
pub mod openbsd;
#[cfg(feature = "std")]
pub mod psk;
#[cfg(feature = "std")]
pub mod racoon;
#[cfg(feature = "std")]
pub mod rc;
#[cfg(feature = "std")]
mod secret;
pub mod setkey;
#[cfg(feature = "std")]
mod write;
#[cfg(feature = "std")]
pub mod xfrm;

#[cfg(feature = "std")]
pub use configuration::*;
#[cfg(feature = "std")]
pub use diagnostic::{Diagnostic, Diagnostics, FileId, Severity, Sources, Span};
#[cfg(feature = "std")]
pub use files::{Files, NoFiles, SystemFiles, WithText};
#[cfg(feature = "std")]
pub use load::{Language, LoadSettings, Loaded, load};
#[cfg(feature = "std")]
pub use negotiation::Negotiation;
#[cfg(feature = "std")]
pub use write::{Lost, Target};
