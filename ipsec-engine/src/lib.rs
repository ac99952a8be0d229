//! The databases of an IPsec gateway (RFC 4301) in fixed memory, and the two roads of a packet through them.
//!
//! What it is: [`Engine`], which holds policies and SAs and turns a packet into what must happen to it
//! ([`Engine::outbound`], [`Engine::inbound`]); [`Sa`], which can do its part alone; [`setkey`], the language of setkey(8);
//! [`pfkey`], the messages of PF_KEYv2. What it is not: key exchange, sockets, routing, fragmentation or reassembly.
//!
//! ```
//! # #[cfg(feature = "any")] {
//! # use core::time::Duration;
//! # use ipsec_packet::{PacketBuf, Seq};
//! use ipsec_engine::{AnyAlgorithms, Disposition, Engine, Settings, Direction, setkey::{Loading, Statement, Statements}};
//!
//! let (mut engine, now) = (Engine::<AnyAlgorithms, 4, 4>::new(Settings::STRICT, None, None), Duration::from_secs(1_795_000_000));
//! let mut statements = Statements::of(r#"
//!     add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc "sixteen octets !" -A hmac-sha1 "twenty octets it has";
//!     spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
//! "#);
//! while let Some(statement) = statements.next().map_err(|wrong| wrong.to_string())? {
//!     match statement {
//!         Statement::Add(sa) => { engine.install(sa.sa(Direction::Outbound, None, &Loading::RFC)?, now).map_err(|e| e.to_string())?; }
//!         Statement::SpdAdd(policy) => { engine.add_policy(policy.policy()?)?; }
//!         _ => {}
//!     }
//! }
//! # let mut frame = [0; 256];
//! # frame[100..120].copy_from_slice(&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1]);
//! # let mut packet = PacketBuf::with_headroom(&mut frame, 100, 20)?;
//! # let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(7); // not so: see esp_core::IvSource
//! assert_eq!(engine.outbound(now, &mut packet, &mut iv), Disposition::Send);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Memory: everything an engine ever needs is in it, and `size_of` tells how much that is. On x86-64:
//!
//! | SAs | policies | flows | algorithms | octets |
//! |---|---|---|---|---|
//! | 256 | 64 | 64 | every one, at run time | 1511392 |
//! | 256 | 64 | 64 | AES-128-CBC with HMAC-SHA1 | 293792 |
//! | 2 | 2 | 4 | AES-128-CBC with HMAC-SHA1 | 7360 |
//!
//! Nearly all of it are SAs, of 5536 and 832 octets (the latter 1008 with the feature `simd` of `ipsec-crypto`): one that may be of any algorithm is as large as Blowfish's tables. An
//! engine is made by a `const fn`, so it can be a `static`; where it is put into a `Box`, the stack must hold it for a moment.
//!
//! Features: `any` (default), for `AnyAlgorithms` and SAs from setkey statements. The algorithms are
//! features of `ipsec-crypto`.
//!
//! Security notes: what a policy protects never leaves in clear, unless its level is `use`; what it protects is not accepted
//! in clear, nor through other SAs than it asks for. A later fragment, whose ports are not there, is discarded where a policy
//! for certain ports might protect it. Packets of a tunnel that no policy wants are discarded, whatever
//! [`Settings::unmatched`] says. Counters, limits and windows change by authentic packets only. Keys are wiped with their SA,
//! and never printed, but by the writer of setkey statements.
#![no_std]

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
