//! Configuration language of racoon: racoon.conf(5).
//!
//! ```
//! use ipsec_config::racoon;
//!
//! let text = r#"
//!     remote 198.51.100.1 {
//!         exchange_mode main;
//!         proposal {
//!             encryption_algorithm aes 256; hash_algorithm sha256;
//!             authentication_method pre_shared_key; dh_group modp2048;
//!         }
//!     }
//!     sainfo anonymous {
//!         encryption_algorithm aes; authentication_algorithm hmac_sha256; compression_algorithm deflate;
//!     }
//! "#;
//! let (conf, sources, diagnostics) = racoon::parse("racoon.conf", text);
//! assert!(diagnostics.is_empty(), "{}", diagnostics.iter().map(|d| sources.show(d).to_string()).collect::<String>());
//! assert_eq!((conf.remotes.len(), conf.sainfos.len()), (1, 1));
//! ```

mod convert;
mod equality;
mod mode_cfg;
mod names;
mod parser;
mod remote;
mod sainfo;
mod syntax;
mod values;
mod write;

use std::path::Path;
use std::string::String;
use std::{fmt, io};

pub(crate) use names::{CHECKS, EXCHANGES};
pub use names::{METHODS, Method};
pub use syntax::*;

use crate::secret::Secrets;
use crate::{Diagnostics, Files, NoFiles, Sources};

/// Reads a file and those that it includes. Errors and warnings are added to `diagnostics`.
///
/// # Errors
/// The error of the file system for the first file.
pub fn read(
    files: &dyn Files,
    path: &Path,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> io::Result<RacoonConf> {
    let text = files.read(path)?;
    let file = sources.add(path.to_string_lossy(), text, Secrets::Racoon);
    let mut reader = parser::Reader::new(files, sources, diagnostics, path);
    reader.read(file);
    Ok(reader.conf)
}

/// Parses a text that includes no files.
pub fn parse(name: &str, text: &str) -> (RacoonConf, Sources, Diagnostics) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::default());
    let file = sources.add(name, text.as_bytes().to_vec(), Secrets::Racoon);
    let mut reader = parser::Reader::new(&NoFiles, &mut sources, &mut diagnostics, Path::new(name));
    reader.read(file);
    let conf = reader.conf;
    (conf, sources, diagnostics)
}

impl fmt::Display for RemoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Address(address, None) => write!(f, "{address}"),
            Self::Address(address, Some(port)) => write!(f, "{address}[{port}]"),
            Self::Name(name) => write!(f, "\"{name}\""),
        }
    }
}

/// Returns a text in quotes. The language has no escapes: a quote in the text is left out.
fn quoted(text: &str) -> String {
    std::format!("\"{}\"", text.replace('"', ""))
}
