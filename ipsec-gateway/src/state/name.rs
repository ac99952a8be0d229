//! Names of SAs in the state file.

use std::fmt;
use std::net::IpAddr;

use ipsec_crypto::{HashFunction, Prf};
use ipsec_sa::{Direction, Protocol, SaParams, TransformParams};
use zeroize::Zeroizing;

/// Length of the random number of a file in octets.
pub const SALT: usize = 16;
/// Number of iterations of a hash of keys: about a millisecond for each SA, and for each guess of a key.
const ITERATIONS: u32 = 1000;

/// Name of an SA with manual keys: its identifier, and a hash of algorithms and keys. An SA with other keys has another
/// name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SaName {
    /// Set for an outbound SA.
    pub is_outbound: bool,
    /// Set for an AH SA, clear for an ESP SA.
    pub is_ah: bool,
    /// Destination address of its packets.
    pub destination: IpAddr,
    /// UDP port of the peer, for an outbound SA in UDP.
    pub port: Option<u16>,
    /// SPI of the SA.
    pub spi: u32,
    /// Hash of algorithms and keys.
    pub key: KeyHash,
}

impl SaName {
    /// Returns the name of an SA in a file with this random number; `None` for IPComp, which has neither keys nor
    /// sequence numbers.
    pub fn of(sa: &SaParams, salt: &[u8; SALT]) -> Option<Self> {
        Some(Self {
            is_outbound: sa.id.direction == Direction::Outbound,
            is_ah: sa.id.protocol == Protocol::Ah,
            destination: sa.id.destination,
            port: sa.id.peer_port,
            spi: sa.id.spi,
            key: KeyHash::of(&sa.transform, salt)?,
        })
    }
}

/// Prints the name as in the file.
impl fmt::Display for SaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (direction, protocol) =
            (if self.is_outbound { "out" } else { "in" }, if self.is_ah { "ah" } else { "esp" });
        write!(f, "{direction} {protocol} {}", self.destination)?;
        if let Some(port) = self.port {
            write!(f, "[{port}]")?;
        }
        write!(f, " {:#010x} key {}", self.spi, Hex(&self.key.0))
    }
}

/// Hash of the algorithms and keys of an SA: the first 64 bits of PBKDF2 with HMAC-SHA2-256 and the random number of
/// the file (RFC 8018 section 5.2).
///
/// A reader of the file can compare guesses of a weak key with it, as with a packet of the SA. A guess takes 2,000
/// computations of HMAC here, one there; and it must be right in all keys of the SA, where a packet shows each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 8]);

impl KeyHash {
    fn of(transform: &TransformParams, salt: &[u8; SALT]) -> Option<Self> {
        let (names, keys) = match transform {
            TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
                (format!("{} {}", keys.cipher, keys.integrity), [keys.cipher_key.expose(), keys.integrity_key.expose()])
            }
            TransformParams::Ah { integrity, key } => (integrity.to_string(), [&[][..], key.expose()]),
            TransformParams::Ipcomp { .. } => return None,
        };
        let lengths = format!("{names} {} {}\n", keys[0].len(), keys[1].len());
        let mut material = Zeroizing::new(Vec::with_capacity(lengths.len() + keys[0].len() + keys[1].len()));
        [lengths.as_bytes(), keys[0], keys[1]].iter().for_each(|part| material.extend_from_slice(part));
        let prf: Prf = HashFunction::Sha2_256.prf();
        let mut step = prf.compute(&material, &[salt, &1_u32.to_be_bytes()]);
        let mut hash = [0; 8];
        for _ in 0..ITERATIONS {
            hash.iter_mut().zip(step.expose()).for_each(|(octet, other)| *octet ^= other);
            step = prf.compute(&material, &[step.expose()]);
        }
        Some(Self(hash))
    }
}

/// Prints octets as hexadecimal digits.
pub struct Hex<'o>(pub &'o [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, SuiteKeys};

    use super::*;

    fn esp(cipher: CipherAlgorithm, cipher_key: &[u8], integrity_key: &[u8]) -> TransformParams {
        let integrity = IntegrityAlgorithm::HmacSha1_96;
        TransformParams::Esp(SuiteKeys::new(cipher, cipher_key, integrity, integrity_key).unwrap())
    }

    #[test]
    fn hashes_of_different_algorithms_keys_and_files_differ() {
        let salt = [7; SALT];
        let aes = CipherAlgorithm::AesCbc;
        let hash = |transform, salt| KeyHash::of(&transform, salt).unwrap();
        let own = hash(esp(aes, &[1; 16], &[2; 20]), &salt);
        assert_eq!(own, hash(esp(aes, &[1; 16], &[2; 20]), &salt));
        let others = [
            hash(esp(aes, &[1; 16], &[3; 20]), &salt),
            hash(esp(aes, &[4; 16], &[2; 20]), &salt),
            hash(esp(aes, &[1; 24], &[2; 20]), &salt),
            hash(esp(CipherAlgorithm::TripleDesCbc, &[1; 16], &[2; 20]), &salt),
            hash(esp(aes, &[1; 16], &[2; 20]), &[8; SALT]),
        ];
        assert!(others.iter().all(|other| *other != own), "{others:?}");
    }
}
