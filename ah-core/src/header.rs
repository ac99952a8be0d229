//! ```text
//! | next header | payload len |     reserved      |
//! |        Security Parameters Index (SPI)        |
//! |                Sequence Number                |
//! |  ICV (with AES-GMAC: IV, ICV), then padding   |
//! ```

use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Fixed part of the AH header (RFC 4302 section 2).
//= RFC 4302 2.5/2
//# MUST: the sequence number is always present and transmitted
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) next_header: u8,
    pub(crate) payload_len: u8,
    pub(crate) reserved: [u8; 2],
    pub(crate) spi: U32,
    pub(crate) seq: U32,
}

/// Length of the fixed part in octets.
pub(crate) const HEADER: usize = 12;

impl Header {
    /// Returns the length of the whole header in octets: the length field counts words of 4 octets, minus 2 (RFC 4302
    /// section 2.2).
    pub(crate) fn len(&self) -> usize {
        usize::from(self.payload_len).saturating_add(2).saturating_mul(4)
    }
}
