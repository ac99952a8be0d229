//! Configuration language of OpenBSD: ipsec.conf(5).
//!
//! ```
//! use ipsec_config::openbsd;
//!
//! let text = "ike esp from 10.1.0.0/16 to 10.2.0.0/16 local 192.0.2.1 peer 198.51.100.1 psk \"change-this-secret\"\n";
//! let (configuration, sources, diagnostics) = openbsd::parse("ipsec.conf", text, openbsd::Release::Newest);
//! assert!(diagnostics.is_empty(), "{}", diagnostics.iter().map(|d| sources.show(d).to_string()).collect::<String>());
//! assert_eq!((configuration.peers.len(), configuration.policies.len()), (1, 2));
//! ```

mod convert;
mod line;
mod manual;
mod names;
mod parser;
mod syntax;
mod write;

use std::io;
use std::path::Path;

pub use names::Release;
pub(crate) use write::write;

use crate::secret::Secrets;
use crate::{Configuration, Diagnostics, FileId, Files, NoFiles, Sources};

/// Reads a file and those that it includes, and adds their peers, policies and SAs. Errors and warnings are added to
/// `diagnostics`.
///
/// # Errors
/// The error of the file system for the first file.
pub fn read(
    files: &dyn Files,
    path: &Path,
    release: Release,
    sources: &mut Sources,
    configuration: &mut Configuration,
    diagnostics: &mut Diagnostics,
) -> io::Result<()> {
    let text = files.read(path)?;
    let file = sources.add(path.to_string_lossy(), text, Secrets::KeysInLines);
    configure(files, path, file, release, sources, configuration, diagnostics);
    Ok(())
}

/// Parses a text that includes no files.
pub fn parse(name: &str, text: &str, release: Release) -> (Configuration, Sources, Diagnostics) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::default());
    let mut configuration = Configuration::default();
    let file = sources.add(name, text.as_bytes().to_vec(), Secrets::KeysInLines);
    configure(&NoFiles, Path::new(name), file, release, &mut sources, &mut configuration, &mut diagnostics);
    (configuration, sources, diagnostics)
}

fn configure(
    files: &dyn Files,
    path: &Path,
    file: FileId,
    release: Release,
    sources: &mut Sources,
    configuration: &mut Configuration,
    diagnostics: &mut Diagnostics,
) {
    let mut reader = line::Reader::new(files, path, sources, diagnostics);
    reader.read(file);
    let rules = reader.rules;
    let mut converter = convert::Converter::new(release, configuration, diagnostics);
    converter.add(&rules);
}
