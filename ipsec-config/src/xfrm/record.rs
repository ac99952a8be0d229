//! Words of one SA or policy.

use std::format;
use std::net::IpAddr;

use ipsec_packet::AddressRange;
use ipsec_sa::{Mode, Protocol};

use super::records::{Word, found};
use crate::blocks::number;
use crate::{Diagnostics, Span};

pub(super) struct Record<'r, 't> {
    pub words: &'r [Word<'t>],
    pub at: usize,
    pub diagnostics: &'r mut Diagnostics,
}

impl<'t> Record<'_, 't> {
    /// Returns the first of some words.
    fn first_of(&self, names: &[&str]) -> Option<&'t str> {
        self.words.iter().map(|(word, _)| *word).find(|word| names.contains(word))
    }

    /// Returns whether the record is a policy. SAs have a `dir`, too, after their SPI, if hardware processes them.
    pub(super) fn is_policy(&self) -> bool {
        self.first_of(&["dir", "spi", "tmpl"]) == Some("dir")
    }

    /// Returns whether the record is a policy of a socket.
    pub(super) fn is_socket(&self) -> bool {
        self.first_of(&["dir", "spi", "socket"]) == Some("socket")
    }

    pub(super) fn next(&mut self) -> Option<Word<'t>> {
        let word = self.words.get(self.at).copied();
        self.at = self.at.saturating_add(1);
        word
    }

    pub(super) fn span(&self) -> Span {
        self.words.first().map_or_else(Span::default, |(_, span)| *span)
    }

    /// Parses the word after a name.
    pub(super) fn value<T>(&mut self, what: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let last = self.words.last().map_or_else(Span::default, |(_, span)| *span);
        match self.next() {
            Some((word, span)) => {
                let value = parse(word);
                if value.is_none() {
                    self.diagnostics.error(span, format!("expected {what}, found {}", found(word)));
                }
                value
            }
            None => {
                self.diagnostics
                    .error(Span { begin: last.end, ..last }, format!("expected {what}, found the end of the record"));
                None
            }
        }
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self, what: &str) -> Option<T> {
        self.value(what, |word| number(word).and_then(|number| T::try_from(number).ok()))
    }

    pub(super) fn address(&mut self) -> Option<IpAddr> {
        self.value("an address", |word| word.parse().ok())
    }

    pub(super) fn mode(&mut self) -> Option<Mode> {
        self.value("a mode: `transport`, `tunnel` or `beet`", |word| {
            Mode::by_name(word).filter(|mode| *mode != Mode::Any)
        })
    }

    pub(super) fn protocol(&mut self) -> Option<Protocol> {
        self.value("a protocol: `esp`, `ah` or `comp`", |word| match word {
            "comp" => Some(Protocol::Ipcomp),
            _ => Protocol::by_name(word),
        })
    }

    pub(super) fn range(&mut self) -> Option<AddressRange> {
        self.value("a network", |word| {
            let (address, length) =
                word.split_once('/').map_or((word, None), |(address, length)| (address, Some(length)));
            let address: IpAddr = address.parse().ok()?;
            match length {
                Some(length) => AddressRange::prefix(address, length.parse().ok()?),
                None => Some(AddressRange::host(address)),
            }
        })
    }
}
