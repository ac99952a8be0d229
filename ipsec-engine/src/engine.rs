use core::net::IpAddr;
use core::time::Duration;

use heapless::Deque;
use ipsec_packet::{Flow, Ip, Selector};

use crate::acquire::AcquireTable;
use crate::algorithms::Algorithms;
use crate::counters::{Counter, Counters};
use crate::disposition::DiscardReason;
use crate::event::{Audit, Event};
use crate::lifetime::Usage;
use crate::policy::{Policy, PolicyDirection, PolicyId};
use crate::sa::{Direction, Sa, SaId};
use crate::sad::{InstallError, Report, ReserveError, SaState, Sad, UpdateError};
use crate::spd::{PolicyError, Spd, Verdict};

/// What the databases say where nothing else does (RFC 4301 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// What becomes of packets that no policy speaks of. RFC 4301 4.4.1 discards them; the systems of setkey(8) let them pass.
    pub unmatched: Unmatched,
    /// What level `default` means.
    pub default_level: DefaultLevel,
    /// How long after it asked for an SA a policy asks again.
    pub acquire_interval: Duration,
    /// How long an SPI stays reserved.
    pub larval_lifetime: Duration,
    /// How long what a router reported about a path is believed (RFC 4301 8.2.2).
    pub path_mtu_lifetime: Duration,
    /// The least MTU of a path, in octets, over IPv4 and over IPv6, that a report of a router is believed (RFC 4301 6.1.1): what such a report
    /// can do to an SA.
    pub min_path_mtu: [u16; 2],
    /// Octets that the link carries; `None` where nobody is to be told that a packet is too big.
    pub link_mtu: Option<u16>,
    /// The UDP port on which ESP without an SA, and keep-alives, are recognized. SAs have ports of their own.
    pub nat_port: u16,
}

impl Settings {
    /// Packets without a policy are discarded, level `default` requires an SA (RFC 4301 4.4.1).
    pub const STRICT: Self = Self {
        unmatched: Unmatched::Discard,
        default_level: DefaultLevel::Require,
        acquire_interval: Duration::from_secs(10),
        larval_lifetime: Duration::from_secs(30),
        path_mtu_lifetime: Duration::from_secs(600),
        min_path_mtu: [576, 1280],
        link_mtu: None,
        nat_port: 4500,
    };

    /// As the systems of setkey(8) behave: packets without a policy pass. Level `default` requires an SA all the same.
    pub const SETKEY: Self = Self { unmatched: Unmatched::Bypass, ..Self::STRICT };
}

/// What becomes of packets that no policy speaks of (RFC 4301 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unmatched {
    /// They are discarded.
    Discard,
    /// They pass in clear.
    Bypass,
}

/// What level `default` means (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefaultLevel {
    /// [`Level::Use`](crate::Level::Use).
    Use,
    /// [`Level::Require`](crate::Level::Require).
    Require,
}

/// A gateway's or host's IPsec: both databases, and the two roads through them (RFC 4301 4.4, 5).
///
/// It holds up to `SAS` SAs and `POLICIES` policies, and remembers what the policies said about `FLOWS` flows. It never
/// allocates; how large it is, `size_of` says.
pub struct Engine<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize = 64> {
    pub(crate) settings: Settings,
    pub(crate) spd: Spd<POLICIES, FLOWS>,
    pub(crate) sad: Sad<A, SAS>,
    pub(crate) counters: Counters,
    pub(crate) compressor: Option<A::Compressor>,
    pub(crate) decompressor: Option<A::Decompressor>,
    pub(crate) identification: u16,
    pub(crate) acquires: AcquireTable,
    audits: Deque<Audit, AUDITS>,
    audits_lost: u64,
}

/// How many audit events wait to be polled; of more, the oldest are lost and counted.
const AUDITS: usize = 16;

/// Numbers of an SA from which on another one is due: 2^16 before the last of 32 bits, 2^32 before that of 64.
const LOW_32: u64 = 1 << 16;
const LOW_64: u64 = 1 << 32;

/// An SA in the database, as it is to be shown (RFC 4301 4.4.2.1).
#[derive(Debug)]
#[non_exhaustive]
pub struct SaView<'a, A: Algorithms> {
    /// Its name.
    pub key: SaId,
    /// Where its packets come from.
    pub source: IpAddr,
    /// Where it stands in its life.
    pub state: SaState,
    /// What it has done.
    pub usage: &'a Usage,
    /// The SA; `None` while it is larval.
    pub sa: Option<&'a Sa<A>>,
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Without SAs and policies. An engine without IPComp needs neither compressor nor decompressor.
    pub const fn new(
        settings: Settings,
        compressor: Option<A::Compressor>,
        decompressor: Option<A::Decompressor>,
    ) -> Self {
        Self {
            settings,
            spd: Spd::new(),
            sad: Sad::new(),
            counters: Counters::new(),
            compressor,
            decompressor,
            identification: 1,
            acquires: AcquireTable::new(),
            audits: Deque::new(),
            audits_lost: 0,
        }
    }

    /// What the databases say where nothing else does.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes that.
    pub fn settings_mut(&mut self) -> &mut Settings {
        self.spd.forget_flows(); // what they chose may have been for another default level
        &mut self.settings
    }

    /// Starts the identification of outer IPv4 headers here: a random number, so that a restart does not repeat those of a
    /// moment ago (RFC 6864 4). 0 is never used.
    pub const fn set_identification(&mut self, next: u16) {
        self.identification = if next == 0 { 1 } else { next };
    }

    /// Adds a policy behind those of its priority (RFC 4301 4.4.1).
    ///
    /// # Errors
    /// [`PolicyError`]; nothing has changed.
    pub fn add_policy(&mut self, policy: Policy) -> Result<PolicyId, PolicyError> {
        self.spd.add(policy)
    }

    /// The policy with this selector and direction (RFC 4301 4.4.1).
    pub fn find_policy(&self, direction: PolicyDirection, selector: &Selector) -> Option<PolicyId> {
        self.spd.find(direction, selector)
    }

    /// Takes a policy out (RFC 4301 4.4.1).
    pub fn remove_policy(&mut self, id: PolicyId) -> Option<Policy> {
        self.acquires.forget(id);
        self.spd.remove(id)
    }

    /// The policies, in the order in which they are looked at (RFC 4301 4.4.1).
    pub fn policies(&self) -> impl Iterator<Item = (PolicyId, &Policy)> {
        self.spd.rules().iter().map(|rule| (rule.id, &rule.policy))
    }

    /// Puts an SA in (RFC 2367 3.1.3). For the packets that leave, the newest mature SA is used, so a new one takes over as soon as it is
    /// in, while the old one still opens what is on its way (make before break).
    ///
    /// When a pair of SAs is rekeyed, the inbound SA is installed first, and the outbound one when the peer has its inbound SA: in quick mode,
    /// when the initiator has sent the third message and when the responder has received it (RFC 2409 5.5). An SA expires by
    /// time through [`tick`](Self::tick).
    ///
    /// # Errors
    /// [`InstallError`], which gives the SA back; nothing has changed.
    #[allow(clippy::result_large_err)] // the SA is the caller's
    pub fn install(&mut self, sa: Sa<A>, now: Duration) -> Result<SaId, InstallError<A>> {
        let key = sa.key();
        let at = self.sad.install(sa, now)?;
        self.check_sequence_left(at);
        Ok(key)
    }

    /// Reserves the SPI of an SA to come: what arrives by it is discarded as [`DiscardReason::Larval`] (RFC 2367 3.1.1). It is free again after
    /// [`Settings::larval_lifetime`] unless an SA is installed.
    ///
    /// # Errors
    /// [`ReserveError`]; nothing has changed.
    pub fn reserve(&mut self, key: SaId, source: IpAddr, now: Duration) -> Result<(), ReserveError> {
        self.sad.reserve(key, source, now)
    }

    /// Removes an SA, or a larval one, and says what it has done; `source` matters only where a CPI names an algorithm instead of an
    /// association (RFC 2367 3.1.4). The SA is dropped in its place, which is wiped: nothing of its keys is left in the engine.
    pub fn remove(&mut self, key: &SaId, source: IpAddr) -> Option<Usage> {
        let at = self.sad.find(key, source)?;
        self.sad.remove(at)
    }

    /// An SA, as it is to be shown (RFC 2367 3.1.5).
    pub fn sa(&self, key: &SaId, source: IpAddr) -> Option<SaView<'_, A>> {
        self.sad.get(self.sad.find(key, source)?).map(view)
    }

    /// Changes an SA where it is: its limits, its peer's address, its counter or window (RFC 2367 3.1.2). Gives its name, which is another one
    /// when its peer moved. What it has done and its place among others stay.
    ///
    /// # Errors
    /// [`UpdateError`]: nothing has changed when there is no such SA; one that got the name of another is removed and wiped.
    pub fn update(&mut self, key: &SaId, source: IpAddr, change: impl FnOnce(&mut Sa<A>)) -> Result<SaId, UpdateError> {
        let at = self.sad.find(key, source).ok_or(UpdateError::Missing)?;
        let sa = self.sad.get_mut(at).and_then(|slot| slot.sa.as_mut()).ok_or(UpdateError::Missing)?;
        let before = sa.peer();
        change(sa);
        let peer = sa.peer();
        if peer != before {
            self.sad.update_pending(at, |pending| (pending.reported_peer, pending.moved) = (peer, None));
        }
        self.check_sequence_left(at);
        self.sad.rename(at)
    }

    /// The SAs (RFC 2367 3.1.10).
    pub fn sas(&self) -> impl Iterator<Item = SaView<'_, A>> {
        self.sad.iter().map(|(_, slot)| view(slot))
    }

    /// What was counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    //= RFC 4302 2.5/4
    //= RFC 4303 2.2/4
    pub(crate) fn check_sequence_left(&mut self, at: u16) {
        let Some(counter) = self.sad.get(at).and_then(|slot| slot.sa.as_ref()?.transform.counter()) else { return };
        let few = match counter.width() {
            ipsec_packet::SeqWidth::Bits32 => LOW_32,
            ipsec_packet::SeqWidth::Extended64 => LOW_64,
        };
        if counter.remaining() < few {
            self.sad.update_pending(at, |pending| {
                if pending.sequence == Report::No {
                    pending.sequence = Report::Due;
                }
            });
        }
    }

    /// What the policies say, counted where there was anything to look for.
    pub(crate) fn lookup(&mut self, direction: Direction, policy_direction: PolicyDirection, flow: &Flow) -> Verdict {
        if !self.spd.has_policies(policy_direction) {
            return Verdict::NoPolicy;
        }
        let (verdict, hit) = self.spd.lookup(policy_direction, flow);
        self.counters.add(direction, if hit { Counter::CacheHit } else { Counter::CacheMiss }, 1);
        verdict
    }

    /// What becomes of a packet that no policy speaks of.
    pub(crate) fn unmatched(&self) -> Result<(), DiscardReason> {
        match self.settings.unmatched {
            Unmatched::Discard => Err(DiscardReason::NoPolicy),
            Unmatched::Bypass => Ok(()),
        }
    }

    /// Counts a refusal, and keeps it for the log if it belongs there.
    pub(crate) fn refuse(&mut self, direction: Direction, now: Duration, reason: DiscardReason, seen: &PacketFacts) {
        self.counters.add(direction, reason.counter(), 1);
        if !reason.is_auditable() {
            return;
        }
        let PacketFacts { ends, flow_label, spi, sequence } = *seen;
        let (source, destination) = ends.unzip();
        if self.audits.is_full() {
            self.audits.pop_front();
            self.audits_lost = self.audits_lost.saturating_add(1);
        }
        // There is room: one was taken out if not.
        //= RFC 4303 3.4.4.1/2
        let _ = self.audits.push_back(Audit { at: now, reason, source, destination, flow_label, spi, sequence });
    }

    /// The next event that the RFCs ask to log (RFC 4301 9, RFC 4303 4).
    //= RFC 4303 4/1
    pub fn poll_audit(&mut self) -> Option<Audit> {
        self.audits.pop_front()
    }

    /// Audit events that were not polled in time.
    pub const fn audits_lost(&self) -> u64 {
        self.audits_lost
    }

    /// Lets time pass for SAs that are not used: limits are reached, reserved SPIs become free (RFC 4301 4.4.2.1). Packets do it for the SAs
    /// they use, so an idle SA never expires without. To be called at the time that [`poll_timeout`](Self::poll_timeout) names;
    /// events are to be polled afterwards.
    pub fn tick(&mut self, now: Duration) {
        let larval_lifetime = self.settings.larval_lifetime;
        for at in (0..).take(SAS) {
            // A clock that was set back does not keep an SPI reserved for longer.
            let is_over = |added: Duration| {
                added.saturating_add(larval_lifetime) <= now || now.saturating_add(larval_lifetime) <= added
            };
            if self.sad.get(at).is_some_and(|slot| slot.state == SaState::Larval && is_over(slot.usage.added)) {
                self.sad.remove(at);
            } else {
                self.sad.refresh(at, now);
            }
        }
    }

    /// When [`tick`](Self::tick) has something to do at the earliest; `None` when there is nothing to wait for. It changes when an SA is
    /// installed, used, updated or removed, and when an SPI is reserved.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let due = |slot: &crate::sad::Slot<A>| match (&slot.sa, slot.state) {
            (None, _) => Some(slot.usage.added.saturating_add(self.settings.larval_lifetime)),
            (Some(sa), SaState::Mature) => {
                [sa.lifetimes.soft.due(&slot.usage), sa.lifetimes.hard.due(&slot.usage)].into_iter().flatten().min()
            }
            (Some(sa), SaState::Dying) => sa.lifetimes.hard.due(&slot.usage),
            (Some(_), SaState::Larval | SaState::Dead) => None,
        };
        self.sad.iter().filter_map(|(_, slot)| due(slot)).min()
    }

    /// The next thing that whoever manages keys has to know (RFC 2367 3.1.6, 3.1.8). What is about an SA is kept with it until it is told or the SA
    /// is removed: a dead SA leaves the database when its [`Event::HardExpired`] is polled. Where its place is needed before,
    /// that event is kept, of eight such SAs at a time.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(wanted) = self.acquires.next_pending() {
            return Some(Event::Acquire(wanted));
        }
        if let Some(key) = self.sad.expired.pop_front() {
            return Some(Event::HardExpired(key));
        }
        if self.sad.with_pending == 0 {
            return None;
        }
        let (at, slot) = self.sad.iter().find(|(_, slot)| slot.pending.any())?;
        let (key, pending) = (slot.key, slot.pending);
        if pending.hard {
            self.sad.remove(at);
            return Some(Event::HardExpired(key));
        }
        if pending.soft {
            self.sad.update_pending(at, |pending| pending.soft = false);
            return Some(Event::SoftExpired(key));
        }
        if pending.sequence == Report::Due {
            self.sad.update_pending(at, |pending| pending.sequence = Report::Yes);
            return Some(Event::SequenceLow(key));
        }
        let moved = pending.moved.filter(|_| pending.has_moved());
        self.sad.update_pending(at, |pending| pending.reported_peer = pending.moved);
        moved.map(|(source, port)| Event::NatMapping { sa: key, source, port })
    }
}

/// What an audit event tells about a packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PacketFacts {
    pub(crate) ends: Option<(IpAddr, IpAddr)>,
    pub(crate) flow_label: u32,
    pub(crate) spi: Option<u32>,
    pub(crate) sequence: Option<u32>,
}

impl PacketFacts {
    /// What the header in front of a packet tells.
    pub(crate) fn of(packet: &[u8]) -> Self {
        let Ok(ip) = Ip::parse(packet) else { return Self::default() };
        let flow_label = if let Ip::V6(ip) = &ip { ip.header().flow_label() } else { 0 };
        Self { ends: Some((ip.source(), ip.destination())), flow_label, spi: None, sequence: None }
    }
}

fn view<A: Algorithms>(slot: &crate::sad::Slot<A>) -> SaView<'_, A> {
    SaView { key: slot.key, source: slot.source, state: slot.state, usage: &slot.usage, sa: slot.sa.as_ref() }
}
