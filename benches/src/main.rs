//! Our speed beside that of others, in one run: interleaved rounds, medians, ratios.

mod dh;
mod ike;
mod ipcomp;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("ipcomp") => ipcomp::run(),
        Some("ike") => ike::run(),
        Some("dh") => dh::run(),
        _ => {
            eprintln!("usage: ipsec-benches ipcomp|ike|dh");
            std::process::exit(2);
        }
    }
}
