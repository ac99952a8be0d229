//! Values of statements: addresses, times, algorithms, identities.

use std::format;
use std::net::IpAddr;
use std::string::String;

use ike_codec::Group;
use ipsec_crypto::CipherAlgorithm;

use super::names::{BOOLEANS, BYTE_UNITS, EC2N_GROUPS, GROUPS, TIME_UNITS};
use super::syntax::{Identifier, RemoteName};
use crate::Span;
use crate::blocks::{Failed, Parsed, Parser, Scope, number};
use crate::configuration::IKE_PORT;
use crate::diagnostic::shown_word;
use crate::lexer::TokenKind;

/// Largest lifetime in seconds that a proposal can contain.
const MAX_LIFETIME: u64 = u32::MAX as u64;

/// Stores the value of a statement that may occur once. The last of several counts.
pub(super) fn set<T>(parser: &mut Parser<'_, '_>, slot: &mut Option<T>, name: &str, span: Span, value: T) {
    if slot.replace(value).is_some() {
        parser.diagnostics.warning(span, format!("duplicate `{name}`: the last one is used"));
    }
}

/// Entry of a table of ciphers; `None` for one that is not implemented.
type CipherRow<'r> = (&'r str, Option<CipherAlgorithm>);

/// Splits a word as `aes256` into a cipher and the bits of its key. A word that is the name of a cipher is none.
pub(super) fn attached_bits<'w, 'r>(word: &'w str, table: &'r [CipherRow<'r>]) -> Option<(&'r CipherRow<'r>, &'w str)> {
    if table.iter().any(|row| row.0 == word) {
        return None;
    }
    table.iter().find_map(|row| {
        let bits = word.strip_prefix(row.0)?;
        (!bits.is_empty() && bits.bytes().all(|digit| digit.is_ascii_digit())).then_some((row, bits))
    })
}

impl<'t> Parser<'t, '_> {
    pub(crate) fn boolean(&mut self) -> Parsed<bool> {
        self.choice("a switch", BOOLEANS).map(|(value, _)| value)
    }

    /// Parses an address without a port.
    pub(crate) fn address(&mut self) -> Parsed<(IpAddr, Span)> {
        const EXPECTED: &str = "an IPv4 or IPv6 address";
        let (word, span) = self.word(EXPECTED)?;
        match parse_address(word) {
            Some(address) => Ok((address, span)),
            None => self.refuse(span, format!("expected {EXPECTED}, found `{}`", shown_word(word))),
        }
    }

    /// Parses an optional port in brackets.
    pub(crate) fn port(&mut self) -> Parsed<Option<u16>> {
        if !self.accept_sign(b'[') {
            return Ok(None);
        }
        let port =
            if self.accept("any") { 0 } else { u16::try_from(self.number("a port", 0..=65_535)?).unwrap_or_default() };
        if self.accept_sign(b']') { Ok(Some(port)) } else { self.unexpected("`]` after the port") }
    }

    /// Parses a number with a time unit; returns seconds.
    pub(super) fn seconds(&mut self, least: u64) -> Parsed<u64> {
        let (count, span) = self.count("a time")?;
        let (unit, _) = self.choice("a time unit", TIME_UNITS)?;
        match count.checked_mul(unit).filter(|seconds| (least..=MAX_LIFETIME).contains(seconds)) {
            Some(seconds) => Ok(seconds),
            None => self.refuse(
                span,
                format!("expected a time from {least} to {MAX_LIFETIME} seconds, found {count} times {unit}"),
            ),
        }
    }

    /// Parses a number with a unit of octets; returns kilobytes.
    fn kilobytes(&mut self) -> Parsed<u64> {
        let (count, span) = self.count("a number of octets")?;
        let (unit, _) = self.choice("a unit of octets", BYTE_UNITS)?;
        match count
            .checked_mul(unit)
            .map(|octets| octets >> 10)
            .filter(|kilobytes| (1..=MAX_LIFETIME).contains(kilobytes))
        {
            Some(kilobytes) => Ok(kilobytes),
            None => self.refuse(span, format!("expected 1 KB to {MAX_LIFETIME} KB, found {count} times {unit}")),
        }
    }

    fn count(&mut self, what: &str) -> Parsed<(u64, Span)> {
        let span = self.span();
        let count = self.number(what, 0..=u64::from(u32::MAX))?;
        Ok((count, span))
    }

    /// Parses `lifetime`: a time, or the number of octets, which newer racoon refuses.
    pub(super) fn lifetime(
        &mut self,
        name: Span,
        time: &mut Option<u64>,
        kilobytes: &mut Option<u64>,
        scope: &Scope<'_>,
    ) -> Parsed<()> {
        let (is_time, span) = self.choice("a lifetime type", &[("time", true), ("byte", false)])?;
        if is_time {
            let value = self.seconds(1)?;
            set(self, time, "lifetime time", name, value);
        } else {
            let value = self.kilobytes()?;
            let text = "newer racoon refuses `lifetime byte`; the lifetime in kilobytes is used here";
            self.diagnostics.warning(span, text);
            set(self, kilobytes, "lifetime byte", name, value);
        }
        self.end(scope)
    }

    /// Parses a cipher with the optional length of its key in bits, with or without a blank between them.
    pub(super) fn cipher(
        &mut self,
        table: &[(&str, Option<CipherAlgorithm>)],
    ) -> Parsed<(CipherAlgorithm, Option<u16>)> {
        const WHAT: &str = "an encryption algorithm";
        let span = self.span();
        let attached = match self.next.kind {
            TokenKind::Word(word) => attached_bits(word, table),
            _ => None,
        };
        let (cipher, word) = match attached {
            Some(((name, None), _)) => {
                return self.refuse(span, format!("`{name}` is {WHAT} that is not implemented"));
            }
            Some(((_, Some(cipher)), bits)) => (*cipher, bits),
            None => {
                let (cipher, _) = self.algorithm(WHAT, table)?;
                match self.next.kind {
                    TokenKind::Word(word) if word.starts_with(|c: char| c.is_ascii_digit()) => (cipher, word),
                    _ => return Ok((cipher, None)),
                }
            }
        };
        let bits_span = self.span();
        self.advance();
        let bits = number(word).and_then(|bits| u16::try_from(bits).ok());
        check_key_length(cipher, bits).map(|bits| (cipher, Some(bits))).map_err(|expected| {
            let at = Span { begin: span.begin, ..bits_span };
            let text = format!("{expected}, found `{}`", shown_word(word));
            self.diagnostics.error(at, text);
            Failed
        })
    }

    /// Parses one of several ciphers. Returns `None` for one that is not implemented.
    pub(super) fn listed_cipher(
        &mut self,
        table: &[(&str, Option<CipherAlgorithm>)],
    ) -> Parsed<Option<(CipherAlgorithm, Option<u16>)>> {
        let row = match self.next.kind {
            TokenKind::Word(word) => {
                let exact = table.iter().find(|row| row.0 == word);
                exact.or_else(|| attached_bits(word, table).map(|(row, _)| row))
            }
            _ => None,
        };
        if row.is_some_and(|row| row.1.is_none()) {
            self.advance();
            if let TokenKind::Word(word) = self.next.kind
                && number(word).is_some()
            {
                self.advance();
            }
            return Ok(None);
        }
        self.cipher(table).map(Some)
    }

    /// Parses the name of an algorithm that may not be implemented.
    pub(crate) fn algorithm<T: Copy>(&mut self, what: &str, table: &[(&str, Option<T>)]) -> Parsed<(T, Span)> {
        let found = self.found();
        let (algorithm, span) = self.choice(what, table)?;
        match algorithm {
            Some(algorithm) => Ok((algorithm, span)),
            None => self.refuse(span, format!("{found} is {what} that is not implemented")),
        }
    }

    pub(super) fn dh_group(&mut self) -> Parsed<Group> {
        match self.ec2n_group() {
            Some((group, span)) => self.refuse(span, format!("group {group} is not implemented")),
            None => self.choice("a Diffie-Hellman group", GROUPS).map(|(group, _)| group),
        }
    }

    /// Parses a group that is not implemented, if the next word is one.
    pub(super) fn ec2n_group(&mut self) -> Option<(Group, Span)> {
        let TokenKind::Word(word) = self.next.kind else { return None };
        let (span, (_, group)) = (self.span(), EC2N_GROUPS.iter().find(|(name, _)| *name == word)?);
        self.advance();
        Some((*group, span))
    }

    /// Parses the type of an identity, and the identity.
    pub(super) fn identifier(&mut self) -> Parsed<Identifier> {
        const TYPES: &[(&str, u8)] = &[("address", 0), ("fqdn", 1), ("user_fqdn", 2), ("keyid", 3), ("asn1dn", 4)];
        let (kind, _) = self.choice("an identity type", TYPES)?;
        Ok(match kind {
            0 => Identifier::Address(match self.next.kind {
                // Another word is the next statement, and `;` is missing.
                TokenKind::Word(word) if word.contains(['.', ':']) => Some(self.address()?.0),
                // Newer racoon takes addresses in quotes, too.
                TokenKind::Quoted(_) => {
                    let (text, span) = self.text("an address")?;
                    match parse_address(&text) {
                        Some(address) => Some(address),
                        None => {
                            return self.refuse(span, format!("expected an address, found \"{}\"", shown_word(&text)));
                        }
                    }
                }
                _ => None,
            }),
            1 => Identifier::Fqdn(self.name("a domain name")?),
            2 => {
                let (name, span) = self.text("a user name")?;
                if !name.contains('@') {
                    self.diagnostics.warning(span, "the name of the user contains no `@`");
                }
                Identifier::UserFqdn(name)
            }
            3 if self.accept("file") => Identifier::KeyIdFile(self.text("a file name")?.0),
            3 if self.accept("tag") => Identifier::KeyId(self.name("a key ID")?),
            // Without a word, it is a file: so it was before there was another form.
            3 => Identifier::KeyIdFile(self.text("a file name, or `tag` and the key ID")?.0),
            _ => Identifier::Asn1Dn(match self.next.kind {
                TokenKind::Quoted(_) => {
                    let (text, span) = self.text("a distinguished name")?;
                    if let Err(expected) = crate::distinguished_name::check(&text) {
                        return self.refuse(span, expected);
                    }
                    Some(text)
                }
                _ => None,
            }),
        })
    }

    fn name(&mut self, what: &str) -> Parsed<String> {
        let (text, span) = self.text(what)?;
        if text.is_empty() { self.refuse(span, format!("expected {what}, found \"\"")) } else { Ok(text) }
    }

    /// Parses the name of a `remote`: `anonymous`, an address with an optional port, or a name in quotes.
    pub(super) fn remote_name(&mut self) -> Parsed<RemoteName> {
        const EXPECTED: &str = "`anonymous`, an address or a name in quotes";
        match self.next.kind {
            TokenKind::Word("anonymous") => {
                self.advance();
                // A port after it has no meaning.
                self.port().map(|_| RemoteName::Anonymous)
            }
            TokenKind::Quoted(_) => self.name("a name").map(RemoteName::Name),
            TokenKind::Word(word) => match parse_address(word) {
                Some(address) => {
                    self.advance();
                    // Without a port it is that of IKE, and the names with and without it are the same.
                    Ok(RemoteName::Address(address, self.port()?.filter(|port| *port != IKE_PORT)))
                }
                None => {
                    let message = format!("expected {EXPECTED}, found `{}`", shown_word(word));
                    let help = crate::diagnostic::did_you_mean(word, ["anonymous"]).unwrap_or_else(|| {
                        format!("write \"{}\" and its address in `remote_address`", shown_word(word))
                    });
                    self.diagnostics.error_with_help(self.span(), message, help);
                    Err(Failed)
                }
            },
            _ => self.unexpected(EXPECTED),
        }
    }
}

/// Parses an address. The zone of a link-local address is left out.
pub(super) fn parse_address(word: &str) -> Option<IpAddr> {
    match word.split_once('%') {
        Some((address, _)) => address.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6),
        None => word.parse().ok(),
    }
}

/// Checks the length of a key in bits.
///
/// # Errors
/// The values that are expected.
fn check_key_length(cipher: CipherAlgorithm, bits: Option<u16>) -> Result<u16, String> {
    let row = cipher.row();
    let octets = |bits: u16| usize::from(bits >> 3);
    match (row, bits) {
        (Some(row), Some(bits)) if row.keys.min != row.keys.max && bits & 7 == 0 && row.keys.allow(octets(bits)) => {
            Ok(bits)
        }
        (Some(row), _) if row.keys.min == row.keys.max => Err(format!("expected no key length: {cipher} has one")),
        (Some(row), _) => {
            let bits = |octets: usize| octets.saturating_mul(8);
            Err(format!("expected a key length of {cipher} from {} to {} bits", bits(row.keys.min), bits(row.keys.max)))
        }
        (None, _) => Err(format!("expected no key length for {cipher}")),
    }
}
