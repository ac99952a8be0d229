//! Path from the certificate of a peer to a trusted CA (RFC 5280 section 6).

use crate::name_constraints::{MAX_COMPARISONS, Violation, is_same_name};
use crate::name_text::name_text;
use crate::refusal::CertificateRefusal;
use crate::trust::RevocationCheck;
use crate::x509::{Certificate, Crl, NAME_CONSTRAINTS};

/// Largest number of certificates in a path, with that of the peer and that of the trusted CA.
pub(crate) const MAX_PATH: usize = 5;
/// Largest number of signatures of certificates that are verified in the search for a path.
const MAX_SIGNATURES: u32 = 24;

/// Search for a path in one message of a peer.
///
/// The search is bounded: a path has at most [`MAX_PATH`] certificates, and at most [`MAX_SIGNATURES`] signatures of
/// certificates are verified, however many paths certificates with equal names allow.
pub(crate) struct PathSearch<'a> {
    pub(crate) now: u64,
    pub(crate) trusted: &'a [Certificate],
    pub(crate) received: &'a [Certificate],
    pub(crate) configured_crls: &'a [Crl],
    pub(crate) received_crls: &'a [Crl],
    pub(crate) revocation: RevocationCheck,
    signatures: u32,
    /// Number of comparisons with name constraints that may still be made.
    comparisons: u32,
}

impl<'a> PathSearch<'a> {
    pub(crate) const fn new(
        now: u64,
        [trusted, received]: [&'a [Certificate]; 2],
        [configured_crls, received_crls]: [&'a [Crl]; 2],
        revocation: RevocationCheck,
    ) -> Self {
        Self {
            now,
            trusted,
            received,
            configured_crls,
            received_crls,
            revocation,
            signatures: 0,
            comparisons: MAX_COMPARISONS,
        }
    }

    /// Returns the last second in which all certificates of the first valid path are valid.
    pub(crate) fn validate(&mut self, end_entity: &'a Certificate) -> Result<u64, CertificateRefusal> {
        let mut path = vec![end_entity];
        self.complete(&mut path)?;
        Ok(path.iter().map(|certificate| certificate.not_after).min().unwrap_or(0))
    }

    /// Appends issuers to a path whose last certificate has not been checked, up to one that is trusted.
    fn complete(&mut self, path: &mut Vec<&'a Certificate>) -> Result<(), CertificateRefusal> {
        let Some(&subject) = path.last() else { return Err(CertificateRefusal::NoCertificate) };
        check_contents(subject, self.now)?;
        if self.is_trusted(subject) {
            return Ok(());
        }
        let (trusted, received) = (self.trusted, self.received);
        let mut refusal = None;
        for issuer in trusted.iter().chain(received) {
            if issuer.subject != subject.issuer || path.iter().any(|other| other.octets == issuer.octets) {
                continue;
            }
            let length = path.len();
            match self.continue_with(issuer, path) {
                Ok(()) => return Ok(()),
                Err(
                    limit @ (CertificateRefusal::PathSearchLimit | CertificateRefusal::NameConstraintsLimit { .. }),
                ) => {
                    return Err(limit);
                }
                // A certificate with the name of the issuer and another key says less than one with its key.
                Err(CertificateRefusal::CertificateSignature { .. }) if refusal.is_some() => {}
                Err(other) => refusal = Some(other),
            }
            path.truncate(length);
        }
        Err(refusal.unwrap_or_else(|| CertificateRefusal::UnknownIssuer {
            subject: subject.subject_text(),
            issuer: name_text(&subject.issuer),
        }))
    }

    fn is_trusted(&self, certificate: &Certificate) -> bool {
        self.trusted.iter().any(|trusted| trusted.octets == certificate.octets)
    }

    /// Appends an issuer of the last certificate, and its own issuers.
    fn continue_with(
        &mut self,
        issuer: &'a Certificate,
        path: &mut Vec<&'a Certificate>,
    ) -> Result<(), CertificateRefusal> {
        let Some(&subject) = path.last() else { return Err(CertificateRefusal::NoCertificate) };
        self.signatures = self.signatures.saturating_add(1);
        if self.signatures > MAX_SIGNATURES {
            return Err(CertificateRefusal::PathSearchLimit);
        }
        check_signature(subject, issuer)?;
        // Whether one that is trusted is that of a CA was checked when it was loaded.
        if !issuer.is_ca() && !self.is_trusted(issuer) {
            return Err(CertificateRefusal::NotCa { subject: issuer.subject_text() });
        }
        if !issuer.is_for_ike() && !self.is_trusted(issuer) {
            return Err(CertificateRefusal::ExtendedKeyUsage { subject: issuer.subject_text() });
        }
        check_issuer(issuer, path)?;
        if path.len() >= MAX_PATH {
            return Err(CertificateRefusal::PathTooLong { limit: u32::try_from(MAX_PATH).unwrap_or(u32::MAX) });
        }
        path.push(issuer);
        let below = path.len().saturating_sub(1);
        self.complete(path)?;
        self.check_names(issuer, path.get(..below).unwrap_or_default())?;
        self.check_revocation(subject, issuer)
    }

    /// Checks that the names of the certificates below a CA satisfy its constraints. Those of self-issued CAs are free
    /// (RFC 5280 section 6.1.3).
    fn check_names(&mut self, issuer: &Certificate, below: &[&Certificate]) -> Result<(), CertificateRefusal> {
        let Some(constraints) = &issuer.extensions.name_constraints else { return Ok(()) };
        for (position, certificate) in below.iter().enumerate() {
            if position > 0 && certificate.is_self_issued() {
                continue;
            }
            for name in certificate.constrained_names() {
                let (subject, issuer) = (|| certificate.subject_text(), || issuer.subject_text());
                constraints.check(&name, &mut self.comparisons).map_err(|violation| match violation {
                    Violation::NotPermitted => {
                        CertificateRefusal::NameNotPermitted { subject: subject(), issuer: issuer() }
                    }
                    Violation::Excluded => CertificateRefusal::NameExcluded { subject: subject(), issuer: issuer() },
                    Violation::NotSupported => {
                        CertificateRefusal::CriticalExtension { subject: issuer(), oid: NAME_CONSTRAINTS }
                    }
                    Violation::TooManyComparisons => {
                        CertificateRefusal::NameConstraintsLimit { limit: MAX_COMPARISONS }
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Verifies that no CRL of the issuer lists a certificate (RFC 5280 section 6.3, RFC 4945 section 5.2).
    ///
    /// A certificate in any CRL with a valid signature is revoked, even if the CRL is not current (RFC 4945 section
    /// 5.2.1), so that an old CRL that a peer sends cannot conceal what a configured one lists.
    fn check_revocation(&self, subject: &Certificate, issuer: &Certificate) -> Result<(), CertificateRefusal> {
        let by_name = |crl: &&Crl| is_same_name(&crl.issuer, &subject.issuer);
        let key = issuer.key.as_ref().ok().filter(|_| issuer.may_sign_crls());
        let is_signed = |crl: &Crl| key.is_some_and(|key| crl.signed.is_by(key).unwrap_or(false));
        let mut configured: Vec<&Crl> = self.configured_crls.iter().filter(by_name).collect();
        let is_configured = !configured.is_empty();
        configured.retain(|crl| is_signed(crl));
        let name = || name_text(&subject.issuer);
        if is_configured && configured.is_empty() {
            return Err(CertificateRefusal::CrlSignature { issuer: name() });
        }
        let received = self.received_crls.iter().filter(by_name).filter(|crl| is_signed(crl));
        let crls: Vec<&Crl> = configured.into_iter().chain(received).collect();
        if crls.iter().any(|crl| crl.has_revoked(&subject.serial)) {
            return Err(CertificateRefusal::Revoked { subject: subject.subject_text() });
        }
        match crls.iter().map(|crl| crl.next_update).max() {
            None if self.revocation == RevocationCheck::Required => Err(CertificateRefusal::NoCrl { issuer: name() }),
            None => Ok(()),
            Some(_) if crls.iter().any(|crl| (crl.this_update..=crl.next_update).contains(&self.now)) => Ok(()),
            Some(next_update) => Err(CertificateRefusal::CrlExpired { issuer: name(), next_update }),
        }
    }
}

/// Checks validity and critical extensions of a certificate.
pub(crate) fn check_contents(certificate: &Certificate, now: u64) -> Result<(), CertificateRefusal> {
    let subject = || certificate.subject_text();
    if let Some(oid) = certificate.extensions.not_supported {
        return Err(CertificateRefusal::CriticalExtension { subject: subject(), oid });
    }
    if now < certificate.not_before {
        return Err(CertificateRefusal::NotYetValid { subject: subject(), not_before: certificate.not_before });
    }
    if now > certificate.not_after {
        return Err(CertificateRefusal::Expired { subject: subject(), not_after: certificate.not_after });
    }
    Ok(())
}

fn check_signature(subject: &Certificate, issuer: &Certificate) -> Result<(), CertificateRefusal> {
    let key = issuer
        .key
        .as_ref()
        .map_err(|reason| CertificateRefusal::Key { subject: issuer.subject_text(), reason: *reason })?;
    match subject.signed.is_by(key) {
        Ok(true) => Ok(()),
        Ok(false) => Err(CertificateRefusal::CertificateSignature { subject: subject.subject_text() }),
        Err(oid) => Err(CertificateRefusal::Algorithm { subject: subject.subject_text(), oid }),
    }
}

/// Checks that a CA may be the issuer of the last certificate of a path (RFC 5280 section 6.1.4).
fn check_issuer(issuer: &Certificate, path: &[&Certificate]) -> Result<(), CertificateRefusal> {
    if !issuer.may_sign_certificates() {
        return Err(CertificateRefusal::IssuerKeyUsage { subject: issuer.subject_text() });
    }
    // Those between the issuer and the end entity, except for self-issued ones.
    let between = path.iter().skip(1).filter(|certificate| !certificate.is_self_issued()).count();
    match issuer.extensions.path_length {
        Some(limit) if between > usize::from(limit) => Err(CertificateRefusal::PathTooLong { limit: limit.into() }),
        _ => Ok(()),
    }
}
