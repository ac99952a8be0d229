//! Texts in memory as the files of a configuration, and what loading them reports.
#![allow(dead_code)] // each test uses a part

pub mod damage;
pub mod lines;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipsec_config::{Configuration, Files, Language, LoadSettings, Loaded, Severity, load, openbsd};

/// Files and host names in memory.
#[derive(Default)]
pub struct Texts {
    files: BTreeMap<PathBuf, Vec<u8>>,
    hosts: BTreeMap<String, IpAddr>,
}

impl Texts {
    pub fn with(mut self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.files.insert(name.into(), text.as_ref().to_vec());
        self
    }

    pub fn with_host(mut self, name: &str, address: &str) -> Self {
        self.hosts.insert(name.into(), address.parse().unwrap());
        self
    }

    pub fn load(&self, name: &str, language: Language) -> Loaded {
        self.load_with(&[(name, language)], openbsd::Release::Newest)
    }

    pub fn load_with(&self, names: &[(&str, Language)], release: openbsd::Release) -> Loaded {
        let paths: Vec<_> = names.iter().map(|(name, language)| (PathBuf::from(name), Some(*language))).collect();
        let mut settings = LoadSettings::default();
        settings.release = release;
        load(self, &paths, &settings)
    }
}

impl Files for Texts {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        let pattern = pattern.to_string_lossy();
        match pattern.split_once('*') {
            None => vec![PathBuf::from(pattern.as_ref())],
            Some((front, back)) => {
                let is_match = |path: &&PathBuf| {
                    let path = path.to_string_lossy();
                    path.starts_with(front) && path.ends_with(back)
                };
                self.files.keys().filter(is_match).cloned().collect()
            }
        }
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.hosts.get(name).map(|address| vec![*address]).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Loads one text.
pub fn loaded(text: impl AsRef<[u8]>, language: Language) -> Loaded {
    Texts::default().with("file", text).load("file", language)
}

/// Loads a text of OpenBSD with the defaults of a release.
pub fn loaded_for(text: &str, release: openbsd::Release) -> Loaded {
    Texts::default().with("file", text).load_with(&[("file", Language::OpenBsd)], release)
}

/// Loads one text and expects no errors.
pub fn accepted(text: impl AsRef<[u8]>, language: Language) -> Configuration {
    let loaded = loaded(text.as_ref(), language);
    let errors = reports(&loaded, Severity::Error);
    assert!(errors.is_empty(), "{}\n{}", String::from_utf8_lossy(text.as_ref()), errors.join("\n"));
    loaded.configuration
}

/// Returns the diagnostics of one severity: line, column and message.
pub fn reports(loaded: &Loaded, severity: Severity) -> Vec<String> {
    let own = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity);
    own.map(|diagnostic| {
        let (line, column) = loaded.sources.position(diagnostic.span);
        let help = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{line}:{column}: {}{help}", diagnostic.message)
    })
    .collect()
}

/// Returns the errors of a text.
pub fn errors(text: impl AsRef<[u8]>, language: Language) -> Vec<String> {
    reports(&loaded(text, language), Severity::Error)
}

/// Returns the warnings of a text without errors.
pub fn warnings(text: impl AsRef<[u8]>, language: Language) -> Vec<String> {
    let loaded = loaded(text.as_ref(), language);
    assert_eq!(reports(&loaded, Severity::Error), Vec::<String>::new(), "{}", String::from_utf8_lossy(text.as_ref()));
    reports(&loaded, Severity::Warning)
}

/// Returns everything that is shown about a text.
pub fn shown(loaded: &Loaded) -> String {
    let mut all: String = loaded.diagnostics.iter().map(|own| format!("{}\n", loaded.sources.show(own))).collect();
    all.push_str(&loaded.configuration.describe(&loaded.sources).to_string());
    all.push_str(&format!("{:?} {:?} {:?}", loaded.configuration, loaded.keys, loaded.racoon));
    all
}
