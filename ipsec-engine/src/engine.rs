use core::net::IpAddr;
use core::time::Duration;

use esp_core::{IvSource, SealError};
use heapless::Deque;
use ipsec_packet::{Flow, Ip, PacketBuf, Selector, TooBig};

use crate::algorithms::Algorithms;
use crate::counters::{Counter, Counters};
use crate::disposition::{Disposition, Reason};
use crate::event::{Acquire, Audit, Event};
use crate::lifetime::Usage;
use crate::outbound::{Plan, Wrapping, mode_of, protect, serves};
use crate::policy::{Action, Bundle, Direction, Level, Mode, Policy, PolicyId, Protocol, Request};
use crate::sa::{Sa, SaKey, Way};
use crate::sad::{InstallError, ReserveError, SaState, Sad, Told};
use crate::spd::{Chosen, PolicyError, Rule, Spd, Verdict};

/// What the databases say where nothing else does.
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
    pub larval_life: Duration,
    /// Octets that the link carries; `None` where nobody is to be told that a packet is too big.
    pub link_mtu: Option<u16>,
    /// Our UDP port for ESP in UDP.
    pub nat_port: u16,
}

impl Settings {
    /// Packets without a policy are discarded, level `default` requires an SA.
    pub const STRICT: Self = Self {
        unmatched: Unmatched::Discard,
        default_level: DefaultLevel::Require,
        acquire_interval: Duration::from_secs(10),
        larval_life: Duration::from_secs(30),
        link_mtu: None,
        nat_port: 4500,
    };

    /// As the systems of setkey(8) behave: packets without a policy pass. Level `default` requires an SA all the same.
    pub const SETKEY: Self = Self { unmatched: Unmatched::Bypass, ..Self::STRICT };
}

/// What becomes of packets that no policy speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// They are discarded.
    Discard,
    /// They pass in clear.
    Bypass,
}

/// What level `default` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultLevel {
    /// [`Level::Use`].
    Use,
    /// [`Level::Require`].
    Require,
}

/// A gateway's or host's IPsec: both databases, and the two roads through them.
///
/// It holds up to `SAS` SAs and `POLICIES` policies, and remembers what the policies said about `FLOWS` flows. It never
/// allocates; how large it is, `size_of` says.
pub struct Engine<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize = 64> {
    pub(crate) settings: Settings,
    pub(crate) spd: Spd<POLICIES, FLOWS>,
    pub(crate) sad: Sad<A, SAS>,
    pub(crate) counters: Counters,
    compressor: Option<A::Compressor>,
    pub(crate) decompressor: Option<A::Decompressor>,
    identification: u16,
    audits: Deque<Audit, AUDITS>,
    audits_lost: u64,
}

/// How many audit events wait to be polled; of more, the oldest are lost and counted.
const AUDITS: usize = 16;

/// Numbers of an SA from which on another one is due: 2^16 before the last of 32 bits, 2^32 before that of 64.
const FEW_OF_32: u64 = 1 << 16;
const FEW_OF_64: u64 = 1 << 32;

/// The lowest request number that is given to policies of level `unique` (as in KAME, whose manual ones end below it).
const FIRST_UNIQUE: u32 = 0x4000;

/// An SA in the database, as it is to be shown.
#[derive(Debug)]
pub struct SaView<'a, A: Algorithms> {
    /// Its name.
    pub key: SaKey,
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

    /// Adds a policy behind those of its priority.
    ///
    /// # Errors
    /// [`PolicyError`]; nothing has changed.
    pub fn add_policy(&mut self, policy: Policy) -> Result<PolicyId, PolicyError> {
        self.spd.add(policy)
    }

    /// The policy with this selector and direction.
    pub fn find_policy(&self, direction: Direction, selector: &Selector) -> Option<PolicyId> {
        self.spd.find(direction, selector)
    }

    /// Takes a policy out.
    pub fn remove_policy(&mut self, id: PolicyId) -> Option<Policy> {
        self.spd.remove(id)
    }

    /// The policies, in the order in which they are looked at.
    pub fn policies(&self) -> impl Iterator<Item = (PolicyId, &Policy)> {
        self.spd.rules().iter().map(|rule| (rule.id, &rule.policy))
    }

    /// Puts an SA in. For the packets that leave, the newest mature SA is used, so a new one takes over as soon as it is
    /// in, while the old one still opens what is on its way (make before break).
    ///
    /// # Errors
    /// [`InstallError`], which gives the SA back; nothing has changed.
    #[allow(clippy::result_large_err)] // the SA is the caller's
    pub fn install(&mut self, sa: Sa<A>, now: Duration) -> Result<SaKey, InstallError<A>> {
        let key = sa.key();
        self.sad.install(sa, now).map(|_| key)
    }

    /// Reserves the SPI of an SA to come: what arrives by it is discarded as [`Reason::Larval`]. It is free again after
    /// [`Settings::larval_life`] unless an SA is installed.
    ///
    /// # Errors
    /// [`ReserveError`]; nothing has changed.
    pub fn reserve(&mut self, key: SaKey, source: IpAddr, now: Duration) -> Result<(), ReserveError> {
        self.sad.reserve(key, source, now)
    }

    /// Takes an SA out; `source` matters only where a CPI names an algorithm instead of an association. A larval SA goes,
    /// too, but there is nothing to give back.
    pub fn remove(&mut self, key: &SaKey, source: IpAddr) -> Option<Sa<A>> {
        let at = self.sad.find(key, source)?;
        self.sad.remove(at)?.sa
    }

    /// An SA, as it is to be shown.
    pub fn sa(&self, key: &SaKey, source: IpAddr) -> Option<SaView<'_, A>> {
        self.sad.get(self.sad.find(key, source)?).map(view)
    }

    /// An SA, to be changed: its counter or window moved on, its limits or encapsulation set anew.
    pub fn sa_mut(&mut self, key: &SaKey, source: IpAddr) -> Option<&mut Sa<A>> {
        let at = self.sad.find(key, source)?;
        self.sad.forget_choices();
        self.sad.get_mut(at)?.sa.as_mut()
    }

    /// The SAs.
    pub fn sas(&self) -> impl Iterator<Item = SaView<'_, A>> {
        self.sad.iter().map(|(_, slot)| view(slot))
    }

    /// What was counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Protects a packet that leaves, by the policies for [`Direction::Out`].
    ///
    /// The buffer must have room around the packet for what its policy adds; IPComp works in the tailroom, and sends
    /// uncompressed what has none.
    ///
    /// With anything but [`Disposition::Send`] and [`Disposition::Bypass`] the packet must not be sent. It is unchanged
    /// then, and no number is used, but for [`Reason::Tunnel`] (the inner hop limit) and [`Reason::Sign`] (headers that AH
    /// cannot cover) behind another transform.
    pub fn outbound(&mut self, now: Duration, packet: &mut PacketBuf<'_>, iv: &mut impl IvSource) -> Disposition {
        match self.try_outbound(now, packet, iv) {
            Ok(disposition) => {
                let counter = match disposition {
                    Disposition::Pending(_) => Counter::Pending,
                    Disposition::Bypass => Counter::Bypassed,
                    _ => Counter::Processed,
                };
                self.counters.add(Way::Out, counter, 1);
                disposition
            }
            Err(reason) => {
                self.refuse(Way::Out, now, reason, packet.data(), None);
                Disposition::Discard(reason)
            }
        }
    }

    fn try_outbound(
        &mut self,
        now: Duration,
        packet: &mut PacketBuf<'_>,
        iv: &mut impl IvSource,
    ) -> Result<Disposition, Reason> {
        let flow = Flow::read(packet.data())?;
        let at = match self.lookup(Way::Out, Direction::Out, &flow) {
            Verdict::Rule(at) => at,
            Verdict::Opaque => return Err(Reason::Opaque),
            Verdict::NoPolicy => return self.unmatched().map(|()| Disposition::Bypass),
        };
        let Some(&Rule { id, policy, .. }) = self.spd.rule(at) else { return Err(Reason::NoPolicy) };
        let bundle = match policy.action {
            Action::None | Action::Bypass | Action::Entrust => return Ok(Disposition::Bypass),
            Action::Discard => return Err(Reason::Policy),
            Action::Ipsec(bundle) => bundle,
        };
        let chosen = match self.choose(now, id, &bundle, &flow) {
            Ok(chosen) => chosen,
            Err(acquire) => {
                self.ask(now, at, acquire);
                return Ok(Disposition::Pending(acquire));
            }
        };
        // A bundle of transforms that are all optional, and none there.
        if chosen.iter().all(Option::is_none) {
            return Ok(Disposition::Bypass);
        }
        self.check(&bundle, &chosen, packet)?;
        let length = Ip::parse(packet.data())?.packet().len();
        packet.truncate(length);
        for (request, at) in bundle.iter().zip(chosen) {
            let Some(at) = at else { continue };
            let Some(slot) = self.sad.get_mut(at) else { return Err(Reason::NoSa) };
            let Some(sa) = &mut slot.sa else { return Err(Reason::Larval) };
            let mut wrapping = Wrapping {
                compressor: self.compressor.as_mut(),
                counters: &mut self.counters,
                identification: &mut self.identification,
            };
            let octets = protect(sa, mode_of(request.mode, sa.mode), &mut wrapping, packet, iv)?;
            slot.usage.charge(now, octets);
            self.look_at_counter(at);
            self.sad.refresh(at, now);
        }
        Ok(Disposition::Send)
    }

    /// The SAs that serve a bundle, or what has to be asked for, from the cache of flows or by search.
    #[allow(clippy::result_large_err)] // there is no heap
    fn choose(&mut self, now: Duration, id: PolicyId, bundle: &Bundle, flow: &Flow) -> Result<Chosen, Acquire> {
        let generation = self.sad.generation();
        let known = self.spd.cached(Direction::Out, flow).and_then(|cached| cached.chosen);
        if let Some((_, chosen)) = known.filter(|(then, _)| *then == generation) {
            chosen.iter().flatten().for_each(|&at| {
                self.sad.refresh(at, now);
            });
            if self.sad.generation() == generation {
                return Ok(chosen);
            }
        }
        (0..).take(SAS).for_each(|at| {
            self.sad.refresh(at, now);
        });
        let mut chosen = Chosen::default();
        // The packet's own ends, and behind a tunnel those of the tunnel.
        let mut ends = (flow.source, flow.destination);
        for (request, slot) in bundle.iter().zip(&mut chosen) {
            let request_id = request_id(id, request);
            *slot = self.sad.choose(|sa| serves(sa, request, request_id, ends));
            match slot.and_then(|at| self.sad.get(at)).and_then(|slot| slot.sa.as_ref()) {
                Some(sa) if mode_of(request.mode, sa.mode) != Mode::Transport => ends = (sa.source, sa.destination),
                Some(_) => {}
                None if self.is_optional(request) => {}
                None => return Err(acquire(id, request, request_id, flow, ends)),
            }
        }
        let generation = self.sad.generation();
        if let Some(cached) = self.spd.cached(Direction::Out, flow) {
            cached.chosen = Some((generation, chosen));
        }
        Ok(chosen)
    }

    /// Whether a packet may do without this transform.
    pub(crate) fn is_optional(&self, request: &Request) -> bool {
        match request.level {
            Level::Use => true,
            Level::Default => self.settings.default_level == DefaultLevel::Use,
            Level::Require | Level::Unique | Level::UniqueId(_) => false,
        }
    }

    /// Everything that can be refused, before anything is changed.
    fn check(&self, bundle: &Bundle, chosen: &Chosen, packet: &PacketBuf<'_>) -> Result<(), Reason> {
        let mut plan = Plan::of(packet.data())?;
        let mut mtu = self.settings.link_mtu;
        for (sa, mode) in self.through(bundle, chosen) {
            plan.through(sa, mode, packet.data())?;
            mtu = [mtu, sa.path_mtu].into_iter().flatten().min();
        }
        // An SA that serves two transforms needs two numbers.
        for at in chosen.iter().flatten() {
            let uses = chosen.iter().flatten().filter(|other| *other == at).count();
            let left = self.sad.get(*at).and_then(|slot| Some(slot.sa.as_ref()?.transform.counter()?.remaining()));
            if left.is_some_and(|left| left < u64::try_from(uses).unwrap_or(u64::MAX)) {
                return Err(SealError::SequenceExhausted.into());
            }
        }
        if let Some(mtu) = mtu.filter(|&mtu| plan.length > mtu.into()) {
            let fits = self.largest_inner(bundle, chosen, mtu, packet.data());
            let (may_be_fragmented, least) = match Ip::parse(packet.data())? {
                Ip::V4(ip) => (!ip.header().dont_fragment(), 68),
                // Nobody has to make smaller packets than any IPv6 link carries (RFC 8200 5): the outer one is fragmented.
                Ip::V6(ip) => (ip.packet().len() <= 1280, 1280),
            };
            if !may_be_fragmented {
                return Err(Reason::TooBig { mtu: fits.max(least) });
            }
        }
        Ok(plan.room_in(packet).map_err(ipsec_packet::IpError::from)?)
    }

    fn through<'s>(&'s self, bundle: &'s Bundle, chosen: &'s Chosen) -> impl Iterator<Item = (&'s Sa<A>, Mode)> + 's {
        bundle.iter().zip(chosen).filter_map(|(request, at)| {
            let sa = self.sad.get((*at)?)?.sa.as_ref()?;
            Some((sa, mode_of(request.mode, sa.mode)))
        })
    }

    /// The largest packet whose protected form has at most `mtu` octets: padding makes the sizes go in steps, so they are
    /// tried from above, and never more than a few.
    fn largest_inner(&self, bundle: &Bundle, chosen: &Chosen, mtu: u16, packet: &[u8]) -> u16 {
        let sealed = |inner: usize| {
            let mut plan = Plan::of(packet).ok()?;
            plan.length = inner;
            self.through(bundle, chosen).try_for_each(|(sa, mode)| plan.through(sa, mode, packet)).ok()?;
            Some(plan.length)
        };
        let mut inner = usize::from(mtu);
        for _ in 0..64 {
            match sealed(inner) {
                Some(length) => match length.checked_sub(mtu.into()) {
                    None | Some(0) => break,
                    Some(over) => inner = inner.saturating_sub(over.min(inner)),
                },
                None => return 0,
            }
        }
        // What was taken off may have been padding: up to a block and its trailer more may fit.
        let best = (inner..=inner.saturating_add(300)).take_while(|&inner| inner <= mtu.into());
        let best = best.filter(|&inner| sealed(inner).is_some_and(|length| length <= mtu.into())).last();
        best.and_then(|inner| u16::try_from(inner).ok()).unwrap_or(0)
    }

    /// Octets of the largest packet that leaves through a policy in one piece: `None` for a policy that protects nothing,
    /// or without an SA for it by now, or without a limit.
    ///
    /// `like` is a packet that the policy is for: in transport mode its headers count.
    pub fn policy_mtu(&mut self, now: Duration, like: &[u8]) -> Option<u16> {
        let flow = Flow::read(like).ok()?;
        let (Verdict::Rule(at), _) = self.spd.lookup(Direction::Out, &flow) else { return None };
        let &Rule { id, policy, .. } = self.spd.rule(at)?;
        let Action::Ipsec(bundle) = policy.action else { return None };
        let chosen = self.choose(now, id, &bundle, &flow).ok()?;
        let path = self.through(&bundle, &chosen).filter_map(|(sa, _)| sa.path_mtu).min();
        let mtu = [self.settings.link_mtu, path].into_iter().flatten().min()?;
        Some(self.largest_inner(&bundle, &chosen, mtu, like))
    }

    /// Takes in a router's report that a packet of one of our SAs was too big. It is not authentic (RFC 4301 8.2.1), so it
    /// only ever lowers the MTU of an SA, and not below what every link carries: 1280 octets for IPv6, 576 for IPv4.
    /// Says whether it did.
    pub fn path_mtu_report(&mut self, report: &TooBig) -> bool {
        let protocol = if report.protocol == ipsec_packet::IpProto::ESP { Protocol::Esp } else { Protocol::Ah };
        let key = SaKey { way: Way::Out, destination: report.destination, protocol, spi: report.spi.get() };
        let Some(sa) = self.sa_mut(&key, report.source).filter(|sa| sa.source == report.source) else { return false };
        let least = if report.destination.is_ipv4() { 576 } else { 1280 };
        let told = report.mtu.max(least);
        let lower = sa.path_mtu.is_none_or(|known| told < known);
        if lower {
            sa.path_mtu = Some(told);
        }
        lower
    }

    /// Asks for an SA, unless the policy asked a moment ago.
    fn ask(&mut self, now: Duration, at: u16, acquire: Acquire) {
        let interval = self.settings.acquire_interval;
        if let Some(rule) = self.spd.rules_mut().get_mut(usize::from(at))
            && rule.asked.is_none_or(|then| now >= then.saturating_add(interval))
        {
            rule.asked = Some(now);
            rule.wanted = Some(acquire);
        }
    }

    fn look_at_counter(&mut self, at: u16) {
        let Some(counter) = self.sad.get(at).and_then(|slot| slot.sa.as_ref()?.transform.counter()) else { return };
        let few = match counter.width() {
            ipsec_packet::SeqWidth::Bits32 => FEW_OF_32,
            ipsec_packet::SeqWidth::Extended64 => FEW_OF_64,
        };
        if counter.remaining() < few {
            self.sad.note(at, |notice| {
                if notice.sequence == Told::No {
                    notice.sequence = Told::Due;
                }
            });
        }
    }

    /// What the policies say, counted.
    pub(crate) fn lookup(&mut self, way: Way, direction: Direction, flow: &Flow) -> Verdict {
        let (verdict, hit) = self.spd.lookup(direction, flow);
        self.counters.add(way, if hit { Counter::CacheHit } else { Counter::CacheMiss }, 1);
        verdict
    }

    /// What becomes of a packet that no policy speaks of.
    pub(crate) fn unmatched(&self) -> Result<(), Reason> {
        match self.settings.unmatched {
            Unmatched::Discard => Err(Reason::NoPolicy),
            Unmatched::Bypass => Ok(()),
        }
    }

    /// Counts a refusal, and keeps it for the log if it belongs there.
    pub(crate) fn refuse(
        &mut self,
        way: Way,
        now: Duration,
        reason: Reason,
        packet: &[u8],
        numbers: Option<(u32, Option<u32>)>,
    ) {
        self.counters.add(way, reason.counter(), 1);
        if !reason.is_auditable() {
            return;
        }
        let ip = Ip::parse(packet).ok();
        let audit = Audit {
            at: now,
            reason,
            source: ip.map(|ip| ip.source()),
            destination: ip.map(|ip| ip.destination()),
            flow_label: ip.map_or(0, |ip| if let Ip::V6(ip) = ip { ip.header().flow_label() } else { 0 }),
            spi: numbers.map(|(spi, _)| spi),
            sequence: numbers.and_then(|(_, sequence)| sequence),
        };
        if self.audits.is_full() {
            self.audits.pop_front();
            self.audits_lost = self.audits_lost.saturating_add(1);
        }
        // There is room: one was taken out if not.
        let _ = self.audits.push_back(audit);
    }

    /// The next event that the RFCs ask to log.
    pub fn poll_audit(&mut self) -> Option<Audit> {
        self.audits.pop_front()
    }

    /// Audit events that were not polled in time.
    pub const fn audits_lost(&self) -> u64 {
        self.audits_lost
    }

    /// Lets time pass for SAs that are not used: limits are reached, reserved SPIs become free. Packets do it for the SAs
    /// they use.
    pub fn tick(&mut self, now: Duration) {
        let larval_life = self.settings.larval_life;
        for at in (0..).take(SAS) {
            let over = self.sad.get(at).is_some_and(|slot| {
                slot.state == SaState::Larval && now >= slot.usage.added.saturating_add(larval_life)
            });
            if over {
                self.sad.remove(at);
            } else {
                self.sad.refresh(at, now);
            }
        }
    }

    /// When [`tick`](Self::tick) has something to do at the earliest.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let due = |slot: &crate::sad::Slot<A>| match (&slot.sa, slot.state) {
            (None, _) => Some(slot.usage.added.saturating_add(self.settings.larval_life)),
            (Some(sa), SaState::Mature) => {
                [sa.lifetimes.soft.due(&slot.usage), sa.lifetimes.hard.due(&slot.usage)].into_iter().flatten().min()
            }
            (Some(sa), SaState::Dying) => sa.lifetimes.hard.due(&slot.usage),
            (Some(_), SaState::Larval | SaState::Dead) => None,
        };
        self.sad.iter().filter_map(|(_, slot)| due(slot)).min()
    }

    /// The next thing that whoever manages keys has to know. None is lost: they are kept with the SA or policy they are
    /// about. A dead SA leaves the database when its [`Event::HardExpired`] is polled, or its place is needed.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(wanted) = self.spd.rules_mut().iter_mut().find_map(|rule| rule.wanted.take()) {
            return Some(Event::Acquire(wanted));
        }
        if self.sad.notices == 0 {
            return None;
        }
        let (at, slot) = self.sad.iter().find(|(_, slot)| slot.notice.any())?;
        let (key, notice) = (slot.key, slot.notice);
        if notice.hard {
            self.sad.remove(at);
            return Some(Event::HardExpired(key));
        }
        if notice.soft {
            self.sad.note(at, |notice| notice.soft = false);
            return Some(Event::SoftExpired(key));
        }
        if notice.sequence == Told::Due {
            self.sad.note(at, |notice| notice.sequence = Told::Yes);
            return Some(Event::SequenceNearEnd(key));
        }
        self.sad.note(at, |notice| notice.moved = None);
        notice.moved.map(|(source, port)| Event::Moved { sa: key, source, port })
    }
}

fn view<A: Algorithms>(slot: &crate::sad::Slot<A>) -> SaView<'_, A> {
    SaView { key: slot.key, source: slot.source, state: slot.state, usage: &slot.usage, sa: slot.sa.as_ref() }
}

/// The request number that an SA must have; 0 for any.
pub(crate) fn request_id(id: PolicyId, request: &Request) -> u32 {
    match request.level {
        Level::UniqueId(id) => id.into(),
        Level::Unique => FIRST_UNIQUE.saturating_add(id.0),
        Level::Default | Level::Use | Level::Require => 0,
    }
}

fn acquire(id: PolicyId, request: &Request, request_id: u32, flow: &Flow, ends: (IpAddr, IpAddr)) -> Acquire {
    let (source, destination) = match &request.ends {
        Some(ends) => (ends.source.0, ends.destination.0),
        None => (Some(ends.0), Some(ends.1)),
    };
    Acquire { policy: id, request: *request, source, destination, request_id, flow: *flow }
}
