//! Simple model of RFC 4301 and of the documentation of the engine: lists that are searched from the front, sets of
//! sequence numbers, and packets as nested layers instead of octets. It has no caches, no cryptography and no code of
//! the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipcomp_core::{Backoff, Compressor, Deflate};
use ipsec_engine::{
    Acquire, Action, Counter, Direction, Expiry, Level, Lifetimes, Limit, Mode, PolicyDirection, PolicyId,
    PolicyParams, Protocol, SaEvent, SaId, SaState, Template,
};
use ipsec_packet::{AddressRange, Detail, Flow, Instant, IpProto, PortRange, Upper};

use super::headers::{self, Header};

/// Packet as an IP header, extension headers or options, and a body.
#[derive(Clone, Debug)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub fragment_kind: Fragment,
    pub dont_fragment: bool,
    /// Headers between the IP header and the body; the fragment header of a fragment follows them.
    pub front: Vec<Header>,
    pub body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    Whole,
    First,
    Later,
}

#[derive(Clone, Debug)]
pub enum Body {
    /// Upper-layer payload: protocol, the detail that selectors compare, and its octets.
    Upper(IpProto, Detail, Vec<u8>),
    /// Body protected by ESP or AH.
    Sealed(Seal, Box<Body>),
    /// Compressed body: CPI and length in octets, IPComp header included.
    Compressed(u32, usize, Box<Body>),
    /// Inner packet of a tunnel.
    Inside(Box<Packet>),
    /// Destination options in front of the rest, protected together with it.
    Behind(Header, Box<Body>),
}

/// Header fields of an ESP or AH body, and whether it was modified.
#[derive(Clone, Debug)]
pub struct Seal {
    pub protocol: Protocol,
    pub spi: u32,
    /// Identifies the key that protects the body.
    pub key: u8,
    /// Full sequence number; `low` is its transmitted part.
    pub number: u64,
    pub low: u32,
    /// Length in octets from the IPsec header to the end.
    pub octets: usize,
    pub damage: Damage,
    /// Preceding headers covered by AH, which excludes fragment headers (RFC 4302 appendix A2).
    pub covered: Vec<Header>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    None,
    /// A bit was changed.
    Bits,
    /// The length is not valid for ESP.
    Length,
}

impl Packet {
    pub fn flow(&self) -> Flow {
        let (protocol, detail) = match &self.body {
            // RFC 8200 section 4.5: reassembly ignores the next header of a later fragment.
            _ if self.source.is_ipv6() && self.fragment_kind == Fragment::Later => (IpProto::FRAGMENT, Detail::Opaque),
            Body::Upper(protocol, detail, _) => (*protocol, *detail),
            Body::Sealed(Seal { protocol: Protocol::Esp, .. }, _) => (IpProto::ESP, Detail::None),
            Body::Sealed(..) => (IpProto::AH, Detail::None),
            Body::Compressed(..) => (IpProto::IPCOMP, Detail::None),
            Body::Inside(inner) if inner.source.is_ipv4() => (IpProto::IPV4, Detail::None),
            Body::Inside(_) => (IpProto::IPV6, Detail::None),
            Body::Behind(..) => panic!("{self:?}"),
        };
        Flow { source: self.source, destination: self.destination, protocol, detail }
    }

    pub fn header(&self) -> usize {
        let fixed = match (self.source.is_ipv4(), self.fragment_kind) {
            (true, _) => 20,
            (false, Fragment::Whole) => 40,
            (false, _) => 48,
        };
        fixed + headers::length(&self.front)
    }

    /// Returns the length of the headers before the IPsec header in transport mode. Destination options that no routing
    /// header follows come after it (RFC 4303 section 3.1.1).
    fn transport_mode_header_len(&self) -> usize {
        let options = self.front.iter().rev().take_while(|header| header.is_destination_options()).count();
        self.header() - headers::length(&self.front[self.front.len() - options..])
    }

    /// Moves the destination options at the end of the headers into the body.
    fn fold(mut self) -> Self {
        while let Some(options) = self.front.pop_if(|header| header.is_destination_options()) {
            self.body = Body::Behind(options, Box::new(self.body));
        }
        self
    }

    /// Moves destination options of the body back to the headers.
    fn unfold(mut self) -> Self {
        while let Body::Behind(options, body) = self.body {
            self.front.push(options);
            self.body = *body;
        }
        self
    }

    /// Returns the preceding headers that AH covers.
    fn covered(&self) -> Vec<Header> {
        self.front.iter().filter(|header| **header != Header::Atomic).cloned().collect()
    }

    /// Checks that no preceding header has another destination or an option that requires a discard.
    fn check_front(&self) -> Result<(), Counter> {
        let ah_follows = matches!(&self.body, Body::Sealed(Seal { protocol: Protocol::Ah, .. }, _));
        headers::check(&self.front, ah_follows)
    }

    pub fn octets(&self) -> usize {
        self.header() + self.body.octets()
    }

    /// Returns whether inner and outer addresses are equal (RFC 2003 section 3).
    fn is_recursive_tunnel(&self) -> bool {
        let Body::Inside(inner) = &self.body else { return false };
        self.fragment_kind == Fragment::Whole && (inner.source, inner.destination) == (self.source, self.destination)
    }

    /// Returns protocol and SPI or CPI of the outermost IPsec header.
    fn ipsec(&self) -> Option<(Protocol, u32)> {
        match &self.body {
            Body::Sealed(seal, _) => Some((seal.protocol, seal.spi)),
            Body::Compressed(cpi, ..) => Some((Protocol::Ipcomp, *cpi)),
            Body::Upper(..) | Body::Inside(_) | Body::Behind(..) => None,
        }
    }

    fn tunnel_mode(self, source: IpAddr, destination: IpAddr) -> Self {
        let dont_fragment = self.dont_fragment || self.source.is_ipv6();
        let (front, body) = (Vec::new(), Body::Inside(Box::new(self)));
        Self { source, destination, fragment_kind: Fragment::Whole, dont_fragment, front, body }
    }
}

impl Body {
    fn octets(&self) -> usize {
        match self {
            Self::Upper(.., octets) => octets.len(),
            Self::Sealed(seal, _) => seal.octets,
            Self::Compressed(_, octets, _) => *octets,
            Self::Inside(packet) => packet.octets(),
            Self::Behind(options, body) => headers::length(std::slice::from_ref(options)) + body.octets(),
        }
    }
}

/// Configuration of an SA.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub protocol: Protocol,
    pub spi: u32,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub mode: Mode,
    pub reqid: u32,
    pub extended: bool,
    /// Anti-replay window of 64 packets; without it no replay check is made.
    pub window: bool,
    /// ESP with AES-CBC if set, NULL encryption otherwise.
    pub encrypts: bool,
    pub key: u8,
    pub lifetimes: Lifetimes,
    /// Last sequence number used before installation.
    pub used: u64,
}

impl Spec {
    pub fn name(&self, direction: Direction) -> SaId {
        SaId { direction, destination: self.destination, protocol: self.protocol, spi: self.spi, peer_port: None }
    }

    /// Returns the fields that are equal in an SA and its successor.
    fn kind(&self) -> (Protocol, IpAddr, IpAddr, Mode, u32) {
        (self.protocol, self.source, self.destination, self.mode, self.reqid)
    }

    /// Returns the length of a protected payload. ESP: header, IV, payload, padding to the block size, trailer, ICV.
    /// AH: fixed part and ICV, equal for both IP versions.
    fn sealed(&self, payload: usize) -> usize {
        match (self.protocol, self.encrypts) {
            (Protocol::Esp, true) => 8 + 16 + (payload + 2).next_multiple_of(16) + 12,
            (Protocol::Esp, false) => 8 + (payload + 2).next_multiple_of(4) + 12,
            (Protocol::Ah, _) => 24 + payload,
            (Protocol::Ipcomp, _) => payload,
        }
    }
}

/// SA of the model. Only the ID of a larval SA is significant.
#[derive(Debug)]
pub struct Sa {
    pub spec: Spec,
    pub direction: Direction,
    pub larval: bool,
    pub added: Instant,
    pub first: Option<Instant>,
    pub last: Option<Instant>,
    pub octets: u64,
    pub packets: u64,
    /// Last sequence number used by an outbound SA; `received` are the verified ones of an inbound SA.
    pub used: u64,
    pub received: BTreeSet<u64>,
    backoff: Backoff,
    reported_soft: bool,
    reported_low: bool,
}

impl Sa {
    fn reached(&self, limit: &Limit, now: Instant) -> bool {
        limit.age.is_some_and(|age| now >= self.added + age)
            || limit.use_age.is_some_and(|age| self.first.is_some_and(|first| now >= first + age))
            || limit.octets.is_some_and(|most| self.octets >= most)
            || limit.packets.is_some_and(|most| self.packets >= most)
    }

    pub fn state(&self, now: Instant) -> SaState {
        match &self.spec.lifetimes {
            _ if self.larval => SaState::Larval,
            limits if self.reached(&limits.hard, now) => SaState::Dead,
            limits if self.reached(&limits.soft, now) => SaState::Dying,
            _ => SaState::Mature,
        }
    }

    fn charge(&mut self, now: Instant, octets: usize) {
        self.first = self.first.or(Some(now));
        self.last = Some(now);
        self.octets += octets as u64;
        self.packets += 1;
    }

    /// Returns the highest sequence number used or received.
    pub fn top(&self) -> u64 {
        self.used.max(self.received.last().copied().unwrap_or(0))
    }

    fn numbers_left(&self) -> u64 {
        (if self.spec.extended { u64::MAX } else { u32::MAX.into() }) - self.used
    }

    /// Verifies a packet in the order of RFC 4303 section 3.4.3: sequence number, replay check, then the ICV.
    fn open(&mut self, seal: &Seal, covered: &[Header]) -> Result<(), Counter> {
        let (esp, top) = (self.spec.protocol == Protocol::Esp, self.top());
        let bottom = if self.spec.window { top.saturating_sub(63).max(1) } else { top.saturating_sub(1 << 31) };
        let mut number = u64::from(seal.low);
        while self.spec.extended && number < bottom {
            number += 1 << 32;
        }
        if self.spec.window && number < bottom {
            return Err(if esp { Counter::EspTooOld } else { Counter::AhTooOld });
        }
        if self.spec.window && self.received.contains(&number) {
            return Err(if esp { Counter::EspDuplicate } else { Counter::AhDuplicate });
        }
        if seal.damage == Damage::Length && esp {
            return Err(Counter::EspUnaligned);
        }
        let headers_differ = !esp && seal.covered != covered;
        if seal.damage != Damage::None || headers_differ || number != seal.number || seal.key != self.spec.key {
            return Err(if esp { Counter::EspIcvMismatch } else { Counter::AhIcvMismatch });
        }
        self.received.insert(number);
        Ok(())
    }
}

/// Policy and its ID.
#[derive(Debug)]
pub struct Rule {
    pub id: PolicyId,
    pub policy: PolicyParams,
}

/// Acquire, the time of its template, and whether its event was reported.
#[derive(Debug)]
struct AcquireEntry {
    wanted: Acquire,
    at: Instant,
    reported: bool,
}

/// Maximum number of acquires that the engine remembers.
const MAX_ACQUIRES: usize = 8;

/// Maximum number of replaced dead SAs whose expire event is pending; the newest are kept.
const MAX_REPLACED: usize = 8;

/// Expected result of a packet.
#[derive(Clone, Debug)]
pub enum Outcome {
    Bypass,
    Send(Packet),
    /// Deliver the decapsulated packet.
    Deliver(Packet),
    Pending(Acquire),
    /// Reason of the discard, and whether a header had been decapsulated before.
    Discard(Counter, bool),
}

/// SA on which a packet was received.
struct AppliedSa {
    protocol: Protocol,
    mode: Mode,
    source: IpAddr,
    destination: IpAddr,
    reqid: u32,
}

/// Result of an SPD search.
enum Verdict {
    Policy(usize),
    Opaque,
    Nothing,
}

pub const ACQUIRE_INTERVAL: Duration = Duration::from_secs(10);
pub const LARVAL_LIFE: Duration = Duration::from_secs(30);
const MAX_HEADERS: usize = 8;

pub struct Oracle {
    pub discards_unmatched: bool,
    pub default_is_use: bool,
    pub link_mtu: Option<u16>,
    /// Policies in search order.
    pub rules: Vec<Rule>,
    /// SAs in order of installation.
    pub sas: Vec<Sa>,
    acquires: Vec<AcquireEntry>,
    /// Time of the last acquire of each policy.
    last_acquire: BTreeMap<PolicyId, Instant>,
    /// Dead SAs that were replaced before their expire event was reported.
    replaced: Vec<SaId>,
    /// Occurrences of cases that no result shows.
    pub seen: BTreeMap<&'static str, u64>,
    deflate: Box<Deflate>,
}

/// Unauthenticated headers after an IP header, known once the following ESP or AH header was decapsulated.
#[derive(Clone, Copy)]
enum Unauthenticated {
    Unknown,
    /// Number of unauthenticated headers at the front.
    Front(usize),
    /// Mutable options, which AH covers as zeros.
    ZerosOfAh,
    Nothing,
}

impl Oracle {
    pub fn new() -> Self {
        let (rules, sas, seen, deflate) = (Vec::new(), Vec::new(), BTreeMap::new(), Box::new(Deflate::new()));
        Self {
            discards_unmatched: true,
            default_is_use: false,
            link_mtu: None,
            replaced: Vec::new(),
            rules,
            sas,
            acquires: Vec::new(),
            last_acquire: BTreeMap::new(),
            seen,
            deflate,
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub fn exists(&self, policy: &PolicyParams) -> bool {
        self.rules.iter().any(|r| (r.policy.direction, r.policy.selector) == (policy.direction, policy.selector))
    }

    pub fn add_policy(&mut self, id: PolicyId, policy: PolicyParams) {
        self.rules.push(Rule { id, policy });
        self.rules.sort_by_key(|rule| rule.policy.priority); // stable sort: by age at equal priority
    }

    /// Finds the SA of an ID; the source is compared, too, if the CPI is well-known (RFC 3173 section 3.3).
    pub fn find(&self, key: SaId, source: IpAddr) -> Option<usize> {
        let shared = key.protocol == Protocol::Ipcomp && key.spi < 64;
        self.sas.iter().position(|sa| sa.spec.name(sa.direction) == key && (!shared || sa.spec.source == source))
    }

    /// Installs an SA and returns whether it was accepted: an SA of the same ID is replaced only if it is larval or
    /// dead.
    pub fn install(&mut self, now: Instant, spec: Spec, direction: Direction, larval: bool) -> bool {
        if let Some(at) = self.find(spec.name(direction), spec.source) {
            if larval || matches!(self.sas[at].state(now), SaState::Mature | SaState::Dying) {
                return false;
            }
            let old = self.sas.remove(at);
            if !old.larval {
                self.replaced.push(old.spec.name(old.direction));
                self.replaced = self.replaced.split_off(self.replaced.len().saturating_sub(MAX_REPLACED));
            }
        }
        self.sas.push(Sa {
            spec,
            direction,
            larval,
            added: now,
            first: None,
            last: None,
            octets: 0,
            packets: 0,
            used: if direction == Direction::Outbound { spec.used } else { 0 },
            received: BTreeSet::new(),
            backoff: Backoff::new(),
            reported_soft: false,
            reported_low: false,
        });
        true
    }

    pub fn tick(&mut self, now: Instant) {
        self.sas.retain(|sa| !sa.larval || now < sa.added + LARVAL_LIFE);
    }

    /// Returns the time of the next state change that time alone causes.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let due = |sa: &Sa, limit: &Limit| {
            [limit.age.map(|age| sa.added + age), limit.use_age.zip(sa.first).map(|(a, f)| f + a)]
        };
        let changes = self.sas.iter().flat_map(|sa| match sa.state(now) {
            SaState::Larval => vec![Some(sa.added + LARVAL_LIFE)],
            SaState::Mature => [due(sa, &sa.spec.lifetimes.soft), due(sa, &sa.spec.lifetimes.hard)].concat(),
            SaState::Dying => due(sa, &sa.spec.lifetimes.hard).to_vec(),
            SaState::Dead => vec![],
        });
        changes.flatten().min()
    }

    /// Requests an SA, unless the same was requested within `ACQUIRE_INTERVAL`.
    fn acquire(&mut self, now: Instant, wanted: Acquire) {
        let rules = &self.rules;
        self.acquires.retain(|entry| rules.iter().any(|rule| rule.id == entry.wanted.policy));
        let same = |a: &Acquire, b: &Acquire| {
            (a.policy, a.template, a.source, a.destination) == (b.policy, b.template, b.source, b.destination)
        };
        let old = |at: Instant| now >= at + ACQUIRE_INTERVAL;
        let place = match self.acquires.iter().position(|entry| same(&entry.wanted, &wanted)) {
            Some(at) if old(self.acquires[at].at) => at,
            Some(_) => return,
            None if self.acquires.len() < MAX_ACQUIRES => {
                self.acquires.push(AcquireEntry { wanted, at: now, reported: false });
                self.acquires.len() - 1
            }
            None => match self.replaceable(now, &wanted) {
                Some(at) => at,
                None => return,
            },
        };
        self.acquires[place] = AcquireEntry { wanted, at: now, reported: false };
        self.last_acquire.insert(wanted.policy, now);
    }

    /// Returns the reported acquire to replace: the oldest whose interval has passed; for a policy without an acquire
    /// within the interval, the oldest of the policy with most acquires; otherwise the oldest of the source with at
    /// least two acquires more in the same policy.
    fn replaceable(&mut self, now: Instant, wanted: &Acquire) -> Option<usize> {
        let reported: Vec<usize> = (0..self.acquires.len()).filter(|&at| self.acquires[at].reported).collect();
        let oldest = |of: Vec<usize>| of.into_iter().min_by_key(|&at| self.acquires[at].at);
        let old: Vec<_> =
            reported.iter().copied().filter(|&at| now >= self.acquires[at].at + ACQUIRE_INTERVAL).collect();
        if !old.is_empty() {
            return oldest(old);
        }
        let of_policy = |policy| self.acquires.iter().filter(|entry| entry.wanted.policy == policy).count();
        let last = self.last_acquire.get(&wanted.policy);
        if last.is_none_or(|&at| now >= at + ACQUIRE_INTERVAL) {
            let most = reported.iter().map(|&at| of_policy(self.acquires[at].wanted.policy)).max()?;
            let heaviest =
                reported.iter().copied().filter(|&at| of_policy(self.acquires[at].wanted.policy) == most).collect();
            let found = oldest(heaviest);
            self.note("acquire replaced one of another policy");
            return found;
        }
        let of_source = |source| {
            let own = self.acquires.iter().filter(|entry| entry.wanted.policy == wanted.policy);
            own.filter(|entry| entry.wanted.flow.source == source).count()
        };
        let own = of_source(wanted.flow.source);
        let others: Vec<_> = reported
            .iter()
            .copied()
            .filter(|&at| self.acquires[at].wanted.policy == wanted.policy)
            .filter(|&at| now >= self.acquires[at].at + ACQUIRE_INTERVAL / MAX_ACQUIRES as u32)
            .filter(|&at| of_source(self.acquires[at].wanted.flow.source) >= own + 2)
            .collect();
        let most = others.iter().map(|&at| of_source(self.acquires[at].wanted.flow.source)).max()?;
        oldest(others.into_iter().filter(|&at| of_source(self.acquires[at].wanted.flow.source) == most).collect())
    }

    /// Returns the pending events, each once.
    pub fn events(&mut self, now: Instant) -> Vec<SaEvent> {
        let rules = &self.rules;
        self.acquires.retain(|entry| rules.iter().any(|rule| rule.id == entry.wanted.policy));
        let unreported = self.acquires.iter_mut().filter(|entry| !entry.reported);
        let mut events: Vec<_> = unreported
            .map(|entry| {
                entry.reported = true;
                SaEvent::Acquire(entry.wanted)
            })
            .collect();
        events.extend(self.replaced.drain(..).map(|sa| SaEvent::Expire(sa, Expiry::Hard)));
        for sa in &mut self.sas {
            let name = sa.spec.name(sa.direction);
            match sa.state(now) {
                SaState::Dead => {
                    events.push(SaEvent::Expire(name, Expiry::Hard));
                    continue;
                }
                SaState::Dying if !sa.reported_soft => {
                    sa.reported_soft = true;
                    events.push(SaEvent::Expire(name, Expiry::Soft));
                }
                _ => {}
            }
            // The event depends on the number of packets sent (RFC 4303 section 3.3.3).
            let few = if sa.spec.extended { 1 << 32 } else { 1 << 16 };
            if sa.direction == Direction::Outbound && sa.spec.protocol != Protocol::Ipcomp && !sa.reported_low {
                sa.reported_low = sa.numbers_left() < few;
                events.extend(sa.reported_low.then_some(SaEvent::SequenceLow(name)));
            }
        }
        self.sas.retain(|sa| sa.state(now) != SaState::Dead);
        events
    }

    fn search(&self, direction: PolicyDirection, flow: &Flow) -> Verdict {
        for (at, Rule { policy, .. }) in self.rules.iter().enumerate().filter(|(_, r)| r.policy.direction == direction)
        {
            if !is_in(flow.source, policy.selector.source) || !is_in(flow.destination, policy.selector.destination) {
                continue;
            }
            match upper_matches(policy.selector.upper, flow) {
                Some(true) => return Verdict::Policy(at),
                // A fragment that may match a policy other than BYPASS is discarded.
                None if !passes(&policy.action) => return Verdict::Opaque,
                Some(false) | None => {}
            }
        }
        Verdict::Nothing
    }

    fn is_optional(&self, template: &Template) -> bool {
        template.level == Level::Use || template.level == Level::Default && self.default_is_use
    }

    fn unmatched(&self, passes: Outcome) -> Outcome {
        if self.discards_unmatched { Outcome::Discard(Counter::NoPolicy, false) } else { passes }
    }

    /// Models outbound processing (RFC 4301 section 5.1). `octets` are those of the packet; `wire` is the packet that
    /// the engine sent, which is inspected only to see whether ciphertext was compressed.
    pub fn outbound(&mut self, now: Instant, packet: &Packet, octets: &[u8], wire: &[u8]) -> Outcome {
        let flow = packet.flow();
        let at = match self.search(PolicyDirection::Out, &flow) {
            Verdict::Policy(at) => at,
            Verdict::Opaque => return Outcome::Discard(Counter::Opaque, false),
            Verdict::Nothing => return self.unmatched(Outcome::Bypass),
        };
        let bundle = match self.rules[at].policy.action {
            Action::Discard => return Outcome::Discard(Counter::Policy, false),
            Action::Bypass => return Outcome::Bypass,
            Action::Protect(bundle) => bundle,
        };
        let mut chosen = Vec::new();
        let mut ends = (flow.source, flow.destination);
        for template in bundle.iter() {
            let reqid = reqid(self.rules[at].id, template);
            match self.choose(now, template, reqid, ends) {
                Some((sa, mode)) => {
                    if mode == Mode::Tunnel {
                        ends = (self.sas[sa].spec.source, self.sas[sa].spec.destination);
                    }
                    chosen.push((sa, mode));
                }
                None if self.is_optional(template) => {}
                None => {
                    let (source, destination) = match template.ends {
                        Some(named) => (named.source.0, named.destination.0),
                        None => (Some(ends.0), Some(ends.1)),
                    };
                    let policy = self.rules[at].id;
                    let acquire = Acquire { policy, template: *template, source, destination, reqid, flow };
                    self.acquire(now, acquire);
                    return Outcome::Pending(acquire);
                }
            }
        }
        if chosen.is_empty() {
            return Outcome::Bypass;
        }
        let too_long = match self.check_outbound(packet, &chosen) {
            Ok(too_long) => too_long,
            Err(why) => return Outcome::Discard(why, false),
        };
        for &(at, _) in &chosen {
            if self.sas[at].state(now) == SaState::Dying {
                self.note("sent by a dying SA");
            } else if self.sas[..at]
                .iter()
                .any(|sa| sa.direction == Direction::Outbound && sa.spec.kind() == self.sas[at].spec.kind())
            {
                self.note("sent by the newer of two SAs");
            }
        }
        if chosen.len() < bundle.iter().count() {
            self.note("sent without an optional template");
        }
        let mut packet = packet.clone();
        for (n, &(at, mode)) in chosen.iter().enumerate() {
            let known = (n == 0).then_some(octets);
            packet = self.protect(now, at, mode, packet, known, wire);
            // A fragmentable packet that is too long for the link is fragmented after encapsulation.
            packet.dont_fragment &= !(too_long && mode == Mode::Tunnel);
        }
        Outcome::Send(packet)
    }

    /// Returns the newest mature SA that matches a template, or else the newest dying one, and its mode for the packet.
    fn choose(&self, now: Instant, template: &Template, reqid: u32, ends: (IpAddr, IpAddr)) -> Option<(usize, Mode)> {
        let newest = |wanted: SaState| {
            let found = self.sas.iter().rposition(|sa| {
                sa.direction == Direction::Outbound && sa.state(now) == wanted && {
                    let spec = &sa.spec;
                    let mode = common_mode(template.mode, spec.mode);
                    let named = template.ends.map(|ends| (ends.source.0, ends.destination.0));
                    // Named endpoints apply in every mode; in transport mode the packet addresses must match as well.
                    let is_end = |named: Option<IpAddr>, own, of_sa| match (named, mode) {
                        (Some(named), _) if named != of_sa => false,
                        (_, Some(Mode::Tunnel)) => true,
                        (_, _) => own == of_sa,
                    };
                    spec.protocol == template.protocol
                        && mode.is_some()
                        && is_end(named.and_then(|named| named.0), ends.0, spec.source)
                        && is_end(named.and_then(|named| named.1), ends.1, spec.destination)
                        && (mode != Some(Mode::Tunnel) || named.is_some())
                        && (reqid == 0 || reqid == spec.reqid)
                }
            });
            found.and_then(|at| Some((at, common_mode(template.mode, self.sas[at].spec.mode)?)))
        };
        newest(SaState::Mature).or_else(|| newest(SaState::Dying))
    }

    /// Checks the packet and all chosen SAs before any change, and returns whether the result exceeds the link MTU.
    fn check_outbound(&self, packet: &Packet, chosen: &[(usize, Mode)]) -> Result<bool, Counter> {
        let (mut length, mut header) = (packet.octets(), packet.transport_mode_header_len());
        let mut fragment = packet.fragment_kind != Fragment::Whole;
        for (n, &(at, mode)) in chosen.iter().enumerate() {
            let Sa { spec, .. } = &self.sas[at];
            let untouched = chosen[..n]
                .iter()
                .all(|(at, mode)| (self.sas[*at].spec.protocol, *mode) == (Protocol::Ipcomp, Mode::Transport));
            if mode == Mode::Transport && spec.mode == Mode::Any && untouched && packet.is_recursive_tunnel() {
                return Err(Counter::Inner);
            }
            if mode == Mode::Transport && fragment {
                return Err(Counter::Fragment);
            }
            let before = chosen[..n].iter().filter(|(other, _)| *other == at).count() as u64;
            if spec.protocol != Protocol::Ipcomp && self.sas[at].numbers_left() <= before {
                return Err(Counter::SequenceExhausted);
            }
            let outer = if spec.source.is_ipv4() { 20 } else { 40 };
            match (mode, spec.protocol) {
                (Mode::Tunnel, _) => (length, header, fragment) = (outer + spec.sealed(length), outer, false),
                _ => length = header + spec.sealed(length - header),
            }
        }
        // A fragmentable IPv4 packet is fragmented after encapsulation; a sender need not reduce IPv6 packets below
        // 1280 octets.
        let may_not = packet.source.is_ipv4() && packet.dont_fragment || packet.octets() > 1280;
        let too_long = self.link_mtu.is_some_and(|mtu| length > mtu.into());
        if too_long && may_not { Err(Counter::TooBig) } else { Ok(too_long) }
    }

    fn protect(
        &mut self,
        now: Instant,
        at: usize,
        mode: Mode,
        packet: Packet,
        known: Option<&[u8]>,
        wire: &[u8],
    ) -> Packet {
        let Spec { source, destination, .. } = self.sas[at].spec;
        let header = if mode == Mode::Tunnel { 0 } else { packet.transport_mode_header_len() };
        let mut packet = if mode == Mode::Tunnel { packet.tunnel_mode(source, destination) } else { packet.fold() };
        let (payload, whole) = (packet.body.octets(), packet.octets());
        let sa = &mut self.sas[at];
        let spec = sa.spec;
        if spec.protocol == Protocol::Ipcomp {
            sa.charge(now, payload);
            // RFC 3173 section 2.2 permits a threshold below which no compression is tried: 90 octets. The codec and
            // its back-off are not part of the engine.
            if payload < 90 || !sa.backoff.try_next() {
                return packet.unfold();
            }
            let compressed = match known {
                _ if matches!(packet.body, Body::Compressed(..)) => None,
                Some(octets) => self.deflate.compress(&octets[header..], &mut vec![0; payload - 5]).map(|len| len + 4),
                // The size of the compressed payload does not matter here.
                None if wire[headers::next_header_at(&packet.front, packet.source.is_ipv6())] == IpProto::IPCOMP.0 => {
                    Some(payload)
                }
                None => None,
            };
            sa.backoff.record(compressed.is_some());
            if let Some(octets) = compressed {
                self.note("compressed");
                packet.body = Body::Compressed(spec.spi, octets, Box::new(packet.body));
            }
            return packet.unfold();
        }
        sa.used += 1;
        // RFC 4301 section 4.4.2.1: counted are the octets to which the algorithm is applied; AH covers the preceding
        // headers as well.
        sa.charge(now, if spec.protocol == Protocol::Ah { whole } else { payload });
        let seal = Seal {
            protocol: spec.protocol,
            spi: spec.spi,
            key: spec.key,
            number: sa.used,
            low: sa.used as u32,
            octets: spec.sealed(payload),
            damage: Damage::None,
            covered: packet.covered(),
        };
        packet.body = Body::Sealed(seal, Box::new(packet.body));
        packet
    }

    /// Models inbound processing (RFC 4301 section 5.2): decapsulates all IPsec headers, then compares the rest with
    /// the policies.
    pub fn inbound(&mut self, now: Instant, packet: &Packet) -> Outcome {
        let mut deferred_usage = Vec::new();
        let outcome = self.open(now, packet, &mut deferred_usage);
        if matches!(outcome, Outcome::Deliver(_)) {
            deferred_usage.into_iter().for_each(|(at, octets): (usize, usize)| self.sas[at].charge(now, octets));
        }
        outcome
    }

    /// Decapsulates a packet and checks policies. `deferred_usage` collects the usage of IPComp SAs outside ESP and
    /// AH, which is counted only if the packet is delivered.
    fn open(&mut self, now: Instant, packet: &Packet, deferred_usage: &mut Vec<(usize, usize)>) -> Outcome {
        let (mut left, mut applied, mut at_outer_header) = (packet.clone(), Vec::new(), true);
        let mut unauthenticated = Unauthenticated::Unknown;
        // Numbers of outer SAs that policies for packets between the gateways may account for (nested SAs, RFC 4301
        // section 5.2).
        let mut outer_counts = vec![0];
        let mut without_mode = false;
        let discard = |why, applied: &Vec<AppliedSa>| Outcome::Discard(why, !applied.is_empty());
        loop {
            let at = match left.ipsec() {
                Some(_) if left.fragment_kind != Fragment::Whole => {
                    match at_outer_header && self.is_for_another_host(&left, &applied) {
                        true => break,
                        false => return discard(Counter::Fragment, &applied),
                    }
                }
                Some((protocol, spi)) => {
                    let key = SaId::inbound(left.destination, protocol, spi);
                    match self.find(key, left.source) {
                        Some(at) => at,
                        // IPsec for another host: from a tunnel, or in clear if no policy requires protection.
                        None if at_outer_header && self.is_for_another_host(&left, &applied) => {
                            self.note("IPsec packet of another host");
                            break;
                        }
                        None => return discard(Counter::NoSa, &applied),
                    }
                }
                None => match self.uncompressed_tunnel(now, &left) {
                    Some(at) => at,
                    None => break,
                },
            };
            let (outer, deep) = ((left.source, left.destination), applied.len() >= MAX_HEADERS);
            let plain_tunnel = left.ipsec().is_none();
            if plain_tunnel {
                self.note("uncompressed packet of an IPComp tunnel");
            }
            let checked = left.check_front();
            let sa = &mut self.sas[at];
            let opened = match sa.state(now) {
                SaState::Larval => Err(Counter::Larval),
                SaState::Dead => Err(Counter::Expired),
                _ if deep => Err(Counter::TooManyHeaders),
                _ if sa.spec.source != outer.0 && !sa.spec.source.is_unspecified() => Err(Counter::SourceMismatch),
                _ => checked.and_then(|()| match &left.body {
                    Body::Sealed(seal, _) => sa.open(seal, &left.covered()),
                    _ => Ok(()),
                }),
            };
            let spec = sa.spec;
            let bare = applied.iter().all(|applied| applied.protocol == Protocol::Ipcomp);
            let opened = opened.and_then(|()| match &left.body {
                Body::Compressed(_, _, inner) if bare => {
                    self.may_pass_decompressed(&spec, inner, &left, &applied, &outer_counts)
                }
                _ => Ok(()),
            });
            let sa = &mut self.sas[at];
            if let Err(why) = opened {
                return discard(why, &applied);
            }
            let protocol = sa.spec.protocol;
            if let Body::Sealed(_, inner) | Body::Compressed(_, _, inner) = left.body {
                left.body = *inner;
            }
            if protocol == Protocol::Ah {
                // RFC 4302 appendix A2: fragment headers, which AH does not cover, are removed.
                left.front = left.covered();
            }
            let above_32_bits = sa.spec.extended && sa.top() > u32::MAX.into();
            let octets = if sa.spec.protocol == Protocol::Ah { left.octets() } else { left.body.octets() };
            if sa.spec.protocol == Protocol::Ipcomp
                && applied.iter().all(|applied| applied.protocol == Protocol::Ipcomp)
            {
                deferred_usage.push((at, octets));
            } else {
                sa.charge(now, octets);
            }
            let Spec { protocol, reqid, mode, .. } = sa.spec;
            if above_32_bits {
                self.note("extended sequence number above 32 bits");
            }
            let bare_tunnel = plain_tunnel && protocol == Protocol::Ipcomp;
            let mode = match (mode, &left.body) {
                (Mode::Tunnel, Body::Inside(_)) => Mode::Tunnel,
                (Mode::Any, Body::Inside(_)) if bare_tunnel => Mode::Tunnel,
                (Mode::Any, Body::Inside(inner)) if self.has_tunnel_template(protocol, outer, inner) => Mode::Tunnel,
                (Mode::Tunnel, _) => return Outcome::Discard(Counter::Inner, true),
                _ => Mode::Transport,
            };
            without_mode = self.sas[at].spec.mode == Mode::Any && mode == Mode::Transport;
            applied.push(AppliedSa { protocol, mode, source: outer.0, destination: outer.1, reqid });
            at_outer_header = mode == Mode::Tunnel;
            unauthenticated = match (mode, protocol, unauthenticated) {
                (Mode::Tunnel, ..) if applied.iter().any(|applied| applied.protocol != Protocol::Ipcomp) => {
                    Unauthenticated::Nothing
                }
                (Mode::Tunnel, ..) => Unauthenticated::Unknown,
                (_, Protocol::Ah, Unauthenticated::Unknown | Unauthenticated::Front(_)) => Unauthenticated::ZerosOfAh,
                (_, Protocol::Esp, Unauthenticated::Unknown) => Unauthenticated::Front(left.front.len()),
                _ => unauthenticated,
            };
            left = left.unfold();
            if at_outer_header && let Body::Inside(inner) = left.body {
                left = *inner;
                if self.matches_outer_policy(now, &left, &applied, &outer_counts) {
                    self.note("nested tunnels of two policies");
                    outer_counts.push(applied.len());
                }
            }
        }
        if without_mode && left.is_recursive_tunnel() {
            return Outcome::Discard(Counter::Inner, true);
        }
        let opened = !applied.is_empty();
        let from_tunnel = outer_counts.iter().all(|&n| applied[n..].iter().any(|applied| applied.mode == Mode::Tunnel));
        let flow = left.flow();
        match unauthenticated {
            Unauthenticated::Front(count) => {
                let unauthenticated: Vec<_> = left.front.drain(..count).collect();
                left.front.splice(..0, headers::removed(&unauthenticated));
            }
            Unauthenticated::ZerosOfAh => left.front = headers::without_mutable_options(&left.front),
            Unauthenticated::Unknown | Unauthenticated::Nothing => {}
        }
        let accepted = if opened { Outcome::Deliver(left) } else { Outcome::Bypass };
        let refused = |why| Outcome::Discard(why, opened);
        // Inbound and forward policies must both accept the packet, in this order.
        let verdicts = [PolicyDirection::In, PolicyDirection::Forward].map(|direction| self.search(direction, &flow));
        let mut accepting = 0;
        for verdict in &verdicts {
            let rule = match verdict {
                Verdict::Opaque => return refused(Counter::Opaque),
                Verdict::Nothing => continue,
                Verdict::Policy(at) => &self.rules[*at],
            };
            match rule.policy.action {
                Action::Discard => return refused(Counter::Policy),
                Action::Protect(_) if self.matches_policy(rule, &applied, &outer_counts) => accepting += 1,
                Action::Protect(_) if !opened => return refused(Counter::Cleartext),
                Action::Protect(_) => return refused(Counter::SaMismatch),
                Action::Bypass => {}
            }
        }
        let no_policy = verdicts.iter().all(|verdict| matches!(verdict, Verdict::Nothing));
        match no_policy {
            true if from_tunnel || self.discards_unmatched => refused(Counter::NoPolicy),
            // A packet from a tunnel must match at least one PROTECT policy.
            false if from_tunnel && accepting == 0 => refused(Counter::SaMismatch),
            _ => accepted,
        }
    }

    /// Checks whether some policy may accept the packet inside IPComp that is not authenticated, before it is
    /// decompressed.
    fn may_pass_decompressed(
        &self,
        spec: &Spec,
        inner: &Body,
        packet: &Packet,
        applied: &[AppliedSa],
        outer_counts: &[usize],
    ) -> Result<(), Counter> {
        let tunnel = matches!((spec.mode, inner), (Mode::Tunnel, _) | (Mode::Any, Body::Inside(_)));
        let transport = spec.mode != Mode::Tunnel;
        let of_mode = |mode| AppliedSa {
            protocol: Protocol::Ipcomp,
            mode,
            source: packet.source,
            destination: packet.destination,
            reqid: spec.reqid,
        };
        // Only the next header is known before decompression, and not that after extension headers.
        let (protocol, detail) = match inner {
            Body::Upper(protocol, ..) if ![IpProto::GRE].contains(protocol) => (*protocol, Detail::Opaque),
            _ => (IpProto::FRAGMENT, Detail::Opaque),
        };
        let flow = Flow { source: packet.source, destination: packet.destination, protocol, detail };
        let here = |rule: &Rule| {
            is_in(flow.source, rule.policy.selector.source)
                && is_in(flow.destination, rule.policy.selector.destination)
                && upper_matches(rule.policy.selector.upper, &flow) != Some(false)
        };
        for rule in self.rules.iter().filter(|rule| rule.policy.direction != PolicyDirection::Out) {
            let Action::Protect(bundle) = rule.policy.action else { continue };
            let outside_in: Vec<_> = bundle.iter().collect::<Vec<_>>().into_iter().rev().collect();
            let for_it = here(rule) || outside_in.iter().any(|template| template.mode != Mode::Transport);
            let matches_first = |this: &AppliedSa| {
                outer_counts.iter().any(|outer| {
                    self.matches_first(
                        rule.id,
                        &outside_in,
                        &applied[*outer..].iter().chain([this]).collect::<Vec<_>>(),
                    )
                })
            };
            let by = |mode| matches_first(&of_mode(mode));
            if for_it && (tunnel && by(Mode::Tunnel) || transport && by(Mode::Transport)) {
                return Ok(());
            }
        }
        if !transport || outer_counts.iter().all(|&n| applied[n..].iter().any(|applied| applied.mode == Mode::Tunnel)) {
            return Err(Counter::SaMismatch);
        }
        let mut no_policy = true;
        for direction in [PolicyDirection::In, PolicyDirection::Forward] {
            for Rule { policy, .. } in self.rules.iter().filter(|rule| rule.policy.direction == direction && here(rule))
            {
                // A policy that may match decides only if it bypasses the packet.
                match policy.action {
                    _ if passes(&policy.action) => no_policy = false,
                    _ if upper_matches(policy.selector.upper, &flow).is_none() => continue,
                    Action::Discard => return Err(Counter::Policy),
                    _ => return Err(Counter::SaMismatch),
                }
                break;
            }
        }
        if no_policy && self.discards_unmatched { Err(Counter::NoPolicy) } else { Ok(()) }
    }

    /// Returns whether the SAs so far match the first templates, from the outermost.
    fn matches_first(&self, id: PolicyId, templates: &[&Template], applied: &[&AppliedSa]) -> bool {
        let Some((first, rest)) = applied.split_first() else { return true };
        let Some((template, templates)) = templates.split_first() else { return false };
        self.matches_template(id, template, first) && self.matches_first(id, templates, rest)
            || self.may_be_absent(template) && self.matches_first(id, templates, applied)
    }

    /// Returns whether an IPsec packet without an SA may pass: it was received in a tunnel, or a BYPASS policy matches;
    /// or its destination is the endpoint of no inbound SA or template, and no PROTECT policy matches.
    fn is_for_another_host(&self, packet: &Packet, applied: &[AppliedSa]) -> bool {
        let address = packet.destination;
        let ends_here = self.sas.iter().any(|sa| (sa.direction, sa.spec.destination) == (Direction::Inbound, address))
            || self.rules.iter().any(|rule| match rule.policy.action {
                Action::Protect(bundle) if rule.policy.direction != PolicyDirection::Out => {
                    bundle.iter().any(|template| template.ends.is_some_and(|ends| ends.destination.0 == Some(address)))
                }
                _ => false,
            });
        let action = match self.search(PolicyDirection::In, &packet.flow()) {
            Verdict::Policy(at) => Some(&self.rules[at].policy.action),
            _ => None,
        };
        match action {
            _ if !applied.is_empty() => true,
            Some(action) if passes(action) => true,
            Some(Action::Protect(_)) => false,
            _ => !ends_here,
        }
    }

    /// Finds the live SA of an uncompressed packet of an IPComp tunnel, which is IP in IP on the wire (RFC 3173
    /// section 2.2).
    fn uncompressed_tunnel(&self, now: Instant, packet: &Packet) -> Option<usize> {
        let Body::Inside(inner) = &packet.body else { return None };
        let ends = (packet.source, packet.destination);
        if packet.fragment_kind != Fragment::Whole
            || packet.check_front().is_err()
            || !self.has_tunnel_template(Protocol::Ipcomp, ends, inner)
        {
            return None;
        }
        let between = |sa: &(usize, &Sa)| {
            let Sa { spec, direction, larval, .. } = sa.1;
            (*direction, *larval, spec.protocol) == (Direction::Inbound, false, Protocol::Ipcomp)
                && matches!(spec.mode, Mode::Tunnel | Mode::Any)
                && (spec.source, spec.destination) == (packet.source, packet.destination)
        };
        let candidates: Vec<_> = self.sas.iter().enumerate().filter(between).collect();
        let alive = candidates.iter().find(|(_, sa)| sa.state(now) != SaState::Dead);
        alive.or(candidates.first()).map(|(at, _)| *at)
    }

    /// Returns whether some inbound policy has a tunnel of this protocol between these endpoints for packets between
    /// these addresses, as KAME does. A tunnel around another one of the same policy carries packets between its
    /// endpoints.
    fn has_tunnel_template(&self, protocol: Protocol, ends: (IpAddr, IpAddr), inner: &Packet) -> bool {
        let inbound = self.rules.iter().filter(|rule| rule.policy.direction != PolicyDirection::Out);
        inbound.clone().any(|rule| {
            let Action::Protect(bundle) = rule.policy.action else { return false };
            let tunnels: Vec<&Template> =
                bundle.iter().filter(|template| template.mode == Mode::Tunnel && template.ends.is_some()).collect();
            let named = |template: &Template, (source, destination): (IpAddr, IpAddr)| {
                template.ends.is_some_and(|named| {
                    named.source.0.is_none_or(|named| named == source)
                        && named.destination.0.is_none_or(|named| named == destination)
                })
            };
            let between = (inner.source, inner.destination);
            let (from, to) = (rule.policy.selector.source, rule.policy.selector.destination);
            let of_the_networks = is_in(inner.source, from) && is_in(inner.destination, to);
            (0..tunnels.len()).any(|at| {
                // Directly inside may be the packet itself, or an earlier tunnel with only optional ones in between.
                let inside = (0..at).rev().find(|&before| !self.is_optional(tunnels[before]));
                let by_tunnel = (inside.unwrap_or(0)..at).any(|before| named(tunnels[before], between));
                tunnels[at].protocol == protocol
                    && named(tunnels[at], ends)
                    && (by_tunnel || inside.is_none() && of_the_networks)
            })
        })
    }

    /// Returns whether the inner packet of a tunnel is received on another SA, while an inbound policy matches the SAs
    /// so far (RFC 4301 section 5.2).
    fn matches_outer_policy(&self, now: Instant, left: &Packet, applied: &[AppliedSa], outer_counts: &[usize]) -> bool {
        let again = match left.ipsec().filter(|_| left.fragment_kind == Fragment::Whole) {
            Some((protocol, spi)) => self.find(SaId::inbound(left.destination, protocol, spi), left.source),
            None => self.uncompressed_tunnel(now, left),
        };
        let verdict = self.search(PolicyDirection::In, &left.flow());
        again.is_some()
            && matches!(verdict, Verdict::Policy(at) if self.matches_policy(&self.rules[at], applied, outer_counts))
    }

    /// Returns whether the SAs match a policy, for some number of outer SAs that other policies account for.
    fn matches_policy(&self, rule: &Rule, applied: &[AppliedSa], outer_counts: &[usize]) -> bool {
        let Action::Protect(bundle) = rule.policy.action else { return false };
        let templates: Vec<_> = bundle.iter().collect();
        let inside_out = |outer: &usize| applied[*outer..].iter().rev().collect::<Vec<_>>();
        outer_counts.iter().any(|outer| self.matches_bundle(rule.id, &templates, &inside_out(outer)))
    }

    /// Returns whether each template in order has an SA or is optional, and no SA is left over.
    fn matches_bundle(&self, id: PolicyId, templates: &[&Template], applied: &[&AppliedSa]) -> bool {
        let Some((template, templates)) = templates.split_first() else { return applied.is_empty() };
        let by_first = applied.split_first().is_some_and(|(first, rest)| {
            self.matches_template(id, template, first) && self.matches_bundle(id, templates, rest)
        });
        by_first || self.may_be_absent(template) && self.matches_bundle(id, templates, applied)
    }

    /// Returns whether a template may have no SA: optional ones, and IPComp in transport mode for incompressible
    /// payloads.
    fn may_be_absent(&self, template: &Template) -> bool {
        self.is_optional(template) || template.protocol == Protocol::Ipcomp && template.mode != Mode::Tunnel
    }

    fn matches_template(&self, id: PolicyId, template: &Template, applied: &AppliedSa) -> bool {
        let named = template.ends.map(|ends| (ends.source.0, ends.destination.0)).unwrap_or_default();
        template.protocol == applied.protocol
            && (template.mode == Mode::Any || template.mode == applied.mode)
            && named.0.is_none_or(|source| source == applied.source)
            && named.1.is_none_or(|destination| destination == applied.destination)
            && (applied.mode != Mode::Tunnel || template.ends.is_some())
            && [0, applied.reqid].contains(&reqid(id, template))
    }
}

/// Returns the reqid that an SA must have; 0 for any. Reqids of level `unique` are above those of `unique:`.
fn reqid(id: PolicyId, template: &Template) -> u32 {
    match template.level {
        Level::UniqueId(number) => number,
        Level::Unique => (1 << 31) + id.to_string().parse::<u32>().unwrap(),
        Level::Default | Level::Use | Level::Require => 0,
    }
}

fn common_mode(template: Mode, sa: Mode) -> Option<Mode> {
    match (template, sa) {
        (Mode::Any, Mode::Any) => Some(Mode::Transport),
        (Mode::Any, mode) | (mode, Mode::Any) => Some(mode),
        (template, sa) => (template == sa).then_some(sa),
    }
}

fn passes(action: &Action) -> bool {
    matches!(action, Action::Bypass)
}

fn is_in(address: IpAddr, range: AddressRange) -> bool {
    address.is_ipv4() == range.first().is_ipv4() && range.first() <= address && address <= range.last()
}

/// Returns whether the upper-layer part of a selector matches; `None` if the ports are in another fragment.
fn upper_matches(upper: Upper, flow: &Flow) -> Option<bool> {
    let ports = [IpProto::TCP, IpProto::UDP].contains(&flow.protocol);
    match upper {
        Upper::Any => Some(true),
        _ if (flow.protocol, flow.detail) == (IpProto::FRAGMENT, Detail::Opaque) => None,
        Upper::Protocol(protocol) => Some(protocol == flow.protocol),
        Upper::Icmp(protocol, kind, code) => match flow.detail {
            _ if protocol != flow.protocol => Some(false),
            Detail::Icmp(its_kind, its_code) => Some(kind == its_kind && code.is_none_or(|code| code == its_code)),
            _ => None,
        },
        Upper::Ports(protocol, from, to) => match flow.detail {
            _ if !ports || protocol.is_some_and(|protocol| protocol != flow.protocol) => Some(false),
            _ if (from, to) == (PortRange::ANY, PortRange::ANY) => Some(true),
            Detail::Ports(source, destination) => {
                Some((from.first..=from.last).contains(&source) && (to.first..=to.last).contains(&destination))
            }
            _ => None,
        },
    }
}
