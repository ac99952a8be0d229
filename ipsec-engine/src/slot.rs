//! Slot of one SA in the SAD, with its state, usage and pending events.

use core::fmt;
use core::net::IpAddr;
#[cfg(feature = "alloc")]
use core::time::Duration;

use heapless::Vec;
use ipsec_packet::Instant;
use ipsec_sa::{Direction, Lifetimes, Limit, SaId, SaState, Usage};
use zeroize::Zeroize;

use crate::algorithms::Algorithms;
use crate::sa::Sa;
use crate::sad_index::{Due, Linked};
use crate::shards::Numbers;

/// Slot of one SA. An SA is dropped in its slot and never moved out, so that no copy of its keys remains.
#[derive(Debug)]
pub(crate) struct Place<A: Algorithms>(Vec<Slot<A>, 1, u8>);

impl<A: Algorithms> Place<A> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn get(&self) -> Option<&Slot<A>> {
        self.0.first()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut Slot<A>> {
        self.0.first_mut()
    }

    /// Drops the SA and overwrites all of its memory, including gaps between fields.
    pub(crate) fn wipe(&mut self) {
        self.0.clear();
        self.0.zeroize();
    }

    pub(crate) fn put(&mut self, slot: Slot<A>) {
        self.wipe();
        let _ = self.0.push(slot); // there is room
    }
}

impl<A: Algorithms> Drop for Place<A> {
    fn drop(&mut self) {
        self.wipe();
    }
}

pub(crate) struct Slot<A: Algorithms> {
    pub(crate) key: SaId,
    pub(crate) source: IpAddr,
    pub(crate) state: SaState,
    pub(crate) usage: Usage,
    /// The SA itself; `None` while it is larval.
    pub(crate) sa: Option<Sa<A>>,
    pub(crate) numbers: Numbers,
    pub(crate) pending: PendingEvents,
    pub(crate) serial: u32,
    /// Values below which the state does not change, so that most packets do not read the lifetimes.
    #[cfg(feature = "alloc")]
    pub(crate) next: NextChange,
}

/// Time and usage at which an SA may change its state.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy)]
pub(crate) struct NextChange {
    time: Instant,
    octets: u64,
    packets: u64,
}

#[cfg(feature = "alloc")]
impl NextChange {
    /// Values at which every check reads the lifetimes.
    const NOW: Self = Self { time: Instant::ZERO, octets: 0, packets: 0 };
}

impl<A: Algorithms> Slot<A> {
    /// Returns the properties by which the SA is found.
    pub(crate) fn linked(&self) -> Linked {
        let sa = self.sa.as_ref();
        let is_inbound = self.key.direction == Direction::Inbound;
        let encap = sa.and_then(|sa| sa.encap).filter(|_| is_inbound);
        Linked {
            id: self.key,
            source: self.source,
            reqid: sa.map_or(0, |sa| sa.reqid),
            local_port: encap.map(|encap| encap.ports.destination),
        }
    }

    /// Returns when the state of the SA changes without a packet. A limit that is already reached is due at once.
    pub(crate) fn due(&self) -> Due {
        let Some(sa) = &self.sa else { return Due::Larval(self.usage.added) };
        let Lifetimes { soft, hard } = &sa.lifetimes;
        let limits = self.limits(soft, hard);
        let total = self.numbers.total(&self.usage);
        let by_use = |limit: &Limit| Limit { age: None, use_age: None, ..*limit }.reached(&total, Instant::ZERO);
        let due = |limit: &Limit| if by_use(limit) { Some(Instant::ZERO) } else { limit.due(&self.usage) };
        limits.into_iter().flatten().filter_map(due).min().map_or(Due::Never, Due::At)
    }

    /// Returns the limits that end the current state.
    fn limits<'l>(&self, soft: &'l Limit, hard: &'l Limit) -> [Option<&'l Limit>; 2] {
        match self.state {
            SaState::Mature => [Some(soft), Some(hard)],
            SaState::Dying => [Some(hard), None],
            SaState::Larval | SaState::Dead => [None, None],
        }
    }

    /// Returns the values at which the state may change next.
    #[cfg(feature = "alloc")]
    pub(crate) fn next_change(&self) -> NextChange {
        let Some(Lifetimes { soft, hard }) = self.sa.as_ref().map(|sa| &sa.lifetimes) else { return NextChange::NOW };
        let limits = self.limits(soft, hard);
        let least = |of: &dyn Fn(&Limit) -> Option<u64>| limits.iter().flatten().filter_map(|limit| of(limit)).min();
        NextChange {
            time: limits
                .iter()
                .flatten()
                .filter_map(|limit| limit.due(&self.usage))
                .min()
                .unwrap_or(Instant::ZERO.saturating_add(Duration::MAX)),
            octets: least(&|limit| limit.octets).unwrap_or(u64::MAX),
            packets: least(&|limit| limit.packets).unwrap_or(u64::MAX),
        }
    }

    /// Returns whether the lifetimes need not be read, because none is reached.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_unchanged(&self, now: Instant) -> bool {
        let Usage { octets, packets, .. } = self.numbers.total(&self.usage);
        now < self.next.time && octets < self.next.octets && packets < self.next.packets
    }

    #[cfg(not(feature = "alloc"))]
    pub(crate) const fn is_unchanged(&self, _: Instant) -> bool {
        false
    }

    pub(crate) fn larval(key: SaId, source: IpAddr, now: Instant) -> Self {
        let (usage, pending) = (Usage::new(now), PendingEvents::default());
        Self {
            key,
            source,
            state: SaState::Larval,
            usage,
            sa: None,
            numbers: Numbers::OWN,
            pending,
            serial: 0,
            #[cfg(feature = "alloc")]
            next: NextChange::NOW,
        }
    }
}

impl<A: Algorithms> fmt::Debug for Slot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({}, {})", self.key, self.state)
    }
}

/// Events of a slot that have not been polled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct PendingEvents {
    pub(crate) soft: bool,
    pub(crate) hard: bool,
    pub(crate) sequence: Report,
    /// Address and port of the peer according to its newest packet.
    pub(crate) moved: Option<(IpAddr, u16)>,
    /// Address and port of the peer that were reported last.
    pub(crate) reported_peer: Option<(IpAddr, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Report {
    #[default]
    No,
    Due,
    Yes,
}

impl PendingEvents {
    pub(crate) fn has_new_peer(&self) -> bool {
        self.moved.is_some() && self.moved != self.reported_peer
    }

    pub(crate) fn any(&self) -> bool {
        self.soft || self.hard || self.sequence == Report::Due || self.has_new_peer()
    }
}

#[cfg(all(test, feature = "alloc", feature = "runtime-suites"))]
mod tests {
    use super::*;

    /// Only the key schedule of Blowfish, and a window of more than 256 packets, have memory of their own.
    #[test]
    fn sa_of_any_algorithm_takes_at_most_1536_octets() {
        let octets = size_of::<Place<crate::AnyAlgorithms>>();
        assert!(octets <= 1536, "{octets}");
    }
}
