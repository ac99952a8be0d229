//! Lists the targets with what each shows; with the name of one and files, gives it their octets: `fuzz-targets setkey FILE..`

use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(wanted) = arguments.next() else {
        for (name, _, what) in fuzz_harness::TARGETS {
            println!("{name:<14} {what}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, target, _)) = fuzz_harness::TARGETS.iter().find(|(name, ..)| *name == wanted) else {
        eprintln!("there is no target {wanted}");
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
        println!("{file}: nothing");
    }
    ExitCode::SUCCESS
}
