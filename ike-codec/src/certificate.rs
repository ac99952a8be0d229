use crate::error::NoSpace;
use crate::number::CertificateEncoding;
use crate::writer::BodyWriter;

/// Certificate or certificate request payload (RFC 2408 sections 3.9 and 3.10).
///
/// ```text
/// | generic header (4) | encoding (1) | data |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// Encoding of the certificate data.
    pub encoding: CertificateEncoding,
    /// Certificate; in a request, the distinguished name of a certificate authority, empty for any.
    pub data: &'a [u8],
}

impl<'a> Certificate<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let (&encoding, data) = body.split_first()?;
        Some(Self { encoding: CertificateEncoding(encoding), data })
    }

    /// Writes the body of the payload (RFC 2408 sections 5.9 and 5.10).
    ///
    /// # Errors
    /// [`NoSpace`].
    //= RFC 2408 5.9/2
    //# MUST: sending: a certificate payload is constructed
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        //= RFC 2408 5.10/2
        //# MUST: sending: a certificate request payload is constructed
        body.put(&[self.encoding.0])?;
        body.put(self.data)
    }
}
