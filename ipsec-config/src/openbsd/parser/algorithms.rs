//! Transforms and lifetimes of a rule.

use std::format;
use std::vec::Vec;

use super::super::names::{AUTH, CIPHERS, GROUPS, OTHER_GROUPS};
use super::super::syntax::Phase;
use super::Parser;
use crate::blocks::{Failed, Parsed};
use crate::diagnostic::{alternatives, did_you_mean, shown_word};
use crate::{Severity, Span};

impl Parser<'_> {
    pub(super) fn phase(&mut self, is_first: bool) -> Parsed<Phase> {
        let mut phase = Phase::default();
        loop {
            let word = self.span();
            if self.accept("auth") {
                self.once(word, "auth", phase.auth.is_some())?;
                let table: Vec<_> = AUTH.iter().map(|row| (row.0, (row.1, row.2))).collect();
                let at = self.span();
                let auth = self.transform("an authentication algorithm", &table)?;
                if is_first && auth.1.is_none() {
                    return self.refuse(at, "expected a hash algorithm of phase 1: `hmac-md5`, `hmac-sha1` or `hmac-sha2-256`, `-384` or `-512`");
                }
                phase.auth = Some(auth);
            } else if self.accept("enc") {
                self.once(word, "enc", phase.cipher.is_some())?;
                phase.cipher = Some(self.cipher()?);
            } else if self.accept("comp") {
                self.compression()?;
                phase.has_compression = true;
            } else if self.accept("group") {
                self.once(word, "group", phase.group.is_some())?;
                phase.group = Some(self.group()?);
            } else if self.accept("lifetime") || self.accept("life") {
                self.once(word, "lifetime", phase.lifetime.is_some())?;
                phase.lifetime = Some(self.lifetime()?);
            } else {
                return Ok(phase);
            }
        }
    }

    pub(super) fn cipher(&mut self) -> Parsed<(ipsec_crypto::CipherAlgorithm, usize)> {
        let (at, found) = (self.span(), self.found());
        match self.transform("an encryption algorithm", CIPHERS)? {
            Some(cipher) => Ok(cipher),
            None => self.refuse(at, format!("{found} is an encryption algorithm that is not implemented")),
        }
    }

    fn group(&mut self) -> Parsed<Option<ike_codec::Group>> {
        let (at, found) = (self.span(), self.found());
        let is_known = self.next_word().is_some_and(|word| OTHER_GROUPS.contains(&word));
        if is_known {
            return self.refuse(at, format!("{found} is a Diffie-Hellman group that is not implemented"));
        }
        self.transform("a Diffie-Hellman group", GROUPS)
    }

    pub(super) fn compression(&mut self) -> Parsed<()> {
        let (at, found) = (self.span(), self.found());
        match self.transform("a compression algorithm", &[("deflate", true), ("lzs", false)])? {
            true => Ok(()),
            false => self.refuse(at, format!("{found} is a compression algorithm that is not implemented")),
        }
    }

    /// Parses a number of seconds, or of minutes or hours with `m` or `h`.
    fn lifetime(&mut self) -> Parsed<u64> {
        let (word, span) = self.word("a lifetime")?;
        let units = [("m", 60), ("M", 60), ("h", 3600), ("H", 3600)];
        let unit = units.iter().find_map(|(unit, seconds)| Some((word.strip_suffix(unit)?, *seconds)));
        let (digits, seconds) = unit.unwrap_or((&word, 1));
        let lifetime = digits.parse::<u32>().ok().and_then(|count| u64::from(count).checked_mul(seconds));
        match lifetime.filter(|seconds| (1..=u64::from(u32::MAX)).contains(seconds)) {
            Some(seconds) => Ok(seconds),
            None => self.refuse(
                span,
                format!("expected a number of seconds, or as `30m`, `8h`, found `{}`", shown_word(&word)),
            ),
        }
    }

    /// Consumes the name of a transform. As with ipsecctl(8), the beginning of a name means the first with it.
    pub(super) fn transform<T: Copy>(&mut self, what: &str, table: &[(&str, T)]) -> Parsed<T> {
        let span = self.span();
        let names: Vec<&str> = table.iter().map(|row| row.0).collect();
        let expected = format!("{what}: {}", alternatives(&names));
        let (word, _) = self.word(&expected)?;
        let exact = table.iter().find(|row| row.0 == word);
        let found = exact.or_else(|| table.iter().find(|row| !word.is_empty() && row.0.starts_with(word.as_str())));
        match (found, exact) {
            (Some(row), None) => {
                self.diagnostics
                    .warning(span, format!("`{}` is an abbreviation and means `{}`", shown_word(&word), row.0));
                Ok(row.1)
            }
            (Some(row), Some(_)) => Ok(row.1),
            (None, _) => {
                let help = did_you_mean(&word, names.iter().copied());
                let message = format!("expected {expected}, found `{}`", shown_word(&word));
                self.diagnostics.add(Severity::Error, span, message, help);
                Err(Failed)
            }
        }
    }

    /// Reports a duplicate transform.
    pub(super) fn once(&mut self, span: Span, name: &str, is_set: bool) -> Parsed<()> {
        if is_set { self.refuse(span, format!("duplicate `{name}`")) } else { Ok(()) }
    }
}
