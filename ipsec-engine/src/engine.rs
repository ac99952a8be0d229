use core::net::IpAddr;
use core::time::Duration;

use ah_core::Profile;
use heapless::Deque;
use ipsec_packet::{Flow, Instant, ParsedIp, Selector};

use crate::acquire::AcquireTable;
use crate::algorithms::Algorithms;
use crate::audit::Audit;
use crate::counters::{Counter, Counters};
use crate::discard::DiscardReason;
use crate::policy_set::{PolicyError, Verdict};
use crate::sa::Sa;
use crate::sad::Sad;
use crate::sad_error::{InstallError, ReserveError, UpdateError};
use crate::shards::Membership;
use crate::slot::Report;
use crate::spd::{Lookup, Spd};
use crate::table::SlotNumber;
use crate::update::SaUpdate;
use ipsec_sa::{
    Action, DefaultLevel, Direction, Expiry, PolicyDirection, PolicyId, PolicyParams, SaEvent, SaId, SaState, Usage,
};

/// Configuration of an engine: defaults for packets without a policy and for unspecified values of policies (RFC 4301
/// section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Treatment of packets that match no policy. RFC 4301 section 4.4.1 discards them; the systems of setkey(8)
    /// bypass them.
    pub unmatched: Unmatched,
    /// Meaning of the level `default` of a template.
    pub default_level: DefaultLevel,
    /// Interval after which a policy repeats an acquire.
    pub acquire_interval: Duration,
    /// Lifetime of a larval SA.
    pub larval_lifetime: Duration,
    /// Lifetime of a path MTU that a router reported (RFC 4301 section 8.2.2).
    pub path_mtu_lifetime: Duration,
    /// Smallest path MTU that is accepted from an ICMP report, in octets, for IPv4 and IPv6 (RFC 4301 section 6.1.1).
    /// It bounds the effect of a forged report on an SA.
    pub min_path_mtu: [u16; 2],
    /// MTU of the link in octets; `None` if packets are never reported as too big.
    pub link_mtu: Option<u16>,
    /// UDP port at which ESP without an SA, and NAT-keepalive packets, are recognized. SAs have ports of their own.
    pub nat_port: u16,
    /// Interpretation of the ambiguous rules of AH by the peers, for SAs that are created from parameters.
    pub ah_profile: Profile,
}

impl Settings {
    /// Configuration of RFC 4301 section 4.4.1: packets without a policy are discarded, and level `default` requires
    /// an SA.
    pub const STRICT: Self = Self {
        unmatched: Unmatched::Discard,
        default_level: DefaultLevel::Require,
        acquire_interval: Duration::from_secs(10),
        larval_lifetime: Duration::from_secs(30),
        path_mtu_lifetime: Duration::from_secs(600),
        min_path_mtu: [576, 1280],
        link_mtu: None,
        nat_port: 4500,
        ah_profile: Profile::RFC,
    };

    /// Configuration of the systems of setkey(8), except that level `default` requires an SA: packets without a
    /// policy are bypassed.
    pub const SETKEY: Self = Self { unmatched: Unmatched::Bypass, ..Self::STRICT };
}

/// Treatment of packets that match no policy (RFC 4301 section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unmatched {
    /// Packets without a policy are discarded.
    Discard,
    /// Packets without a policy pass unprotected.
    Bypass,
}

/// IPsec of a host or security gateway: SPD and SAD, with outbound and inbound processing (RFC 4301 sections 4.4 and
/// 5).
///
/// An engine holds up to `SAS` SAs and `POLICIES` policies, and caches the SPD lookup of `FLOWS` flows. It never
/// allocates; its size is `size_of::<Engine<..>>()`.
///
/// All times are those of one monotonic clock, by which lifetimes end. A clock that is set back extends the lifetimes
/// of mature SAs, but neither that of a larval SA nor that of a path MTU, and suppresses no acquire.
pub struct Engine<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize = 64> {
    pub(crate) settings: Settings,
    pub(crate) spd: Spd<POLICIES, FLOWS>,
    pub(crate) sad: Sad<A, SAS>,
    pub(crate) counters: Counters,
    pub(crate) compressor: Option<A::Compressor>,
    pub(crate) decompressor: Option<A::Decompressor>,
    pub(crate) identification: u16,
    pub(crate) acquires: AcquireTable,
    pub(crate) membership: Membership,
    audits: Deque<Audit, AUDITS>,
    audits_lost: u64,
}

/// Number of audit events that wait to be polled. When more occur, the oldest are lost and counted.
const AUDITS: usize = 16;

/// Largest number of SAs that one call of [`Engine::tick`] expires.
const MAX_PER_TICK: usize = 32;

/// Remaining sequence numbers below which a new SA is requested: 2^16 of 32 bits, 2^32 of 64 bits.
const LOW_32: u64 = 1 << 16;
const LOW_64: u64 = 1 << 32;

/// Status of an SA in the SAD (SADB_GET, RFC 4301 section 4.4.2.1).
#[derive(Debug)]
#[non_exhaustive]
pub struct SaView<'a, A: Algorithms> {
    /// Identifier of the SA.
    pub key: SaId,
    /// Source address of the packets of the SA.
    pub source: IpAddr,
    /// State of the SA: larval, mature, dying or dead.
    pub state: SaState,
    /// Packets and octets that the SA has processed, and when.
    pub usage: &'a Usage,
    /// The SA itself; `None` while it is larval.
    pub sa: Option<&'a Sa<A>>,
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Creates an engine without SAs and policies. An engine without IPComp needs neither compressor nor
    /// decompressor.
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
            membership: Membership::ALONE,
            audits: Deque::new(),
            audits_lost: 0,
        }
    }

    /// Returns the configuration of the engine.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the configuration for changes. The flow cache is emptied.
    pub fn settings_mut(&mut self) -> &mut Settings {
        self.spd.forget_flows(); // what they chose may have been for another default level
        &mut self.settings
    }

    /// Sets the identification of the next outer IPv4 header. A random number after a restart avoids those that were
    /// used a moment before (RFC 6864 section 4). 0 is never used.
    pub const fn set_identification(&mut self, next: u16) {
        self.identification = if next == 0 { 1 } else { next };
    }

    /// Sets the secret key of the hash of the flow cache, 16 random octets as two numbers. Without a key, a host
    /// behind the gateway can choose flows that replace each other in the cache; the cache is emptied.
    pub fn set_hash_key(&mut self, key: [u64; 2]) {
        self.spd.set_hash_key(key);
    }

    /// Adds a policy after the others of its priority (SADB_X_SPDADD, RFC 4301 section 4.4.1).
    ///
    /// # Errors
    /// [`PolicyError`]; the engine is unchanged.
    pub fn add_policy(&mut self, policy: PolicyParams) -> Result<PolicyId, PolicyError> {
        self.spd.add(policy)
    }

    /// Reserves the number of a policy that is added later, for instance after its SAs have been negotiated.
    ///
    /// # Errors
    /// [`PolicyError`] of an engine whose policies are those of another one.
    #[cfg(feature = "alloc")]
    pub fn reserve_policy_id(&mut self) -> Result<PolicyId, PolicyError> {
        self.spd.reserve_id()
    }

    /// Adds a policy with a number of [`reserve_policy_id`](Self::reserve_policy_id). Its place is after the policies
    /// of its priority that have lower numbers. The number may be used again after the policy was removed.
    ///
    /// # Errors
    /// [`PolicyError`]; the engine is unchanged.
    #[cfg(feature = "alloc")]
    pub fn add_reserved_policy(&mut self, id: PolicyId, policy: PolicyParams) -> Result<(), PolicyError> {
        self.spd.add_reserved(id, policy)
    }

    /// Finds the policy with this selector and direction (RFC 4301 section 4.4.1).
    pub fn find_policy(&self, direction: PolicyDirection, selector: &Selector) -> Option<PolicyId> {
        self.spd.policies().find(direction, selector)
    }

    /// Returns whether a policy protects or discards the packets of a flow, or may do so, as their ports are not known
    /// (RFC 4301 section 4.4.1). Counters and remembered flows do not change.
    pub fn is_protected(&self, direction: PolicyDirection, flow: &Flow) -> bool {
        match self.spd.policies().search(direction, flow) {
            Verdict::Rule(at) => self.spd.policies().rule(at).is_none_or(|rule| rule.policy.action != Action::Bypass),
            Verdict::NoPolicy => false,
            Verdict::Opaque => true,
        }
    }

    /// Removes a policy and its pending acquires (RFC 4301 section 4.4.1).
    pub fn remove_policy(&mut self, id: PolicyId) -> Option<PolicyParams> {
        self.acquires.forget(id);
        self.spd.remove(id)
    }

    /// Iterates over the policies in the order of the SPD (RFC 4301 section 4.4.1).
    pub fn policies(&self) -> impl Iterator<Item = (PolicyId, &PolicyParams)> {
        self.spd.policies().rules().map(|rule| (rule.id, &rule.policy))
    }

    /// Installs an SA (SADB_ADD, RFC 2367 section 3.1.3). Outbound processing uses the newest mature SA. A new SA
    /// therefore takes over at once, and the old one still opens packets that are in flight (make before break).
    ///
    /// When a pair of SAs is rekeyed, the inbound SA is installed first, and the outbound one when the peer has its
    /// inbound SA: in quick mode, when the initiator has sent the third message and when the responder has received
    /// it (RFC 2409 section 5.5). An SA expires by time through [`tick`](Self::tick).
    ///
    /// # Errors
    /// [`InstallError`], which returns the SA; the engine is unchanged.
    #[allow(clippy::result_large_err)] // the SA is the caller's
    pub fn install(&mut self, sa: Sa<A>, now: Instant) -> Result<SaId, InstallError<A>> {
        let key = sa.key();
        if let Some(owner) = self.membership.other_owner(&key) {
            return Err(InstallError::OtherShard { sa, owner });
        }
        let at = self.sad.install(sa, now)?;
        self.check_sequence_left(at);
        Ok(key)
    }

    /// Reserves an SPI (SADB_GETSPI, RFC 2367 section 3.1.1). The SA is larval: packets with this SPI are discarded
    /// as [`DiscardReason::Larval`]. It expires after [`Settings::larval_lifetime`] unless an SA is installed.
    ///
    /// # Errors
    /// [`ReserveError`]; the engine is unchanged.
    pub fn reserve(&mut self, key: SaId, source: IpAddr, now: Instant) -> Result<(), ReserveError> {
        match self.membership.other_owner(&key) {
            Some(owner) => Err(ReserveError::OtherShard { owner }),
            None => self.sad.reserve(key, source, now),
        }
    }

    /// Removes an SA and returns its usage (SADB_DELETE, RFC 2367 section 3.1.4). `source` is compared only where a
    /// CPI identifies an algorithm instead of an association. The SA is dropped in its slot, which is wiped: none of
    /// its keys remain in the engine.
    pub fn remove(&mut self, key: &SaId, source: IpAddr) -> Option<Usage> {
        let at = self.sad.find(key, source)?;
        self.sad.remove(at)
    }

    /// Returns the status of an SA (SADB_GET, RFC 2367 section 3.1.5).
    pub fn sa(&self, key: &SaId, source: IpAddr) -> Option<SaView<'_, A>> {
        self.sad.get(self.sad.find(key, source)?).map(view)
    }

    /// Changes an SA in its slot: its lifetimes, the address of its peer, its counter or window (SADB_UPDATE, RFC
    /// 2367 section 3.1.2). Returns its identifier, which changes with the address of the peer. Usage and age stay.
    /// Its keys stay as well. To change keys, remove the SA and install a new one.
    ///
    /// # Errors
    /// [`UpdateError`]. Nothing has changed if the SA does not exist. An SA that gets the identifier of another one
    /// is removed and wiped.
    pub fn update(
        &mut self,
        key: &SaId,
        source: IpAddr,
        change: impl FnOnce(&mut SaUpdate<'_, A>),
    ) -> Result<SaId, UpdateError> {
        let at = self.sad.find(key, source).ok_or(UpdateError::Missing)?;
        let changed = self.sad.change(at, change)?;
        self.check_sequence_left(at);
        Ok(changed)
    }

    /// Iterates over the SAs (SADB_DUMP, RFC 2367 section 3.1.10).
    pub fn sas(&self) -> impl Iterator<Item = SaView<'_, A>> {
        self.sad.iter().map(|(_, slot)| view(slot))
    }

    /// Returns the counters of the engine.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    //= RFC 4302 2.5/4
    //# MUST: a new SA takes over before the counter would pass 2^32 - 1
    //= RFC 4303 2.2/4
    //# MUST: a new SA takes over before the counter would pass 2^32 - 1
    pub(crate) fn check_sequence_left(&mut self, at: SlotNumber) {
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

    /// Looks a flow up in the SPD, and counts hits and misses of the cache.
    pub(crate) fn lookup(&mut self, direction: Direction, policy_direction: PolicyDirection, flow: &Flow) -> Lookup {
        self.lookup_after(None, (direction, policy_direction), flow)
    }

    /// Looks a flow up like [`lookup`](Self::lookup), where it was looked up ahead.
    pub(crate) fn lookup_after(
        &mut self,
        ahead: Option<Lookup>,
        (direction, policy_direction): (Direction, PolicyDirection),
        flow: &Flow,
    ) -> Lookup {
        if !self.spd.policies().has_policies(policy_direction) {
            return Lookup { verdict: Verdict::NoPolicy, hit: false, place: None };
        }
        let lookup = self.spd.lookup(ahead, policy_direction, flow);
        self.counters.add(direction, if lookup.hit { Counter::CacheHit } else { Counter::CacheMiss }, 1);
        lookup
    }

    /// Applies the configured treatment of packets without a policy.
    pub(crate) fn unmatched(&self) -> Result<(), DiscardReason> {
        match self.settings.unmatched {
            Unmatched::Discard => Err(DiscardReason::NoPolicy),
            Unmatched::Bypass => Ok(()),
        }
    }

    /// Counts a discarded packet, and records an audit event if the RFCs specify one.
    pub(crate) fn refuse(&mut self, direction: Direction, now: Instant, reason: DiscardReason, seen: &PacketFacts) {
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
        // The queue has space: one event was removed if it was full.
        //= RFC 4303 3.4.4.1/2
        //# SHOULD: it is logged with SPI, time, addresses, number and flow label
        let _ = self.audits.push_back(Audit { at: now, reason, source, destination, flow_label, spi, sequence });
    }

    /// Returns the next audit event (RFC 4301 section 9, RFC 4303 section 4).
    //= RFC 4303 4/1
    //# MUST: ESP supports auditing where its system does
    pub fn poll_audit(&mut self) -> Option<Audit> {
        self.audits.pop_front()
    }

    /// Returns the number of audit events that were lost because they were not polled in time.
    pub const fn audits_lost(&self) -> u64 {
        self.audits_lost
    }

    /// Expires SAs that are not used, and larval SAs (RFC 4301 section 4.4.2.1). Packets check only the lifetimes of
    /// the SAs that they use. The caller calls this at the time that [`poll_timeout`](Self::poll_timeout) returns,
    /// and polls the events afterwards. One call expires at most 32 SAs; if more are due, `poll_timeout` returns a
    /// time that has passed.
    pub fn tick(&mut self, now: Instant) {
        for _ in 0..MAX_PER_TICK {
            let Some(at) = self.sad.overdue(now, self.settings.larval_lifetime) else { return };
            if self.sad.get(at).is_some_and(|slot| slot.state == SaState::Larval) {
                self.sad.remove(at);
            } else {
                self.sad.refresh(at, now);
            }
        }
    }

    /// Returns the earliest time at which [`tick`](Self::tick) has to be called; `None` if no SA has a time limit.
    /// The value changes when an SA is installed, used, updated or removed, and when an SPI is reserved.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sad.next_due(self.settings.larval_lifetime)
    }

    /// Returns the next event for the key management daemon (RFC 2367 sections 3.1.6 and 3.1.8). Events of an SA are
    /// kept until they are polled or the SA is removed: a dead SA leaves the SAD when its [`Expiry::Hard`] is
    /// polled. If its slot is needed before, that event is kept for up to eight such SAs.
    pub fn poll_event(&mut self) -> Option<SaEvent> {
        if let Some(wanted) = self.acquires.next_pending() {
            return Some(SaEvent::Acquire(wanted));
        }
        if let Some(key) = self.sad.expired.pop_front() {
            return Some(SaEvent::Expire(key, Expiry::Hard));
        }
        let (at, slot) = self.sad.next_pending()?;
        let (key, pending) = (slot.key, slot.pending);
        if pending.hard {
            self.sad.remove(at);
            return Some(SaEvent::Expire(key, Expiry::Hard));
        }
        if pending.soft {
            self.sad.update_pending(at, |pending| pending.soft = false);
            return Some(SaEvent::Expire(key, Expiry::Soft));
        }
        if pending.sequence == Report::Due {
            self.sad.update_pending(at, |pending| pending.sequence = Report::Yes);
            return Some(SaEvent::SequenceLow(key));
        }
        let moved = pending.moved.filter(|_| pending.has_new_peer());
        self.sad.update_pending(at, |pending| pending.reported_peer = pending.moved);
        moved.map(|(source, port)| SaEvent::NatMapping { sa: key, source, port })
    }
}

/// Fields of a packet that an audit event contains.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PacketFacts {
    pub(crate) ends: Option<(IpAddr, IpAddr)>,
    pub(crate) flow_label: u32,
    pub(crate) spi: Option<u32>,
    pub(crate) sequence: Option<u32>,
}

impl PacketFacts {
    /// Returns the fields of the outermost IP header.
    pub(crate) fn of(ip: &ParsedIp) -> Self {
        Self { ends: Some(ip.ends()), flow_label: ip.flow_label(), spi: None, sequence: None }
    }
}

fn view<A: Algorithms>(slot: &crate::slot::Slot<A>) -> SaView<'_, A> {
    SaView { key: slot.key, source: slot.source, state: slot.state, usage: &slot.usage, sa: slot.sa.as_ref() }
}
