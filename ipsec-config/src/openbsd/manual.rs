//! SAs with manual keys.

use std::format;
use std::net::IpAddr;
use std::vec::Vec;

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, KeyLengths, Secret, SuiteKeys};
use ipsec_packet::{Marker, Ports};
use ipsec_sa::{CompressionAlgorithm, Mode, Protocol, SaId, SaParams, TransformParams, UdpEncap};
use zeroize::Zeroizing;

use super::names::Release;
use super::syntax::{ManualSa, SaType};
use crate::{Configuration, ConfiguredSa, Diagnostics, Span};

/// UDP port of this host for ESP in UDP.
const UDP_PORT: u16 = 4500;

pub(super) struct Manual<'c> {
    pub release: Release,
    pub configuration: &'c mut Configuration,
    pub diagnostics: &'c mut Diagnostics,
}

/// One of the two SAs of a rule.
struct Side<'s> {
    index: usize,
    spi: u32,
    source: IpAddr,
    destination: IpAddr,
    sa: &'s ManualSa,
}

impl Manual<'_> {
    pub fn add(&mut self, span: Span, sa: &ManualSa) {
        match sa.protocol {
            SaType::Ipip => {
                return self
                    .diagnostics
                    .warning(span, "`ipip` has no effect: tunnels without IPsec are those of gif(4)");
            }
            SaType::TcpMd5 => {
                return self
                    .diagnostics
                    .warning(span, "`tcpmd5` has no effect: TCP-MD5 signatures are those of the kernel");
            }
            SaType::Esp | SaType::Ah | SaType::Ipcomp => {}
        }
        let (source, destination) = (sa.source, sa.destination);
        let first = Side { index: 0, spi: sa.spis.0, source, destination, sa };
        let second = sa.spis.1.map(|spi| Side { index: 1, spi, source: destination, destination: source, sa });
        for side in [first].into_iter().chain(second) {
            let Some(transform) = self.transform(span, &side) else { return };
            let protocol = match transform {
                TransformParams::Ah { .. } => Protocol::Ah,
                TransformParams::Ipcomp { .. } => Protocol::Ipcomp,
                _ => Protocol::Esp,
            };
            // The first SA is the outbound one of the host on which the rule names it first.
            let id = if side.index == 0 {
                SaId::outbound(side.destination, protocol, side.spi)
            } else {
                SaId::inbound(side.destination, protocol, side.spi)
            };
            let mode = if sa.is_tunnel { Mode::Tunnel } else { Mode::Transport };
            // The second SA has the ports of the other direction.
            let ports = sa.udp_port.map(|port| match side.index {
                0 => Ports { source: UDP_PORT, destination: port },
                _ => Ports { source: port, destination: UDP_PORT },
            });
            let encap = ports.map(|ports| UdpEncap { ports, marker: Marker::NonEsp });
            let params = SaParams { mode, encap, ..SaParams::new(id, side.source, transform) };
            self.configuration.sas.push(ConfiguredSa { span, params });
        }
    }

    /// Reports transforms that the protocol does not have.
    fn check(&mut self, span: Span, sa: &ManualSa) -> Option<()> {
        let is_aead = sa.cipher.and_then(|(cipher, _)| cipher.row()).is_some_and(|row| row.icv > 0);
        let has_keys = !sa.auth_keys.is_empty() || !sa.cipher_keys.is_empty();
        let wrong = match sa.protocol {
            SaType::Ah if sa.cipher.is_some() || !sa.cipher_keys.is_empty() => {
                Some("`ah` has no encryption: expected no `enc` and `enckey`")
            }
            SaType::Ah | SaType::Esp if sa.has_compression => Some("`comp` is a transform of `ipcomp` only"),
            SaType::Ipcomp if sa.auth.is_some() || sa.cipher.is_some() || has_keys => {
                Some("`ipcomp` has no encryption and authentication")
            }
            SaType::Esp if is_aead && sa.auth.is_some() => Some("the cipher provides integrity: expected no `auth`"),
            // The initialization vectors of packets would repeat after a start.
            SaType::Esp if is_aead => Some("the cipher is not permitted with static keys"),
            _ => None,
        };
        match wrong {
            None => Some(()),
            Some(text) => {
                self.diagnostics.error(span, text);
                None
            }
        }
    }

    fn transform(&mut self, span: Span, side: &Side<'_>) -> Option<TransformParams> {
        let sa = side.sa;
        self.check(span, sa)?;
        if sa.protocol == SaType::Ipcomp {
            return Some(TransformParams::Ipcomp { algorithm: CompressionAlgorithm::Deflate, spi: side.spi });
        }
        let integrity = match sa.auth {
            Some(IntegrityAlgorithm::HmacSha2_256_128) | None if self.release.cuts_sha2_256() => {
                IntegrityAlgorithm::HmacSha2_256_96
            }
            Some(auth) => auth,
            None => IntegrityAlgorithm::HmacSha2_256_128,
        };
        let length = integrity.row().map_or(0, |row| row.default_key);
        let auth_key = self.key(span, side, "`authkey`", &sa.auth_keys, &KeyLengths::exactly(length))?;
        if sa.protocol == SaType::Ah {
            if integrity == IntegrityAlgorithm::None {
                self.diagnostics
                    .error(span, "`ah` requires an authentication algorithm: expected another one than `none`");
                return None;
            }
            return Secret::new(&auth_key).ok().map(|key| TransformParams::Ah { integrity, key });
        }
        let (cipher, octets) = sa.cipher.unwrap_or((CipherAlgorithm::AesCbc, 16));
        let row = cipher.row()?;
        if cipher == CipherAlgorithm::AesCtr {
            if self.release >= Release::V5_8 {
                self.diagnostics.error(span, "the cipher is not permitted with static keys");
                return None;
            }
            let text =
                "a counter that is reused with the same key discloses plaintext: newer releases refuse the cipher";
            self.diagnostics.warning(span, text);
        }
        let lengths = match sa.is_any_length {
            true => row.keys,
            false => KeyLengths::exactly(octets),
        };
        let cipher_key = self.key(span, side, "`enckey`", &sa.cipher_keys, &lengths)?;
        match SuiteKeys::new(cipher, &cipher_key, integrity, &auth_key) {
            Ok(_) if integrity == IntegrityAlgorithm::None => {
                self.diagnostics.error(span, "`auth none`: without integrity, modified packets are not detected");
                None
            }
            Ok(keys) => Some(TransformParams::Esp(keys)),
            Err(e) => {
                self.diagnostics.error(span, format!("{e}"));
                None
            }
        }
    }

    /// Returns the key of one of the two SAs of a rule.
    fn key(
        &mut self,
        span: Span,
        side: &Side<'_>,
        name: &str,
        keys: &[Zeroizing<Vec<u8>>],
        lengths: &KeyLengths,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let key = keys.get(side.index);
        let length = key.map_or(0, |key| key.len());
        if lengths.allow(length) && (key.is_some() || length == lengths.max) {
            return Some(key.cloned().unwrap_or_default());
        }
        let bits = |octets: usize| octets.saturating_mul(8);
        let expected = match (lengths.min, lengths.max) {
            (min, max) if min == max => format!("{} bits", bits(max)),
            (min, max) => format!("{} to {} bits", bits(min), bits(max)),
        };
        let which = if side.index == 0 { "" } else { "second " };
        let text = match key {
            None => format!("{which}{name} is missing: expected {expected}"),
            Some(_) => format!("{which}{name}: expected {expected}, found {}", bits(length)),
        };
        self.diagnostics.error(span, text);
        None
    }
}
