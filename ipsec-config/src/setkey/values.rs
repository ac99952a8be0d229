//! Parsers of the values in statements: names, numbers, addresses with ports, SPIs.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use super::error::{Fault, SetkeyErrorKind};
use super::lexer::{Lexer, Token};

/// Security protocol of an SA (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SaProtocol {
    /// ESP of RFC 2406 and RFC 4303.
    Esp,
    /// ESP of RFC 1827, obsolete.
    EspOld,
    /// ESP in UDP (RFC 3948).
    EspUdp,
    /// AH of RFC 2402 and RFC 4302.
    Ah,
    /// AH of RFC 1826, obsolete.
    AhOld,
    /// IP Payload Compression (RFC 3173).
    Ipcomp,
    /// TCP-MD5 signatures (RFC 2385).
    Tcp,
}

impl SaProtocol {
    const ALL: [Self; 7] = [Self::Esp, Self::EspOld, Self::EspUdp, Self::Ah, Self::AhOld, Self::Ipcomp, Self::Tcp];

    /// Returns the word of setkey(8).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Esp => "esp",
            Self::EspOld => "esp-old",
            Self::EspUdp => "esp-udp",
            Self::Ah => "ah",
            Self::AhOld => "ah-old",
            Self::Ipcomp => "ipcomp",
            Self::Tcp => "tcp",
        }
    }

    /// Returns the protocol of a word of setkey(8).
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }
}

impl fmt::Display for SaProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Address family that a statement requires (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Family {
    /// Addresses of either family.
    #[default]
    Any,
    /// IPv4 only, option `-4`.
    V4,
    /// IPv6 only, option `-6`.
    V6,
}

/// Addresses, protocol and SPI of an SA (RFC 4301 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaSpec {
    /// Source address, and the source port of UDP encapsulation.
    pub source: (IpAddr, Option<u16>),
    /// Destination address, and the destination port of UDP encapsulation.
    pub destination: (IpAddr, Option<u16>),
    /// Security protocol of the SA.
    pub protocol: SaProtocol,
    /// SPI, or the CPI of IPComp.
    pub spi: u32,
}

/// Security context of mandatory access control, option `-ctx` (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityContext<'a> {
    /// Domain of interpretation of the context.
    pub doi: u32,
    /// Algorithm number of the context.
    pub algorithm: u32,
    /// Text of the context.
    pub context: &'a str,
}

/// Address with an optional port (setkey(8)).
pub type End = (IpAddr, Option<u16>);

/// Returns the error for a word; a word that begins the next statement means that a semicolon is missing.
pub(super) fn error_at_word<'a>(lexer: &Lexer<'a>, found: &'a str, kind: SetkeyErrorKind) -> Fault<'a> {
    let kind = if STATEMENTS.contains(&found) { SetkeyErrorKind::Expected(";") } else { kind };
    lexer.error(found, kind)
}

/// Reads the next word, which the error message calls `what`.
pub(super) fn word<'a>(lexer: &mut Lexer<'a>, what: &'static str) -> Result<&'a str, Fault<'a>> {
    match lexer.next()? {
        Token::Word(word) => Ok(word),
        Token::Quoted(_) => Err(lexer.error("", SetkeyErrorKind::Expected(what))),
        Token::Semicolon | Token::End => Err(lexer.error("", SetkeyErrorKind::Missing(what))),
    }
}

/// Reads the semicolon at the end of a statement.
pub(super) fn end<'a>(lexer: &mut Lexer<'a>) -> Result<(), Fault<'a>> {
    match lexer.next()? {
        Token::Semicolon => Ok(()),
        Token::Word(text) => Err(lexer.error(text, SetkeyErrorKind::Expected(";"))),
        Token::Quoted(_) => Err(lexer.error("", SetkeyErrorKind::Expected(";"))),
        Token::End => Err(lexer.error("", SetkeyErrorKind::Missing(";"))),
    }
}

/// Parses a decimal number, or a hexadecimal one after `0x`.
pub(super) fn number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let value = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?,
        None => u64::from_str(text).ok().filter(|_| !text.starts_with('+'))?,
    };
    T::try_from(value).ok()
}

/// Reads `-4`, `-6` and `-n`, alone or in one word. The last family counts.
pub(super) fn flags<'a>(lexer: &mut Lexer<'a>) -> Result<Family, Fault<'a>> {
    let mut family = Family::Any;
    while let Token::Word(word) = lexer.peek()? {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty()).unwrap_or("?");
        if !letters.bytes().all(|letter| matches!(letter, b'4' | b'6' | b'n')) {
            break;
        }
        family = letters.bytes().fold(family, |family, letter| match letter {
            b'4' => Family::V4,
            b'6' => Family::V6,
            _ => family,
        });
        lexer.next()?;
    }
    Ok(family)
}

/// Resolver of the host names in a text. Without one, addresses are numeric, as with `setkey -n`.
pub trait HostNames: fmt::Debug {
    /// Returns the first address of a family that a host name has.
    fn resolve(&self, name: &str, family: Family) -> Option<IpAddr>;
}

pub(super) fn address(text: &str, family: Family) -> Option<IpAddr> {
    // The interface of a link-local address is ignored, as engines have no interfaces.
    let text = text.split_once(['%']).map_or(text, |(address, _)| address);
    text.parse().ok().filter(|address: &IpAddr| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    })
}

pub(super) fn hosts<'a>(lexer: &mut Lexer<'a>) -> Result<(End, End), Fault<'a>> {
    let family = flags(lexer)?;
    let mut host = || {
        let text = word(lexer, "an address")?;
        let text = lexer.join_words(text, |_, next| next.starts_with('['));
        let (host, port) = split_port(text).ok_or(lexer.error(text, SetkeyErrorKind::Port))?;
        lexer.address(host, family).map(|address| (address, port)).ok_or(lexer.error(text, SetkeyErrorKind::Address))
    };
    let (source, destination) = (host()?, host()?);
    if source.0.is_ipv4() == destination.0.is_ipv4() {
        Ok((source, destination))
    } else {
        Err(lexer.error("", SetkeyErrorKind::Family))
    }
}

pub(super) fn protocol<'a>(lexer: &mut Lexer<'a>) -> Result<SaProtocol, Fault<'a>> {
    let name = word(lexer, "a security protocol")?;
    SaProtocol::by_name(name).ok_or(error_at_word(lexer, name, SetkeyErrorKind::Protocol))
}

pub(super) fn only_protocol<'a>(lexer: &mut Lexer<'a>) -> Result<Option<SaProtocol>, Fault<'a>> {
    let protocol = match lexer.peek()? {
        Token::Semicolon | Token::End => None,
        _ => Some(protocol(lexer)?),
    };
    end(lexer).map(|()| protocol)
}

pub(super) fn spi<'a>(lexer: &mut Lexer<'a>, protocol: SaProtocol) -> Result<u32, Fault<'a>> {
    let text = word(lexer, "an SPI")?;
    let most = if protocol == SaProtocol::Ipcomp { 0xffff } else { u32::MAX };
    number(text).filter(|spi| *spi <= most).ok_or(lexer.error(text, SetkeyErrorKind::Spi))
}

/// Reads the words after `-ctx`.
pub(super) fn context<'a>(lexer: &mut Lexer<'a>) -> Result<SecurityContext<'a>, Fault<'a>> {
    let (doi, algorithm) = (argument(lexer)?, argument(lexer)?);
    match lexer.next()? {
        Token::Quoted(context) => {
            let context = text(lexer, context)?;
            Ok(SecurityContext { doi, algorithm, context })
        }
        _ => Err(lexer.error("", SetkeyErrorKind::Missing("a quoted context"))),
    }
}

/// Returns a quoted string that is not a key as text.
pub(super) fn text<'a>(lexer: &Lexer<'a>, quoted: &'a [u8]) -> Result<&'a str, Fault<'a>> {
    core::str::from_utf8(quoted).map_err(|_| lexer.error("", SetkeyErrorKind::NotUtf8))
}

pub(super) fn natt_end<'a>(lexer: &mut Lexer<'a>) -> Result<End, Fault<'a>> {
    let text = word(lexer, "an address")?;
    let text = lexer.join_words(text, |_, next| next.starts_with('['));
    let (host, port) = split_port(text).ok_or(lexer.error(text, SetkeyErrorKind::Port))?;
    let host = lexer.address(host, Family::Any).ok_or(lexer.error(text, SetkeyErrorKind::Address))?;
    Ok((host, port))
}

pub(super) fn argument<'a, T: TryFrom<u64>>(lexer: &mut Lexer<'a>) -> Result<T, Fault<'a>> {
    let text = word(lexer, "a number")?;
    number(text).ok_or(lexer.error(text, SetkeyErrorKind::Number))
}

/// Splits `[port]` from the end of a word: a number, `any`, or a name. Port 0 is any port, as in KAME, FreeBSD,
/// NetBSD and Linux.
pub(super) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let Some((host, port)) = text.split_once(['[']) else { return Some((text, None)) };
    let port = match port.strip_suffix(']')?.trim() {
        "any" => None,
        name => Some(by_name(super::names::PORTS, name).or_else(|| number(name))?).filter(|port| *port != 0),
    };
    Some((host.trim_end(), port))
}

/// Words that begin statements. One of them in the middle of a statement means that a semicolon is missing.
pub(super) const STATEMENTS: &[&str] = &[
    "add",
    "update",
    "delete",
    "get",
    "deleteall",
    "flush",
    "dump",
    "spdadd",
    "spdupdate",
    "spddelete",
    "spdflush",
    "spddump",
    "exit",
    "quit",
    "bye",
];

pub(super) fn by_name<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, found)| *found)
}
