//! Outbound SAs of several engines, which take their sequence numbers from one counter.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::num::NonZero;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ipsec_packet::{Seq, SeqCounter, SeqWidth};
use ipsec_sa::{SaId, SaParams, Usage};

use super::has_counter;

/// Outbound ESP or AH SA that several engines have: its parameters with the keys, and the counter of which engines take
/// runs of sequence numbers (RFC 4303 section 3.3.3). [`HeapEngine::install_shared`] installs it.
///
/// Several engines send at the same time, each with numbers of its own run, so that packets arrive out of order: the
/// anti-replay window of the peer has to be larger than the run times the number of engines, or it discards packets of
/// an engine that is behind.
///
/// Limits of octets and packets hold for all engines together. An engine adds what it has sent after every 64 packets,
/// so that a limit may be exceeded by 64 packets for each engine.
///
/// The keys are in memory until this value is dropped.
///
/// [`HeapEngine::install_shared`]: crate::HeapEngine::install_shared
pub struct SharedSa {
    params: SaParams,
    run: NonZero<u16>,
    state: Arc<SharedState>,
}

/// Mutable part of an SA, which all engines share.
struct SharedState {
    /// Last sequence number of the last run.
    used: AtomicU64,
    /// Last sequence number that a run may have.
    permitted: AtomicU64,
    packets: AtomicU64,
    octets: AtomicU64,
    is_revoked: AtomicBool,
}

/// Error of an SA that has no sequence numbers to share: an inbound SA, or IPComp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotShareable;

impl fmt::Display for NotShareable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SA cannot be shared: it is not an outbound ESP or AH SA")
    }
}

impl core::error::Error for NotShareable {}

impl SharedSa {
    /// Creates an SA that several engines can install. Sequence numbers begin after `params.last_sequence`, and engines
    /// take `run` of them at a time.
    ///
    /// Parameters with the same keys must not be used for another SA: each SA has a counter of its own.
    ///
    /// # Errors
    /// [`NotShareable`].
    pub fn new(params: SaParams, run: NonZero<u16>) -> Result<Self, NotShareable> {
        if !has_counter(&params.id) {
            return Err(NotShareable);
        }
        let state = SharedState::new(params.last_sequence.map_or(0, Seq::get), u64::MAX);
        Ok(Self { params, run, state: Arc::new(state) })
    }

    /// Returns the identifier of the SA.
    pub const fn id(&self) -> &SaId {
        &self.params.id
    }

    /// Returns the highest sequence number that is reserved by any engine; reserved numbers may be unused.
    pub fn last_taken(&self) -> Seq {
        Seq::new(self.state.used.load(Ordering::Relaxed))
    }

    /// Ends the SA in all engines. A packet that an engine processes at this moment may still be sent.
    pub fn revoke(&self) {
        self.state.revoke();
    }

    /// Returns whether the SA has ended, because it was revoked, removed from an engine, or has reached its hard limit.
    pub fn is_revoked(&self) -> bool {
        self.state.is_revoked()
    }

    pub(crate) const fn params(&self) -> &SaParams {
        &self.params
    }
}

impl fmt::Debug for SharedSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSa({})", self.params.id)
    }
}

/// Limit of the sequence numbers of an outbound SA in one engine, which uses none beyond the permitted ones (RFC 4303
/// section 3.3.3). A caller that stores numbers permits them when they are stored, so that none of them is used again
/// after a restart. [`HeapEngine::limit_numbers`] sets it.
///
/// [`HeapEngine::limit_numbers`]: crate::HeapEngine::limit_numbers
pub struct PermittedNumbers(Arc<SharedState>);

impl PermittedNumbers {
    /// Permits the numbers up to `last`. A lower value than before changes nothing.
    pub fn permit(&self, last: Seq) {
        self.0.permitted.fetch_max(last.get(), Ordering::Relaxed);
    }

    /// Returns the highest sequence number that the engine has reserved; up to 63 numbers below it may be unused.
    pub fn last_taken(&self) -> Seq {
        Seq::new(self.0.used.load(Ordering::Relaxed))
    }

    /// Returns whether the SA has ended, because it was removed or has reached its hard limit.
    pub fn is_revoked(&self) -> bool {
        self.0.is_revoked()
    }
}

impl fmt::Debug for PermittedNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PermittedNumbers({} taken)", self.last_taken())
    }
}

impl SharedState {
    const fn new(used: u64, permitted: u64) -> Self {
        Self {
            used: AtomicU64::new(used),
            permitted: AtomicU64::new(permitted),
            packets: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            is_revoked: AtomicBool::new(false),
        }
    }

    fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Release);
    }

    fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::Acquire)
    }

    /// Takes `run` numbers after `least`, or those that are left and permitted, if they are at least `uses`. Returns
    /// the number before them and the last of them.
    //= RFC 4303 3.3.3/1
    //# MUST NOT: a packet is sent that would make the number cycle
    fn take(&self, least: u64, run: u64, uses: u64, width: SeqWidth) -> Option<(u64, u64)> {
        let most = width.last().min(self.permitted.load(Ordering::Relaxed));
        let behind = |used: u64| {
            let before = used.max(least);
            let last = before.saturating_add(run.max(uses)).min(most);
            last.checked_sub(before).filter(|taken| *taken >= uses).map(|_| (before, last))
        };
        if self.is_revoked() {
            return None;
        }
        // The exchange of the value alone makes runs disjoint; nothing else in memory depends on it.
        let next = |used: u64| behind(used).map(|(_, last)| last);
        let used = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        behind(used)
    }
}

/// Number of packets after which an engine adds its usage to that of the others.
const REPORT_AFTER: u64 = 64;
/// Number of sequence numbers that an engine takes at a time of those that are permitted.
const LIMITED_RUN: u64 = 64;

/// Sequence numbers of an SA in one engine: those of its counter, or a run of shared ones.
pub(crate) struct Numbers(Option<Box<Run>>);

struct Run {
    state: Arc<SharedState>,
    length: u64,
    /// Last number of the run.
    last: u64,
    /// Packets and octets that this engine has added to the usage of all.
    reported: [u64; 2],
    /// Packets and octets of the other engines at that time.
    others: [u64; 2],
}

impl Numbers {
    pub(crate) const OWN: Self = Self(None);

    /// Returns shared numbers, none of which is taken yet.
    pub(crate) fn of(sa: &SharedSa) -> Self {
        Self::taken_from(Arc::clone(&sa.state), sa.run.get().into())
    }

    /// Returns numbers after `used`, none of which is permitted yet.
    pub(crate) fn limited(used: Seq) -> (Self, PermittedNumbers) {
        let state = Arc::new(SharedState::new(used.get(), used.get()));
        (Self::taken_from(Arc::clone(&state), LIMITED_RUN), PermittedNumbers(state))
    }

    fn taken_from(state: Arc<SharedState>, length: u64) -> Self {
        Self(Some(Box::new(Run { state, length, last: 0, reported: [0; 2], others: [0; 2] })))
    }

    /// Returns whether the numbers are those of the counter of the SA alone.
    pub(crate) const fn are_own(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.0.as_ref().is_some_and(|run| run.state.is_revoked())
    }

    /// Ends the SA in all engines that share it.
    pub(crate) fn revoke(&self) {
        if let Some(run) = &self.0 {
            run.state.revoke();
        }
    }

    /// Returns the usage by all engines, of which this one has `usage`.
    pub(crate) fn total(&self, usage: &Usage) -> Usage {
        let [packets, octets] = self.0.as_ref().map_or([0; 2], |run| run.others);
        let mut total = *usage;
        total.packets = total.packets.saturating_add(packets);
        total.octets = total.octets.saturating_add(octets);
        total
    }

    /// Adds the usage by this engine to that of all, after a number of packets.
    pub(crate) fn report(&mut self, usage: &Usage) {
        let Some(run) = &mut self.0 else { return };
        let [packets, octets] = run.reported;
        let new = [usage.packets.saturating_sub(packets), usage.octets.saturating_sub(octets)];
        let [new_packets, new_octets] = new;
        if new_packets < REPORT_AFTER {
            return;
        }
        run.reported = [usage.packets, usage.octets];
        let add = |total: &AtomicU64, new: u64| total.fetch_add(new, Ordering::Relaxed).wrapping_add(new);
        run.others = [
            add(&run.state.packets, new_packets).saturating_sub(usage.packets),
            add(&run.state.octets, new_octets).saturating_sub(usage.octets),
        ];
    }

    /// Returns how many numbers can be used without another run.
    pub(crate) fn left(&self, counter: &SeqCounter) -> u64 {
        match &self.0 {
            Some(run) => run.last.saturating_sub(counter.last_used().get()),
            None => counter.remaining(),
        }
    }

    /// Takes a run with at least `uses` numbers. Returns the number before it; `None` if there is none.
    pub(crate) fn take_run(&mut self, counter: &SeqCounter, uses: u64) -> Option<u64> {
        let run = self.0.as_mut()?;
        let (before, last) = run.state.take(counter.last_used().get(), run.length, uses, counter.width())?;
        run.last = last;
        Some(before)
    }
}
