//! Certificates and private keys for RSA signatures in phase 1 (RFC 2409 section 5.1).

use std::fmt::Display;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use ike_certificates::{CertificateRefusal as Reason, Credential, IdentityCheck, RevocationCheck, Trust};
use ike_codec::{Certificate, CertificateEncoding, IdKind, Identification};
use ike_v1::{CertificateRefusal, Identity, SignedIdentity};
use ipsec_config::{CredentialFiles, Files};
use zeroize::Zeroizing;

use crate::{clock, log};

/// Key and certificate of this host, and the authorities and public keys of one peer.
#[derive(Default)]
pub struct Credentials {
    own: Vec<Credential>,
    trust: Trust,
}

impl Credentials {
    /// Reads the files of a peer from a host. `identity` is that of the configuration: a pinned certificate may be
    /// without it.
    ///
    /// # Errors
    /// The message of the file system, or about the contents, with the name of the file.
    pub fn load(
        host: &dyn Files,
        files: &CredentialFiles,
        identity: Option<&Identification<'_>>,
    ) -> Result<Self, String> {
        let mut trust = Trust::new(IdentityCheck::Certificate, RevocationCheck::WhenAvailable);
        for file in &files.authorities {
            trust.add_authorities(&read(host, file)?).map_err(|e| problem(file, &e))?;
        }
        if let Some(directory) = &files.directory {
            add_directory(host, &mut trust, directory, files.authorities.is_empty());
        }
        if let Some(directory) = &files.crl_directory {
            add_crls(host, &mut trust, &Path::new(directory).join("*"));
        }
        for file in &files.crls {
            trust.add_crls(&read(host, file)?).map_err(|e| problem(file, &e))?;
        }
        for file in &files.peers {
            trust.pin(&read(host, file)?, identity).map_err(|e| problem(file, &e))?;
        }
        for file in &files.public_keys {
            trust.add_public_keys(&read(host, file)?, None).map_err(|e| problem(file, &e))?;
        }
        if let Some(directory) = &files.public_key_directory {
            add_public_keys(host, &mut trust, Path::new(directory), identity)?;
        }
        Ok(Self { own: own(host, files)?, trust })
    }

    /// Returns the subject of the certificates of this host; `None` if it is empty, or not the same in all of them.
    pub fn subject(&self) -> Option<Identification<'_>> {
        let (first, others) = self.own.split_first()?;
        others.iter().all(|other| other.subject() == first.subject()).then(|| first.subject())?
    }

    /// Returns the number of the first certificate of this host that a peer has requested, in the order of the
    /// requests; 0 if it has requested none of them.
    pub fn choose<'a>(&self, requests: impl Iterator<Item = Certificate<'a>>) -> u8 {
        let of_kind = requests.filter(|request| request.encoding == CertificateEncoding::X509_SIGNATURE);
        let find = |authority: &[u8]| self.own.iter().position(|own| own.is_issued_by(authority));
        let mut found = of_kind.filter_map(|request| find(request.data));
        found.next().and_then(|number| u8::try_from(number).ok()).unwrap_or(0)
    }

    /// Signs a hash of phase 1 with the key of a certificate. Returns `None` without a private key, or if the signature
    /// is longer than the buffer.
    pub fn sign(&self, number: u8, hash: &[u8], signature: &mut [u8]) -> Option<usize> {
        let signed = self.own.get(usize::from(number))?.sign(hash, &mut rand::rng()).ok()?;
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

    /// Returns the certificate of this host with a number, or one of its issuers, by the position in the path to its
    /// authority.
    pub fn certificate(&self, number: u8, index: usize) -> Option<Certificate<'_>> {
        let data = self.own.get(usize::from(number))?.certificates().nth(index)?;
        Some(Certificate { encoding: CertificateEncoding::X509_SIGNATURE, data })
    }

    /// Returns the name of an authority of the peer by its position.
    pub fn request(&self, index: usize) -> Option<Certificate<'_>> {
        let data = self.trust.requests().nth(index)?;
        Some(Certificate { encoding: CertificateEncoding::X509_SIGNATURE, data })
    }
}

/// Reads the private keys of this host with their certificates. If a key may be without one, certificates that do not
/// exist are left out, and the key is used alone if none is left.
fn own(host: &dyn Files, files: &CredentialFiles) -> Result<Vec<Credential>, String> {
    let exists =
        |(certificate, _): &&(String, String)| files.own_key.is_none() || host.mode(Path::new(certificate)).is_some();
    let mut own = Vec::new();
    for (certificate, key) in files.own.iter().filter(exists) {
        let credential = Credential::load(&read(host, certificate)?, &Zeroizing::new(read(host, key)?));
        own.push(credential.map_err(|e| problem(certificate, &e))?);
    }
    if let (true, Some(key)) = (own.is_empty(), &files.own_key) {
        own.push(Credential::from_key(&Zeroizing::new(read(host, key)?)).map_err(|e| problem(key, &e))?);
    }
    Ok(own)
}

/// Adds the public keys in a directory of isakmpd(8), each for the identity in its name; only that of `identity` if it
/// is known. A directory that does not exist contains none.
fn add_public_keys(
    host: &dyn Files,
    trust: &mut Trust,
    directory: &Path,
    identity: Option<&Identification<'_>>,
) -> Result<(), String> {
    let kinds = [("ipv4", IdKind::IPV4), ("ipv6", IdKind::IPV6), ("fqdn", IdKind::FQDN), ("ufqdn", IdKind::USER_FQDN)];
    for (name, kind) in kinds {
        for path in host.expand(&directory.join(name).join("*")) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let own = match (kind, name.parse::<IpAddr>()) {
                (IdKind::IPV4 | IdKind::IPV6, Ok(address)) => Identity::address(address),
                (IdKind::IPV4 | IdKind::IPV6, Err(_)) => continue,
                _ => Identity::text(kind, name),
            };
            let is_wanted = identity.is_none_or(|wanted| wanted.kind == own.kind && wanted.data == own.data);
            if own.kind != kind || !is_wanted {
                continue;
            }
            let file = path.display().to_string();
            let text = match host.read(&path) {
                Err(e) if e.kind() == ErrorKind::IsADirectory => continue,
                read => read.map_err(|e| problem(&file, &e))?,
            };
            trust.add_public_keys(&text, Some(&own.payload())).map_err(|e| problem(&file, &e))?;
        }
    }
    Ok(())
}

/// Adds the revocation lists in a directory that are named as such, and the certificates of CAs if `reads_authorities`
/// is set. Files without certificates are ignored.
fn add_directory(host: &dyn Files, trust: &mut Trust, directory: &str, reads_authorities: bool) {
    // A directory that does not exist contains no certificates: pinned ones are sufficient.
    if reads_authorities && host.mode(Path::new(directory)).is_none() {
        return log::warning(problem(directory, &"the directory does not exist"));
    }
    if reads_authorities {
        for path in host.expand(&Path::new(directory).join("*")) {
            let _ = host.read(&path).map(|text| trust.add_authorities(&text));
        }
    }
    add_crls(host, trust, &Path::new(directory).join("*.r?"));
}

/// Adds the revocation lists in the files of a pattern. One that cannot be used is reported.
fn add_crls(host: &dyn Files, trust: &mut Trust, pattern: &Path) {
    for path in host.expand(pattern) {
        let Ok(text) = host.read(&path) else { continue };
        if let Err(e) = trust.add_crls(&text) {
            log::error(problem(&path.display().to_string(), &e));
        }
    }
}

fn read(host: &dyn Files, file: &str) -> Result<Vec<u8>, String> {
    host.read(Path::new(file)).map_err(|e| problem(file, &e))
}

fn problem(file: &str, e: &dyn Display) -> String {
    format!("{file}: {e}")
}

/// Returns the kind of a refusal for the negotiator.
fn refusal(reason: &Reason) -> CertificateRefusal {
    match reason {
        Reason::NoCertificate => CertificateRefusal::Missing,
        Reason::Expired { .. } | Reason::NotYetValid { .. } => CertificateRefusal::Validity,
        Reason::UnknownIssuer { .. }
        | Reason::CertificateSignature { .. }
        | Reason::PathTooLong { .. }
        | Reason::PathSearchLimit
        | Reason::NameNotPermitted { .. }
        | Reason::NameExcluded { .. }
        | Reason::NameConstraintsLimit { .. } => CertificateRefusal::Untrusted,
        Reason::KeyUsage { .. }
        | Reason::ExtendedKeyUsage { .. }
        | Reason::IssuerKeyUsage { .. }
        | Reason::NotCa { .. } => CertificateRefusal::Usage,
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

#[cfg(test)]
mod tests {
    use std::fs;

    use ipsec_config::SystemFiles;

    use super::*;

    /// Returns a section of the keys of the tests of `ike-certificates`.
    fn section(name: &str) -> &'static str {
        let bundle = include_str!("../../ike-certificates/tests/bundle.pem");
        bundle.split("==== ").find_map(|text| text.strip_prefix(name)?.strip_prefix('\n')).unwrap()
    }

    #[test]
    fn keys_of_isakmpd_are_those_of_the_identities_in_their_names() {
        let directory = std::env::temp_dir().join(format!("ipsec-gateway-keys-{}", std::process::id()));
        let file = |name: &str| directory.join(name).display().to_string();
        for name in ["pubkeys/ipv4", "pubkeys/fqdn"] {
            fs::create_dir_all(file(name)).unwrap();
        }
        fs::write(file("local.key"), section("gateway key")).unwrap();
        for name in ["ipv4/192.0.2.1", "fqdn/gw.example.org", "ipv4/not an address", "ipv4/2001:db8::1"] {
            fs::write(file(&format!("pubkeys/{name}")), section("gateway public key")).unwrap();
        }
        let mut files = CredentialFiles::default();
        files.own.push((file("certs/none.crt"), file("local.key")));
        files.own_key = Some(file("local.key"));
        files.public_key_directory = Some(file("pubkeys"));
        let (address, name) =
            (Identity::address([192, 0, 2, 1].into()), Identity::text(IdKind::FQDN, "gw.example.org"));
        let other = Identity::address("2001:db8::1".parse().unwrap());
        let verify = |own: &Credentials, identity: &Identity| {
            let mut signature = [0; 512];
            let length = own.sign(0, &[7; 20], &mut signature).unwrap();
            own.trust.verify(0, &identity.payload(), [], &[7; 20], &signature[..length]).is_ok()
        };
        let any = Credentials::load(&SystemFiles, &files, None).unwrap();
        assert_eq!([&address, &name, &other].map(|own| verify(&any, own)), [true, true, false]);
        assert!(any.certificate(0, 0).is_none() && any.request(0).is_none() && any.subject().is_none());
        let one = Credentials::load(&SystemFiles, &files, Some(&name.payload())).unwrap();
        assert_eq!([&address, &name].map(|own| verify(&one, own)), [false, true]);
        // A certificate that must exist is missing.
        files.own_key = None;
        assert!(Credentials::load(&SystemFiles, &files, None).is_err_and(|text| text.contains("none.crt")));
        fs::remove_dir_all(&directory).unwrap();
    }

    /// Writes a section of the certificates of the tests of `ike-certificates` to a file, and returns its name.
    fn file(directory: &Path, name_of: &str) -> String {
        let name = directory.join(name_of.replace(' ', "-"));
        fs::write(&name, section(name_of)).unwrap();
        name.to_str().unwrap().to_owned()
    }

    #[test]
    fn revocation_lists_in_directories_are_used() {
        let directory = std::env::temp_dir().join(format!("ipsec-gateway-crls-{}", std::process::id()));
        let (of_cas, of_crls) = (directory.join("ca"), directory.join("crls"));
        for directory in [&of_cas, &of_crls] {
            fs::create_dir_all(directory).unwrap();
        }
        let mut files = CredentialFiles::default();
        files.own.push((file(&directory, "gateway certificate"), file(&directory, "gateway key")));
        files.directory = Some(of_cas.display().to_string());
        files.crl_directory = Some(of_crls.display().to_string());
        let authority = file(&of_cas, "intermediate certificate");
        let name = Identity::text(IdKind::FQDN, "gw.example.org");
        let verify = |files: &CredentialFiles| {
            let own = Credentials::load(&SystemFiles, files, None).unwrap();
            let mut signature = [0; 512];
            let length = own.sign(0, &[7; 20], &mut signature).unwrap();
            let sent = own.certificate(0, 0).unwrap();
            let sent = [(sent.encoding, sent.data)];
            let now = 1_800_000_000;
            own.trust.verify(now, &name.payload(), sent, &[7; 20], &signature[..length]).map_err(|e| refusal(&e)).err()
        };
        assert_eq!(verify(&files), None);
        for directory in [&of_cas, &of_crls] {
            let list = directory.join("9d66eef0.r0");
            fs::rename(file(directory, "CRL version 1 of intermediate"), &list).unwrap();
            for authorities in [vec![], vec![authority.clone()]] {
                files.authorities = authorities;
                assert_eq!(verify(&files), Some(CertificateRefusal::Revoked), "{}", list.display());
            }
            fs::write(&list, "-----BEGIN X509 CRL-----\ndamaged\n").unwrap();
            assert_eq!(verify(&files), None, "it is reported");
            fs::remove_file(list).unwrap();
        }
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn certificate_requests_choose_the_certificate() {
        let directory = std::env::temp_dir().join(format!("ipsec-gateway-credentials-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut files = CredentialFiles::default();
        for name in ["small exponent", "gateway"] {
            files
                .own
                .push((file(&directory, &format!("{name} certificate")), file(&directory, &format!("{name} key"))));
        }
        files.authorities.push(file(&directory, "intermediate certificate"));
        let own = Credentials::load(&SystemFiles, &files, None).unwrap();
        fs::remove_dir_all(&directory).unwrap();

        let intermediate = own.trust.requests().next().unwrap().to_vec();
        let x509 = CertificateEncoding::X509_SIGNATURE;
        let request = |encoding, data| Certificate { encoding, data };
        let table: [(&[Certificate<'_>], u8); 6] = [
            (&[], 0),
            (&[request(x509, b"")], 0),
            (&[request(x509, b"unknown CA")], 0),
            (&[request(x509, &intermediate)], 1),
            (&[request(x509, b"unknown CA"), request(x509, &intermediate), request(x509, b"")], 1),
            (&[request(CertificateEncoding::PGP, &intermediate)], 0),
        ];
        for (requests, expected) in table {
            assert_eq!(own.choose(requests.iter().copied()), expected, "{requests:?}");
        }
        let mut signature = [0; 512];
        let lengths = [0, 1, 2].map(|number| own.sign(number, &[7; 20], &mut signature));
        assert_eq!(lengths, [own.own[0].signature_len(), own.own[1].signature_len(), 0].map(|n| (n > 0).then_some(n)));
        assert_ne!(own.certificate(0, 0).unwrap().data, own.certificate(1, 0).unwrap().data);
        assert!(own.certificate(2, 0).is_none());
        // Both have another subject, so that none is the identity of this host.
        assert!(own.subject().is_none());
    }
}
