//! PF_KEYv2 (RFC 2367): messages by which a key management daemon manages the SAs and policies of a kernel, read and
//! written.
//!
//! Kernels have extended the RFC in different ways: the meaning of numbers above those of the RFC depends on the
//! [`Dialect`]. Numbers without a known meaning are preserved. A message is validated as a whole when it is parsed,
//! and reading it afterwards cannot fail. Nothing is allocated. Keys are borrowed from the message, and never
//! printed.
//!
//! ```
//! use ipsec_engine::pfkey::{Dialect, Extension, Message, MessageKind, MessageWriter, Order, SaType};
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

mod dialect;
mod error;
mod extension;
mod message;
mod number;
mod policy;
mod write;

pub use dialect::{Dialect, Order, Wire};
pub use error::{NoSpace, PfkeyError, PfkeyErrorKind};
pub use extension::{AddressRole, AlgorithmRow, Algorithms, Extension, Key, KeyRole, Lifetime, LifetimeRole, Side};
pub use message::{Extensions, Header, Message};
pub use number::{MessageKind, SaFlags, SaType};
pub use policy::{PolicyExtension, PolicyKind, Templates};
pub use write::MessageWriter;
