use crate::body::{self, Body};
use crate::error::{DecodeError, DecodeErrorKind, Fault};
use crate::header::Header;
use crate::natt::NatTraversal;
use crate::number::PayloadKind;
use crate::strict;

/// Payload of a validated [`Chain`] (RFC 2408 section 3.2).
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// Type, from the next payload field of the preceding payload or of the ISAKMP header.
    pub kind: PayloadKind,
    /// Reserved octet of the generic header; zero in a valid message.
    pub reserved: u8,
    /// Offset of the generic header in octets, counted from the start of the ISAKMP header.
    pub offset: u16,
    /// Octets that follow the generic header.
    pub body: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Returns the length of the payload in octets, including the generic header (RFC 2408 section 3.2).
    pub const fn length(&self) -> usize {
        self.body.len().saturating_add(GENERIC_HEADER)
    }

    /// Decodes the body according to the payload type.
    pub fn view(&self) -> Body<'a> {
        Body::read(self.kind, self.body, self.offset.saturating_add(4))
    }

    /// Decodes the body according to the payload type and the NAT traversal document in use: payloads 15 and 16 are
    /// NAT-D and NAT-OA in drafts 04 to 08 (RFC 3947 sections 3.2 and 5.2).
    pub fn view_with(&self, document: NatTraversal) -> Body<'a> {
        let kind = match self.kind {
            kind if kind == document.detection() => PayloadKind::NAT_DETECTION,
            kind if kind == document.original_address() => PayloadKind::NAT_ORIGINAL_ADDRESS,
            kind => kind,
        };
        match Body::read(kind, self.body, self.offset.saturating_add(4)) {
            // Chain::parse has not checked these payloads, because their meaning depends on the document.
            Body::NatOriginalAddress(original) if original.check(kind).is_err() => Body::Other(self.body),
            body => body,
        }
    }
}

/// Length in octets of the generic payload header (RFC 2408 section 3.2).
///
/// ```text
/// | next payload (1) | reserved (1) | length (2), these four included |
/// ```
pub const GENERIC_HEADER: usize = 4;

/// Chain of payloads, each of which names the type of the next one (RFC 2408 section 3.2). The chain is validated once,
/// so that the iterators cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    first: PayloadKind,
    bytes: &'a [u8],
    padding: &'a [u8],
    offset: u16,
}

impl<'a> Chain<'a> {
    /// Chain without payloads, used for encrypted messages.
    pub(crate) const EMPTY: Chain<'static> = Chain { first: PayloadKind::NONE, bytes: &[], padding: &[], offset: 0 };

    /// Parses a cleartext chain whose first payload is of type `first`. Up to three zero octets may follow it, because
    /// implementations of the FreeS/WAN family pad whole messages to a multiple of four octets.
    ///
    /// `offset` is the position of `bytes` in the message.
    ///
    /// # Errors
    /// Returns the first [`DecodeError`] found.
    pub(crate) fn parse(first: PayloadKind, bytes: &'a [u8], offset: u16) -> Result<Self, DecodeError> {
        let chain = Self::split(first, bytes, offset)?;
        if chain.padding.len() > 3 || chain.padding.iter().any(|&b| b != 0) {
            return Err(DecodeError::at(DecodeErrorKind::TrailingData, chain.end()));
        }
        Ok(chain)
    }

    /// Parses the body of a message after its decryption; `first` is the `next_payload` of its header.
    ///
    /// All octets after the last payload are padding and are not checked: peers send zeros (RFC 2409 section 5), a
    /// count in the last octet, or random octets (racoon), up to the cipher block or beyond it. Plaintext without a
    /// payload is refused.
    ///
    /// # Errors
    /// Returns the first [`DecodeError`] found. Decryption with a wrong key usually ends here.
    pub fn decrypted(first: PayloadKind, plaintext: &'a [u8]) -> Result<Self, DecodeError> {
        if first == PayloadKind::NONE {
            return Err(DecodeError::at(DecodeErrorKind::TrailingData, 28));
        }
        if first == PayloadKind::FRAGMENT {
            return Err(DecodeError::at(DecodeErrorKind::Misplaced(first), 28)); // fragments are never encrypted
        }
        if plaintext.len() > usize::from(u16::MAX).saturating_sub(Header::LEN) {
            return Err(DecodeError::at(DecodeErrorKind::TooLong, 0));
        }
        Self::split(first, plaintext, 28)
    }

    /// Validates the whole chain once; the octets after the last payload become the padding.
    fn split(first: PayloadKind, bytes: &'a [u8], offset: u16) -> Result<Self, DecodeError> {
        let (mut kind, mut rest) = (first, bytes);
        while kind != PayloadKind::NONE {
            //= RFC 2408 5.2/11
            //# MUST: receiving: processing goes on by the next payload field
            let step = Self::check(kind, rest, bytes.len())
                .map_err(|fault| fault.shifted_by(bytes.len().saturating_sub(rest.len())).in_message(offset))?;
            //= RFC 2408 5.3/6
            //# MUST: receiving: the payloads that follow are processed by the next payload field
            (kind, rest) = (step.next, step.rest);
        }
        let (bytes, padding) = bytes.split_at_checked(bytes.len().saturating_sub(rest.len())).unwrap_or((bytes, &[]));
        Ok(Self { first, bytes, padding, offset })
    }

    /// Validates the first payload in `rest`, including all nested structures; `whole` is the length of the chain in
    /// octets.
    #[inline]
    fn check(kind: PayloadKind, rest: &'a [u8], whole: usize) -> Result<Step<'a>, Fault> {
        let step = Step::split_first(kind, rest)?;
        let is_alone = rest.len() == whole && step.next == PayloadKind::NONE;
        match kind {
            //= RFC 2408 3.4/1
            //# MUST NOT: the next payload of an SA payload is neither proposal nor transform
            PayloadKind::PROPOSAL | PayloadKind::TRANSFORM => Err(DecodeErrorKind::Misplaced(kind).into()),
            PayloadKind::FRAGMENT if !is_alone => Err(DecodeErrorKind::Misplaced(kind).into()),
            //= RFC 2408 5.3/4
            //# MUST: receiving: a message with an invalid next payload is discarded
            kind if kind.is_ikev2() => Err(DecodeErrorKind::Ikev2Payload(kind).into()),
            kind => body::check(kind, step.body).map_err(|fault| fault.shifted_by(GENERIC_HEADER)).map(|()| step),
        }
    }

    /// Returns the offset of the end of the last payload in the message.
    pub(crate) fn end(&self) -> u16 {
        self.offset.saturating_add(u16::try_from(self.bytes.len()).unwrap_or(u16::MAX))
    }

    /// Returns the type of the first payload (RFC 2408 section 3.1).
    pub const fn first(&self) -> PayloadKind {
        self.first
    }

    /// Returns the octets of all payloads, without the padding.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the octets after the last payload (RFC 2409 appendix B).
    pub const fn padding(&self) -> &'a [u8] {
        self.padding
    }

    /// Applies the payload checks of [`Message::parse_strict`](crate::Message::parse_strict) to a decrypted chain (RFC
    /// 2408 section 5.3).
    ///
    /// # Errors
    /// [`DecodeError`] of the kinds marked "strict only".
    pub fn check_strictly(&self) -> Result<(), DecodeError> {
        strict::check_chain(self)
    }

    /// Iterates over the payloads in wire order (RFC 2408 section 3.2).
    pub fn payloads(&self) -> Payloads<'a> {
        Payloads { kind: self.first, rest: self.bytes, end: self.end() }
    }
}

/// Iterator over payloads, returned by [`Chain::payloads`] and [`Message::payloads`](crate::Message::payloads) (RFC
/// 2408 section 3.2).
#[derive(Clone, Debug)]
pub struct Payloads<'a> {
    kind: PayloadKind,
    rest: &'a [u8],
    end: u16,
}

impl Payloads<'_> {
    /// Chain of a message without payloads.
    pub const NONE: Self = Self { kind: PayloadKind::NONE, rest: &[], end: 0 };
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Payload<'a>;

    #[inline]
    fn next(&mut self) -> Option<Payload<'a>> {
        if self.kind == PayloadKind::NONE {
            return None;
        }
        let step = Step::split_first(self.kind, self.rest).ok()?;
        let payload = Payload {
            kind: self.kind,
            reserved: step.reserved,
            offset: offset_of(self.end, self.rest),
            body: step.body,
        };
        (self.kind, self.rest) = (step.next, step.rest);
        Some(payload)
    }
}

/// First payload of a chain and the octets after it.
pub(crate) struct Step<'a> {
    pub next: PayloadKind,
    pub reserved: u8,
    pub body: &'a [u8],
    pub rest: &'a [u8],
}

impl<'a> Step<'a> {
    #[inline]
    pub(crate) fn split_first(kind: PayloadKind, bytes: &'a [u8]) -> Result<Self, DecodeErrorKind> {
        let Some((&[next, reserved, l0, l1], rest)) = bytes.split_first_chunk::<GENERIC_HEADER>() else {
            return Err(if bytes.is_empty() {
                DecodeErrorKind::MissingPayload(kind)
            } else {
                DecodeErrorKind::TruncatedPayload(kind)
            });
        };
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let length = length.checked_sub(GENERIC_HEADER).ok_or(DecodeErrorKind::PayloadLength(kind))?;
        let (body, rest) = rest.split_at_checked(length).ok_or(DecodeErrorKind::TruncatedPayload(kind))?;
        Ok(Self { next: PayloadKind(next), reserved, body, rest })
    }
}

/// Returns the offset of `rest`, which ends at offset `end`.
#[inline]
pub(crate) fn offset_of(end: u16, rest: &[u8]) -> u16 {
    end.wrapping_sub(u16::try_from(rest.len()).unwrap_or(u16::MAX))
}
