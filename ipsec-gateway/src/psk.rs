//! Pre-shared keys of a file, with its access rights and changes.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipsec_config::{Diagnostics, Severity, Sources, psk};
use ipsec_crypto::Secret;
use zeroize::Zeroizing;

use crate::log;

/// Pre-shared key of a peer.
pub type PreSharedKey = Secret<MAX_KEY>;

/// Longest key in octets.
const MAX_KEY: usize = 256;
/// Largest file that is read, in octets.
const MAX_FILE: u64 = 1 << 20;

/// File of pre-shared keys in the format of racoon's psk.txt. It is read again when it has changed.
pub struct PskFile {
    path: PathBuf,
    /// Properties of the file when it was last read; `None` if it was missing.
    version: Option<Version>,
    keys: psk::PskFile,
}

/// Properties of a file that reveal a change: device, inode, length, and the times of the last changes of the
/// contents and of the properties. The latter changes with owner and mode.
type Version = (u64, u64, u64, Option<SystemTime>, (i64, i64));

impl PskFile {
    /// Reads a file. It must be a regular file of this user that others can neither read nor write.
    ///
    /// # Errors
    /// The message with the name of the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let problem = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let file = File::open(path).map_err(|e| problem(&e))?;
        let metadata = file.metadata().map_err(|e| problem(&e))?;
        check_access(path, &metadata, rustix::process::geteuid().as_raw()).map_err(|e| problem(&e))?;
        let mut text = Zeroizing::new(Vec::new());
        let length = file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(|e| problem(&e))?;
        if length as u64 > MAX_FILE {
            let got = metadata.len().max(MAX_FILE + 1);
            return Err(problem(&format_args!("invalid file size: got {got} bytes, expected at most {MAX_FILE}")));
        }
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::default());
        let name = path.to_string_lossy();
        let keys = psk::PskFile::parse(&name, std::mem::take(&mut *text), &mut sources, &mut diagnostics);
        for diagnostic in diagnostics.iter() {
            if diagnostic.severity == Severity::Error {
                return Err(sources.show(diagnostic).to_string());
            }
            log::warning(sources.show(diagnostic));
        }
        Ok(Self { path: path.to_owned(), version: Some(version(&metadata)), keys })
    }

    /// Returns a file without keys, for peers that need none.
    pub fn none() -> Self {
        Self { path: PathBuf::new(), version: None, keys: psk::PskFile::default() }
    }

    /// Returns the key of a peer with one of these identifiers: that of the first line that matches. If the file has
    /// changed and cannot be read, the former keys remain in use.
    pub fn key(&mut self, address: Option<IpAddr>, name: Option<&str>) -> Option<PreSharedKey> {
        self.find(|keys| keys.key(address, name))
    }

    /// Returns the key of the first line with exactly this name, which is that of a user. `*` and addresses do not match.
    pub fn named(&mut self, name: &str) -> Option<PreSharedKey> {
        self.find(|keys| keys.named(name))
    }

    fn find(&mut self, find: impl Fn(&psk::PskFile) -> Option<&[u8]>) -> Option<PreSharedKey> {
        if let Err(e) = self.reload() {
            log::error(format_args!("{e}; the keys that were read before remain in use"));
        }
        PreSharedKey::new(find(&self.keys)?).ok()
    }

    /// Reads the file again if it has changed. An error is returned once for each change.
    fn reload(&mut self) -> Result<(), String> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        let current = fs::metadata(&self.path).ok().map(|metadata| version(&metadata));
        if current != self.version {
            self.version = current;
            *self = Self::read(&self.path)?;
        }
        Ok(())
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

#[cfg(test)]
mod tests;
