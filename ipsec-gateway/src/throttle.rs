//! Delay of the answers to wrong passwords, so that trying many of them takes time.

use std::collections::HashMap;
use std::hash::Hash;
use std::task::Poll;
use std::time::Duration;

use ipsec_packet::Instant;

/// Delay of the answer to a wrong password (`auth_throttle` of racoon.conf(5) has the same default).
pub const DELAY: Duration = Duration::from_secs(1);

/// Refusals that are answered later, each of an ISAKMP SA `H`.
pub struct Throttle<H> {
    waiting: HashMap<H, Instant>,
}

impl<H> Default for Throttle<H> {
    fn default() -> Self {
        Self { waiting: HashMap::new() }
    }
}

impl<H: Copy + Eq + Hash> Throttle<H> {
    /// Refuses a password: when the time of the delay is over.
    pub fn refuse(&mut self, now: Instant, sa: H) -> Poll<bool> {
        if *self.waiting.entry(sa).or_insert(now + DELAY) > now {
            return Poll::Pending;
        }
        self.waiting.remove(&sa);
        Poll::Ready(false)
    }

    /// Returns whether the answer of an ISAKMP SA waits.
    pub fn is_waiting(&self, sa: H) -> bool {
        self.waiting.contains_key(&sa)
    }

    /// Returns the time of the next answer.
    pub fn due(&self) -> Option<Instant> {
        self.waiting.values().min().copied()
    }

    /// Removes an ISAKMP SA that no longer exists.
    pub fn forget(&mut self, sa: H) {
        self.waiting.remove(&sa);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_answered_after_the_delay() {
        let (mut throttle, now) = (Throttle::default(), Instant::from_secs(5));
        assert_eq!(throttle.due(), None);
        assert_eq!((throttle.refuse(now, 1), throttle.refuse(now + DELAY / 2, 2)), (Poll::Pending, Poll::Pending));
        assert_eq!((throttle.is_waiting(1), throttle.is_waiting(3)), (true, false));
        assert_eq!(throttle.due(), Some(now + DELAY));
        assert_eq!(throttle.refuse(now + DELAY / 2, 1), Poll::Pending, "another question does not prolong the delay");
        assert_eq!(throttle.refuse(now + DELAY, 1), Poll::Ready(false));
        assert_eq!(throttle.due(), Some(now + DELAY + DELAY / 2));
        throttle.forget(2);
        assert_eq!(throttle.due(), None);
    }
}
