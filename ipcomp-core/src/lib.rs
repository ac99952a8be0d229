//! IPComp (RFC 3173): DEFLATE (RFC 2394, 1951) and LZS (RFC 2395) for packets, without a heap.
//!
//! What it is: [`compress`] and [`decompress`] for the payload of one packet, in the caller's buffer; a deflater and an
//! inflater whose whole state is a struct that the caller owns ([`Deflate`], [`FixedDeflate`], [`Inflate`]); and
//! [`Backoff`], which stops trying where nothing is gained.
//! What it is not: a general compressor. A packet is one piece, history is cleared for each (RFC 3173 2), and nothing
//! larger than an IP packet goes in.
//!
//! ```
//! use ipcomp_core::{Compression, Deflate, Inflate, compress, decompress};
//! use ipsec_packet::{Cpi, IpProto, PacketBuf};
//!
//! let mut bytes = [b'a'; 1024]; // a payload of 400 octets, room for as many behind it
//! let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 400)?;
//! let done = compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new())?;
//! assert!(matches!(done, Compression::Shrunk { .. }) && packet.len() < 30);
//! assert_eq!(decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new())?, IpProto::UDP);
//! assert_eq!(packet.data(), [b'a'; 400]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `lzs` for the second algorithm.
//!
//! Security notes: what is inflated never exceeds the room in the caller's buffer, so a bomb ends in an error. IPComp
//! authenticates nothing: it belongs inside ESP or AH. Compressing secrets together with what an attacker chooses
//! tells him about the secrets by the length (as in CRIME): leave it off for such traffic.
#![no_std]

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
