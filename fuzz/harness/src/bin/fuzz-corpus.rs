//! Unpacks the corpora for a fuzzer, and packs them again: `fuzz-corpus unpack DIRECTORY [TARGET ..]` writes the inputs
//! of each target into `DIRECTORY/TARGET`; `fuzz-corpus pack DIRECTORY [TARGET ..]` writes `DIRECTORY/TARGET` into the
//! target's archive. `--regressions` in front of the command does so with the regressions instead of the corpora.

use std::error::Error;
use std::path::Path;

use fuzz_harness::TARGETS;
use fuzz_harness::corpus::{self, Collection};

const USAGE: &str = "usage: fuzz-corpus [--regressions] unpack|pack DIRECTORY [TARGET ..]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (collection, arguments) = match &arguments[..] {
        [option, rest @ ..] if option == "--regressions" => (Collection::Regressions, rest),
        rest => (Collection::Corpus, rest),
    };
    let [command, directory, chosen @ ..] = arguments else { return Err(USAGE.into()) };
    let known: Vec<&str> = TARGETS.iter().map(|row| row.0).collect();
    if let Some(name) = chosen.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("unknown target {name}").into());
    }
    for name in known.into_iter().filter(|name| chosen.is_empty() || chosen.iter().any(|other| other == name)) {
        let (archive, directory) = (collection.archive(name), Path::new(directory).join(name));
        let count = match command.as_str() {
            // A new target has no corpus yet, and a target without findings has no regressions.
            "unpack" if !archive.exists() => std::fs::create_dir_all(&directory).map(|()| 0),
            "unpack" => corpus::unpack(&archive, &directory),
            "pack" if collection == Collection::Regressions && is_empty(&directory) => Ok(0),
            "pack" => corpus::pack(&directory, &archive),
            _ => return Err(USAGE.into()),
        };
        let count = count.map_err(|why| format!("{name}: {why}"))?;
        println!("{name}: {count} inputs");
    }
    Ok(())
}

/// Returns whether a directory is missing or empty.
fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none())
}
