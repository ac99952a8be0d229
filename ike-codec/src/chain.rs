use crate::body::{self, Body};
use crate::error::{DecodeError, DecodeErrorKind, Fault};
use crate::header::Header;
use crate::natt::NatTraversal;
use crate::number::PayloadKind;
use crate::strict;

/// One payload of a chain that was checked as a whole (RFC 2408 3.2).
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// What the payload in front of it says it is.
    pub kind: PayloadKind,
    /// The reserved octet of its generic header, zero in a good message.
    pub reserved: u8,
    /// Octets from the ISAKMP header to its generic header.
    pub offset: u16,
    /// What follows the four octets of the generic header.
    pub body: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Octets of the payload, its generic header included (RFC 2408 3.2).
    pub const fn length(&self) -> usize {
        self.body.len().saturating_add(GENERIC_HEADER)
    }

    /// The body as what its kind makes of it.
    pub fn view(&self) -> Body<'a> {
        Body::read(self.kind, self.body, self.offset.saturating_add(4))
    }

    /// The body as what its kind means in an exchange that does NAT traversal by this document: payloads 15 and 16 of the
    /// drafts 04 to 08 are NAT-D and NAT-OA there (RFC 3947 3.2, 5.2).
    pub fn view_with(&self, document: NatTraversal) -> Body<'a> {
        let kind = match self.kind {
            kind if kind == document.detection() => PayloadKind::NAT_DETECTION,
            kind if kind == document.original_address() => PayloadKind::NAT_ORIGINAL_ADDRESS,
            kind => kind,
        };
        match Body::read(kind, self.body, self.offset.saturating_add(4)) {
            // What was not checked at the door is checked here.
            Body::NatOriginalAddress(original) if original.check(kind).is_err() => Body::Other(self.body),
            body => body,
        }
    }
}

/// Octets of the header that every payload begins with (RFC 2408 3.2).
///
/// ```text
/// | next payload (1) | reserved (1) | length (2), these four included |
/// ```
pub const GENERIC_HEADER: usize = 4;

/// Payloads one after the other, each naming the kind of the next; checked once, so that the iterators cannot fail (RFC 2408 3.2).
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    first: PayloadKind,
    bytes: &'a [u8],
    padding: &'a [u8],
    offset: u16,
}

impl<'a> Chain<'a> {
    /// A chain without payloads.
    pub(crate) const EMPTY: Chain<'static> = Chain { first: PayloadKind::NONE, bytes: &[], padding: &[], offset: 0 };

    /// Parses the chain that starts with `first`, in clear: up to three zero octets may follow it, as implementations of
    /// the FreeS/WAN family pad whole messages to four.
    ///
    /// `offset` is where `bytes` begins in the message.
    ///
    /// # Errors
    /// [`DecodeError`] for the first thing that is wrong.
    pub(crate) fn parse(first: PayloadKind, bytes: &'a [u8], offset: u16) -> Result<Self, DecodeError> {
        let chain = Self::split(first, bytes, offset)?;
        if chain.padding.len() > 3 || chain.padding.iter().any(|&b| b != 0) {
            return Err(DecodeError::at(DecodeErrorKind::UnparsedBytes, chain.end()));
        }
        Ok(chain)
    }

    /// Parses the body of a message after its decryption; `first` is the `next_payload` of its header.
    ///
    /// Whatever follows the last payload is padding, and not judged: zeros (RFC 2409 5), a count in the last octet, or
    /// random octets (racoon), to the block of the cipher or to more than that. Octets without a payload are refused.
    ///
    /// # Errors
    /// [`DecodeError`] for the first thing that is wrong: what a wrong key looks like.
    pub fn decrypted(first: PayloadKind, plaintext: &'a [u8]) -> Result<Self, DecodeError> {
        if first == PayloadKind::NONE {
            return Err(DecodeError::at(DecodeErrorKind::UnparsedBytes, 28));
        }
        if first == PayloadKind::FRAGMENT {
            return Err(DecodeError::at(DecodeErrorKind::Misplaced(first), 28)); // a fragment is never encrypted
        }
        if plaintext.len() > usize::from(u16::MAX).saturating_sub(Header::LEN) {
            return Err(DecodeError::at(DecodeErrorKind::TooLong, 0));
        }
        Self::split(first, plaintext, 28)
    }

    /// Walks the whole chain once; what is left over becomes the padding.
    fn split(first: PayloadKind, bytes: &'a [u8], offset: u16) -> Result<Self, DecodeError> {
        let (mut kind, mut rest) = (first, bytes);
        while kind != PayloadKind::NONE {
            //= RFC 2408 5.2/11
            let step = Self::check(kind, rest, bytes.len())
                .map_err(|fault| fault.behind(bytes.len().saturating_sub(rest.len())).in_message(offset))?;
            //= RFC 2408 5.3/6
            (kind, rest) = (step.next, step.rest);
        }
        let (bytes, padding) = bytes.split_at_checked(bytes.len().saturating_sub(rest.len())).unwrap_or((bytes, &[]));
        Ok(Self { first, bytes, padding, offset })
    }

    /// Takes one payload off a chain of `whole` octets, with all that is in it checked.
    #[inline]
    fn check(kind: PayloadKind, rest: &'a [u8], whole: usize) -> Result<Step<'a>, Fault> {
        let step = Step::take(kind, rest)?;
        let is_alone = rest.len() == whole && step.next == PayloadKind::NONE;
        match kind {
            //= RFC 2408 3.4/1
            PayloadKind::PROPOSAL | PayloadKind::TRANSFORM => Err(DecodeErrorKind::Misplaced(kind).into()),
            PayloadKind::FRAGMENT if !is_alone => Err(DecodeErrorKind::Misplaced(kind).into()),
            //= RFC 2408 5.3/4
            kind if kind.is_ikev2() => Err(DecodeErrorKind::Ikev2Payload(kind).into()),
            kind => body::check(kind, step.body).map_err(|fault| fault.behind(GENERIC_HEADER)).map(|()| step),
        }
    }

    /// Where the last payload ends in the message.
    pub(crate) fn end(&self) -> u16 {
        self.offset.saturating_add(u16::try_from(self.bytes.len()).unwrap_or(u16::MAX))
    }

    /// The kind of the first payload (RFC 2408 3.1).
    pub const fn first(&self) -> PayloadKind {
        self.first
    }

    /// The octets of all payloads.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the last payload (RFC 2409 appendix B).
    pub const fn padding(&self) -> &'a [u8] {
        self.padding
    }

    /// Refuses what [`Message::parse_strict`](crate::Message::parse_strict) refuses in payloads: for what was decrypted (RFC 2408 5.3).
    ///
    /// # Errors
    /// [`DecodeError`] of the kinds marked "strict only".
    pub fn check_strictly(&self) -> Result<(), DecodeError> {
        strict::check_chain(self)
    }

    /// The payloads in their order (RFC 2408 3.2).
    pub fn payloads(&self) -> Payloads<'a> {
        Payloads { kind: self.first, rest: self.bytes, end: self.end() }
    }
}

/// Iterates over payloads; made by [`Chain::payloads`] and [`Message::payloads`](crate::Message::payloads) (RFC 2408 3.2).
#[derive(Clone, Debug)]
pub struct Payloads<'a> {
    kind: PayloadKind,
    rest: &'a [u8],
    end: u16,
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Payload<'a>;

    #[inline]
    fn next(&mut self) -> Option<Payload<'a>> {
        if self.kind == PayloadKind::NONE {
            return None;
        }
        let step = Step::take(self.kind, self.rest).ok()?;
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

/// One payload taken off a chain.
pub(crate) struct Step<'a> {
    pub next: PayloadKind,
    pub reserved: u8,
    pub body: &'a [u8],
    pub rest: &'a [u8],
}

impl<'a> Step<'a> {
    #[inline]
    pub(crate) fn take(kind: PayloadKind, bytes: &'a [u8]) -> Result<Self, DecodeErrorKind> {
        let Some((&[next, reserved, l0, l1], rest)) = bytes.split_first_chunk::<GENERIC_HEADER>() else {
            return Err(if bytes.is_empty() { DecodeErrorKind::Dangling(kind) } else { DecodeErrorKind::Cut(kind) });
        };
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let length = length.checked_sub(GENERIC_HEADER).ok_or(DecodeErrorKind::PayloadLength(kind))?;
        let (body, rest) = rest.split_at_checked(length).ok_or(DecodeErrorKind::Cut(kind))?;
        Ok(Self { next: PayloadKind(next), reserved, body, rest })
    }
}

/// Where `rest` begins, when it reaches up to `end`.
#[inline]
pub(crate) fn offset_of(end: u16, rest: &[u8]) -> u16 {
    end.wrapping_sub(u16::try_from(rest.len()).unwrap_or(u16::MAX))
}
