//! Configuration file of isakmpd(8): isakmpd.conf(5).
//!
//! Sections are followed from `[Phase 1]` and `[Phase 2]`. Policies of keynote(4) are not implemented: the daemon works
//! as `isakmpd -K`, and every configured connection is permitted.

mod convert;
mod ini;
mod sections;
mod suites;

use std::io;
use std::path::Path;

use crate::secret::Secrets;
use crate::{Configuration, Diagnostics, Files, Sources};

/// Reads a file, and adds its peers, policies and parameters. Errors and warnings are added to `diagnostics`.
///
/// # Errors
/// The error of the file system.
pub fn read(
    files: &dyn Files,
    path: &Path,
    sources: &mut Sources,
    configuration: &mut Configuration,
    diagnostics: &mut Diagnostics,
) -> io::Result<()> {
    let text = files.read(path)?;
    let file = sources.add(path.to_string_lossy(), text, Secrets::Values);
    let text = sources.shared_text(file);
    let ini = ini::parse(&text, file, diagnostics);
    convert::add(&ini, configuration, diagnostics);
    Ok(())
}
