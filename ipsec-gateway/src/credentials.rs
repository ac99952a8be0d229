//! Certificates and private keys for RSA signatures in phase 1 (RFC 2409 section 5.1).

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ike_certificates::{CertificateRefusal as Reason, Credential, IdentityCheck, RevocationCheck, Trust};
use ike_codec::{Certificate, CertificateEncoding, Identification};
use ike_v1::{CertificateRefusal, SignedIdentity};
use zeroize::Zeroizing;

use crate::config::CertificateFiles;
use crate::{clock, log};

/// Certificates of this host and of the authorities of one peer.
#[derive(Default)]
pub struct Credentials {
    own: Option<Credential>,
    trust: Trust,
}

impl Credentials {
    /// Reads the files of a peer. `identity` is that of the configuration: a pinned certificate may be without it.
    ///
    /// # Errors
    /// The message of the file system, or about the contents, with the name of the file.
    pub fn load(files: &CertificateFiles, identity: Option<&Identification<'_>>) -> Result<Self, String> {
        let mut trust = Trust::new(IdentityCheck::Certificate, RevocationCheck::WhenAvailable);
        for file in &files.authorities {
            trust.add_authorities(&read(file)?).map_err(|e| problem(file, &e))?;
        }
        for file in &files.crls {
            trust.add_crls(&read(file)?).map_err(|e| problem(file, &e))?;
        }
        for file in &files.peers {
            trust.pin(&read(file)?, identity).map_err(|e| problem(file, &e))?;
        }
        let own = files.own.as_ref().map(|(certificate, key)| {
            let mode = fs::metadata(key).map_or(0, |metadata| metadata.mode() & 0o7777);
            if mode & 0o077 != 0 {
                let name = key.display();
                log::warning(format_args!(
                    "{name}: the file contains a private key: mode is {mode:04o}, expected 0600"
                ));
            }
            let credential = Credential::load(&read(certificate)?, &Zeroizing::new(read(key)?));
            credential.map_err(|e| problem(certificate, &e))
        });
        Ok(Self { own: own.transpose()?, trust })
    }

    /// Returns the subject of the certificate of this host.
    pub fn subject(&self) -> Option<Identification<'_>> {
        self.own.as_ref()?.subject()
    }

    /// Signs a hash of phase 1. Returns `None` without a private key, or if the signature is longer than the buffer.
    pub fn sign(&self, hash: &[u8], signature: &mut [u8]) -> Option<usize> {
        let signed = self.own.as_ref()?.sign(hash, &mut rand::rng()).ok()?;
        signature.get_mut(..signed.len())?.copy_from_slice(&signed);
        Some(signed.len())
    }

    /// Verifies the signature of the peer, its certificate and its identity.
    ///
    /// # Errors
    /// The reason for the negotiator, and its text for the operator.
    #[allow(clippy::disallowed_methods)] // certificates are valid for a time
    pub fn verify(&self, signed: &SignedIdentity<'_>) -> Result<(), (CertificateRefusal, String)> {
        let certificates = signed.certificates().map(|certificate| (certificate.encoding, certificate.data));
        let verified =
            self.trust.verify(clock::unix_seconds(), &signed.identity, certificates, signed.hash, signed.signature);
        verified.map(drop).map_err(|reason| (refusal(&reason), reason.to_string()))
    }

    /// Returns a certificate of this host by its position in the path to its authority.
    pub fn certificate(&self, index: usize) -> Option<Certificate<'_>> {
        let data = self.own.as_ref()?.certificates().nth(index)?;
        Some(Certificate { encoding: CertificateEncoding::X509_SIGNATURE, data })
    }

    /// Returns the name of an authority of the peer by its position.
    pub fn request(&self, index: usize) -> Option<Certificate<'_>> {
        let data = self.trust.requests().nth(index)?;
        Some(Certificate { encoding: CertificateEncoding::X509_SIGNATURE, data })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|e| problem(file, &e))
}

fn problem(file: &Path, e: &dyn Display) -> String {
    format!("{}: {e}", file.display())
}

/// Returns the kind of a refusal for the negotiator.
fn refusal(reason: &Reason) -> CertificateRefusal {
    match reason {
        Reason::NoCertificate => CertificateRefusal::Missing,
        Reason::Expired { .. } | Reason::NotYetValid { .. } => CertificateRefusal::Validity,
        Reason::UnknownIssuer { .. }
        | Reason::CertificateSignature { .. }
        | Reason::PathTooLong { .. }
        | Reason::PathSearchLimit => CertificateRefusal::Untrusted,
        Reason::KeyUsage { .. } | Reason::IssuerKeyUsage { .. } | Reason::NotCa { .. } => CertificateRefusal::Usage,
        Reason::SignatureLength { .. } | Reason::SignatureWrong | Reason::SignatureHasDigestInfo => {
            CertificateRefusal::Signature
        }
        Reason::NotInSubjectAltName { .. }
        | Reason::SubjectMismatch { .. }
        | Reason::IdentityKind(_)
        | Reason::KeyIdNotPinned => CertificateRefusal::Identity,
        Reason::Revoked { .. } | Reason::NoCrl { .. } | Reason::CrlExpired { .. } | Reason::CrlSignature { .. } => {
            CertificateRefusal::Revoked
        }
        _ => CertificateRefusal::Malformed,
    }
}
