//! Errors of gateway.conf with their positions.

use std::error::Error;
use std::fmt;

/// Position in a configuration text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Line, counted from 1.
    pub line: u32,
    /// Column, counted from 1, in characters.
    pub column: u32,
}

/// Error in a configuration text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Position of the error.
    pub at: Location,
    /// Word that caused the error; empty at the end of the text.
    pub found: String,
    /// Kind of the error.
    pub kind: ConfigErrorKind,
}

/// Kind of an error in a configuration text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigErrorKind {
    /// Something else than this was found.
    Expected(String),
    /// The statement may occur only once.
    Duplicate,
    /// This statement is missing in the text or the block that ends here.
    Missing(&'static str),
    /// A peer with this address is defined before.
    SamePeer(String),
}

impl ConfigError {
    /// Error for another word than this.
    pub fn expected(at: Location, found: &str, expected: impl Into<String>) -> Self {
        Self { at, found: found.to_owned(), kind: ConfigErrorKind::Expected(expected.into()) }
    }

    /// Error for a statement that is missing where this word is.
    pub fn missing(at: Location, statement: &'static str) -> Self {
        Self { at, found: String::new(), kind: ConfigErrorKind::Missing(statement) }
    }

    /// Error for a statement or name that occurred before.
    pub fn duplicate(at: Location, found: &str) -> Self {
        Self { at, found: found.to_owned(), kind: ConfigErrorKind::Duplicate }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.at.line, self.at.column)?;
        let found = self.found.escape_debug();
        match &self.kind {
            ConfigErrorKind::Expected(what) if self.found.is_empty() => write!(f, "expected {what}"),
            ConfigErrorKind::Expected(what) => write!(f, "found `{found}`, expected {what}"),
            ConfigErrorKind::Duplicate => write!(f, "duplicate `{found}`"),
            ConfigErrorKind::Missing(what) => write!(f, "statement `{what}` is missing"),
            ConfigErrorKind::SamePeer(name) => write!(f, "peer `{found}` has the address of peer `{name}`"),
        }
    }
}

impl Error for ConfigError {}
