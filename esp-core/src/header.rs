//! ```text
//! |          Security Parameters Index (SPI)      |
//! |                Sequence Number                |
//! |  IV, payload, padding .. | pad length | next header |
//! |                      ICV                      |
//! ```

use ipsec_packet::TooShort;

/// Length of SPI and sequence number in octets (RFC 4303 section 2).
//= RFC 4303 2.3/3
//# MUST: the payload begins at a multiple of 4 octets (IPv4) or 8 (IPv6) from the ESP header
pub(crate) const HEADER: usize = 8;

/// Fields of an ESP packet that are readable without a key (RFC 4303 sections 2.1 and 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peek {
    /// SPI of the packet, including reserved values.
    pub spi: u32,
    /// Low half of the sequence number; without ESN all of it.
    pub seq_low: u32,
    /// Length from the SPI to the end of the ICV in octets.
    pub len: usize,
}

/// Reads SPI and sequence number of a packet that begins with the ESP header, to find its SA or for display (RFC 4303
/// sections 2.1 and 2.2).
///
/// # Errors
/// [`TooShort`] below 8 octets.
pub fn peek(esp: &[u8]) -> Result<Peek, TooShort> {
    let &[s0, s1, s2, s3, n0, n1, n2, n3] =
        esp.first_chunk::<HEADER>().ok_or(TooShort { needed: HEADER, available: esp.len() })?;
    let (spi, seq_low) = (u32::from_be_bytes([s0, s1, s2, s3]), u32::from_be_bytes([n0, n1, n2, n3]));
    Ok(Peek { spi, seq_low, len: esp.len() })
}

/// Returns the header as it is transmitted.
pub(crate) const fn write([s0, s1, s2, s3]: [u8; 4], [n0, n1, n2, n3]: [u8; 4]) -> [u8; HEADER] {
    [s0, s1, s2, s3, n0, n1, n2, n3]
}
