//! Files that a configuration consists of, and the names in it.

use std::io::Read as _;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;
use std::{fs, io};

/// Access to files and names. A test, or a program that has the texts in memory, provides its own.
pub trait Files {
    /// Reads the contents of a file.
    ///
    /// # Errors
    /// The error of the file system.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Returns the files whose names match a pattern with `*` and `?`, in alphabetical order. A name without these
    /// characters is returned as it is, whether the file exists or not.
    fn expand(&self, pattern: &Path) -> Vec<PathBuf>;

    /// Returns the permission bits of a file; `None` if the system has none.
    fn mode(&self, path: &Path) -> Option<u32> {
        let _ = path;
        None
    }

    /// Returns the addresses of a host name.
    ///
    /// # Errors
    /// The error of the resolver.
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Largest size of a file in octets.
const MAX_FILE: u64 = 256 << 20;

/// Files and names of this system. Names are resolved once, when a file is loaded, by the resolver of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
        if u64::try_from(text.len()).is_ok_and(|length| length <= MAX_FILE) {
            return Ok(text);
        }
        let message = std::format!("file is too long, expected at most {MAX_FILE} octets");
        Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
    }

    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.contains(['*', '?']) {
            return std::vec![pattern.to_path_buf()];
        }
        let directory = pattern.parent().unwrap_or(Path::new("."));
        let mut found: Vec<PathBuf> = fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| {
                let own = entry.file_name();
                let own = own.to_string_lossy();
                // As in a shell, `*` does not match hidden files.
                (!own.starts_with('.') || name.starts_with('.')) && matches(&name, &own)
            })
            .map(|entry| entry.path())
            .collect();
        found.sort();
        found
    }

    #[cfg(unix)]
    fn mode(&self, path: &Path) -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).ok().map(|metadata| metadata.mode() & 0o7777)
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut addresses: Vec<IpAddr> = (name, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
        addresses.dedup();
        Ok(addresses)
    }
}

/// No files and no names, for texts that are complete.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        std::vec![pattern.to_path_buf()]
    }

    fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Returns whether a name matches a pattern with `*` and `?`.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // Set of the positions in the pattern that the characters so far lead to.
    let mut positions = std::vec![false; pattern.len().saturating_add(1)];
    let open = |positions: &mut Vec<bool>| {
        for (at, part) in pattern.iter().enumerate() {
            if *part == '*' && positions.get(at) == Some(&true) {
                set(positions, at.saturating_add(1));
            }
        }
    };
    set(&mut positions, 0);
    open(&mut positions);
    for character in name {
        let mut next = std::vec![false; positions.len()];
        for (at, part) in pattern.iter().enumerate().filter(|(at, _)| positions.get(*at) == Some(&true)) {
            match part {
                '*' => set(&mut next, at),
                '?' => set(&mut next, at.saturating_add(1)),
                part if *part == character => set(&mut next, at.saturating_add(1)),
                _ => {}
            }
        }
        open(&mut next);
        positions = next;
    }
    positions.last() == Some(&true)
}

fn set(positions: &mut [bool], at: usize) {
    if let Some(position) = positions.get_mut(at) {
        *position = true;
    }
}

/// Returns a name relative to a directory, or the name itself if it is absolute.
pub(crate) fn relative_to(directory: Option<&Path>, name: &str) -> String {
    directory.map_or(PathBuf::from(name), |directory| directory.join(name)).to_string_lossy().into_owned()
}

/// Files of which one was read before: a pipe can be read once only.
#[derive(Clone, Copy)]
pub struct WithText<'f> {
    /// Other files, and names.
    pub files: &'f dyn Files,
    /// Path of the file that was read.
    pub path: &'f Path,
    /// Contents of the file that was read.
    pub text: &'f [u8],
}

impl Files for WithText<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == self.path { Ok(self.text.to_vec()) } else { self.files.read(path) }
    }

    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        self.files.expand(pattern)
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        self.files.mode(path)
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.files.resolve(name)
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_names() {
        let table = [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("?.conf", "a.conf", true),
            ("?.conf", "ab.conf", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("", "", true),
            ("*", "", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
