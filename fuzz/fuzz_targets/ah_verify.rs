#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| (fuzz_harness::target("ah_verify").expect("name in TARGETS"))(octets));
