//! The SA that a record describes.

use ah_core::Profile;
use ipsec_crypto::{AnyAhIntegrity, AnySuite, CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{DestinationOptions, EcnMode, Ip, Marker, Ports, SeqWidth, Spi, Tunnel};
use test_vectors::{SaRecord, UdpPorts};

use super::Failure;
use crate::road::{Encap, Mode};

/// The suite of an ESP SA.
pub fn suite(sa: &SaRecord) -> Result<AnySuite, Failure> {
    let cipher = cipher(sa).ok_or_else(|| Failure::new("a known algorithm", &sa.cipher))?;
    let integrity = integrity(sa).ok_or_else(|| Failure::new("a known algorithm", &sa.auth))?;
    let key = [&sa.enc_key[..], &sa.salt[..]].concat();
    let suite = match (cipher.row().map_or(0, |row| row.icv), integrity) {
        (0, IntegrityAlgorithm::None) => AnySuite::without_integrity(cipher, &key),
        _ => AnySuite::from_slices(cipher, &key, integrity, &sa.auth_key),
    };
    suite.map_err(|e| Failure::new("a usable key", e))
}

/// The integrity algorithm of an AH SA.
pub fn ah_integrity(sa: &SaRecord) -> Result<AnyAhIntegrity, Failure> {
    let integrity = integrity(sa).ok_or_else(|| Failure::new("a known algorithm", &sa.auth))?;
    let key = [&sa.auth_key[..], &sa.salt[..]].concat();
    AnyAhIntegrity::new(integrity, &key).map_err(|e| Failure::new("a usable key", e))
}

fn cipher(sa: &SaRecord) -> Option<CipherAlgorithm> {
    let icv = if sa.icv_len == 0 { 16 } else { sa.icv_len };
    match sa.cipher.as_str() {
        name @ ("aes-gcm" | "aes-ccm") => CipherAlgorithm::by_name(&format!("{name}-{icv}")),
        name => CipherAlgorithm::by_name(name),
    }
}

/// The integrity algorithm of this name whose ICV has the right length.
fn integrity(sa: &SaRecord) -> Option<IntegrityAlgorithm> {
    let by_name = match sa.auth.as_str() {
        "" => IntegrityAlgorithm::None,
        name => IntegrityAlgorithm::by_name(name)?,
    };
    match (by_name, sa.icv_len) {
        (IntegrityAlgorithm::HmacSha2_256_128, 12) => Some(IntegrityAlgorithm::HmacSha2_256_96),
        (IntegrityAlgorithm::None, _) => Some(by_name),
        (_, len) if len == 0 || len == by_name.row()?.icv => Some(by_name),
        _ => None,
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
