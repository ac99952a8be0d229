#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| (fuzz_harness::target("ah_mutable").expect("name in TARGETS"))(octets));
