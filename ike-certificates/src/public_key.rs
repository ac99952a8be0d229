//! Public keys, signature algorithms of certificates, and blocks of PKCS#1 version 1.5 (RFC 8017 section 8.2).

use core::fmt;

use der::Decode;
use der::asn1::{ObjectIdentifier, UintRef};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::BoxedUint;
use rsa::pkcs1::RsaPublicKey;
use rsa::traits::PublicKeyParts;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// Shortest modulus of an RSA key that is accepted, in bits.
pub const MIN_MODULUS_BITS: usize = 1024;
/// Longest modulus of an RSA key that is accepted, in bits.
pub const MAX_MODULUS_BITS: usize = 4096;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const CURVE_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const CURVE_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Reason why a public key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The modulus is shorter than [`MIN_MODULUS_BITS`].
    TooShort {
        /// Length of the modulus in bits.
        bits: usize,
    },
    /// The modulus is longer than [`MAX_MODULUS_BITS`].
    TooLong {
        /// Length of the modulus in bits.
        bits: usize,
    },
    /// The modulus is even.
    EvenModulus,
    /// The public exponent is 1: every block would be its own signature.
    ExponentIsOne,
    /// The public exponent is even, or 0.
    EvenExponent,
    /// The public exponent has more than 33 bits.
    ExponentTooLarge,
    /// The key is of an algorithm or on a curve that is not supported.
    UnsupportedAlgorithm(ObjectIdentifier),
    /// The key is an ECDSA key, which is supported for the signatures of certificates only: IKEv1 requires an RSA key.
    NotRsa,
    /// The encoding of the key is malformed.
    Malformed,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { bits } => {
                write!(f, "RSA modulus is too short: got {bits} bits, expected at least {MIN_MODULUS_BITS}")
            }
            Self::TooLong { bits } => {
                write!(f, "RSA modulus is too long: got {bits} bits, expected at most {MAX_MODULUS_BITS}")
            }
            Self::EvenModulus => f.write_str("RSA modulus is even"),
            Self::ExponentIsOne => f.write_str("RSA public exponent is 1"),
            Self::EvenExponent => f.write_str("RSA public exponent is even"),
            Self::ExponentTooLarge => f.write_str("RSA public exponent has more than 33 bits"),
            Self::UnsupportedAlgorithm(oid) => write!(f, "public key algorithm is not supported: {}", named(*oid)),
            Self::NotRsa => f.write_str("key is not an RSA key"),
            Self::Malformed => f.write_str("malformed public key"),
        }
    }
}

impl core::error::Error for KeyError {}

/// Reason why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureError {
    Length {
        received: usize,
        expected: usize,
    },
    /// The block contains the hash within a DigestInfo.
    DigestInfo,
    Wrong,
}

/// Public key of a certificate.
#[derive(Clone, Debug)]
pub(crate) enum PublicKey {
    Rsa(RsaKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    pub(crate) fn read(info: &SubjectPublicKeyInfoOwned) -> Result<Self, KeyError> {
        let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.decode_as().ok());
        let bits = info.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        match (info.algorithm.oid, curve) {
            (RSA_ENCRYPTION, _) => RsaKey::read(bits).map(Self::Rsa),
            (EC_PUBLIC_KEY, Some(CURVE_P256)) => {
                p256::ecdsa::VerifyingKey::from_sec1_bytes(bits).map(Self::P256).map_err(|_| KeyError::Malformed)
            }
            (EC_PUBLIC_KEY, Some(CURVE_P384)) => {
                p384::ecdsa::VerifyingKey::from_sec1_bytes(bits).map(Self::P384).map_err(|_| KeyError::Malformed)
            }
            (EC_PUBLIC_KEY, Some(curve)) => Err(KeyError::UnsupportedAlgorithm(curve)),
            (other, _) => Err(KeyError::UnsupportedAlgorithm(other)),
        }
    }

    /// Returns the RSA key, which can sign HASH_I and HASH_R.
    pub(crate) fn rsa(&self) -> Result<&RsaKey, KeyError> {
        match self {
            Self::Rsa(key) => Ok(key),
            Self::P256(_) | Self::P384(_) => Err(KeyError::NotRsa),
        }
    }

    /// Returns whether the signature of a certificate or CRL was made with this key.
    fn verifies(&self, signed: &Signed, algorithm: SignatureAlgorithm) -> bool {
        match (self, algorithm.kind) {
            (Self::Rsa(key), Kind::Rsa) => {
                key.verify(algorithm.hash.digest_info(), &signed.digest, &signed.signature).is_ok()
            }
            (Self::P256(key), Kind::Ecdsa) => p256::ecdsa::Signature::from_der(&signed.signature)
                .is_ok_and(|signature| key.verify_prehash(&signed.digest, &signature).is_ok()),
            (Self::P384(key), Kind::Ecdsa) => p384::ecdsa::Signature::from_der(&signed.signature)
                .is_ok_and(|signature| key.verify_prehash(&signed.digest, &signature).is_ok()),
            _ => false,
        }
    }
}

/// RSA public key whose modulus and exponent have been checked.
#[derive(Clone, Debug)]
pub(crate) struct RsaKey(rsa::PublicKey);

impl RsaKey {
    /// Reads an RSAPublicKey (RFC 8017 appendix A.1.1).
    pub(crate) fn read(key: &[u8]) -> Result<Self, KeyError> {
        let key: RsaPublicKey<UintRef<'_>> = RsaPublicKey::from_der(key).map_err(|_| KeyError::Malformed)?;
        Self::new(key.modulus.as_bytes(), key.public_exponent.as_bytes())
    }

    /// Creates a key from modulus and exponent in network byte order, which are checked before any arithmetic.
    pub(crate) fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let bits = bit_length(modulus);
        match bits {
            ..MIN_MODULUS_BITS => return Err(KeyError::TooShort { bits }),
            MIN_MODULUS_BITS..=MAX_MODULUS_BITS => {}
            _ => return Err(KeyError::TooLong { bits }),
        }
        if modulus.last().is_none_or(|last| last & 1 == 0) {
            return Err(KeyError::EvenModulus);
        }
        let odd = exponent.last().is_some_and(|last| last & 1 == 1);
        match bit_length(exponent) {
            _ if !odd => return Err(KeyError::EvenExponent),
            1 => return Err(KeyError::ExponentIsOne),
            0..=33 => {}
            _ => return Err(KeyError::ExponentTooLarge),
        }
        let (n, e) = (BoxedUint::from_be_slice_vartime(modulus), BoxedUint::from_be_slice_vartime(exponent));
        rsa::PublicKey::new(n, e).map(Self).map_err(|_| KeyError::Malformed)
    }

    /// Returns whether modulus and exponent equal those of another key.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.n_bytes() == other.0.n_bytes() && self.0.e_bytes() == other.0.e_bytes()
    }

    /// Returns the length of a signature in octets.
    pub(crate) fn signature_len(&self) -> usize {
        self.0.size()
    }

    /// Compares all octets of the block in a signature with the block of type 1 that contains `prefix` and `hash`.
    ///
    /// No part of the received block is parsed, so that nothing in or after its padding can be ignored.
    pub(crate) fn verify(&self, prefix: &[u8], hash: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let expected = self.signature_len();
        if signature.len() != expected {
            return Err(SignatureError::Length { received: signature.len(), expected });
        }
        let signature = BoxedUint::from_be_slice(signature, self.0.n_bits_precision());
        // A number that is not below the modulus is not the result of a signature (RFC 8017 section 5.2.2).
        let signature = signature.ok().filter(|s| s < self.0.n().as_ref()).ok_or(SignatureError::Wrong)?;
        let received = rsa::hazmat::rsa_encrypt(&self.0, &signature).map_err(|_| SignatureError::Wrong)?.to_be_bytes();
        let is = |prefix: &[u8]| block(expected, prefix, hash).is_some_and(|block| ends_with(&received, &block));
        if is(prefix) {
            Ok(())
        } else if prefix.is_empty() && Hash::ALL.iter().any(|h| h.length() == hash.len() && is(h.digest_info())) {
            Err(SignatureError::DigestInfo)
        } else {
            Err(SignatureError::Wrong)
        }
    }
}

/// Returns the block of type 1 in `length` octets, `None` if it does not fit (RFC 8017 section 9.2).
///
/// ```text
/// | 0x00 | 0x01 | 0xff .. at least 8 .. | 0x00 | prefix | hash |
/// ```
pub(crate) fn block(length: usize, prefix: &[u8], hash: &[u8]) -> Option<Vec<u8>> {
    let filled = length.checked_sub(3)?.checked_sub(prefix.len())?.checked_sub(hash.len())?;
    let filler = vec![0xff; filled];
    (filled >= 8).then(|| [&[0, 1][..], &filler, &[0], prefix, hash].concat())
}

/// Returns whether `number`, which may have more leading zeros, is `block`.
fn ends_with(number: &[u8], block: &[u8]) -> bool {
    number.strip_suffix(block).is_some_and(|zeros| zeros.iter().all(|octet| *octet == 0))
}

/// Returns the length of a big endian number in bits.
fn bit_length(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    let leading = number.first().map_or(0, |first| first.leading_zeros());
    number.len().saturating_mul(8).saturating_sub(usize::try_from(leading).unwrap_or(8))
}

/// Returns the signature algorithm of a certificate or CRL, or its OID if it is not supported.
fn signature_algorithm(
    AlgorithmIdentifierOwned { oid, parameters }: &AlgorithmIdentifierOwned,
) -> Result<SignatureAlgorithm, ObjectIdentifier> {
    let row = SIGNATURES.iter().find(|row| row.0 == *oid && row.1 != Kind::Refused).ok_or(*oid)?;
    let without = parameters.as_ref().is_none_or(|parameters| parameters.is_null());
    let (kind, hash) = (row.1, row.2.ok_or(*oid)?);
    if without { Ok(SignatureAlgorithm { kind, hash }) } else { Err(*oid) }
}

/// Certificate or CRL as it was signed: the hash of its contents, and the signature.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    algorithm: Result<SignatureAlgorithm, ObjectIdentifier>,
    digest: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    pub(crate) fn new(contents: &[u8], algorithm: &AlgorithmIdentifierOwned, signature: &[u8]) -> Self {
        let algorithm = signature_algorithm(algorithm);
        let digest = algorithm.map(|algorithm| algorithm.hash.digest(contents)).unwrap_or_default();
        Self { algorithm, digest, signature: signature.to_vec() }
    }

    /// Returns whether the signature was made with a key, or the OID of an algorithm that is not supported.
    pub(crate) fn is_by(&self, key: &PublicKey) -> Result<bool, ObjectIdentifier> {
        Ok(key.verifies(self, self.algorithm?))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    Ecdsa,
    Refused,
}

/// Signature algorithm of a certificate or CRL.
#[derive(Clone, Copy, Debug)]
struct SignatureAlgorithm {
    kind: Kind,
    hash: Hash,
}

const fn row(oid: &str, kind: Kind, hash: Option<Hash>, name: &'static str) -> Row {
    (ObjectIdentifier::new_unwrap(oid), kind, hash, name)
}

type Row = (ObjectIdentifier, Kind, Option<Hash>, &'static str);

/// Signature algorithms (RFC 3279 section 2.2, RFC 4055 section 5, RFC 5758), and the names of some that are refused.
const SIGNATURES: &[Row] = &[
    row("1.2.840.113549.1.1.5", Kind::Rsa, Some(Hash::Sha1), "RSA with SHA-1"),
    row("1.2.840.113549.1.1.11", Kind::Rsa, Some(Hash::Sha256), "RSA with SHA-256"),
    row("1.2.840.113549.1.1.12", Kind::Rsa, Some(Hash::Sha384), "RSA with SHA-384"),
    row("1.2.840.113549.1.1.13", Kind::Rsa, Some(Hash::Sha512), "RSA with SHA-512"),
    row("1.2.840.10045.4.3.2", Kind::Ecdsa, Some(Hash::Sha256), "ECDSA with SHA-256"),
    row("1.2.840.10045.4.3.3", Kind::Ecdsa, Some(Hash::Sha384), "ECDSA with SHA-384"),
    row("1.2.840.10045.4.3.4", Kind::Ecdsa, Some(Hash::Sha512), "ECDSA with SHA-512"),
    row("1.2.840.113549.1.1.2", Kind::Refused, None, "RSA with MD2"),
    row("1.2.840.113549.1.1.4", Kind::Refused, None, "RSA with MD5"),
    row("1.2.840.113549.1.1.10", Kind::Refused, None, "RSASSA-PSS"),
    row("1.2.840.10040.4.1", Kind::Refused, None, "DSA"),
    row("1.2.840.10040.4.3", Kind::Refused, None, "DSA with SHA-1"),
    row("1.3.101.112", Kind::Refused, None, "Ed25519"),
];

/// Returns the name of an algorithm, or its OID.
pub(crate) fn named(oid: ObjectIdentifier) -> String {
    SIGNATURES.iter().find(|row| row.0 == oid).map_or_else(|| format!("OID {oid}"), |row| row.3.into())
}

/// Hash function of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    /// MD5, whose DigestInfo is recognised; signatures with it are refused.
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    const fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn digest(self, contents: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => Vec::new(),
            Self::Sha1 => Sha1::digest(contents).to_vec(),
            Self::Sha256 => Sha256::digest(contents).to_vec(),
            Self::Sha384 => Sha384::digest(contents).to_vec(),
            Self::Sha512 => Sha512::digest(contents).to_vec(),
        }
    }

    /// Returns DigestInfo in front of the hash (RFC 8017 section 9.2, note 1).
    const fn digest_info(self) -> &'static [u8] {
        match self {
            Self::Md5 => b"\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10",
            Self::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
            Self::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
            Self::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
            Self::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_keys_out_of_bounds_are_refused() {
        let modulus = |bits: usize, last: u8| {
            let mut number = vec![0xff; bits.div_ceil(8)];
            (number[0], number[bits.div_ceil(8) - 1]) = (0xff >> (bits.div_ceil(8) * 8 - bits), last);
            number
        };
        let new = |modulus: &[u8], exponent: &[u8]| RsaKey::new(modulus, exponent).map(|key| key.signature_len());
        for bits in [1024, 1025, 2047, 4096] {
            assert_eq!(new(&modulus(bits, 1), &[1, 0, 1]), Ok(bits.div_ceil(8)));
        }
        let table: [(Vec<u8>, &[u8], KeyError); 5] = [
            (vec![], &[3], KeyError::TooShort { bits: 0 }),
            (modulus(1023, 1), &[3], KeyError::TooShort { bits: 1023 }),
            ([vec![0; 64], modulus(512, 1)].concat(), &[3], KeyError::TooShort { bits: 512 }),
            (modulus(4097, 1), &[3], KeyError::TooLong { bits: 4097 }),
            (modulus(1024, 1), &[0, 0, 1], KeyError::ExponentIsOne),
        ];
        for (modulus, exponent, expected) in table {
            assert_eq!(new(&modulus, exponent), Err(expected));
        }
    }
}
