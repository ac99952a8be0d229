use crate::chain::{Chain, Payloads};
use crate::error::{DecodeError, DecodeErrorKind, NoSpace};
use crate::header::Header;
use crate::number::PayloadKind;
use crate::strict;
use crate::writer::MessageWriter;

/// One IKEv1 message: a header and either payloads in clear or ciphertext (RFC 2408 3).
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    header: Header,
    chain: Chain<'a>,
    ciphertext: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Parses one whole message, as it came in a datagram (without the non-ESP marker; RFC 2408 5.2, 5.3).
    ///
    /// The chain of payloads is walked once, with everything nested in it; unknown numbers and reserved fields are kept
    /// as they are. The work is linear in the length, and nothing is copied.
    ///
    /// Stack: 308 octets on Cortex-M4, every view of the first message of main mode included, as `ci/firmware` measures it.
    ///
    /// # Errors
    /// [`DecodeError`] for the first thing that is wrong.
    pub fn parse(message: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, rest) = Header::parse(message)?;
        if !header.is_encrypted() {
            return Ok(Self { header, chain: Chain::parse(header.next_payload, rest, 28)?, ciphertext: None });
        }
        let refuse = |kind, offset| Err(DecodeError::at(kind, offset));
        match header.next_payload {
            PayloadKind::NONE => refuse(DecodeErrorKind::UnparsedBytes, 28),
            kind @ (PayloadKind::PROPOSAL | PayloadKind::TRANSFORM) => refuse(DecodeErrorKind::Misplaced(kind), 16),
            //= RFC 2408 5.2/6
            kind if kind.is_ikev2() => refuse(DecodeErrorKind::Ikev2Payload(kind), 16),
            _ if rest.is_empty() || !rest.len().is_multiple_of(8) => refuse(DecodeErrorKind::EncryptedLength, 28),
            _ => Ok(Self { header, chain: Chain::EMPTY, ciphertext: Some(rest) }),
        }
    }

    /// Parses one message and refuses what the RFCs forbid but parsers can live with: reserved fields and unknown flags or
    /// situations that are not zero; numbers of payloads, exchanges, protocols, transforms, types of attributes, identities,
    /// certificates, notifications and mode config messages that have no name here (values of attributes are the
    /// negotiation's); nonces outside 8 to 256 octets, a zero initiator
    /// cookie, empty payloads that must hold something, padding (RFC 2408 5.2, 5.3). Of an encrypted message it sees the header only: see
    /// [`Chain::check_strictly`].
    ///
    /// # Errors
    /// As [`Message::parse`], and the kinds marked "strict only".
    pub fn parse_strict(message: &'a [u8]) -> Result<Self, DecodeError> {
        let message = Self::parse(message)?;
        strict::check_header(&message.header)?;
        if !message.is_encrypted() {
            strict::check_chain(&message.chain)?;
        }
        Ok(message)
    }

    /// The header (RFC 2408 3.1).
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the payloads are still ciphertext (RFC 2408 3.1).
    pub const fn is_encrypted(&self) -> bool {
        self.ciphertext.is_some()
    }

    /// What follows the header of an encrypted message (RFC 2408 3.1).
    pub const fn ciphertext(&self) -> Option<&'a [u8]> {
        self.ciphertext
    }

    /// The payloads in clear, none when the message is encrypted (RFC 2408 3.2).
    pub const fn chain(&self) -> &Chain<'a> {
        &self.chain
    }

    /// The payloads in clear, one by one (RFC 2408 3.2).
    pub fn payloads(&self) -> Payloads<'a> {
        self.chain.payloads()
    }

    /// The first payload of a kind.
    pub fn find(&self, kind: PayloadKind) -> Option<crate::Payload<'a>> {
        self.payloads().find(|p| p.kind == kind)
    }

    /// Writes the message again, field by field: the same octets as were parsed.
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
