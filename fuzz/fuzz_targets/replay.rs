#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| (fuzz_harness::target("replay").expect("name in TARGETS"))(octets));
