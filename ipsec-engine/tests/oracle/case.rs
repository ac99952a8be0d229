//! Random configurations and packets for two gateways, each compared with its model.

#[path = "headers.rs"]
mod headers;
#[path = "host.rs"]
pub mod host;
#[path = "model.rs"]
mod model;

use std::net::IpAddr;
use std::time::Duration;

use headers::Header;
use host::{Host, Tally, octets_of};
use ipsec_engine::{
    Action, Bundle, Counter, Direction, Level, Lifetimes, Limit, Mode, PolicyDirection, PolicyParams, Priority,
    Protocol, SaState, Template, TunnelEndpoints,
};
use ipsec_packet::{AddressRange, Detail, Instant, IpProto, PortRange, Selector, Upper, set_length};
use model::{Body, Damage, Fragment, Outcome, Packet, Spec};

/// Choices: the given octets first, then pseudo-random ones.
pub struct Random {
    given: std::vec::IntoIter<u8>,
    is_seeded: bool,
    following: test_vectors::Random,
}

impl Random {
    /// Returns choices that depend on the seed only.
    pub fn seeded(seed: u64) -> Self {
        Self { given: Vec::new().into_iter(), is_seeded: true, following: test_vectors::Random::seeded(seed) }
    }

    /// Returns choices that begin with these octets.
    #[allow(dead_code)] // used by the fuzz harness only
    pub fn given(choices: Vec<u8>) -> Self {
        Self { given: choices.into_iter(), is_seeded: false, ..Self::seeded(0) }
    }

    fn next(&mut self) -> u64 {
        match self.given.next() {
            Some(choice) => choice.into(),
            None => self.noise(),
        }
    }

    /// Returns random bits that no given choice determines: keys, IVs, payloads.
    fn noise(&mut self) -> u64 {
        self.following.next_u64()
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Returns true in `n` of 100 cases.
    fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// One configuration and its sequence of steps.
struct Case<'t> {
    random: Random,
    hosts: [Host; 2],
    now: Instant,
    ipv6: usize,
    encrypting: bool,
    spi: u32,
    /// All SAs so far, with the host that sends on them.
    specs: Vec<(usize, Spec)>,
    /// Packets that were on the wire, with the host that received them.
    wires: Vec<(usize, Packet, Vec<u8>)>,
    verbose: bool,
    tally: &'t mut Tally,
}

impl<'t> Case<'t> {
    fn new(mut random: Random, verbose: bool, tally: &'t mut Tally) -> Self {
        let (ipv6, encrypting) = (random.of(&[0, 30, 100]), random.percent(70));
        let (hosts, now) = ([Host::new(), Host::new()], Instant::from_secs(1_795_000_000));
        let (specs, wires) = (Vec::new(), Vec::new());
        let mut case = Self { random, hosts, now, ipv6, encrypting, spi: 0x1000, specs, wires, verbose, tally };
        // The model compares policies one by one, and so slowly that only a few configurations have many of them.
        let many = if case.random.is_seeded && case.random.percent(2) { case.random.of(&[100, 500, 2000]) } else { 0 };
        if many > 0 {
            case.hosts.iter_mut().for_each(|host| host.grow(many + 10));
        }
        for host in 0..2 {
            case.change_settings(host);
        }
        for _ in 0..many {
            case.add_narrow_policy();
        }
        for _ in 0..case.random.below(6) {
            case.add_policies();
        }
        case
    }

    fn log(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{:>4}s {}", self.now.as_secs() - 1_795_000_000, what());
        }
    }

    fn count(&mut self, direction: &'static str, outcome: &Outcome) {
        let name = match outcome {
            Outcome::Bypass => "bypass",
            Outcome::Send(_) => "send",
            Outcome::Deliver(_) => "deliver",
            Outcome::Pending(_) => "pending",
            Outcome::Discard(counter, _) => &format!("{counter:?}"),
        };
        self.log(|| format!("{direction}: {outcome:?}"));
        *self.tally.entry((direction, name.into())).or_default() += 1;
    }

    fn change_settings(&mut self, host: usize) {
        let mtu = self.random.of(&[None, None, None, Some(200), Some(400)]);
        let (discards, uses) = (self.random.percent(50), self.random.percent(30));
        self.log(|| format!("host {host}: discards unmatched {discards}, default is use {uses}, mtu {mtu:?}"));
        self.hosts[host].set(discards, uses, mtu);
    }

    /// Returns an address of a side: that of its gateway (0), or one of the network behind it.
    fn address(&self, side: usize, ipv6: bool, number: usize) -> IpAddr {
        let text = match (number, ipv6) {
            (0, false) => format!("192.0.2.{}", side + 1),
            (0, true) => format!("2001:db8::{}", side + 1),
            (n, false) => format!("10.{}.{}.1", side + 1, n),
            (n, true) => format!("2001:db8:{}:{n}::1", side + 1),
        };
        text.parse().unwrap()
    }

    /// Returns the unspecified address, which means any source.
    fn unspecified(&self, ipv6: bool) -> IpAddr {
        if ipv6 { AddressRange::ANY_V6.first() } else { AddressRange::ANY_V4.first() }
    }

    fn range(&mut self, side: usize, ipv6: bool) -> AddressRange {
        let number = self.random.of(&[0, 0, 1, 2]);
        let address = self.address(side, ipv6, number);
        let length = self.random.of(if ipv6 { &[0, 32, 48, 64, 128] } else { &[0, 0, 16, 24, 32] });
        AddressRange::prefix(address, length).unwrap()
    }

    fn selector(&mut self, from: usize, ipv6: bool) -> Selector {
        let (source, destination) = (self.range(from, ipv6), self.range(1 - from, ipv6));
        let icmp = if ipv6 { IpProto::ICMPV6 } else { IpProto::ICMP };
        let mut ports = || self.random.of(&[PortRange::ANY, PortRange::one(80), PortRange { first: 80, last: 90 }]);
        let (from, to) = (ports(), ports());
        let upper = match self.random.below(12) {
            0..=5 => Upper::Any,
            6 => Upper::Protocol(self.random.of(&[IpProto::TCP, icmp, IpProto::ESP, IpProto::AH, IpProto::IPCOMP])),
            7 => Upper::Icmp(icmp, self.random.of(&[0, 8]), self.random.of(&[None, Some(0), Some(1)])),
            8 => Upper::Ports(None, from, to),
            _ => Upper::Ports(Some(self.random.of(&[IpProto::TCP, IpProto::UDP])), from, to),
        };
        Selector { source, destination, upper }
    }

    /// Adds a policy for a few packets at one host, if it has space.
    fn add_narrow_policy(&mut self) {
        let (host, from, ipv6) = (self.random.below(2), self.random.below(2), self.random.percent(self.ipv6));
        if self.hosts[host].oracle.rules.len() + 10 >= self.hosts[host].policies {
            return;
        }
        let mut range = |side: usize| {
            let number = self.random.below(6);
            let address = self.address(side, ipv6, number);
            let shortest = self.random.of(&[12, 22, 30]);
            let length = shortest + self.random.below(if ipv6 { 128 } else { 32 } + 1 - shortest);
            let range = AddressRange::prefix(address, length as u8).unwrap();
            let last = if self.random.percent(10) { self.address(side, ipv6, 9) } else { range.last() };
            AddressRange::new(range.first(), last).unwrap_or(range)
        };
        let (source, destination) = (range(from), range(1 - from));
        let port = |random: &mut Random| match random.below(4) {
            0 => PortRange::ANY,
            1 => PortRange { first: 80, last: random.of(&[80, 85, 100]) },
            _ => PortRange::one(random.of(&[7, 80, 85, 1000, 2000]) + random.below(3) as u16),
        };
        let random = &mut self.random;
        let mut selector = Selector { source, destination, upper: Upper::Any };
        let direction = random.of(&[PolicyDirection::In, PolicyDirection::Out, PolicyDirection::Forward]);
        let priority = random.of(&[Priority::DEFAULT, Priority::DEFAULT, Priority::HIGH, Priority::LOW]);
        if random.percent(90) {
            let protocol = random.of(&[None, Some(IpProto::TCP), Some(IpProto::UDP)]);
            selector.upper = Upper::Ports(protocol, port(random), port(random));
        } else {
            let icmp = if ipv6 { IpProto::ICMPV6 } else { IpProto::ICMP };
            selector.upper = Upper::Icmp(icmp, random.of(&[0, 8]), random.of(&[None, Some(0), Some(1)]));
        }
        let action = random.of(&[Action::Discard, Action::Bypass, Action::Bypass, Action::Bypass]);
        self.hosts[host].add_policy(PolicyParams { selector, direction, priority, action });
    }

    fn template(&mut self, from: usize, ipv6: bool, protocol: Protocol) -> Template {
        let random = &mut self.random;
        let mode = random.of(&[Mode::Transport, Mode::Transport, Mode::Tunnel, Mode::Tunnel, Mode::Tunnel, Mode::Any]);
        let level = match random.below(10) {
            0..=4 => Level::Require,
            5 => Level::Unique,
            6 => Level::UniqueId(random.of(&[7, 8])),
            7 => Level::Use,
            _ => Level::Default,
        };
        let ipv6 = ipv6 != (mode == Mode::Tunnel && random.percent(15));
        let named = match mode {
            Mode::Tunnel => random.of(&[(true, true); 6]
                .into_iter()
                .chain([(false, true), (true, false), (false, false)])
                .collect::<Vec<_>>()),
            _ => random.of(&[(false, false), (false, false), (false, false), (true, true), (false, true)]),
        };
        let (source, destination) = (self.address(from, ipv6, 0), self.address(1 - from, ipv6, 0));
        let ends = TunnelEndpoints {
            source: (named.0.then_some(source), None),
            destination: (named.1.then_some(destination), None),
        };
        Template { protocol, mode, ends: Some(ends).filter(|_| named != (false, false)), level }
    }

    /// Builds a bundle in which IPComp is first or last, because the model cannot predict the compression of
    /// ciphertext.
    fn bundle(&mut self, from: usize, ipv6: bool) -> Bundle {
        let random = &mut self.random;
        let mut protocols: Vec<_> = (0..random.of(&[1, 1, 1, 2, 2, 3, 4])).map(|_| Protocol::Esp).collect();
        protocols.iter_mut().for_each(|protocol| *protocol = random.of(&[Protocol::Esp, Protocol::Esp, Protocol::Ah]));
        match random.below(10) {
            0 | 1 => protocols[0] = Protocol::Ipcomp,
            2 => *protocols.last_mut().unwrap() = Protocol::Ipcomp,
            _ => {}
        }
        let add = |bundle: Bundle, protocol| bundle.with(self.template(from, ipv6, protocol)).unwrap();
        protocols.into_iter().fold(Bundle::default(), add)
    }

    /// Adds an outbound policy at one host, an inbound one at the other, and most of the SAs that they require.
    fn add_policies(&mut self) {
        let (from, ipv6) = (self.random.below(2), self.random.percent(self.ipv6));
        let (selector, bundle) = (self.selector(from, ipv6), self.bundle(from, ipv6));
        let plain = [Action::Discard, Action::Bypass, Action::Bypass, Action::Bypass];
        let action = if self.random.percent(80) { Action::Protect(bundle) } else { self.random.of(&plain) };
        let inbound =
            self.random.of(&[PolicyDirection::In, PolicyDirection::In, PolicyDirection::In, PolicyDirection::Forward]);
        let mut ids = [0; 2];
        for (n, host, direction) in [(0, from, PolicyDirection::Out), (1, 1 - from, inbound)] {
            let random = &mut self.random;
            let priority = random.of(&[Priority::DEFAULT, Priority::DEFAULT, Priority::HIGH, Priority::LOW]);
            let mut policy = PolicyParams { selector, direction, priority, action };
            match random.below(20) {
                0 => continue,
                1 if n == 1 => policy.action = Action::Protect(self.bundle(from, ipv6)),
                2 if n == 1 => policy.action = random.of(&plain),
                3 if n == 1 => policy.selector = self.selector(from, ipv6),
                _ => {}
            }
            self.log(|| format!("host {host}: {:?}", policy));
            ids[n] = self.hosts[host].add_policy(policy).unwrap_or(0);
        }
        if let Action::Protect(bundle) = action {
            self.add_sas(from, ipv6, &bundle, ids);
        }
    }

    fn add_sas(&mut self, from: usize, ipv6: bool, bundle: &Bundle, ids: [u32; 2]) {
        let number = self.random.of(&[(0, 0), (0, 0), (1, 1), (1, 0), (0, 2)]);
        let mut ends = (self.address(from, ipv6, number.0), self.address(1 - from, ipv6, number.1));
        for template in bundle.iter() {
            let named = template.ends.map(|ends| (ends.source.0, ends.destination.0)).unwrap_or_default();
            let destination = named.1.unwrap_or(ends.1);
            let source = named.0.unwrap_or(self.address(from, destination.is_ipv6(), 0));
            let (source, destination) = if named.1.is_some() { (source, destination) } else { ends };
            let mode = match (template.mode, self.random.below(6)) {
                (Mode::Any, n) => [Mode::Any, Mode::Transport, Mode::Tunnel][n / 2],
                (_, 0) => Mode::Any,
                (mode, _) => mode,
            };
            if mode == Mode::Tunnel || template.mode == Mode::Tunnel {
                ends = (source, destination);
            }
            let reqids = ids.map(|id| match template.level {
                Level::Unique => 0x4000 + id,
                Level::UniqueId(id) => id,
                _ => 0,
            });
            let spec = Spec {
                protocol: template.protocol,
                spi: 0,
                source,
                destination,
                mode,
                reqid: 0,
                extended: self.random.percent(20),
                window: !self.random.percent(10),
                encrypts: self.encrypting || self.random.percent(50),
                key: 0,
                lifetimes: Lifetimes::default(),
                used: 0,
            };
            if !self.random.percent(12) {
                self.add_sa(from, spec, reqids);
            }
        }
    }

    fn limit(&mut self) -> Limit {
        let random = &mut self.random;
        let seconds = Duration::from_secs(random.of(&[1, 5, 20, 60]));
        match random.below(16) {
            0 => Limit { age: Some(seconds), ..Limit::default() },
            1 => Limit { use_age: Some(seconds), ..Limit::default() },
            2 => Limit { octets: Some(random.of(&[100, 1000, 3000])), ..Limit::default() },
            3 => Limit { packets: Some(random.of(&[1, 3, 10])), ..Limit::default() },
            _ => Limit::default(),
        }
    }

    /// Adds an SA at both hosts; in some cases the inbound one differs, or is missing or larval.
    fn add_sa(&mut self, from: usize, spec: Spec, reqids: [u32; 2]) {
        let lifetimes = Lifetimes { soft: self.limit(), hard: self.limit() };
        self.spi += 1;
        let random = &mut self.random;
        let well_known = spec.protocol == Protocol::Ipcomp && random.percent(30);
        let used = if random.percent(8) { u64::from(u32::MAX) - random.of(&[0, 1, 2, 5, 70_000]) } else { 0 };
        let (spi, key) = (if well_known { 2 } else { self.spi }, random.noise() as u8);
        let spec = Spec { spi, key, lifetimes, used, reqid: reqids[0], ..spec };
        let inbound = Lifetimes { soft: self.limit(), hard: self.limit() };
        let mut inbound = Spec { reqid: reqids[1], lifetimes: inbound, ..spec };
        let random = &mut self.random;
        match random.below(40) {
            0 => inbound.key ^= 1,
            1 => inbound.mode = random.of(&[Mode::Tunnel, Mode::Transport]),
            2 => inbound.reqid = 9,
            3 if spec.protocol == Protocol::Esp => inbound.source = self.unspecified(spec.source.is_ipv6()),
            _ => {}
        }
        let [sas, others] = [from, 1 - from].map(|host| self.hosts[host].oracle.sas.len());
        if sas > 40 || others > 40 || self.is_ambiguous(1 - from, &inbound) {
            return;
        }
        self.log(|| format!("host {from}: {spec:?}"));
        self.specs.push((from, spec));
        self.hosts[from].install(self.now, spec, Direction::Outbound);
        match self.random.below(20) {
            0 => {}
            1 => self.hosts[1 - from].reserve(self.now, inbound),
            _ => drop(self.hosts[1 - from].install(self.now, inbound, Direction::Inbound)),
        }
    }

    /// Returns whether uncompressed packets could match two IPComp SAs between the same addresses, which no RFC
    /// resolves.
    fn is_ambiguous(&self, host: usize, spec: &Spec) -> bool {
        spec.protocol == Protocol::Ipcomp
            && self.hosts[host].oracle.sas.iter().any(|sa| {
                (sa.direction, sa.spec.protocol) == (Direction::Inbound, Protocol::Ipcomp)
                    && (sa.spec.source, sa.spec.destination) == (spec.source, spec.destination)
                    && sa.state(self.now) != SaState::Dead
            })
    }

    /// Builds a cleartext packet whose last 16 octets are random, so that they can be found in clear.
    fn packet(&mut self, from: usize) -> Packet {
        let ipv6 = self.random.percent(self.ipv6);
        let numbers = (self.random.of(&[0, 0, 0, 1, 1, 2]), self.random.of(&[0, 0, 0, 1, 1, 2]));
        // Some packets have addresses of the other side.
        let from = if self.random.percent(5) { 1 - from } else { from };
        let (source, destination) = (self.address(from, ipv6, numbers.0), self.address(1 - from, ipv6, numbers.1));
        let random = &mut self.random;
        let fragment_kind = random.of(&[[Fragment::Whole; 7].as_slice(), &[Fragment::First, Fragment::Later]].concat());
        let icmp = if ipv6 { IpProto::ICMPV6 } else { IpProto::ICMP };
        let protocol = random.of(&[IpProto::TCP, IpProto::TCP, IpProto::UDP, icmp, IpProto::GRE]);
        // A later IPv6 fragment may have any next header, because reassembly ignores it.
        let ignored = random.of(&[IpProto::NO_NEXT, IpProto::DESTINATION_OPTIONS, IpProto::IPV6]);
        let protocol = if ipv6 && fragment_kind == Fragment::Later && random.percent(50) { ignored } else { protocol };
        let mut ports = || random.of(&[80, 80, 85, 1000]);
        let (from_port, to_port): (u16, u16) = (ports(), ports());
        let (kind, code) = (random.of(&[0, 8, 8]), random.of(&[0, 1]));
        let (detail, head) = match protocol {
            _ if fragment_kind == Fragment::Later && protocol == IpProto::GRE => (Detail::None, vec![]),
            _ if fragment_kind == Fragment::Later => (Detail::Opaque, vec![]),
            IpProto::GRE => (Detail::None, vec![0, 0, 8, 0]),
            IpProto::UDP | IpProto::TCP => {
                let length = if protocol == IpProto::TCP { 16 } else { 4 };
                let ports = [from_port.to_be_bytes(), to_port.to_be_bytes()].concat();
                (Detail::Ports(from_port, to_port), [ports, vec![0; length]].concat())
            }
            _ => (Detail::Icmp(kind, code), vec![kind, code, 0, 0, 0, 1, 0, 1]),
        };
        let filling = vec![random.noise() as u8; random.of(&[0, 0, 7, 200, 333])];
        let marker = [random.noise().to_be_bytes(), random.noise().to_be_bytes()].concat();
        let body = Body::Upper(protocol, detail, [head, filling, marker].concat());
        let dont_fragment = !ipv6 && fragment_kind == Fragment::Whole && random.percent(30);
        let front = self.front(ipv6);
        Packet { source, destination, fragment_kind, dont_fragment, front, body }
    }

    /// Builds headers that a packet has before it is protected; hop-by-hop options come first. The given choices do not
    /// determine them, so that existing fuzz inputs keep their meaning.
    fn front(&mut self, ipv6: bool) -> Vec<Header> {
        let mut random = Random::seeded(self.random.noise());
        let count = random.of(&[0, 0, 0, 1, 1, 2]);
        let mut front = Vec::new();
        while front.len() < count {
            let header = Header::any(&mut random, ipv6);
            match header {
                _ if !header.is_signed() || header.is_repeated(&front) => {}
                Header::Atomic if front.contains(&header) => {}
                Header::HopByHop(_) if matches!(front.first(), Some(Header::HopByHop(_))) => {}
                Header::HopByHop(_) => front.insert(0, header),
                _ => front.push(header),
            }
        }
        front
    }

    /// Inserts headers after the IP header, as an attacker on the path can do without a key.
    fn insert(&mut self, packet: &Packet, wire: &[u8], only_signed: bool) -> (Packet, Vec<u8>) {
        let ipv6 = packet.source.is_ipv6();
        let (mut packet, before, at) = (packet.clone(), packet.front.clone(), if ipv6 { 40 } else { 20 });
        let next = IpProto(wire[headers::next_header_at(&before, ipv6)]);
        for _ in 0..self.random.of(&[1, 1, 1, 2, 3]) {
            let place = self.random.of(&[0, 0, packet.front.len()]);
            let header = Header::any(&mut self.random, ipv6);
            // AH would cover the second of two adjacent fragment headers.
            if header == Header::Atomic && packet.front.contains(&header) {
                continue;
            }
            if !only_signed || header.is_signed() && !header.is_repeated(&packet.front) {
                packet.front.insert(place, header);
            }
        }
        // An IPv4 header has 40 octets of options at most.
        if !ipv6 && headers::length(&packet.front) > 40 {
            packet.front = before.clone();
        }
        let (first, front) = headers::octets(&packet.front, next);
        let mut octets = [&wire[..at], &front, &wire[at + headers::length(&before)..]].concat();
        if ipv6 {
            octets[6] = first.0;
        } else {
            octets[0] = 0x45 + (front.len() / 4) as u8;
        }
        set_length(&mut octets).unwrap();
        (packet, octets)
    }

    /// Returns a packet, as a rule one that a policy protects.
    fn protected_packet(&mut self, from: usize) -> Packet {
        let mut packet = self.packet(from);
        for _ in 0..self.random.below(12) {
            if !self.hosts[from].protects(&packet.flow()) {
                packet = self.packet(from);
            }
        }
        packet
    }

    /// Sends packets of several flows, and several of one flow, as one batch. The peer receives them as one.
    fn burst(&mut self) {
        let from = self.random.below(2);
        let count = self.random.of(&[2, 3, 5, 16, 17, 33, 40]);
        let mut packets: Vec<(Packet, Vec<u8>)> = Vec::new();
        while packets.len() < count {
            let packet = match packets.last() {
                Some((last, _)) if self.random.percent(70) => last.clone(),
                _ => self.protected_packet(from),
            };
            let octets = octets_of(&packet);
            packets.push((packet, octets));
        }
        let results = self.hosts[from].send_batch(self.now, &packets, &mut self.random);
        let mut sent = Vec::new();
        for ((outcome, wire), (_, octets)) in results.into_iter().zip(&packets) {
            self.count("out", &outcome);
            let is_safe = self.hosts[from].is_safe(octets, &outcome, &wire, self.encrypting);
            assert!(is_safe, "protected packet was sent in clear: {outcome:?}");
            if let Outcome::Send(packet) = outcome {
                sent.push((packet, wire));
            }
        }
        *self.tally.entry(("batch", "sent".into())).or_default() += sent.len() as u64;
        // Packets of other steps are received again, as replays.
        let replayed = self.wires.iter().filter(|(to, ..)| *to != from).take(self.random.below(4));
        sent.extend(replayed.map(|(_, packet, wire)| (packet.clone(), wire.clone())));
        for outcome in self.hosts[1 - from].receive_batch(self.now, &sent) {
            self.count("in", &outcome);
        }
        *self.tally.entry(("batch", "received".into())).or_default() += sent.len() as u64;
        self.wires.extend(sent.into_iter().map(|(packet, wire)| (1 - from, packet, wire)));
    }

    fn exchange(&mut self) {
        let from = self.random.below(2);
        let packet = self.protected_packet(from);
        let octets = octets_of(&packet);
        let (outcome, mut wire) = self.hosts[from].send(self.now, &packet, &octets, &mut self.random);
        self.count("out", &outcome);
        assert!(
            self.hosts[from].is_safe(&octets, &outcome, &wire, self.encrypting),
            "protected packet was sent in clear: {outcome:?}"
        );
        let Outcome::Send(mut sent) = outcome else {
            if self.random.percent(40) {
                self.receive(1 - from, &packet, &octets);
            }
            return;
        };
        // The protected packet matches a policy for packets between the gateways.
        if self.random.percent(10) {
            if self.random.noise().is_multiple_of(2) {
                (sent, wire) = self.insert(&sent, &wire, true);
            }
            let (outcome, again) = self.hosts[from].send(self.now, &sent, &wire, &mut self.random);
            self.count("out", &outcome);
            if let Outcome::Send(outer) = outcome {
                (sent, wire) = (outer, again);
            }
        }
        self.transport(1 - from, sent, wire);
        if self.random.percent(5) {
            self.receive(1 - from, &packet, &octets);
        }
    }

    /// Models the network: a packet is received, delayed, duplicated or modified.
    fn transport(&mut self, to: usize, packet: Packet, wire: Vec<u8>) {
        match self.random.below(20) {
            0 => self.alter(to, &packet, &wire),
            1 => self.truncate(to, &packet, &wire),
            2 => self.fragment(to, &packet, &wire),
            3 => self.receive(1 - to, &packet, &wire),
            4..8 => {
                self.wires.push((to, packet, wire));
                return;
            }
            8..10 => self.receive(to, &packet, &wire),
            10..15 => {
                let (packet, wire) = self.insert(&packet, &wire, false);
                self.receive_inserted(to, &packet, &wire);
                if self.random.noise().is_multiple_of(8) {
                    self.fragment(to, &packet, &wire);
                }
            }
            _ => {}
        }
        self.receive(to, &packet, &wire);
        self.wires.push((to, packet, wire));
    }

    fn receive(&mut self, to: usize, packet: &Packet, wire: &[u8]) {
        let outcome = self.hosts[to].receive(self.now, packet, wire);
        self.count("in", &outcome);
    }

    /// Receives a packet with inserted headers, and counts the outcome by inserted header and following header.
    fn receive_inserted(&mut self, to: usize, packet: &Packet, wire: &[u8]) {
        let outcome = self.hosts[to].receive(self.now, packet, wire);
        self.count("in", &outcome);
        let following = match &packet.body {
            Body::Sealed(seal, inner) => match (seal.protocol, matches!(**inner, Body::Inside(_))) {
                (Protocol::Ah, _) => "AH",
                (_, true) => "ESP in tunnel mode",
                (_, false) => "ESP in transport mode",
            },
            Body::Compressed(..) => "IPComp",
            _ => "cleartext",
        };
        let kind = match &outcome {
            Outcome::Deliver(_) => "delivered",
            Outcome::Discard(Counter::PrecedingHeaders, _) => "refused",
            Outcome::Discard(Counter::Malformed, _) => "malformed",
            Outcome::Discard(Counter::AhIcvMismatch, _) => "forged",
            _ => return,
        };
        // Of several headers one causes the discard.
        for header in packet.front.iter().filter(|_| kind == "delivered" || packet.front.len() == 1) {
            *self.tally.entry((kind, format!("{} / {following}", headers::names(header)))).or_default() += 1;
        }
        if kind == "malformed" {
            *self.tally.entry((kind, "hop-by-hop options after another header".into())).or_default() += 1;
        }
    }

    /// Changes a bit of the SPI, of the sequence number or of the following octets.
    fn alter(&mut self, to: usize, packet: &Packet, wire: &[u8]) {
        let (mut packet, mut wire, header) = (packet.clone(), wire.to_vec(), packet.header());
        let Body::Sealed(seal, _) = &mut packet.body else { return };
        let at = header + if seal.protocol == Protocol::Ah { 4 } else { 0 };
        let bit = self.random.below(32);
        let (octet, mask) = match self.random.below(8) {
            0 => {
                seal.spi ^= 1 << (24 + bit % 8);
                (at, 1 << (bit % 8))
            }
            1 | 2 => {
                seal.low ^= 1 << bit;
                (at + 7 - bit / 8, 1 << (bit % 8))
            }
            _ => {
                seal.damage = Damage::Bits;
                (at + 8 + self.random.below(wire.len() - at - 8), 1 << (bit % 8))
            }
        };
        wire[octet] ^= mask;
        self.receive(to, &packet, &wire);
    }

    /// Truncates a packet, without and with an adjusted length field.
    fn truncate(&mut self, to: usize, packet: &Packet, wire: &[u8]) {
        let octets = 1 + self.random.below(16);
        let mut wire = wire[..wire.len() - octets].to_vec();
        let (action, left) = self.hosts[to].receive_octets(self.now, &wire);
        assert!(action.reason().is_some_and(|reason| reason.counter() == Counter::Malformed) && left == wire);
        *self.tally.entry(("in", "Malformed".into())).or_default() += 1;
        let mut packet = packet.clone();
        let Body::Sealed(seal, _) = &mut packet.body else { return };
        let spec =
            self.specs.iter().find(|(_, spec)| (spec.protocol, spec.spi) == (seal.protocol, seal.spi)).unwrap().1;
        let whole = octets.is_multiple_of(if spec.encrypts { 16 } else { 4 });
        (seal.damage, seal.octets) = (if whole { Damage::Bits } else { Damage::Length }, seal.octets - octets);
        set_length(&mut wire).unwrap();
        self.receive(to, &packet, &wire);
    }

    /// Turns a packet into a fragment, which IPsec does not decapsulate.
    fn fragment(&mut self, to: usize, packet: &Packet, wire: &[u8]) {
        if matches!(packet.body, Body::Upper(..) | Body::Inside(_)) {
            return;
        }
        let mut packet = packet.clone();
        packet.fragment_kind = self.random.of(&[Fragment::First, Fragment::Later]);
        let header = packet.header();
        let mut wire = wire.to_vec();
        match (packet.source.is_ipv4(), packet.fragment_kind) {
            (true, Fragment::First) => wire[6] |= 0x20,
            (true, _) => wire[7] = 5,
            (false, fragment_kind) => {
                let next_header_at = headers::next_header_at(&packet.front, true);
                let fragment =
                    [wire[next_header_at], 0, 0, if fragment_kind == Fragment::First { 1 } else { 5 << 3 }, 0, 0, 0, 7];
                wire[next_header_at] = IpProto::FRAGMENT.0;
                wire.splice(header - 8..header - 8, fragment);
            }
        }
        set_length(&mut wire).unwrap();
        self.receive(to, &packet, &wire);
    }

    /// Sends packets of a peer that has the keys, with arbitrary SAs, higher sequence numbers and nesting.
    fn rogue(&mut self) {
        let to = self.random.below(2);
        let alive = |spec: &Spec| {
            let inbound = self.hosts[to].oracle.find(spec.name(Direction::Inbound), spec.source);
            inbound.is_some_and(|at| self.hosts[to].oracle.sas[at].state(self.now) < SaState::Dead)
        };
        let known = self.specs.iter().filter(|(from, _)| *from != to).map(|(_, spec)| *spec);
        let (alive, gone): (Vec<_>, Vec<_>) = known.partition(alive);
        let specs = if self.random.percent(85) { alive } else { gone };
        if specs.is_empty() {
            return;
        }
        let mut packet = self.packet(1 - to);
        let mut octets = Vec::new();
        for round in 0u64..self.random.of(&[1, 1, 1, 2, 3, 5]) {
            let mut bundle = Bundle::default();
            let mut host = Host::new();
            for number in 0..self.random.of(&[1, 1, 2, 4, 4]) {
                let spec = self.random.of(&specs);
                let passed =
                    self.hosts[1 - to].oracle.sas.iter().find(|sa| sa.spec.spi == spec.spi).map_or(0, |sa| sa.used);
                let used = (passed.max(spec.used) + round + self.random.of(&[0, 1, 5, 30, 100])).min((1 << 32) - 2);
                let key = spec.key ^ u8::from(self.random.percent(5)) << 7;
                let used_spec = Spec { reqid: number + 1, lifetimes: Lifetimes::default(), used, key, ..spec };
                if number > 0 && spec.protocol == Protocol::Ipcomp
                    || !host.install(self.now, used_spec, Direction::Outbound)
                {
                    continue;
                }
                if round == 0
                    && number == 0
                    && packet.source.is_ipv4() == spec.source.is_ipv4()
                    && self.random.percent(70)
                {
                    (packet.source, packet.destination) = (spec.source, spec.destination);
                }
                let ends = Some(TunnelEndpoints {
                    source: (Some(spec.source), None),
                    destination: (Some(spec.destination), None),
                });
                let level = Level::UniqueId(number + 1);
                bundle = bundle.with(Template { protocol: spec.protocol, mode: spec.mode, ends, level }).unwrap();
            }
            if round == 0 {
                octets = octets_of(&packet);
            }
            for any in [AddressRange::ANY_V4, AddressRange::ANY_V6] {
                let selector = Selector { source: any, destination: any, upper: Upper::Any };
                let (direction, priority, action) = (PolicyDirection::Out, Priority::DEFAULT, Action::Protect(bundle));
                host.add_policy(PolicyParams { selector, direction, priority, action });
            }
            match host.send(self.now, &packet, &octets, &mut self.random) {
                (Outcome::Send(sent), wire) => (packet, octets) = (sent, wire),
                (outcome, _) => self.log(|| format!("rogue: {outcome:?}")),
            }
        }
        self.transport(to, packet, octets);
    }

    fn step(&mut self) {
        let host = self.random.below(2);
        match self.random.below(100) {
            0..4 => self.now += Duration::from_secs(self.random.of(&[1, 3, 10, 40])),
            4..6 => self.hosts[host].tick(self.now),
            6..10 => self.hosts[host].events(self.now, self.tally),
            10 | 11 => self.change_settings(host),
            12 => self.add_policies(),
            13 => {
                let ids: Vec<_> = self.hosts[host].oracle.rules.iter().map(|rule| rule.id).collect();
                if !ids.is_empty() {
                    let id = self.random.of(&ids);
                    self.log(|| format!("host {host}: policy {id} removed"));
                    assert!(self.hosts[host].engine.remove_policy(id).is_some());
                    self.hosts[host].oracle.rules.retain(|rule| rule.id != id);
                }
            }
            14 if !self.hosts[host].oracle.sas.is_empty() => {
                let at = self.random.below(self.hosts[host].oracle.sas.len());
                let sa = self.hosts[host].oracle.sas.remove(at);
                self.log(|| format!("host {host}: {} removed", sa.spec.name(sa.direction)));
                let removed = self.hosts[host].engine.remove(&sa.spec.name(sa.direction), sa.spec.source);
                let usage = removed.map(|usage| (usage.packets, usage.octets, usage.first, usage.last));
                assert_eq!(usage, Some((sa.packets, sa.octets, sa.first, sa.last)));
            }
            15..18 if !self.specs.is_empty() => {
                let (from, spec) = self.random.of(&self.specs);
                let inbound = self.hosts[1 - from].oracle.sas.iter().find(|sa| sa.spec.spi == spec.spi);
                let reqid = inbound.map_or(spec.reqid, |sa| sa.spec.reqid);
                if self.random.percent(20) && !self.is_ambiguous(1 - from, &spec) {
                    self.hosts[from].install(self.now, spec, Direction::Outbound);
                    self.hosts[1 - from].install(self.now, Spec { reqid, ..spec }, Direction::Inbound);
                    return;
                }
                self.add_sa(from, spec, [spec.reqid, reqid]);
            }
            18..24 => self.rogue(),
            24..30 if !self.wires.is_empty() => {
                let at = self.random.below(self.wires.len());
                let (to, packet, wire) = self.wires[at].clone();
                self.receive(to, &packet, &wire);
            }
            30..33 => self.burst(),
            _ => self.exchange(),
        }
    }
}

/// Runs one configuration for this number of steps.
pub fn run(random: Random, steps: usize, verbose: bool, tally: &mut Tally) {
    let mut case = Case::new(random, verbose, tally);
    for _ in 0..steps {
        case.step();
    }
    let now = case.now;
    for host in &mut case.hosts {
        host.events(now, case.tally);
        host.oracle
            .seen
            .iter()
            .for_each(|(what, count)| *case.tally.entry(("seen", (*what).into())).or_default() += count);
    }
}
