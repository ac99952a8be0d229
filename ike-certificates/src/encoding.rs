//! Files in PEM or DER (RFC 4945 section 6), and certificates in PKCS#7 (RFC 4945 section 3.3.4).

use core::fmt;

use base64ct::{Base64, Encoding};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, ErrorKind, Reader, SliceReader, Tag, TagNumber};
use zeroize::Zeroizing;

use crate::public_key::KeyError;
use crate::x509::{Certificate, Crl, CrlError};

/// Longest file that is read, in octets.
const MAX_FILE: usize = 16 << 20;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// Reason why a file with certificates, CRLs or a key was not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is longer than 16 MiB.
    TooLarge,
    /// The file is neither PEM nor DER.
    Encoding,
    /// A line `-----BEGIN ..-----` has no line `-----END ..-----` of the same name.
    NoEnd,
    /// The text between the lines `BEGIN` and `END` is not Base64.
    Base64,
    /// The file contains no certificate.
    NoCertificate,
    /// The file contains no CRL.
    NoCrl,
    /// The file contains no private key.
    NoPrivateKey,
    /// The file contains no public key.
    NoPublicKey,
    /// Limit of public keys for any identity is exceeded: all of them may be tried for one signature.
    TooManyKeys {
        /// Largest number of such keys.
        limit: usize,
    },
    /// Addresses before a key in the text of racoon(8) limit its use, which is not supported.
    KeyAddresses,
    /// The private key is encrypted, which is not supported.
    EncryptedKey,
    /// A certificate is malformed.
    MalformedCertificate {
        /// Number of the certificate in the file, from 1.
        number: usize,
    },
    /// A CRL is malformed.
    MalformedCrl {
        /// Number of the CRL in the file, from 1.
        number: usize,
    },
    /// A CRL has a critical extension that is not supported.
    CrlExtension {
        /// Number of the CRL in the file, from 1.
        number: usize,
        /// OID of the extension.
        oid: ObjectIdentifier,
    },
    /// A key is malformed, or the numbers of a private key are inconsistent.
    MalformedKey,
    /// A key is refused.
    Key(KeyError),
    /// A certificate is not a CA certificate (RFC 5280 section 4.2.1.9), or its key may not sign certificates.
    NotCa {
        /// Number of the certificate in the file, from 1.
        number: usize,
    },
    /// A certificate has a critical extension that is not supported.
    CriticalExtension(ObjectIdentifier),
    /// The private key does not match the certificate.
    KeyMismatch,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "file is longer than {} MiB", MAX_FILE >> 20),
            Self::Encoding => f.write_str("file is neither PEM nor DER"),
            Self::NoEnd => f.write_str("line -----BEGIN ..----- without a line -----END ..-----"),
            Self::Base64 => f.write_str("invalid Base64"),
            Self::NoCertificate => f.write_str("file contains no certificate"),
            Self::NoCrl => f.write_str("file contains no CRL"),
            Self::NoPrivateKey => f.write_str("file contains no private key"),
            Self::NoPublicKey => f.write_str("file contains no public key"),
            Self::TooManyKeys { limit } => write!(f, "more than {limit} public keys that are for any identity"),
            Self::KeyAddresses => f.write_str("expected `: PUB` or `: RSA`: addresses before a key are not supported"),
            Self::EncryptedKey => f.write_str("encrypted private keys are not supported"),
            Self::MalformedCertificate { number } => write!(f, "malformed certificate: number {number} of the file"),
            Self::MalformedCrl { number } => write!(f, "malformed CRL: number {number} of the file"),
            Self::CrlExtension { number, oid } => {
                write!(f, "critical extension {oid} of CRL {number} of the file is not supported")
            }
            Self::MalformedKey => f.write_str("malformed key"),
            Self::Key(e) => fmt::Display::fmt(e, f),
            Self::NotCa { number } => write!(f, "certificate {number} of the file is not a CA certificate"),
            Self::CriticalExtension(oid) => write!(f, "critical extension {oid} is not supported"),
            Self::KeyMismatch => f.write_str("private key does not match the certificate"),
        }
    }
}

impl core::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Key(e) => Some(e),
            _ => None,
        }
    }
}

/// Label of an encrypted key, which is not read.
pub(crate) const ENCRYPTED_KEY: &str = "ENCRYPTED PRIVATE KEY";

/// One object of a file. It is wiped on drop, because it may be a key.
pub(crate) struct Object<'a> {
    /// Name in the line `-----BEGIN ..-----`, `None` in a file in DER.
    pub(crate) label: Option<&'a str>,
    pub(crate) octets: Zeroizing<Vec<u8>>,
}

/// Reads the objects of a file: all of a file in PEM, with any text between them, or the one of a file in DER.
pub(crate) fn objects(file: &[u8]) -> Result<Vec<Object<'_>>, LoadError> {
    const BEGIN: &str = "-----BEGIN ";
    if file.len() > MAX_FILE {
        return Err(LoadError::TooLarge);
    }
    if file.first() == Some(&0x30) {
        return Ok(vec![Object { label: None, octets: Zeroizing::new(file.to_vec()) }]);
    }
    let mut rest = str::from_utf8(file).map_err(|_| LoadError::Encoding)?;
    if !rest.contains(BEGIN) {
        return Err(LoadError::Encoding);
    }
    let mut objects = Vec::new();
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (label, after) = after.split_once("-----").ok_or(LoadError::NoEnd)?;
        let (body, after) = after.split_once("-----END ").ok_or(LoadError::NoEnd)?;
        rest = after.strip_prefix(label).and_then(|after| after.strip_prefix("-----")).ok_or(LoadError::NoEnd)?;
        // Keys of PKCS#1 have a line `Proc-Type: 4,ENCRYPTED` (RFC 1421 section 4.6.1.1).
        if label == ENCRYPTED_KEY || body.contains("Proc-Type:") {
            objects.push(Object { label: Some(ENCRYPTED_KEY), octets: Zeroizing::default() });
            continue;
        }
        let wanted = ["CERTIFICATE", "CRL", "PRIVATE KEY", "PUBLIC KEY"].iter().any(|end| label.ends_with(end));
        if wanted {
            // Lines may have any length and end (RFC 4945 section 6).
            let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
            base64.extend(body.bytes().filter(|octet| !octet.is_ascii_whitespace()));
            let text = str::from_utf8(&base64).map_err(|_| LoadError::Base64)?;
            let octets = Base64::decode_vec(text).map(Zeroizing::new).map_err(|_| LoadError::Base64)?;
            objects.push(Object { label: Some(label), octets });
        }
    }
    Ok(objects)
}

/// Reads the certificates of a file; other objects in it are ignored.
pub(crate) fn certificates(file: &[u8]) -> Result<Vec<Certificate>, LoadError> {
    let objects = objects(file)?;
    let mut found = Vec::new();
    let of_kind =
        objects.iter().filter(|object| matches!(object.label, None | Some("CERTIFICATE" | "X509 CERTIFICATE")));
    for (object, number) in of_kind.zip(1..) {
        found.push(Certificate::read(&object.octets).map_err(|_| LoadError::MalformedCertificate { number })?);
    }
    if found.is_empty() { Err(LoadError::NoCertificate) } else { Ok(found) }
}

/// Reads the CRLs of a file; other objects in it are ignored.
pub(crate) fn crls(file: &[u8]) -> Result<Vec<Crl>, LoadError> {
    let objects = objects(file)?;
    let mut found = Vec::new();
    let of_kind = objects.iter().filter(|object| matches!(object.label, None | Some("X509 CRL" | "CRL")));
    for (object, number) in of_kind.zip(1..) {
        found.push(Crl::read(&object.octets).map_err(|e| match e {
            CrlError::Malformed => LoadError::MalformedCrl { number },
            CrlError::NotSupported(oid) => LoadError::CrlExtension { number, oid },
        })?);
    }
    if found.is_empty() { Err(LoadError::NoCrl) } else { Ok(found) }
}

/// Certificates and CRLs in PKCS#7, each in DER.
pub(crate) struct Bag<'a> {
    pub(crate) certificates: Vec<&'a [u8]>,
    pub(crate) crls: Vec<&'a [u8]>,
}

impl<'a> Bag<'a> {
    /// Reads SignedData of PKCS#7 in DER, of which only certificates and CRLs are used (RFC 2315 section 9.1).
    pub(crate) fn read(octets: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = SliceReader::new(octets)?;
        let content = reader.sequence(|info| {
            if ObjectIdentifier::decode(info)? != SIGNED_DATA {
                return Err(ErrorKind::Failed.to_error());
            }
            AnyRef::decode(info)
        })?;
        reader.finish()?;
        let mut bag = Self { certificates: Vec::new(), crls: Vec::new() };
        SliceReader::new(content.value())?.sequence(|fields| {
            while !fields.is_finished() {
                let field = AnyRef::decode(fields)?;
                match field.header().tag() {
                    Tag::ContextSpecific { number: TagNumber(0), .. } => bag.certificates = elements(field.value())?,
                    Tag::ContextSpecific { number: TagNumber(1), .. } => bag.crls = elements(field.value())?,
                    _ => {}
                }
            }
            Ok::<_, der::Error>(())
        })?;
        Ok(bag)
    }
}

/// Splits octets into objects in DER.
pub(crate) fn elements(contents: &[u8]) -> Result<Vec<&[u8]>, der::Error> {
    let (mut reader, mut found) = (SliceReader::new(contents)?, Vec::new());
    while !reader.is_finished() {
        found.push(reader.tlv_bytes()?);
    }
    Ok(found)
}
