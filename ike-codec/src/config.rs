use crate::attribute::Attributes;
use crate::error::{DecodeErrorKind, Fault, NoSpace};
use crate::number::{ConfigKind, PayloadKind};
use crate::writer::BodyWriter;

/// Attribute payload of mode config, XAUTH and Unity (draft-ietf-ipsec-isakmp-mode-cfg-05 section 3.2).
///
/// ```text
/// | generic header (4) | type (1) | reserved (1) | identifier (2) | attributes |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config<'a> {
    /// Message type: request, reply, set or ack.
    pub kind: ConfigKind,
    /// Reserved octet; zero in a valid message.
    pub reserved: u8,
    /// Identifier that matches a reply to its request.
    pub identifier: u16,
    /// Attributes of the message.
    pub attributes: Attributes<'a>,
    /// Padding after the attributes: at most three zero octets, sent by some peers.
    pub padding: &'a [u8],
}

impl<'a> Config<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let (&[kind, reserved, i0, i1], rest) = body.split_first_chunk::<4>()?;
        let (attributes, padding) = match Attributes::check(rest) {
            Ok(()) => (rest, &[][..]),
            Err(cut) => rest.split_at_checked(rest.len().checked_sub(cut.len())?)?,
        };
        Some(Self {
            kind: ConfigKind(kind),
            reserved,
            identifier: u16::from_be_bytes([i0, i1]),
            attributes: Attributes::checked(attributes),
            padding,
        })
    }

    pub(crate) fn check(body: &'a [u8]) -> Result<(), Fault> {
        let padding = Self::read(body).ok_or(DecodeErrorKind::BodyTooShort(PayloadKind::CONFIG))?.padding;
        if padding.len() <= 3 && padding.iter().all(|&b| b == 0) {
            return Ok(());
        }
        Err(Fault { kind: DecodeErrorKind::TruncatedAttribute, at: body.len().saturating_sub(padding.len()) })
    }

    /// Writes the body of the attribute payload (draft-ietf-ipsec-isakmp-mode-cfg-05 section 3.2).
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        body.put(&[self.kind.0, self.reserved])?;
        body.put(&self.identifier.to_be_bytes())?;
        body.attributes(|list| self.attributes.iter().try_for_each(|a| list.attribute(&a)))?;
        body.put(self.padding)
    }
}
