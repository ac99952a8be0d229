//! Memory sizes in the documentation of the crate, and an engine of 256 SAs with any algorithm, 1.5 MB, in a thread
//! with a small stack, also in debug builds.
#![cfg(feature = "runtime-suites")]

mod gateway;
mod gateway_pair;
#[cfg(target_arch = "x86_64")]
mod one_suite;

use std::sync::Mutex;
use std::thread;

use gateway::NOW;
use gateway_pair::*;
use ipsec_config::setkey::{Statement, Statements};
use ipsec_engine::{AnyAlgorithms, Direction, Engine, OutboundAction, Settings};
use ipsec_packet::{PacketBuf, Seq};

// The documented sizes are those of x86-64: key schedules depend on the AES code of the machine, and padding on the
// alignment of `u128`, which is 8 octets on s390x.
#[cfg(target_arch = "x86_64")]
#[test]
fn documented_engine_and_sa_sizes_are_current() {
    use ipsec_crypto::Aes128Cbc;
    use ipsec_engine::Sa;
    use one_suite::One;

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

type Large = Engine<AnyAlgorithms, 256, 64>;

/// Stack of the thread that uses the engine, in octets: a third of the engine.
const STACK: usize = 512 << 10;

/// Loads an SA and a policy, and protects a packet.
fn protect(engine: &mut Large) {
    engine.install(sa(&esp(A, B, 0x1001, "-m tunnel"), Direction::Outbound), NOW).unwrap();
    let text = policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let Ok(Some(Statement::SpdAdd(policy))) = Statements::of(&text).next() else { panic!("not a policy: {text}") };
    engine.add_policy(policy.policy().unwrap()).unwrap();
    let mut bytes = [0; 512];
    bytes[100..100 + inner().len()].copy_from_slice(&inner());
    let mut packet = PacketBuf::with_headroom(&mut bytes, 100, inner().len()).unwrap();
    let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(1);
    assert_eq!(engine.outbound(&mut packet, NOW, &mut iv), OutboundAction::Send);
}

fn with_small_stack(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
}

#[test]
fn static_engine_is_used_with_a_small_stack() {
    static ENGINE: Mutex<Large> = Mutex::new(Engine::new(Settings::STRICT, None, None));
    const { assert!(cfg!(feature = "alloc") || size_of::<Large>() > 2 * STACK) };
    with_small_stack(|| protect(&mut ENGINE.lock().unwrap()));
}

/// The tables are on the heap: the engine is a local variable of the thread.
#[cfg(feature = "alloc")]
#[test]
fn engine_with_tables_on_the_heap_is_created_and_used_on_a_small_stack() {
    with_small_stack(|| {
        let mut engine = Large::new(Settings::STRICT, None, None);
        protect(&mut engine);
        let largest = Engine::<AnyAlgorithms, 4096, 4096>::new(Settings::STRICT, None, None);
        assert_eq!(largest.sas().count(), 0);
    });
}
