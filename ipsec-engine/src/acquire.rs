//! SAs that were asked for: each once in a while, however many packets want it.

use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;
use ipsec_packet::Flow;

use crate::policy::{PolicyId, Request};

/// An SA that is needed and not there (RFC 2367 3.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// The policy that asks for it.
    pub policy: PolicyId,
    /// Which of its transforms has none.
    pub request: Request,
    /// Where the packets of the SA would come from; `None` where key exchange has to find out.
    pub source: Option<IpAddr>,
    /// Where they would go.
    pub destination: Option<IpAddr>,
    /// The request number that the SA must have; 0 for any.
    pub request_id: u32,
    /// The packet that asked.
    pub flow: Flow,
}

/// How many are remembered at a time.
const ASKED: usize = 8;

/// What was asked for lately.
#[derive(Debug)]
pub(crate) struct Asked {
    all: Vec<Entry, ASKED>,
}

#[derive(Debug)]
struct Entry {
    wanted: Acquire,
    at: Duration,
    told: bool,
}

impl Asked {
    pub(crate) const fn new() -> Self {
        Self { all: Vec::new() }
    }

    /// Asks, unless the same was asked for less than `interval` ago. Where all that is remembered is as young, or has yet
    /// to be told, a later packet asks again.
    pub(crate) fn ask(&mut self, now: Duration, interval: Duration, wanted: &Acquire) {
        let entry = Entry { wanted: *wanted, at: now, told: false };
        let same = self.all.iter_mut().find(|entry| is_same(&entry.wanted, wanted));
        if let Some(known) = same {
            if now >= known.at.saturating_add(interval) {
                *known = entry;
            }
            return;
        }
        if let Err(entry) = self.all.push(entry)
            && let Some(oldest) = self.all.iter_mut().filter(|entry| entry.told).min_by_key(|entry| entry.at)
            && now >= oldest.at.saturating_add(interval)
        {
            *oldest = entry;
        }
    }

    /// A policy is gone: nobody needs what it asked for.
    pub(crate) fn forget(&mut self, policy: PolicyId) {
        self.all.retain(|entry| entry.wanted.policy != policy);
    }

    /// The next that nobody was told of.
    pub(crate) fn tell(&mut self) -> Option<Acquire> {
        let entry = self.all.iter_mut().filter(|entry| !entry.told).min_by_key(|entry| entry.at)?;
        entry.told = true;
        Some(entry.wanted)
    }
}

/// Whether the same SA would do for both.
fn is_same(a: &Acquire, b: &Acquire) -> bool {
    (a.policy, a.request, a.source, a.destination) == (b.policy, b.request, b.source, b.destination)
}
