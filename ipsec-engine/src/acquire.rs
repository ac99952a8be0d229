//! Table of the acquires that were reported recently: each is repeated at most once per interval, however many packets
//! need the SA.

use core::cmp::Reverse;
use core::time::Duration;

use heapless::Vec;
use ipsec_packet::Instant;
use ipsec_sa::{Acquire, PolicyId};

/// Largest number of acquires in the table.
const MAX_ACQUIRES: usize = 8;

/// Acquires of the last interval, reported or pending.
#[derive(Debug)]
pub(crate) struct AcquireTable {
    all: Vec<Entry, MAX_ACQUIRES>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    wanted: Acquire,
    at: Instant,
    is_reported: bool,
}

/// Time of a request, and the interval after which the same acquire may be repeated.
#[derive(Clone, Copy)]
pub(crate) struct AcquireLimit {
    pub(crate) now: Instant,
    pub(crate) interval: Duration,
}

impl AcquireLimit {
    /// Returns whether `than` has passed since `at`. A clock that was set back makes every entry old.
    fn is_older(self, at: Instant, than: Duration) -> bool {
        self.now < at || at.saturating_add(than) <= self.now
    }
}

impl AcquireTable {
    pub(crate) const fn new() -> Self {
        Self { all: Vec::new() }
    }

    /// Records an acquire as pending, unless the same acquire was recorded less than an interval ago; `last_acquire`
    /// is the time of the last acquire of its policy.
    ///
    /// In a full table a reported entry is evicted: first one that is older than the interval; then, for a policy
    /// without an acquire in the last interval, one of the policy with most entries; then, within a policy, one of
    /// the source with more entries than this source. Thus no policy is silenced by others, and no source by fewer
    /// sources of its policy than the table has entries. In an interval each policy is granted one acquire, and the
    /// table a few times its size. An acquire that is not recorded is requested again by a later packet.
    pub(crate) fn record(&mut self, limit: AcquireLimit, wanted: &Acquire, last_acquire: &mut Option<Instant>) {
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

    /// Returns the index of the entry that this acquire may replace.
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

    /// Removes the acquires of a policy that was removed.
    pub(crate) fn forget(&mut self, policy: PolicyId) {
        self.all.retain(|entry| entry.wanted.policy != policy);
    }

    /// Keeps the acquires of the policies that `keep` selects, and removes the others.
    #[cfg(all(feature = "shards", target_has_atomic = "64"))]
    pub(crate) fn retain(&mut self, keep: impl Fn(PolicyId) -> bool) {
        self.all.retain(|entry| keep(entry.wanted.policy));
    }

    /// Returns the oldest acquire that has not been reported yet.
    pub(crate) fn next_pending(&mut self) -> Option<Acquire> {
        let entry = self.all.iter_mut().filter(|entry| !entry.is_reported).min_by_key(|entry| entry.at)?;
        entry.is_reported = true;
        Some(entry.wanted)
    }
}

/// Returns whether the same SA satisfies both acquires.
fn is_same(a: &Acquire, b: &Acquire) -> bool {
    (a.policy, a.template, a.source, a.destination) == (b.policy, b.template, b.source, b.destination)
}
