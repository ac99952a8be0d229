//! The corpora and regressions: one tar archive for each target, `fuzz/corpus/TARGET.tar` and, if it has had a finding,
//! `fuzz/regressions/TARGET.tar`.
//!
//! The tests read the archives in memory. Fuzzers need directories, which `fuzz-corpus unpack` writes;
//! `fuzz-corpus pack` writes the archives. The contents of a directory determine the archive: the entries are sorted by
//! name, and owner, mode and modification time are constants.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::seeds::root;

/// Archives of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Inputs that reach different code.
    Corpus,
    /// Inputs that violated the property of the target before a correction. Not every target has such an archive.
    Regressions,
}

impl Collection {
    /// Returns the path of a target's archive.
    pub fn archive(self, target: &str) -> PathBuf {
        let folder = match self {
            Self::Corpus => "fuzz/corpus",
            Self::Regressions => "fuzz/regressions",
        };
        root().join(folder).join(format!("{target}.tar"))
    }
}

/// Returns the names and contents of the files in an archive, in its order.
///
/// # Errors
/// The archive cannot be read, is malformed, or contains something other than files without a directory.
pub fn read(archive: &Path) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(File::open(archive)?).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.file_name().filter(|name| path.as_os_str() == *name);
        let name = name.ok_or_else(|| io::Error::other(format!("unexpected path {}", path.display())))?;
        if !entry.header().entry_type().is_file() {
            return Err(io::Error::other(format!("{} is not a file", path.display())));
        }
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents)?;
        files.push((name.to_owned(), contents));
    }
    Ok(files)
}

/// Writes the files of a directory into an archive and returns their number. Of files with the same contents, the first
/// is kept.
///
/// # Errors
/// A file cannot be read, or the archive cannot be written.
pub fn pack(directory: &Path, archive: &Path) -> io::Result<usize> {
    let mut names: Vec<OsString> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    names.sort();
    let mut written = BTreeSet::new();
    // The archive is replaced only when the new one is complete.
    let incomplete = archive.with_extension("incomplete");
    let mut builder = tar::Builder::new(io::BufWriter::new(File::create(&incomplete)?));
    for name in names {
        let contents = fs::read(directory.join(&name))?;
        if written.contains(&contents) {
            continue;
        }
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(contents.len() as u64);
        builder.append_data(&mut header, &name, &contents[..])?;
        written.insert(contents);
    }
    builder.into_inner()?.into_inner()?.sync_all()?;
    fs::rename(&incomplete, archive)?;
    Ok(written.len())
}

/// Writes the files of an archive into a directory, beside the existing ones, and returns their
/// number.
///
/// # Errors
/// The archive cannot be read, or a file cannot be written.
pub fn unpack(archive: &Path, directory: &Path) -> io::Result<usize> {
    fs::create_dir_all(directory)?;
    let files = read(archive)?;
    for (name, contents) in &files {
        fs::write(directory.join(name), contents)?;
    }
    Ok(files.len())
}
