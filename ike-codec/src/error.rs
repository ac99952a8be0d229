use core::fmt;

use crate::PayloadKind;

/// Error of a parser, with its position in the message (RFC 2408 section 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DecodeError {
    /// Cause of the error.
    pub kind: DecodeErrorKind,
    /// Offset in octets of the faulty item, counted from the first octet given to the parser, which is the start of the
    /// ISAKMP header.
    pub offset: u16,
}

impl DecodeError {
    pub(crate) const fn at(kind: DecodeErrorKind, offset: u16) -> Self {
        Self { kind, offset }
    }
}

/// Error in a slice, with an offset relative to that slice. The offsets are added up while the error propagates, so
/// that the success path computes none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub kind: DecodeErrorKind,
    pub at: usize,
}

impl Fault {
    /// Converts the offset to that of an enclosing slice, in which this slice starts at `octets`.
    pub(crate) const fn shifted_by(self, octets: usize) -> Self {
        Self { kind: self.kind, at: self.at.saturating_add(octets) }
    }

    /// Converts the fault to an error of the message, in which the slice starts at `offset`.
    pub(crate) fn in_message(self, offset: u16) -> DecodeError {
        DecodeError::at(self.kind, offset.saturating_add(u16::try_from(self.at).unwrap_or(u16::MAX)))
    }
}

impl From<DecodeErrorKind> for Fault {
    fn from(kind: DecodeErrorKind) -> Self {
        Self { kind, at: 0 }
    }
}

/// Cause of a [`DecodeError`] (RFC 2408 section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The message is shorter than an ISAKMP header.
    TooShort,
    /// The message is longer than 65,535 octets, which no transport of IKE carries.
    TooLong,
    /// The major version is 2: IKEv2 is another protocol (RFC 7296).
    Ikev2,
    /// The major version is neither 1 nor 2 (INVALID-MAJOR-VERSION).
    MajorVersion(u8),
    /// The minor version is above 0 (INVALID-MINOR-VERSION, RFC 2408 section 3.1).
    MinorVersion(u8),
    /// The header declares more octets than were received.
    Truncated {
        /// Value of the length field of the header.
        declared: u32,
        /// Length of the message in octets.
        received: u16,
    },
    /// The header declares fewer octets than were received, or fewer than its own length.
    LengthMismatch {
        /// Value of the length field of the header.
        declared: u32,
        /// Length of the message in octets.
        received: u16,
    },
    /// The payload that a next payload field announces is missing.
    MissingPayload(PayloadKind),
    /// A payload, or a counted field in it, extends past the structure that contains it.
    TruncatedPayload(PayloadKind),
    /// The payload length is less than the four octets of the generic header.
    PayloadLength(PayloadKind),
    /// The octets after the last payload are not padding.
    TrailingData,
    /// An IKEv1 message contains a payload of IKEv2 (33 to 53).
    Ikev2Payload(PayloadKind),
    /// A proposal is outside of an SA, a transform is outside of a proposal, or a fragment is not the only payload.
    Misplaced(PayloadKind),
    /// The payload is shorter than the fixed fields of its type.
    BodyTooShort(PayloadKind),
    /// The number of transforms of a proposal differs from its count field.
    TransformCount {
        /// Number of transforms declared in the proposal.
        declared: u8,
        /// Number of transforms found in the proposal.
        found: u8,
    },
    /// An attribute extends past its transform or mode config payload (CVE-2004-0183 and similar).
    TruncatedAttribute,
    /// The SPIs of a delete payload do not fill it exactly.
    SpiCount {
        /// Number of SPIs declared.
        count: u16,
        /// Length of each SPI in octets.
        size: u8,
    },
    /// The length of an address, subnet or range does not match its type.
    AddressLength(PayloadKind),
    /// The secrecy or integrity labels of a situation extend past the SA payload (RFC 2407 section 4.6.1).
    TruncatedLabels,
    /// The fragment number is 0.
    FragmentNumber,
    /// The ciphertext is empty, or its length is not a multiple of the smallest cipher block (8 octets).
    EncryptedLength,
    /// Strict only: a reserved field or flag is not zero.
    Reserved,
    /// Strict only: a number is not assigned by any document.
    Unassigned,
    /// Strict only: the length of a nonce is not 8 to 256 octets (RFC 2409 section 5).
    NonceLength(u16),
    /// Strict only: the initiator cookie is zero (RFC 2408 section 2.5.3).
    ZeroCookie,
    /// Strict only: the message has no payload, or a payload that requires content is empty.
    Empty(PayloadKind),
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("message is shorter than an ISAKMP header"),
            Self::TooLong => f.write_str("message is longer than 65535 octets"),
            Self::Ikev2 => f.write_str("unsupported major version 2 (IKEv2)"),
            Self::MajorVersion(v) => write!(f, "unsupported major version {v}, expected 1"),
            Self::MinorVersion(v) => write!(f, "unsupported minor version {v}, expected 0"),
            Self::Truncated { declared, received } => {
                write!(f, "truncated message: got {received} octets, header declares {declared}")
            }
            Self::LengthMismatch { declared, received } => {
                write!(f, "message length mismatch: got {received} octets, header declares {declared}")
            }
            Self::MissingPayload(kind) => write!(f, "announced {kind} payload is missing"),
            Self::TruncatedPayload(kind) => write!(f, "truncated {kind} payload"),
            Self::PayloadLength(kind) => write!(f, "length of {kind} payload is less than its generic header"),
            Self::TrailingData => f.write_str("trailing data after the last payload"),
            Self::Ikev2Payload(kind) => write!(f, "IKEv2 payload {kind} in an IKEv1 message"),
            Self::Misplaced(kind) => write!(f, "misplaced {kind} payload"),
            Self::BodyTooShort(kind) => write!(f, "{kind} payload is shorter than its fixed fields"),
            Self::TransformCount { declared, found } => {
                write!(f, "transform count mismatch: found {found}, declared {declared}")
            }
            Self::TruncatedAttribute => f.write_str("truncated attribute"),
            Self::SpiCount { count, size } => {
                write!(f, "delete payload length does not match {count} SPIs of {size} octets")
            }
            Self::AddressLength(kind) => write!(f, "address length does not match its type in {kind} payload"),
            Self::TruncatedLabels => f.write_str("truncated labels of the situation"),
            Self::FragmentNumber => f.write_str("fragment number is 0"),
            Self::EncryptedLength => f.write_str("ciphertext is empty or not a multiple of the block size"),
            Self::Reserved => f.write_str("reserved field is not zero"),
            Self::Unassigned => f.write_str("unassigned number"),
            Self::NonceLength(octets) => {
                write!(f, "nonce length is out of range: got {octets} octets, expected 8 to 256")
            }
            Self::ZeroCookie => f.write_str("initiator cookie is zero"),
            Self::Empty(kind) => write!(f, "{kind} payload is empty or missing"),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at octet {}", self.kind, self.offset)
    }
}

impl core::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.kind)
    }
}

impl core::error::Error for DecodeErrorKind {}

/// Error of a writer whose buffer is too small, or whose value exceeds the range of its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSpace;

impl fmt::Display for NoSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no space left in the buffer for the message")
    }
}

impl core::error::Error for NoSpace {}
