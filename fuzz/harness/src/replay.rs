use std::collections::BTreeSet;

use ipsec_packet::{AntiReplay, ReplayError, ReplayWindow, Seq, SeqWidth};

/// Compares windows: the first octet selects the window size; the following triples choose sequence numbers near the
/// top or far from it.
pub fn replay(octets: &[u8]) {
    let Some((&size, rest)) = octets.split_first() else { return };
    match size % 5 {
        0 => window::<1>(rest),
        1 => window::<2>(rest),
        2 => window::<3>(rest),
        3 => window::<8>(rest),
        _ => window::<128>(rest),
    }
}

fn window<const WORDS: usize>(mut octets: &[u8]) {
    let (mut window, mut seen, mut top) = (ReplayWindow::<WORDS>::new(), BTreeSet::new(), 0u64);
    let size = u64::from(ReplayWindow::<WORDS>::size());
    while let [how, a, b, rest @ ..] = octets {
        octets = rest;
        let step = u64::from(u16::from_be_bytes([*a, *b]));
        let number = match how % 4 {
            0 => top.saturating_add(step % 70),
            1 => top.saturating_sub(step % (2 * size)),
            2 => top.saturating_add(step << (how >> 3)),
            _ => step,
        };
        let expected = match number {
            0 => Err(ReplayError::Zero),
            _ if number + size <= top => Err(ReplayError::TooOld),
            _ if seen.contains(&number) => Err(ReplayError::Duplicate),
            _ => Ok(()),
        };
        let found = window.check(Seq::new(number));
        assert!(
            found == expected || found.is_err() && number == 0,
            "number {number} at top {top}: got {found:?}, expected {expected:?}"
        );
        if how & 4 == 0 {
            window.record(Seq::new(number));
            if expected.is_ok() {
                seen.insert(number);
                top = top.max(number);
            }
        }
        assert_eq!(window.top().get(), top);
        // The state is exported and imported.
        if how & 0x80 != 0 {
            let mut state = [0; 1024];
            if let Ok(len) = window.export(SeqWidth::Extended64, &mut state) {
                let mut again = ReplayWindow::<WORDS>::new();
                again.import(SeqWidth::Extended64, &state[..len]).unwrap_or_else(|e| panic!("{e}"));
                window = again;
            }
        }
    }
}
