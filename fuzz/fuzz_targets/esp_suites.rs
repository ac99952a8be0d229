#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| (fuzz_harness::target("esp_suites").expect("name in TARGETS"))(octets));
