//! One SA with manual keys in the engine, and its entry in the file.

use std::net::IpAddr;
use std::time::Duration;

use ipsec_engine::{Direction, PermittedNumbers};
use ipsec_packet::{AntiReplay as _, Instant, Seq, SeqWidth};
use ipsec_sa::{SaId, SaParams};

use super::file::SavedSa;
use super::name::SaName;
use super::restore::{seen, window_of};
use crate::databases::Databases;

/// Smallest number of outbound sequence numbers that are reserved ahead.
const MIN_OUTBOUND: u64 = 4096;
/// Smallest number of inbound sequence numbers that are reserved ahead. After a failure, up to this number of packets
/// is refused.
const MIN_INBOUND: u64 = 32;
/// Largest number that is reserved ahead.
const MAX_AHEAD: u64 = 1 << 20;
/// Time without packets after which the window itself is in the file.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// SA with manual keys in the engine.
pub(super) struct ManualSa {
    pub(super) name: SaName,
    source: IpAddr,
    width: SeqWidth,
    /// Limit of an outbound SA.
    numbers: Option<PermittedNumbers>,
    /// Usage before this run: the counters of the engine begin at 0.
    pub(super) before: SavedSa,
    ahead: Ahead,
    /// Number up to which the file reserves numbers.
    reserved: u64,
    /// Set if the file has the window itself, so that it accepts numbers up to `reserved` that were not received.
    pub(super) is_exact: bool,
    /// Time of the last delivered packet since the file has the window itself.
    delivered: Option<Instant>,
}

/// Number of sequence numbers that are reserved ahead: those of about a second.
#[derive(Clone, Copy)]
struct Ahead {
    count: u64,
    min: u64,
    since: Option<Instant>,
}

/// Time of a run, and whether it ends.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// Time in seconds since 1970.
    pub(super) wall: u64,
    pub(super) is_last: bool,
}

impl ManualSa {
    /// Returns the SA with an entry of the file. An outbound SA sends nothing until the file is written.
    pub(super) fn new(engine: &mut Databases, sa: &SaParams, name: SaName, before: SavedSa) -> Self {
        let is_outbound = sa.id.direction == Direction::Outbound;
        Self {
            name,
            source: sa.source,
            width: sa.sequence,
            numbers: if is_outbound { engine.engine_mut().limit_numbers(&sa.id, sa.source) } else { None },
            reserved: before.sequence,
            before,
            ahead: Ahead::at_least(if is_outbound { MIN_OUTBOUND } else { MIN_INBOUND }),
            is_exact: true,
            delivered: None,
        }
    }

    /// Returns whether fewer than half of the numbers are left that are reserved ahead.
    pub(super) fn is_low(&self) -> bool {
        let left = |numbers: &PermittedNumbers| self.reserved.saturating_sub(numbers.last_taken().get());
        self.reserved < self.width.last()
            && self.numbers.as_ref().is_some_and(|numbers| left(numbers) < self.ahead.count / 2)
    }

    pub(super) fn idle_at(&self) -> Option<Instant> {
        self.delivered.map(|delivered| delivered + IDLE)
    }

    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.idle_at().is_none_or(|at| now >= at)
    }

    /// Returns whether the file gets the window itself, or the last number that was used.
    pub(super) fn is_exact_at(&self, moment: Moment) -> bool {
        self.numbers.is_none() && (moment.is_last || self.is_idle(moment.now))
    }

    /// Records a packet that will be delivered. Returns whether the file has to be written before.
    pub(super) fn note_delivery(&mut self, engine: &Databases, id: &SaId, now: Instant) -> bool {
        let Some(window) = window_of(engine, id, self.source).filter(|window| window.packets() > 0) else {
            return false;
        };
        self.delivered = Some(now);
        self.is_exact || window.top().get() > self.reserved
    }

    /// Returns the entry of the SA in the file; `None` if it is not in the engine.
    pub(super) fn entry(&mut self, engine: &Databases, id: &SaId, moment: Moment) -> Option<SavedSa> {
        let view = engine.sa(id, self.source)?;
        let ago = |at: Instant| moment.wall.saturating_sub(moment.now.saturating_duration_since(at).as_secs());
        let mut entry = SavedSa {
            first: self.before.first.or(view.usage.first.map(ago)),
            octets: self.before.octets.saturating_add(view.usage.octets),
            packets: self.before.packets.saturating_add(view.usage.packets),
            seen: Vec::new(),
            ..self.before
        };
        (entry.sequence, entry.seen) = match (&self.numbers, window_of(engine, id, self.source)) {
            (Some(_), _) => {
                let used = view.sa?.transform().sequence()?;
                (if moment.is_last { used.get() } else { self.outbound_ahead(moment.now) }, Vec::new())
            }
            (None, Some(window)) if self.is_exact_at(moment) || window.packets() == 0 => {
                (window.top().get(), seen(window))
            }
            (None, Some(window)) => {
                let octets = window.packets().div_ceil(8).try_into().unwrap_or(0);
                (self.inbound_ahead(window.top().get(), moment.now), vec![0xff; octets])
            }
            (None, None) => return None,
        };
        Some(entry)
    }

    /// Returns the number up to which an outbound SA may send.
    fn outbound_ahead(&mut self, now: Instant) -> u64 {
        let (true, Some(numbers)) = (self.is_low(), &self.numbers) else { return self.reserved };
        let taken = numbers.last_taken().get();
        taken.saturating_add(self.ahead.next(now)).min(self.width.last()).max(self.reserved)
    }

    /// Returns the number up to which packets may be delivered.
    fn inbound_ahead(&mut self, top: u64, now: Instant) -> u64 {
        if !self.is_exact && self.reserved.saturating_sub(top) >= self.ahead.count / 2 {
            return self.reserved;
        }
        top.saturating_add(self.ahead.next(now)).min(self.width.last())
    }

    /// Records that the file was written with an entry, or may have been if there was an error.
    pub(super) fn written(&mut self, sequence: u64, is_exact: bool, is_done: bool) {
        match &self.numbers {
            Some(numbers) if is_done => {
                numbers.permit(Seq::new(sequence));
                self.reserved = sequence;
            }
            Some(_) => {}
            None if is_done => {
                (self.reserved, self.is_exact) = (sequence, is_exact);
                if is_exact {
                    self.delivered = None;
                }
            }
            // The file has the former or the new entry.
            None => (self.reserved, self.is_exact) = (self.reserved.min(sequence), self.is_exact || is_exact),
        }
    }
}

impl Ahead {
    const fn at_least(min: u64) -> Self {
        Self { count: min, min, since: None }
    }

    /// Returns the next number: twice the former one if that was used within a second, half of it after ten seconds.
    fn next(&mut self, now: Instant) -> u64 {
        if let Some(since) = self.since.replace(now) {
            let lasted = now.saturating_duration_since(since);
            if lasted < IDLE {
                self.count = self.count.saturating_mul(2).min(MAX_AHEAD);
            } else if lasted >= 10 * IDLE {
                self.count = (self.count / 2).max(self.min);
            }
        }
        self.count
    }
}
