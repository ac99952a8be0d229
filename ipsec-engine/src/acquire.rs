//! SAs that were asked for: each once in a while, however many packets want it.

use core::cmp::Reverse;
use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;
use ipsec_packet::Flow;

use crate::policy::{PolicyId, Template};

/// An SA that is needed and not there (RFC 2367 3.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// The policy that asks for it.
    pub policy: PolicyId,
    /// Which of its transforms has none.
    pub template: Template,
    /// Where the packets of the SA would come from; `None` where key exchange has to find out.
    pub source: Option<IpAddr>,
    /// Where they would go.
    pub destination: Option<IpAddr>,
    /// The request number that the SA must have; 0 for any.
    pub reqid: u32,
    /// The packet that asked.
    pub flow: Flow,
}

/// How many are remembered at a time.
const MAX_ACQUIRES: usize = 8;

/// What was asked for lately.
#[derive(Debug)]
pub(crate) struct AcquireTable {
    all: Vec<Entry, MAX_ACQUIRES>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    wanted: Acquire,
    at: Duration,
    is_reported: bool,
}

/// When a policy may ask again.
#[derive(Clone, Copy)]
pub(crate) struct AcquireLimit {
    pub(crate) now: Duration,
    pub(crate) interval: Duration,
}

impl AcquireLimit {
    /// Whether something is at least so old. A clock that was set back makes everything old.
    fn is_older(self, at: Duration, than: Duration) -> bool {
        self.now < at || at.saturating_add(than) <= self.now
    }
}

impl AcquireTable {
    pub(crate) const fn new() -> Self {
        Self { all: Vec::new() }
    }

    /// Asks for an SA, unless the same was asked for less than an interval ago; `last_acquire` is when its policy asked last.
    ///
    /// Where nothing more can be remembered, what was told makes room: first what could be asked for again anyway; then, for a policy that has
    /// not asked for an interval, one of the policy that has most; then, within a policy, one of the source that has more than
    /// this one. So no policy is silenced by others, and no source by fewer others of its policy than are remembered. In an interval no more is
    /// asked for than once for each policy and a few times as much as is remembered. What is not asked for now, a later packet asks for.
    pub(crate) fn record(&mut self, limit: AcquireLimit, wanted: &Acquire, last_acquire: &mut Option<Duration>) {
        let entry = Entry { wanted: *wanted, at: limit.now, is_reported: false };
        let place = match self.all.iter().position(|entry| is_same(&entry.wanted, wanted)) {
            Some(known) => self.all.get(known).filter(|known| limit.is_older(known.at, limit.interval)).map(|_| known),
            None if self.all.push(entry).is_ok() => self.all.len().checked_sub(1),
            None => self.evictable(limit, wanted, last_acquire.is_none_or(|at| limit.is_older(at, limit.interval))),
        };
        if let Some(slot) = place.and_then(|place| self.all.get_mut(place)) {
            (*slot, *last_acquire) = (entry, Some(limit.now));
        }
    }

    /// The place of what makes room.
    fn evictable(&self, limit: AcquireLimit, wanted: &Acquire, policy_may_ask: bool) -> Option<usize> {
        let is_reported = || self.all.iter().enumerate().filter(|(_, entry)| entry.is_reported);
        let old = is_reported().filter(|(_, entry)| limit.is_older(entry.at, limit.interval));
        if let Some((place, _)) = old.min_by_key(|(_, entry)| entry.at) {
            return Some(place);
        }
        let of_policy = |policy| self.all.iter().filter(move |entry| entry.wanted.policy == policy);
        if policy_may_ask {
            let most = is_reported()
                .max_by_key(|(place, entry)| (of_policy(entry.wanted.policy).count(), Reverse((entry.at, *place))));
            return most.map(|(place, _)| place);
        }
        let of_source =
            |source| of_policy(wanted.policy).filter(move |entry| entry.wanted.flow.source == source).count();
        let least_age = limit.interval.checked_div(u32::try_from(MAX_ACQUIRES).unwrap_or(1)).unwrap_or(limit.interval);
        let own = of_source(wanted.flow.source);
        is_reported()
            .filter(|(_, entry)| entry.wanted.policy == wanted.policy && limit.is_older(entry.at, least_age))
            .map(|(place, entry)| (place, entry, of_source(entry.wanted.flow.source)))
            .filter(|(.., count)| *count > own.saturating_add(1))
            .max_by_key(|(place, entry, count)| (*count, Reverse((entry.at, *place))))
            .map(|(place, ..)| place)
    }

    /// A policy is gone: nobody needs what it asked for.
    pub(crate) fn forget(&mut self, policy: PolicyId) {
        self.all.retain(|entry| entry.wanted.policy != policy);
    }

    /// The next that nobody was told of.
    pub(crate) fn next_pending(&mut self) -> Option<Acquire> {
        let entry = self.all.iter_mut().filter(|entry| !entry.is_reported).min_by_key(|entry| entry.at)?;
        entry.is_reported = true;
        Some(entry.wanted)
    }
}

/// Whether the same SA would do for both.
fn is_same(a: &Acquire, b: &Acquire) -> bool {
    (a.policy, a.template, a.source, a.destination) == (b.policy, b.template, b.source, b.destination)
}
