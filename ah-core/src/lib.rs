//! AH (RFC 2402, RFC 4302): signing and verification of packets in place, in a buffer of the caller.
//!
//! The crate contains the pure functions [`sign_with`] and [`verify_with`] over whole IP packets, the rules for
//! mutable fields of their headers ([`immutable_view`]), and two structs that keep the state of an SA: [`Outbound`]
//! (sequence counter) and [`Inbound`] (anti-replay window). In tunnel mode the outer header is added with
//! `ipsec-packet` first, as AH covers it. Lifetimes and policies are in `ipsec-engine`.
//!
//! ```
//! use ah_core::{Inbound, Outbound, Profile};
//! use ipsec_crypto::HmacSha1_96;
//! use ipsec_packet::{PacketBuf, SeqWidth, Spi};
//!
//! let key = rand::random(); // IKE or an administrator supplies the key of a real SA
//! let (spi, mac) = (Spi::new(0x2001)?, || HmacSha1_96::new(&key));
//! let mut tx = Outbound::new(spi, mac(), SeqWidth::Bits32, Profile::RFC);
//! let mut rx = Inbound::new(spi, mac(), SeqWidth::Bits32, Profile::RFC);
//! let ip = [0x45, 0, 0, 21, 0x1c, 0x46, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0xab];
//! let mut bytes = [0u8; 64];
//! bytes[24..45].copy_from_slice(&ip); // 24 octets of headroom
//! let mut packet = PacketBuf::with_headroom(&mut bytes, 24, 21)?;
//! tx.sign(&mut packet)?;
//! assert_eq!((packet.len(), packet.data()[9]), (45, 51));
//! rx.verify(&mut packet)?;
//! assert_eq!(packet.data()[20..], [0xab]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: none; algorithms are features of `ipsec-crypto`.
//!
//! Security notes: the anti-replay window is checked before the ICV and updated after it. A refused packet leaves
//! buffer and window unchanged. AH protects a header only as far as it is immutable: an attacker can change TTL, TOS
//! and the checksum, and add or remove an IPv6 fragment header of a whole packet in front of AH, which the ICV does
//! not cover (RFC 4302 appendix A2).
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

mod header;
mod mutable;
mod profile;
mod sa;
mod sign;
mod verify;

pub use mutable::{Mutability, MutableError, immutable_view, option_mutability, replace_mutable_options};
pub use profile::{Ipv6Options, Profile, TosRule};
pub use sa::{Inbound, Outbound};
pub use sign::{SignError, SignParams, overhead, sign_with};
pub use verify::{Verified, VerifyError, peek, verify_with};
