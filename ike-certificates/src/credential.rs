//! Private key of this host, and its certificate.

use core::fmt;
use core::ops::RangeInclusive;

use ike_codec::Identification;
use rand_core::CryptoRng;
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, PrivateKey};

use crate::encoding::{LoadError, certificates};
use crate::public_key::{RsaKey, block};
use crate::raw_key::private_key;
use crate::x509::Certificate;

/// Lengths of HASH_I and HASH_R in octets, from HMAC-MD5 to HMAC-SHA-512.
pub(crate) const HASH_LENGTHS: RangeInclusive<usize> = 16..=64;

/// RSA private key of this host that signs HASH_I and HASH_R, its certificate unless the peer has the public key, and
/// the certificates of its issuers.
///
/// The private key is wiped on drop and never printed.
pub struct Credential {
    certificate: Option<Certificate>,
    issuers: Vec<Certificate>,
    key: PrivateKey,
}

/// Reason why a hash was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// The length of the hash is not one of HASH_I and HASH_R.
    HashLength {
        /// Length of the hash in octets.
        octets: usize,
    },
    /// The signature was not computed, or an error was found in it: no signature is returned, because a wrong one can
    /// disclose the private key.
    Computation,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HashLength { octets } => {
                write!(f, "hash length out of range: got {octets} octets, expected 16 to 64")
            }
            Self::Computation => f.write_str("RSA signature was not computed correctly"),
        }
    }
}

impl core::error::Error for SignError {}

impl Credential {
    /// Loads a certificate and its private key.
    ///
    /// `certificate_file` is in PEM, with the certificate of this host first and those of its issuers after it in any
    /// order, or in DER. `key_file` has one RSA private key of 1024 to 4096 bits, PKCS#1 or PKCS#8, PEM or DER, without
    /// a password; the caller wipes it. Both may be the same file in PEM.
    ///
    /// # Errors
    /// [`LoadError`]: also if the key does not match the certificate.
    pub fn load(certificate_file: &[u8], key_file: &[u8]) -> Result<Self, LoadError> {
        let mut certificates = certificates(certificate_file)?.into_iter();
        let certificate = certificates.next().ok_or(LoadError::NoCertificate)?;
        let key = private_key(key_file)?;
        let own = RsaKey::new(&key.n_bytes(), &key.e_bytes()).map_err(LoadError::Key)?;
        let certified = certificate.key.as_ref().map_err(|e| *e).and_then(|key| key.rsa()).map_err(LoadError::Key)?;
        if !certified.is_same(&own) {
            return Err(LoadError::KeyMismatch);
        }
        Ok(Self { certificate: Some(certificate), issuers: certificates.collect(), key })
    }

    /// Loads a private key without a certificate, for peers that have the public key ([`Trust::add_public_keys`]).
    ///
    /// `key_file` is one of [`load`](Self::load), or has the key in the text of racoon(8), `: RSA { Modulus: .. }`; the
    /// caller wipes it.
    ///
    /// [`Trust::add_public_keys`]: crate::Trust::add_public_keys
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn from_key(key_file: &[u8]) -> Result<Self, LoadError> {
        let key = private_key(key_file)?;
        RsaKey::new(&key.n_bytes(), &key.e_bytes()).map_err(LoadError::Key)?;
        Ok(Self { certificate: None, issuers: Vec::new(), key })
    }

    /// Adds certificates of issuers from a file in PEM or DER. Returns their number.
    ///
    /// # Errors
    /// [`LoadError`]; then no certificate is added.
    pub fn add_issuers(&mut self, file: &[u8]) -> Result<usize, LoadError> {
        let issuers = certificates(file)?;
        let count = issuers.len();
        self.issuers.extend(issuers);
        Ok(count)
    }

    /// Returns the certificates to send in DER, each in a certificate payload of encoding 4 (RFC 2408 section 3.9):
    /// that of this host, then those of its issuers without self-signed ones, which the peer must have configured (RFC
    /// 4945 section 3.3).
    ///
    /// racoon takes one certificate only: the first.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        let issuers = self.issuers.iter().filter(|issuer| !issuer.is_self_issued());
        self.certificate.iter().chain(issuers).map(|certificate| certificate.octets.as_slice())
    }

    /// Signs HASH_I or HASH_R: the hash itself in a block of type 1 of PKCS#1 version 1.5, without DigestInfo (RFC 2409
    /// section 5.1).
    ///
    /// The random numbers blind base, exponents and primes, so that the time of the computation does not depend on the
    /// private key. They do not change the signature, which is verified before it is returned.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign<R: CryptoRng + ?Sized>(&self, hash: &[u8], random: &mut R) -> Result<Vec<u8>, SignError> {
        if !HASH_LENGTHS.contains(&hash.len()) {
            return Err(SignError::HashLength { octets: hash.len() });
        }
        let length = self.signature_len();
        //= RFC 2409 5.1/1
        //# MUST: rsa signatures are private key encryptions of pkcs #1, without an oid
        let block = block(length, &[], hash).ok_or(SignError::HashLength { octets: hash.len() })?;
        let number =
            BoxedUint::from_be_slice(&block, self.key.n_bits_precision()).map_err(|_| SignError::Computation)?;
        let signature = rsa::hazmat::rsa_decrypt_and_check(&self.key, Some(random), &number);
        let signature = signature.map_err(|_| SignError::Computation)?.to_be_bytes();
        let excess = signature.len().checked_sub(length).ok_or(SignError::Computation)?;
        signature.get(excess..).map(<[u8]>::to_vec).ok_or(SignError::Computation)
    }

    /// Returns the length of a signature in octets, which is that of the modulus.
    pub fn signature_len(&self) -> usize {
        self.key.size()
    }

    /// Returns the subject of the certificate as an identity of type `ID_DER_ASN1_DN`, `None` if it is empty (RFC
    /// 4945 section 3.1.5) or there is no certificate.
    pub fn subject(&self) -> Option<Identification<'_>> {
        self.certificate.as_ref()?.subject_identity()
    }

    /// Returns the subject of the certificate as text, for messages; it is empty without a certificate.
    pub fn subject_text(&self) -> String {
        self.certificate.as_ref().map(Certificate::subject_text).unwrap_or_default()
    }

    /// Returns the subjectAltNames of the certificate as identities: addresses, FQDNs and user FQDNs (RFC 4945
    /// section 3.1).
    pub fn alternative_names(&self) -> impl Iterator<Item = Identification<'_>> {
        self.certificate.iter().flat_map(Certificate::alternative_names)
    }

    /// Returns whether a certificate request names an issuer of the certificate, directly or through the
    /// certificates of issuers; an empty name means any issuer (RFC 4945 section 3.2.7).
    pub fn is_issued_by(&self, authority: &[u8]) -> bool {
        let Some(certificate) = &self.certificate else { return false };
        let mut name = &certificate.issuer;
        // Each step uses another certificate, so that names that form a circle end the search.
        for _ in 0..=self.issuers.len() {
            if authority.is_empty() || name == authority {
                return true;
            }
            match self.issuers.iter().find(|issuer| issuer.subject == *name && !issuer.is_self_issued()) {
                Some(issuer) => name = &issuer.issuer,
                None => return false,
            }
        }
        false
    }

    /// Returns first and last second of the validity of the certificate, in seconds since 1970; `None` without one.
    pub fn validity(&self) -> Option<RangeInclusive<u64>> {
        self.certificate.as_ref().map(|certificate| certificate.not_before..=certificate.not_after)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("subject", &self.subject_text()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ike_codec::IdKind;

    use super::*;
    use crate::tests::{decode, section};

    fn gateway() -> Credential {
        Credential::load(section("gateway certificate").as_bytes(), section("gateway key").as_bytes()).unwrap()
    }

    #[test]
    fn keys_load_from_pkcs1_and_pkcs8_in_pem_and_der() {
        let expected: Vec<u8> = section("signature of gateway over the octets 0 to 19")
            .trim()
            .as_bytes()
            .chunks(2)
            .map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap())
            .collect();
        let hash: Vec<u8> = (0..20).collect();
        let (pem, der) = (section("gateway certificate").as_bytes(), decode("gateway certificate"));
        for key in [section("gateway key").as_bytes(), section("gateway key PKCS#1").as_bytes()] {
            let credential = Credential::load(&der, key).unwrap();
            assert_eq!(credential.sign(&hash, &mut rand::rng()).unwrap(), expected);
        }
        for key in [decode("gateway key"), decode("gateway key PKCS#1")] {
            let credential = Credential::load(pem, &key).unwrap();
            assert_eq!(credential.sign(&hash, &mut rand::rng()).unwrap(), expected);
        }
    }

    #[test]
    fn keys_of_4096_bits_and_with_exponent_3_sign() {
        for (name, length) in [("large", 512), ("small exponent", 128)] {
            let file = [section(&format!("{name} certificate")), section(&format!("{name} key"))].concat();
            let credential = Credential::load(file.as_bytes(), file.as_bytes()).unwrap();
            let signature = credential.sign(&[7; 64], &mut rand::rng()).unwrap();
            assert_eq!((signature.len(), credential.signature_len()), (length, length));
            let key = credential.certificate.as_ref().unwrap().key.clone().unwrap();
            assert_eq!(key.rsa().unwrap().verify(&[], &[7; 64], &signature), Ok(()));
        }
    }

    #[test]
    fn unusable_keys_are_refused_with_the_reason() {
        let certificate = section("gateway certificate").as_bytes();
        let load = |key: &[u8]| Credential::load(certificate, key).unwrap_err();
        assert_eq!(load(section("intermediate key").as_bytes()), LoadError::KeyMismatch);
        assert_eq!(load(section("gateway key PKCS#8 encrypted").as_bytes()), LoadError::EncryptedKey);
        assert_eq!(load(section("gateway key PKCS#1 encrypted").as_bytes()), LoadError::EncryptedKey);
        assert_eq!(load(certificate), LoadError::NoPrivateKey);
        assert_eq!(load(b"text"), LoadError::Encoding);
        assert_eq!(load(b"-----BEGIN PRIVATE KEY-----\nMII"), LoadError::NoEnd);
        assert_eq!(load(b"-----BEGIN PRIVATE KEY-----\nMI.=\n-----END PRIVATE KEY-----"), LoadError::Base64);
        assert_eq!(load(b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----"), LoadError::MalformedKey);
        let mut altered = decode("gateway key PKCS#1");
        // An octet of the first prime.
        altered[320] ^= 1;
        assert_eq!(load(&altered), LoadError::MalformedKey);
    }

    #[test]
    fn hashes_of_other_lengths_are_not_signed() {
        for octets in [0, 15, 65] {
            let refused = gateway().sign(&vec![7; octets], &mut rand::rng());
            assert_eq!(refused, Err(SignError::HashLength { octets }));
        }
    }

    #[test]
    fn subject_and_alternative_names_are_identities() {
        let credential = gateway();
        assert_eq!(credential.subject_text(), "C=XX, O=Example, CN=gateway");
        let names: Vec<_> = credential.alternative_names().map(|name| (name.kind, name.data.to_vec())).collect();
        let ipv6 = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap();
        let expected = [
            (IdKind::FQDN, b"gw.example.org".to_vec()),
            (IdKind::USER_FQDN, b"admin@Example.org".to_vec()),
            (IdKind::IPV4, vec![192, 0, 2, 1]),
            (IdKind::IPV6, ipv6.octets().to_vec()),
        ];
        assert_eq!(names, expected);
        let subject = credential.subject().unwrap();
        assert_eq!(
            (subject.kind, subject.data),
            (IdKind::DER_ASN1_DN, credential.certificate.as_ref().unwrap().subject.as_slice())
        );
    }

    #[test]
    fn certificate_requests_are_answered_for_every_issuer_of_the_chain() {
        let mut credential = gateway();
        let authority = certificates(section("authority certificate").as_bytes()).unwrap().remove(0);
        let intermediate = credential.certificate.as_ref().unwrap().issuer.clone();
        assert!(credential.is_issued_by(&intermediate) && credential.is_issued_by(&[]));
        assert!(!credential.is_issued_by(&authority.subject));
        assert_eq!(credential.add_issuers(section("authority certificate").as_bytes()), Ok(1));
        assert_eq!(credential.add_issuers(section("intermediate certificate").as_bytes()), Ok(1));
        assert!(credential.is_issued_by(&authority.subject));
        assert!(!credential.is_issued_by(&credential.certificate.as_ref().unwrap().subject));
        // The self-signed certificate of the authority is not sent.
        let sent: Vec<_> = credential.certificates().map(<[u8]>::to_vec).collect();
        assert_eq!(sent, [decode("gateway certificate"), decode("intermediate certificate")]);
    }

    #[test]
    fn private_key_is_not_printed() {
        assert_eq!(format!("{:?}", gateway()), "Credential { subject: \"C=XX, O=Example, CN=gateway\", .. }");
    }
}
