//! Anti-replay windows compared with a model that remembers every sequence number.

use std::collections::BTreeSet;

use ipsec_packet::{AntiReplay, NoReplay, ReplayError, ReplayWindow, Seq, SeqWidth, StateError, TooShort};
use test_vectors::Random;

/// Reference model: remembers every received sequence number.
struct Model {
    size: u64,
    top: u64,
    floor: u64,
    seen: BTreeSet<u64>,
}

impl Model {
    fn check(&self, seq: u64) -> Result<(), ReplayError> {
        if seq == 0 {
            Err(ReplayError::Zero)
        } else if seq < self.floor || u128::from(seq) + u128::from(self.size) <= u128::from(self.top) {
            Err(ReplayError::TooOld)
        } else if self.seen.contains(&seq) {
            Err(ReplayError::Duplicate)
        } else {
            Ok(())
        }
    }

    fn record(&mut self, seq: u64) {
        if self.check(seq).is_ok() {
            self.top = self.top.max(seq);
            self.seen.insert(seq);
        }
    }

    fn lowest(&self) -> u64 {
        (u128::from(self.top) + 1).saturating_sub(self.size.into()).max(self.floor.into()) as u64
    }
}

/// Returns the next sequence number to try: near the top, near the edges of the window, far ahead, or below.
fn jump(random: &mut Random, top: u64, size: u64) -> u64 {
    match random.below(64) {
        0..=19 => top.saturating_add(random.below(3)),
        20..=39 => top.saturating_sub(random.below(size + 2)),
        40..=44 => top.saturating_sub(size - 2 + random.below(5)),
        45..=47 => top.saturating_add(random.below(size)),
        48 => top.saturating_add(size - 2 + random.below(5)),
        49..=51 => top.saturating_sub(random.below(70)),
        52..=57 => top.saturating_add(random.below(70)),
        58 => top.saturating_sub(1 << random.below(64)),
        59 if random.below(40) == 0 => top.saturating_add(1 << random.below(40)),
        _ => top.saturating_sub(random.below(4)),
    }
}

fn compare_with_model<const WORDS: usize>(runs: u64, operations: u64) {
    let size = 32 * WORDS as u64;
    assert_eq!(u64::from(ReplayWindow::<WORDS>::size()), size);
    let starts = [0, 1, size - 1, size, 0xffff_ffff - size, 1 << 32, (7 << 32) - 3, u64::MAX - 4 * size, u64::MAX - 1];
    let mut random = Random(WORDS as u64);
    for run in 0..runs {
        let start = starts.get(run as usize / 2).copied().unwrap_or_else(|| random.next_u64() >> random.below(60));
        let (mut window, floor) = match run % 2 {
            0 => (ReplayWindow::<WORDS>::with_top(Seq::new(start)), 1),
            _ => (ReplayWindow::<WORDS>::starting_at(Seq::new(start)), start.max(1)),
        };
        let mut model = Model { size, top: start, floor, seen: BTreeSet::new() };
        for n in 0..operations {
            let seq = jump(&mut random, model.top, size);
            assert_eq!(window.check(Seq::new(seq)), model.check(seq), "number {seq} at top {}", model.top);
            window.record(Seq::new(seq));
            model.record(seq);
            assert_eq!((window.top().get(), window.bottom().get()), (model.top, model.lowest()));
            if n % 4096 == 0 {
                model.seen = model.seen.split_off(&model.lowest());
            }
        }
        for seq in model.top.saturating_sub(2 * size)..=model.top.saturating_add(size) {
            assert_eq!(window.check(Seq::new(seq)), model.check(seq), "number {seq} at the end");
        }
    }
}

//= RFC 4303 3.4.3/9
//# MUST: windows of 32 packets are supported
#[test]
fn window_of_32_agrees_with_the_model() {
    compare_with_model::<1>(40, 10_000);
}

#[test]
fn window_of_64_agrees_with_the_model() {
    compare_with_model::<2>(40, 10_000);
}

#[test]
fn window_of_1024_agrees_with_the_model() {
    compare_with_model::<32>(40, 10_000);
}

#[test]
fn window_of_96_which_is_not_a_power_of_two_agrees_with_the_model() {
    compare_with_model::<3>(20, 5_000);
}

#[test]
fn window_of_65536_agrees_with_the_model() {
    compare_with_model::<2048>(20, 20_000);
}

/// Computes `Seqh` of RFC 4303 appendix A2.2 for a window of `w` with the top `th | tl`.
fn rfc_high_half(top: u64, w: u32, seql: u32) -> u32 {
    let (th, tl) = ((top >> 32) as u32, top as u32);
    let bl = tl.wrapping_sub(w).wrapping_add(1);
    match (tl >= w - 1, seql >= bl) {
        (true, true) => th,
        (true, false) => th.wrapping_add(1),
        (false, true) => th.wrapping_sub(1),
        (false, false) => th,
    }
}

fn compare_with_appendix_a2<const WORDS: usize>(rounds: u32) {
    let w = ReplayWindow::<WORDS>::size();
    let mut random = Random(4303 + WORDS as u64);
    for round in 0..rounds {
        let tl = match round % 4 {
            0 => random.next_u64() as u32,
            1 => random.below(u64::from(w) + 3) as u32,
            2 => 0xffff_ffff - random.below(u64::from(w) + 3) as u32,
            _ => w - 1,
        };
        let th = match round % 3 {
            0 => 0,
            1 => random.below(u32::MAX),
            _ => 0xffff_fffe,
        };
        let top = u64::from(th) << 32 | u64::from(tl);
        let low = match random.below(4) {
            0 => random.next_u64() as u32,
            1 => tl.wrapping_sub(w).wrapping_add(random.below(4) as u32),
            2 => tl.wrapping_add(random.below(4) as u32).wrapping_sub(2),
            _ => random.below(3) as u32,
        };
        let high = rfc_high_half(top, w, low);
        let window = ReplayWindow::<WORDS>::with_top(Seq::new(top));
        let expected = match (th, high, low) {
            (0, u32::MAX, _) => u64::from(low), // no subspace exists below the first
            (_, 0, 0) => 1 << 32,               // sequence number 0 is never sent: the next number with this low half
            _ => u64::from(high) << 32 | u64::from(low),
        };
        assert_eq!(window.reconstruct(low).get(), expected, "top {top:#x}, low {low:#x}, window {w}");
    }
}

#[test]
fn reconstruct_agrees_with_rfc_4303_appendix_a2() {
    compare_with_appendix_a2::<1>(20_000);
    compare_with_appendix_a2::<2>(20_000);
    compare_with_appendix_a2::<32>(20_000);
    compare_with_appendix_a2::<2048>(5_000);
}

/// Columns: top of the window, transmitted low half, whole number, for a window of 64.
#[test]
fn reconstruct_crosses_the_subspaces_in_both_directions() {
    for (top, low, whole) in [
        (0, 1, 1),
        (0, 0, 1 << 32),
        (0, 0xffff_ffff, 0xffff_ffff),
        (0xffff_ffff, 0, 1 << 32),
        (0xffff_ffff, 0xffff_ffc0, 0xffff_ffc0),
        (0xffff_ffff, 0xffff_ffbf, 0x1_ffff_ffbf),
        (1 << 32, 0xffff_ffff, 0xffff_ffff),
        (1 << 32, 0xffff_ffc1, 0xffff_ffc1),
        (1 << 32, 0xffff_ffc0, 0x1_ffff_ffc0),
        (0x5_0000_003e, 0xffff_ffff, 0x4_ffff_ffff),
        (0x5_0000_003f, 0xffff_ffff, 0x5_ffff_ffff),
        (0x5_0000_003f, 0, 0x5_0000_0000),
        (0x5_0000_0040, 0, 0x6_0000_0000),
    ] {
        let window = ReplayWindow::<2>::with_top(Seq::new(top));
        assert_eq!(window.reconstruct(low).get(), whole, "top {top:#x}, low {low:#x}");
    }
}

/// No subspace exists above the last: the result of `reconstruct` must have the low half of the packet (the ICV covers
/// it), and the window must refuse it.
#[test]
fn low_half_beyond_the_last_number_is_refused() {
    for top in [u64::MAX, u64::MAX - 1, u64::MAX - 40] {
        let window = ReplayWindow::<2>::with_top(Seq::new(top));
        let bottom = top - 63;
        for low in [0, 5, 0x8000_0000, (bottom - 1) as u32] {
            let seq = window.reconstruct(low);
            assert!(window.check(seq).is_err(), "top {top:#x}, low {low:#x}: {:#x} accepted", seq.get());
        }
    }
}

#[test]
fn with_top_accepts_the_window_and_starting_at_only_higher_numbers() {
    let from = 1000;
    let (late, strict) = (ReplayWindow::<2>::with_top(Seq::new(from)), ReplayWindow::<2>::starting_at(Seq::new(from)));
    for (seq, late_result, strict_result) in [
        (0, Err(ReplayError::Zero), Err(ReplayError::Zero)),
        (from - 64, Err(ReplayError::TooOld), Err(ReplayError::TooOld)),
        (from - 63, Ok(()), Err(ReplayError::TooOld)),
        (from - 1, Ok(()), Err(ReplayError::TooOld)),
        (from, Ok(()), Ok(())),
        (from + 1, Ok(()), Ok(())),
        (u64::MAX, Ok(()), Ok(())),
    ] {
        assert_eq!(
            (late.check(Seq::new(seq)), strict.check(Seq::new(seq))),
            (late_result, strict_result),
            "number {seq}"
        );
    }
    assert_eq!(ReplayWindow::<2>::starting_at(Seq::new(0)).bottom(), ReplayWindow::<2>::new().bottom());
}

#[test]
fn recording_a_refused_number_does_not_change_the_window() {
    let mut window = ReplayWindow::<2>::starting_at(Seq::new(50));
    [60, 61, 200, 190, 137].into_iter().for_each(|seq| window.record(Seq::new(seq)));
    let before = exported(&window);
    for seq in [0, 49, 60, 61, 136, 137, 190, 200] {
        assert!(window.check(Seq::new(seq)).is_err());
        window.record(Seq::new(seq));
        assert_eq!(exported(&window), before, "after number {seq}");
    }
}

fn exported<const WORDS: usize>(window: &ReplayWindow<WORDS>) -> Vec<u8> {
    let mut state = vec![0; ReplayWindow::<WORDS>::STATE];
    assert_eq!(window.export(SeqWidth::Extended64, &mut state), Ok(state.len()));
    state
}

/// Builds a window in which about half of the numbers below `top` are recorded.
fn half_full<const WORDS: usize>(random: &mut Random, top: u64) -> ReplayWindow<WORDS> {
    let mut window = ReplayWindow::new();
    let size = u64::from(ReplayWindow::<WORDS>::size());
    (0..size).for_each(|_| window.record(Seq::new(top.saturating_sub(random.below(size)))));
    window.record(Seq::new(top));
    window
}

#[test]
fn exported_window_is_imported_exactly() {
    let mut random = Random(1);
    for _ in 0..200 {
        let top = 1 + (random.next_u64() >> random.below(64) >> 1);
        let window = half_full::<3>(&mut random, top);
        let state = exported(&window);
        let mut copy = ReplayWindow::<3>::new();
        assert_eq!(copy.import(SeqWidth::Extended64, &state), Ok(()));
        assert_eq!(exported(&copy), state);
        for seq in top.saturating_sub(200)..top.saturating_add(100) {
            assert_eq!(copy.check(Seq::new(seq)), window.check(Seq::new(seq)), "number {seq} below top {top}");
        }
    }
}

#[test]
fn corrupted_state_header_is_refused() {
    let mut random = Random(2);
    let state = exported(&half_full::<2>(&mut random, 5000));
    let mut window = half_full::<2>(&mut random, 4900);
    let before = exported(&window);
    for at in (0..4).chain(20..24) {
        for flip in 1..=255 {
            let mut bad = state.clone();
            bad[at] ^= flip;
            let expected = if at == 0 { StateError::Version(bad[0]) } else { StateError::Malformed };
            assert_eq!(window.import(SeqWidth::Extended64, &bad), Err(expected), "octet {at} ^ {flip}");
        }
    }
    for len in 0..state.len() {
        assert_eq!(window.import(SeqWidth::Extended64, &state[..len]), Err(StateError::Malformed), "{len} octets");
    }
    let longer = [&state[..], &[0]].concat();
    assert_eq!(window.import(SeqWidth::Extended64, &longer), Err(StateError::Malformed));
    assert_eq!(window.import(SeqWidth::Bits32, &state), Err(StateError::Malformed));
    assert_eq!(exported(&window), before);
    assert_eq!(window.import(SeqWidth::Extended64, &state), Ok(()));
}

#[test]
fn inconsistent_state_is_refused() {
    let state = exported(&half_full::<2>(&mut Random(3), 5000));
    let put = |at: usize, value: u64| {
        let mut bad = state.clone();
        bad[at..at + 8].copy_from_slice(&value.to_be_bytes());
        bad
    };
    let mut narrow = put(4, 1 << 32);
    narrow[2] = 32;
    assert_eq!(ReplayWindow::<2>::new().import(SeqWidth::Bits32, &narrow), Err(StateError::Malformed));
    // A window with a floor above its top would refuse every number up to the floor.
    for floor in [5001, u64::MAX] {
        let mut window = ReplayWindow::<2>::new();
        assert_eq!(window.import(SeqWidth::Extended64, &put(12, floor)), Err(StateError::Malformed), "floor {floor}");
    }
}

#[test]
fn export_into_short_buffer_leaves_it_unmodified() {
    let mut out = [0x55; ReplayWindow::<2>::STATE - 1];
    let needed = ReplayWindow::<2>::STATE;
    let window = half_full::<2>(&mut Random(4), 99);
    assert_eq!(
        window.export(SeqWidth::Bits32, &mut out),
        Err(TooShort { needed, available: ReplayWindow::<2>::STATE - 1 })
    );
    assert!(out.iter().all(|octet| *octet == 0x55));
}

#[test]
fn import_refuses_older_window() {
    let (old, mut new) = (half_full::<2>(&mut Random(5), 4999), half_full::<2>(&mut Random(6), 5000));
    let before = exported(&new);
    let refused = new.import(SeqWidth::Extended64, &exported(&old));
    assert_eq!(refused, Err(StateError::Outdated { held: 5000, offered: 4999 }));
    assert_eq!(exported(&new), before);
}

#[test]
fn import_merges_the_recorded_numbers() {
    let mut random = Random(7);
    for round in 0..300u64 {
        let top = 1 + (random.next_u64() >> random.below(64) >> 1);
        let ahead = top + [0, 1, 31, 32, 95, 96, 97, 5000][round as usize % 8];
        let mut here = half_full::<3>(&mut random, top);
        let there = half_full::<3>(&mut random, ahead);
        let (was_here, state) = (exported(&here), exported(&there));
        assert_eq!(here.import(SeqWidth::Extended64, &state), Ok(()));
        let mut before = ReplayWindow::<3>::new();
        assert_eq!(before.import(SeqWidth::Extended64, &was_here), Ok(()));
        for seq in top.saturating_sub(100)..=ahead + 1 {
            let seq = Seq::new(seq);
            let both = before.check(seq).is_ok() && there.check(seq).is_ok();
            assert_eq!(here.check(seq).is_ok(), both, "number {seq}, tops {top} and {ahead}");
        }
    }
}

#[test]
fn importing_keeps_the_higher_floor() {
    let mut here = ReplayWindow::<2>::starting_at(Seq::new(100));
    assert_eq!(here.import(SeqWidth::Bits32, &narrow_state(&ReplayWindow::<2>::with_top(Seq::new(110)))), Ok(()));
    assert_eq!((here.top().get(), here.bottom().get()), (110, 100));
    let mut here = ReplayWindow::<2>::with_top(Seq::new(110));
    assert_eq!(here.import(SeqWidth::Bits32, &narrow_state(&ReplayWindow::<2>::starting_at(Seq::new(120)))), Ok(()));
    assert_eq!((here.top().get(), here.bottom().get()), (120, 120));
}

fn narrow_state(window: &ReplayWindow<2>) -> [u8; ReplayWindow::<2>::STATE] {
    let mut state = [0; ReplayWindow::<2>::STATE];
    window.export(SeqWidth::Bits32, &mut state).unwrap();
    state
}

#[test]
fn no_replay_accepts_every_number_and_tracks_the_subspace() {
    let mut none = NoReplay::default();
    for seq in [0, 1, 1, 0xffff_ffff, 7] {
        assert_eq!(none.check(Seq::new(seq)), Ok(()));
        none.record(Seq::new(seq));
    }
    assert_eq!((none.top().get(), none.bottom().get()), (0xffff_ffff, 0x7fff_ffff));
    for (top, low, whole) in [
        (0xffff_ffff, 0, 1 << 32),
        (0xffff_ffff, 0x7fff_ffff, 0x7fff_ffff),
        (0xffff_ffff, 0x7fff_fffe, 0x1_7fff_fffe),
        (0x3_0000_0000, 0x8000_0000, 0x2_8000_0000),
        (0x3_0000_0000, 0x7fff_ffff, 0x3_7fff_ffff),
    ] {
        let mut none = NoReplay::default();
        none.record(Seq::new(top));
        assert_eq!(none.reconstruct(low).get(), whole, "top {top:#x}, low {low:#x}");
    }
}

#[test]
fn window_size_is_its_number_of_packets() {
    assert_eq!(ReplayWindow::<1>::new().packets(), 32);
    assert_eq!(ReplayWindow::<2>::new().packets(), 64);
    assert_eq!(ReplayWindow::<2048>::new().packets(), 65536);
    assert_eq!(NoReplay::new().packets(), 0);
}
