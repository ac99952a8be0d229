//! Lists the targets with descriptions, or runs a target on files: `fuzz-targets setkey FILE..`

use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(requested) = arguments.next() else {
        for (name, _, what) in fuzz_harness::TARGETS {
            println!("{name:<14} {what}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, target, _)) = fuzz_harness::TARGETS.iter().find(|(name, ..)| *name == requested) else {
        eprintln!("unknown target {requested}");
        return ExitCode::FAILURE;
    };
    for file in arguments {
        match fs::read(&file) {
            Ok(octets) => target(&octets),
            Err(why) => {
                eprintln!("{file}: {why}");
                return ExitCode::FAILURE;
            }
        }
        println!("{file}: no finding");
    }
    ExitCode::SUCCESS
}
