//! Certificates and certificate revocation lists of RFC 5280, as far as IKEv1 uses them (RFC 4945 section 5).

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::oid::AssociatedOid;
use der::{Decode, ErrorKind, Reader, SliceReader};
use ike_codec::{IdKind, Identification};
use x509_cert::certificate::{Raw, TbsCertificateInner, Version};
use x509_cert::crl::TbsCertList;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, ID_CE_INHIBIT_ANY_POLICY, KeyUsage, NameConstraints as Constraints,
    SubjectAltName,
};
use x509_cert::ext::{Extension, Extensions as ExtensionList};
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::encoding::elements;
use crate::name_constraints::{GeneralName, NameConstraints, directory, email_addresses};
use crate::name_text::name_text;
use crate::public_key::{KeyError, PublicKey, Signed};

pub(crate) const NAME_CONSTRAINTS: ObjectIdentifier = Constraints::OID;

/// Purposes of a key that include signatures of IKE (RFC 4945 section 5.1.3.12): any, iKEIntermediate, ipsecEndSystem,
/// ipsecTunnel, ipsecUser and ipsecIKE, and those of TLS, which certificates of many deployed gateways have alone.
const IKE_PURPOSES: [ObjectIdentifier; 8] = [
    ObjectIdentifier::new_unwrap("2.5.29.37.0"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.8.2.2"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.5"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.6"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.7"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.17"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2"),
];

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
    /// Set if the version is 3, which permits extensions.
    has_extensions: bool,
    pub(crate) extensions: Extensions,
    pub(crate) signed: Signed,
}

/// Extensions of a certificate that are evaluated (RFC 4945 section 5.1.3).
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    is_ca: bool,
    pub(crate) path_length: Option<u8>,
    key_usage: Option<KeyUsage>,
    alternative_names: Vec<GeneralName>,
    /// Set if a purpose of the key is IKE; `None` without the extension.
    is_for_ike: Option<bool>,
    pub(crate) name_constraints: Option<NameConstraints>,
    /// First extension because of which the certificate is refused.
    pub(crate) not_supported: Option<ObjectIdentifier>,
}

impl Certificate {
    /// Reads a certificate in DER, without octets after it.
    pub(crate) fn read(octets: &[u8]) -> Result<Self, der::Error> {
        let envelope = Envelope::read(octets)?;
        let contents = TbsCertificateInner::<Raw>::from_der(envelope.contents)?;
        // x509-cert sorts the attributes of a relative distinguished name: names are compared and sent as received.
        let mut fields = elements(AnyRef::from_der(envelope.contents)?.value())?.into_iter();
        let mut fields = fields.by_ref().skip_while(|field| !field.starts_with(&[0x02]));
        let (issuer, subject) = (fields.nth(2).unwrap_or_default(), fields.nth(1).unwrap_or_default());
        let has_extensions = contents.version() == Version::V3;
        let is_unexpected = contents.extensions().is_some() && !has_extensions;
        if contents.signature() != &envelope.algorithm || is_unexpected || contents.issuer().is_empty() {
            return Err(ErrorKind::Failed.to_error());
        }
        Ok(Self {
            octets: octets.to_vec(),
            serial: contents.serial_number().as_bytes().to_vec(),
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
            not_before: contents.validity().not_before.to_unix_duration().as_secs(),
            not_after: contents.validity().not_after.to_unix_duration().as_secs(),
            key: PublicKey::read(contents.subject_public_key_info()),
            has_extensions,
            extensions: contents.extensions().map(Extensions::read).transpose()?.unwrap_or_default(),
            signed: envelope.signed(),
        })
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Returns whether the certificate is a CA certificate. Without extensions, only a self-signed one that is trusted
    /// can be (RFC 4945 section 5.1.1).
    pub(crate) fn is_ca(&self) -> bool {
        self.extensions.is_ca
    }

    /// Returns whether the certificate can be a trust anchor.
    pub(crate) fn is_trust_anchor(&self) -> bool {
        self.is_ca() || (!self.has_extensions && self.is_self_issued())
    }

    /// Returns whether the key of the certificate may sign HASH_I and HASH_R (RFC 4945 section 5.1.3.2).
    pub(crate) fn may_sign(&self) -> bool {
        self.allows(|usage| usage.digital_signature() || usage.non_repudiation())
    }

    /// Returns whether signatures of IKE are a purpose of its key (RFC 4945 section 5.1.3.12).
    pub(crate) fn is_for_ike(&self) -> bool {
        self.extensions.is_for_ike.unwrap_or(true)
    }

    /// Returns the names that CAs may constrain: the subject, the subjectAltNames, and the e-mail addresses in the
    /// subject if these have none (RFC 5280 section 4.2.1.10).
    pub(crate) fn constrained_names(&self) -> Vec<GeneralName> {
        let subject = Some(&self.subject).filter(|subject| !is_empty(subject));
        let subject = subject.and_then(|subject| Name::from_der(subject).ok());
        let subject = subject.map(|subject| GeneralName::Directory(directory(&subject)));
        let mut names = self.extensions.alternative_names.clone();
        let has_email = names.iter().any(|name| matches!(name, GeneralName::Email(_)));
        if let Some(GeneralName::Directory(rdns)) = subject.as_ref().filter(|_| !has_email) {
            names.extend(email_addresses(rdns));
        }
        names.extend(subject);
        names
    }

    /// Returns whether its key may sign certificates.
    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.allows(KeyUsage::key_cert_sign)
    }

    /// Returns whether the key of the certificate may sign CRLs.
    pub(crate) fn may_sign_crls(&self) -> bool {
        self.allows(KeyUsage::crl_sign)
    }

    fn allows(&self, includes: fn(&KeyUsage) -> bool) -> bool {
        self.extensions.key_usage.as_ref().is_none_or(includes)
    }

    /// Returns the subjectAltNames that are identities of IKE (RFC 4945 section 5.1.3.6).
    pub(crate) fn alternative_names(&self) -> impl Iterator<Item = Identification<'_>> {
        let identities = self.extensions.alternative_names.iter().filter_map(GeneralName::identity);
        identities.map(|(kind, data)| identification(kind, data))
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
    fn read(list: &ExtensionList) -> Result<Self, der::Error> {
        let mut found = Self::default();
        check_unique(list)?;
        for Extension { extn_id, critical, extn_value } in list {
            let value = extn_value.as_bytes();
            match *extn_id {
                BasicConstraints::OID => {
                    let constraints = BasicConstraints::from_der(value)?;
                    (found.is_ca, found.path_length) = (constraints.ca, constraints.path_len_constraint);
                }
                KeyUsage::OID => found.key_usage = Some(KeyUsage::from_der(value)?),
                SubjectAltName::OID => {
                    let names = SubjectAltName::from_der(value)?.0;
                    found.alternative_names = names.iter().map(GeneralName::from).collect();
                }
                ExtendedKeyUsage::OID => {
                    let purposes = ExtendedKeyUsage::from_der(value)?.0;
                    found.is_for_ike = Some(purposes.iter().any(|purpose| IKE_PURPOSES.contains(purpose)));
                }
                NAME_CONSTRAINTS => match NameConstraints::new(&Constraints::from_der(value)?) {
                    Some(constraints) => found.name_constraints = Some(constraints),
                    None => found.refuse(*extn_id),
                },
                // Its effect would be lost if it were ignored, also where a CA has not marked it as critical (RFC 4945
                // section 5.1.3).
                ID_CE_INHIBIT_ANY_POLICY => found.refuse(*extn_id),
                _ if *critical => found.refuse(*extn_id),
                _ => {}
            }
        }
        Ok(found)
    }

    fn refuse(&mut self, oid: ObjectIdentifier) {
        self.not_supported.get_or_insert(oid);
    }
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
    /// Reads a CRL in DER, without octets after it.
    pub(crate) fn read(octets: &[u8]) -> Result<Self, CrlError> {
        let mut not_supported = None;
        let crl = Self::fields(octets, &mut not_supported).map_err(|_| CrlError::Malformed)?;
        not_supported.map_or(Ok(crl), |oid| Err(CrlError::NotSupported(oid)))
    }

    fn fields(octets: &[u8], not_supported: &mut Option<ObjectIdentifier>) -> Result<Self, der::Error> {
        let envelope = Envelope::read(octets)?;
        let contents = AnyRef::from_der(envelope.contents)?;
        let mut fields = elements(contents.value())?.into_iter();
        let issuer = fields.find(|field| field.starts_with(&[0x30])).and_then(|_| fields.next()).unwrap_or_default();
        let contents = read_list(contents)?;
        // A list without nextUpdate could be used for ever (RFC 5280 section 5.1.2.5 requires it).
        let next_update = contents.next_update.ok_or(ErrorKind::Failed.to_error())?;
        if contents.version != Version::V2 || contents.signature != envelope.algorithm {
            return Err(ErrorKind::Failed.to_error());
        }
        let revoked = contents.revoked_certificates.unwrap_or_default();
        let of_entries = revoked.iter().filter_map(|entry| entry.crl_entry_extensions.as_ref());
        for list in of_entries.chain(&contents.crl_extensions) {
            check_unique(list)?;
            if let Some(extension) = list.iter().find(|extension| extension.critical) {
                not_supported.get_or_insert(extension.extn_id);
            }
        }
        let mut revoked: Vec<_> = revoked.iter().map(|entry| entry.serial_number.as_bytes().to_vec()).collect();
        revoked.sort_unstable();
        Ok(Self {
            issuer: issuer.to_vec(),
            this_update: contents.this_update.to_unix_duration().as_secs(),
            next_update: next_update.to_unix_duration().as_secs(),
            revoked,
            signed: envelope.signed(),
        })
    }

    pub(crate) fn has_revoked(&self, serial: &[u8]) -> bool {
        self.revoked.binary_search_by(|revoked| revoked.as_slice().cmp(serial)).is_ok()
    }
}

/// Reads the contents of a CRL. One of version 1 has no version, which x509-cert requires: it gets that of version 2.
fn read_list(contents: AnyRef<'_>) -> Result<TbsCertList<Raw>, der::Error> {
    if contents.value().starts_with(&[0x02]) {
        return contents.decode_as();
    }
    let with_version = [b"\x02\x01\x01", contents.value()].concat();
    AnyRef::new(contents.header().tag(), &with_version)?.decode_as()
}

/// Encoded certificate or CRL. Its contents are kept as they were signed: x509-cert would encode some of them in
/// another way.
struct Envelope<'a> {
    /// Octets that were signed.
    contents: &'a [u8],
    algorithm: AlgorithmIdentifierOwned,
    signature: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(octets: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = SliceReader::new(octets)?;
        let envelope = reader.sequence(|parts| {
            let (contents, algorithm) = (parts.tlv_bytes()?, AlgorithmIdentifierOwned::decode(parts)?);
            let signature = BitStringRef::decode(parts)?.as_bytes().ok_or(ErrorKind::Failed.to_error())?;
            Ok::<_, der::Error>(Self { contents, algorithm, signature })
        })?;
        reader.finish()?;
        Ok(envelope)
    }

    fn signed(&self) -> Signed {
        Signed::new(self.contents, &self.algorithm, self.signature)
    }
}

/// Checks that no extension is a duplicate (RFC 5280 section 4.2).
fn check_unique(list: &ExtensionList) -> Result<(), der::Error> {
    let mut seen: Vec<_> = list.iter().map(|extension| extension.extn_id).collect();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() == list.len() { Ok(()) } else { Err(ErrorKind::Failed.to_error()) }
}

/// Returns whether a distinguished name has no attribute.
fn is_empty(name: &[u8]) -> bool {
    name == [0x30, 0]
}
