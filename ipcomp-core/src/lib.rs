//! IPComp (RFC 3173) with DEFLATE (RFC 2394, RFC 1951) and LZS (RFC 2395), without heap allocation.
//!
//! The crate contains [`compress`] and [`decompress`] for the payload of one packet, in the caller's buffer;
//! compressors and a decompressor whose complete state is a struct that the caller owns ([`Deflate`], [`FixedDeflate`],
//! [`Inflate`]); and [`Backoff`], which suspends compression while packets do not get smaller. It is not a general
//! compressor: a packet is compressed as a whole, the history is cleared for each packet (RFC 3173 section 2), and the
//! input is at most an IP packet.
//!
//! ```
//! use ipcomp_core::{Compression, Deflate, Inflate, compress, decompress};
//! use ipsec_packet::{Cpi, IpProto, PacketBuf};
//!
//! let mut bytes = [b'a'; 1024]; // a payload of 400 octets and the tailroom
//! let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 400)?;
//! let done = compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new())?;
//! assert!(matches!(done, Compression::Compressed { .. }) && packet.len() < 30);
//! assert_eq!(decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new())?, IpProto::UDP);
//! assert_eq!(packet.data(), [b'a'; 400]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `lzs` enables LZS as a second algorithm.
//!
//! Security notes: decompressed data never exceeds the caller's buffer, so that a decompression bomb ends in an error.
//! IPComp does not authenticate and must be protected by ESP or AH. When secrets are compressed together with data that
//! an attacker chooses, the packet length reveals information about the secrets (as in CRIME): do not enable
//! compression for such traffic.
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

mod backoff;
mod deflate;
mod inflate;
#[cfg(feature = "lzs")]
mod lzs;
mod packet;

pub use backoff::Backoff;
pub use deflate::{Deflate, FixedDeflate};
pub use inflate::{Inflate, InflateError};
#[cfg(feature = "lzs")]
pub use lzs::{Lzs, LzsError};
pub use packet::{Compression, Compressor, DecompressError, Decompressor, THRESHOLD, compress, decompress};
