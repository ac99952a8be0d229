//! Reading the language of setkey(8) takes nothing from the heap.
#![allow(missing_docs, clippy::unwrap_used)]

use std::alloc::System;

use ipsec_engine::setkey::Statements;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn statements_and_mistakes_allocate_nothing() {
    let text = "add 10.0.0.1 10.0.0.2 esp 0x1001 -m tunnel -E aes-cbc \"1234567890123456\" -A hmac-sha1 \"12345678901234567890\";
        spdadd 10.0.0.0/8[any] 10.1.0.0/16[80] tcp -P out prio high ipsec ipcomp/transport//use esp/tunnel/10.0.0.1-10.0.0.2/unique:5;
        frobnicate; add x; flush;";
    let region = Region::new(GLOBAL);
    let (mut statements, mut good, mut wrong) = (Statements::of(text), 0, 0);
    loop {
        match statements.next() {
            Ok(Some(_)) => good += 1,
            Ok(None) => break,
            Err(_) => wrong += 1,
        }
    }
    let change = region.change();
    assert_eq!((good, wrong), (3, 2));
    assert_eq!((change.allocations, change.reallocations), (0, 0));
}
