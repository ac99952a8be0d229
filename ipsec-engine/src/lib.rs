//! Security Policy Database and Security Association Database of an IPsec implementation (RFC 4301) in fixed memory,
//! with outbound and inbound processing.
//!
//! [`Engine`] holds policies and SAs and processes packets ([`Engine::outbound`], [`Engine::inbound`]). [`Sa`]
//! processes packets of one SA without the databases. SAs and policies are described by `ipsec-sa`; configuration files
//! (`ipsec-config`) and key exchange (`ike-v1`) give them to the engine by [`SaBackend`] and [`PolicyBackend`].
//! Sockets, routing, fragmentation and reassembly are not part of this crate.
//!
//! ```
//! # #[cfg(feature = "runtime-suites")] {
//! # use ipsec_packet::{Instant, PacketBuf};
//! use esp_core::RngIv;
//! use ipsec_config::setkey;
//! use ipsec_engine::{AnyAlgorithms, Engine, OutboundAction, Settings};
//!
//! let (mut engine, now) = (Engine::<AnyAlgorithms, 4, 4>::new(Settings::STRICT, None, None), Instant::ZERO);
//! let text = r#"
//!     add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc "sixteen octets !" -A hmac-sha1 "twenty octets it has";
//!     spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
//! "#;
//! setkey::apply(&mut engine, text.as_bytes(), &["192.0.2.1".parse()?], now)?;
//! # let mut frame = [0; 256];
//! # frame[100..120].copy_from_slice(&[0x45, 0, 0, 20, 0x1c, 0x46, 0, 0, 64, 59, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1]);
//! # let mut packet = PacketBuf::with_headroom(&mut frame, 100, 20)?;
//! assert_eq!(engine.outbound(&mut packet, now, &mut RngIv(rand::rng())), OutboundAction::Send);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Memory: an engine contains everything that it needs; its size is `size_of::<Engine<..>>()`. On x86-64:
//!
//! | SAs | policies | flows | algorithms | octets |
//! |---|---|---|---|---|
//! | 256 | 64 | 64 | every one, at run time | 1454320 |
//! | 256 | 64 | 64 | AES-128-CBC with HMAC-SHA1 | 285872 |
//! | 2 | 2 | 4 | AES-128-CBC with HMAC-SHA1 | 7216 |
//!
//! SAs take nearly all of it: 5312 and 800 octets each (the latter 1008 with the feature `vector-code` of
//! `ipsec-crypto`). An SA that may have any algorithm is as large as the key schedule of Blowfish. [`Engine::new`] is a
//! `const fn`, so that an engine can be created without any stack: `static ENGINE: Mutex<Engine<..>> =
//! Mutex::new(Engine::new(Settings::STRICT, None, None));`. With the feature `alloc`, SAs and policies are on the heap,
//! each SA in memory of its own, and the tables grow to the same limits: an engine for 256 SAs needs less than 32 KiB
//! of stack. The capacity of a `HeapEngine` is chosen at run time. With `alloc` the cost of a packet does not grow with
//! the number of SAs, policies and flows; without it, a packet whose flow is not cached is compared with the policies
//! and the SAs one by one.
//!
//! Features: `runtime-suites` (default) adds `AnyAlgorithms`; `alloc` keeps SAs and policies on the heap; `shards` is
//! for engines of several cores, which share policies and outbound SAs, on machines with atomic numbers of 64 bits. The
//! algorithms are features of `ipsec-crypto`.
//!
//! Security notes: a packet that matches a PROTECT policy never leaves in cleartext, unless the level of the template
//! is `use`; inbound, it is not accepted in cleartext, nor through SAs that do not match the policy. A later fragment
//! has no ports and is discarded where a policy for certain ports may protect it. A packet from a tunnel that no
//! policy requires is discarded, regardless of [`Settings::unmatched`]. Counters, lifetimes and windows of an SA change
//! by authentic packets only. Keys are wiped with their SA, and never printed.
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

#[cfg(feature = "alloc")]
extern crate alloc;

mod acquire;
mod action;
mod algorithms;
mod any_window;
mod audit;
mod backend;
mod bare_ipcomp;
mod counters;
mod decapsulate;
mod discard;
mod encapsulate;
mod engine;
mod flow_cache;
mod from_params;
mod hash_index;
mod header_check;
#[cfg(feature = "alloc")]
mod heap_engine;
mod inbound;
mod inbound_batch;
mod ipsec_header;
#[cfg(not(feature = "alloc"))]
mod linear_search;
mod mss;
mod mtu;
#[cfg(feature = "alloc")]
mod multiset;
mod outbound;
mod outbound_batch;
mod policy_check;
mod policy_set;
#[cfg(feature = "alloc")]
mod rule_choices;
mod sa;
mod sad;
mod sad_error;
mod sad_index;
#[cfg(feature = "alloc")]
mod selector_key;
#[cfg(all(feature = "shards", target_has_atomic = "64"))]
mod shards;
#[cfg(not(all(feature = "shards", target_has_atomic = "64")))]
#[path = "unshared.rs"]
mod shards;
mod slot;
mod spd;
mod table;
mod tunnel_policy;
#[cfg(feature = "alloc")]
mod tuple_space;
#[cfg(feature = "alloc")]
mod tuples;
mod update;

pub use action::{InboundAction, OutboundAction};
#[cfg(feature = "runtime-suites")]
pub use algorithms::AnyAlgorithms;
pub use algorithms::{Algorithms, Never, SizedWindow};
pub use any_window::AnyWindow;
pub use audit::Audit;
pub use backend::BackendError;
pub use counters::{Counter, Counters};
pub use decapsulate::Decapsulated;
pub use discard::{BadPayload, DiscardReason};
pub use engine::{Engine, SaView, Settings, Unmatched};
pub use from_params::SaError;
#[cfg(feature = "alloc")]
pub use heap_engine::{Capacity, HeapEngine};
pub use inbound_batch::InboundSlot;
pub use ipsec_sa::{
    Acquire, Action, Bundle, DefaultLevel, Direction, Expiry, Level, Lifetimes, Limit, MAX_TRANSFORMS, Mode,
    PolicyBackend, PolicyDirection, PolicyId, PolicyParams, Priority, Protocol, SaAlgorithms, SaBackend, SaChange,
    SaEvent, SaId, SaParams, SaState, SaStatus, SpiRequest, Template, TransformParams, TunnelEndpoints, UdpEncap,
    Usage,
};
pub use mss::MssLimits;
pub use outbound_batch::OutboundSlot;
pub use policy_set::PolicyError;
pub use sa::{IpcompOut, MixedFamilies, Sa, Transform};
pub use sad_error::{InstallError, ReserveError, UpdateError};
#[cfg(all(feature = "shards", target_has_atomic = "64"))]
pub use shards::{HeapPolicies, NotShareable, PermittedNumbers, Shard, SharedSa};
pub use update::SaUpdate;
