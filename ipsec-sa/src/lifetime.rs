use core::time::Duration;

use ipsec_packet::Instant;

/// Limits of the lifetime of an SA; `None` for no limit (RFC 4301 section 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limit {
    /// Time since the SA was installed.
    pub age: Option<Duration>,
    /// Time since the first packet of the SA.
    pub use_age: Option<Duration>,
    /// Octets of payload that the SA has processed.
    pub octets: Option<u64>,
    /// Packets that the SA has processed.
    pub packets: Option<u64>,
}

/// Soft and hard limits of an SA (RFC 4301 section 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lifetimes {
    /// Limits at which the SA is to be rekeyed.
    pub soft: Limit,
    /// Limits at which the SA is no longer used.
    pub hard: Limit,
}

/// Usage of an SA (RFC 4301 section 4.4.2.1, RFC 2367 section 2.3.2). Only packets that were sealed, or
/// authenticated, count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Time at which the SA was installed.
    pub added: Instant,
    /// Time of the first packet; `None` before it.
    pub first: Option<Instant>,
    /// Time of the last packet; `None` before the first.
    pub last: Option<Instant>,
    /// Octets of payload that were processed.
    pub octets: u64,
    /// Packets that were processed.
    pub packets: u64,
}

impl Usage {
    /// Creates the usage of an SA that was installed at this time and has not processed a packet.
    pub const fn new(added: Instant) -> Self {
        Self { added, first: None, last: None, octets: 0, packets: 0 }
    }

    /// Counts a packet of this many octets of payload.
    pub fn charge(&mut self, now: Instant, octets: usize) {
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.octets = self.octets.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
        self.packets = self.packets.saturating_add(1);
    }
}

impl Limit {
    /// Returns whether one of the limits is reached (RFC 4301 section 4.4.2.1).
    pub fn reached(&self, usage: &Usage, now: Instant) -> bool {
        self.due(usage).is_some_and(|due| now >= due)
            || self.octets.is_some_and(|most| usage.octets >= most)
            || self.packets.is_some_and(|most| usage.packets >= most)
    }

    /// Returns the earliest time at which a time limit is reached; `None` if there is none yet.
    pub fn due(&self, usage: &Usage) -> Option<Instant> {
        let by_age = self.age.map(|age| usage.added.saturating_add(age));
        let by_use = self.use_age.zip(usage.first).map(|(age, first)| first.saturating_add(age));
        [by_age, by_use].into_iter().flatten().min()
    }
}
