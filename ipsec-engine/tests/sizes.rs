//! Memory sizes in the documentation of the crate.
// The documented sizes are those of x86-64: key schedules depend on the AES code of the machine, and padding on the
// alignment of `u128`, which is 8 octets on s390x.
#![cfg(target_arch = "x86_64")]

mod one_suite;

use ipsec_crypto::Aes128Cbc;
use ipsec_engine::{AnyAlgorithms, Engine, Sa};
use one_suite::One;

#[test]
fn documented_engine_and_sa_sizes_are_current() {
    // The tables are on the heap, so that an engine fits on any stack.
    if cfg!(feature = "alloc") {
        let octets = size_of::<Engine<AnyAlgorithms, 256, 64>>();
        assert!(octets < 32 << 10, "{octets}");
        return;
    }
    let text = include_str!("../src/lib.rs");
    let (any, one) = (size_of::<Sa<AnyAlgorithms>>(), size_of::<Sa<One>>());
    // The feature `vector-code` shows in the size of key schedules only, which are then all of the maximum size.
    // `ci/size` runs this test without it.
    if size_of::<Aes128Cbc>() > 352 {
        assert!(text.contains(&format!("the latter {one} with the feature `vector-code`")), "{one}");
        return;
    }
    for octets in [
        size_of::<Engine<AnyAlgorithms, 256, 64>>(),
        size_of::<Engine<One, 256, 64>>(),
        size_of::<Engine<One, 2, 2, 4>>(),
    ] {
        assert!(text.contains(&format!("| {octets} |")), "{octets}");
    }
    assert!(text.contains(&format!("{any} and {one} octets each")), "{any} {one}");
}
