//! Target of libFuzzer: the function of the harness with the name of the binary.
#![no_main]

const NAME: &str = env!("CARGO_BIN_NAME");

libfuzzer_sys::fuzz_target!(|octets: &[u8]| (fuzz_harness::target(NAME).expect("name in TARGETS"))(octets));
