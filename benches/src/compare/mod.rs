//! Speed of sealing and opening ESP compared with other libraries in one run: interleaved rounds, medians, ratios.

mod c;
mod measure;
mod ours;
mod peer;
mod report;
mod rust;
mod suite;

use measure::{Effort, Measurement, measure};
use suite::{SUITES, Sizes, Suite};

/// Number of packets that one call of a contender processes.
const PACKETS: usize = 32;

/// Payloads that are measured, with their labels.
const SIZES: [(&str, Sizes); 4] =
    [("64", Sizes::Of(64)), ("512", Sizes::Of(512)), ("1408", Sizes::Of(1408)), ("imix", Sizes::Imix)];

/// Operation that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Seal,
    Open,
}

impl Op {
    const ALL: [Self; 2] = [Self::Seal, Self::Open];

    /// Returns the name of the operation in results.
    fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Open => "open",
        }
    }
}

/// Implementation under test, which seals or opens [`PACKETS`] packets per call.
pub struct Contender {
    /// Name of the implementation.
    pub name: &'static str,
    /// Mode of processing: `packet`, `batch8`, ..
    pub mode: &'static str,
    /// Processes the packets of one call.
    pub run: Box<dyn FnMut()>,
}

/// Options of the command line.
struct Options {
    json: bool,
    quick: bool,
    suite: Option<String>,
    size: Option<String>,
    only: Option<String>,
}

/// Runs the comparison and prints the results, or with `--report` writes them to `PERFORMANCE.md`.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let arguments: Vec<String> = arguments.collect();
    for missing in c::MISSING {
        eprintln!("skipped: {missing} is not installed");
    }
    if arguments.iter().any(|argument| argument == "--report") {
        // A report of a part would remove the rest.
        return if arguments.len() == 1 { report::write() } else { Err("--report has no other options".to_owned()) };
    }
    let options = Options::read(arguments.into_iter())?;
    let suites = SUITES.iter().filter(|suite| options.suite.as_ref().is_none_or(|name| name == suite.name));
    for &suite in suites {
        for (label, sizes) in SIZES {
            if options.size.as_ref().is_some_and(|size| size != label) {
                continue;
            }
            for op in Op::ALL {
                cell(&options, suite, op, label, sizes);
            }
        }
    }
    Ok(())
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { json: false, quick: false, suite: None, size: None, only: None };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => options.json = true,
                "--quick" => options.quick = true,
                "--suite" => options.suite = Some(arguments.next().ok_or("missing argument of --suite")?),
                "--size" => options.size = Some(arguments.next().ok_or("missing argument of --size")?),
                "--only" => options.only = Some(arguments.next().ok_or("missing argument of --only")?),
                other => return Err(format!("unknown argument: {other}")),
            }
        }
        Ok(options)
    }
}

fn cell(options: &Options, suite: Suite, op: Op, label: &str, sizes: Sizes) {
    let effort = if options.quick { Effort::QUICK } else { Effort::FULL };
    let selected = |contender: &Contender| options.only.as_ref().is_none_or(|name| name == contender.name);
    let measured = measure(suite, op, sizes, effort, selected);
    let op = op.name();
    // Ratios are to the fastest other library in packet mode, or to this library if there is no other.
    let others = measured.iter().filter(|other| (suite.cipher_alone() || other.is_peer()) && other.mode == "packet");
    let fastest = others.map(|other| other.ns).fold(f64::INFINITY, f64::min);
    for Measurement { name, mode, ns } in measured {
        if options.json {
            println!(
                r#"{{"suite":"{}","op":"{op}","size":"{label}","mode":"{mode}","impl":"{name}","ns":{ns:.1}}}"#,
                suite.name
            );
        } else {
            println!("{:<18} {op} {label:>5}  {mode:<10} {name:<14} {ns:>9.1} ns  {:>5.2}", suite.name, ns / fastest);
        }
    }
}
