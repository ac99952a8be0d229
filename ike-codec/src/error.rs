use core::fmt;

use crate::PayloadKind;

/// Why a message cannot be parsed, and where (RFC 2408 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Octets from the first of the ISAKMP header (of what was given to the parser) to the item that is wrong.
    pub offset: u16,
}

impl DecodeError {
    pub(crate) const fn at(kind: DecodeErrorKind, offset: u16) -> Self {
        Self { kind, offset }
    }
}

/// What is wrong inside a slice, and how far behind its first octet; offsets are added up on the way out, so that the
/// good case computes none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub kind: DecodeErrorKind,
    pub at: usize,
}

impl Fault {
    /// The same, seen from `octets` further in front.
    pub(crate) const fn behind(self, octets: usize) -> Self {
        Self { kind: self.kind, at: self.at.saturating_add(octets) }
    }

    /// The same in a message, whose slice begins at `offset`.
    pub(crate) fn in_message(self, offset: u16) -> DecodeError {
        DecodeError::at(self.kind, offset.saturating_add(u16::try_from(self.at).unwrap_or(u16::MAX)))
    }
}

impl From<DecodeErrorKind> for Fault {
    fn from(kind: DecodeErrorKind) -> Self {
        Self { kind, at: 0 }
    }
}

/// What is wrong with a message (RFC 2408 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Shorter than an ISAKMP header.
    TooShort,
    /// Longer than 65,535 octets, which no transport of IKE carries.
    TooLong,
    /// Major version 2: IKEv2, another protocol (RFC 7296).
    Ikev2,
    /// A major version that is neither 1 nor 2 (INVALID-MAJOR-VERSION).
    MajorVersion(u8),
    /// A minor version above 0 (INVALID-MINOR-VERSION, RFC 2408 3.1).
    MinorVersion(u8),
    /// The header declares more octets than there are.
    Truncated {
        /// The length field.
        declared: u32,
    },
    /// The header declares fewer octets than there are, or fewer than itself.
    WrongLength {
        /// The length field.
        declared: u32,
    },
    /// The next payload field names a payload, but nothing follows.
    Dangling(PayloadKind),
    /// A payload, or something counted in it, ends behind the room it is in.
    Cut(PayloadKind),
    /// A payload length below the four octets of its own header.
    PayloadLength(PayloadKind),
    /// Octets behind the last payload that are no padding.
    UnparsedBytes,
    /// A payload of IKEv2 (33 to 53) in a message of IKEv1.
    Ikev2Payload(PayloadKind),
    /// A proposal or transform outside its SA or proposal, or a fragment among other payloads.
    Misplaced(PayloadKind),
    /// A payload without the fixed fields of its kind.
    BodyTooShort(PayloadKind),
    /// A proposal with another number of transforms than it says.
    TransformCount {
        /// The number in the proposal.
        declared: u8,
        /// The number found.
        found: u8,
    },
    /// An attribute that ends behind its transform or mode config payload (CVE-2004-0183 and its kin).
    AttributeCut,
    /// A delete payload whose SPIs do not fill it exactly.
    SpiCount {
        /// SPIs declared.
        count: u16,
        /// Octets of each.
        size: u8,
    },
    /// An address, subnet or range of a length that its type does not have.
    AddressLength(PayloadKind),
    /// Secrecy or integrity labels of a situation that end behind the SA payload (RFC 2407 4.6.1).
    LabelsCut,
    /// A fragment with number 0.
    FragmentNumber,
    /// An encrypted body that is empty or no whole number of cipher blocks (8 octets at least).
    EncryptedLength,
    /// Strict only: a reserved field or flag that is not zero.
    Reserved,
    /// Strict only: a number that no document assigns.
    Unassigned,
    /// Strict only: a nonce outside 8 to 256 octets (RFC 2409 5).
    NonceLength,
    /// Strict only: an initiator cookie of zero (RFC 2408 2.5.3).
    ZeroCookie,
    /// Strict only: no payload at all, or an empty one that must hold something.
    Empty(PayloadKind),
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("shorter than an ISAKMP header"),
            Self::TooLong => f.write_str("longer than 65535 octets"),
            Self::Ikev2 => f.write_str("IKEv2"),
            Self::MajorVersion(v) => write!(f, "unknown major version {v}"),
            Self::MinorVersion(v) => write!(f, "unknown minor version {v}"),
            Self::Truncated { declared } => write!(f, "truncated: the header says {declared} octets"),
            Self::WrongLength { declared } => write!(f, "wrong length: the header says {declared} octets"),
            Self::Dangling(kind) => write!(f, "no {kind} payload where one is announced"),
            Self::Cut(kind) => write!(f, "{kind} payload cut"),
            Self::PayloadLength(kind) => write!(f, "{kind} payload shorter than its own header"),
            Self::UnparsedBytes => f.write_str("octets behind the last payload"),
            Self::Ikev2Payload(kind) => write!(f, "IKEv2 payload {kind}"),
            Self::Misplaced(kind) => write!(f, "{kind} payload where none may be"),
            Self::BodyTooShort(kind) => write!(f, "{kind} payload too short"),
            Self::TransformCount { declared, found } => write!(f, "{found} transforms where {declared} are announced"),
            Self::AttributeCut => f.write_str("attribute cut"),
            Self::SpiCount { count, size } => write!(f, "{count} SPIs of {size} octets do not fill the delete payload"),
            Self::AddressLength(kind) => write!(f, "address of a wrong length in {kind} payload"),
            Self::LabelsCut => f.write_str("labels of the situation cut"),
            Self::FragmentNumber => f.write_str("fragment number 0"),
            Self::EncryptedLength => f.write_str("encrypted body not of whole blocks"),
            Self::Reserved => f.write_str("reserved field not zero"),
            Self::Unassigned => f.write_str("unassigned number"),
            Self::NonceLength => f.write_str("nonce not of 8 to 256 octets"),
            Self::ZeroCookie => f.write_str("initiator cookie zero"),
            Self::Empty(kind) => write!(f, "{kind} payload empty or missing"),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at octet {}", self.kind, self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// The buffer is too small for what is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSpace;

impl fmt::Display for NoSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no space left for the message")
    }
}

impl core::error::Error for NoSpace {}
