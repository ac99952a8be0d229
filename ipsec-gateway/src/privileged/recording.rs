//! Files of a configuration as they were read: the privileged process reads the configuration itself, and thereby
//! determines which files it consists of.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ipsec_config::Files;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{GatewayFiles, KeyChanges, KeyFile, NoChanges, Version};

/// Answers of the file system and of the resolver.
#[derive(Default)]
pub struct Recording {
    files: BTreeMap<PathBuf, Result<Zeroizing<Vec<u8>>, Failure>>,
    key_files: BTreeMap<PathBuf, KeyFile>,
    patterns: BTreeMap<PathBuf, Vec<PathBuf>>,
    modes: BTreeMap<PathBuf, Option<u32>>,
    names: BTreeMap<String, Result<Vec<IpAddr>, Failure>>,
}

/// Error of the system that can be passed to another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Failure {
    /// Number of the system.
    number: Option<i32>,
    text: String,
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self { number: e.raw_os_error(), text: e.to_string() }
    }
}

impl From<&Failure> for io::Error {
    fn from(own: &Failure) -> Self {
        own.number.map_or_else(|| Self::other(own.text.clone()), Self::from_raw_os_error)
    }
}

impl Recording {
    /// Returns the files of pre-shared keys and passwords.
    pub fn key_files(&self) -> BTreeSet<PathBuf> {
        self.key_files.keys().cloned().collect()
    }

    pub(super) fn read(&self, path: &Path) -> Option<io::Result<Vec<u8>>> {
        Some(self.files.get(path)?.as_ref().map(|text| text.to_vec()).map_err(io::Error::from))
    }

    pub(super) fn key_file(&self, path: &Path) -> Option<KeyFile> {
        self.key_files.get(path).cloned()
    }

    pub(super) fn expand(&self, pattern: &Path) -> Option<Vec<PathBuf>> {
        self.patterns.get(pattern).cloned()
    }

    pub(super) fn mode(&self, path: &Path) -> Option<Option<u32>> {
        self.modes.get(path).copied()
    }

    pub(super) fn resolve(&self, name: &str) -> Option<io::Result<Vec<IpAddr>>> {
        Some(self.names.get(name)?.clone().map_err(|e| io::Error::from(&e)))
    }

    /// Returns the index, and the contents of all files in its order.
    pub fn into_parts(self) -> (Index, Zeroizing<Vec<u8>>) {
        let of_files = self.files.values().filter_map(|text| text.as_ref().ok());
        let of_keys = self.key_files.values().filter_map(|own| own.text.as_ref().ok());
        let of_all = || of_files.clone().chain(of_keys.clone());
        // The capacity is that of the result: no part of a key remains where a shorter text was.
        let mut texts = Zeroizing::new(Vec::with_capacity(of_all().map(|text| text.len()).sum()));
        of_all().for_each(|text| texts.extend_from_slice(text));
        let index = Index {
            files: self.files.iter().map(|(path, text)| (path.clone(), length_of(text))).collect(),
            key_files: self
                .key_files
                .iter()
                .map(|(path, own)| (path.clone(), own.version, length_of(&own.text)))
                .collect(),
            patterns: self.patterns.into_iter().collect(),
            modes: self.modes.into_iter().collect(),
            names: self.names.into_iter().collect(),
        };
        (index, texts)
    }
}

fn length_of<E: Clone>(text: &Result<Zeroizing<Vec<u8>>, E>) -> Result<usize, E> {
    text.as_ref().map(|text| text.len()).map_err(E::clone)
}

/// Recording without the contents of its files, whose lengths it has.
#[derive(Debug, Serialize, Deserialize)]
pub struct Index {
    files: Vec<(PathBuf, Result<usize, Failure>)>,
    key_files: Vec<(PathBuf, Option<Version>, Result<usize, String>)>,
    patterns: Vec<(PathBuf, Vec<PathBuf>)>,
    modes: Vec<(PathBuf, Option<u32>)>,
    names: Vec<(String, Result<Vec<IpAddr>, Failure>)>,
}

impl Index {
    /// Returns the recording with these texts.
    ///
    /// # Errors
    /// The texts do not have the lengths of the index.
    pub fn with_texts(self, mut texts: &[u8]) -> Result<Recording, String> {
        let mut recording = Recording {
            patterns: self.patterns.into_iter().collect(),
            modes: self.modes.into_iter().collect(),
            names: self.names.into_iter().collect(),
            ..Recording::default()
        };
        for (path, length) in self.files {
            let text = length.map(|length| take(&mut texts, length));
            recording.files.insert(path, transposed(text)?);
        }
        for (path, version, length) in self.key_files {
            let text = length.map(|length| take(&mut texts, length));
            recording.key_files.insert(path, KeyFile { version, text: transposed(text)? });
        }
        Ok(recording)
    }
}

fn take(texts: &mut &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let missing = || format!("contents of the configuration: got {} octets, expected {length}", texts.len());
    let (text, rest) = texts.split_at_checked(length).ok_or_else(missing)?;
    *texts = rest;
    Ok(Zeroizing::new(text.to_vec()))
}

fn transposed<T, E>(text: Result<Result<T, String>, E>) -> Result<Result<T, E>, String> {
    match text {
        Ok(Ok(text)) => Ok(Ok(text)),
        Ok(Err(e)) => Err(e),
        Err(e) => Ok(Err(e)),
    }
}

/// Files whose answers are recorded. A file is read once, whatever changes meanwhile.
pub struct Recorder {
    files: Rc<dyn GatewayFiles>,
    recording: RefCell<Recording>,
}

impl Recorder {
    /// Records the answers of `files`.
    pub fn new(files: Rc<dyn GatewayFiles>) -> Self {
        Self { files, recording: RefCell::default() }
    }

    /// Returns the recorded answers.
    pub fn take(&self) -> Recording {
        self.recording.take()
    }
}

impl Files for Recorder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let Some(read) = self.recording.borrow().read(path) {
            return read;
        }
        let read = self.files.read(path).map(Zeroizing::new).map_err(Failure::from);
        self.recording.borrow_mut().files.insert(path.to_owned(), read);
        self.recording.borrow().read(path).unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
    }

    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        let mut recording = self.recording.borrow_mut();
        recording.patterns.entry(pattern.to_owned()).or_insert_with(|| self.files.expand(pattern)).clone()
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        let mut recording = self.recording.borrow_mut();
        *recording.modes.entry(path.to_owned()).or_insert_with(|| self.files.mode(path))
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut recording = self.recording.borrow_mut();
        let resolve = || self.files.resolve(name).map_err(Failure::from);
        let resolved = recording.names.entry(name.to_owned()).or_insert_with(resolve);
        resolved.clone().map_err(|e| io::Error::from(&e))
    }
}

impl GatewayFiles for Recorder {
    fn key_file(&self, path: &Path) -> KeyFile {
        let mut recording = self.recording.borrow_mut();
        recording.key_files.entry(path.to_owned()).or_insert_with(|| self.files.key_file(path)).clone()
    }

    fn changes(&self) -> Rc<dyn KeyChanges> {
        Rc::new(NoChanges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_have_the_same_answers_in_another_process() {
        let folder = std::env::temp_dir().join(format!("ipsec-gateway-{}-recording", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (text, keys, missing) = (folder.join("a.conf"), folder.join("psk.txt"), folder.join("missing"));
        std::fs::write(&text, "a text").unwrap();
        std::fs::write(&keys, "* a key\n").unwrap();
        std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let recorder = Recorder::new(crate::files::local());
        assert_eq!(recorder.read(&text).unwrap(), b"a text");
        std::fs::write(&text, "another").unwrap();
        assert_eq!(recorder.read(&text).unwrap(), b"a text", "it is read once");
        let error = recorder.read(&missing).unwrap_err();
        let pattern = folder.join("*.conf");
        assert_eq!(recorder.expand(&pattern), std::slice::from_ref(&text));
        assert_eq!((recorder.mode(&keys), recorder.mode(&missing)), (Some(0o600), None));
        let version = recorder.key_file(&keys).version;
        let problem = recorder.key_file(&missing).text.unwrap_err();
        std::fs::remove_dir_all(&folder).unwrap();
        let (index, texts) = recorder.take().into_parts();
        assert!(!serde_json::to_string(&index).unwrap().contains("a key"));
        let index: Index = serde_json::from_str(&serde_json::to_string(&index).unwrap()).unwrap();
        let read = index.with_texts(&texts).unwrap();
        assert_eq!(read.read(&text).unwrap().unwrap(), b"a text");
        assert_eq!(read.read(&missing).unwrap().unwrap_err().to_string(), error.to_string());
        assert_eq!(read.expand(&pattern), Some(vec![text]));
        assert_eq!((read.mode(&keys), read.mode(&missing), read.mode(&folder)), (Some(Some(0o600)), Some(None), None));
        let file = read.key_file(&keys).unwrap();
        assert_eq!((file.version, file.text.unwrap().as_slice()), (version, &b"* a key\n"[..]));
        assert_eq!(read.key_file(&missing).unwrap().text.unwrap_err(), problem);
        assert_eq!(read.key_files().len(), 2);
    }

    #[test]
    fn texts_that_are_shorter_than_the_index_are_refused() {
        let recorder = Recorder::new(crate::files::local());
        recorder.read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))).unwrap();
        let (index, texts) = recorder.take().into_parts();
        assert!(index.with_texts(&texts[1..]).is_err_and(|e| e.contains("expected ")));
    }
}
