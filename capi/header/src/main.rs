//! Generates `include/ipsec.h`: `cargo run -p header -- write` writes it, `check` fails if it is not up to date.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let capi = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("manifest in a directory of capi");
    let config = cbindgen::Config::from_file(capi.join("cbindgen.toml")).expect("valid cbindgen.toml");
    let bindings = cbindgen::Builder::new().with_crate(capi).with_config(config).generate().expect("generated header");
    let mut header = Vec::new();
    bindings.write(&mut header);
    let path = capi.join("include/ipsec.h");
    match env::args().nth(1).as_deref() {
        Some("write") => fs::write(&path, &header).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        Some("check") if fs::read(&path).is_ok_and(|found| found == header) => ExitCode::SUCCESS,
        Some("check") => {
            eprintln!("include/ipsec.h is not up to date: cargo run -p header -- write");
            ExitCode::FAILURE
        }
        _ => {
            eprintln!("usage: header write|check");
            ExitCode::FAILURE
        }
    }
}
