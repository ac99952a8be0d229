//! Pre-shared keys in the format of racoon's psk.txt.
//!
//! Each line contains an identifier, blanks, and the key up to the end of the line. A line that begins with `#` is a
//! comment. The first line that matches is used.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipsec_crypto::Secret;
use zeroize::Zeroizing;

use crate::log;

/// Pre-shared key of a peer.
pub type PreSharedKey = Secret<MAX_KEY>;

/// Longest key in octets.
const MAX_KEY: usize = 256;
/// Largest file that is read, in octets.
const MAX_FILE: u64 = 1 << 20;
/// Byte order mark of UTF-8, which some editors write at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// File of pre-shared keys. It is read again when it has changed.
pub struct PskFile {
    path: PathBuf,
    /// Properties of the file when it was last read; `None` if it was missing.
    version: Option<Version>,
    entries: Vec<Entry>,
}

/// Properties of a file by which a change is noticed: device, inode, length, and the times of the last changes of the
/// contents and of the properties. The latter changes with owner and mode.
type Version = (u64, u64, u64, Option<SystemTime>, (i64, i64));

/// Line of the file.
struct Entry {
    identifier: Identifier,
    key: PreSharedKey,
}

/// Identifier of a line.
#[derive(Debug, PartialEq, Eq)]
enum Identifier {
    /// `*`, which matches every peer.
    Any,
    Address(IpAddr),
    /// FQDN, user FQDN, or the text of a key ID.
    Name(String),
}

/// Error in a line of the file. It does not contain the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PskError {
    /// Line of the error, from 1.
    pub line: usize,
    /// Kind of the error.
    pub kind: PskErrorKind,
}

/// Kind of an error in a line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PskErrorKind {
    /// The line has no key behind the identifier.
    NoKey,
    /// The key begins with `0x`, and pairs of hexadecimal digits do not follow.
    Hexadecimal,
    /// The key is longer than this implementation supports.
    TooLong {
        /// Length of the key in octets.
        octets: usize,
    },
    /// The identifier is not UTF-8.
    Identifier,
}

impl fmt::Display for PskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match self.kind {
            PskErrorKind::NoKey => f.write_str("no key behind the identifier"),
            PskErrorKind::Hexadecimal => f.write_str("invalid key: expected pairs of hexadecimal digits behind 0x"),
            PskErrorKind::TooLong { octets } => {
                write!(f, "invalid key length: got {octets} octets, expected at most {MAX_KEY}")
            }
            PskErrorKind::Identifier => f.write_str("identifier is not UTF-8"),
        }
    }
}

/// Warning about a key that is used as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Warning {
    CarriageReturn,
    TrailingBlank,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CarriageReturn => "the key ends with a carriage return, which is part of the key",
            Self::TrailingBlank => "the key ends with a blank, which is part of the key",
        })
    }
}

impl PskFile {
    /// Reads a file. It must be a regular file of this user that others can neither read nor write.
    ///
    /// # Errors
    /// The message with the name of the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let problem = |e: &dyn fmt::Display| format!("{}: {e}", path.display());
        let file = File::open(path).map_err(|e| problem(&e))?;
        let metadata = file.metadata().map_err(|e| problem(&e))?;
        check_access(path, &metadata, rustix::process::geteuid().as_raw()).map_err(|e| problem(&e))?;
        let mut text = Zeroizing::new(Vec::new());
        let length = file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(|e| problem(&e))?;
        if length as u64 > MAX_FILE {
            let got = metadata.len().max(MAX_FILE + 1);
            return Err(problem(&format_args!("invalid file size: got {got} bytes, expected at most {MAX_FILE}")));
        }
        let (entries, warnings) = parse(&text).map_err(|e| problem(&e))?;
        for (line, warning) in warnings {
            log::warning(problem(&format_args!("line {line}: {warning}")));
        }
        Ok(Self { path: path.to_owned(), version: Some(version(&metadata)), entries })
    }

    /// Returns the key of a peer with one of these identifiers: that of the first line that matches. If the file has
    /// changed and cannot be read, the former keys remain in use.
    pub fn key(&mut self, address: Option<IpAddr>, name: Option<&str>) -> Option<PreSharedKey> {
        self.find(|identifier| identifier.matches(address, name))
    }

    /// Returns the key of the first line with exactly this name, which is that of a user. `*` and addresses do not match.
    pub fn named(&mut self, name: &str) -> Option<PreSharedKey> {
        self.find(|identifier| matches!(identifier, Identifier::Name(own) if own == name))
    }

    fn find(&mut self, is_it: impl Fn(&Identifier) -> bool) -> Option<PreSharedKey> {
        if let Err(e) = self.reload() {
            log::error(format_args!("{e}; the keys that were read before remain in use"));
        }
        let entry = self.entries.iter().find(|entry| is_it(&entry.identifier))?;
        PreSharedKey::new(entry.key.expose()).ok()
    }

    /// Reads the file again if it has changed. An error is returned once for each change.
    fn reload(&mut self) -> Result<(), String> {
        let current = fs::metadata(&self.path).ok().map(|metadata| version(&metadata));
        if current != self.version {
            self.version = current;
            *self = Self::read(&self.path)?;
        }
        Ok(())
    }
}

impl Identifier {
    fn read(word: &str) -> Self {
        match word {
            "*" => Self::Any,
            _ => word.parse().map_or_else(|_| Self::Name(word.to_owned()), Self::Address),
        }
    }

    fn matches(&self, address: Option<IpAddr>, name: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Address(own) => address == Some(*own),
            Self::Name(own) => name == Some(own.as_str()),
        }
    }
}

fn version(metadata: &Metadata) -> Version {
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.modified().ok(), changed)
}

/// Checks type, owner and permissions of the file. The message contains the command that corrects them.
fn check_access(path: &Path, metadata: &Metadata, user: u32) -> Result<(), String> {
    let (owner, mode, path) = (metadata.uid(), metadata.mode() & 0o7777, path.display());
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    if owner != user {
        return Err(format!("owner mismatch: got user {owner}, expected {user}; run `chown {user} {path}`"));
    }
    if mode & 0o077 != 0 {
        return Err(format!("mode mismatch: got {mode:04o}, expected 0600; run `chmod 600 {path}`"));
    }
    Ok(())
}

/// Entries of a file, and warnings with the numbers of their lines.
type Parsed = (Vec<Entry>, Vec<(usize, Warning)>);

fn parse(text: &[u8]) -> Result<Parsed, PskError> {
    let (mut entries, mut warnings) = (Vec::new(), Vec::new());
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    for (number, line) in text.split(|octet| *octet == b'\n').enumerate().map(|(at, line)| (at + 1, line)) {
        let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
        if line.starts_with(b"#") || line.iter().all(|octet| octet.is_ascii_whitespace()) {
            continue;
        }
        let error = |kind| PskError { line: number, kind };
        let line = &line[line.iter().take_while(|octet| is_blank(octet)).count()..];
        let end = line.iter().position(is_blank).ok_or(error(PskErrorKind::NoKey))?;
        let (identifier, rest) = line.split_at(end);
        let key = &rest[rest.iter().take_while(|octet| is_blank(octet)).count()..];
        match key.last() {
            None => return Err(error(PskErrorKind::NoKey)),
            // The line ends as those of other systems do.
            Some(b'\r') if key.len() == 1 => return Err(error(PskErrorKind::NoKey)),
            Some(b'\r') => warnings.push((number, Warning::CarriageReturn)),
            Some(b' ' | b'\t') => warnings.push((number, Warning::TrailingBlank)),
            Some(_) => {}
        }
        let identifier = std::str::from_utf8(identifier).map_err(|_| error(PskErrorKind::Identifier))?;
        let key = match key.strip_prefix(b"0x") {
            Some(digits) => from_hex(digits).ok_or(error(PskErrorKind::Hexadecimal))?,
            None => Zeroizing::new(key.to_vec()),
        };
        let too_long = error(PskErrorKind::TooLong { octets: key.len() });
        let key = PreSharedKey::new(&key).map_err(|_| too_long)?;
        entries.push(Entry { identifier: Identifier::read(identifier), key });
    }
    Ok((entries, warnings))
}

fn from_hex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let octets = digits.chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?));
    octets.collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

#[cfg(test)]
mod tests;
