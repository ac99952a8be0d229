#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| (fuzz_harness::target("engine_batch").expect("name in TARGETS"))(octets));
