//! ESP (RFC 2406, RFC 4303): sealing and opening of packets in place, in a buffer of the caller.
//!
//! The crate contains the pure functions [`seal_with`] and [`open_with`], and two structs that keep the state of an
//! SA: [`Outbound`] (suite and sequence counter) and [`Inbound`] (suite and anti-replay window). Tunnel mode,
//! transport mode and UDP encapsulation are in `ipsec-packet`, lifetimes and policies in `ipsec-engine`.
//!
//! ```
//! use esp_core::{Inbound, Outbound, RngIv};
//! use ipsec_crypto::{Aes128Cbc, EncryptThenMac, HmacSha1_96};
//! use ipsec_packet::{IpProto, PacketBuf, SeqWidth, Spi};
//!
//! // IKE or an administrator supplies the keys of a real SA.
//! let (cipher_key, integrity_key) = (rand::random(), rand::random());
//! let suite = || EncryptThenMac::new(Aes128Cbc::new(&cipher_key), HmacSha1_96::new(&integrity_key));
//! let spi = Spi::new(0x1001)?;
//! let mut tx = Outbound::new(spi, suite(), SeqWidth::Bits32);
//! let mut rx = Inbound::new(spi, suite(), SeqWidth::Bits32);
//! let mut bytes = [0u8; 128]; // 24 octets of headroom, a payload of 20, tailroom
//! let mut packet = PacketBuf::with_headroom(&mut bytes, 24, 20)?;
//! tx.seal(&mut packet, IpProto::IPV4, &mut RngIv(rand::rng()))?;
//! let opened = rx.open(&mut packet)?;
//! assert_eq!((opened.next_header, packet.data()), (IpProto::IPV4, &[0u8; 20][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: none; algorithms are features of `ipsec-crypto`.
//!
//! Security notes: the ICV is verified in constant time before anything is decrypted. The anti-replay window is
//! checked before it and updated after it. A refused packet leaves buffer, counter and window unchanged, except for
//! invalid padding, which only an authenticated packet can have and whose plaintext is wiped. Opening in place writes
//! to the caller's buffer: for memory that others can read or change meanwhile (shared rings, mapped pages) there is
//! [`Inbound::open_into`].
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

mod batch;
mod header;
mod iv;
mod null_esp;
mod open;
mod padding;
mod prepared;
mod receiver;
mod sa;
mod seal;
mod size;
mod transport;

pub use batch::{OpenSlot, SealSlot, open_batch, seal_batch};
pub use header::{Peek, peek};
pub use iv::{EncryptedCounterIv, IvSource, RngIv};
pub use null_esp::{NullEsp, null_esp_heuristic};
pub use open::{OpenError, Opened, open_with};
pub use padding::{PadCheck, Padding};
pub use prepared::{Prepared, Unsealed, seal_prepared};
pub use sa::{Inbound, Outbound, Resync};
pub use seal::{SealError, SealParams, seal_with};
pub use size::{Overhead, largest_payload, overhead};
pub use transport::{OpenTransportError, SealTransportError};
