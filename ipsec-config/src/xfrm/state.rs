//! SAs, without their algorithms.

use std::format;
use std::time::Duration;
use std::vec::Vec;

use ipsec_crypto::{CipherAlgorithm as C, IntegrityAlgorithm as I};
use ipsec_packet::{Marker, Ports, SeqWidth};
use ipsec_sa::{Mode, SaId, SaParams, UdpEncap};

use super::record::Record;
use super::records::found;
use crate::blocks::number;
use crate::{ConfiguredSa, Span};

impl Record<'_, '_> {
    pub(super) fn state(&mut self) -> Option<ConfiguredSa> {
        let span = self.span();
        let (mut source, mut destination, mut protocol, mut spi) = (None, None, None, None);
        let (mut mode, mut reqid, mut sequence, mut encap) = (Mode::Transport, 0, SeqWidth::Bits32, None);
        let mut cipher: Option<(C, zeroize::Zeroizing<Vec<u8>>)> = None;
        let mut auth: Option<(I, zeroize::Zeroizing<Vec<u8>>)> = None;
        let mut lifetimes = ipsec_sa::Lifetimes::default();
        while let Some((word, at)) = self.next() {
            match word {
                "src" if source.is_none() => source = Some(self.address()?),
                "dst" if destination.is_none() => destination = Some(self.address()?),
                "proto" if protocol.is_none() => protocol = Some(self.protocol()?),
                "spi" => {
                    spi = Some(self.value("an SPI", |word| {
                        number(word.split('(').next()?).and_then(|own| u32::try_from(own).ok())
                    })?);
                }
                "reqid" => {
                    reqid = self.value("a request ID", |word| {
                        number(word.split('(').next()?).and_then(|own| u32::try_from(own).ok())
                    })?;
                }
                "mode" => mode = self.mode()?,
                "flag" => sequence = self.flags(),
                "enc" | "aead" => cipher = Some(self.cipher(word == "aead")?),
                "auth" | "auth-trunc" => auth = Some(self.auth(word == "auth-trunc")?),
                "comp" => {
                    self.value("`deflate`", |word| (word == "deflate").then_some(()))?;
                }
                "encap" => encap = Some(self.encap(at)?),
                // `limit:` and `expire add:` of the output; time of the first use has no limit here.
                "limit:" | "add:" => self.limit(&mut lifetimes),
                "limit" => self.named_limit(&mut lifetimes)?,
                "sel" => self.selector(),
                // Hardware that processes the packets.
                "crypto" => self.skip_to(&["sel", "if_id", "lifetime", "limit:"]),
                // Contents of the replay window, which is also named after the sequence numbers.
                "anti-replay" => self.skip_to(&["sel", "crypto", "if_id", "lifetime", "limit:"]),
                _ => {}
            }
        }
        let (Some(source), Some(destination), Some(protocol), Some(spi)) = (source, destination, protocol, spi) else {
            self.diagnostics.error(span, "expected `src`, `dst`, `proto` and `spi` in the SA");
            return None;
        };
        let transform = match self.transform(protocol, cipher, auth, spi) {
            Ok(transform) => transform,
            Err(why) => {
                self.diagnostics.error(span, why);
                return None;
            }
        };
        let id = SaId::outbound(destination, protocol, spi);
        let params = SaParams { mode, reqid, sequence, encap, lifetimes, ..SaParams::new(id, source, transform) };
        Some(ConfiguredSa { span, params })
    }

    /// Skips words up to one of these.
    fn skip_to(&mut self, names: &[&str]) {
        let rest = self.words.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|(word, _)| names.contains(word)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(length);
    }

    /// Skips the selector of an SA.
    fn selector(&mut self) {
        let names = ["src", "dst", "proto", "sport", "dport", "type", "code", "key", "dev", "uid"];
        while self.words.get(self.at).is_some_and(|(word, _)| names.contains(word)) {
            self.at = self.at.saturating_add(2);
        }
    }

    /// Parses `time-hard 3600` and similar words of a command.
    fn named_limit(&mut self, lifetimes: &mut ipsec_sa::Lifetimes) -> Option<()> {
        let (name, span) = self.next()?;
        let value: u64 = self.number("a number")?;
        let (what, kind) = name.rsplit_once('-').unwrap_or((name, ""));
        let limit = if kind == "soft" { &mut lifetimes.soft } else { &mut lifetimes.hard };
        match what {
            "time" => limit.age = Some(Duration::from_secs(value)),
            "byte" => limit.octets = Some(value),
            "packet" => limit.packets = Some(value),
            "time-use" => {}
            _ => {
                let text = format!("expected a limit as `time-hard` or `byte-soft`, found {}", found(name));
                self.diagnostics.error(span, text);
                return None;
            }
        }
        Some(())
    }

    /// Parses the flags of an SA, which are words or a number.
    fn flags(&mut self) -> SeqWidth {
        let names =
            ["noecn", "decap-dscp", "nopmtudisc", "wildrecv", "icmp", "af-unspec", "align4", "esn", "oseq-may-wrap"];
        let mut sequence = SeqWidth::Bits32;
        while let Some((word, _)) = self.words.get(self.at).copied() {
            // Programs that do not know the name print the number of XFRM_STATE_ESN.
            let is_number = word.starts_with(|c: char| c.is_ascii_digit());
            let number = u32::from_str_radix(word, 16).ok().filter(|_| is_number);
            if !names.contains(&word) && number.is_none() {
                break;
            }
            if word == "esn" || number.is_some_and(|flags| flags & 0x80 != 0) {
                sequence = SeqWidth::Extended64;
            }
            self.at = self.at.saturating_add(1);
        }
        sequence
    }

    /// Parses `(soft) 0(bytes), hard 3600(sec)` and similar words of the configured lifetimes.
    fn limit(&mut self, lifetimes: &mut ipsec_sa::Lifetimes) {
        let Some((_, _)) = self.words.get(self.at) else { return };
        for _ in 0..2 {
            let Some((kind, _)) = self.next() else { return };
            let Some((value, _)) = self.next() else { return };
            let limit = if kind == "soft" { &mut lifetimes.soft } else { &mut lifetimes.hard };
            let (digits, unit) = value.split_once('(').unwrap_or((value, ""));
            let Some(value) = number(digits).filter(|value| *value > 0) else { continue };
            match unit.trim_end_matches([',', ')']) {
                "bytes" => limit.octets = Some(value),
                "packets" => limit.packets = Some(value),
                "sec" => limit.age = Some(Duration::from_secs(value)),
                _ => {}
            }
        }
    }

    fn encap(&mut self, at: Span) -> Option<UdpEncap> {
        let mut ports = Ports { source: 4500, destination: 4500 };
        let mut marker = Marker::NonEsp;
        while let Some((word, _)) = self.words.get(self.at).copied() {
            self.at = self.at.saturating_add(1);
            match word {
                "type" => {}
                "espinudp" => {}
                "espinudp-nonike" => marker = Marker::NonIke,
                // The ports and the address of a command have no names.
                port if number(port).is_some() => {
                    self.at = self.at.saturating_sub(1);
                    ports.source = self.number("a port")?;
                    ports.destination = self.number("a port")?;
                    self.at = self.at.saturating_add(1);
                    break;
                }
                "sport" => ports.source = self.number("a port")?,
                "dport" => ports.destination = self.number("a port")?,
                "addr" => {
                    self.at = self.at.saturating_add(1);
                    break;
                }
                other => {
                    self.diagnostics.error(at, format!("encapsulation {} is not implemented", found(other)));
                    return None;
                }
            }
        }
        Some(UdpEncap { ports, marker })
    }
}
