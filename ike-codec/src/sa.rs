use crate::attribute::Attributes;
use crate::chain::{GENERIC_HEADER, Step, offset_of};
use crate::error::{DecodeErrorKind, Fault};
use crate::number::{Doi, PayloadKind, ProtocolId, Situation, TransformId};

/// The SA payload of the IPSEC DOI, or one of the generic DOI 0 that is built like it: what is proposed, or what was chosen (RFC 2407 4.6.1).
///
/// ```text
/// | generic header (4) | DOI (4) | situation (4) | labels, if secrecy or integrity | proposals |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityAssociation<'a> {
    /// The DOI.
    pub doi: Doi,
    /// The situation.
    pub situation: Situation,
    /// The labelled domain identifier and the levels and categories behind it; empty for identity only.
    pub labels: &'a [u8],
    proposals: &'a [u8],
    end: u16,
}

impl<'a> SecurityAssociation<'a> {
    /// What follows the DOI; `offset` is where that begins in the message.
    pub(crate) fn read(doi: Doi, bytes: &'a [u8], offset: u16) -> Result<Self, DecodeErrorKind> {
        let end = offset.saturating_add(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        let too_short = DecodeErrorKind::BodyTooShort(PayloadKind::SA);
        //= RFC 2408 3.4/3
        let (situation, rest) = bytes.split_first_chunk::<4>().ok_or(too_short)?;
        let situation = Situation(u32::from_be_bytes(*situation));
        //= RFC 2407 4.2.1/3
        let length = if situation.is_labelled() { labels(situation, rest) } else { Some(0) };
        let (labels, proposals) =
            length.and_then(|length| rest.split_at_checked(length)).ok_or(DecodeErrorKind::LabelsCut)?;
        Ok(Self { doi, situation, labels, proposals, end })
    }

    /// Walks proposals, transforms and attributes once.
    pub(crate) fn check(bytes: &'a [u8]) -> Result<(), Fault> {
        let proposals = Self::read(Doi::IPSEC, bytes, 0)?.proposals;
        let (mut kind, mut rest) = (PayloadKind::PROPOSAL, proposals);
        let at = |rest: &[u8]| bytes.len().saturating_sub(rest.len());
        while kind != PayloadKind::NONE {
            //= RFC 2408 5.4/5
            let step = check_proposal(kind, rest).map_err(|fault| fault.behind(at(rest)))?;
            (kind, rest) = (step.next, step.rest);
        }
        if rest.is_empty() { Ok(()) } else { Err(Fault { kind: DecodeErrorKind::UnparsedBytes, at: at(rest) }) }
    }

    /// The proposals in their order (RFC 2408 3.5, 4.2). Consecutive ones with the same number are one offer of several protocols.
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
            rest = after_label(rest, OCTETS)?;
            rest = after_label(rest, BITS)?;
        }
    }
    bytes.len().checked_sub(rest.len())
}

/// Whether a reserved field among the labels is not zero.
//= RFC 2407 4.6.1/2
pub(crate) fn labels_have_reserved(labels: &[u8]) -> bool {
    let mut rest = labels.get(4..).unwrap_or_default();
    let mut found = false;
    for unit in [OCTETS, BITS, OCTETS, BITS] {
        found |= rest.get(2..4).is_some_and(|reserved| reserved != [0; 2]);
        rest = after_label(rest, unit).unwrap_or_default();
    }
    found
}

/// What the length of a label counts, as a shift: a division could be one by zero for all that the compiler knows.
const OCTETS: u32 = 0;
const BITS: u32 = 3;

fn after_label(bytes: &[u8], unit: u32) -> Option<&[u8]> {
    let (&[l0, l1, _, _], rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let octets = length.saturating_add((1usize << unit).saturating_sub(1)) >> unit;
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
        //= RFC 3173 4.1/5
        let (spi, transforms) = rest.split_at_checked(usize::from(spi_size))?;
        let length = u16::try_from(step.body.len().checked_add(GENERIC_HEADER)?).ok()?;
        let protocol = ProtocolId(protocol);
        Some(Self { offset, length, reserved: step.reserved, number, protocol, spi, transform_count, transforms })
    }

    /// The transforms in their order, the sender's preference first (RFC 2408 3.6).
    pub const fn transforms(&self) -> Transforms<'a> {
        Transforms { rest: self.transforms, end: self.offset.saturating_add(self.length) }
    }
}

/// Takes one proposal with its transforms off the front.
//= RFC 3173 4.1/13
#[inline]
fn check_proposal(kind: PayloadKind, bytes: &[u8]) -> Result<Step<'_>, Fault> {
    //= RFC 2408 3.5/1
    if kind != PayloadKind::PROPOSAL {
        return Err(DecodeErrorKind::Misplaced(kind).into());
    }
    let proposal = Step::take(kind, bytes)?;
    let too_short = DecodeErrorKind::BodyTooShort(PayloadKind::PROPOSAL);
    let (&[_, _, spi_size, declared], rest) = proposal.body.split_first_chunk::<4>().ok_or(too_short)?;
    //= RFC 2408 3.5/2
    let transforms = rest.get(usize::from(spi_size)..).ok_or(DecodeErrorKind::Cut(kind))?;
    let wrong_count = |found| DecodeErrorKind::TransformCount { declared, found };
    if transforms.is_empty() {
        return Err(wrong_count(0).into());
    }
    //= RFC 2408 5.5/7
    let (mut kind, mut rest, mut found) = (PayloadKind::TRANSFORM, transforms, 0u8);
    let at = |rest: &[u8]| GENERIC_HEADER.saturating_add(proposal.body.len().saturating_sub(rest.len()));
    while kind != PayloadKind::NONE {
        //= RFC 2408 5.6/7
        let step = check_transform(kind, rest).map_err(|fault| fault.behind(at(rest)))?;
        found = found.checked_add(1).ok_or(wrong_count(u8::MAX))?;
        (kind, rest) = (step.next, step.rest);
    }
    if !rest.is_empty() {
        return Err(Fault { kind: DecodeErrorKind::UnparsedBytes, at: at(rest) });
    }
    if found == declared { Ok(proposal) } else { Err(wrong_count(found).into()) }
}

/// Takes one transform with its attributes off the front.
//= RFC 2408 5.6/4
#[inline]
fn check_transform(kind: PayloadKind, bytes: &[u8]) -> Result<Step<'_>, Fault> {
    //= RFC 2408 3.6/1
    if kind != PayloadKind::TRANSFORM {
        return Err(DecodeErrorKind::Misplaced(kind).into());
    }
    let step = Step::take(kind, bytes)?;
    let attributes = step.body.get(4..).ok_or(DecodeErrorKind::BodyTooShort(PayloadKind::TRANSFORM))?;
    //= RFC 2408 3.6/2
    Attributes::check(attributes).map_err(|cut| {
        let at = GENERIC_HEADER.saturating_add(step.body.len().saturating_sub(cut.len()));
        Fault { kind: DecodeErrorKind::AttributeCut, at }
    })?;
    Ok(step)
}

/// Iterates over proposals (RFC 2408 3.5).
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

/// Iterates over transforms (RFC 2408 3.6).
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
