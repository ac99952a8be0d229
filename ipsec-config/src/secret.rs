//! Masks for the keys in lines that are shown.

mod keys;

use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;

/// Number of octets from which a word in the place of a key, or directly before a quote, is masked.
const MIN_KEY: usize = 5;

/// Places of a language in which keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// The files contain no keys; a word that looks like one is in the wrong file.
    None,
    /// Quoted strings, hexadecimal numbers, and the words after `-A NAME`, `-E NAME`, `psk`, `authkey`, `enckey`,
    /// `auth-trunc NAME`, `auth NAME`, `enc NAME` and `aead NAME` if they have the length of keys. The rest of the
    /// statement is a part of a key without quotes.
    Keys,
    /// Keys as those of [`Self::Keys`], for languages in which a quoted string ends at the end of a line without a
    /// backslash.
    KeysInLines,
    /// Quoted strings of statements that have none, and passwords of other servers.
    Racoon,
    /// Quoted strings of statements that have none: gateway.conf contains no keys, but one may be expected there.
    Gateway,
    /// Value of the tag `Authentication`, or of a tag that is not known.
    Values,
    /// Key after the first word of the line.
    RestOfLine,
}

impl Secrets {
    /// Returns whether a key may begin in a line before the one that is shown.
    pub const fn span_lines(self) -> bool {
        matches!(self, Self::Keys | Self::KeysInLines)
    }
}

/// Line in three parts, with keys replaced by `***`.
pub(crate) struct MaskedLine {
    pub before: String,
    pub marked: String,
    pub after: String,
    /// Set if a key is in the marked part.
    pub hides_marked: bool,
}

/// Returns the line that begins at the offset `line` of a text and ends with it, with `length` octets marked from the
/// offset `at` of the line. The text begins with lines in which a key may begin, see [`Secrets::span_lines`].
pub(crate) fn masked_line(text: &[u8], secrets: Secrets, line: usize, at: usize, length: usize) -> MaskedLine {
    let (before, line) = text.split_at_checked(line).unwrap_or((&[], text));
    let mut found = ranges(line, secrets);
    if secrets.span_lines() {
        let all = keys::find_in_lines(text, secrets == Secrets::KeysInLines);
        let own = |end: usize| end.saturating_sub(before.len());
        found.extend(all.iter().map(|(from, to)| (own(*from), own(*to))).filter(|(from, to)| from < to));
    }
    let ranges = merged(found);
    let end = at.saturating_add(length);
    let part = |from: usize, to: usize| {
        let mut text = String::new();
        let mut at = from;
        for &(begin, after) in ranges.iter().filter(|(begin, after)| *begin < to && *after > from) {
            text.push_str(&printable(line.get(at..begin.max(at)).unwrap_or_default()));
            text.push_str("***");
            at = after.min(to);
        }
        text.push_str(&printable(line.get(at.min(to)..to).unwrap_or_default()));
        text
    };
    let hides_marked = ranges.iter().any(|(from, to)| *from < end && *to > at);
    MaskedLine { before: part(0, at), marked: part(at, end), after: part(end, line.len()), hides_marked }
}

/// Returns ranges in order, those that overlap as one.
fn merged(mut ranges: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    ranges.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for (begin, end) in ranges {
        match merged.last_mut() {
            Some(last) if begin <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((begin, end)),
        }
    }
    merged
}

fn printable(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Returns the ranges of the octets of keys.
fn ranges(line: &[u8], secrets: Secrets) -> Vec<(usize, usize)> {
    match secrets {
        Secrets::None => key_like_words(line),
        Secrets::Keys | Secrets::KeysInLines => keys::find_in_line(line),
        Secrets::Racoon => in_blocks(line, &NO_KEY),
        Secrets::Gateway => in_blocks(line, &NO_KEY_OF_GATEWAY),
        Secrets::Values => values(line).map_or_else(|| key_like_words(line), |range| std::vec![range]),
        Secrets::RestOfLine => {
            let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
            let first = line.iter().position(|octet| !is_blank(octet)).unwrap_or(line.len());
            let word = line.get(first..).unwrap_or_default();
            let length = word.iter().position(is_blank).unwrap_or(word.len());
            // A word that does not look like an identifier may be a part of a key.
            let name = core::str::from_utf8(word.get(..length).unwrap_or_default()).unwrap_or_default();
            let is_alone = length == word.len();
            let is_address = name == "*" || name.parse::<std::net::IpAddr>().is_ok();
            let is_name = is_address || (!is_alone && name.contains(['.', '@']) && !is_key_like(name.as_bytes()));
            let begin = if is_name { first.saturating_add(length) } else { first };
            let is_key = begin < line.len() && !line.starts_with(b"#");
            is_key.then_some((begin, line.len())).into_iter().collect()
        }
    }
}

/// Tags of isakmpd.conf(5) whose values are not keys.
const NO_KEY_TAGS: &[&str] = &[
    "Address",
    "AUTHENTICATION_ALGORITHM",
    "AUTHENTICATION_METHOD",
    "CA-directory",
    "Cert-directory",
    "Configuration",
    "Connections",
    "CRL-directory",
    "Default",
    "Default-phase-1-ID",
    "Default-phase-1-lifetime",
    "Default-phase-2-lifetime",
    "DOI",
    "DPD-check-interval",
    "ENCAPSULATION_MODE",
    "ENCRYPTION_ALGORITHM",
    "EXCHANGE_TYPE",
    "Exchange-max-time",
    "Flags",
    "GROUP_DESCRIPTION",
    "HASH_ALGORITHM",
    "ID",
    "ID-type",
    "ISAKMP-peer",
    "KEY_LENGTH",
    "LIFE_DURATION",
    "LIFE_TYPE",
    "Life",
    "Listen-on",
    "Local-address",
    "Local-ID",
    "NAT-T-Keepalive",
    "Name",
    "Netmask",
    "Network",
    "Passive-connections",
    "Phase",
    "Policy-file",
    "Port",
    "Private-key",
    "Protocol",
    "PROTOCOL_ID",
    "Protocols",
    "Remote-ID",
    "ReplayWindow",
    "Retransmits",
    "Suites",
    "TRANSFORM_ID",
    "Transforms",
    "Transport",
];

/// Tag of keys before its value.
const AUTHENTICATION: &[u8] = b"authentication=";

/// Returns the value of a tag that may be a key: of `Authentication`, or of a misspelled tag.
fn values(line: &[u8]) -> Option<(usize, usize)> {
    let is_end = |octet: &u8| matches!(octet, b'=' | b' ' | b'\t');
    let first = line.iter().position(|octet| !octet.is_ascii_whitespace())?;
    let word = line.get(first..)?;
    if word.starts_with(b"[") || word.starts_with(b"#") {
        return None;
    }
    let length = word.iter().position(is_end).unwrap_or(word.len());
    let tag = core::str::from_utf8(word.get(..length)?).unwrap_or_default();
    let is_known = NO_KEY_TAGS.iter().any(|known| known.eq_ignore_ascii_case(tag));
    let value = first.saturating_add(length);
    // Two lines may have become one.
    let other = line.to_ascii_lowercase().windows(AUTHENTICATION.len()).position(|part| part == AUTHENTICATION);
    match (is_known || tag.parse::<std::net::IpAddr>().is_ok(), other) {
        (true, other) => other.filter(|at| *at > value).map(|at| (at, line.len())),
        (false, _) if !line.contains(&b'=') => Some((first, line.len())),
        (false, _) => Some((value.saturating_add(1), line.len())),
    }
}

/// Statements of racoon.conf(5) whose quoted strings are not keys.
const NO_KEY: [&[u8]; 25] = [
    b"path",
    b"include",
    b"user",
    b"group",
    b"chroot",
    b"adminsock",
    b"remote",
    b"sainfo",
    b"certificate_type",
    b"ca_type",
    b"peers_certfile",
    b"my_identifier",
    b"peers_identifier",
    b"xauth_login",
    b"script",
    b"default_domain",
    b"banner",
    b"split_dns",
    b"auth_groups",
    b"host",
    b"base",
    b"uri",
    b"bind_dn",
    b"attr_user",
    b"attr_addr",
];

/// Statements of gateway.conf whose quoted strings are not keys.
const NO_KEY_OF_GATEWAY: [&[u8]; 23] = [
    b"banner",
    b"ca",
    b"certificate",
    b"control",
    b"crl",
    b"default_domain",
    b"export_keys",
    b"file",
    b"identity",
    b"isakmpd",
    b"keys",
    b"peer",
    b"peers_certificate",
    b"peers_identity",
    b"peers_public_key",
    b"policies",
    b"private_key",
    b"split_dns",
    b"state",
    b"tun",
    b"user",
    b"users",
    b"xauth_login",
];

/// Statements of racoon.conf(5), and words that may be taken for them, whose words are passwords.
const PASSWORDS: [&[u8]; 6] = [b"bind_pw", b"auth", b"acct", b"psk", b"secret", b"password"];

/// Returns the quoted strings of statements other than `no_key`: a key may have been written in a wrong place.
fn in_blocks(line: &[u8], no_key: &[&[u8]]) -> Vec<(usize, usize)> {
    let is_sign = |octet: u8| matches!(octet, b'{' | b'}' | b';');
    let mut masked = Vec::new();
    // First word of the statement.
    let mut statement: Option<&[u8]> = None;
    let mut at = 0_usize;
    while let Some((first, rest)) = line.get(at..).and_then(<[u8]>::split_first) {
        let length = match first {
            b'"' => {
                let inside = rest.iter().position(|octet| *octet == b'"').unwrap_or(rest.len());
                let begin = at.saturating_add(1);
                if !statement.is_some_and(|word| no_key.contains(&word)) {
                    masked.push((begin, begin.saturating_add(inside)));
                }
                inside.saturating_add(1)
            }
            octet if is_sign(*octet) => {
                statement = None;
                0
            }
            octet if octet.is_ascii_whitespace() => 0,
            _ => {
                let is_end = |octet: &u8| octet.is_ascii_whitespace() || *octet == b'"' || is_sign(*octet);
                let length = rest.iter().position(is_end).unwrap_or(rest.len());
                let word = line.get(at..at.saturating_add(length).saturating_add(1)).unwrap_or_default();
                // The quote before a password may be missing.
                let is_password = statement.is_some_and(|word| PASSWORDS.contains(&word));
                if is_key_like(word) || is_password || is_joined(line, at, word.len()) {
                    masked.push((at, at.saturating_add(word.len())));
                }
                // The brace or `;` before it may be missing.
                statement = statement.filter(|_| !PASSWORDS.contains(&word)).or(Some(word));
                length
            }
        };
        at = at.saturating_add(length).saturating_add(1);
    }
    masked
}

/// Returns whether a word is directly after a quote or before one. With a quote too many, a key is between two texts
/// in quotes.
fn is_joined(line: &[u8], begin: usize, length: usize) -> bool {
    let is_quote = |at: usize| line.get(at).is_some_and(|octet| matches!(octet, b'"' | b'\''));
    begin.checked_sub(1).is_some_and(is_quote) || (length >= MIN_KEY && is_quote(begin.saturating_add(length)))
}

/// Returns the ranges of words that look like keys.
fn key_like_words(line: &[u8]) -> Vec<(usize, usize)> {
    let mut at = 0_usize;
    let mut found = Vec::new();
    for word in line.split(u8::is_ascii_whitespace) {
        let end = at.saturating_add(word.len());
        if is_key_like(word) {
            found.push((at, end));
        }
        at = end.saturating_add(1);
    }
    found
}

/// Returns whether a word has more hexadecimal digits in a row than an SPI, and is not a decimal number.
pub(crate) fn is_key_like(word: &[u8]) -> bool {
    let is_key = |run: &[u8]| match run.len() {
        0..=8 => false,
        9..=15 => run.iter().any(u8::is_ascii_alphabetic),
        _ => true,
    };
    let digits = word.strip_prefix(b"0x").unwrap_or(word);
    digits.split(|octet| !octet.is_ascii_hexdigit()).any(is_key)
}

/// Returns the text of a value that may be a key: its length.
pub(crate) fn hidden(length: usize) -> String {
    if length == 0 { "an empty text".to_owned() } else { std::format!("a text of {length} octets") }
}
