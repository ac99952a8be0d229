//! PF_KEYv2 (RFC 2367): messages by which a key management daemon manages the SAs and policies of a kernel, read and
//! written.
//!
//! Kernels have extended the RFC in different ways: the meaning of numbers above those of the RFC depends on the
//! [`Dialect`]. Numbers without a known meaning are preserved. A message is validated as a whole when it is parsed,
//! and reading it afterwards cannot fail. Nothing is allocated. Keys are borrowed from the message, and never
//! printed.
//!
//! ```
//! use ipsec_pfkey::{Dialect, Extension, Message, MessageKind, MessageWriter, Order, SaType};
//!
//! let mut buffer = [0; 64];
//! let wire = Dialect::Linux.with(Order::NATIVE);
//! let mut writer = MessageWriter::new(&mut buffer, wire, MessageKind::GETSPI, SaType::Esp, 7, 4711)?;
//! writer.push(&Extension::SpiRange { min: 0x1000, max: 0x1fff })?;
//! let octets = writer.finish()?;
//! let message = Message::parse(octets, wire)?;
//! assert_eq!(message.header().sequence, 7);
//! assert_eq!(message.extensions().next(), Some(Extension::SpiRange { min: 0x1000, max: 0x1fff }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`PfkeyBackend`] writes the messages of an `ipsec_sa::SaBackend`, so that a configuration or a key exchange is given
//! to a kernel like to the engine.
//!
//! Features: none.
//!
//! Security notes: messages that contain keys are as secret as the keys. The buffer of [`PfkeyBackend`] is wiped after
//! each message.
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
mod dialect;
mod error;
mod extension;
mod message;
mod number;
mod policy;
mod sa;
mod write;

pub use backend::{BackendError, PfkeyBackend, Socket, event};
pub use dialect::{Dialect, Order, Wire};
pub use error::{NoSpace, PfkeyError, PfkeyErrorKind};
pub use extension::{AddressRole, AlgorithmRow, Algorithms, Extension, Key, KeyRole, Lifetime, LifetimeRole, Side};
pub use message::{Extensions, Header, Message};
pub use number::{MessageKind, SaFlags, SaType};
pub use policy::{PolicyExtension, PolicyKind, Templates};
pub use sa::{ReadError, WriteError, read_policy, read_sa, write_sa};
pub use write::MessageWriter;
