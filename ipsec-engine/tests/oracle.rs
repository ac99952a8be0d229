//! Two engines against a naive model of what they should do, over random configurations and packets.
//!
//! `ORACLE_PACKETS` says how many packets (100000 if it does not), `ORACLE_SEED` repeats one configuration and prints all
//! that happens in it. UDP encapsulation and BEET are not part of it, nor are two fragment headers in one packet.

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
    let count = |kind, name: String| tally.get(&(kind, name)).copied().unwrap_or(0);
    for (kind, names) in INTERESTING {
        for name in names.split(", ") {
            let count = count(*kind, name.into());
            assert!(count >= 3 || wanted < 50_000, "{kind} {name}: {count} times prove nothing");
        }
    }
    for (kind, headers, behind) in INSERTED {
        for (header, behind) in headers.split("; ").flat_map(|header| behind.split(", ").map(move |b| (header, b))) {
            let count = count(*kind, format!("{header} / {behind}"));
            assert!(count >= 3 || wanted < 1_000_000, "{kind} {header} / {behind}: {count} times prove nothing");
        }
    }
}

/// What must have happened for the agreement to mean something.
const INTERESTING: &[(&str, &str)] = &[
    ("out", "bypass, send, pending, Policy, NoPolicy, Opaque, Fragment, Exhausted, TooBig"),
    (
        "in",
        "bypass, deliver, PrecedingHeaders, Policy, NoPolicy, Opaque, Fragment, Malformed, NoSa, Larval, Expired, InClear",
    ),
    (
        "in",
        "WrongSa, TooDeep, Inner, EspForged, EspDuplicate, EspTooOld, EspUnaligned, AhForged, AhDuplicate, AhTooOld",
    ),
    ("malformed", "hop-by-hop options behind another header"),
    ("event", "acquire, soft expired, hard expired, sequence near end"),
    ("seen", "compressed, tunnel of ipcomp that was not compressed, tunnel in a tunnel by two policies"),
    ("seen", "sent by a dying sa, sent by the newer of two sas, sent without an optional transform"),
    ("seen", "extended number above 32 bits, ipsec that is somebody else's"),
];

/// What must have become of inserted headers, by what follows them.
const INSERTED: &[(&str, &str, &str)] = &[
    (
        "refused",
        "option of action 01; option of action 10; option of action 11; option that is cut off; \
         routing header with segments left; source route, not used up; malformed IPv4 option",
        "AH, ESP in transport mode, ESP in tunnel mode, IPComp",
    ),
    ("refused", "home address", "ESP in transport mode, ESP in tunnel mode, IPComp"),
    (
        "delivered",
        "options to be skipped; routing header, used up; atomic fragment header; source route, used up; record route; timestamp; \
         router alert; unknown IPv4 option; no operation",
        "ESP in transport mode, ESP in tunnel mode, IPComp, what is in clear",
    ),
    ("delivered", "atomic fragment header", "AH"),
    (
        "forged",
        "options to be skipped; home address; routing header, used up; source route, used up; record route; timestamp; router alert; \
         unknown IPv4 option; no operation",
        "AH",
    ),
];
