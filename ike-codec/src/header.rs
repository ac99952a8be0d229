use crate::error::{DecodeError, DecodeErrorKind};
use crate::number::{ExchangeKind, Flags, PayloadKind, Version};

/// Initiator or responder cookie of an ISAKMP SA, 8 octets (RFC 2408 section 2.5.3).
pub type Cookie = [u8; 8];

/// ISAKMP header, 28 octets (RFC 2408 section 3.1).
///
/// ```text
/// | initiator cookie (8) | responder cookie (8) |
/// | next payload (1) | version (1) | exchange (1) | flags (1) | message ID (4) | length (4) |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Initiator cookie; never zero in a valid message.
    pub initiator_cookie: Cookie,
    /// Responder cookie; zero in the first message of phase 1.
    pub responder_cookie: Cookie,
    /// Type of the first payload; if the message is encrypted, of the first one of its plaintext.
    pub next_payload: PayloadKind,
    /// Protocol version, 1.0 for IKEv1.
    pub version: Version,
    /// Exchange type of the message.
    pub exchange: ExchangeKind,
    /// Encryption, commit and authentication only flags.
    pub flags: Flags,
    /// Message ID: zero in phase 1, random in phase 2.
    pub message_id: u32,
    /// Length of the whole message in octets, including the header.
    pub length: u32,
}

impl Header {
    /// Length of the header in octets (RFC 2408 section 3.1).
    pub const LEN: usize = 28;

    /// Creates an IKEv1 header without flags; the writer fills in `next_payload` and `length` (RFC 2408 section 3.1).
    pub const fn new(initiator: Cookie, responder: Cookie, exchange: ExchangeKind, message_id: u32) -> Self {
        Self {
            initiator_cookie: initiator,
            responder_cookie: responder,
            next_payload: PayloadKind::NONE,
            //= RFC 2408 3.1/1
            //# MUST: the major version sent is 1
            version: Version::IKEV1,
            exchange,
            //= RFC 2408 3.1/7
            //# MUST: flags without a name are sent as 0
            flags: Flags(0),
            message_id,
            length: 0,
        }
    }

    /// Splits `bytes` into the header and the octets that follow it, without validating any field (RFC 2408 section
    /// 3.1).
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooShort`] for less than 28 octets.
    pub fn read(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let too_short = DecodeError::at(DecodeErrorKind::TooShort, 0);
        let (initiator_cookie, rest) = bytes.split_first_chunk::<8>().ok_or(too_short)?;
        let (responder_cookie, rest) = rest.split_first_chunk::<8>().ok_or(too_short)?;
        let (&[next, version, exchange, flags, i0, i1, i2, i3, l0, l1, l2, l3], rest) =
            rest.split_first_chunk::<12>().ok_or(too_short)?;
        let header = Self {
            initiator_cookie: *initiator_cookie,
            responder_cookie: *responder_cookie,
            next_payload: PayloadKind(next),
            version: Version(version),
            exchange: ExchangeKind(exchange),
            flags: Flags(flags),
            message_id: u32::from_be_bytes([i0, i1, i2, i3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        };
        Ok((header, rest))
    }

    /// Parses the header of one message and verifies its version and length, which must equal that of `message` (RFC
    /// 2408 section 5.2).
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooShort`], `TooLong`, `Ikev2`, `MajorVersion`, `MinorVersion`, `Truncated`,
    /// `LengthMismatch`.
    pub fn parse(message: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let (header, rest) = Self::read(message)?;
        let wrong = |kind, offset| Err(DecodeError::at(kind, offset));
        //= RFC 2408 5.2/7
        //# MUST: receiving: a message of a wrong version is discarded
        match (header.version.major(), header.version.minor()) {
            (1, 0) => {}
            //= RFC 2408 3.1/6
            //# SHOULD NOT: packets of a higher minor version are not accepted
            (1, minor) => return wrong(DecodeErrorKind::MinorVersion(minor), 17),
            (2, _) => return wrong(DecodeErrorKind::Ikev2, 17),
            //= RFC 2408 3.1/3
            //# SHOULD NOT: packets of a higher major version are not accepted
            (major, _) => return wrong(DecodeErrorKind::MajorVersion(major), 17),
        }
        let Ok(received) = u16::try_from(message.len()) else { return wrong(DecodeErrorKind::TooLong, 0) };
        match header.length {
            declared if declared == u32::from(received) => Ok((header, rest)),
            //= RFC 2408 5.1/1
            //# SHOULD: a packet is checked to be as long as its header says
            declared if declared > u32::from(received) => wrong(DecodeErrorKind::Truncated { declared, received }, 24),
            //= RFC 2408 5.1/2
            //# MUST: a message whose length is not that in its header is rejected
            declared => wrong(DecodeErrorKind::LengthMismatch { declared, received }, 24),
        }
    }

    /// Encodes the header in network byte order (RFC 2408 section 3.1).
    //= RFC 2408 5.2/3
    //# MUST: sending: a header with the fields of section 3.1 is constructed
    pub const fn to_bytes(&self) -> [u8; Self::LEN] {
        let [i0, i1, i2, i3, i4, i5, i6, i7] = self.initiator_cookie;
        let [r0, r1, r2, r3, r4, r5, r6, r7] = self.responder_cookie;
        let [m0, m1, m2, m3] = self.message_id.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        let (next, version, exchange, flags) = (self.next_payload.0, self.version.0, self.exchange.0, self.flags.0);
        [
            i0, i1, i2, i3, i4, i5, i6, i7, r0, r1, r2, r3, r4, r5, r6, r7, next, version, exchange, flags, m0, m1, m2,
            m3, l0, l1, l2, l3,
        ]
    }

    /// Returns whether the octets after the header are ciphertext (RFC 2408 section 3.1).
    ///
    /// A fragment is never encrypted, regardless of the flag: Cisco keeps the flag of the fragmented message, Microsoft
    /// clears it.
    pub fn is_encrypted(&self) -> bool {
        self.flags.contains(Flags::ENCRYPTION) && self.next_payload != PayloadKind::FRAGMENT
    }
}
