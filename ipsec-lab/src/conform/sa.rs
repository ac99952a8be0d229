//! The SA that a record describes.

use ah_core::Profile;
use ipsec_crypto::{AnyAhIntegrity, AnySuite, CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{DestinationOptions, EcnMode, Ip, Marker, Ports, SeqWidth, Spi, Tunnel};
use test_vectors::UdpPorts;

use super::Failure;
use crate::road::{Encap, Mode};

/// What a record says of its SA.
pub struct Sa<'a> {
    /// Cipher name.
    pub cipher: &'a str,
    /// Cipher key, without salt.
    pub cipher_key: &'a [u8],
    /// Salt.
    pub salt: &'a [u8],
    /// Integrity name.
    pub integrity: &'a str,
    /// Integrity key.
    pub integrity_key: &'a [u8],
    /// Octets of ICV; 0 where the algorithm has only one length.
    pub icv_len: usize,
}

impl Sa<'_> {
    /// The suite.
    pub fn suite(&self) -> Result<AnySuite, Failure> {
        let unknown = |what: &str| Failure::new("a known algorithm", what);
        let cipher = self.cipher_algorithm().ok_or_else(|| unknown(self.cipher))?;
        let integrity = self.integrity_algorithm().ok_or_else(|| unknown(self.integrity))?;
        let key = [self.cipher_key, self.salt].concat();
        let suite = match (cipher.row().map_or(0, |row| row.icv), integrity) {
            (0, IntegrityAlgorithm::None) => AnySuite::without_integrity(cipher, &key),
            _ => AnySuite::from_slices(cipher, &key, integrity, self.integrity_key),
        };
        suite.map_err(|e| Failure::new("a usable key", e))
    }

    /// The integrity algorithm of an AH SA.
    pub fn ah_integrity(&self) -> Result<AnyAhIntegrity, Failure> {
        let integrity = self.integrity_algorithm().ok_or_else(|| Failure::new("a known algorithm", self.integrity))?;
        let key = [self.integrity_key, self.salt].concat();
        AnyAhIntegrity::new(integrity, &key).map_err(|e| Failure::new("a usable key", e))
    }

    fn cipher_algorithm(&self) -> Option<CipherAlgorithm> {
        let icv = if self.icv_len == 0 { 16 } else { self.icv_len };
        match self.cipher {
            "aes-gcm" | "aes-ccm" => CipherAlgorithm::by_name(&format!("{}-{icv}", self.cipher)),
            name => CipherAlgorithm::by_name(name),
        }
    }

    /// The integrity algorithm of this name whose ICV has the right length.
    pub fn integrity_algorithm(&self) -> Option<IntegrityAlgorithm> {
        let by_name = match self.integrity {
            "" => IntegrityAlgorithm::None,
            name => IntegrityAlgorithm::by_name(name)?,
        };
        let icv = by_name.row()?.icv;
        match (by_name, self.icv_len) {
            (IntegrityAlgorithm::HmacSha2_256_128, 12) => Some(IntegrityAlgorithm::HmacSha2_256_96),
            (IntegrityAlgorithm::None, _) => Some(by_name),
            (_, len) if len == icv || len == 0 => Some(by_name),
            _ => None,
        }
    }
}

/// The mode of a record; in tunnel mode the inner packet is delivered as it is.
pub fn mode(name: &str, outer: Option<&Ip<'_>>) -> Result<Mode, Failure> {
    match (name, outer) {
        ("transport", _) => Ok(Mode::Transport(DestinationOptions::Protected)),
        ("tunnel", Some(Ip::V4(ip))) => {
            Ok(Mode::Tunnel(Tunnel::v4(ip.header().destination(), ip.header().source()).with_ecn(EcnMode::Forbidden)))
        }
        ("tunnel", Some(Ip::V6(ip))) => {
            Ok(Mode::Tunnel(Tunnel::v6(ip.header().destination(), ip.header().source()).with_ecn(EcnMode::Forbidden)))
        }
        // A packet that is not even IP is refused before the mode matters.
        ("tunnel", None) => {
            Ok(Mode::Tunnel(Tunnel::v4([0, 0, 0, 0].into(), [0, 0, 0, 0].into()).with_ecn(EcnMode::Forbidden)))
        }
        (other, _) => Err(Failure::new("transport or tunnel mode", other)),
    }
}

/// What an AH peer makes of ambiguous rules.
pub fn profile(name: Option<&str>) -> Result<Profile, Failure> {
    match name {
        None => Ok(Profile::RFC),
        Some("align8") => Ok(Profile::LINUX),
        Some(other) => Err(Failure::new("a known ah_profile", other)),
    }
}

/// The encapsulation of a record.
pub fn encap(ports: Option<UdpPorts>) -> Option<Encap> {
    ports.map(|UdpPorts { sport, dport }| Encap {
        ports: Ports { source: sport, destination: dport },
        marker: Marker::NonEsp,
    })
}

/// The width of its numbers.
pub fn width(esn: bool) -> SeqWidth {
    if esn { SeqWidth::Extended64 } else { SeqWidth::Bits32 }
}

/// Its SPI. Records use the reserved ones, too, but for 0, which is `None` here.
pub fn spi(spi: u32) -> Option<Spi> {
    Spi::reserved(spi).ok()
}
