//! File of pre-shared keys: psk.txt of racoon(8).
//!
//! A line has an identifier, blanks, and the key, which is the rest of the line, or octets in hexadecimal after `0x`.
//! The first line that matches is used; `*` matches every peer. `#` begins a comment in the first column only.

use std::borrow::ToOwned;
use std::collections::HashSet;
use std::format;
use std::net::IpAddr;
use std::string::String;
use std::vec::Vec;

use zeroize::Zeroizing;

use crate::secret::Secrets;
use crate::{Diagnostics, FileId, Sources, Span};

/// Longest key in octets.
const MAX_KEY: usize = 256;
/// Length in octets at which racoon truncates a line.
const MAX_LINE: usize = 1024;
/// Byte order mark that some editors write in front of a text.
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Keys of a file in their order.
#[derive(Debug, Default)]
pub struct PskFile {
    /// Lines of the file with a key.
    pub entries: Vec<PskEntry>,
}

/// Line with a key.
pub struct PskEntry {
    /// Octets of the identifier.
    pub span: Span,
    /// Peers that the line is for.
    pub identifier: PskIdentifier,
    /// Key; it is wiped when the entry is dropped.
    pub key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for PskEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A name may be a part of the key, if the identifier before it is missing.
        let identifier = match &self.identifier {
            PskIdentifier::Name(_) => None,
            other => Some(other),
        };
        f.debug_struct("PskEntry").field("identifier", &identifier).finish_non_exhaustive()
    }
}

/// Identifier of a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PskIdentifier {
    /// `*`, which matches every peer.
    Any,
    /// Address of a peer, or an identity that is an address.
    Address(IpAddr),
    /// FQDN, user FQDN, or the text of a key ID.
    Name(String),
}

impl PskIdentifier {
    fn read(word: &str) -> Self {
        match word {
            "*" => Self::Any,
            _ => word.parse().map_or_else(|_| Self::Name(word.to_owned()), Self::Address),
        }
    }

    /// Returns whether a peer with this address or identity has the key of the line.
    pub fn matches(&self, address: Option<IpAddr>, name: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Address(own) => address == Some(*own),
            Self::Name(own) => name == Some(own.as_str()),
        }
    }
}

impl std::fmt::Display for PskIdentifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl PskFile {
    /// Parses a text, and adds it to `sources`, which never show its keys.
    pub fn parse(name: &str, text: Vec<u8>, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Self {
        let file = sources.add(name, text, Secrets::RestOfLine);
        let text = sources.shared_text(file);
        let mut entries: Vec<PskEntry> = Vec::new();
        let mut known = HashSet::new();
        let mut begin = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        while let Some(rest) = text.get(begin..).filter(|rest| !rest.is_empty()) {
            let length = rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default();
            if let Some(entry) = read_line(line, file, begin, diagnostics) {
                if known.contains(&PskIdentifier::Any) {
                    diagnostics
                        .warning(entry.span, "an earlier line with `*` matches every peer: this one is never used");
                } else if !known.insert(entry.identifier.clone()) {
                    let text = "an earlier line has the same identifier: this one is never used";
                    diagnostics.warning(entry.span, text);
                }
                entries.push(entry);
            }
            begin = begin.saturating_add(length).saturating_add(1);
        }
        Self { entries }
    }

    /// Returns the key of a peer with one of these identifiers: that of the first line that matches.
    pub fn key(&self, address: Option<IpAddr>, name: Option<&str>) -> Option<&[u8]> {
        self.entries.iter().find(|entry| entry.identifier.matches(address, name)).map(|entry| entry.key.as_slice())
    }

    /// Returns the identifiers, to search many.
    pub(crate) fn index(&self) -> PskIndex<'_> {
        PskIndex(self.entries.iter().map(|entry| &entry.identifier).collect())
    }

    /// Returns the key of the first line with exactly this name, which is that of a user. `*` and addresses do not
    /// match.
    pub fn named(&self, name: &str) -> Option<&[u8]> {
        let is_it = |entry: &&PskEntry| matches!(&entry.identifier, PskIdentifier::Name(own) if own == name);
        self.entries.iter().find(is_it).map(|entry| entry.key.as_slice())
    }
}

/// Identifiers of a file.
pub(crate) struct PskIndex<'f>(HashSet<&'f PskIdentifier>);

impl PskIndex<'_> {
    /// Returns whether a peer with one of these identifiers has a key.
    pub fn has(&self, address: Option<IpAddr>, name: Option<&str>) -> bool {
        self.0.contains(&PskIdentifier::Any)
            || address.is_some_and(|own| self.0.contains(&PskIdentifier::Address(own)))
            || name.is_some_and(|own| self.0.contains(&PskIdentifier::Name(own.to_owned())))
    }
}

fn read_line(line: &[u8], file: FileId, begin: usize, diagnostics: &mut Diagnostics) -> Option<PskEntry> {
    let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    if line.starts_with(b"#") || line.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    let first = line.iter().take_while(|octet| is_blank(octet)).count();
    let word = line.get(first..).unwrap_or_default();
    let length = word.iter().position(is_blank).unwrap_or(word.len());
    let begin = begin.saturating_add(first);
    let span = Span { file, begin, end: begin.saturating_add(length) };
    let (word, rest) = word.split_at_checked(length)?;
    let blanks = rest.iter().take_while(|octet| is_blank(octet)).count();
    let key = rest.get(blanks..).unwrap_or_default();
    if key.is_empty() || key == b"\r" {
        // A line without blanks may be a key alone.
        diagnostics.error(span, "expected a key after the identifier, found the end of the line");
        return None;
    }
    let Ok(word) = core::str::from_utf8(word) else {
        diagnostics.error(span, "expected an identifier in UTF-8");
        return None;
    };
    if word.starts_with('#') {
        diagnostics.warning(span, "`#` begins a comment in the first column only: this line is a key");
    }
    if line.len() >= MAX_LINE {
        diagnostics.warning(span, format!("the line has {} octets: racoon truncates it to {MAX_LINE}", line.len()));
    }
    match key.last() {
        Some(b'\r') => diagnostics.warning(span, "the key ends with a carriage return, which is part of the key"),
        Some(b' ' | b'\t') => diagnostics.warning(span, "the key ends with a blank, which is part of the key"),
        _ => {}
    }
    let key = match key.strip_prefix(b"0x") {
        Some(digits) => from_hex(digits).or_else(|| {
            diagnostics.error(span, "expected pairs of hexadecimal digits after `0x` of the key");
            None
        })?,
        None => Zeroizing::new(key.to_vec()),
    };
    if key.len() > MAX_KEY {
        diagnostics.error(span, format!("expected a key of at most {MAX_KEY} octets, found {}", key.len()));
        return None;
    }
    Some(PskEntry { span, identifier: PskIdentifier::read(word), key })
}

/// Returns the octets of pairs of hexadecimal digits.
pub(crate) fn from_hex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return None;
    }
    let octets = pairs.iter().map(|&[high, low]| Some(value(high)? << 4 | value(low)?));
    octets.collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}
