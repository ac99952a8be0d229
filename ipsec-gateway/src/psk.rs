//! Pre-shared keys of a file, with its access rights and changes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ipsec_config::{Diagnostics, Severity, Sources, psk};
use ipsec_crypto::Secret;

use crate::files::{GatewayFiles, KeyChanges, KeyFile, Version};
use crate::log;

/// Pre-shared key of a peer.
pub type PreSharedKey = Secret<MAX_KEY>;

/// Longest key in octets.
const MAX_KEY: usize = 256;

/// File of pre-shared keys in the format of racoon's psk.txt. It is read again when it has changed.
pub struct PskFile {
    /// Path of the file, and access to its changes; `None` without a file.
    source: Option<(PathBuf, Rc<dyn KeyChanges>)>,
    /// Properties of the file when it was last read; `None` if it was missing.
    version: Option<Version>,
    keys: psk::PskFile,
}

impl PskFile {
    /// Reads a file. It must be a regular file of the user of the daemon that others can neither read nor write.
    ///
    /// # Errors
    /// The message with the name of the file.
    pub fn read(files: &Rc<dyn GatewayFiles>, path: &Path) -> Result<Self, String> {
        let KeyFile { version, text } = files.key_file(path);
        Ok(Self { source: Some((path.to_owned(), files.changes())), version, keys: parse(path, text)? })
    }

    /// Reads the file that a configuration names; without one there are no keys.
    ///
    /// # Errors
    /// The message with the name of the file.
    pub fn read_optional(files: &Rc<dyn GatewayFiles>, path: Option<&Path>) -> Result<Self, String> {
        path.map_or_else(|| Ok(Self::none()), |path| Self::read(files, path))
    }

    /// Returns a file without keys, for peers that need none.
    pub fn none() -> Self {
        Self { source: None, version: None, keys: psk::PskFile::default() }
    }

    /// Returns the key of a peer with one of these identifiers: that of the first line that matches. If the file has
    /// changed and cannot be read, the former keys remain in use.
    pub fn key(&mut self, address: Option<IpAddr>, name: Option<&str>) -> Option<PreSharedKey> {
        self.find(|keys| keys.key(address, name))
    }

    /// Returns the key of the first line with exactly this name, which is that of a user. `*` and addresses do not
    /// match.
    pub fn named(&mut self, name: &str) -> Option<PreSharedKey> {
        self.find(|keys| keys.named(name))
    }

    /// Returns whether a line has an address: the key of an initiator that has no peer of its own may be found by it.
    pub fn has_address(&mut self) -> bool {
        let is_address = |entry: &&psk::PskEntry| matches!(entry.identifier, psk::PskIdentifier::Address(_));
        self.find(|keys| keys.entries.iter().find(is_address).map(|entry| entry.key.as_slice())).is_some()
    }

    fn find(&mut self, find: impl Fn(&psk::PskFile) -> Option<&[u8]>) -> Option<PreSharedKey> {
        if let Err(e) = self.reload() {
            log::error(format_args!("{e}; the keys that were read before remain in use"));
        }
        PreSharedKey::new(find(&self.keys)?).ok()
    }

    /// Reads the file again if it has changed. An error is returned once for each change.
    fn reload(&mut self) -> Result<(), String> {
        let Some((path, changes)) = &self.source else { return Ok(()) };
        if let Some(KeyFile { version, text }) = changes.changed_key_file(path, self.version) {
            self.version = version;
            self.keys = parse(path, text)?;
        }
        Ok(())
    }
}

/// Parses the contents of a file. Warnings are logged.
fn parse(path: &Path, text: Result<zeroize::Zeroizing<Vec<u8>>, String>) -> Result<psk::PskFile, String> {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::default());
    let keys =
        psk::PskFile::parse(&path.to_string_lossy(), std::mem::take(&mut *text?), &mut sources, &mut diagnostics);
    for diagnostic in diagnostics.iter() {
        if diagnostic.severity == Severity::Error {
            return Err(sources.show(diagnostic).to_string());
        }
        log::warning(sources.show(diagnostic));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
