//! Files of a configuration in the worker: those that the privileged process has read.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ipsec_config::Files;

use super::recording::Recording;
use crate::files::{GatewayFiles, KeyChanges, KeyFile};

/// Recorded files, and access to the changes of those with keys. It contains all keys of the configuration, and is
/// dropped when the configuration was read.
pub struct Snapshot {
    recording: Recording,
    changes: Rc<dyn KeyChanges>,
}

impl Snapshot {
    /// Returns the files of a recording.
    pub fn new(recording: Recording, changes: Rc<dyn KeyChanges>) -> Self {
        Self { recording, changes }
    }
}

/// Returns the error of a file that the privileged process has not read.
fn not_read() -> io::Error {
    io::Error::other("the privileged process has not read the file")
}

impl Files for Snapshot {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.recording.read(path).unwrap_or_else(|| Err(not_read()))
    }

    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        self.recording.expand(pattern).unwrap_or_default()
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        self.recording.mode(path).flatten()
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.recording.resolve(name).unwrap_or_else(|| Err(not_read()))
    }
}

impl GatewayFiles for Snapshot {
    fn key_file(&self, path: &Path) -> KeyFile {
        let missing = || KeyFile { version: None, text: Err(format!("{}: {}", path.display(), not_read())) };
        self.recording.key_file(path).unwrap_or_else(missing)
    }

    fn changes(&self) -> Rc<dyn KeyChanges> {
        Rc::clone(&self.changes)
    }
}
