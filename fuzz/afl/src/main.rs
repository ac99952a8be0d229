//! The target that the environment variable FUZZ_TARGET names, for AFL++.

fn main() {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    let target = fuzz_harness::target(&name).expect("name in TARGETS");
    afl::fuzz!(|octets: &[u8]| target(octets));
}
