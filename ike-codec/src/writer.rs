use crate::body::Body;
use crate::chain::Payload;
use crate::error::NoSpace;
use crate::header::Header;
use crate::number::{Doi, Flags, PayloadKind, Situation};
use crate::sa::SecurityAssociation;

mod sa;

pub use sa::{AttributeWriter, ProposalHead, SaWriter, TransformHead, TransformWriter};

/// Writes one message into the caller's buffer, payload by payload (RFC 2408 sections 5.1 and 5.3).
///
/// The writer fills in lengths and next payload fields. Until [`finish`](Self::finish) is called, the length in the
/// header is `ffffffff`, so that every parser refuses an incomplete message. A failed call leaves the message
/// unchanged. The caller is responsible for writing at least one proposal into an SA and one transform into a proposal.
#[derive(Debug)]
pub struct MessageWriter<'b> {
    body: BodyWriter<'b>,
    link: usize, // offset of the next payload field to be filled in
}

impl<'b> MessageWriter<'b> {
    /// Starts a message; `next_payload` and `length` of the given header are ignored (RFC 2408 section 5.2).
    ///
    /// # Errors
    /// [`NoSpace`] for less than [`Header::LEN`] octets.
    pub fn new(buf: &'b mut [u8], header: &Header) -> Result<Self, NoSpace> {
        let mut body = BodyWriter { buf, len: 0 };
        body.put(&Header { next_payload: PayloadKind::NONE, length: u32::MAX, ..*header }.to_bytes())?;
        Ok(Self { body, link: 16 })
    }

    /// Returns the number of octets written so far, including the header.
    pub const fn len(&self) -> usize {
        self.body.len
    }

    /// Returns `false`: a message contains at least its header.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Appends a payload whose body is written by `f` (RFC 2408 section 5.3).
    ///
    /// # Errors
    /// [`NoSpace`], also for a message of more than 65,535 octets.
    pub fn payload(
        &mut self,
        kind: PayloadKind,
        f: impl FnOnce(&mut BodyWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<&mut Self, NoSpace> {
        //= RFC 2408 2.5.2/1, 5.3/2
        //# MUST: reserved fields are sent as zero
        //# MUST: sending: the reserved field is zero
        self.payload_with(kind, 0, f)
    }

    /// Appends a payload with a given reserved octet, which is zero except in test messages and copies (RFC 2408
    /// section 3.2).
    ///
    /// # Errors
    /// Same as [`payload`](Self::payload).
    pub fn payload_with(
        &mut self,
        kind: PayloadKind,
        reserved: u8,
        f: impl FnOnce(&mut BodyWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<&mut Self, NoSpace> {
        let start = self.body.len;
        self.body.all_or_nothing(|body| {
            body.nested(reserved, f)?;
            if body.len > MAX_MESSAGE { Err(NoSpace) } else { Ok(()) }
        })?;
        //= RFC 2408 5.3/1
        //# MUST: sending: the next payload field names the next payload
        self.body.patch(self.link, &[kind.0]);
        self.link = start;
        Ok(self)
    }

    /// Appends a payload with the given body, such as a nonce, key exchange, hash, signature or vendor ID (RFC 2408
    /// sections 5.7 and 5.13).
    ///
    /// # Errors
    /// Same as [`payload`](Self::payload).
    //= RFC 2408 5.12/2, 5.13/2, 5.7/2
    //# MUST: sending: a signature payload is constructed
    //# MUST: sending: a nonce payload is constructed
    //# MUST: sending: a key exchange payload is constructed
    pub fn bytes(&mut self, kind: PayloadKind, bytes: &[u8]) -> Result<&mut Self, NoSpace> {
        //= RFC 2408 5.11/2
        //# MUST: sending: a hash payload is constructed
        self.payload(kind, |body| body.put(bytes))
    }

    /// Appends an SA payload of the IPSEC DOI with the situation SIT_IDENTITY_ONLY (RFC 2407 section 4.6.1).
    ///
    /// # Errors
    /// Same as [`payload`](Self::payload).
    pub fn sa(&mut self, f: impl FnOnce(&mut SaWriter<'_>) -> Result<(), NoSpace>) -> Result<&mut Self, NoSpace> {
        //= RFC 2407 4.2.2/1, 4.2.3/1
        //# MUST NOT: an initiator that does not support sit_secrecy sets no bit and sends no label of it
        //# MUST NOT: an initiator that does not support sit_integrity sets no bit and sends no label of it
        self.payload(PayloadKind::SA, |body| body.sa(Situation::IDENTITY_ONLY, &[], f))
    }

    /// Appends a copy of a payload of another message, written field by field (RFC 2408 section 3.2).
    ///
    /// # Errors
    /// Same as [`payload`](Self::payload).
    pub fn copy(&mut self, payload: &Payload<'_>) -> Result<&mut Self, NoSpace> {
        self.payload_with(payload.kind, payload.reserved, |body| match payload.view() {
            Body::SecurityAssociation(sa) => body.copy_sa(&sa),
            Body::Identification(id) => id.write(body),
            Body::Certificate(certificate) | Body::CertificateRequest(certificate) => certificate.write(body),
            Body::Notification(notification) => notification.write(body),
            Body::Delete(delete) => delete.write(body),
            Body::Config(config) => config.write(body),
            Body::NatOriginalAddress(original) => original.write(body),
            Body::Fragment(fragment) => fragment.write(body),
            _ => body.put(payload.body),
        })
    }

    /// Appends octets after the last payload.
    pub(crate) fn padding(&mut self, bytes: &[u8]) -> Result<(), NoSpace> {
        self.body.put(bytes)
    }

    /// Appends ciphertext as the body of the message; `first` is the type of the first payload in its plaintext.
    pub(crate) fn ciphertext(&mut self, first: PayloadKind, bytes: &[u8]) -> Result<(), NoSpace> {
        self.body.put(bytes)?;
        self.body.patch(16, &[first.0]);
        Ok(())
    }

    /// Completes the length in the header and returns the message.
    pub fn finish(mut self) -> &'b mut [u8] {
        let length = u32::try_from(self.body.len).unwrap_or(u32::MAX);
        //= RFC 2409 B/3
        //# MUST: the length in the header includes the padding
        self.body.patch(24, &length.to_be_bytes());
        let BodyWriter { buf, len } = self.body;
        buf.get_mut(..len).unwrap_or_default()
    }

    /// Pads the message with zeros until the octets after the header are a multiple of `block`, then completes and
    /// returns it. Encryption requires such padding (RFC 2409 appendix B); some peers pad cleartext messages to four
    /// octets.
    ///
    /// # Errors
    /// Same as [`payload`](Self::payload).
    pub fn finish_padded(mut self, block: usize) -> Result<&'b mut [u8], NoSpace> {
        let body = self.body.len.saturating_sub(Header::LEN);
        let padded = body.checked_next_multiple_of(block.max(1)).ok_or(NoSpace)?;
        if padded > MAX_MESSAGE.saturating_sub(Header::LEN) {
            return Err(NoSpace);
        }
        for _ in body..padded {
            self.body.put(&[0])?;
        }
        Ok(self.finish())
    }

    /// Sets the flags octet of the header (RFC 2408 section 3.1).
    pub fn flags(&mut self, flags: Flags) -> &mut Self {
        self.body.patch(19, &[flags.0]);
        self
    }
}

/// Maximum length of a message in octets, limited by UDP and the framing of TCP.
const MAX_MESSAGE: usize = 65_535;

/// Writes the body of a payload (RFC 2408 section 5.3). A failed call leaves the body unchanged.
///
/// A body without a message, such as `ID_b` of a hash (RFC 2409 section 5), is written into a buffer of its own:
///
/// ```
/// use ike_codec::{BodyWriter, IdKind, Identification};
///
/// let mut buffer = [0; 64];
/// let mut body = BodyWriter::new(&mut buffer);
/// Identification { kind: IdKind::IPV4, protocol: 0, port: 0, data: &[192, 0, 2, 1] }.write(&mut body)?;
/// assert_eq!(body.finish(), [1, 0, 0, 0, 192, 0, 2, 1]);
/// # Ok::<(), ike_codec::NoSpace>(())
/// ```
#[derive(Debug)]
pub struct BodyWriter<'b> {
    buf: &'b mut [u8],
    len: usize,
}

impl<'b> BodyWriter<'b> {
    /// Begins a body without a message.
    pub const fn new(buf: &'b mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Returns the body that was written.
    pub fn finish(self) -> &'b mut [u8] {
        self.buf.get_mut(..self.len).unwrap_or_default()
    }
}

impl BodyWriter<'_> {
    /// Appends octets to the body.
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), NoSpace> {
        let end = self.len.checked_add(bytes.len()).ok_or(NoSpace)?;
        fill(self.buf.get_mut(self.len..end).ok_or(NoSpace)?, bytes)?;
        self.len = end;
        Ok(())
    }

    /// Appends the attributes that `f` writes (RFC 2408 section 3.3).
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn attributes(
        &mut self,
        f: impl FnOnce(&mut AttributeWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        self.all_or_nothing(|body| {
            let mut list = AttributeWriter { body: body.reborrow() };
            f(&mut list)?;
            body.len = list.body.len;
            Ok(())
        })
    }

    /// Appends the DOI, the situation, its labels and the proposals of an SA payload (RFC 2407 section 4.6.1).
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn sa(
        &mut self,
        situation: Situation,
        labels: &[u8],
        f: impl FnOnce(&mut SaWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        self.sa_of(Doi::IPSEC, situation, labels, f)
    }

    //= RFC 2408 5.4/2
    //# MUST: sending: an SA payload is constructed
    fn sa_of(
        &mut self,
        doi: Doi,
        situation: Situation,
        labels: &[u8],
        f: impl FnOnce(&mut SaWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        self.all_or_nothing(|body| {
            body.put(&doi.0.to_be_bytes())?;
            body.put(&situation.0.to_be_bytes())?;
            body.put(labels)?;
            let mut sa = SaWriter { body: body.reborrow(), link: None };
            f(&mut sa)?;
            body.len = sa.body.len;
            Ok(())
        })
    }

    fn copy_sa(&mut self, sa: &SecurityAssociation<'_>) -> Result<(), NoSpace> {
        self.sa_of(sa.doi, sa.situation, sa.labels, |writer| sa.proposals().try_for_each(|p| writer.copy(&p)))
    }

    fn reborrow(&mut self) -> BodyWriter<'_> {
        BodyWriter { buf: self.buf, len: self.len }
    }

    /// Appends a generic header and the body that `f` writes; the length is `ffff` until the body is complete.
    fn nested(
        &mut self,
        reserved: u8,
        f: impl FnOnce(&mut BodyWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<(), NoSpace> {
        let start = self.len;
        self.all_or_nothing(|body| {
            body.put(&[PayloadKind::NONE.0, reserved, 0xff, 0xff])?;
            f(body)?;
            let length = u16::try_from(body.len.saturating_sub(start)).map_err(|_| NoSpace)?;
            //= RFC 2408 5.3/3
            //# MUST: sending: the payload length is that of the payload
            body.patch(start.saturating_add(2), &length.to_be_bytes());
            Ok(())
        })
    }

    /// Runs `f` and discards the octets that it has written if it fails.
    fn all_or_nothing(&mut self, f: impl FnOnce(&mut BodyWriter<'_>) -> Result<(), NoSpace>) -> Result<(), NoSpace> {
        let mut body = self.reborrow();
        f(&mut body)?;
        self.len = body.len;
        Ok(())
    }

    /// Overwrites octets that have been written.
    fn patch(&mut self, at: usize, bytes: &[u8]) {
        let end = at.saturating_add(bytes.len());
        if let Some(written) = self.buf.get_mut(at..end) {
            let _same_length = fill(written, bytes);
        }
    }
}

/// Copies octets into a slice of equal length. The comparison allows the compiler to remove the panic of
/// `copy_from_slice`.
pub(crate) fn fill(target: &mut [u8], bytes: &[u8]) -> Result<(), NoSpace> {
    if target.len() != bytes.len() {
        return Err(NoSpace);
    }
    target.copy_from_slice(bytes);
    Ok(())
}
