use core::time::Duration;

/// How long an SA may be used; `None` for no limit (RFC 4301 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limit {
    /// Since it was installed.
    pub age: Option<Duration>,
    /// Since its first packet.
    pub use_age: Option<Duration>,
    /// Octets of payload.
    pub octets: Option<u64>,
    /// Packets.
    pub packets: Option<u64>,
}

/// The limits of an SA (RFC 4301 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lifetimes {
    /// When another one is asked for.
    pub soft: Limit,
    /// When it is used no more.
    pub hard: Limit,
}

/// What an SA has done (RFC 4301 4.4.2.1, RFC 2367 2.3.2). Only packets that were sealed, or authenticated, count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// When it was installed.
    pub added: Duration,
    /// When its first packet came.
    pub first: Option<Duration>,
    /// When its last packet came.
    pub last: Option<Duration>,
    /// Octets of payload.
    pub octets: u64,
    /// Packets.
    pub packets: u64,
}

impl Usage {
    pub(crate) const fn new(added: Duration) -> Self {
        Self { added, first: None, last: None, octets: 0, packets: 0 }
    }

    pub(crate) fn charge(&mut self, now: Duration, octets: usize) {
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.octets = self.octets.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
        self.packets = self.packets.saturating_add(1);
    }
}

impl Limit {
    /// Whether it is reached.
    pub(crate) fn reached(&self, usage: &Usage, now: Duration) -> bool {
        self.due(usage).is_some_and(|due| now >= due)
            || self.octets.is_some_and(|most| usage.octets >= most)
            || self.packets.is_some_and(|most| usage.packets >= most)
    }

    /// When it will be reached by time alone.
    pub(crate) fn due(&self, usage: &Usage) -> Option<Duration> {
        let by_age = self.age.map(|age| usage.added.saturating_add(age));
        let by_use = self.use_age.zip(usage.first).map(|(age, first)| first.saturating_add(age));
        [by_age, by_use].into_iter().flatten().min()
    }
}
