//! Two engines compared with a simple model (the oracle) over random configurations and packets.
//!
//! `ORACLE_PACKETS` is the number of packets (default 100000); `ORACLE_SEED` repeats one configuration and prints its
//! steps. UDP encapsulation, BEET mode and two fragment headers in one packet are not covered.

#[path = "oracle/case.rs"]
mod case;

use std::panic::{AssertUnwindSafe, catch_unwind};

use case::Random;
use case::host::Tally;

/// Number of steps per configuration.
const STEPS: usize = 150;

fn run(seed: u64, verbose: bool, tally: &mut Tally) {
    case::run(Random::seeded(seed), STEPS, verbose, tally);
}

fn packets(tally: &Tally) -> u64 {
    tally.iter().filter(|((kind, _), _)| ["in", "out"].contains(kind)).map(|(_, count)| count).sum()
}

#[test]
fn engine_and_reference_model_agree() {
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
            assert!(count >= 3 || wanted < 50_000, "{kind} {name}: {count} times, expected 3 or more");
        }
    }
    for (kind, headers, following) in INSERTED {
        for (header, following) in
            headers.split("; ").flat_map(|header| following.split(", ").map(move |b| (header, b)))
        {
            let count = count(*kind, format!("{header} / {following}"));
            assert!(
                count >= 3 || wanted < 1_000_000,
                "{kind} {header} / {following}: {count} times, expected 3 or more"
            );
        }
    }
}

/// Outcomes that must occur for the comparison to be significant.
const INTERESTING: &[(&str, &str)] = &[
    ("out", "bypass, send, pending, Policy, NoPolicy, Opaque, Fragment, SequenceExhausted, TooBig"),
    (
        "in",
        "bypass, deliver, PrecedingHeaders, Policy, NoPolicy, Opaque, Fragment, Malformed, NoSa, Larval, Expired, Cleartext",
    ),
    (
        "in",
        "SaMismatch, TooManyHeaders, Inner, EspIcvMismatch, EspDuplicate, EspTooOld, EspUnaligned, AhIcvMismatch, AhDuplicate, \
                 AhTooOld",
    ),
    ("malformed", "hop-by-hop options after another header"),
    ("batch", "sent, received"),
    ("event", "acquire, soft expired, hard expired, sequence numbers low"),
    ("seen", "compressed, uncompressed packet of an IPComp tunnel, nested tunnels of two policies"),
    ("seen", "sent by a dying SA, sent by the newer of two SAs, sent without an optional template"),
    ("seen", "extended sequence number above 32 bits, IPsec packet of another host"),
];

/// Outcomes of inserted headers that must occur, by the header that follows them.
const INSERTED: &[(&str, &str, &str)] = &[
    (
        "refused",
        "option of action 01; option of action 10; option of action 11; truncated option; \
         routing header with segments left; unfinished source route; malformed IPv4 option",
        "AH, ESP in transport mode, ESP in tunnel mode, IPComp",
    ),
    ("refused", "home address", "ESP in transport mode, ESP in tunnel mode, IPComp"),
    (
        "delivered",
        "skipped options; finished routing header; atomic fragment header; finished source route; record route; timestamp; \
         router alert; unknown IPv4 option; no operation",
        "ESP in transport mode, ESP in tunnel mode, IPComp, cleartext",
    ),
    ("delivered", "atomic fragment header", "AH"),
    (
        "forged",
        "skipped options; home address; finished routing header; finished source route; record route; timestamp; router alert; \
         unknown IPv4 option; no operation",
        "AH",
    ),
];
