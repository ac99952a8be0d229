use core::fmt;

use heapless::String;
use ipsec_sa::MAX_TRANSFORMS;

/// Error in a configuration text, with its position (setkey(8)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetkeyError {
    /// Line of the error, from 1.
    pub line: u32,
    /// Column of the error, from 1, in characters.
    pub column: u32,
    /// Word that caused the error, or its first 64 octets; empty if it may be a key, or if a word is missing.
    pub found: String<MAX_SHOWN>,
    /// Kind of the error.
    pub kind: SetkeyErrorKind,
}

/// Error with the offset of its octet. Lines are counted only for errors that are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault<'a> {
    pub(super) at: usize,
    pub(super) found: &'a str,
    pub(super) kind: SetkeyErrorKind,
}

/// Position in a configuration text (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Line, counted from 1.
    pub line: u32,
    /// Column, counted from 1, in characters.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Counter of lines and columns. Each octet is counted once if positions are requested in ascending order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    at: usize,
    location: Location,
}

impl Place {
    pub(super) const START: Self = Self { at: 0, location: Location { line: 1, column: 1 } };

    /// Moves to an octet of the text and returns its position.
    pub(super) fn move_to(&mut self, text: &[u8], at: usize) -> Location {
        if at < self.at {
            *self = Self::START;
        }
        for octet in text.get(self.at..at).unwrap_or_default() {
            let Location { line, column } = self.location;
            self.location = match octet {
                b'\n' => Location { line: line.saturating_add(1), column: 1 },
                // Continuation octets of UTF-8 are not characters of their own.
                0x80..=0xbf => self.location,
                _ => Location { line, column: column.saturating_add(1) },
            };
        }
        self.at = at;
        self.location
    }
}

impl Fault<'_> {
    /// Returns the error for the caller. A word that may be a key, or a part of one, is left out.
    pub(super) fn report(self, text: &[u8], place: &mut Place) -> SetkeyError {
        let Location { line, column } = place.move_to(text, self.at);
        let found = if may_be_key(self.found) { "" } else { self.found };
        let mut shown = String::new();
        // Characters up to the capacity; the rest is left out.
        let _ = found.chars().try_for_each(|c| shown.push(c));
        SetkeyError { line, column, found: shown, kind: self.kind }
    }
}

/// Number of octets of a word that a message shows: a word with an open bracket includes all words after it.
const MAX_SHOWN: usize = 64;

/// Returns whether a word may be part of a key: six or more hexadecimal digits in a row, at least one a letter.
/// Groups of an IPv6 address have at most four.
fn may_be_key(word: &str) -> bool {
    let runs = word.split(|c: char| !c.is_ascii_hexdigit());
    runs.filter(|run| run.len() >= 6).any(|run| run.contains(|c: char| !c.is_ascii_digit()))
}

/// Kind of an error in a configuration text (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetkeyErrorKind {
    /// The word is not a command.
    Statement,
    /// The statement ends early; this is missing.
    Missing(&'static str),
    /// Another word was found than this.
    Expected(&'static str),
    /// A quoted string has no closing quote.
    Unterminated,
    /// The word is not UTF-8.
    NotUtf8,
    /// The word is not an IPv4 or IPv6 address; host names are not resolved.
    Address,
    /// Addresses of both families are used where one family is needed.
    Family,
    /// The prefix is longer than the address.
    Prefix,
    /// The word is neither a port number nor the name of a port.
    Port,
    /// The word is not a number, or the number is out of range.
    Number,
    /// The SPI is out of range: 16 bits for IPComp, 32 bits for the other protocols.
    Spi,
    /// The word is not a security protocol.
    Protocol,
    /// The word is not an upper-layer protocol.
    Upper,
    /// The word is not a mode.
    Mode,
    /// The algorithm is unknown, or not valid for the option.
    Algorithm,
    /// The key is neither a quoted string nor `0x` with pairs of hexadecimal digits.
    Key,
    /// The algorithm has no keys of this length.
    KeyLength {
        /// Length of the key in bits.
        bits: usize,
        /// Length of the shortest key of the algorithm, in bits.
        min: u16,
        /// Length of the longest key of the algorithm, in bits.
        max: u16,
        /// Difference between two allowed lengths, in bits.
        step: u16,
        /// Length of the salt at the end of the key, in bits; 0 if the algorithm has none.
        salt: u16,
    },
    /// An algorithm that the protocol needs is missing, or one that it does not use is present.
    Algorithms,
    /// An authentication algorithm is given with this cipher, which provides integrity itself.
    RedundantIntegrity(&'static str),
    /// This option or algorithm is not valid for the version of the protocol.
    OldProtocol(&'static str),
    /// The word is not an option, or a duplicate of one.
    Option,
    /// The word is not an action of a policy.
    Policy,
    /// The word is not the direction of a policy.
    PolicyDirection,
    /// The priority is unknown, or its offset is out of range.
    Priority,
    /// The word is not a level of a template.
    Level,
    /// The template is not of the form `protocol/mode/source-destination/level`.
    Template,
    /// A tunnel-mode template has no endpoints.
    NoEndpoints,
    /// The policy has more templates than are supported.
    TooManyTemplates,
}

impl fmt::Display for SetkeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.found.is_empty() {
            write!(f, "`{}`: ", self.found)?;
        }
        fmt::Display::fmt(&self.kind, f)
    }
}

impl fmt::Display for SetkeyErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Statement => "unknown command",
            Self::Missing(what) => return write!(f, "missing {what}"),
            Self::Expected(what) => return write!(f, "expected {what}"),
            Self::Unterminated => "unterminated string",
            Self::NotUtf8 => "word is not UTF-8",
            Self::Address => "invalid IP address (host names are not resolved)",
            Self::Family => "address families differ",
            Self::Prefix => "prefix length: expected at most 32 for IPv4, 128 for IPv6",
            Self::Port => "invalid port",
            Self::Number => "invalid number or value out of range",
            Self::Spi => "invalid SPI: expected a decimal number, or 0x and hexadecimal digits, up to 0xffffffff (IPComp: 0xffff)",
            Self::Protocol => {
                "unknown security protocol: expected `esp`, `esp-udp`, `esp-old`, `ah`, `ah-old`, `ipcomp` or `tcp`"
            }
            Self::Upper => "unknown upper-layer protocol",
            Self::Mode => "unknown mode: expected transport or tunnel (or any, for an SA)",
            Self::Algorithm => "unknown algorithm for this option",
            Self::Key => "invalid key: expected a quoted string, or 0x and pairs of hexadecimal digits",
            Self::KeyLength { bits, min, max, step, salt } => {
                write!(f, "invalid key length: got {bits} bits, expected ")?;
                write_lengths(f, *min, *max, *step)?;
                return if *salt > 0 { write!(f, ", of which the last {salt} are the salt") } else { Ok(()) };
            }
            Self::Algorithms => "algorithm is not valid for this protocol",
            Self::RedundantIntegrity(cipher) => return write!(f, "{cipher} provides integrity: -A is not allowed"),
            Self::OldProtocol(option) => return write!(f, "{option} is not valid for this protocol"),
            Self::Option => "unknown or duplicate option",
            Self::Policy => "unknown policy action: expected discard, none, bypass, entrust or ipsec",
            Self::PolicyDirection => "unknown direction: expected in, out or fwd",
            Self::Priority => {
                "invalid priority: expected high, def or low, and at most 1073741824 above or 1073741823 below it"
            }
            Self::Level => "invalid level: expected default, use, require, unique, or unique: and 1 to 65535",
            Self::Template => "invalid template: expected protocol/mode/source-destination/level",
            Self::NoEndpoints => "tunnel-mode template without endpoints",
            Self::TooManyTemplates => {
                return write!(f, "too many templates in one policy: expected at most {MAX_TRANSFORMS}");
            }
        })
    }
}

/// Writes the allowed lengths: up to three as a list, others as a range.
fn write_lengths(f: &mut fmt::Formatter<'_>, min: u16, max: u16, step: u16) -> fmt::Result {
    let middle = min.saturating_add(step);
    match max.saturating_sub(min) {
        0 => write!(f, "{min}"),
        above if above == step => write!(f, "{min} or {max}"),
        above if above == step.saturating_mul(2) => write!(f, "{min}, {middle} or {max}"),
        _ => write!(f, "{min} to {max} in steps of {step}"),
    }
}

impl core::error::Error for SetkeyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.kind)
    }
}

impl core::error::Error for SetkeyErrorKind {}
