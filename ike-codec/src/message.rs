use crate::chain::{Chain, Payloads};
use crate::error::{DecodeError, DecodeErrorKind, NoSpace};
use crate::header::Header;
use crate::number::PayloadKind;
use crate::strict;
use crate::writer::MessageWriter;

/// IKEv1 message: an ISAKMP header, followed by cleartext payloads or by ciphertext (RFC 2408 section 3).
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    header: Header,
    chain: Chain<'a>,
    ciphertext: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Parses one whole message, as received in a datagram and without the non-ESP marker (RFC 2408 sections 5.2 and
    /// 5.3).
    ///
    /// The chain of payloads is parsed once, including all nested structures; unknown numbers and reserved fields are
    /// preserved. The work is linear in the length of the message, and no octet is copied.
    ///
    /// Stack usage: 308 bytes on a Cortex-M4, including every view of the first message of main mode, measured by
    /// `ci/firmware`.
    ///
    /// # Errors
    /// Returns the first [`DecodeError`] found.
    pub fn parse(message: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, rest) = Header::parse(message)?;
        if !header.is_encrypted() {
            return Ok(Self { header, chain: Chain::parse(header.next_payload, rest, 28)?, ciphertext: None });
        }
        let refuse = |kind, offset| Err(DecodeError::at(kind, offset));
        match header.next_payload {
            PayloadKind::NONE => refuse(DecodeErrorKind::TrailingData, 28),
            kind @ (PayloadKind::PROPOSAL | PayloadKind::TRANSFORM) => refuse(DecodeErrorKind::Misplaced(kind), 16),
            //= RFC 2408 5.2/6
            //# MUST: receiving: a message with an invalid next payload is discarded
            kind if kind.is_ikev2() => refuse(DecodeErrorKind::Ikev2Payload(kind), 16),
            _ if rest.is_empty() || !rest.len().is_multiple_of(8) => refuse(DecodeErrorKind::EncryptedLength, 28),
            _ => Ok(Self { header, chain: Chain::EMPTY, ciphertext: Some(rest) }),
        }
    }

    /// Parses one message strictly: refuses deviations from the RFCs that [`parse`](Self::parse) tolerates (RFC 2408
    /// sections 5.2 and 5.3).
    ///
    /// These are: non-zero reserved fields, unknown flags and situation bits; numbers without a name in this crate for
    /// payloads, exchanges, protocols, transforms, attribute types, identities, certificates, notifications and mode
    /// config messages (attribute values are checked by the negotiation); nonces outside 8 to 256 octets; a zero
    /// initiator cookie; empty payloads of types that require content; and padding. Only the header of an encrypted
    /// message is checked: see [`Chain::check_strictly`].
    ///
    /// # Errors
    /// Same as [`Message::parse`], and the kinds marked "strict only".
    pub fn parse_strict(message: &'a [u8]) -> Result<Self, DecodeError> {
        let message = Self::parse(message)?;
        strict::check_header(&message.header)?;
        if !message.is_encrypted() {
            strict::check_chain(&message.chain)?;
        }
        Ok(message)
    }

    /// Returns the ISAKMP header (RFC 2408 section 3.1).
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns whether the payloads are ciphertext (RFC 2408 section 3.1).
    pub const fn is_encrypted(&self) -> bool {
        self.ciphertext.is_some()
    }

    /// Returns the ciphertext that follows the header, `None` for a cleartext message (RFC 2408 section 3.1).
    pub const fn ciphertext(&self) -> Option<&'a [u8]> {
        self.ciphertext
    }

    /// Returns the chain of cleartext payloads, which is empty when the message is encrypted (RFC 2408 section 3.2).
    pub const fn chain(&self) -> &Chain<'a> {
        &self.chain
    }

    /// Iterates over the cleartext payloads (RFC 2408 section 3.2).
    pub fn payloads(&self) -> Payloads<'a> {
        self.chain.payloads()
    }

    /// Returns the first cleartext payload of a type; `None` if there is no such payload.
    pub fn find(&self, kind: PayloadKind) -> Option<crate::Payload<'a>> {
        self.payloads().find(|p| p.kind == kind)
    }

    /// Writes the message again, field by field; the result equals the octets that were parsed.
    ///
    /// # Errors
    /// [`NoSpace`] when `buf` is shorter than the message.
    pub fn write<'b>(&self, buf: &'b mut [u8]) -> Result<&'b mut [u8], NoSpace> {
        let mut writer = MessageWriter::new(buf, &self.header)?;
        match self.ciphertext {
            Some(ciphertext) => writer.ciphertext(self.header.next_payload, ciphertext)?,
            None => {
                for payload in self.payloads() {
                    writer.copy(&payload)?;
                }
                writer.padding(self.chain.padding())?;
            }
        }
        Ok(writer.finish())
    }
}
