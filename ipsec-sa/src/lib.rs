//! Data model of security associations and policies (RFC 4301 section 4.4, RFC 2367): one description of an SA and of a
//! policy, for the crates that produce or consume them.
//!
//! Configuration files (`ipsec-config`), PF_KEY messages (`ipsec-pfkey`) and key exchange (`ike-v1`) produce
//! [`SaParams`] and [`PolicyParams`]. The databases of `ipsec-engine` and the kernel behind a PF_KEY socket consume
//! them through [`SaBackend`] and [`PolicyBackend`], and report with [`SaEvent`].
//!
//! ```
//! use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, SuiteKeys};
//! use ipsec_sa::{Mode, Protocol, SaId, SaParams, TransformParams};
//!
//! let keys = SuiteKeys::new(CipherAlgorithm::AesCbc, &[0x42; 16], IntegrityAlgorithm::HmacSha1_96, &[0x17; 20])?;
//! let id = SaId::outbound("198.51.100.1".parse()?, Protocol::Esp, 0x1001);
//! let sa = SaParams { mode: Mode::Tunnel, ..SaParams::new(id, "192.0.2.1".parse()?, TransformParams::Esp(keys)) };
//! assert_eq!(sa.to_string(), "esp 198.51.100.1 0x00001001 out from 192.0.2.1, tunnel");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: none.
//!
//! Security notes: the keys of [`SaParams`] are wiped on drop and never printed. The crate does not allocate, panic or
//! use `unsafe`.
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

mod backend;
mod event;
mod id;
mod lifetime;
mod params;
mod policy;
mod status;
mod words;

pub use backend::{PolicyBackend, SaBackend, SaChange, SpiRequest};
pub use event::{Acquire, Expiry, SaEvent};
pub use id::{Direction, SaId};
pub use lifetime::{Lifetimes, Limit, Usage};
pub use params::{CompressionAlgorithm, PaddingCheck, SaParams, TransformParams, UdpEncap};
pub use policy::{
    Action, Bundle, DefaultLevel, Level, MAX_TRANSFORMS, Mode, PolicyDirection, PolicyId, PolicyParams, Priority,
    Protocol, Template, TunnelEndpoints,
};
pub use status::{SaAlgorithms, SaState, SaStatus};
