//! Windows and lifetimes of SAs as the file has them, and back.

use std::net::IpAddr;
use std::time::Duration;

use ipsec_engine::{AnyWindow, Transform};
use ipsec_packet::{AntiReplay, Seq, SeqCounter};
use ipsec_sa::{Lifetimes, Limit, SaId, SaParams};

use super::file::SavedSa;
use crate::databases::Databases;
use crate::log;

pub(super) fn window_of<'e>(engine: &'e Databases, id: &SaId, source: IpAddr) -> Option<&'e AnyWindow> {
    match engine.sa(id, source)?.sa?.transform() {
        Transform::EspIn(esp) => Some(esp.window()),
        Transform::AhIn(ah) => Some(ah.window()),
        _ => None,
    }
}

/// Returns the numbers of a window that are not accepted, up to the highest number, which is the last bit.
pub(super) fn seen(window: &AnyWindow) -> Vec<u8> {
    let (top, packets) = (window.top().get(), u64::from(window.packets()));
    let mut octets = Vec::new();
    for distance in (0..packets).rev() {
        let is_seen = top.checked_sub(distance).is_none_or(|number| window.check(Seq::new(number)).is_err());
        if (distance + 1).is_multiple_of(8) {
            octets.push(0);
        }
        if let Some(octet) = octets.last_mut() {
            *octet = *octet << 1 | u8::from(is_seen);
        }
    }
    octets
}

/// Records in a new window the numbers that a saved one refuses.
fn restore_window(window: &mut AnyWindow, saved: &SavedSa) {
    let bits = u64::try_from(saved.seen.len()).unwrap_or(u64::MAX).saturating_mul(8);
    let is_seen = |distance: u64| {
        let Some(from_begin) = bits.checked_sub(distance + 1) else { return true };
        let octet = usize::try_from(from_begin / 8).ok().and_then(|at| saved.seen.get(at));
        octet.is_none_or(|octet| octet << (from_begin % 8) & 0x80 != 0)
    };
    // Without protection, only the highest number is kept.
    for distance in (0..u64::from(window.packets()).max(1)).rev() {
        if let Some(number) = saved.sequence.checked_sub(distance).filter(|number| *number > 0 && is_seen(distance)) {
            window.record(Seq::new(number));
        }
    }
}

/// Continues an SA in the engine after the state of the file.
pub(super) fn restore(engine: &mut Databases, sa: &SaParams, saved: &SavedSa, wall: u64) {
    let lifetimes = remaining(&sa.lifetimes, saved, wall);
    let restored = engine.engine_mut().update(&sa.id, sa.source, |sa_in_engine| {
        sa_in_engine.set_lifetimes(lifetimes);
        if let Some(window) = sa_in_engine.window_mut() {
            restore_window(window, saved);
        } else {
            // A counter that the configuration has set ahead of the file stays there.
            let _ = sa_in_engine.import_counter(&SeqCounter::new(sa.sequence).export_ahead(saved.sequence));
        }
    });
    if let Err(e) = restored {
        log::error(format_args!("SA {}: the state was not restored: {e}", sa.id));
    }
}

/// Returns the remaining lifetimes. The limit since the first packet becomes one from now on.
pub(super) fn remaining(lifetimes: &Lifetimes, saved: &SavedSa, wall: u64) -> Lifetimes {
    let since = |at: u64| Duration::from_secs(wall.saturating_sub(at));
    let left = |limit: &Limit| {
        let by_age = limit.age.map(|age| age.saturating_sub(since(saved.added)));
        let by_use = limit.use_age.zip(saved.first).map(|(age, first)| age.saturating_sub(since(first)));
        Limit {
            age: [by_age, by_use].into_iter().flatten().min(),
            use_age: limit.use_age.filter(|_| saved.first.is_none()),
            octets: limit.octets.map(|octets| octets.saturating_sub(saved.octets)),
            packets: limit.packets.map(|packets| packets.saturating_sub(saved.packets)),
        }
    };
    let mut left = Lifetimes { soft: left(&lifetimes.soft), hard: left(&lifetimes.hard) };
    if saved.is_expired && lifetimes.hard != Limit::default() {
        left.hard.age = Some(Duration::ZERO);
    }
    left
}
