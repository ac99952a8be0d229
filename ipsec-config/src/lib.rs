//! Configuration languages of IPsec, as text and as the parameters of SAs and policies (`ipsec-sa`).
//!
//! [`setkey`] reads and writes the language of setkey(8), and applies it to any back end: the engine, or a kernel by
//! PF_KEY. Nothing is allocated.
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
//! Features: none.
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

pub mod setkey;
