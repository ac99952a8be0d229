//! Our speed beside that of others, in one run: interleaved rounds, medians, ratios.

mod ipcomp;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("ipcomp") => ipcomp::run(),
        _ => {
            eprintln!("usage: ipsec-benches ipcomp");
            std::process::exit(2);
        }
    }
}
