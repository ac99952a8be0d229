//! Reads configuration files and prints errors, warnings and the effective configuration.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use ipsec_config::openbsd::Release;
use ipsec_config::{Language, LoadSettings, Loaded, Severity, SystemFiles, load};

use crate::capture::FileKind;

/// Check configuration files, and print the peers, policies and proposals that they have in effect.
///
/// Files of setkey(8), racoon.conf, psk.txt and ipsec.conf(5) that belong to one host are given together. Errors and
/// warnings have file, line and column; keys are not printed. The exit status is 0
/// without errors, 1 with errors, and 2 if a file cannot be read.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub input: Input,
    /// Print errors and warnings only.
    #[arg(short, long)]
    quiet: bool,
}

/// Octets of a file by which its kind is found.
const LOOKED_AT: u64 = 4096;

/// Files and how they are read.
#[derive(clap::Args)]
pub struct Input {
    /// Configuration files of one host.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Language of the files; by default it is detected by their names and first words.
    #[arg(long, alias = "from", value_name = "LANGUAGE", value_parser = PossibleValuesParser::new(languages()))]
    format: Option<String>,
    /// Release of OpenBSD whose defaults an ipsec.conf(5) has.
    #[arg(short = 'o', long, value_name = "RELEASE", default_value = "newest", value_parser = PossibleValuesParser::new(releases()))]
    release: String,
}

fn languages() -> Vec<&'static str> {
    Language::NAMES.iter().map(|row| row.0).collect()
}

fn releases() -> Vec<&'static str> {
    Release::NAMES.iter().map(|row| row.0).collect()
}

impl Input {
    /// Reads the files. Files that cannot be read or are not text are refused.
    pub fn load(&self) -> Result<Loaded, Box<dyn Error>> {
        for path in &self.files {
            let problem = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
            if path.is_dir() {
                return Err(problem(&"a directory, expected a configuration").into());
            }
            // A pipe can be read once only.
            if path.exists() && !path.is_file() {
                continue;
            }
            let mut first = Vec::new();
            let read = File::open(path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut first));
            read.map_err(|e| problem(&e))?;
            if let Some(found) = FileKind::of(&first).as_text("a configuration") {
                return Err(problem(&found).into());
            }
        }
        let language = self.format.as_deref();
        let language = Language::NAMES.iter().find(|row| Some(row.0) == language).map(|row| row.1);
        let release = Release::NAMES.iter().find(|row| row.0 == self.release).map(|row| row.1).unwrap_or_default();
        let paths: Vec<_> = self.files.iter().map(|path| (path.clone(), language)).collect();
        let mut settings = LoadSettings::default();
        settings.release = release;
        Ok(load(&SystemFiles, &paths, &settings))
    }
}

/// Prints errors and warnings to the standard error stream. Returns whether there are errors.
pub fn report(loaded: &Loaded) -> bool {
    for diagnostic in loaded.diagnostics.iter() {
        noteln!("{}", loaded.sources.show(diagnostic));
    }
    loaded.diagnostics.errors() > 0
}

/// Runs the command `check`.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let loaded = args.input.load()?;
    let has_errors = report(&loaded);
    if !args.quiet {
        say!("{}", loaded.configuration.describe(&loaded.sources));
    }
    let count = |severity| loaded.diagnostics.iter().filter(|own| own.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |number| if number == 1 { "" } else { "s" };
    noteln!("{errors} error{}, {warnings} warning{}", plural(errors), plural(warnings));
    Ok(if has_errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
