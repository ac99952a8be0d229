//! Rules of SAs with manual keys.

use std::format;
use std::path::Path;
use std::string::String;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::super::names::{ANY_LENGTH, AUTH};
use super::super::syntax::{ManualSa, Network, SaType};
use super::Parser;
use crate::blocks::{Parsed, number};
use crate::diagnostic::shown_word;

impl Parser<'_> {
    pub(super) fn manual(&mut self, protocol: SaType) -> Parsed<ManualSa> {
        let is_tunnel = self.accept_of(&[("tunnel", true), ("transport", false)]).unwrap_or(true);
        let at = self.span();
        let hosts = self.hosts()?;
        let one = |networks: &[Network]| match networks {
            [network] if !network.is_any && network.length == if network.address.is_ipv4() { 32 } else { 128 } => {
                Some(network.address)
            }
            _ => None,
        };
        let (Some(source), Some(destination)) = (one(&hosts.sources), one(&hosts.destinations)) else {
            return self.refuse(at, "expected one host after `from` and one after `to`");
        };
        let spis = if protocol == SaType::Ipip && self.next_word() != Some("spi") { (0, None) } else { self.spis()? };
        let mut sa = ManualSa {
            protocol,
            is_tunnel,
            source,
            destination,
            spis,
            auth: None,
            cipher: None,
            is_any_length: true,
            has_compression: false,
            udp_port: None,
            auth_keys: Vec::new(),
            cipher_keys: Vec::new(),
        };
        loop {
            let word = self.span();
            if self.accept("auth") {
                self.once(word, "auth", sa.auth.is_some())?;
                let table: Vec<_> = AUTH.iter().map(|row| (row.0, row.1)).collect();
                sa.auth = self.transform("an authentication algorithm", &table)?;
            } else if self.accept("enc") {
                self.once(word, "enc", sa.cipher.is_some())?;
                sa.is_any_length = self.next_word().is_some_and(|name| ANY_LENGTH.contains(&name));
                sa.cipher = Some(self.cipher()?);
            } else if self.accept("comp") {
                self.compression()?;
                sa.has_compression = true;
            } else if self.accept("udpencap") {
                sa.udp_port = Some(if self.accept("port") { self.port()? } else { 4500 });
            } else if self.accept("authkey") {
                self.once(word, "authkey", !sa.auth_keys.is_empty())?;
                sa.auth_keys = self.keys()?;
            } else if self.accept("enckey") {
                self.once(word, "enckey", !sa.cipher_keys.is_empty())?;
                sa.cipher_keys = self.keys()?;
            } else {
                return Ok(sa);
            }
        }
    }

    fn spis(&mut self) -> Parsed<(u32, Option<u32>)> {
        self.keyword("spi")?;
        let (word, span) = self.word("an SPI, or two with a colon")?;
        let (first, second) =
            word.split_once(':').map_or((word.as_str(), None), |(first, second)| (first, Some(second)));
        let spi = |text: &str| number(text).and_then(|spi| u32::try_from(spi).ok()).filter(|spi| *spi > 255);
        match (spi(first), second.map(spi)) {
            (Some(first), None) => Ok((first, None)),
            (Some(first), Some(Some(second))) => Ok((first, Some(second))),
            _ => self.refuse(
                span,
                format!("expected an SPI from 256 to 4294967295, or two with a colon, found `{}`", shown_word(&word)),
            ),
        }
    }

    /// Parses one key, or two with a colon: in hexadecimal, or the names of files.
    fn keys(&mut self) -> Parsed<Vec<Zeroizing<Vec<u8>>>> {
        let is_file = self.accept("file");
        let (text, span) =
            self.text(if is_file { "a file name in quotes" } else { "a key in hexadecimal after `0x`" })?;
        let text = Zeroizing::new(text);
        let mut keys = Vec::new();
        for part in text.split(|octet| *octet == b':') {
            let read = if is_file {
                let name = String::from_utf8_lossy(part).into_owned();
                match self.files.read(Path::new(&name)) {
                    Ok(contents) => Zeroizing::new(contents),
                    Err(e) => return self.refuse(span, format!("{name}: {e}")),
                }
            } else {
                Zeroizing::new(part.to_vec())
            };
            let digits = read.trim_ascii();
            let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
            match crate::psk::from_hex(digits) {
                Some(key) => keys.push(key),
                None => return self.refuse(span, "expected a key in pairs of hexadecimal digits"),
            }
        }
        Ok(keys)
    }
}
