//! Unpacks the corpora for a fuzzer, and packs them again: `fuzz-corpus unpack DIRECTORY [TARGET ..]` writes the inputs
//! of each target into `DIRECTORY/TARGET`; `fuzz-corpus pack DIRECTORY [TARGET ..]` writes `DIRECTORY/TARGET` into the
//! target's archive.

use std::error::Error;
use std::path::Path;

use fuzz_harness::{TARGETS, corpus};

const USAGE: &str = "usage: fuzz-corpus unpack|pack DIRECTORY [TARGET ..]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, directory, chosen @ ..] = &arguments[..] else { return Err(USAGE.into()) };
    let known: Vec<&str> = TARGETS.iter().map(|row| row.0).collect();
    if let Some(name) = chosen.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("unknown target {name}").into());
    }
    for name in known.into_iter().filter(|name| chosen.is_empty() || chosen.iter().any(|other| other == name)) {
        let (archive, directory) = (corpus::archive(name), Path::new(directory).join(name));
        let count = match command.as_str() {
            // A new target has no archive yet.
            "unpack" if !archive.exists() => std::fs::create_dir_all(&directory).map(|()| 0),
            "unpack" => corpus::unpack(&archive, &directory),
            "pack" => corpus::pack(&directory, &archive),
            _ => return Err(USAGE.into()),
        };
        let count = count.map_err(|why| format!("{name}: {why}"))?;
        println!("{name}: {count} inputs");
    }
    Ok(())
}
