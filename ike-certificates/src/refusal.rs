//! Reasons for which the signature of a peer is refused, and their texts.

use core::fmt;
use core::time::Duration;

use der::DateTime;
use der::asn1::ObjectIdentifier;
use ike_codec::IdKind;

use crate::public_key::{KeyError, SignatureError, named};

/// Reason why certificate and signature of a peer are refused.
///
/// Names in it are texts of distinguished names; times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateRefusal {
    /// The peer sent no certificate, and none is pinned.
    NoCertificate,
    /// The peer sent more certificates, or more CRLs, than are processed.
    TooMany {
        /// Largest number that is processed.
        limit: usize,
    },
    /// The certificate payloads together are longer than is processed.
    TooLarge {
        /// Largest length in octets.
        limit: usize,
    },
    /// The peer sent certificates, but none that can be decoded.
    Malformed {
        /// Number of the first payload that cannot be decoded, from 1.
        payload: usize,
    },
    /// The key of a certificate is refused.
    Key {
        /// Subject of the certificate.
        subject: String,
        /// Reason of the refusal.
        reason: KeyError,
    },
    /// The length of the signature is not that of the modulus.
    SignatureLength {
        /// Length received, in octets.
        received: usize,
        /// Length of the modulus in octets.
        expected: usize,
    },
    /// The signature over the hash does not verify with the key of the certificate.
    SignatureWrong,
    /// The signature contains the hash within a DigestInfo, which IKEv1 forbids (RFC 2409 section 5.1).
    SignatureHasDigestInfo,
    /// The length of the hash is not valid for HASH_I and HASH_R, which is an error of the caller.
    HashLength {
        /// Length of the hash in octets.
        octets: usize,
    },
    /// A certificate has expired.
    Expired {
        /// Subject of the certificate.
        subject: String,
        /// Last second of its validity.
        not_after: u64,
    },
    /// A certificate is not valid yet.
    NotYetValid {
        /// Subject of the certificate.
        subject: String,
        /// First second of its validity.
        not_before: u64,
    },
    /// No certificate of the issuer is trusted, and the peer sent none.
    UnknownIssuer {
        /// Subject of the certificate.
        subject: String,
        /// Name of its issuer.
        issuer: String,
    },
    /// The signature of a certificate does not verify with the key of its issuer.
    CertificateSignature {
        /// Subject of the certificate.
        subject: String,
    },
    /// A certificate is signed with an algorithm that is refused or not supported.
    Algorithm {
        /// Subject of the certificate.
        subject: String,
        /// Algorithm of its signature.
        oid: ObjectIdentifier,
    },
    /// The key usage extension of the end entity allows neither digitalSignature nor nonRepudiation (RFC 4945 section
    /// 5.1.3.2).
    KeyUsage {
        /// Subject of the certificate.
        subject: String,
    },
    /// The extended key usage extension of the end entity, or of a CA that is not trusted itself, names no purpose that
    /// includes IKE (RFC 4945 section 5.1.3.12).
    ExtendedKeyUsage {
        /// Subject of the certificate.
        subject: String,
    },
    /// A name of a certificate is none that a CA of its path permits (RFC 5280 section 4.2.1.10).
    NameNotPermitted {
        /// Subject of the certificate.
        subject: String,
        /// Subject of the CA.
        issuer: String,
    },
    /// A CA of the path excludes a name of a certificate (RFC 5280 section 4.2.1.10).
    NameExcluded {
        /// Subject of the certificate.
        subject: String,
        /// Subject of the CA.
        issuer: String,
    },
    /// The certificates have more names and name constraints than are compared.
    NameConstraintsLimit {
        /// Largest number of comparisons.
        limit: u32,
    },
    /// The key usage extension of an issuer does not allow keyCertSign (RFC 5280 section 4.2.1.3).
    IssuerKeyUsage {
        /// Subject of the certificate of the issuer.
        subject: String,
    },
    /// The certificate of an issuer is not a CA certificate (RFC 5280 section 4.2.1.9).
    NotCa {
        /// Subject of the certificate.
        subject: String,
    },
    /// The path from the end entity to a trusted CA is longer than is processed, or than a CA allows.
    PathTooLong {
        /// Largest number of certificates in a path, or the path length constraint of the CA.
        limit: u32,
    },
    /// The certificates allow so many paths that the search for a valid one was ended.
    PathSearchLimit,
    /// A certificate has a critical extension that is not supported.
    CriticalExtension {
        /// Subject of the certificate.
        subject: String,
        /// OID of the extension.
        oid: ObjectIdentifier,
    },
    /// A certificate has been revoked by its issuer.
    Revoked {
        /// Subject of the certificate.
        subject: String,
    },
    /// The configuration requires a CRL of every issuer, and there is none of this one.
    NoCrl {
        /// Name of the issuer.
        issuer: String,
    },
    /// All CRLs of an issuer have expired.
    CrlExpired {
        /// Name of the issuer.
        issuer: String,
        /// Time at which the next update of the newest CRL was due.
        next_update: u64,
    },
    /// The signature of a configured CRL does not verify with the key of its issuer, or the issuer may not sign CRLs.
    CrlSignature {
        /// Name of the issuer.
        issuer: String,
    },
    /// The identity of the peer is not in the subjectAltNames of its certificate (RFC 4945 section 3.1).
    NotInSubjectAltName {
        /// Type of the identity.
        kind: IdKind,
        /// Subject of the certificate.
        subject: String,
    },
    /// The distinguished name that the peer claims is not the subject of its certificate (RFC 4945 section 3.1.5).
    SubjectMismatch {
        /// Name that the peer claims.
        claimed: String,
        /// Subject of the certificate.
        subject: String,
    },
    /// The peer identifies itself with a type that certificates do not contain (RFC 4945 section 3.1.4).
    IdentityKind(IdKind),
    /// The peer identifies itself with a key ID that is not pinned to its certificate.
    KeyIdNotPinned,
}

impl CertificateRefusal {
    /// Returns the name of the reason, for counters and for logs that programs read.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::TooMany { .. } => "too-many-certificates",
            Self::TooLarge { .. } => "certificates-too-large",
            Self::Malformed { .. } => "malformed-certificate",
            Self::Key { .. } => "key",
            Self::SignatureLength { .. } => "signature-length",
            Self::SignatureWrong => "signature-wrong",
            Self::SignatureHasDigestInfo => "signature-digest-info",
            Self::HashLength { .. } => "hash-length",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::UnknownIssuer { .. } => "unknown-issuer",
            Self::CertificateSignature { .. } => "certificate-signature",
            Self::Algorithm { .. } => "algorithm",
            Self::KeyUsage { .. } => "key-usage",
            Self::ExtendedKeyUsage { .. } => "extended-key-usage",
            Self::NameNotPermitted { .. } => "name-not-permitted",
            Self::NameExcluded { .. } => "name-excluded",
            Self::NameConstraintsLimit { .. } => "name-constraints-limit",
            Self::IssuerKeyUsage { .. } => "issuer-key-usage",
            Self::NotCa { .. } => "not-a-ca",
            Self::PathTooLong { .. } => "path-too-long",
            Self::PathSearchLimit => "path-search-limit",
            Self::CriticalExtension { .. } => "critical-extension",
            Self::Revoked { .. } => "revoked",
            Self::NoCrl { .. } => "no-crl",
            Self::CrlExpired { .. } => "crl-expired",
            Self::CrlSignature { .. } => "crl-signature",
            Self::NotInSubjectAltName { .. } => "not-in-subject-alt-name",
            Self::SubjectMismatch { .. } => "subject-mismatch",
            Self::IdentityKind(_) => "identity-kind",
            Self::KeyIdNotPinned => "key-id-not-pinned",
        }
    }
}

impl From<SignatureError> for CertificateRefusal {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::Length { received, expected } => Self::SignatureLength { received, expected },
            SignatureError::DigestInfo => Self::SignatureHasDigestInfo,
            SignatureError::Wrong => Self::SignatureWrong,
        }
    }
}

impl fmt::Display for CertificateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("no certificate received from the peer, and none is configured for it"),
            Self::TooMany { limit } => write!(f, "more than {limit} certificates or CRLs received"),
            Self::TooLarge { limit } => write!(f, "certificate payloads together are longer than {limit} octets"),
            Self::Malformed { payload } => write!(f, "malformed certificate in certificate payload {payload}"),
            Self::Key { subject, reason } => write!(f, "key of the certificate of {subject}: {reason}"),
            Self::SignatureLength { received, expected } => {
                write!(f, "signature length mismatch: got {received} octets, expected {expected}")
            }
            Self::SignatureWrong => f.write_str("signature verification failed with the key of the certificate"),
            Self::SignatureHasDigestInfo => {
                f.write_str("signature contains a DigestInfo, expected the hash alone (RFC 2409 section 5.1)")
            }
            Self::HashLength { octets } => {
                write!(f, "hash length out of range: got {octets} octets, expected 16 to 64")
            }
            Self::Expired { subject, not_after } => {
                write!(f, "certificate of {subject} has expired: it was valid until {}", time(*not_after))
            }
            Self::NotYetValid { subject, not_before } => {
                write!(f, "certificate of {subject} is not valid yet: it is valid from {}", time(*not_before))
            }
            Self::UnknownIssuer { subject, issuer } => {
                write!(f, "certificate of {subject}: no trusted certificate of its issuer {issuer}")
            }
            Self::CertificateSignature { subject } => {
                write!(f, "certificate of {subject}: signature verification with the key of the issuer failed")
            }
            Self::Algorithm { subject, oid } => {
                write!(f, "certificate of {subject}: signature algorithm is not supported: {}", named(*oid))
            }
            Self::KeyUsage { subject } => {
                write!(f, "certificate of {subject}: key usage allows neither digitalSignature nor nonRepudiation")
            }
            Self::ExtendedKeyUsage { subject } => {
                write!(f, "certificate of {subject}: extended key usage names no purpose that includes IKE")
            }
            Self::NameNotPermitted { subject, issuer } => {
                write!(
                    f,
                    "certificate of {subject} has a name that is not permitted by the name constraints of {issuer}"
                )
            }
            Self::NameExcluded { subject, issuer } => {
                write!(f, "certificate of {subject} has a name that is excluded by the name constraints of {issuer}")
            }
            Self::NameConstraintsLimit { limit } => {
                write!(f, "more than {limit} comparisons of names with name constraints")
            }
            Self::IssuerKeyUsage { subject } => {
                write!(f, "certificate of the issuer {subject}: key usage does not allow keyCertSign")
            }
            Self::NotCa { subject } => write!(f, "certificate of the issuer {subject} is not a CA certificate"),
            Self::PathTooLong { limit } => write!(f, "certification path is too long: the limit is {limit}"),
            Self::PathSearchLimit => f.write_str("too many certification paths to search"),
            Self::CriticalExtension { subject, oid } => {
                write!(f, "certificate of {subject}: critical extension {oid} is not supported")
            }
            Self::Revoked { subject } => write!(f, "certificate of {subject} has been revoked by its issuer"),
            Self::NoCrl { issuer } => write!(f, "no CRL of the issuer {issuer}, which the configuration requires"),
            Self::CrlExpired { issuer, next_update } => {
                write!(f, "CRL of {issuer} has expired: its next update was due at {}", time(*next_update))
            }
            Self::CrlSignature { issuer } => {
                write!(f, "CRL of {issuer} is not signed with a key of this issuer that may sign CRLs")
            }
            Self::NotInSubjectAltName { kind, subject } => {
                write!(f, "identity of type {kind} is not in the subjectAltName of the certificate of {subject}")
            }
            Self::SubjectMismatch { claimed, subject } => {
                write!(f, "identity mismatch: got {claimed}, the certificate is issued to {subject}")
            }
            Self::IdentityKind(kind) => write!(f, "identity of type {kind} cannot be verified with a certificate"),
            Self::KeyIdNotPinned => f.write_str("key ID of the peer is not configured for its certificate"),
        }
    }
}

impl core::error::Error for CertificateRefusal {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Key { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

/// Returns seconds since 1970 as a date, such as `2026-11-29T13:06:57Z`.
fn time(seconds: u64) -> String {
    DateTime::from_unix_duration(Duration::from_secs(seconds))
        .map_or_else(|_| format!("{seconds} seconds after 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_displayed_as_dates() {
        assert_eq!(time(1_800_000_000), "2027-01-15T08:00:00Z");
        assert_eq!(time(u64::MAX), format!("{} seconds after 1970", u64::MAX));
    }
}
