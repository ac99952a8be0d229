//! Files of the daemon. All of them are read through one argument, so that another process can read them.

use std::fmt::Display;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;

use ipsec_config::{Files, SystemFiles};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Largest file of keys that is read, in octets.
const MAX_KEY_FILE: u64 = 1 << 20;

/// Access to the files of a configuration, and to those with pre-shared keys and passwords while the daemon runs.
pub trait GatewayFiles: Files {
    /// Reads a file of pre-shared keys or passwords. It must be a regular file of this user that others can neither
    /// read nor write.
    fn key_file(&self, path: &Path) -> KeyFile;

    /// Returns access to such files after the configuration was read.
    fn changes(&self) -> Rc<dyn KeyChanges>;
}

/// Access to files of pre-shared keys and passwords while the daemon runs.
pub trait KeyChanges {
    /// Reads a file again if its properties are no longer the known ones. Returns `None` if they are.
    fn changed_key_file(&self, path: &Path, known: Option<Version>) -> Option<KeyFile>;
}

/// Files whose changes are not seen.
pub struct NoChanges;

impl KeyChanges for NoChanges {
    fn changed_key_file(&self, _: &Path, _: Option<Version>) -> Option<KeyFile> {
        None
    }
}

/// File of pre-shared keys or passwords at one time.
#[derive(Clone)]
pub struct KeyFile {
    /// Properties of the file; `None` if it is missing.
    pub version: Option<Version>,
    /// Contents, or the message with the name of the file.
    pub text: Result<Zeroizing<Vec<u8>>, String>,
}

/// Properties of a file that reveal a change: device, inode, length, and the times of the last changes of the contents
/// and of the properties. The latter changes with owner and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Returns the files of this system, with the rights of this process.
pub fn local() -> Rc<dyn GatewayFiles> {
    Rc::new(SystemFiles)
}

impl GatewayFiles for SystemFiles {
    fn key_file(&self, path: &Path) -> KeyFile {
        let problem = |e: &dyn Display| format!("{}: {e}", path.display());
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) => KeyFile {
                version: Some(Version::of(&metadata)),
                text: read_keys(path, &metadata, file).map_err(|e| problem(&e)),
            },
            Err(e) => KeyFile { version: version(path), text: Err(problem(&e)) },
        }
    }

    fn changes(&self) -> Rc<dyn KeyChanges> {
        Rc::new(*self)
    }
}

impl KeyChanges for SystemFiles {
    fn changed_key_file(&self, path: &Path, known: Option<Version>) -> Option<KeyFile> {
        (version(path) != known).then(|| self.key_file(path))
    }
}

/// Returns the properties of a file; `None` if it is missing.
fn version(path: &Path) -> Option<Version> {
    fs::metadata(path).ok().map(|metadata| Version::of(&metadata))
}

fn read_keys(path: &Path, metadata: &Metadata, file: File) -> Result<Zeroizing<Vec<u8>>, String> {
    check_access(path, metadata, rustix::process::geteuid().as_raw())?;
    let mut text = Zeroizing::new(Vec::new());
    let length = file.take(MAX_KEY_FILE + 1).read_to_end(&mut text).map_err(|e| e.to_string())?;
    if length as u64 > MAX_KEY_FILE {
        let got = metadata.len().max(MAX_KEY_FILE + 1);
        return Err(format!("invalid file size: got {got} bytes, expected at most {MAX_KEY_FILE}"));
    }
    Ok(text)
}

/// Checks type, owner and permissions of a file with keys. The message contains the command that corrects them.
pub(crate) fn check_access(path: &Path, metadata: &Metadata, user: u32) -> Result<(), String> {
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
mod tests {
    use super::*;

    #[test]
    fn key_files_of_other_users_are_refused() {
        let path = std::env::temp_dir().join(format!("ipsec-gateway-{}-owner", std::process::id()));
        fs::write(&path, b"* key\n").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let error = check_access(&path, &metadata, metadata.uid() + 1).unwrap_err();
        let expected = metadata.uid() + 1;
        let command = format!("expected {expected}; run `chown {expected} {}`", path.display());
        assert!(error.starts_with("owner mismatch: got user ") && error.ends_with(&command), "{error}");
        fs::remove_file(path).unwrap();
    }
}
