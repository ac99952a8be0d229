//! Certificates and certificate revocation lists of RFC 5280, as far as IKEv1 uses them (RFC 4945 section 5).

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, OctetStringRef, UtcTime};
use der::{Decode, ErrorKind, Reader, SliceReader, Tag};
use ike_codec::{IdKind, Identification};

use crate::public_key::{Algorithm, KeyError, PublicKey, Signed};
use crate::refusal::name_text;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const INHIBIT_ANY_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.54");

/// Uses of a key, as the first two octets of the bit string (RFC 5280 section 4.2.1.3).
const DIGITAL_SIGNATURE: u16 = 0x8000;
const NON_REPUDIATION: u16 = 0x4000;
const KEY_CERT_SIGN: u16 = 0x0400;
const CRL_SIGN: u16 = 0x0200;

/// Certificate (RFC 5280 section 4.1).
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The whole certificate in DER.
    pub(crate) octets: Vec<u8>,
    /// Contents of the serial number.
    pub(crate) serial: Vec<u8>,
    /// Distinguished names in DER. Names are compared octet for octet.
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    /// First and last second of validity, in seconds since 1970.
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) key: Result<PublicKey, KeyError>,
    /// The version is 3.
    has_extensions: bool,
    pub(crate) extensions: Extensions,
    pub(crate) signed: Signed,
}

/// Extensions of a certificate that are understood (RFC 4945 section 5.1.3).
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    is_ca: bool,
    pub(crate) path_length: Option<u32>,
    key_usage: Option<u16>,
    alternative_names: Vec<(IdKind, Vec<u8>)>,
    /// First extension because of which the certificate is refused.
    pub(crate) not_supported: Option<ObjectIdentifier>,
}

impl Certificate {
    /// Reads a certificate in DER, without octets behind it.
    pub(crate) fn read(octets: &[u8]) -> Result<Self, der::Error> {
        let envelope = Envelope::read(octets)?;
        let mut reader = SliceReader::new(envelope.contents)?;
        let certificate = reader.sequence(|fields| {
            let version = explicit(fields, 0)?.map_or(Ok(0), |mut version| u8::decode(&mut version))?;
            let serial = AnyRef::decode(fields)?;
            serial.header().tag().assert_eq(Tag::Integer)?;
            if Algorithm::read(fields)? != envelope.algorithm {
                return Err(ErrorKind::Failed.to_error());
            }
            let issuer = name(fields)?;
            let (not_before, not_after) =
                fields.sequence(|validity| Ok::<_, der::Error>((time(validity)?, time(validity)?)))?;
            let subject = name(fields)?;
            let key = PublicKey::read(fields.tlv_bytes()?);
            for identifier in [1, 2] {
                context(fields, identifier, false)?;
            }
            let extensions = explicit(fields, 3)?.map(|mut list| Extensions::read(&mut list)).transpose()?;
            if version > 2 || (extensions.is_some() && version != 2) || is_empty(issuer) {
                return Err(ErrorKind::Failed.to_error());
            }
            Ok(Self {
                octets: octets.to_vec(),
                serial: serial.value().to_vec(),
                issuer: issuer.to_vec(),
                subject: subject.to_vec(),
                not_before,
                not_after,
                key,
                has_extensions: version == 2,
                extensions: extensions.unwrap_or_default(),
                signed: envelope.signed(),
            })
        })?;
        reader.finish()?;
        Ok(certificate)
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Returns whether it is that of a CA. Without extensions, only a self-signed one that is trusted can be (RFC 4945
    /// section 5.1.1).
    pub(crate) fn is_ca(&self) -> bool {
        self.extensions.is_ca
    }

    /// Returns whether it can be trusted as that of a CA.
    pub(crate) fn is_trust_anchor(&self) -> bool {
        self.is_ca() || (!self.has_extensions && self.is_self_issued())
    }

    /// Returns whether its key may sign HASH_I and HASH_R (RFC 4945 section 5.1.3.2).
    pub(crate) fn may_sign(&self) -> bool {
        self.allows(DIGITAL_SIGNATURE | NON_REPUDIATION)
    }

    /// Returns whether its key may sign certificates.
    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.allows(KEY_CERT_SIGN)
    }

    /// Returns whether its key may sign revocation lists.
    pub(crate) fn may_sign_crls(&self) -> bool {
        self.allows(CRL_SIGN)
    }

    fn allows(&self, uses: u16) -> bool {
        self.extensions.key_usage.is_none_or(|allowed| allowed & uses != 0)
    }

    /// Returns the subjectAltNames that are identities of IKE (RFC 4945 section 5.1.3.6).
    pub(crate) fn alternative_names(&self) -> impl Iterator<Item = Identification<'_>> {
        self.extensions.alternative_names.iter().map(|(kind, data)| identification(*kind, data))
    }

    /// Returns the subject as an identity, `None` if it is empty (RFC 4945 section 3.1.5).
    pub(crate) fn subject_identity(&self) -> Option<Identification<'_>> {
        (!is_empty(&self.subject)).then(|| identification(IdKind::DER_ASN1_DN, &self.subject))
    }

    pub(crate) fn subject_text(&self) -> String {
        name_text(&self.subject)
    }
}

const fn identification(kind: IdKind, data: &[u8]) -> Identification<'_> {
    Identification { kind, protocol: 0, port: 0, data }
}

impl Extensions {
    fn read(list: &mut SliceReader<'_>) -> Result<Self, der::Error> {
        let mut found = Self::default();
        extensions(list, |oid, critical, value| {
            let mut reader = SliceReader::new(value)?;
            match oid {
                BASIC_CONSTRAINTS => reader.sequence(|fields| {
                    found.is_ca = is_next(fields, Tag::Boolean) && bool::decode(fields)?;
                    found.path_length = if fields.is_finished() { None } else { Some(u32::decode(fields)?) };
                    Ok::<_, der::Error>(())
                })?,
                KEY_USAGE => {
                    let bits = BitStringRef::decode(&mut reader)?.raw_bytes();
                    let octet = |at| bits.get(at).copied().unwrap_or(0);
                    found.key_usage = Some(u16::from_be_bytes([octet(0), octet(1)]));
                }
                SUBJECT_ALT_NAME => found.alternative_names = alternative_names(&mut reader)?,
                // Their effect would be lost if they were ignored, also where a CA has not marked them as critical
                // (RFC 4945 section 5.1.3).
                NAME_CONSTRAINTS | INHIBIT_ANY_POLICY => return found.refuse(oid),
                _ if critical => return found.refuse(oid),
                _ => return Ok(()),
            }
            reader.finish()
        })?;
        Ok(found)
    }

    fn refuse(&mut self, oid: ObjectIdentifier) -> Result<(), der::Error> {
        self.not_supported.get_or_insert(oid);
        Ok(())
    }
}

fn alternative_names(reader: &mut SliceReader<'_>) -> Result<Vec<(IdKind, Vec<u8>)>, der::Error> {
    let mut names = Vec::new();
    reader.sequence(|list| {
        while !list.is_finished() {
            let name = AnyRef::decode(list)?;
            let Tag::ContextSpecific { number, .. } = name.header().tag() else {
                return Err(ErrorKind::Failed.to_error());
            };
            let kind = match (number.value(), name.value().len()) {
                (1, _) => IdKind::USER_FQDN,
                (2, _) => IdKind::FQDN,
                (7, 4) => IdKind::IPV4,
                (7, 16) => IdKind::IPV6,
                _ => continue,
            };
            names.push((kind, name.value().to_vec()));
        }
        Ok(())
    })?;
    Ok(names)
}

/// Certificate revocation list (RFC 5280 section 5.1).
#[derive(Clone, Debug)]
pub(crate) struct Crl {
    pub(crate) issuer: Vec<u8>,
    pub(crate) this_update: u64,
    pub(crate) next_update: u64,
    /// Contents of the serial numbers, sorted.
    revoked: Vec<Vec<u8>>,
    pub(crate) signed: Signed,
}

/// Reason why a CRL was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrlError {
    Malformed,
    /// A critical extension, such as that of a delta CRL or an indirect one (RFC 5280 section 5.2).
    NotSupported(ObjectIdentifier),
}

impl Crl {
    /// Reads a CRL in DER, without octets behind it.
    pub(crate) fn read(octets: &[u8]) -> Result<Self, CrlError> {
        let mut not_supported = None;
        let crl = Self::fields(octets, &mut not_supported).map_err(|_| CrlError::Malformed)?;
        not_supported.map_or(Ok(crl), |oid| Err(CrlError::NotSupported(oid)))
    }

    fn fields(octets: &[u8], not_supported: &mut Option<ObjectIdentifier>) -> Result<Self, der::Error> {
        let envelope = Envelope::read(octets)?;
        let mut check = |oid, critical, _: &[u8]| {
            if critical {
                not_supported.get_or_insert(oid);
            }
            Ok(())
        };
        let mut reader = SliceReader::new(envelope.contents)?;
        let crl = reader.sequence(|fields| {
            if is_next(fields, Tag::Integer) && u8::decode(fields)? != 1 {
                return Err(ErrorKind::Failed.to_error());
            }
            if Algorithm::read(fields)? != envelope.algorithm {
                return Err(ErrorKind::Failed.to_error());
            }
            let issuer = name(fields)?.to_vec();
            // A list without nextUpdate could be used for ever (RFC 5280 section 5.1.2.5 requires it).
            let (this_update, next_update) = (time(fields)?, time(fields)?);
            let mut revoked = Vec::new();
            if is_next(fields, Tag::Sequence) {
                fields.sequence(|list| {
                    while !list.is_finished() {
                        list.sequence(|entry| {
                            let serial = AnyRef::decode(entry)?;
                            serial.header().tag().assert_eq(Tag::Integer)?;
                            revoked.push(serial.value().to_vec());
                            time(entry)?;
                            if entry.is_finished() { Ok(()) } else { extensions(entry, &mut check) }
                        })?;
                    }
                    Ok::<_, der::Error>(())
                })?;
            }
            explicit(fields, 0)?.map_or(Ok(()), |mut list| extensions(&mut list, &mut check))?;
            revoked.sort_unstable();
            Ok(Self { issuer, this_update, next_update, revoked, signed: envelope.signed() })
        })?;
        reader.finish()?;
        Ok(crl)
    }

    pub(crate) fn has_revoked(&self, serial: &[u8]) -> bool {
        self.revoked.binary_search_by(|revoked| revoked.as_slice().cmp(serial)).is_ok()
    }
}

/// Certificate or CRL as it is on the wire.
struct Envelope<'a> {
    /// Octets that were signed.
    contents: &'a [u8],
    algorithm: Algorithm<'a>,
    signature: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(octets: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = SliceReader::new(octets)?;
        let envelope = reader.sequence(|parts| {
            let (contents, algorithm) = (parts.tlv_bytes()?, Algorithm::read(parts)?);
            let signature = BitStringRef::decode(parts)?.as_bytes().ok_or(ErrorKind::Failed.to_error())?;
            Ok::<_, der::Error>(Self { contents, algorithm, signature })
        })?;
        reader.finish()?;
        Ok(envelope)
    }

    fn signed(&self) -> Signed {
        Signed::new(self.contents, self.algorithm, self.signature)
    }
}

/// Calls a function with identifier, criticality and value of each extension; none may occur twice.
fn extensions(
    reader: &mut SliceReader<'_>,
    mut each: impl FnMut(ObjectIdentifier, bool, &[u8]) -> Result<(), der::Error>,
) -> Result<(), der::Error> {
    let mut seen = Vec::new();
    reader.sequence(|list| {
        while !list.is_finished() {
            let (oid, critical, value) = list.sequence(|extension| {
                let oid = ObjectIdentifier::decode(extension)?;
                let critical = is_next(extension, Tag::Boolean) && bool::decode(extension)?;
                Ok::<_, der::Error>((oid, critical, <&OctetStringRef>::decode(extension)?.as_bytes()))
            })?;
            seen.push(oid);
            each(oid, critical, value)?;
        }
        Ok::<_, der::Error>(())
    })?;
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() == count { Ok(()) } else { Err(ErrorKind::Failed.to_error()) }
}

fn is_next(reader: &SliceReader<'_>, tag: Tag) -> bool {
    Tag::peek(reader).is_ok_and(|next| next == tag)
}

/// Reads the contents of a field `[number]` if it is the next one.
fn context<'a>(reader: &mut SliceReader<'a>, number: u32, constructed: bool) -> Result<Option<&'a [u8]>, der::Error> {
    let tag = Tag::ContextSpecific { constructed, number: der::TagNumber(number) };
    if is_next(reader, tag) { AnyRef::decode(reader).map(|field| Some(field.value())) } else { Ok(None) }
}

fn explicit<'a>(reader: &mut SliceReader<'a>, number: u32) -> Result<Option<SliceReader<'a>>, der::Error> {
    context(reader, number, true)?.map(SliceReader::new).transpose()
}

/// Reads a distinguished name as it is in DER.
fn name<'a>(reader: &mut SliceReader<'a>) -> Result<&'a [u8], der::Error> {
    if is_next(reader, Tag::Sequence) { reader.tlv_bytes() } else { Err(ErrorKind::Failed.to_error()) }
}

/// Returns whether a distinguished name has no attribute.
fn is_empty(name: &[u8]) -> bool {
    name == [0x30, 0]
}

fn time(reader: &mut SliceReader<'_>) -> Result<u64, der::Error> {
    let since_1970 = if is_next(reader, Tag::UtcTime) {
        UtcTime::decode(reader)?.to_unix_duration()
    } else {
        GeneralizedTime::decode(reader)?.to_unix_duration()
    };
    Ok(since_1970.as_secs())
}
