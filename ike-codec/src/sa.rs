use crate::attribute::Attributes;
use crate::chain::{GENERIC_HEADER, Step, offset_of};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::number::{PayloadKind, ProtocolId, Situation, TransformId};

/// The SA payload of the IPSEC DOI: what is proposed, or what was chosen (RFC 2407 4.6.1).
///
/// ```text
/// | generic header (4) | DOI (4) | situation (4) | labels, if secrecy or integrity | proposals |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityAssociation<'a> {
    /// The situation.
    pub situation: Situation,
    /// The labelled domain identifier and the levels and categories behind it; empty for identity only.
    pub labels: &'a [u8],
    proposals: &'a [u8],
    end: u16,
}

impl<'a> SecurityAssociation<'a> {
    /// What follows the DOI; `offset` is where that begins.
    pub(crate) fn read(bytes: &'a [u8], offset: u16) -> Result<Self, DecodeError> {
        let end = offset.saturating_add(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        let refuse = |kind| DecodeError::at(kind, offset);
        let (situation, rest) =
            bytes.split_first_chunk::<4>().ok_or(refuse(DecodeErrorKind::BodyTooShort(PayloadKind::SA)))?;
        let situation = Situation(u32::from_be_bytes(*situation));
        let length = if situation.is_labelled() { labels(situation, rest) } else { Some(0) };
        let (labels, proposals) =
            length.and_then(|length| rest.split_at_checked(length)).ok_or(refuse(DecodeErrorKind::LabelsCut))?;
        Ok(Self { situation, labels, proposals, end })
    }

    /// Walks proposals, transforms and attributes once.
    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        let (mut kind, mut rest) = (PayloadKind::PROPOSAL, self.proposals);
        while kind != PayloadKind::NONE {
            let at = offset_of(self.end, rest);
            if kind != PayloadKind::PROPOSAL {
                return Err(DecodeError::at(DecodeErrorKind::Misplaced(kind), at));
            }
            let step = Step::take(kind, rest).map_err(|e| DecodeError::at(e, at))?;
            let proposal = Proposal::read(&step, at)
                .ok_or(DecodeError::at(DecodeErrorKind::BodyTooShort(PayloadKind::PROPOSAL), at))?;
            proposal.check()?;
            (kind, rest) = (step.next, step.rest);
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::at(DecodeErrorKind::UnparsedBytes, offset_of(self.end, rest)))
        }
    }

    /// The proposals in their order. Consecutive ones with the same number are one offer of several protocols.
    pub const fn proposals(&self) -> Proposals<'a> {
        Proposals { rest: self.proposals, end: self.end }
    }
}

/// Octets of the labels of a situation: a domain identifier, and for each of secrecy and integrity a level (its length
/// in octets) and a category bitmap (its length in bits), both padded to four octets.
fn labels(situation: Situation, bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes.get(4..)?;
    for bit in [Situation::SECRECY, Situation::INTEGRITY] {
        if situation.0 & bit.0 != 0 {
            rest = after_label(rest, 1)?;
            rest = after_label(rest, 8)?;
        }
    }
    bytes.len().checked_sub(rest.len())
}

fn after_label(bytes: &[u8], units_per_octet: usize) -> Option<&[u8]> {
    let (&[l0, l1, _, _], rest) = bytes.split_first_chunk::<4>()?;
    let octets = usize::from(u16::from_be_bytes([l0, l1])).div_ceil(units_per_octet);
    rest.get(octets.checked_next_multiple_of(4)?..)
}

/// One protocol of an offer, and the transforms to choose from (RFC 2408 3.5).
///
/// ```text
/// | generic header (4) | number (1) | protocol (1) | SPI size (1) | transforms (1) | SPI | transforms |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal<'a> {
    /// Octets from the ISAKMP header.
    pub offset: u16,
    /// Octets of the payload, its generic header included.
    pub length: u16,
    /// The reserved octet of the generic header.
    pub reserved: u8,
    /// The number of the proposal.
    pub number: u8,
    /// The protocol.
    pub protocol: ProtocolId,
    /// The sender's SPI: empty or a cookie in phase 1, 4 octets of ESP and AH, 2 or 4 of IPComp.
    pub spi: &'a [u8],
    /// How many transforms it says it has, and has.
    pub transform_count: u8,
    transforms: &'a [u8],
}

impl<'a> Proposal<'a> {
    #[inline]
    fn read(step: &Step<'a>, offset: u16) -> Option<Self> {
        let (&[number, protocol, spi_size, transform_count], rest) = step.body.split_first_chunk::<4>()?;
        let (spi, transforms) = rest.split_at_checked(usize::from(spi_size))?;
        let length = u16::try_from(step.body.len().checked_add(GENERIC_HEADER)?).ok()?;
        let protocol = ProtocolId(protocol);
        Some(Self { offset, length, reserved: step.reserved, number, protocol, spi, transform_count, transforms })
    }

    #[inline]
    fn check(&self) -> Result<(), DecodeError> {
        let end = self.offset.saturating_add(self.length);
        let (mut kind, mut rest, mut found) = (PayloadKind::TRANSFORM, self.transforms, 0u8);
        let wrong_count = |found| DecodeErrorKind::TransformCount { declared: self.transform_count, found };
        if rest.is_empty() {
            return Err(DecodeError::at(wrong_count(0), self.offset));
        }
        while kind != PayloadKind::NONE {
            let at = offset_of(end, rest);
            if kind != PayloadKind::TRANSFORM {
                return Err(DecodeError::at(DecodeErrorKind::Misplaced(kind), at));
            }
            let step = Step::take(kind, rest).map_err(|e| DecodeError::at(e, at))?;
            let fixed = step.body.get(4..);
            let attributes = fixed.ok_or(DecodeError::at(DecodeErrorKind::BodyTooShort(PayloadKind::TRANSFORM), at))?;
            Attributes::check(attributes).map_err(|cut| {
                let back = u16::try_from(step.rest.len().saturating_add(cut.len())).unwrap_or(u16::MAX);
                DecodeError::at(DecodeErrorKind::AttributeCut, end.saturating_sub(back))
            })?;
            found = found.checked_add(1).ok_or(DecodeError::at(wrong_count(u8::MAX), self.offset))?;
            (kind, rest) = (step.next, step.rest);
        }
        if !rest.is_empty() {
            return Err(DecodeError::at(DecodeErrorKind::UnparsedBytes, offset_of(end, rest)));
        }
        if found == self.transform_count { Ok(()) } else { Err(DecodeError::at(wrong_count(found), self.offset)) }
    }

    /// The transforms in their order, the sender's preference first.
    pub const fn transforms(&self) -> Transforms<'a> {
        Transforms { rest: self.transforms, end: self.offset.saturating_add(self.length) }
    }
}

/// Iterates over proposals.
#[derive(Clone, Debug)]
pub struct Proposals<'a> {
    rest: &'a [u8],
    end: u16,
}

impl<'a> Iterator for Proposals<'a> {
    type Item = Proposal<'a>;

    #[inline]
    fn next(&mut self) -> Option<Proposal<'a>> {
        let step = Step::take(PayloadKind::PROPOSAL, self.rest).ok()?;
        let proposal = Proposal::read(&step, offset_of(self.end, self.rest))?;
        self.rest = step.rest;
        Some(proposal)
    }
}

/// One set of algorithms (RFC 2408 3.6).
///
/// ```text
/// | generic header (4) | number (1) | transform ID (1) | reserved (2) | attributes |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform<'a> {
    /// Octets from the ISAKMP header.
    pub offset: u16,
    /// Octets of the payload, its generic header included.
    pub length: u16,
    /// The reserved octet of the generic header.
    pub reserved: u8,
    /// The number of the transform.
    pub number: u8,
    /// What it is, which depends on the protocol of the proposal.
    pub id: TransformId,
    /// The two reserved octets behind the ID.
    pub reserved2: u16,
    /// Its attributes.
    pub attributes: Attributes<'a>,
}

/// Iterates over transforms.
#[derive(Clone, Debug)]
pub struct Transforms<'a> {
    rest: &'a [u8],
    end: u16,
}

impl<'a> Iterator for Transforms<'a> {
    type Item = Transform<'a>;

    #[inline]
    fn next(&mut self) -> Option<Transform<'a>> {
        let step = Step::take(PayloadKind::TRANSFORM, self.rest).ok()?;
        let (&[number, id, r0, r1], attributes) = step.body.split_first_chunk::<4>()?;
        let transform = Transform {
            offset: offset_of(self.end, self.rest),
            length: u16::try_from(step.body.len().checked_add(GENERIC_HEADER)?).ok()?,
            reserved: step.reserved,
            number,
            id: TransformId(id),
            reserved2: u16::from_be_bytes([r0, r1]),
            attributes: Attributes::checked(attributes),
        };
        self.rest = step.rest;
        Some(transform)
    }
}
