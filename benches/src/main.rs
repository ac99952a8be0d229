//! Our speed beside that of others, in one run: interleaved rounds, medians, ratios.

mod dh;
mod engine;
mod ike;
mod ipcomp;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("engine") => engine::run(),
        Some("ipcomp") => ipcomp::run(),
        Some("ike") => ike::run(),
        Some("dh") => dh::run(),
        _ => {
            eprintln!("usage: ipsec-benches ipcomp|ike|dh|engine");
            std::process::exit(2);
        }
    }
}
