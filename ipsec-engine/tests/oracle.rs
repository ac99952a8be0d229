//! Two engines against a naive model of what they should do, over random configurations and packets.
//!
//! `ORACLE_PACKETS` says how many packets (100000 if it does not), `ORACLE_SEED` repeats one configuration and prints all
//! that happens in it. UDP encapsulation and BEET are not part of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

#[path = "oracle/case.rs"]
mod case;

use std::panic::{AssertUnwindSafe, catch_unwind};

use case::Random;
use case::host::Tally;

/// Steps of a configuration.
const STEPS: usize = 150;

fn run(seed: u64, verbose: bool, tally: &mut Tally) {
    case::run(Random::seeded(seed), STEPS, verbose, tally);
}

fn packets(tally: &Tally) -> u64 {
    tally.iter().filter(|((kind, _), _)| ["in", "out"].contains(kind)).map(|(_, count)| count).sum()
}

#[test]
fn engine_and_oracle_agree() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let mut tally = Tally::new();
    if let Some(seed) = number("ORACLE_SEED") {
        return run(seed, true, &mut tally);
    }
    let wanted = number("ORACLE_PACKETS").unwrap_or(100_000);
    let mut seed = 0;
    while packets(&tally) < wanted {
        seed += 1;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed, false, &mut tally))) {
            println!("ORACLE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
    println!("{} packets, {seed} configurations", packets(&tally));
    tally.iter().for_each(|((kind, name), count)| println!("{kind:>6} {name:30} {count:>8}"));
    for (kind, names) in INTERESTING {
        for name in names.split(", ") {
            let count = tally.get(&(*kind, name.into())).copied().unwrap_or(0);
            assert!(count >= 3 || wanted < 50_000, "{kind} {name}: {count} times prove nothing");
        }
    }
}

/// What must have happened for the agreement to mean something.
const INTERESTING: &[(&str, &str)] = &[
    ("out", "bypass, send, pending, Policy, NoPolicy, Opaque, Fragment, Exhausted, TooBig"),
    ("in", "bypass, deliver, Policy, NoPolicy, Opaque, Fragment, Malformed, NoSa, Larval, Expired, InClear"),
    (
        "in",
        "WrongSa, TooDeep, Inner, EspForged, EspDuplicate, EspTooOld, EspUnaligned, AhForged, AhDuplicate, AhTooOld",
    ),
    ("event", "acquire, soft expired, hard expired, sequence near end"),
    ("seen", "compressed, tunnel of ipcomp that was not compressed, tunnel in a tunnel by two policies"),
    ("seen", "sent by a dying sa, sent by the newer of two sas, sent without an optional transform"),
    ("seen", "extended number above 32 bits, ipsec that is somebody else's"),
];
