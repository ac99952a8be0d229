//! Certificates that are trusted, and the verification of the signature of a peer.

use ike_codec::{CertificateEncoding, IdKind, Identification};

use crate::credential::HASH_LENGTHS;
use crate::encoding::{Bag, LoadError, certificates, crls};
use crate::name_text::name_text;
use crate::path::{PathSearch, check_contents};
use crate::public_key::RsaKey;
use crate::raw_key::public_keys;
use crate::refusal::CertificateRefusal;
use crate::x509::{Certificate, Crl};

/// Largest number of certificates of a peer that are processed; repeated ones count once.
const MAX_CERTIFICATES: usize = 8;
/// Largest number of CRLs of a peer that are processed.
const MAX_CRLS: usize = 4;
/// Largest length of all certificate payloads of a peer, in octets.
const MAX_LENGTH: usize = 65_535;
/// Largest number of public keys that are for any identity: all of them may be tried for one signature.
const MAX_PUBLIC_KEYS: usize = 16;
/// Largest number of certificate requests (RFC 4945 section 3.2.7.1).
const MAX_REQUESTS: usize = 4;

/// Comparison of the identity of a peer with its certificate (RFC 4945 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityCheck {
    /// The identity must be in the certificate: an address, FQDN or user FQDN in a subjectAltName, a distinguished name
    /// as the subject.
    #[default]
    Certificate,
    /// The identity is not compared: every peer with a certificate of a trusted CA may claim every identity, except for
    /// a key ID.
    Unchecked,
}

/// Requirement of certificate revocation lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationCheck {
    /// Certificates are compared with the CRLs of their issuers. An issuer needs none, but one that exists must be
    /// current.
    #[default]
    WhenAvailable,
    /// Every issuer in a path needs a current CRL.
    Required,
}

/// Certificates of CAs and of peers that are trusted, and the CRLs of the CAs.
///
/// ```
/// use ike_certificates::{CertificateRefusal, Trust};
/// use ike_codec::{IdKind, Identification};
///
/// let trust = Trust::default(); // without a CA, no certificate is accepted
/// let identity = Identification { kind: IdKind::FQDN, protocol: 0, port: 0, data: b"gw.example.org" };
/// let refused = trust.verify(1_800_000_000, &identity, [], &[7; 20], &[0; 256]);
/// assert_eq!(refused, Err(CertificateRefusal::NoCertificate));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trust {
    identity_check: IdentityCheck,
    revocation: RevocationCheck,
    authorities: Vec<Certificate>,
    crls: Vec<Crl>,
    pinned: Vec<Pinned>,
    public_keys: Vec<RawKey>,
}

/// Certificate of one peer that is trusted without a CA.
#[derive(Clone, Debug)]
struct Pinned {
    certificate: Certificate,
    /// Identity that is accepted with it besides those that it contains.
    identity: Option<(IdKind, Vec<u8>)>,
}

/// Public key of a peer that is trusted without a certificate.
#[derive(Clone, Debug)]
struct RawKey {
    key: RsaKey,
    /// The only identity that is accepted with it; any if `None`.
    identity: Option<(IdKind, Vec<u8>)>,
}

/// Result of the verification of the signature of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Subject of the certificate as text, for messages; empty for a public key without a certificate.
    pub subject: String,
    /// Certificate of the peer in DER; empty for a public key without one.
    pub certificate: Vec<u8>,
    /// Last second in which all certificates of the path are valid, in seconds since 1970; the greatest number for a
    /// public key.
    pub not_after: u64,
    /// Certificate or public key are pinned, and no path to a CA was verified.
    pub is_pinned: bool,
}

/// Certificates and CRLs that a peer has sent.
#[derive(Default)]
struct Received {
    certificates: Vec<Certificate>,
    crls: Vec<Crl>,
    /// Number of certificates that could not be decoded.
    undecoded: usize,
    /// Number of the first payload that could not be decoded, from 1.
    malformed: Option<usize>,
}

impl Trust {
    /// Creates an empty set of trusted certificates.
    pub fn new(identity_check: IdentityCheck, revocation: RevocationCheck) -> Self {
        Self { identity_check, revocation, ..Self::default() }
    }

    /// Adds the certificates of CAs in a file in PEM, which may contain several, or DER. Returns their number.
    ///
    /// # Errors
    /// [`LoadError`]; then no certificate is added. One that is not of a CA or must not sign certificates is
    /// [`LoadError::NotCa`] (RFC 5280 section 4.2.1.9); one of version 1 is accepted if it is self-signed (RFC 4945
    /// section 5.1.1).
    pub fn add_authorities(&mut self, file: &[u8]) -> Result<usize, LoadError> {
        let authorities = certificates(file)?;
        for (authority, number) in authorities.iter().zip(1..) {
            if !authority.is_trust_anchor() || !authority.may_sign_certificates() {
                return Err(LoadError::NotCa { number });
            }
            if let Err(reason) = authority.key {
                return Err(LoadError::Key(reason));
            }
            if let Some(oid) = authority.extensions.not_supported {
                return Err(LoadError::CriticalExtension(oid));
            }
        }
        let count = authorities.len();
        self.authorities.extend(authorities);
        Ok(count)
    }

    /// Adds the CRLs in a file in PEM, which may contain several, or DER. Returns their number. Their signatures are
    /// verified when they are used.
    ///
    /// # Errors
    /// [`LoadError`]; then no CRL is added. Delta CRLs, indirect CRLs and CRLs for a part of the certificates have a
    /// critical extension and are refused (RFC 4945 section 5.2.2.4.1).
    pub fn add_crls(&mut self, file: &[u8]) -> Result<usize, LoadError> {
        let crls = crls(file)?;
        let count = crls.len();
        self.crls.extend(crls);
        Ok(count)
    }

    /// Trusts the first certificate in a file in PEM or DER as that of a peer, without a CA and without CRLs.
    ///
    /// The peer may send the certificate or not. It may claim the identities in the certificate, and `identity`, which
    /// may be of any type; a key ID is accepted in this way only.
    ///
    /// # Errors
    /// [`LoadError`]: also if the key is not an RSA key.
    pub fn pin(&mut self, file: &[u8], identity: Option<&Identification<'_>>) -> Result<(), LoadError> {
        let certificate = certificates(file)?.into_iter().next().ok_or(LoadError::NoCertificate)?;
        certificate.key.as_ref().map_err(|e| *e).and_then(|key| key.rsa()).map_err(LoadError::Key)?;
        let identity = identity.map(|identity| (identity.kind, identity.data.to_vec()));
        self.pinned.push(Pinned { certificate, identity });
        Ok(())
    }

    /// Trusts the public keys in a file, without a certificate. Returns their number.
    ///
    /// The file is in PEM (`PUBLIC KEY`, `RSA PUBLIC KEY`), in DER, or in the text of racoon(8), `: PUB 0s..`. With
    /// `identity`, a peer that signs with a key must have that identity; without, any identity is accepted, as with a
    /// pre-shared key.
    ///
    /// # Errors
    /// [`LoadError`]; then no key is added. At most 16 keys may be without an identity.
    pub fn add_public_keys(&mut self, file: &[u8], identity: Option<&Identification<'_>>) -> Result<usize, LoadError> {
        let keys = public_keys(file)?;
        let of_any = self.public_keys.iter().filter(|own| own.identity.is_none()).count();
        if identity.is_none() && keys.len().saturating_add(of_any) > MAX_PUBLIC_KEYS {
            return Err(LoadError::TooManyKeys { limit: MAX_PUBLIC_KEYS });
        }
        let (count, identity) = (keys.len(), identity.map(|identity| (identity.kind, identity.data.to_vec())));
        self.public_keys.extend(keys.into_iter().map(|key| RawKey { key, identity: identity.clone() }));
        Ok(count)
    }

    /// Returns the names of at most four CAs in DER, for certificate requests (RFC 2408 section 3.10).
    pub fn requests(&self) -> impl Iterator<Item = &[u8]> {
        let mut names: Vec<&[u8]> = Vec::new();
        for authority in &self.authorities {
            if names.len() < MAX_REQUESTS && !names.contains(&authority.subject.as_slice()) {
                names.push(&authority.subject);
            }
        }
        names.into_iter()
    }

    /// Verifies the signature of a peer over HASH_I or HASH_R (RFC 2409 section 5.1), its certificate and its identity.
    ///
    /// `now` is the time in seconds since 1970. `payloads` are encoding and data of the certificate payloads in order
    /// of receipt: of encoding 4 certificates, of encoding 1 PKCS#7 with certificates, of encoding 7 CRLs; others are
    /// ignored. Their order does not matter (RFC 4945 section 3.3.10.3): the certificate of the peer is the one
    /// whose key has made the signature. Without a certificate of the peer, pinned ones are used. Public keys of
    /// [`add_public_keys`](Self::add_public_keys) for the identity are tried first.
    ///
    /// # Errors
    /// [`CertificateRefusal`]. If the signature is of no key, the reason is that of the first certificate that is not
    /// of a CA.
    pub fn verify<'a>(
        &self,
        now: u64,
        identity: &Identification<'_>,
        payloads: impl IntoIterator<Item = (CertificateEncoding, &'a [u8])>,
        hash: &[u8],
        signature: &[u8],
    ) -> Result<Verified, CertificateRefusal> {
        let with_key = self.verify_public_keys(identity, hash, signature);
        if let Some(Ok(verified)) = with_key {
            return Ok(verified);
        }
        let received = Received::read(payloads)?;
        let mut candidates: Vec<&Certificate> = received.certificates.iter().collect();
        if let (true, Some(payload)) = (candidates.is_empty(), received.malformed) {
            return Err(CertificateRefusal::Malformed { payload });
        }
        if candidates.is_empty() {
            candidates.extend(self.pinned.iter().map(|pinned| &pinned.certificate));
        }
        candidates.sort_by_key(|certificate| certificate.is_ca());
        // Several certificates with one key are possible: one that has expired and its successor.
        let (mut accepted, mut refused) = (Err(CertificateRefusal::NoCertificate), None);
        for certificate in candidates {
            match check_signature(certificate, hash, signature) {
                Ok(()) => {
                    let result = self.accept(now, identity, certificate, &received);
                    // Further certificates with the key would cost as much again.
                    if result.is_ok() || result == Err(CertificateRefusal::PathSearchLimit) {
                        return result;
                    }
                    if accepted == Err(CertificateRefusal::NoCertificate) {
                        accepted = result;
                    }
                }
                Err(reason) => drop(refused.get_or_insert(reason)),
            }
        }
        match (accepted, refused.or(with_key.and_then(Result::err))) {
            (Err(CertificateRefusal::NoCertificate), Some(reason)) => Err(reason),
            (accepted, _) => accepted,
        }
    }

    /// Verifies a signature with the public keys for an identity. Returns `None` if there are none, and the reason of
    /// the first one if the signature is of no key.
    fn verify_public_keys(
        &self,
        identity: &Identification<'_>,
        hash: &[u8],
        signature: &[u8],
    ) -> Option<Result<Verified, CertificateRefusal>> {
        let is_for = |own: &&RawKey| own.identity.as_ref().is_none_or(|(kind, data)| is_same(identity, *kind, data));
        let mut refused = None;
        for own in self.public_keys.iter().filter(is_for) {
            match check_hash(&own.key, hash, signature) {
                Ok(()) => {
                    let (subject, certificate) = (String::new(), Vec::new());
                    return Some(Ok(Verified { subject, certificate, not_after: u64::MAX, is_pinned: true }));
                }
                Err(reason) => drop(refused.get_or_insert(reason)),
            }
        }
        refused.map(Err)
    }

    /// Checks a certificate whose key has made the signature.
    fn accept(
        &self,
        now: u64,
        identity: &Identification<'_>,
        certificate: &Certificate,
        received: &Received,
    ) -> Result<Verified, CertificateRefusal> {
        check_contents(certificate, now)?;
        if !certificate.may_sign() {
            return Err(CertificateRefusal::KeyUsage { subject: certificate.subject_text() });
        }
        if !certificate.is_for_ike() {
            return Err(CertificateRefusal::ExtendedKeyUsage { subject: certificate.subject_text() });
        }
        let mut pinned = self.pinned.iter().filter(|pinned| pinned.certificate.octets == certificate.octets).peekable();
        let is_pinned = pinned.peek().is_some();
        let not_after = if is_pinned {
            certificate.not_after
        } else {
            let known = [self.authorities.as_slice(), &received.certificates];
            PathSearch::new(now, known, [&self.crls, &received.crls], self.revocation).validate(certificate)?
        };
        if !pinned.filter_map(|pinned| pinned.identity.as_ref()).any(|(kind, data)| is_same(identity, *kind, data)) {
            self.check_identity(identity, certificate)?;
        }
        Ok(Verified {
            subject: certificate.subject_text(),
            certificate: certificate.octets.clone(),
            not_after,
            is_pinned,
        })
    }

    /// Compares the identity of a peer with the names in its certificate (RFC 4945 section 3.1).
    fn check_identity(
        &self,
        identity: &Identification<'_>,
        certificate: &Certificate,
    ) -> Result<(), CertificateRefusal> {
        let kind = identity.kind;
        //= RFC 2407 4.6.2.1/1
        //# SHOULD: with certificates, identities that decide on policy are in the certificate
        match kind {
            IdKind::KEY_ID => Err(CertificateRefusal::KeyIdNotPinned),
            _ if self.identity_check == IdentityCheck::Unchecked => Ok(()),
            IdKind::IPV4 | IdKind::IPV6 | IdKind::FQDN | IdKind::USER_FQDN => certificate
                .alternative_names()
                .any(|name| is_same(identity, name.kind, name.data))
                .then_some(())
                .ok_or_else(|| CertificateRefusal::NotInSubjectAltName { kind, subject: certificate.subject_text() }),
            IdKind::DER_ASN1_DN => certificate
                .subject_identity()
                .is_some_and(|subject| subject.data == identity.data)
                .then_some(())
                .ok_or_else(|| CertificateRefusal::SubjectMismatch {
                    claimed: name_text(identity.data),
                    subject: certificate.subject_text(),
                }),
            _ => Err(CertificateRefusal::IdentityKind(kind)),
        }
    }
}

/// Returns whether an identity is of a type and has a value, which for names is compared without regard to the case of
/// ASCII letters (RFC 4945 sections 3.1.2 and 3.1.3).
fn is_same(identity: &Identification<'_>, kind: IdKind, data: &[u8]) -> bool {
    let is_name = matches!(kind, IdKind::FQDN | IdKind::USER_FQDN);
    identity.kind == kind
        && (identity.data == data || (is_name && identity.data.eq_ignore_ascii_case(data)))
        && !data.is_empty()
}

fn check_signature(certificate: &Certificate, hash: &[u8], signature: &[u8]) -> Result<(), CertificateRefusal> {
    let key = certificate.key.as_ref().map_err(|e| *e).and_then(|key| key.rsa());
    let key = key.map_err(|reason| CertificateRefusal::Key { subject: certificate.subject_text(), reason })?;
    check_hash(key, hash, signature)
}

fn check_hash(key: &RsaKey, hash: &[u8], signature: &[u8]) -> Result<(), CertificateRefusal> {
    if !HASH_LENGTHS.contains(&hash.len()) {
        return Err(CertificateRefusal::HashLength { octets: hash.len() });
    }
    //= RFC 2409 5.1/1
    //# MUST: rsa signatures are private key encryptions of pkcs #1, without an oid
    Ok(key.verify(&[], hash, signature)?)
}

impl Received {
    fn read<'a>(
        payloads: impl IntoIterator<Item = (CertificateEncoding, &'a [u8])>,
    ) -> Result<Self, CertificateRefusal> {
        let (mut received, mut length) = (Self::default(), 0_usize);
        for ((encoding, data), number) in payloads.into_iter().zip(1..) {
            length = length.saturating_add(data.len());
            if length > MAX_LENGTH {
                return Err(CertificateRefusal::TooLarge { limit: MAX_LENGTH });
            }
            let is_read = match encoding {
                CertificateEncoding::X509_SIGNATURE => received.add_certificate(data)?,
                CertificateEncoding::CRL => received.add_crl(data)?,
                CertificateEncoding::PKCS7 => received.add_bag(data)?,
                //= RFC 2408 5.9/3
                //# MUST: receiving: a certificate of an encoding that is not supported is discarded
                _ => true,
            };
            if !is_read {
                received.malformed.get_or_insert(number);
            }
        }
        Ok(received)
    }

    /// Adds a certificate unless there is an equal one. Returns whether it was decoded.
    fn add_certificate(&mut self, data: &[u8]) -> Result<bool, CertificateRefusal> {
        if self.certificates.iter().any(|certificate| certificate.octets == data) {
            return Ok(true);
        }
        // Those that cannot be decoded count, too: they take as much time.
        if self.certificates.len().saturating_add(self.undecoded) >= MAX_CERTIFICATES {
            return Err(CertificateRefusal::TooMany { limit: MAX_CERTIFICATES });
        }
        //= RFC 2408 5.9/4
        //# MUST: receiving: certificate data that is invalid is discarded
        let Ok(certificate) = Certificate::read(data) else {
            self.undecoded = self.undecoded.saturating_add(1);
            return Ok(false);
        };
        self.certificates.push(certificate);
        Ok(true)
    }

    /// Adds a CRL. One that cannot be decoded is ignored: CRLs of a peer are additions to those that are configured.
    fn add_crl(&mut self, data: &[u8]) -> Result<bool, CertificateRefusal> {
        let Ok(crl) = Crl::read(data) else { return Ok(true) };
        if self.crls.len() >= MAX_CRLS {
            return Err(CertificateRefusal::TooMany { limit: MAX_CRLS });
        }
        self.crls.push(crl);
        Ok(true)
    }

    fn add_bag(&mut self, data: &[u8]) -> Result<bool, CertificateRefusal> {
        let Ok(bag) = Bag::read(data) else { return Ok(false) };
        let mut is_read = true;
        for certificate in bag.certificates {
            is_read &= self.add_certificate(certificate)?;
        }
        for crl in bag.crls {
            is_read &= self.add_crl(crl)?;
        }
        Ok(is_read)
    }
}
