//! No part of the keys of an SA remains in the memory of an engine after the SA was removed.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use ipcomp_core::{Deflate, Inflate};
use ipsec_engine::{
    AnyAlgorithms, Direction, Engine, Expiry, IpcompOut, Sa, SaEvent, SaId, Settings, Transform, UpdateError,
};
use ipsec_packet::{Cpi, Instant};
use key_memory::{
    Case, DESTINATION, NOW, Observed, SOURCE, SPI, Search, all, longest_run, on_clean_stack, replacement,
};

type Memory<const SAS: usize> = Observed<Engine<AnyAlgorithms, SAS, 2, 2>>;

/// Time after the hard lifetime of the SAs.
const EXPIRED: Instant = Instant::from_secs(NOW.as_secs() + 20);
/// Number of consecutive unchanged octets of the SA that counts as a remainder.
const RUN: usize = 8;

/// Known defect: an SA that `Engine::update` replaces (`*sa = other`) is dropped in place, which wipes its keys but
/// not the padding between its fields. With optimisation, the padding contains remains of the stack, among them parts
/// of the expanded key. The tests fail when this is corrected.
const UPDATE_LEAVES_GAPS: bool = !cfg!(debug_assertions);

/// Known defect: the slot of an SA begins with a length, and the padding between it and the SA is not wiped. It
/// contains remains of the stack, which may be a part of an expanded key without optimisation. Zero when this is
/// corrected.
const GAP_IN_FRONT: usize = 15;

/// Returns a number that selects keys that no SA had before.
fn new_keys() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn engine<const SAS: usize>() -> Memory<SAS> {
    on_clean_stack(|| Observed::new(Engine::new(Settings::SETKEY, Some(Deflate::new()), Some(Inflate::new()))))
}

fn install<const SAS: usize>(engine: &mut Memory<SAS>, now: Instant, sa: impl Fn() -> Sa<AnyAlgorithms>) {
    on_clean_stack(|| assert!(engine.install(sa(), now).is_ok()));
}

fn installed<const SAS: usize>(sa: impl Fn() -> Sa<AnyAlgorithms>) -> Memory<SAS> {
    let mut engine = engine();
    install(&mut engine, NOW, sa);
    engine
}

fn update<const SAS: usize>(
    engine: &mut Memory<SAS>,
    key: &SaId,
    other: impl Fn() -> Sa<AnyAlgorithms>,
) -> Result<SaId, UpdateError> {
    on_clean_stack(|| engine.update(key, SOURCE, |sa| *sa = other()))
}

/// State after an SA was installed: the search for its keys, its position, and the memory of its engine.
struct Before {
    case: Case,
    keys: Vec<Vec<u8>>,
    search: Search,
    range: Range<usize>,
    memory: Vec<u8>,
}

impl Before {
    fn new<const SAS: usize>(case: Case, number: u64, engine: &Memory<SAS>) -> Self {
        let view = engine.sas().next().unwrap();
        let [sa, usage] = [engine.range_of(view.sa.unwrap()), engine.range_of(view.usage)];
        let range = sa.start.min(usage.start)..sa.end.max(usage.end);
        let memory = engine.bytes();
        let [again, first, second] =
            [number, new_keys(), new_keys()].map(|number| installed::<SAS>(|| case.sa(number, SPI)).bytes());
        let keys = case.keys(number);
        let search = Search::new(&keys, &range, &memory, &again, [&first, &second]);
        let found = search.expanded() > 0 && search.find(&memory).is_some();
        assert!(found || !case.is_keyed(), "{case:?}: no key found in memory");
        Self { case, keys, search, range, memory }
    }

    /// Describes remains of the SA in this memory. `without` is the memory of an engine that never had the SA.
    fn remains_in(&self, memory: &[u8], without: Option<&[u8]>) -> Option<String> {
        let (case, range) = (self.case, &self.range);
        let mut memory = memory.to_vec();
        memory[range.start - GAP_IN_FRONT..range.start].fill(0);
        if let Some(at) = self.search.find(&memory) {
            let part = &memory[at..at + RUN];
            return Some(format!("{case:?} at {range:?}: part of its key at {at}: {part:02x?}"));
        }
        let run = longest_run(range, &self.memory, &memory, without);
        (run >= RUN).then(|| format!("{case:?} at {range:?}: {run} consecutive octets are unchanged"))
    }

    #[track_caller]
    fn assert_removed_from(&self, memory: &[u8], without: Option<&[u8]>) {
        assert_eq!(self.remains_in(memory, without), None);
    }
}

/// Runs a test with every SA, each installed in a separate engine.
fn each<const SAS: usize>(mut test: impl FnMut(Before, Memory<SAS>)) {
    for case in all() {
        let number = new_keys();
        let engine = installed(|| case.sa(number, SPI));
        test(Before::new(case, number, &engine), engine);
    }
}

#[test]
fn search_finds_the_keys_of_installed_sas() {
    let mut kept = 0;
    each::<3>(|before, engine| {
        let (memory, key) = (engine.bytes(), &before.keys[0]);
        let found = !key.is_empty() && memory.windows(key.len()).any(|window| window == key);
        assert!(found || !before.case.keeps_its_key(), "{:?}: key not found in memory", before.case);
        kept += usize::from(found && key.len() >= RUN);
    });
    println!("{} SAs, {kept} of which store their cipher key unchanged", all().len());
    assert!(kept > 0);
}

#[test]
fn removed_sa_leaves_no_keys() {
    each::<3>(|before, mut engine| {
        assert!(on_clean_stack(|| engine.remove(&before.case.key(SPI), SOURCE)).is_some());
        before.assert_removed_from(&engine.bytes(), None);
    });
}

#[test]
fn expired_sa_leaves_no_keys_after_its_event() {
    each::<3>(|before, mut engine| {
        on_clean_stack(|| engine.tick(EXPIRED));
        assert_eq!(on_clean_stack(|| engine.poll_event()), Some(SaEvent::Expire(before.case.key(SPI), Expiry::Hard)));
        before.assert_removed_from(&engine.bytes(), None);
    });
}

/// Replaces each SA by `Engine::update`.
fn replaced_by_update(other: impl Fn(&Case) -> Sa<AnyAlgorithms>) {
    let mut remains = Vec::new();
    each::<3>(|before, mut engine| {
        let other = || other(&before.case);
        let without = installed::<3>(other).bytes();
        assert!(update(&mut engine, &before.case.key(SPI), other).is_ok());
        remains.extend(before.remains_in(&engine.bytes(), Some(&without)));
    });
    println!("{} of {} SAs leave remains: {:?}", remains.len(), all().len(), remains.first());
    assert_eq!(!remains.is_empty(), UPDATE_LEAVES_GAPS);
}

#[test]
fn sa_replaced_by_update_leaves_no_keys() {
    replaced_by_update(replacement);
}

#[test]
fn sa_replaced_by_ipca_in_update_leaves_no_keys() {
    replaced_by_update(|case| {
        let cpi = Cpi::new(0x2001).unwrap();
        let transform = match case.direction {
            Direction::Outbound => Transform::IpcompOut(IpcompOut::new(cpi)),
            Direction::Inbound => Transform::IpcompIn(cpi),
        };
        Sa::new(SOURCE, DESTINATION, transform).unwrap()
    });
}

#[test]
fn sa_with_duplicate_id_in_update_leaves_no_keys() {
    each::<3>(|before, mut engine| {
        let (case, key, second) = (before.case, before.case.key(SPI), before.case.key(0x1002));
        let other = || case.sa(new_keys(), 0x1002);
        install(&mut engine, NOW, other);
        assert_eq!(update(&mut engine, &key, other), Err(UpdateError::Exists(second)));
        before.assert_removed_from(&engine.bytes(), None);
    });
}

#[test]
fn dead_sa_replaced_by_the_same_id_leaves_no_keys() {
    each::<3>(|before, mut engine| {
        let other = || replacement(&before.case);
        let without = installed::<3>(other).bytes();
        on_clean_stack(|| engine.tick(EXPIRED));
        install(&mut engine, EXPIRED, other);
        before.assert_removed_from(&engine.bytes(), Some(&without));
    });
}

#[test]
fn evicted_dead_sa_leaves_no_keys() {
    each::<1>(|before, mut engine| {
        let case = before.case;
        let direction = if case.direction == Direction::Inbound { Direction::Outbound } else { Direction::Inbound };
        let other = || replacement(&case.with_direction(direction));
        let without = installed::<1>(other).bytes();
        on_clean_stack(|| engine.tick(EXPIRED));
        install(&mut engine, EXPIRED, other);
        before.assert_removed_from(&engine.bytes(), Some(&without));
    });
}

#[test]
fn sa_that_replaced_a_larval_sa_leaves_no_keys() {
    for case in all() {
        let (mut engine, key, number) = (engine::<3>(), case.key(SPI), new_keys());
        on_clean_stack(|| engine.reserve(key, SOURCE, NOW)).unwrap();
        install(&mut engine, NOW, || case.sa(number, SPI));
        let before = Before::new(case, number, &engine);
        assert!(on_clean_stack(|| engine.remove(&key, SOURCE)).is_some());
        before.assert_removed_from(&engine.bytes(), None);
        // The SPI is reserved again, in the same slot.
        on_clean_stack(|| engine.reserve(key, SOURCE, NOW)).unwrap();
        before.assert_removed_from(&engine.bytes(), None);
    }
}

#[test]
fn dropped_engine_leaves_no_keys() {
    each::<3>(|before, engine| before.assert_removed_from(&engine.bytes_after_drop(), None));
}
