use super::BodyWriter;
use crate::attribute::{Attribute, BASIC, Value};
use crate::error::NoSpace;
use crate::number::{PayloadKind, ProtocolId, TransformId};
use crate::sa::{Proposal, Transform};

/// Fixed fields of a proposal to be written (RFC 2408 section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalHead<'a> {
    /// Proposal number, equal for the protocols of one offer.
    pub number: u8,
    /// Protocol of the SPI and the transforms.
    pub protocol: ProtocolId,
    /// SPI of at most 255 octets.
    pub spi: &'a [u8],
    /// Reserved octet of the generic header, normally zero.
    pub reserved: u8,
}

impl<'a> ProposalHead<'a> {
    /// Creates the fields of a proposal with a reserved octet of zero (RFC 2408 section 3.5).
    pub const fn new(number: u8, protocol: ProtocolId, spi: &'a [u8]) -> Self {
        //= RFC 2408 2.5.2/1
        //# MUST: reserved fields are sent as zero
        Self { number, protocol, spi, reserved: 0 }
    }
}

/// Fixed fields of a transform to be written (RFC 2408 section 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransformHead {
    /// Transform number, unique in the proposal.
    pub number: u8,
    /// Transform ID, whose meaning depends on the protocol of the proposal.
    pub id: TransformId,
    /// Reserved octet of the generic header, normally zero.
    pub reserved: u8,
    /// Reserved field of two octets after the transform ID, normally zero.
    pub reserved2: u16,
}

impl TransformHead {
    /// Creates the fields of a transform with reserved fields of zero (RFC 2408 section 3.6).
    pub const fn new(number: u8, id: TransformId) -> Self {
        Self { number, id, reserved: 0, reserved2: 0 }
    }
}

/// Writes the proposals of an SA payload (RFC 2408 section 3.4).
#[derive(Debug)]
pub struct SaWriter<'b> {
    pub(super) body: BodyWriter<'b>,
    pub(super) link: Option<usize>,
}

impl SaWriter<'_> {
    /// Appends a proposal whose transforms are written by `f`, and fills in their number (RFC 2408 sections 3.5 and
    /// 5.5).
    ///
    /// # Errors
    /// [`NoSpace`], also for an SPI or a number of transforms above 255.
    //= RFC 2408 5.5/3
    //# MUST: sending: a proposal payload is constructed
    pub fn proposal(
        &mut self,
        head: &ProposalHead<'_>,
        f: impl FnOnce(&mut TransformWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        let start = self.body.len;
        let spi_size = u8::try_from(head.spi.len()).map_err(|_| NoSpace)?;
        self.body.nested(head.reserved, |body| {
            body.put(&[head.number, head.protocol.0, spi_size, 0])?;
            body.put(head.spi)?;
            let mut transforms = TransformWriter { body: body.reborrow(), link: None, count: 0 };
            f(&mut transforms)?;
            let (len, count) = (transforms.body.len, transforms.count);
            body.len = len;
            body.patch(start.saturating_add(7), &[count]);
            Ok(())
        })?;
        if let Some(link) = self.link.replace(start) {
            self.body.patch(link, &[PayloadKind::PROPOSAL.0]);
        }
        Ok(())
    }

    /// Appends a copy of a proposal of another message, including its transforms (RFC 2408 section 3.5).
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn copy(&mut self, proposal: &Proposal<'_>) -> Result<(), NoSpace> {
        let &Proposal { number, protocol, spi, reserved, .. } = proposal;
        self.proposal(&ProposalHead { number, protocol, spi, reserved }, |writer| {
            proposal.transforms().try_for_each(|transform| writer.copy(&transform))
        })
    }
}

/// Writes the transforms of a proposal (RFC 2408 section 3.6).
#[derive(Debug)]
pub struct TransformWriter<'b> {
    pub(super) body: BodyWriter<'b>,
    link: Option<usize>,
    count: u8,
}

impl TransformWriter<'_> {
    /// Appends a transform whose attributes are written by `f` (RFC 2408 sections 3.6 and 5.6).
    ///
    /// # Errors
    /// [`NoSpace`], also for the 256th transform.
    //= RFC 2408 5.6/2
    //# MUST: sending: a transform payload is constructed
    pub fn transform(
        &mut self,
        head: &TransformHead,
        f: impl FnOnce(&mut AttributeWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        let start = self.body.len;
        let count = self.count.checked_add(1).ok_or(NoSpace)?;
        self.body.nested(head.reserved, |body| {
            body.put(&[head.number, head.id.0])?;
            body.put(&head.reserved2.to_be_bytes())?;
            body.attributes(f)
        })?;
        self.count = count;
        if let Some(link) = self.link.replace(start) {
            self.body.patch(link, &[PayloadKind::TRANSFORM.0]);
        }
        Ok(())
    }

    /// Appends a copy of a transform of another message (RFC 2408 section 3.6).
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn copy(&mut self, transform: &Transform<'_>) -> Result<(), NoSpace> {
        let &Transform { number, id, reserved, reserved2, .. } = transform;
        self.transform(&TransformHead { number, id, reserved, reserved2 }, |list| {
            transform.attributes.iter().try_for_each(|attribute| list.attribute(&attribute))
        })
    }
}

/// Writes attributes of a transform or of another payload (RFC 2408 section 3.3).
#[derive(Debug)]
pub struct AttributeWriter<'b> {
    pub(super) body: BodyWriter<'b>,
}

impl AttributeWriter<'_> {
    /// Appends an attribute; the lower 15 bits of its type are used (RFC 2408 section 3.3).
    ///
    /// # Errors
    /// [`NoSpace`], also for a value of more than 65,535 octets.
    pub fn attribute(&mut self, attribute: &Attribute<'_>) -> Result<(), NoSpace> {
        self.body.all_or_nothing(|body| match attribute.value {
            Value::Basic(value) => {
                body.put(&(attribute.kind | BASIC).to_be_bytes())?;
                body.put(&value.to_be_bytes())
            }
            Value::Variable(bytes) => {
                body.put(&(attribute.kind & !BASIC).to_be_bytes())?;
                body.put(&u16::try_from(bytes.len()).map_err(|_| NoSpace)?.to_be_bytes())?;
                body.put(bytes)
            }
        })
    }

    /// Appends an attribute in basic encoding, with a value of two octets (RFC 2408 section 3.3).
    ///
    /// # Errors
    /// Same as [`attribute`](Self::attribute).
    pub fn basic(&mut self, kind: u16, value: u16) -> Result<(), NoSpace> {
        self.attribute(&Attribute { kind, value: Value::Basic(value) })
    }

    /// Appends an attribute in variable encoding (RFC 2408 section 3.3).
    ///
    /// # Errors
    /// Same as [`attribute`](Self::attribute).
    pub fn variable(&mut self, kind: u16, value: &[u8]) -> Result<(), NoSpace> {
        self.attribute(&Attribute { kind, value: Value::Variable(value) })
    }

    /// Appends a life type and a life duration of four octets, a length that all known peers accept (RFC 2407 section
    /// 4.5).
    ///
    /// # Errors
    /// Same as [`attribute`](Self::attribute).
    pub fn lifetime(&mut self, types: (u16, u16), unit: u16, duration: u32) -> Result<(), NoSpace> {
        let (life_type, life_duration) = types;
        //= RFC 2407 4.5/3
        //# MUST: a life duration follows the life type of its unit
        self.basic(life_type, unit)?;
        self.variable(life_duration, &duration.to_be_bytes())
    }
}
