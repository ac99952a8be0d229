//! Keys of SAs without policies, for captures: `--esp-keys`.

mod addresses;
mod esp_sa;
mod open;
mod seal;

use std::error::Error;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ah_core::Profile;
use ipsec_config::setkey::Sha2256;
use ipsec_config::{Diagnostic, Language, LoadSettings, Severity, SystemFiles, WithText, load};
use ipsec_crypto::IntegrityAlgorithm;
use ipsec_engine::{AnyAlgorithms, Sa, SaError};
use ipsec_sa::{Mode, Protocol, SaParams, TransformParams};
use zeroize::Zeroizing;

use crate::capture::FileKind;
use crate::capture::IpHeader;
use crate::wireshark::has_rows;
use addresses::AddressPattern;
pub use open::Opener;
pub use seal::Sealer;

/// Description of the files for messages.
const FORMATS: &str = "Wireshark's table esp_sa, the output of `ip xfrm state`, or statements of setkey(8)";

/// SA with its keys, as a file contains it.
pub struct SaKeys {
    /// Parameters. Addresses and direction are replaced by those of the packets.
    params: SaParams,
    source: AddressPattern,
    destination: AddressPattern,
    /// Set if the file says the mode.
    has_mode: bool,
    /// Set when a packet was opened with the keys.
    is_used: bool,
    /// Set for a row whose SPI matches every packet.
    any_spi: bool,
    /// Octets of an ICV that is not verified, because the file contains no key for it.
    unchecked_icv: usize,
}

impl SaKeys {
    /// Creates the keys of an SA with exact addresses and a mode.
    fn of_params(params: SaParams) -> Self {
        let (source, destination) = (params.source, params.id.destination);
        Self {
            params,
            source: AddressPattern::host(source),
            destination: AddressPattern::host(destination),
            has_mode: true,
            is_used: false,
            any_spi: false,
            unchecked_icv: 0,
        }
    }

    /// Truncates HMAC-SHA2-256 to 96 bits.
    fn truncate_sha2_256(&mut self) {
        if let TransformParams::Esp(keys) = &mut self.params.transform
            && keys.integrity == IntegrityAlgorithm::HmacSha2_256_128
        {
            keys.integrity = IntegrityAlgorithm::HmacSha2_256_96;
        }
    }

    /// Returns whether packets with this protocol and SPI may be those of the SA.
    fn has_spi(&self, protocol: Protocol, spi: u32) -> bool {
        self.params.id.protocol == protocol && (self.any_spi || self.params.id.spi == spi)
    }

    fn has_addresses(&self, header: &IpHeader) -> bool {
        self.source.matches(header.source) && self.destination.matches(header.destination)
    }

    /// Returns the addresses of the SA if the file has both.
    fn ends(&self) -> Option<(IpAddr, IpAddr)> {
        Some((self.source.as_host()?, self.destination.as_host()?))
    }

    /// Creates the SA, which checks algorithms and keys.
    fn check(&self) -> Result<(), SaError> {
        Sa::<AnyAlgorithms>::from_params(&self.params, Profile::RFC).map(drop)
    }
}

/// Keys of a file.
pub struct EspKeys {
    /// Path of the file.
    pub path: PathBuf,
    sas: Vec<SaKeys>,
}

impl EspKeys {
    /// Reads a file in any of the formats; `-` is standard input. Warnings are printed. `sha2_256` is the truncation of
    /// the algorithm that setkey(8) names without a length.
    pub fn read(path: &Path, sha2_256: Sha2256) -> Result<Self, Box<dyn Error>> {
        if path.is_dir() {
            return Err(format!("{}: a directory, expected a file: {FORMATS}", path.display()).into());
        }
        let read = if path.as_os_str() == "-" {
            let mut text = Vec::new();
            io::stdin().read_to_end(&mut text).map(|_| text)
        } else {
            std::fs::read(path)
        };
        let text = Zeroizing::new(read.map_err(|e| format!("{}: {e}", path.display()))?);
        let kind = match has_rows(&text, esp_sa::PREFIX) {
            true => FileKind::EspKeys,
            false => FileKind::of(&text[..text.len().min(4096)]),
        };
        if let Some(problem) = kind.as_text(FORMATS) {
            return Err(format!("{}: {problem}", path.display()).into());
        }
        let mut sas = match kind {
            FileKind::EspKeys => esp_sa::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?,
            FileKind::Setkey => Self::load(path, &text, Language::Setkey)?,
            FileKind::Xfrm => Self::load(path, &text, Language::Xfrm)?,
            FileKind::IkeKeys => {
                let hint = "Wireshark's table ikev1_decryption_table, which is for `ipsec-lab ike --ike-keys`";
                return Err(format!("{}: expected {FORMATS}, found {hint}", path.display()).into());
            }
            _ if text.trim_ascii().is_empty() => {
                return Err(format!("{}: the file is empty: expected {FORMATS}", path.display()).into());
            }
            _ => match Language::detect(path, &text) {
                Some(language) => Self::load(path, &text, language)?,
                None => return Err(format!("{}: expected {FORMATS}", path.display()).into()),
            },
        };
        if sha2_256 == Sha2256::Bits96 && kind == FileKind::Setkey {
            sas.iter_mut().for_each(SaKeys::truncate_sha2_256);
        }
        if sas.is_empty() {
            return Err(format!("{}: the file has no SA with keys: expected {FORMATS}", path.display()).into());
        }
        Ok(Self { path: path.to_owned(), sas })
    }

    /// Parses a file of a configuration language, which may be a pipe that is read once.
    fn load(path: &Path, text: &[u8], language: Language) -> Result<Vec<SaKeys>, Box<dyn Error>> {
        let files = WithText { files: &SystemFiles, path, text };
        let loaded = load(&files, &[(path.to_owned(), Some(language))], &LoadSettings::default());
        // What concerns policies and peers does not matter here.
        let matters = |own: &&Diagnostic| own.severity == Severity::Error || own.message.contains("skipped");
        for diagnostic in loaded.diagnostics.iter().filter(matters) {
            noteln!("{}", loaded.sources.show(diagnostic));
        }
        if loaded.diagnostics.errors() > 0 {
            return Err(format!("{}: the file has errors", path.display()).into());
        }
        let mut sas = Vec::new();
        for sa in loaded.configuration.sas {
            let keys = SaKeys::of_params(sa.params);
            keys.check().map_err(|e| format!("{}: {}: {e}", path.display(), keys.params))?;
            sas.push(keys);
        }
        Ok(sas)
    }

    /// Returns the UDP ports of SAs with ESP in UDP.
    pub fn udp_ports(&self) -> Vec<u16> {
        let encaps = self.sas.iter().filter_map(|sa| sa.params.encap);
        encaps.flat_map(|encap| [encap.ports.source, encap.ports.destination]).filter(|port| *port != 0).collect()
    }
}

/// Returns whether the keys are those of ESP.
const fn is_esp(transform: &TransformParams) -> bool {
    matches!(transform, TransformParams::Esp(_) | TransformParams::EspWithoutIntegrity(_))
}

/// Returns the mode in which packets are opened: that of the file for transport mode; otherwise the next header says
/// whether a packet is inside.
const fn opened_mode(keys: &SaKeys) -> Mode {
    match keys.params.mode {
        Mode::Transport if keys.has_mode => Mode::Transport,
        Mode::Beet if keys.params.beet.is_some() => Mode::Beet,
        _ => Mode::Any,
    }
}
