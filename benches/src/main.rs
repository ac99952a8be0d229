//! Speed compared with other libraries in one run: interleaved rounds, medians, ratios.

mod compare;
#[cfg(feature = "dh")]
mod dh;
mod engine;
mod ike;
mod ipcomp;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("compare") => {
            if let Err(error) = compare::run(std::env::args().skip(2)) {
                eprintln!("{error}");
                std::process::exit(2);
            }
        }
        Some("engine") => engine::run(),
        Some("ipcomp") => ipcomp::run(),
        Some("ike") => ike::run(),
        #[cfg(feature = "dh")]
        Some("dh") => dh::run(),
        #[cfg(not(feature = "dh"))]
        Some("dh") => {
            eprintln!("dh requires the feature `dh` and libssl-dev");
            std::process::exit(2);
        }
        _ => {
            eprintln!(
                "usage: ipsec-benches compare [--json] [--quick] [--suite S] [--size N] [--only NAME] | engine | ipcomp | ike | dh"
            );
            std::process::exit(2);
        }
    }
}
