use crate::attribute::Attributes;
use crate::chain::{GENERIC_HEADER, Step, offset_of};
use crate::error::{DecodeErrorKind, Fault};
use crate::number::{Doi, PayloadKind, ProtocolId, Situation, TransformId};

/// SA payload of the IPSEC DOI, or of DOI 0 with the same structure (RFC 2407 section 4.6.1). It contains the offered
/// proposals of the initiator, or the proposal chosen by the responder.
///
/// ```text
/// | generic header (4) | DOI (4) | situation (4) | labels, if secrecy or integrity | proposals |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityAssociation<'a> {
    /// Domain of interpretation, IPSEC or 0.
    pub doi: Doi,
    /// Situation bits (RFC 2407 section 4.2).
    pub situation: Situation,
    /// Labelled domain identifier, followed by the levels and categories; empty for SIT_IDENTITY_ONLY.
    pub labels: &'a [u8],
    proposals: &'a [u8],
    end: u16,
}

impl<'a> SecurityAssociation<'a> {
    /// Decodes the octets that follow the DOI; `offset` is their position in the message.
    pub(crate) fn read(doi: Doi, bytes: &'a [u8], offset: u16) -> Result<Self, DecodeErrorKind> {
        let end = offset.saturating_add(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        let too_short = DecodeErrorKind::BodyTooShort(PayloadKind::SA);
        //= RFC 2408 3.4/3
        //# MUST: an SA payload has a situation
        let (situation, rest) = bytes.split_first_chunk::<4>().ok_or(too_short)?;
        let situation = Situation(u32::from_be_bytes(*situation));
        //= RFC 2407 4.2.1/3
        //# MUST: with secrecy or integrity the situation has a labeled domain identifier
        let length = if situation.is_labelled() { labels_len(situation, rest) } else { Some(0) };
        let (labels, proposals) =
            length.and_then(|length| rest.split_at_checked(length)).ok_or(DecodeErrorKind::TruncatedLabels)?;
        Ok(Self { doi, situation, labels, proposals, end })
    }

    /// Validates all proposals, transforms and attributes in the octets that follow the DOI.
    pub(crate) fn check(bytes: &'a [u8]) -> Result<(), Fault> {
        let proposals = Self::read(Doi::IPSEC, bytes, 0)?.proposals;
        let (mut kind, mut rest) = (PayloadKind::PROPOSAL, proposals);
        let at = |rest: &[u8]| bytes.len().saturating_sub(rest.len());
        while kind != PayloadKind::NONE {
            //= RFC 2408 5.4/5
            //# MUST: receiving: the proposals and transforms are processed
            let step = check_proposal(kind, rest).map_err(|fault| fault.shifted_by(at(rest)))?;
            (kind, rest) = (step.next, step.rest);
        }
        if rest.is_empty() { Ok(()) } else { Err(Fault { kind: DecodeErrorKind::TrailingData, at: at(rest) }) }
    }

    /// Iterates over the proposals in wire order (RFC 2408 sections 3.5 and 4.2). Consecutive proposals with the same
    /// number form one offer of several protocols.
    pub const fn proposals(&self) -> Proposals<'a> {
        Proposals { rest: self.proposals, end: self.end }
    }
}

/// Returns the length in octets of the labels of a situation: a domain identifier, and for each of secrecy and
/// integrity a level (its length counts octets) and a category bitmap (its length counts bits), both padded to four
/// octets.
fn labels_len(situation: Situation, bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes.get(4..)?;
    for bit in [Situation::SECRECY, Situation::INTEGRITY] {
        if situation.0 & bit.0 != 0 {
            rest = skip_label(rest, OCTETS_SHIFT)?;
            rest = skip_label(rest, BITS_SHIFT)?;
        }
    }
    bytes.len().checked_sub(rest.len())
}

/// Returns whether a reserved field of the labels is not zero.
//= RFC 2407 4.6.1/2
//# MUST: the reserved fields after the lengths of labels are zero
pub(crate) fn labels_have_reserved(labels: &[u8]) -> bool {
    let mut rest = labels.get(4..).unwrap_or_default();
    let mut found = false;
    for shift in [OCTETS_SHIFT, BITS_SHIFT, OCTETS_SHIFT, BITS_SHIFT] {
        found |= rest.get(2..4).is_some_and(|reserved| reserved != [0; 2]);
        rest = skip_label(rest, shift).unwrap_or_default();
    }
    found
}

/// Unit of the length field of a label, as log2 of the number of units per octet. A shift cannot panic, while the
/// compiler would have to assume a division by zero.
const OCTETS_SHIFT: u32 = 0;
const BITS_SHIFT: u32 = 3;

fn skip_label(bytes: &[u8], shift: u32) -> Option<&[u8]> {
    let (&[l0, l1, _, _], rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let octets = length.saturating_add((1usize << shift).saturating_sub(1)) >> shift;
    rest.get(octets.checked_next_multiple_of(4)?..)
}

/// Proposal of one protocol and of the transforms to choose from (RFC 2408 section 3.5).
///
/// ```text
/// | generic header (4) | number (1) | protocol (1) | SPI size (1) | transforms (1) | SPI | transforms |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal<'a> {
    /// Offset in octets from the start of the ISAKMP header.
    pub offset: u16,
    /// Length of the payload in octets, including the generic header.
    pub length: u16,
    /// Reserved octet of the generic header; zero in a valid message.
    pub reserved: u8,
    /// Proposal number, equal for the protocols of one offer.
    pub number: u8,
    /// Protocol of the SPI and the transforms.
    pub protocol: ProtocolId,
    /// SPI chosen by the sender: empty or a cookie in phase 1, 4 octets for ESP and AH, 2 or 4 octets for IPComp.
    pub spi: &'a [u8],
    /// Number of transforms; the declared count has been verified.
    pub transform_count: u8,
    transforms: &'a [u8],
}

impl<'a> Proposal<'a> {
    #[inline]
    fn read(step: &Step<'a>, offset: u16) -> Option<Self> {
        let (&[number, protocol, spi_size, transform_count], rest) = step.body.split_first_chunk::<4>()?;
        //= RFC 3173 4.1/5
        //# MUST: both sizes of a proposed CPI are processed
        let (spi, transforms) = rest.split_at_checked(usize::from(spi_size))?;
        let length = u16::try_from(step.body.len().checked_add(GENERIC_HEADER)?).ok()?;
        let protocol = ProtocolId(protocol);
        Some(Self { offset, length, reserved: step.reserved, number, protocol, spi, transform_count, transforms })
    }

    /// Iterates over the transforms in wire order, which is the sender's order of preference (RFC 2408 section 3.6).
    pub const fn transforms(&self) -> Transforms<'a> {
        Transforms { rest: self.transforms, end: self.offset.saturating_add(self.length) }
    }
}

/// Validates the first proposal in `bytes`, including its transforms.
//= RFC 3173 4.1/13
//# MUST: the receiver processes each of these forms
#[inline]
fn check_proposal(kind: PayloadKind, bytes: &[u8]) -> Result<Step<'_>, Fault> {
    //= RFC 2408 3.5/1
    //# MUST: the next payload of a proposal is 2 or 0
    if kind != PayloadKind::PROPOSAL {
        return Err(DecodeErrorKind::Misplaced(kind).into());
    }
    let proposal = Step::split_first(kind, bytes)?;
    let too_short = DecodeErrorKind::BodyTooShort(PayloadKind::PROPOSAL);
    let (&[_, _, spi_size, declared], rest) = proposal.body.split_first_chunk::<4>().ok_or(too_short)?;
    //= RFC 2408 3.5/2
    //# MUST: the octets of an ISAKMP SPI are ignored
    let transforms = rest.get(usize::from(spi_size)..).ok_or(DecodeErrorKind::TruncatedPayload(kind))?;
    let wrong_count = |found| DecodeErrorKind::TransformCount { declared, found };
    if transforms.is_empty() {
        return Err(wrong_count(0).into());
    }
    //= RFC 2408 5.5/7
    //# MUST: receiving: proposals and transforms are processed by the next payload field
    let (mut kind, mut rest, mut found) = (PayloadKind::TRANSFORM, transforms, 0u8);
    let at = |rest: &[u8]| GENERIC_HEADER.saturating_add(proposal.body.len().saturating_sub(rest.len()));
    while kind != PayloadKind::NONE {
        //= RFC 2408 5.6/7
        //# MUST: receiving: further transforms and proposals are processed by the next payload field
        let step = check_transform(kind, rest).map_err(|fault| fault.shifted_by(at(rest)))?;
        found = found.checked_add(1).ok_or(wrong_count(u8::MAX))?;
        (kind, rest) = (step.next, step.rest);
    }
    if !rest.is_empty() {
        return Err(Fault { kind: DecodeErrorKind::TrailingData, at: at(rest) });
    }
    if found == declared { Ok(proposal) } else { Err(wrong_count(found).into()) }
}

/// Validates the first transform in `bytes`, including its attributes.
//= RFC 2408 5.6/4
//# MUST: receiving: transforms of unknown or unsupported numbers are ignored
#[inline]
fn check_transform(kind: PayloadKind, bytes: &[u8]) -> Result<Step<'_>, Fault> {
    //= RFC 2408 3.6/1
    //# MUST: the next payload of a transform is 3 or 0
    if kind != PayloadKind::TRANSFORM {
        return Err(DecodeErrorKind::Misplaced(kind).into());
    }
    let step = Step::split_first(kind, bytes)?;
    let attributes = step.body.get(4..).ok_or(DecodeErrorKind::BodyTooShort(PayloadKind::TRANSFORM))?;
    //= RFC 2408 3.6/2
    //# SHOULD: SA attributes have the format of data attributes
    Attributes::check(attributes).map_err(|cut| {
        let at = GENERIC_HEADER.saturating_add(step.body.len().saturating_sub(cut.len()));
        Fault { kind: DecodeErrorKind::TruncatedAttribute, at }
    })?;
    Ok(step)
}

/// Iterator over proposals, returned by [`SecurityAssociation::proposals`] (RFC 2408 section 3.5).
#[derive(Clone, Debug)]
pub struct Proposals<'a> {
    rest: &'a [u8],
    end: u16,
}

impl<'a> Iterator for Proposals<'a> {
    type Item = Proposal<'a>;

    #[inline]
    fn next(&mut self) -> Option<Proposal<'a>> {
        let step = Step::split_first(PayloadKind::PROPOSAL, self.rest).ok()?;
        let proposal = Proposal::read(&step, offset_of(self.end, self.rest))?;
        self.rest = step.rest;
        Some(proposal)
    }
}

/// Transform: one set of algorithms and parameters (RFC 2408 section 3.6).
///
/// ```text
/// | generic header (4) | number (1) | transform ID (1) | reserved (2) | attributes |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform<'a> {
    /// Offset in octets from the start of the ISAKMP header.
    pub offset: u16,
    /// Length of the payload in octets, including the generic header.
    pub length: u16,
    /// Reserved octet of the generic header; zero in a valid message.
    pub reserved: u8,
    /// Transform number, chosen by the sender.
    pub number: u8,
    /// Transform ID, whose meaning depends on the protocol of the proposal.
    pub id: TransformId,
    /// Reserved field of two octets after the transform ID.
    pub reserved2: u16,
    /// Attributes of the transform (RFC 2408 section 3.3).
    pub attributes: Attributes<'a>,
}

/// Iterator over transforms, returned by [`Proposal::transforms`] (RFC 2408 section 3.6).
#[derive(Clone, Debug)]
pub struct Transforms<'a> {
    rest: &'a [u8],
    end: u16,
}

impl<'a> Iterator for Transforms<'a> {
    type Item = Transform<'a>;

    #[inline]
    fn next(&mut self) -> Option<Transform<'a>> {
        let step = Step::split_first(PayloadKind::TRANSFORM, self.rest).ok()?;
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
