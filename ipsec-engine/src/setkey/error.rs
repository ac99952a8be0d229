use core::fmt;

/// What is wrong with a text, and where (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetkeyError<'a> {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// The word that is wrong; empty where it is a key, or where something is missing.
    pub found: &'a str,
    /// What is wrong with it.
    pub kind: SetkeyErrorKind,
}

/// What is wrong, and at which octet: lines are counted only for errors that are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault<'a> {
    pub(super) at: usize,
    pub(super) found: &'a str,
    pub(super) kind: SetkeyErrorKind,
}

/// A place in a text (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Counts lines and columns, each octet once as long as it is asked for places in their order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    at: usize,
    location: Location,
}

impl Place {
    pub(super) const START: Self = Self { at: 0, location: Location { line: 1, column: 1 } };

    /// Moves to an octet of the text, and says where that is.
    pub(super) fn move_to(&mut self, text: &[u8], at: usize) -> Location {
        if at < self.at {
            *self = Self::START;
        }
        for octet in text.get(self.at..at).unwrap_or_default() {
            let Location { line, column } = self.location;
            self.location = match octet {
                b'\n' => Location { line: line.saturating_add(1), column: 1 },
                // What continues a character of UTF-8 is no character of its own.
                0x80..=0xbf => self.location,
                _ => Location { line, column: column.saturating_add(1) },
            };
        }
        self.at = at;
        self.location
    }
}

impl<'a> Fault<'a> {
    /// The error to be reported: a word that may be a key, or a part of one, is not in it.
    pub(super) fn report(self, text: &[u8], place: &mut Place) -> SetkeyError<'a> {
        let Location { line, column } = place.move_to(text, self.at);
        let found = if may_be_key(self.found) { "" } else { self.found };
        SetkeyError { line, column, found, kind: self.kind }
    }
}

/// Characters of a word that a message shows: an open bracket joins a word with all that follows.
const MOST_SHOWN: usize = 64;

/// Whether a word has hexadecimal digits as a key has them: six and more in a row, letters among them. Addresses have at most four.
fn may_be_key(word: &str) -> bool {
    let runs = word.split(|c: char| !c.is_ascii_hexdigit());
    runs.filter(|run| run.len() >= 6).any(|run| run.contains(|c: char| !c.is_ascii_digit()))
}

/// What is wrong with a word (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetkeyErrorKind {
    /// A word that begins no statement.
    Statement,
    /// The text ends within a statement, which needs this.
    Missing(&'static str),
    /// Something else than this.
    Expected(&'static str),
    /// A string without its closing quote.
    Unterminated,
    /// A word that is not UTF-8.
    NotText,
    /// Not an address of IPv4 or IPv6; names are not resolved.
    Address,
    /// Addresses of both families where one is needed.
    Family,
    /// A prefix longer than its address.
    Prefix,
    /// Not a port or the name of one.
    Port,
    /// Not a number, or above what it may be.
    Number,
    /// An SPI above what its protocol has: 16 bits of IPComp, 32 of the others.
    Spi,
    /// A word that names no security protocol.
    Protocol,
    /// A word that names no upper protocol.
    Upper,
    /// A word that names no mode.
    Mode,
    /// An algorithm that setkey does not know, or that does not go with the option.
    Algorithm,
    /// Not a quoted string or hexadecimal digits, in pairs, behind 0x.
    Key,
    /// A key of a length that its algorithm does not have.
    KeyLength {
        /// Bits of the key.
        bits: usize,
        /// The fewest that the algorithm takes.
        min: usize,
        /// The most.
        max: usize,
    },
    /// An algorithm that the protocol needs is not there, or one that it has no use for is.
    Algorithms,
    /// An authentication algorithm beside a cipher, this one, that authenticates.
    Twice(&'static str),
    /// An option or algorithm, this one, that the protocol is too old or too new for.
    OldProtocol(&'static str),
    /// A word that begins no option, or an option for the second time.
    Option,
    /// An action that there is none of.
    Policy,
    /// A direction that there is none of.
    PolicyDirection,
    /// A priority that there is none of, or an offset that leaves the neighbourhood of its base.
    Priority,
    /// A level that there is none of.
    Level,
    /// A transform of a policy that is not `protocol/mode/source-destination/level`.
    Template,
    /// A tunnel without ends.
    NoEndpoints,
    /// More transforms than a policy may have.
    TooManyTransforms,
}

impl fmt::Display for SetkeyError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.found.is_empty() {
            write!(f, "`{:.*}`: ", MOST_SHOWN, self.found)?;
        }
        fmt::Display::fmt(&self.kind, f)
    }
}

impl fmt::Display for SetkeyErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Statement => "no statement begins so",
            Self::Missing(what) => return write!(f, "{what} is missing"),
            Self::Expected(what) => return write!(f, "{what} is expected"),
            Self::Unterminated => "a string is not closed",
            Self::NotText => "a word that is not UTF-8",
            Self::Address => "not an address (names are not resolved)",
            Self::Family => "addresses of two families",
            Self::Prefix => "a prefix longer than its address",
            Self::Port => "not a port",
            Self::Number => "not a number that fits",
            Self::Spi => "not an SPI that fits",
            Self::Protocol => "not a security protocol: esp, esp-udp, esp-old, ah, ah-old, ipcomp or tcp",
            Self::Upper => "not an upper protocol",
            Self::Mode => "not a mode: transport or tunnel (of an sa, any)",
            Self::Algorithm => "not an algorithm of this kind",
            Self::Key => "a key is a quoted string, or 0x and pairs of hexadecimal digits",
            Self::KeyLength { bits, min, max } if min == max => {
                return write!(f, "a key of {bits} bits instead of {min}");
            }
            Self::KeyLength { bits, min, max } => {
                return write!(f, "a key of {bits} bits, where {min} to {max} are allowed (not all of them)");
            }
            Self::Algorithms => "these algorithms do not go with the protocol",
            Self::Twice(cipher) => return write!(f, "{cipher} authenticates, and goes with no -A"),
            Self::OldProtocol(option) => return write!(f, "{option} does not go with the protocol"),
            Self::Option => "no such option here, or twice",
            Self::Policy => "not a policy: discard, none, bypass, entrust or ipsec",
            Self::PolicyDirection => "not a direction: in, out or fwd",
            Self::Priority => "not a priority: high, def or low, and up to 1073741824 above or 1073741823 below it",
            Self::Level => "a level is default, use, require, unique, or unique: and 1 to 65535",
            Self::Template => "not protocol/mode/source-destination/level",
            Self::NoEndpoints => "a tunnel needs its two ends",
            Self::TooManyTransforms => "more transforms than a policy may have",
        })
    }
}

impl core::error::Error for SetkeyError<'_> {}
