//! SA of a record.

use std::marker::PhantomData;

use ah_core::Profile;
use ipcomp_core::{Deflate, Inflate};
use ipsec_crypto::{AnyAhIntegrity, AnySuite, CipherAlgorithm, IntegrityAlgorithm};
use ipsec_engine::{Algorithms, Mode, Sa, Transform, UdpEncap};
use ipsec_packet::{AntiReplay, ChecksumRepair, EcnMode, Ip, Marker, Ports, SeqWidth, Spi};
use test_vectors::{SaRecord, UdpPorts};

use super::Failure;

/// Every algorithm, with a window of the size in the record.
pub struct With<W>(PhantomData<W>);

impl<W: AntiReplay> Algorithms for With<W> {
    type Suite = AnySuite;
    type Integrity = AnyAhIntegrity;
    type Window = W;
    type Compressor = Deflate;
    type Decompressor = Inflate;
}

/// Creates the inbound SA for the packets of a record, with the addresses of `packet`. In tunnel mode the inner
/// packet is delivered unchanged.
pub fn receiver<W: AntiReplay>(
    mode: &str,
    packet: &[u8],
    encap: Option<UdpPorts>,
    transform: Transform<With<W>>,
) -> Result<Sa<With<W>>, Failure> {
    // A packet that is not IP is refused before the addresses matter.
    let unspecified = std::net::IpAddr::from([0; 4]);
    let (source, destination) =
        Ip::parse(packet).map_or((unspecified, unspecified), |ip| (ip.source(), ip.destination()));
    let sa = Sa::new(source, destination, transform).map_err(|e| Failure::new("an SA", e))?;
    let mode = Mode::by_name(mode).ok_or_else(|| Failure::new("transport or tunnel mode", mode))?;
    let sa = sa.with_mode(mode).with_tunnel(|tunnel| tunnel.with_ecn(EcnMode::Forbidden));
    Ok(match self::encap(encap) {
        Some(encap) => sa.with_encap(encap, ChecksumRepair::Leave),
        None => sa,
    })
}

/// Creates the suite of an ESP SA.
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

/// Creates the integrity algorithm of an AH SA.
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

/// Returns the integrity algorithm with this name and ICV length.
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

/// Returns the AH profile with this name. The packets of records may have been captured anywhere on their path.
pub fn profile(name: Option<&str>) -> Result<Profile, Failure> {
    match name {
        None => Ok(Profile::RFC.accepting_unfinished_routes()),
        Some("align8") => Ok(Profile::LINUX.accepting_unfinished_routes()),
        Some(other) => Err(Failure::new("a known ah_profile", other)),
    }
}

/// Returns the UDP encapsulation of a record.
pub fn encap(ports: Option<UdpPorts>) -> Option<UdpEncap> {
    ports.map(|UdpPorts { sport, dport }| UdpEncap {
        ports: Ports { source: sport, destination: dport },
        marker: Marker::NonEsp,
    })
}

/// Returns the width of the sequence numbers.
pub fn width(esn: bool) -> SeqWidth {
    if esn { SeqWidth::Extended64 } else { SeqWidth::Bits32 }
}

/// Returns the SPI, including the reserved values 1 to 255; `None` for 0.
pub fn spi(spi: u32) -> Option<Spi> {
    Spi::reserved(spi).ok()
}
