//! Files that contain keys, or that must be replaced as a whole.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes a file that only its owner can read. The file is replaced when the new one is complete: neither contents
/// nor permissions of the old one remain, and a symbolic link is replaced, not followed.
pub fn write(path: &Path, contents: &[u8]) -> Result<(), Box<dyn Error>> {
    let problem = |e: std::io::Error| format!("{}: {e}", path.display());
    let name = path.file_name().ok_or_else(|| format!("{}: not a file name", path.display()))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.{:016x}", std::process::id(), rand::random::<u64>()));
    let temporary = path.with_file_name(temporary);
    let written = create(&temporary).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    Ok(renamed.map_err(problem)?)
}

/// Returns the path of a file without symbolic links.
pub fn canonical(path: &Path) -> Result<PathBuf, Box<dyn Error>> {
    Ok(fs::canonicalize(path).map_err(|e| format!("{}: {e}", path.display()))?)
}

/// Creates a new file. It fails if the name exists, also as a symbolic link.
fn create(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("ipsec-lab-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn written_files_are_readable_by_their_owner_only() {
        let folder = scratch("owner");
        let path = folder.join("keys");
        for old in [None, Some(0o644), Some(0o400)] {
            if let Some(mode) = old {
                fs::write(&path, "an old and longer file").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            write(&path, b"keys").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"keys");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no other file remains");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn symbolic_links_are_replaced() {
        let folder = scratch("link");
        let (path, other) = (folder.join("keys"), folder.join("other"));
        fs::write(&other, "of another user").unwrap();
        symlink(&other, &path).unwrap();
        write(&path, b"keys").unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"of another user");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failed_write_keeps_the_former_file() {
        let folder = scratch("kept");
        let path = folder.join("keys");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "kept").unwrap();
        assert!(write(&path, b"keys").unwrap_err().to_string().contains("keys"));
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
