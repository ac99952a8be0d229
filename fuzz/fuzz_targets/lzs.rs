#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| (fuzz_harness::target("lzs").expect("name in TARGETS"))(octets));
