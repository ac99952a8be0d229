use crate::error::{DecodeErrorKind, NoSpace};
use crate::number::{Doi, ProtocolId};
use crate::writer::BodyWriter;

/// Delete payload: SPIs of SAs that the sender has deleted (RFC 2408 section 3.15).
///
/// ```text
/// | generic header (4) | DOI (4) | protocol (1) | SPI size (1) | number of SPIs (2) | SPIs |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Domain of interpretation (RFC 2408 section 3.15).
    pub doi: Doi,
    /// Protocol of the deleted SAs.
    //= RFC 2408 3.15/1
    //# MUST: all SPIs of a delete payload are of one protocol
    pub protocol: ProtocolId,
    /// Length of each SPI in octets: 16 for ISAKMP, 4 for AH and ESP, 2 or 4 for IPComp.
    pub spi_size: u8,
    /// Number of SPIs in the payload.
    pub spi_count: u16,
    /// SPIs, concatenated without padding.
    pub spi_bytes: &'a [u8],
}

impl<'a> Delete<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let (&[d0, d1, d2, d3, protocol, spi_size, n0, n1], spi_bytes) = body.split_first_chunk::<8>()?;
        let (doi, spi_count) = (Doi(u32::from_be_bytes([d0, d1, d2, d3])), u16::from_be_bytes([n0, n1]));
        Some(Self { doi, protocol: ProtocolId(protocol), spi_size, spi_count, spi_bytes })
    }

    /// Verifies that the SPIs fill the payload exactly, so that neither the count nor the size exceeds the octets
    /// present.
    pub(crate) fn check(&self) -> Result<(), DecodeErrorKind> {
        let expected = usize::from(self.spi_count).checked_mul(usize::from(self.spi_size));
        if expected == Some(self.spi_bytes.len()) {
            Ok(())
        } else {
            Err(DecodeErrorKind::SpiCount { count: self.spi_count, size: self.spi_size })
        }
    }

    /// Iterates over the SPIs; the iterator is empty when the SPI size is zero (RFC 2408 section 3.15).
    pub fn spis(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (size, mut rest) = (usize::from(self.spi_size), self.spi_bytes);
        core::iter::from_fn(move || {
            let (spi, remaining) = rest.split_at_checked(size).filter(|(spi, _)| !spi.is_empty())?;
            rest = remaining;
            Some(spi)
        })
    }

    /// Writes the body of the delete payload (RFC 2408 section 3.15).
    ///
    /// # Errors
    /// [`NoSpace`].
    //= RFC 2408 5.15/5
    //# MUST: sending: a delete payload is constructed
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        body.put(&self.doi.0.to_be_bytes())?;
        //= RFC 2408 3.15/2
        //# MUST NOT: protocols are not mixed in a delete payload
        body.put(&[self.protocol.0, self.spi_size])?;
        body.put(&self.spi_count.to_be_bytes())?;
        body.put(self.spi_bytes)
    }
}
