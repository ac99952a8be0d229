#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| (fuzz_harness::target("ike_negotiation").expect("name in TARGETS"))(
    octets
));
