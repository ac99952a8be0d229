use crate::error::{DecodeErrorKind, NoSpace};
use crate::number::{Doi, NotifyKind, PayloadKind, ProtocolId};
use crate::writer::BodyWriter;

/// Notification payload: an error, a status or a dead peer detection message (RFC 2408 section 3.14, RFC 2407 section
/// 4.6.3, RFC 3706).
///
/// ```text
/// | generic header (4) | DOI (4) | protocol (1) | SPI size (1) | type (2) | SPI | data |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// Domain of interpretation; Cisco sends 0 instead of IPSEC.
    pub doi: Doi,
    /// Protocol of the SA that the SPI identifies.
    pub protocol: ProtocolId,
    /// Notify message type (RFC 2408 section 3.14.1).
    pub kind: NotifyKind,
    /// SPI of the SA concerned: up to 16 octets of cookies for ISAKMP, 4 octets for AH and ESP.
    pub spi: &'a [u8],
    /// Notification data, whose format depends on the type.
    pub data: &'a [u8],
}

impl<'a> Notification<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let (&[d0, d1, d2, d3, protocol, spi_size, k0, k1], rest) = body.split_first_chunk::<8>()?;
        //= RFC 2408 3.14/1
        //# MUST: the octets of an ISAKMP SPI in a notification are ignored
        let (spi, data) = rest.split_at_checked(usize::from(spi_size))?;
        let doi = Doi(u32::from_be_bytes([d0, d1, d2, d3]));
        Some(Self { doi, protocol: ProtocolId(protocol), kind: NotifyKind(u16::from_be_bytes([k0, k1])), spi, data })
    }

    pub(crate) fn check(body: &'a [u8]) -> Result<(), DecodeErrorKind> {
        match Self::read(body) {
            Some(_) => Ok(()),
            None if body.len() < 8 => Err(DecodeErrorKind::BodyTooShort(PayloadKind::NOTIFICATION)),
            None => Err(DecodeErrorKind::TruncatedPayload(PayloadKind::NOTIFICATION)),
        }
    }

    /// Returns the 32-bit number in the data of R-U-THERE, R-U-THERE-ACK (RFC 3706 section 5.3) or REPLAY-STATUS;
    /// `None` unless the data has four octets.
    //= RFC 2407 4.6.3.2/1
    //# MUST: replay-status has DOI, protocol, SPI, type and four octets as drawn
    pub fn number(&self) -> Option<u32> {
        self.data.try_into().ok().map(u32::from_be_bytes)
    }

    /// Writes the body of the notification payload (RFC 2408 section 3.14).
    ///
    /// # Errors
    /// [`NoSpace`], also when the SPI is longer than 255 octets.
    //= RFC 2407 4.6.3.1/1
    //# MUST: responder-lifetime has DOI, protocol, SPI, type and attributes as drawn
    //= RFC 2408 5.14/3
    //# MUST: sending: a notification payload is constructed
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        body.put(&self.doi.0.to_be_bytes())?;
        body.put(&[self.protocol.0, u8::try_from(self.spi.len()).map_err(|_| NoSpace)?])?;
        body.put(&self.kind.0.to_be_bytes())?;
        body.put(self.spi)?;
        body.put(self.data)
    }
}
