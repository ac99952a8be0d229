//! ```text
//! | next header | payload len |     reserved      |
//! |        Security Parameters Index (SPI)        |
//! |                Sequence Number                |
//! |  ICV (with AES-GMAC: IV, ICV), then padding   |
//! ```

use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The fixed part of AH (RFC 4302 2).
//= RFC 4302 2.5/2
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) next_header: u8,
    pub(crate) payload_len: u8,
    pub(crate) reserved: [u8; 2],
    pub(crate) spi: U32,
    pub(crate) seq: U32,
}

/// Octets of the fixed part.
pub(crate) const HEADER: usize = 12;

impl Header {
    /// Octets of the whole header: the length field counts words of 4, less 2 (RFC 4302 2.2).
    pub(crate) fn len(&self) -> usize {
        usize::from(self.payload_len).saturating_add(2).saturating_mul(4)
    }
}
