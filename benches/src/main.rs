//! Speed compared with other libraries in one run: interleaved rounds, medians, ratios.
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

mod compare;
#[cfg(feature = "dh")]
mod dh;
mod engine;
#[cfg(feature = "alloc")]
mod hub;
mod ike;
mod ipcomp;

const USAGE: &str = "usage: ipsec-benches compare [--json] [--quick] [--suite S] [--size N] [--only NAME] | \
                     compare --report | engine | hub [TUNNELS ..] | ipcomp | ike | dh";

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("compare") => end(compare::run(std::env::args().skip(2))),
        Some("engine") => engine::run(),
        #[cfg(feature = "alloc")]
        Some("hub") => end(hub::run(std::env::args().skip(2))),
        #[cfg(not(feature = "alloc"))]
        Some("hub") => end(Err("hub requires the feature `alloc`".to_owned())),
        Some("ipcomp") => ipcomp::run(),
        Some("ike") => ike::run(),
        #[cfg(feature = "dh")]
        Some("dh") => dh::run(),
        #[cfg(not(feature = "dh"))]
        Some("dh") => end(Err("dh requires the feature `dh` and libssl-dev".to_owned())),
        _ => end(Err(USAGE.to_owned())),
    }
}

/// Prints an error and ends the process with status 2.
fn end(result: Result<(), String>) {
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(2);
    }
}
