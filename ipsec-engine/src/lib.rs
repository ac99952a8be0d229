//! Security Policy Database and Security Association Database of an IPsec implementation (RFC 4301) in fixed memory,
//! with outbound and inbound processing.
//!
//! [`Engine`] holds policies and SAs and processes packets ([`Engine::outbound`], [`Engine::inbound`]). [`Sa`]
//! processes packets of one SA without the databases. [`setkey`] reads the configuration language of setkey(8), and
//! [`pfkey`] reads and writes PF_KEYv2 messages. Key exchange, sockets, routing, fragmentation and reassembly are not
//! part of this crate.
//!
//! ```
//! # #[cfg(feature = "any")] {
//! # use core::time::Duration;
//! # use ipsec_packet::PacketBuf;
//! use esp_core::RngIv;
//! use ipsec_engine::{AnyAlgorithms, Disposition, Engine, Settings, Direction, setkey::{LoadOptions, Statement, Statements}};
//!
//! let (mut engine, now) = (Engine::<AnyAlgorithms, 4, 4>::new(Settings::STRICT, None, None), Duration::from_secs(1_795_000_000));
//! let mut statements = Statements::of(r#"
//!     add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc "sixteen octets !" -A hmac-sha1 "twenty octets it has";
//!     spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
//! "#);
//! while let Some(statement) = statements.next().map_err(|wrong| wrong.to_string())? {
//!     match statement {
//!         Statement::Add(sa) => { engine.install(sa.sa(Direction::Outbound, None, &LoadOptions::RFC)?, now).map_err(|e| e.to_string())?; }
//!         Statement::SpdAdd(policy) => { engine.add_policy(policy.policy()?)?; }
//!         _ => {}
//!     }
//! }
//! # let mut frame = [0; 256];
//! # frame[100..120].copy_from_slice(&[0x45, 0, 0, 20, 0x1c, 0x46, 0, 0, 64, 59, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1]);
//! # let mut packet = PacketBuf::with_headroom(&mut frame, 100, 20)?;
//! assert_eq!(engine.outbound(now, &mut packet, &mut RngIv(rand::rng())), Disposition::Send);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Memory: an engine contains everything that it needs; its size is `size_of::<Engine<..>>()`. On x86-64:
//!
//! | SAs | policies | flows | algorithms | octets |
//! |---|---|---|---|---|
//! | 256 | 64 | 64 | every one, at run time | 1511920 |
//! | 256 | 64 | 64 | AES-128-CBC with HMAC-SHA1 | 294320 |
//! | 2 | 2 | 4 | AES-128-CBC with HMAC-SHA1 | 7408 |
//!
//! SAs take nearly all of it: 5536 and 832 octets each (the latter 1008 with the feature `simd` of `ipsec-crypto`).
//! An SA that may have any algorithm is as large as the key schedule of Blowfish. An engine is created by a `const
//! fn`, so it can be a `static`; `Box::new` needs stack for the whole engine.
//!
//! Features: `any` (default) adds `AnyAlgorithms` and SAs from setkey statements. The algorithms are features of
//! `ipsec-crypto`.
//!
//! Security notes: a packet that matches a PROTECT policy never leaves in cleartext, unless the level of the template
//! is `use`; inbound, it is not accepted in cleartext, nor through SAs that do not match the policy. A later fragment
//! has no ports and is discarded where a policy for certain ports may protect it. A packet from a tunnel that no
//! policy requires is discarded, whatever [`Settings::unmatched`] is. Counters, lifetimes and windows of an SA change
//! by authentic packets only. Keys are wiped with their SA, and never printed except by the writer of setkey
//! statements.
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

mod acquire;
mod algorithms;
mod any_window;
mod bare_ipcomp;
mod counters;
mod decapsulate;
mod disposition;
mod encapsulate;
mod engine;
mod event;
mod hash_index;
mod inbound;
mod ipsec_header;
mod lifetime;
mod mtu;
mod outbound;
pub mod pfkey;
mod policy;
mod policy_check;
mod sa;
mod sad;
pub mod setkey;
mod spd;
mod tunnel_policy;

pub use acquire::Acquire;
#[cfg(feature = "any")]
pub use algorithms::AnyAlgorithms;
pub use algorithms::{Algorithms, Never};
pub use counters::{Counter, Counters, View};
pub use disposition::{BadPayload, DiscardReason, Disposition};
pub use engine::{DefaultLevel, Engine, SaView, Settings, Unmatched};
pub use event::{Audit, Event};

pub use any_window::AnyWindow;
pub use decapsulate::Decapsulated;
pub use lifetime::{Lifetimes, Limit, Usage};
pub use policy::{
    Action, Bundle, Level, MAX_TRANSFORMS, Mode, Policy, PolicyDirection, PolicyId, Priority, Protocol, Template,
    TunnelEndpoints,
};
pub use sa::{Direction, Encap, IpcompOut, Label, MixedFamilies, Sa, SaId, Transform};
pub use sad::{InstallError, ReserveError, SaState, UpdateError};
pub use spd::PolicyError;
