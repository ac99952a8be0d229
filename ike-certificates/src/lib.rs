//! X.509 certificates and RSA signatures of IKEv1 (RFC 2409 section 5.1, RFC 4945).
//!
//! [`Credential`] is the certificate of this host with its private key, or the key alone: it signs HASH_I and HASH_R,
//! and names identities, certificates to send and issuers. [`Trust`] has the certificates of CAs and peers, the CRLs,
//! and public keys of peers without certificates; it verifies certificates, signature and identity of a peer. Both work
//! on octets: files are read and payloads are parsed by the caller, and time and random numbers are arguments.
//!
//! ```
//! use ike_certificates::{Credential, IdentityCheck, RevocationCheck, Trust};
//! use ike_codec::CertificateEncoding;
//!
//! # type Run = Result<(), Box<dyn std::error::Error>>;
//! # fn run(authority_file: &[u8], certificate_file: &[u8], key_file: &[u8], now: u64) -> Run {
//! let credential = Credential::load(certificate_file, key_file)?;
//! let identity = credential.subject().ok_or("empty subject")?;
//! let hash = [7; 20]; // HASH_I
//! let signature = credential.sign(&hash, &mut rand::rng())?;
//!
//! let mut trust = Trust::new(IdentityCheck::Certificate, RevocationCheck::WhenAvailable);
//! trust.add_authorities(authority_file)?;
//! let payloads = credential.certificates().map(|octets| (CertificateEncoding::X509_SIGNATURE, octets));
//! let peer = trust.verify(now, &identity, payloads, &hash, &signature)?;
//! println!("authenticated {}", peer.subject);
//! # Ok(())
//! # }
//! # let _ = run;
//! ```
//!
//! Features: none.
//!
//! Security notes: certificates with RSA signatures with SHA-1 are accepted, those with MD5 are refused. A received
//! signature is compared with all octets of the block that it must contain. The work for one message is bounded. The
//! private key is used with blinding; what is known of its wiping is in `SECURITY.md`.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod credential;
mod encoding;
mod name_constraints;
mod name_text;
mod path;
mod public_key;
mod raw_key;
mod refusal;
mod trust;
mod x509;

pub use credential::{Credential, SignError};
pub use der::asn1::ObjectIdentifier;
pub use encoding::LoadError;
pub use public_key::{KeyError, MAX_MODULUS_BITS, MIN_MODULUS_BITS};
pub use refusal::CertificateRefusal;
pub use trust::{IdentityCheck, RevocationCheck, Trust, Verified};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64ct::{Base64, Encoding};
    use ike_codec::{Body, CertificateEncoding, IdKind, Identification};
    use ike_v1::{Follower, Role, Secrets, plaintext};
    use proptest::prelude::*;

    use super::*;
    use crate::encoding::certificates;

    /// Time of the tests: 2027-01-15T08:00:00Z.
    const NOW: u64 = 1_800_000_000;
    const HASH: [u8; 32] = [7; 32];
    const X509: CertificateEncoding = CertificateEncoding::X509_SIGNATURE;

    /// Returns a section of the bundle.
    pub(crate) fn section(name: &str) -> &'static str {
        let bundle = include_str!("../tests/bundle.pem");
        let found = bundle.split("==== ").find_map(|section| section.strip_prefix(name)?.strip_prefix('\n'));
        found.unwrap_or_else(|| panic!("no section {name}"))
    }

    /// Returns the object of a section in DER.
    pub(crate) fn decode(name: &str) -> Vec<u8> {
        let lines = section(name).lines().skip_while(|line| !line.starts_with("-----B")).skip(1);
        Base64::decode_vec(&lines.take_while(|line| !line.starts_with('-')).collect::<String>()).unwrap()
    }

    fn identity(kind: IdKind, data: &[u8]) -> Identification<'_> {
        Identification { kind, protocol: 0, port: 0, data }
    }

    fn authority(name: &str) -> Trust {
        let mut trust = Trust::default();
        assert_eq!(trust.add_authorities(section(name).as_bytes()), Ok(1));
        trust
    }

    /// Signs with the key of the gateway.
    fn signature() -> Vec<u8> {
        let (certificate, key) = (section("gateway certificate").as_bytes(), section("gateway key").as_bytes());
        Credential::load(certificate, key).unwrap().sign(&HASH, &mut rand::rng()).unwrap()
    }

    fn verify(
        trust: &Trust,
        sent: &[(CertificateEncoding, Vec<u8>)],
        kind: IdKind,
        data: &[u8],
    ) -> Result<Verified, CertificateRefusal> {
        let sent = sent.iter().map(|(encoding, octets)| (*encoding, &octets[..]));
        trust.verify(NOW, &identity(kind, data), sent, &HASH, &signature())
    }

    fn chain() -> [(CertificateEncoding, Vec<u8>); 2] {
        ["gateway certificate", "intermediate certificate"].map(|name| (X509, decode(name)))
    }

    #[test]
    fn identities_are_compared_with_the_certificate() {
        let trust = authority("authority certificate");
        let subject = certificates(section("gateway certificate").as_bytes()).unwrap()[0].subject.clone();
        let (ipv6, other) = (b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", [&subject[..17], b"gatewaz"].concat());
        let table: &[(IdKind, &[u8], Option<&str>)] = &[
            (IdKind::FQDN, b"GW.example.ORG", None),
            (IdKind::USER_FQDN, b"Admin@example.org", None),
            (IdKind::IPV4, &[192, 0, 2, 1], None),
            (IdKind::IPV6, ipv6, None),
            (IdKind::DER_ASN1_DN, &subject, None),
            (IdKind::FQDN, b"gw.example.org.example.com", Some("not-in-subject-alt-name")),
            (IdKind::FQDN, b"gw.example.org\0", Some("not-in-subject-alt-name")),
            (IdKind::FQDN, b"", Some("not-in-subject-alt-name")),
            (IdKind::FQDN, b"admin@example.org", Some("not-in-subject-alt-name")),
            (IdKind::IPV4, &[192, 0, 2, 2], Some("not-in-subject-alt-name")),
            (IdKind::DER_ASN1_DN, &other, Some("subject-mismatch")),
            (IdKind::DER_ASN1_DN, &[0x30, 0], Some("subject-mismatch")),
            (IdKind::KEY_ID, b"gw.example.org", Some("key-id-not-pinned")),
            (IdKind::IPV4_SUBNET, &[192, 0, 2, 0, 255, 255, 255, 0], Some("identity-kind")),
        ];
        for (kind, data, refusal) in table {
            let result = verify(&trust, &chain(), *kind, data);
            assert_eq!(result.as_ref().err().map(CertificateRefusal::label), *refusal, "{kind} {data:x?}");
        }
        let mut unchecked = Trust::new(IdentityCheck::Unchecked, RevocationCheck::WhenAvailable);
        unchecked.add_authorities(section("authority certificate").as_bytes()).unwrap();
        assert!(verify(&unchecked, &chain(), IdKind::FQDN, b"any").is_ok());
        assert_eq!(verify(&unchecked, &chain(), IdKind::KEY_ID, b"any"), Err(CertificateRefusal::KeyIdNotPinned));
    }

    #[test]
    fn certificates_of_openssl_are_verified() {
        let name = b"gw.example.org";
        let trust = authority("authority certificate");
        let bag = (CertificateEncoding::PKCS7, decode("gateway PKCS#7"));
        let other = (CertificateEncoding::PGP, vec![1, 2, 3]);
        let [gateway, intermediate] = chain();
        for sent in [vec![gateway.clone(), intermediate.clone()], vec![intermediate, other, gateway.clone()], vec![bag]]
        {
            let verified = verify(&trust, &sent, IdKind::FQDN, name).unwrap();
            assert_eq!((verified.subject.as_str(), verified.is_pinned), ("C=XX, O=Example, CN=gateway", false));
            assert_eq!(verified.certificate, gateway.1);
        }
        let refused = verify(&trust, &[gateway], IdKind::FQDN, name).unwrap_err();
        let (subject, issuer) = ("C=XX, O=Example, CN=gateway", "C=XX, O=Example, CN=Intermediate");
        let text = format!("certificate of {subject}: no trusted certificate of its issuer {issuer}");
        assert_eq!(refused.to_string(), text);
        for curve in ["P-256", "P-384"] {
            let trust = authority(&format!("authority {curve}"));
            let sent = [(X509, decode(&format!("gateway {curve}")))];
            assert!(verify(&trust, &sent, IdKind::FQDN, name).is_ok());
            let mut altered = sent.clone();
            *altered[0].1.last_mut().unwrap() ^= 1;
            let refused = verify(&trust, &altered, IdKind::FQDN, name).unwrap_err();
            assert_eq!(refused.label(), "certificate-signature");
        }
    }

    #[test]
    fn revocation_lists_of_openssl_are_used() {
        let mut trust = authority("authority certificate");
        assert_eq!(trust.add_crls(section("CRL version 2 of authority").as_bytes()), Ok(1));
        assert!(verify(&trust, &chain(), IdKind::FQDN, b"gw.example.org").is_ok());
        assert_eq!(trust.add_crls(&decode("CRL version 1 of intermediate")), Ok(1));
        let refused = verify(&trust, &chain(), IdKind::FQDN, b"gw.example.org").unwrap_err();
        assert_eq!(refused.to_string(), "certificate of C=XX, O=Example, CN=gateway has been revoked by its issuer");
    }

    #[test]
    fn pinned_certificates_are_accepted_without_a_ca() {
        let file = section("gateway certificate").as_bytes();
        let key_id = identity(IdKind::KEY_ID, b"gateway");
        let mut trust = Trust::default();
        assert_eq!(verify(&trust, &[], IdKind::KEY_ID, b"gateway"), Err(CertificateRefusal::NoCertificate));
        trust.pin(section("small exponent certificate").as_bytes(), Some(&identity(IdKind::KEY_ID, b"other"))).unwrap();
        trust.pin(file, Some(&key_id)).unwrap();
        for sent in [&[][..], &chain()] {
            let verified = verify(&trust, sent, IdKind::KEY_ID, b"gateway").unwrap();
            assert!(verified.is_pinned && verify(&trust, sent, IdKind::FQDN, b"gw.example.org").is_ok());
            // The key ID of another peer.
            assert_eq!(verify(&trust, sent, IdKind::KEY_ID, b"other"), Err(CertificateRefusal::KeyIdNotPinned));
        }
        let refused = trust.pin(section("authority P-256").as_bytes(), None);
        assert_eq!(refused, Err(LoadError::Key(KeyError::NotRsa)));
    }

    #[test]
    fn files_that_cannot_be_used_are_refused() {
        let mut trust = Trust::default();
        let number = 1;
        assert_eq!(trust.add_authorities(section("gateway certificate").as_bytes()), Err(LoadError::NotCa { number }));
        assert_eq!(trust.add_authorities(section("gateway key").as_bytes()), Err(LoadError::NoCertificate));
        assert_eq!(trust.add_authorities(&[0x30, 0]), Err(LoadError::MalformedCertificate { number }));
        assert_eq!(trust.add_authorities(b""), Err(LoadError::Encoding));
        assert_eq!(trust.add_crls(section("gateway certificate").as_bytes()), Err(LoadError::NoCrl));
        assert_eq!(trust.add_crls(&[0x30, 0]), Err(LoadError::MalformedCrl { number }));
        assert_eq!(trust.requests().count(), 0);
        for name in [
            "authority certificate",
            "authority P-256",
            "authority P-256",
            "authority P-384",
            "Lab CA",
            "intermediate certificate",
        ] {
            let file = section(name).replace('\n', " \r\n  ");
            assert_eq!(trust.add_authorities(file.as_bytes()), Ok(1), "{name}");
        }
        assert_eq!(trust.requests().count(), 4);
    }

    #[test]
    fn signatures_of_racoon_isakmpd_and_strongswan_are_verified() {
        let (mut signatures, mut pinned) = (0, 0);
        for record in test_vectors::conversations() {
            let mut follower = Follower::<8, 2048>::new();
            let mut peers: BTreeMap<&str, (Vec<u8>, Vec<Vec<u8>>)> = BTreeMap::new();
            for entry in record.messages.iter().take(10).filter(|_| !record.shared.is_empty()) {
                let mut octets = entry.wire.to_vec();
                let sender = if entry.from_ == "initiator" { Role::Initiator } else { Role::Responder };
                let secrets = Secrets {
                    pre_shared_key: record.psk.as_deref(),
                    shared: Some(&record.shared[0]),
                    ..Secrets::default()
                };
                let Ok(followed) = follower.follow(sender, &mut octets, &secrets) else { continue };
                let (id, sent) = peers.entry(&entry.from_).or_default();
                for payload in plaintext(&octets).unwrap().payloads() {
                    match payload.view() {
                        Body::Identification(own) if id.is_empty() => *id = [&[own.kind.0], own.data].concat(),
                        Body::Certificate(certificate) if certificate.encoding == X509 => {
                            sent.push(certificate.data.to_vec());
                        }
                        Body::Signature(signature) => {
                            let identity = identity(IdKind(id[0]), &id[1..]);
                            let mut trust = authority("Lab CA");
                            if !record.id.contains("racoon") && !record.id.contains("isakmpd") {
                                trust.pin(&sent[0], None).unwrap();
                                pinned += 1;
                            }
                            let hash = followed.computed.as_ref().unwrap().expose();
                            let sent = sent.iter().map(|octets| (X509, &octets[..]));
                            let verified = trust.verify(NOW, &identity, sent, hash, signature);
                            assert!(verified.is_ok(), "{}: {verified:?}", record.id);
                            signatures += 1;
                        }
                        _ => {}
                    }
                }
            }
        }
        assert_eq!((signatures, pinned), (16, 4));
    }

    proptest! {
        #[test]
        fn altered_certificates_and_lists_are_refused(at in any::<prop::sample::Index>(), with in 1_u8..) {
            let mut trust = authority("authority certificate");
            let [mut gateway, intermediate] = chain();
            let length = gateway.1.len();
            gateway.1[at.index(length)] ^= with;
            prop_assert!(verify(&trust, &[gateway, intermediate], IdKind::FQDN, b"gw.example.org").is_err());
            for name in ["CRL version 1 of intermediate", "gateway key"] {
                let mut altered = decode(name);
                let length = altered.len();
                altered[at.index(length)] ^= with;
                let _ = (trust.add_crls(&altered), trust.add_authorities(&altered));
                let _ = Credential::load(section("gateway certificate").as_bytes(), &altered);
            }
        }
    }
}
