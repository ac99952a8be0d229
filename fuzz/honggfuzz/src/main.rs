//! The target that the environment variable FUZZ_TARGET names, for honggfuzz.

fn main() {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    let target = fuzz_harness::target(&name).expect("name in TARGETS");
    loop {
        honggfuzz::fuzz!(|octets: &[u8]| { target(octets) });
    }
}
