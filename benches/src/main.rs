//! Our speed beside that of others, in one run: interleaved rounds, medians, ratios.

mod compare;
mod dh;
mod engine;
mod ike;
mod ipcomp;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("compare") => {
            if let Err(wrong) = compare::run(std::env::args().skip(2)) {
                eprintln!("{wrong}");
                std::process::exit(2);
            }
        }
        Some("engine") => engine::run(),
        Some("ipcomp") => ipcomp::run(),
        Some("ike") => ike::run(),
        Some("dh") => dh::run(),
        _ => {
            eprintln!(
                "usage: ipsec-benches compare [--json] [--quick] [--suite S] [--size N] [--only NAME] | engine | ipcomp | ike | dh"
            );
            std::process::exit(2);
        }
    }
}
