//! What RFC 4301 and the documentation of the engine say, in the plainest words: lists searched from the front, sets of
//! numbers, packets as nested layers instead of octets. No caches, no cryptography, and nothing of the engine's code.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipcomp_core::{Backoff, Compressor, Deflate};
use ipsec_engine::{
    Acquire, Action, Counter, Direction, Event, Level, Lifetimes, Limit, Mode, Policy, PolicyDirection, PolicyId,
    Protocol, SaId, SaState, Template,
};
use ipsec_packet::{Detail, Flow, IpProto, PortRange, Upper};

use super::headers::{self, Header};

/// A packet: a header and what is behind it.
#[derive(Clone, Debug)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub piece: Piece,
    pub dont_fragment: bool,
    /// Between the IP header and the body; the fragment header of a piece is behind them.
    pub front: Vec<Header>,
    pub body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    Whole,
    First,
    Later,
}

#[derive(Clone, Debug)]
pub enum Body {
    /// An upper protocol: what selectors see of it, and its octets.
    Upper(IpProto, Detail, Vec<u8>),
    /// ESP or AH around something.
    Sealed(Seal, Box<Body>),
    /// IPComp with this CPI, of so many octets.
    Squeezed(u32, usize, Box<Body>),
    /// A whole packet.
    Inside(Box<Packet>),
    /// Destination options in front of the rest, inside something.
    Behind(Header, Box<Body>),
}

/// What can be told of a sealed body.
#[derive(Clone, Debug)]
pub struct Seal {
    pub protocol: Protocol,
    pub spi: u32,
    /// Under which key.
    pub key: u8,
    /// Which number it was sealed under, and what of it is on the wire.
    pub number: u64,
    pub low: u32,
    /// Octets from its header to its end.
    pub octets: usize,
    pub damage: Damage,
    /// The headers in front that AH covers: fragment headers it does not see (RFC 4302 appendix A2).
    pub covered: Vec<Header>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    None,
    /// Some bit is not as it was.
    Bits,
    /// It does not even have a length that ESP can have.
    Length,
}

impl Packet {
    pub fn flow(&self) -> Flow {
        let (protocol, detail) = match &self.body {
            // RFC 8200 4.5: reassembly ignores the next header of a later fragment.
            _ if self.source.is_ipv6() && self.piece == Piece::Later => (IpProto::FRAGMENT, Detail::Opaque),
            Body::Upper(protocol, detail, _) => (*protocol, *detail),
            Body::Sealed(Seal { protocol: Protocol::Esp, .. }, _) => (IpProto::ESP, Detail::None),
            Body::Sealed(..) => (IpProto::AH, Detail::None),
            Body::Squeezed(..) => (IpProto::IPCOMP, Detail::None),
            Body::Inside(inner) if inner.source.is_ipv4() => (IpProto::IPV4, Detail::None),
            Body::Inside(_) => (IpProto::IPV6, Detail::None),
            Body::Behind(..) => panic!("{self:?}"),
        };
        Flow { source: self.source, destination: self.destination, protocol, detail }
    }

    pub fn header(&self) -> usize {
        let fixed = match (self.source.is_ipv4(), self.piece) {
            (true, _) => 20,
            (false, Piece::Whole) => 40,
            (false, _) => 48,
        };
        fixed + headers::length(&self.front)
    }

    /// RFC 4303 3.1.1: what is in front of transport mode. Destination options that a routing header does not follow are behind it.
    fn in_front_of_transport_mode(&self) -> usize {
        let options = self.front.iter().rev().take_while(|header| header.is_destination_options()).count();
        self.header() - headers::length(&self.front[self.front.len() - options..])
    }

    /// Puts these destination options into the body.
    fn fold(mut self) -> Self {
        while let Some(options) = self.front.pop_if(|header| header.is_destination_options()) {
            self.body = Body::Behind(options, Box::new(self.body));
        }
        self
    }

    /// The reverse.
    fn unfold(mut self) -> Self {
        while let Body::Behind(options, body) = self.body {
            self.front.push(options);
            self.body = *body;
        }
        self
    }

    /// What of the headers in front AH covers.
    fn covered(&self) -> Vec<Header> {
        self.front.iter().filter(|header| **header != Header::Atomic).cloned().collect()
    }

    /// Whether the packet is at its destination, and its headers let it reach the IPsec header.
    fn check_front(&self) -> Result<(), Counter> {
        let ah_follows = matches!(&self.body, Body::Sealed(Seal { protocol: Protocol::Ah, .. }, _));
        headers::check(&self.front, ah_follows)
    }

    pub fn octets(&self) -> usize {
        self.header() + self.body.octets()
    }

    /// A tunnel through itself (RFC 2003 3).
    fn is_through_itself(&self) -> bool {
        let Body::Inside(inner) = &self.body else { return false };
        self.piece == Piece::Whole && (inner.source, inner.destination) == (self.source, self.destination)
    }

    /// The IPsec header in front, by protocol and number.
    fn ipsec(&self) -> Option<(Protocol, u32)> {
        match &self.body {
            Body::Sealed(seal, _) => Some((seal.protocol, seal.spi)),
            Body::Squeezed(cpi, ..) => Some((Protocol::Ipcomp, *cpi)),
            Body::Upper(..) | Body::Inside(_) | Body::Behind(..) => None,
        }
    }

    fn around(self, source: IpAddr, destination: IpAddr) -> Self {
        let dont_fragment = self.dont_fragment || self.source.is_ipv6();
        let (front, body) = (Vec::new(), Body::Inside(Box::new(self)));
        Self { source, destination, piece: Piece::Whole, dont_fragment, front, body }
    }
}

impl Body {
    fn octets(&self) -> usize {
        match self {
            Self::Upper(.., octets) => octets.len(),
            Self::Sealed(seal, _) => seal.octets,
            Self::Squeezed(_, octets, _) => *octets,
            Self::Inside(packet) => packet.octets(),
            Self::Behind(options, body) => headers::length(std::slice::from_ref(options)) + body.octets(),
        }
    }
}

/// What a configuration says about an SA.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub protocol: Protocol,
    pub spi: u32,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub mode: Mode,
    pub reqid: u32,
    pub extended: bool,
    /// Whether it remembers numbers: the last 64.
    pub window: bool,
    /// Whether ESP encrypts (AES-CBC), or is only NULL with a MAC.
    pub encrypts: bool,
    pub key: u8,
    pub lifetimes: Lifetimes,
    /// Numbers used up before its time.
    pub used: u64,
}

impl Spec {
    pub fn name(&self, direction: Direction) -> SaId {
        SaId { direction, destination: self.destination, protocol: self.protocol, spi: self.spi }
    }

    /// What two SAs have in common of which one replaces the other.
    fn kind(&self) -> (Protocol, IpAddr, IpAddr, Mode, u32) {
        (self.protocol, self.source, self.destination, self.mode, self.reqid)
    }

    /// ESP: header, IV, payload, padding to whole blocks, trailer, ICV. AH: fixed part and ICV, the same for both versions.
    fn sealed(&self, payload: usize) -> usize {
        match (self.protocol, self.encrypts) {
            (Protocol::Esp, true) => 8 + 16 + (payload + 2).next_multiple_of(16) + 12,
            (Protocol::Esp, false) => 8 + (payload + 2).next_multiple_of(4) + 12,
            (Protocol::Ah, _) => 24 + payload,
            (Protocol::Ipcomp, _) => payload,
        }
    }
}

/// An SA. A larval one has a name, and nothing else of its description counts.
#[derive(Debug)]
pub struct Sa {
    pub spec: Spec,
    pub direction: Direction,
    pub larval: bool,
    pub added: Duration,
    pub first: Option<Duration>,
    pub last: Option<Duration>,
    pub octets: u64,
    pub packets: u64,
    /// The last number used, or all that were received.
    pub used: u64,
    pub received: BTreeSet<u64>,
    backoff: Backoff,
    told_soft: bool,
    told_near_end: bool,
}

impl Sa {
    fn reached(&self, limit: &Limit, now: Duration) -> bool {
        limit.age.is_some_and(|age| now >= self.added + age)
            || limit.use_age.is_some_and(|age| self.first.is_some_and(|first| now >= first + age))
            || limit.octets.is_some_and(|most| self.octets >= most)
            || limit.packets.is_some_and(|most| self.packets >= most)
    }

    pub fn state(&self, now: Duration) -> SaState {
        match &self.spec.lifetimes {
            _ if self.larval => SaState::Larval,
            limits if self.reached(&limits.hard, now) => SaState::Dead,
            limits if self.reached(&limits.soft, now) => SaState::Dying,
            _ => SaState::Mature,
        }
    }

    fn charge(&mut self, now: Duration, octets: usize) {
        self.first = self.first.or(Some(now));
        self.last = Some(now);
        self.octets += octets as u64;
        self.packets += 1;
    }

    /// The highest number used or received.
    pub fn top(&self) -> u64 {
        self.used.max(self.received.last().copied().unwrap_or(0))
    }

    fn numbers_left(&self) -> u64 {
        (if self.spec.extended { u64::MAX } else { u32::MAX.into() }) - self.used
    }

    /// RFC 4303 3.4.3: the number, whether it may come, and only then whether the ICV holds.
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

/// A policy.
#[derive(Debug)]
pub struct Rule {
    pub id: PolicyId,
    pub policy: Policy,
}

/// What was asked for, when, and whether somebody was told.
#[derive(Debug)]
struct Asked {
    wanted: Acquire,
    at: Duration,
    told: bool,
}

/// How many of them are remembered.
const MOST_ASKED: usize = 8;

/// How many names of dead SAs are remembered, the newest.
const MOST_REPLACED: usize = 8;

/// What is to become of a packet.
#[derive(Clone, Debug)]
pub enum Outcome {
    Bypass,
    Send(Packet),
    /// What is left of the packet.
    Deliver(Packet),
    Pending(Acquire),
    /// Why not, and whether anything of it had been opened by then.
    Discard(Counter, bool),
}

/// An SA that a packet came through.
struct AppliedSa {
    protocol: Protocol,
    mode: Mode,
    source: IpAddr,
    destination: IpAddr,
    reqid: u32,
}

/// What the policies say to a flow.
enum Verdict {
    Policy(usize),
    Opaque,
    Nothing,
}

pub const ACQUIRE_INTERVAL: Duration = Duration::from_secs(10);
pub const LARVAL_LIFE: Duration = Duration::from_secs(30);
const MOST_HEADERS: usize = 8;

pub struct Oracle {
    pub discards_unmatched: bool,
    pub default_is_use: bool,
    pub link_mtu: Option<u16>,
    /// In the order in which they are looked at.
    pub rules: Vec<Rule>,
    /// In the order in which they were installed.
    pub sas: Vec<Sa>,
    asked: Vec<Asked>,
    /// When each policy asked last.
    policies_asked: BTreeMap<PolicyId, Duration>,
    /// Dead ones that others took the place of, as long as nobody was told that they are dead.
    replaced: Vec<SaId>,
    /// How often something happened that no disposition shows.
    pub seen: BTreeMap<&'static str, u64>,
    deflate: Box<Deflate>,
}

/// Unauthenticated headers behind an IP header: known once ESP or AH was opened behind it.
#[derive(Clone, Copy)]
enum InClear {
    Unknown,
    /// So many headers.
    Front(usize),
    /// The options that AH does not see.
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
            asked: Vec::new(),
            policies_asked: BTreeMap::new(),
            seen,
            deflate,
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub fn exists(&self, policy: &Policy) -> bool {
        self.rules.iter().any(|r| (r.policy.direction, r.policy.selector) == (policy.direction, policy.selector))
    }

    pub fn add_policy(&mut self, id: PolicyId, policy: Policy) {
        self.rules.push(Rule { id, policy });
        self.rules.sort_by_key(|rule| rule.policy.priority); // stable: by age among equals
    }

    /// The SA of a name; the source counts where a CPI is well-known (RFC 3173 3.3).
    pub fn find(&self, key: SaId, source: IpAddr) -> Option<usize> {
        let shared = key.protocol == Protocol::Ipcomp && key.spi < 64;
        self.sas.iter().position(|sa| sa.spec.name(sa.direction) == key && (!shared || sa.spec.source == source))
    }

    /// Whether it went in: a larval or dead SA makes room for one of its name, any other does not.
    pub fn install(&mut self, now: Duration, spec: Spec, direction: Direction, larval: bool) -> bool {
        if let Some(at) = self.find(spec.name(direction), spec.source) {
            if larval || matches!(self.sas[at].state(now), SaState::Mature | SaState::Dying) {
                return false;
            }
            let old = self.sas.remove(at);
            if !old.larval {
                self.replaced.push(old.spec.name(old.direction));
                self.replaced = self.replaced.split_off(self.replaced.len().saturating_sub(MOST_REPLACED));
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
            told_soft: false,
            told_near_end: false,
        });
        true
    }

    pub fn tick(&mut self, now: Duration) {
        self.sas.retain(|sa| !sa.larval || now < sa.added + LARVAL_LIFE);
    }

    /// When time alone changes something next, of what has not changed by now.
    pub fn next_change(&self, now: Duration) -> Option<Duration> {
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

    /// Asks for an SA, unless the same was asked for a moment ago.
    fn ask(&mut self, now: Duration, wanted: Acquire) {
        let rules = &self.rules;
        self.asked.retain(|asked| rules.iter().any(|rule| rule.id == asked.wanted.policy));
        let same = |a: &Acquire, b: &Acquire| {
            (a.policy, a.template, a.source, a.destination) == (b.policy, b.template, b.source, b.destination)
        };
        let old = |at: Duration| now >= at + ACQUIRE_INTERVAL;
        let place = match self.asked.iter().position(|asked| same(&asked.wanted, &wanted)) {
            Some(at) if old(self.asked[at].at) => at,
            Some(_) => return,
            None if self.asked.len() < MOST_ASKED => {
                self.asked.push(Asked { wanted, at: now, told: false });
                self.asked.len() - 1
            }
            None => match self.makes_room(now, &wanted) {
                Some(at) => at,
                None => return,
            },
        };
        self.asked[place] = Asked { wanted, at: now, told: false };
        self.policies_asked.insert(wanted.policy, now);
    }

    /// What was told makes room: the oldest of what may be asked for again; for a policy that has not asked for a while, the oldest of the
    /// policy that has most; else the oldest of the source that has at least two more, of the same policy.
    fn makes_room(&mut self, now: Duration, wanted: &Acquire) -> Option<usize> {
        let told: Vec<usize> = (0..self.asked.len()).filter(|&at| self.asked[at].told).collect();
        let oldest = |of: Vec<usize>| of.into_iter().min_by_key(|&at| self.asked[at].at);
        let old: Vec<_> = told.iter().copied().filter(|&at| now >= self.asked[at].at + ACQUIRE_INTERVAL).collect();
        if !old.is_empty() {
            return oldest(old);
        }
        let of_policy = |policy| self.asked.iter().filter(|asked| asked.wanted.policy == policy).count();
        let asked_before = self.policies_asked.get(&wanted.policy);
        if asked_before.is_none_or(|&at| now >= at + ACQUIRE_INTERVAL) {
            let most = told.iter().map(|&at| of_policy(self.asked[at].wanted.policy)).max()?;
            let heaviest = told.iter().copied().filter(|&at| of_policy(self.asked[at].wanted.policy) == most).collect();
            let found = oldest(heaviest);
            self.note("acquire of a policy that others would silence");
            return found;
        }
        let of_source = |source| {
            let own = self.asked.iter().filter(|asked| asked.wanted.policy == wanted.policy);
            own.filter(|asked| asked.wanted.flow.source == source).count()
        };
        let own = of_source(wanted.flow.source);
        let others: Vec<_> = told
            .iter()
            .copied()
            .filter(|&at| self.asked[at].wanted.policy == wanted.policy)
            .filter(|&at| now >= self.asked[at].at + ACQUIRE_INTERVAL / MOST_ASKED as u32)
            .filter(|&at| of_source(self.asked[at].wanted.flow.source) >= own + 2)
            .collect();
        let most = others.iter().map(|&at| of_source(self.asked[at].wanted.flow.source)).max()?;
        oldest(others.into_iter().filter(|&at| of_source(self.asked[at].wanted.flow.source) == most).collect())
    }

    /// Everything there is to tell, each once.
    pub fn events(&mut self, now: Duration) -> Vec<Event> {
        let rules = &self.rules;
        self.asked.retain(|asked| rules.iter().any(|rule| rule.id == asked.wanted.policy));
        let untold = self.asked.iter_mut().filter(|asked| !asked.told);
        let mut events: Vec<_> = untold
            .map(|asked| {
                asked.told = true;
                Event::Acquire(asked.wanted)
            })
            .collect();
        events.extend(self.replaced.drain(..).map(Event::HardExpired));
        for sa in &mut self.sas {
            let name = sa.spec.name(sa.direction);
            match sa.state(now) {
                SaState::Dead => {
                    events.push(Event::HardExpired(name));
                    continue;
                }
                SaState::Dying if !sa.told_soft => {
                    sa.told_soft = true;
                    events.push(Event::SoftExpired(name));
                }
                _ => {}
            }
            // Due from a packet on, not from the start (RFC 4303 3.3.3).
            let few = if sa.spec.extended { 1 << 32 } else { 1 << 16 };
            if sa.direction == Direction::Outbound && sa.spec.protocol != Protocol::Ipcomp && !sa.told_near_end {
                sa.told_near_end = sa.numbers_left() < few;
                events.extend(sa.told_near_end.then_some(Event::SequenceLow(name)));
            }
        }
        self.sas.retain(|sa| sa.state(now) != SaState::Dead);
        events
    }

    fn search(&self, direction: PolicyDirection, flow: &Flow) -> Verdict {
        for (at, Rule { policy, .. }) in self.rules.iter().enumerate().filter(|(_, r)| r.policy.direction == direction)
        {
            let (source, destination) = (policy.selector.source, policy.selector.destination);
            if !starts_with(flow.source, source.first(), source.prefix_length().unwrap())
                || !starts_with(flow.destination, destination.first(), destination.prefix_length().unwrap())
            {
                continue;
            }
            match speaks_of(policy.selector.upper, flow) {
                Some(true) => return Verdict::Policy(at),
                // A fragment that may be one of a policy that does not simply let it pass must not slip through.
                None if !passes(&policy.action) => return Verdict::Opaque,
                Some(false) | None => {}
            }
        }
        Verdict::Nothing
    }

    fn is_optional(&self, request: &Template) -> bool {
        request.level == Level::Use || request.level == Level::Default && self.default_is_use
    }

    fn unmatched(&self, passes: Outcome) -> Outcome {
        if self.discards_unmatched { Outcome::Discard(Counter::NoPolicy, false) } else { passes }
    }

    /// RFC 4301 5.1. `octets` are those of the packet; `wire` is what the engine made of it, asked only whether ciphertext
    /// was worth compressing.
    pub fn outbound(&mut self, now: Duration, packet: &Packet, octets: &[u8], wire: &[u8]) -> Outcome {
        let flow = packet.flow();
        let at = match self.search(PolicyDirection::Out, &flow) {
            Verdict::Policy(at) => at,
            Verdict::Opaque => return Outcome::Discard(Counter::Opaque, false),
            Verdict::Nothing => return self.unmatched(Outcome::Bypass),
        };
        let bundle = match self.rules[at].policy.action {
            Action::Discard => return Outcome::Discard(Counter::Policy, false),
            Action::None | Action::Bypass | Action::Entrust => return Outcome::Bypass,
            Action::Ipsec(bundle) => bundle,
        };
        let mut chosen = Vec::new();
        let mut ends = (flow.source, flow.destination);
        for request in bundle.iter() {
            let reqid = reqid(self.rules[at].id, request);
            match self.choose(now, request, reqid, ends) {
                Some((sa, mode)) => {
                    if mode == Mode::Tunnel {
                        ends = (self.sas[sa].spec.source, self.sas[sa].spec.destination);
                    }
                    chosen.push((sa, mode));
                }
                None if self.is_optional(request) => {}
                None => {
                    let (source, destination) = match request.ends {
                        Some(named) => (named.source.0, named.destination.0),
                        None => (Some(ends.0), Some(ends.1)),
                    };
                    let policy = self.rules[at].id;
                    let acquire = Acquire { policy, template: *request, source, destination, reqid, flow };
                    self.ask(now, acquire);
                    return Outcome::Pending(acquire);
                }
            }
        }
        if chosen.is_empty() {
            return Outcome::Bypass;
        }
        let too_long = match self.refuses(packet, &chosen) {
            Ok(too_long) => too_long,
            Err(why) => return Outcome::Discard(why, false),
        };
        for &(at, _) in &chosen {
            if self.sas[at].state(now) == SaState::Dying {
                self.note("sent by a dying sa");
            } else if self.sas[..at]
                .iter()
                .any(|sa| sa.direction == Direction::Outbound && sa.spec.kind() == self.sas[at].spec.kind())
            {
                self.note("sent by the newer of two sas");
            }
        }
        if chosen.len() < bundle.iter().count() {
            self.note("sent without an optional transform");
        }
        let mut packet = packet.clone();
        for (n, &(at, mode)) in chosen.iter().enumerate() {
            let known = (n == 0).then_some(octets);
            packet = self.protect(now, at, mode, packet, known, wire);
            // What is too long for the link, and may be, is fragmented behind the tunnel.
            packet.dont_fragment &= !(too_long && mode == Mode::Tunnel);
        }
        Outcome::Send(packet)
    }

    /// The newest SA that serves a request and is mature, or else the newest that is dying; and in which mode.
    fn choose(&self, now: Duration, request: &Template, reqid: u32, ends: (IpAddr, IpAddr)) -> Option<(usize, Mode)> {
        let serving = |wanted: SaState| {
            let found = self.sas.iter().rposition(|sa| {
                sa.direction == Direction::Outbound && sa.state(now) == wanted && {
                    let spec = &sa.spec;
                    let mode = common_mode(request.mode, spec.mode);
                    let named = request.ends.map(|ends| (ends.source.0, ends.destination.0));
                    // The ends are the packet's own in transport mode, and where they are named, those in any mode.
                    let is_end = |named: Option<IpAddr>, own, of_sa| match (named, mode) {
                        (Some(named), _) if named != of_sa => false,
                        (_, Some(Mode::Tunnel)) => true,
                        (_, _) => own == of_sa,
                    };
                    spec.protocol == request.protocol
                        && mode.is_some()
                        && is_end(named.and_then(|named| named.0), ends.0, spec.source)
                        && is_end(named.and_then(|named| named.1), ends.1, spec.destination)
                        && (mode != Some(Mode::Tunnel) || named.is_some())
                        && (reqid == 0 || reqid == spec.reqid)
                }
            });
            found.and_then(|at| Some((at, common_mode(request.mode, self.sas[at].spec.mode)?)))
        };
        serving(SaState::Mature).or_else(|| serving(SaState::Dying))
    }

    /// Everything that may be wrong with a packet and its SAs: whatever is refused must be refused before it is touched.
    /// Says whether it gets too long for the link.
    fn refuses(&self, packet: &Packet, chosen: &[(usize, Mode)]) -> Result<bool, Counter> {
        let (mut length, mut header) = (packet.octets(), packet.in_front_of_transport_mode());
        let mut fragment = packet.piece != Piece::Whole;
        for (n, &(at, mode)) in chosen.iter().enumerate() {
            let Sa { spec, .. } = &self.sas[at];
            let untouched = chosen[..n]
                .iter()
                .all(|(at, mode)| (self.sas[*at].spec.protocol, *mode) == (Protocol::Ipcomp, Mode::Transport));
            if mode == Mode::Transport && spec.mode == Mode::Any && untouched && packet.is_through_itself() {
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
        // An IPv4 packet that may be fragmented is, behind the tunnel; an IPv6 packet need never have less than 1280 octets.
        let may_not = packet.source.is_ipv4() && packet.dont_fragment || packet.octets() > 1280;
        let too_long = self.link_mtu.is_some_and(|mtu| length > mtu.into());
        if too_long && may_not { Err(Counter::TooBig) } else { Ok(too_long) }
    }

    fn protect(
        &mut self,
        now: Duration,
        at: usize,
        mode: Mode,
        packet: Packet,
        known: Option<&[u8]>,
        wire: &[u8],
    ) -> Packet {
        let Spec { source, destination, .. } = self.sas[at].spec;
        let header = if mode == Mode::Tunnel { 0 } else { packet.in_front_of_transport_mode() };
        let mut packet = if mode == Mode::Tunnel { packet.around(source, destination) } else { packet.fold() };
        let (payload, whole) = (packet.body.octets(), packet.octets());
        let sa = &mut self.sas[at];
        let spec = sa.spec;
        if spec.protocol == Protocol::Ipcomp {
            sa.charge(now, payload);
            // 90 octets is where RFC 3173 2.2 lets us not even try; the codec and its patience are not the engine's.
            if payload < 90 || !sa.backoff.try_next() {
                return packet.unfold();
            }
            let squeezed = match known {
                _ if matches!(packet.body, Body::Squeezed(..)) => None,
                Some(octets) => self.deflate.compress(&octets[header..], &mut vec![0; payload - 5]).map(|len| len + 4),
                // Only whether it was compressed counts, not to what size.
                None if wire[headers::named_at(&packet.front, packet.source.is_ipv6())] == IpProto::IPCOMP.0 => {
                    Some(payload)
                }
                None => None,
            };
            sa.backoff.learn(squeezed.is_some());
            if let Some(octets) = squeezed {
                self.note("compressed");
                packet.body = Body::Squeezed(spec.spi, octets, Box::new(packet.body));
            }
            return packet.unfold();
        }
        sa.used += 1;
        // RFC 4301 4.4.2.1: what the algorithm is applied to, without what it adds. AH covers the header in front, too.
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

    /// RFC 4301 5.2: headers off as long as there are any, then what is left is compared with the policies.
    pub fn inbound(&mut self, now: Duration, packet: &Packet) -> Outcome {
        let mut unpaid = Vec::new();
        let outcome = self.open(now, packet, &mut unpaid);
        if matches!(outcome, Outcome::Deliver(_)) {
            unpaid.into_iter().for_each(|(at, octets): (usize, usize)| self.sas[at].charge(now, octets));
        }
        outcome
    }

    /// `unpaid`: IPComp with nothing authentic around it, which counts only if the packet is delivered.
    fn open(&mut self, now: Duration, packet: &Packet, unpaid: &mut Vec<(usize, usize)>) -> Outcome {
        let (mut left, mut came, mut fresh) = (packet.clone(), Vec::new(), true);
        let mut in_clear = InClear::Unknown;
        // So many of the SAs may be the matter of policies for what is between here and there (RFC 4301 5.2, nested SAs).
        let mut settled = vec![0];
        let mut without_mode = false;
        let discard = |why, came: &Vec<AppliedSa>| Outcome::Discard(why, !came.is_empty());
        loop {
            let at = match left.ipsec() {
                Some(_) if left.piece != Piece::Whole => match fresh && self.is_for_others(&left, &came) {
                    true => break,
                    false => return discard(Counter::Fragment, &came),
                },
                Some((protocol, spi)) => {
                    let key = SaId { direction: Direction::Inbound, destination: left.destination, protocol, spi };
                    match self.find(key, left.source) {
                        Some(at) => at,
                        // Out of a tunnel and for somebody else, or in clear as far as a policy is concerned.
                        None if fresh && self.is_for_others(&left, &came) => {
                            self.note("ipsec that is somebody else's");
                            break;
                        }
                        None => return discard(Counter::NoSa, &came),
                    }
                }
                None => match self.uncompressed_tunnel(now, &left) {
                    Some(at) => at,
                    None => break,
                },
            };
            let (outer, deep) = ((left.source, left.destination), came.len() >= MOST_HEADERS);
            let plain_tunnel = left.ipsec().is_none();
            if plain_tunnel {
                self.note("tunnel of ipcomp that was not compressed");
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
            let bare = came.iter().all(|came| came.protocol == Protocol::Ipcomp);
            let opened = opened.and_then(|()| match &left.body {
                Body::Squeezed(_, _, inner) if bare => self.may_pass_decompressed(&spec, inner, &left, &came, &settled),
                _ => Ok(()),
            });
            let sa = &mut self.sas[at];
            if let Err(why) = opened {
                return discard(why, &came);
            }
            let protocol = sa.spec.protocol;
            if let Body::Sealed(_, inner) | Body::Squeezed(_, _, inner) = left.body {
                left.body = *inner;
            }
            if protocol == Protocol::Ah {
                // RFC 4302 appendix A2: what AH does not see does not go on.
                left.front = left.covered();
            }
            let wraps = sa.spec.extended && sa.top() > u32::MAX.into();
            let octets = if sa.spec.protocol == Protocol::Ah { left.octets() } else { left.body.octets() };
            if sa.spec.protocol == Protocol::Ipcomp && came.iter().all(|came| came.protocol == Protocol::Ipcomp) {
                unpaid.push((at, octets));
            } else {
                sa.charge(now, octets);
            }
            let Spec { protocol, reqid, mode, .. } = sa.spec;
            if wraps {
                self.note("extended number above 32 bits");
            }
            let bare_tunnel = plain_tunnel && protocol == Protocol::Ipcomp;
            let mode = match (mode, &left.body) {
                (Mode::Tunnel, Body::Inside(_)) => Mode::Tunnel,
                (Mode::Any, Body::Inside(_)) if bare_tunnel => Mode::Tunnel,
                (Mode::Any, Body::Inside(inner)) if self.asks_for_tunnel(protocol, outer, inner) => Mode::Tunnel,
                (Mode::Tunnel, _) => return Outcome::Discard(Counter::Inner, true),
                _ => Mode::Transport,
            };
            without_mode = self.sas[at].spec.mode == Mode::Any && mode == Mode::Transport;
            came.push(AppliedSa { protocol, mode, source: outer.0, destination: outer.1, reqid });
            fresh = mode == Mode::Tunnel;
            in_clear = match (mode, protocol, in_clear) {
                (Mode::Tunnel, ..) if came.iter().any(|came| came.protocol != Protocol::Ipcomp) => InClear::Nothing,
                (Mode::Tunnel, ..) => InClear::Unknown,
                (_, Protocol::Ah, InClear::Unknown | InClear::Front(_)) => InClear::ZerosOfAh,
                (_, Protocol::Esp, InClear::Unknown) => InClear::Front(left.front.len()),
                _ => in_clear,
            };
            left = left.unfold();
            if fresh && let Body::Inside(inner) = left.body {
                left = *inner;
                if self.is_settled(now, &left, &came, &settled) {
                    self.note("tunnel in a tunnel by two policies");
                    settled.push(came.len());
                }
            }
        }
        if without_mode && left.is_through_itself() {
            return Outcome::Discard(Counter::Inner, true);
        }
        let opened = !came.is_empty();
        let from_tunnel = settled.iter().all(|&n| came[n..].iter().any(|came| came.mode == Mode::Tunnel));
        let flow = left.flow();
        match in_clear {
            InClear::Front(count) => {
                let in_clear: Vec<_> = left.front.drain(..count).collect();
                left.front.splice(..0, headers::removed(&in_clear));
            }
            InClear::ZerosOfAh => left.front = headers::without_zeros_of_ah(&left.front),
            InClear::Unknown | InClear::Nothing => {}
        }
        let passes_on = if opened { Outcome::Deliver(left) } else { Outcome::Bypass };
        let refused = |why| Outcome::Discard(why, opened);
        // Both databases that may speak of what comes must agree, in this order.
        let verdicts = [PolicyDirection::In, PolicyDirection::Forward].map(|direction| self.search(direction, &flow));
        let mut contents = 0;
        for verdict in &verdicts {
            let rule = match verdict {
                Verdict::Opaque => return refused(Counter::Opaque),
                Verdict::Nothing => continue,
                Verdict::Policy(at) => &self.rules[*at],
            };
            match rule.policy.action {
                Action::Discard => return refused(Counter::Policy),
                Action::Ipsec(_) if self.is_content(rule, &came, &settled) => contents += 1,
                Action::Ipsec(_) if !opened => return refused(Counter::Cleartext),
                Action::Ipsec(_) => return refused(Counter::SaMismatch),
                Action::None | Action::Bypass | Action::Entrust => {}
            }
        }
        let silent = verdicts.iter().all(|verdict| matches!(verdict, Verdict::Nothing));
        match silent {
            true if from_tunnel || self.discards_unmatched => refused(Counter::NoPolicy),
            // A tunnel that nobody asked for could bring anything.
            false if from_tunnel && contents == 0 => refused(Counter::SaMismatch),
            _ => passes_on,
        }
    }

    /// IPComp that nothing authentic is around is decompressed only where some policy might be content with it, or lets what is in it pass.
    fn may_pass_decompressed(
        &self,
        spec: &Spec,
        inner: &Body,
        packet: &Packet,
        came: &[AppliedSa],
        settled: &[usize],
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
        // Of what is inside only the protocol can be told, and not behind more headers.
        let (protocol, detail) = match inner {
            Body::Upper(protocol, ..) if ![IpProto::GRE].contains(protocol) => (*protocol, Detail::Opaque),
            _ => (IpProto::FRAGMENT, Detail::Opaque),
        };
        let flow = Flow { source: packet.source, destination: packet.destination, protocol, detail };
        let here = |rule: &Rule| {
            starts_with(
                flow.source,
                rule.policy.selector.source.first(),
                rule.policy.selector.source.prefix_length().unwrap(),
            ) && starts_with(
                flow.destination,
                rule.policy.selector.destination.first(),
                rule.policy.selector.destination.prefix_length().unwrap(),
            ) && speaks_of(rule.policy.selector.upper, &flow) != Some(false)
        };
        for rule in self.rules.iter().filter(|rule| rule.policy.direction != PolicyDirection::Out) {
            let Action::Ipsec(bundle) = rule.policy.action else { continue };
            let outside_in: Vec<_> = bundle.iter().collect::<Vec<_>>().into_iter().rev().collect();
            let for_it = here(rule) || outside_in.iter().any(|request| request.mode != Mode::Transport);
            let begins = |this: &AppliedSa| {
                settled.iter().any(|outer| {
                    self.begins(rule.id, &outside_in, &came[*outer..].iter().chain([this]).collect::<Vec<_>>())
                })
            };
            let by = |mode| begins(&of_mode(mode));
            if for_it && (tunnel && by(Mode::Tunnel) || transport && by(Mode::Transport)) {
                return Ok(());
            }
        }
        if !transport || settled.iter().all(|&n| came[n..].iter().any(|came| came.mode == Mode::Tunnel)) {
            return Err(Counter::SaMismatch);
        }
        let mut silent = true;
        for direction in [PolicyDirection::In, PolicyDirection::Forward] {
            for Rule { policy, .. } in self.rules.iter().filter(|rule| rule.policy.direction == direction && here(rule))
            {
                // What is not certain decides only where it lets the packet pass.
                match policy.action {
                    _ if passes(&policy.action) => silent = false,
                    _ if speaks_of(policy.selector.upper, &flow).is_none() => continue,
                    Action::Discard => return Err(Counter::Policy),
                    _ => return Err(Counter::SaMismatch),
                }
                break;
            }
        }
        if silent && self.discards_unmatched { Err(Counter::NoPolicy) } else { Ok(()) }
    }

    /// Whether the SAs so far are what the first of these transforms ask for, from the outside.
    fn begins(&self, id: PolicyId, requests: &[&Template], came: &[&AppliedSa]) -> bool {
        let Some((first, rest)) = came.split_first() else { return true };
        let Some((request, requests)) = requests.split_first() else { return false };
        self.is_by(id, request, first) && self.begins(id, requests, rest)
            || self.may_be_absent(request) && self.begins(id, requests, came)
    }

    /// IPsec that no SA is for may go on where it came out of a tunnel, where it is addressed to nobody whose SAs we have or
    /// ask for, and where a policy lets it pass.
    fn is_for_others(&self, packet: &Packet, came: &[AppliedSa]) -> bool {
        let address = packet.destination;
        let ends_here = self.sas.iter().any(|sa| (sa.direction, sa.spec.destination) == (Direction::Inbound, address))
            || self.rules.iter().any(|rule| match rule.policy.action {
                Action::Ipsec(bundle) if rule.policy.direction != PolicyDirection::Out => {
                    bundle.iter().any(|request| request.ends.is_some_and(|ends| ends.destination.0 == Some(address)))
                }
                _ => false,
            });
        !came.is_empty() || !ends_here || self.lets_pass(packet)
    }

    fn lets_pass(&self, packet: &Packet) -> bool {
        matches!(self.search(PolicyDirection::In, &packet.flow()), Verdict::Policy(at) if passes(&self.rules[at].policy.action))
    }

    /// A tunnel of IPComp whose packet was not compressed is a plain tunnel on the wire (RFC 3173 2.2): it belongs to the
    /// SA between those ends that is alive, if there is one.
    fn uncompressed_tunnel(&self, now: Duration, packet: &Packet) -> Option<usize> {
        let Body::Inside(inner) = &packet.body else { return None };
        let ends = (packet.source, packet.destination);
        if packet.piece != Piece::Whole
            || packet.check_front().is_err()
            || !self.asks_for_tunnel(Protocol::Ipcomp, ends, inner)
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

    /// As KAME has it: whether some inbound policy has a tunnel of this protocol between these ends, for packets between these addresses; what is
    /// around another tunnel of the same policy carries packets between the ends of that one.
    fn asks_for_tunnel(&self, protocol: Protocol, ends: (IpAddr, IpAddr), inner: &Packet) -> bool {
        let inbound = self.rules.iter().filter(|rule| rule.policy.direction != PolicyDirection::Out);
        inbound.clone().any(|rule| {
            let Action::Ipsec(bundle) = rule.policy.action else { return false };
            let tunnels: Vec<&Template> =
                bundle.iter().filter(|request| request.mode == Mode::Tunnel && request.ends.is_some()).collect();
            let named = |request: &Template, (source, destination): (IpAddr, IpAddr)| {
                request.ends.is_some_and(|named| {
                    named.source.0.is_none_or(|named| named == source)
                        && named.destination.0.is_none_or(|named| named == destination)
                })
            };
            let between = (inner.source, inner.destination);
            let (from, to) = (rule.policy.selector.source, rule.policy.selector.destination);
            let of_the_networks = starts_with(inner.source, from.first(), from.prefix_length().unwrap())
                && starts_with(inner.destination, to.first(), to.prefix_length().unwrap());
            (0..tunnels.len()).any(|at| {
                // What may be directly inside: any tunnel before it with none but optional ones in between, or the packet itself.
                let inside = (0..at).rev().find(|&before| !self.is_optional(tunnels[before]));
                let by_tunnel = (inside.unwrap_or(0)..at).any(|before| named(tunnels[before], between));
                tunnels[at].protocol == protocol
                    && named(tunnels[at], ends)
                    && (by_tunnel || inside.is_none() && of_the_networks)
            })
        })
    }

    /// Whether what came out of a tunnel goes through other SAs of ours again, while a policy of its own is content with
    /// those so far.
    fn is_settled(&self, now: Duration, left: &Packet, came: &[AppliedSa], settled: &[usize]) -> bool {
        let again = match left.ipsec().filter(|_| left.piece == Piece::Whole) {
            Some((protocol, spi)) => self.find(
                SaId { direction: Direction::Inbound, destination: left.destination, protocol, spi },
                left.source,
            ),
            None => self.uncompressed_tunnel(now, left),
        };
        let verdict = self.search(PolicyDirection::In, &left.flow());
        again.is_some() && matches!(verdict, Verdict::Policy(at) if self.is_content(&self.rules[at], came, settled))
    }

    /// Whether a packet came through what a policy asks for, however many SAs of those settled are not its matter.
    fn is_content(&self, rule: &Rule, came: &[AppliedSa], settled: &[usize]) -> bool {
        let Action::Ipsec(bundle) = rule.policy.action else { return false };
        let requests: Vec<_> = bundle.iter().collect();
        let inside_out = |outer: &usize| came[*outer..].iter().rev().collect::<Vec<_>>();
        settled.iter().any(|outer| self.accounts_for(rule.id, &requests, &inside_out(outer)))
    }

    /// In order, each transform by an SA or, where it is optional, left out; and no SA more.
    fn accounts_for(&self, id: PolicyId, requests: &[&Template], came: &[&AppliedSa]) -> bool {
        let Some((request, requests)) = requests.split_first() else { return came.is_empty() };
        let by_first = came
            .split_first()
            .is_some_and(|(first, rest)| self.is_by(id, request, first) && self.accounts_for(id, requests, rest));
        by_first || self.may_be_absent(request) && self.accounts_for(id, requests, came)
    }

    /// What is not worth compressing is not compressed.
    fn may_be_absent(&self, request: &Template) -> bool {
        self.is_optional(request) || request.protocol == Protocol::Ipcomp && request.mode != Mode::Tunnel
    }

    fn is_by(&self, id: PolicyId, request: &Template, came: &AppliedSa) -> bool {
        let named = request.ends.map(|ends| (ends.source.0, ends.destination.0)).unwrap_or_default();
        request.protocol == came.protocol
            && (request.mode == Mode::Any || request.mode == came.mode)
            && named.0.is_none_or(|source| source == came.source)
            && named.1.is_none_or(|destination| destination == came.destination)
            && (came.mode != Mode::Tunnel || request.ends.is_some())
            && [0, came.reqid].contains(&reqid(id, request))
    }
}

/// The request number that an SA must have; 0 for any. Numbers of `unique` begin above those that can be named.
fn reqid(id: PolicyId, request: &Template) -> u32 {
    match request.level {
        Level::UniqueId(number) => number,
        Level::Unique => (1 << 31) + id.to_string().parse::<u32>().unwrap(),
        Level::Default | Level::Use | Level::Require => 0,
    }
}

fn common_mode(request: Mode, sa: Mode) -> Option<Mode> {
    match (request, sa) {
        (Mode::Any, Mode::Any) => Some(Mode::Transport),
        (Mode::Any, mode) | (mode, Mode::Any) => Some(mode),
        (request, sa) => (request == sa).then_some(sa),
    }
}

fn passes(action: &Action) -> bool {
    matches!(action, Action::None | Action::Bypass | Action::Entrust)
}

fn starts_with(address: IpAddr, prefix: IpAddr, length: u8) -> bool {
    let (differ, bits) = match (address, prefix) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return false,
    };
    length == 0 || differ >> (bits - length) == 0
}

/// Whether a selector is for what a packet carries; `None` where that is hidden in another fragment.
fn speaks_of(upper: Upper, flow: &Flow) -> Option<bool> {
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
