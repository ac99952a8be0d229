//! Our speed beside that of others, in one run: interleaved rounds, medians, ratios.

mod ike;
mod ipcomp;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("ipcomp") => ipcomp::run(),
        Some("ike") => ike::run(),
        _ => {
            eprintln!("usage: ipsec-benches ipcomp|ike");
            std::process::exit(2);
        }
    }
}
