//! Access to the state file: it is read as a whole and replaced as a whole.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::files::check_access;

/// Largest file that is read, in octets.
const MAX_FILE: u64 = 256 << 20;

/// Place of the state, a file or the memory of a test.
pub trait Store {
    /// Reads the whole file. Returns `None` if the file does not exist.
    ///
    /// # Errors
    /// The message with the name of the file.
    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, String>;

    /// Replaces the whole file. When the function returns, the contents outlast a failure of the system.
    ///
    /// # Errors
    /// The message with the name of the file, which then has the former or the new contents.
    fn replace(&self, contents: &[u8]) -> Result<(), String>;
}

/// File of this user, locked against other daemons.
pub struct FileStore {
    path: PathBuf,
    /// Lock file. It is separate, because the file of the state is replaced.
    _lock: File,
}

impl FileStore {
    /// Locks a file, which need not exist.
    ///
    /// # Errors
    /// The message with the name of the file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let problem = |e: &dyn std::fmt::Display| format!("state file {}: {e}", path.display());
        check_directory(path).map_err(|e| problem(&e))?;
        let mut options = File::options();
        options.create(true).append(true).mode(0o600).custom_flags(no_follow());
        let lock = options.open(with_suffix(path, ".lock")).map_err(|e| problem(&e))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => problem(&"another daemon uses it"),
            TryLockError::Error(e) => problem(&e),
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn problem(&self, e: impl std::fmt::Display) -> String {
        format!("state file {}: {e}", self.path.display())
    }
}

impl Store for FileStore {
    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let file = match File::options().read(true).custom_flags(no_follow()).open(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(self.problem("got a symbolic link, expected a regular file"));
            }
            file => file.map_err(|e| self.problem(e))?,
        };
        let metadata = file.metadata().map_err(|e| self.problem(e))?;
        check_access(&self.path, &metadata, rustix::process::geteuid().as_raw()).map_err(|e| self.problem(e))?;
        // One allocation: a larger one would leave a copy behind.
        let capacity = usize::try_from(metadata.len().min(MAX_FILE)).unwrap_or(0).saturating_add(1);
        let mut contents = Zeroizing::new(Vec::with_capacity(capacity));
        let length = file.take(MAX_FILE + 1).read_to_end(&mut contents).map_err(|e| self.problem(e))?;
        if length as u64 > MAX_FILE {
            return Err(self.problem(format_args!("invalid file size: expected at most {MAX_FILE} bytes")));
        }
        Ok(Some(contents))
    }

    fn replace(&self, contents: &[u8]) -> Result<(), String> {
        let temporary = with_suffix(&self.path, ".new");
        let replace = || -> io::Result<()> {
            match fs::remove_file(&temporary) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            // It fails if the name exists, also as a symbolic link.
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(contents)?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)?;
            File::open(directory(&self.path))?.sync_all()
        };
        replace().map_err(|e| self.problem(e))
    }
}

/// Refuses a directory in which another user can replace the file.
fn check_directory(path: &Path) -> Result<(), String> {
    let directory = directory(path);
    let metadata = fs::metadata(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let (owner, user, mode) = (metadata.uid(), rustix::process::geteuid().as_raw(), metadata.mode() & 0o7777);
    if owner != user && owner != 0 {
        return Err(format!("owner mismatch of {}: got user {owner}, expected {user}", directory.display()));
    }
    // In a directory with the sticky bit, only the owner of a file can replace it.
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let expected = "no write permission for group and others, or the sticky bit";
        return Err(format!("mode mismatch of {}: got {mode:04o}, expected {expected}", directory.display()));
    }
    Ok(())
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn no_follow() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ipsec-gateway-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        folder
    }

    #[test]
    fn replaced_files_are_read_back_by_their_owner_only() {
        let folder = scratch("state-owner");
        let path = folder.join("state");
        let store = FileStore::open(&path).unwrap();
        assert_eq!(store.read(), Ok(None));
        fs::write(folder.join("state.new"), "of a daemon that was killed").unwrap();
        for contents in ["first", "second"] {
            store.replace(contents.as_bytes()).unwrap();
            assert_eq!(store.read(), Ok(Some(contents.as_bytes().to_vec().into())));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "the file and its lock remain");
        let error = FileStore::open(&path).map(drop).unwrap_err();
        assert!(error.ends_with("another daemon uses it"), "{error}");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = store.read().unwrap_err();
        assert!(error.contains("mode mismatch: got 0640, expected 0600"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn symbolic_links_and_open_directories_are_refused() {
        let folder = scratch("state-link");
        let path = folder.join("state");
        fs::write(folder.join("other"), "of another user").unwrap();
        symlink(folder.join("other"), &path).unwrap();
        let store = FileStore::open(&path).unwrap();
        let error = store.read().unwrap_err();
        assert!(error.ends_with("got a symbolic link, expected a regular file"), "{error}");
        drop(store);
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        let error = FileStore::open(&path).map(drop).unwrap_err();
        assert!(
            error.contains("got 0777, expected no write permission for group and others, or the sticky bit"),
            "{error}"
        );
        fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
        FileStore::open(&path).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failed_replacement_keeps_the_former_file() {
        let folder = scratch("state-kept");
        let path = folder.join("state");
        let store = FileStore::open(&path).unwrap();
        store.replace(b"former").unwrap();
        fs::create_dir(folder.join("state.new")).unwrap();
        assert!(store.replace(b"next").is_err());
        assert_eq!(store.read(), Ok(Some(b"former".to_vec().into())));
        fs::remove_dir_all(folder).unwrap();
    }
}
