//! PF_KEYv2 (RFC 2367): the messages by which a daemon manages the SAs and policies of a kernel, read and written.
//!
//! Kernels have extended the RFC, each in its way: numbers above those of the RFC mean what their [`Dialect`] says. Numbers
//! without a meaning here survive. A message is checked whole when it is read, and its views cannot fail after that; nothing
//! is allocated. Keys are borrowed from the message, and never printed.
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
