//! Network between two endpoints, with a simulated clock.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ike_v1::{Gone, Path};
use ipsec_packet::Instant;
use ipsec_sa::{Direction, Protocol};

use crate::endpoint::{Config, Endpoint, paths};
use crate::random::Random;

/// Faults of the network, each as a probability in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lost: u64,
    pub repeated: u64,
    pub delayed: u64,
    pub truncated: u64,
    pub forged: u64,
}

/// Two endpoints, and the datagrams between them.
pub struct Link {
    pub now: Instant,
    pub ends: [Endpoint; 2],
    pub faults: Faults,
    pub random: Random,
    /// Datagrams in transit by the time of their arrival; the number keeps those of one time in order.
    under_way: BTreeMap<(Instant, u64), (usize, Path, Vec<u8>)>,
    number: u64,
    /// Datagrams in the order in which they were sent, with their sender.
    pub sent: Vec<(usize, Vec<u8>)>,
    /// Paths of the datagrams that were sent.
    pub sent_on: Vec<Path>,
    /// Index of a datagram that is lost.
    lost: Option<usize>,
    /// NAT in front of each endpoint.
    pub nats: [Option<Nat>; 2],
}

/// NAT in front of an endpoint: its outer address, and by how much it increases the port of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    pub outer: IpAddr,
    pub shift: u16,
}

impl Nat {
    /// Returns the address of the endpoint on the outer side.
    fn out(self, inner: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.outer, inner.port() + self.shift)
    }

    /// Returns the port on the inner side, `None` if there is no mapping.
    fn inside(self, outer: SocketAddr) -> Option<u16> {
        (outer.ip() == self.outer).then(|| outer.port().checked_sub(self.shift)).flatten()
    }
}

impl Link {
    pub fn new(configs: [Config; 2], seed: u64) -> Self {
        let [a, b] = configs;
        let [path_a, path_b] = paths();
        Self {
            now: Instant::from_secs(1000),
            ends: [Endpoint::new(a, path_a, seed ^ 0xa), Endpoint::new(b, path_b, seed ^ 0xb00)],
            faults: Faults::default(),
            random: Random(seed ^ 0xc0_0000),
            under_way: BTreeMap::new(),
            number: 0,
            sent: Vec::new(),
            sent_on: Vec::new(),
            lost: None,
            nats: [None, None],
        }
    }

    /// Places endpoint 0 behind a NAT whose address endpoint 1 is configured with.
    pub fn behind_nat(mut self, nat: Nat) -> Self {
        self.nats[0] = Some(nat);
        self.ends[1].host.path.remote.set_ip(nat.outer);
        self
    }

    /// Returns the path of a datagram as its receiver sees it, `None` if the NAT in front of the receiver drops it.
    fn arriving(&self, side: usize, path: Path) -> Option<Path> {
        let remote = self.nats[side].map_or(path.local, |nat| nat.out(path.local));
        let inner = self.ends[1 - side].host.path.local.ip();
        match self.nats[1 - side] {
            Some(nat) => Some(Path { local: SocketAddr::new(inner, nat.inside(path.remote)?), remote }),
            None => (path.remote.ip() == inner).then_some(Path { local: path.remote, remote }),
        }
    }

    /// Restarts an endpoint, which loses its SAs.
    pub fn restart(&mut self, side: usize, config: Config) {
        let mut end = Endpoint::new(config, paths()[side], 999);
        let lost = self.ends[side].inbound.keys();
        end.gone.extend(lost.map(|spi| (Direction::Inbound, *spi, Gone::Operator)));
        self.ends[side] = end;
    }

    /// Loses the datagram with this index.
    pub fn loses_message(&mut self, index: usize) {
        self.lost = Some(index);
    }

    /// Loses all datagrams that are in transit.
    pub fn lose_all(&mut self) {
        self.under_way.clear();
    }

    /// Polls both endpoints and sends their datagrams.
    pub fn collect(&mut self) {
        for side in 0..2 {
            for (path, datagram) in self.ends[side].poll_with_paths(self.now) {
                self.sent.push((side, datagram.clone()));
                self.sent_on.push(path);
                let path = self.arriving(side, path);
                if let Some(path) = path.filter(|_| self.lost != Some(self.sent.len() - 1)) {
                    self.carry(side, path, datagram);
                }
            }
        }
        self.check_openers();
    }

    /// Asserts that an endpoint sends packets of an SA only after its peer has installed the inbound SA.
    fn check_openers(&self) {
        for side in 0..2 {
            let other = &self.ends[1 - side];
            for spi in self.ends[side].outbound.keys() {
                let had = other.inbound.contains_key(spi) || other.gone.iter().any(|(_, gone, _)| gone == spi);
                assert!(had, "outbound SA {spi:#x} before its inbound SA");
            }
        }
    }

    fn carry(&mut self, side: usize, path: Path, datagram: Vec<u8>) {
        let faults = self.faults;
        if self.random.percent(faults.forged) {
            let mut forged = datagram.clone();
            let at = self.random.below(forged.len() as u64) as usize;
            forged[at] ^= 1 << self.random.below(8);
            self.put(side, path, forged);
        }
        if self.random.percent(faults.truncated) {
            let len = self.random.below(datagram.len() as u64) as usize;
            self.put(side, path, datagram[..len].to_vec());
        }
        if self.random.percent(faults.repeated) {
            self.put(side, path, datagram.clone());
        }
        if !self.random.percent(faults.lost) {
            self.put(side, path, datagram);
        }
    }

    fn put(&mut self, side: usize, path: Path, datagram: Vec<u8>) {
        let mut delay = 10 + self.random.below(10);
        if self.random.percent(self.faults.delayed) {
            delay += self.random.below(5000);
        }
        self.number += 1;
        self.under_way.insert((self.now + Duration::from_millis(delay), self.number), (1 - side, path, datagram));
    }

    /// Sends a datagram to an endpoint at once.
    pub fn inject(&mut self, to: usize, datagram: Vec<u8>) {
        let now = self.now;
        self.ends[to].receive(now, datagram);
        self.collect();
    }

    /// Sends a datagram to side 1 at once, as if it came from another address. Its answers are lost.
    pub fn inject_from(&mut self, last: u8, mut datagram: Vec<u8>) {
        let (now, end) = (self.now, &mut self.ends[1]);
        let mut path = end.host.path;
        path.remote.set_ip(IpAddr::from([203, 0, 113, last]));
        end.host.accepts_every_address = true;
        end.negotiator.handle_datagram(now, path, &mut datagram, &mut end.host);
        while end.negotiator.poll_event().is_some() {}
        while end.negotiator.poll_transmit(now, &mut [0; 4096]).is_some() {}
    }

    /// Sends so many messages of main mode to side 1 from an address. Returns the initiator.
    pub fn begin_from(&mut self, address: IpAddr, messages: usize, mut initiator: Endpoint) -> Endpoint {
        initiator.initiate(self.now).unwrap();
        self.continue_from(address, messages, &mut initiator);
        initiator
    }

    /// Sends the next messages of an initiator to side 1 from an address.
    pub fn continue_from(&mut self, address: IpAddr, messages: usize, initiator: &mut Endpoint) {
        let now = self.now;
        for _ in 0..messages {
            let end = &mut self.ends[1];
            let mut path = end.host.path;
            path.remote.set_ip(address);
            end.host.accepts_every_address = true;
            for mut datagram in initiator.poll(now) {
                end.negotiator.handle_datagram(now, path, &mut datagram, &mut end.host);
            }
            while end.negotiator.poll_event().is_some() {}
            let mut out = vec![0; 4096];
            while let Some(answer) = end.negotiator.poll_transmit(now, &mut out) {
                if answer.path.remote.ip() == path.remote.ip() {
                    initiator.receive(now, answer.datagram.to_vec());
                }
            }
        }
    }

    /// Advances to the next arrival or timeout. Returns false if there is none before `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        self.collect();
        let arrival = self.under_way.keys().next().map(|(time, _)| *time);
        let timeouts = self.ends.iter().flat_map(|end| [end.negotiator.poll_timeout(), end.resume_at]).flatten();
        let Some(next) = arrival.into_iter().chain(timeouts).min().filter(|next| *next <= end) else { return false };
        self.now = self.now.max(next);
        let now = self.now;
        if arrival == Some(next) {
            let ((_, _), (to, path, datagram)) = self.under_way.pop_first().unwrap();
            self.ends[to].receive_on(path, now, datagram);
        }
        for end in &mut self.ends {
            if end.resume_at.is_some_and(|at| at <= now) {
                end.resume(now);
            }
            if end.negotiator.poll_timeout().is_some_and(|due| due <= now) {
                end.negotiator.handle_timeout(now, &mut end.host);
            }
        }
        self.collect();
        true
    }

    /// Runs for a time.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while self.step(end) {
            steps += 1;
            assert!(steps < 20_000, "the endpoints never come to rest");
        }
        self.now = end;
        self.check_keys();
    }

    /// Asserts that every outbound SA has its inbound SA at the other end, with the same keys.
    pub fn check_keys(&self) {
        for side in 0..2 {
            for (spi, outbound) in &self.ends[side].outbound {
                if let Some(inbound) = self.ends[1 - side].inbound.get(spi) {
                    assert_eq!(outbound.cipher_key, inbound.cipher_key);
                    assert_eq!(outbound.integrity_key, inbound.integrity_key);
                    if self.nats == [None, None] {
                        assert_eq!((outbound.source, outbound.destination), (inbound.source, inbound.destination));
                    }
                    assert_eq!(outbound.encap.is_some(), inbound.encap.is_some());
                    assert_eq!(outbound.mode, inbound.mode);
                    let has_keys = !outbound.cipher_key.is_empty() || !outbound.integrity_key.is_empty();
                    assert_eq!(has_keys, outbound.protocol != Protocol::Ipcomp);
                    assert_eq!(outbound.protocol, inbound.protocol);
                }
            }
        }
    }

    /// Counters that are not zero, for messages of assertions.
    pub fn counts(&self) -> Vec<Vec<(&'static str, u32)>> {
        let counts = |end: &Endpoint| {
            let all = end.negotiator.counters().iter();
            all.filter(|(_, value)| *value > 0).map(|(counter, value)| (counter.name(), value)).collect()
        };
        self.ends.iter().map(counts).collect()
    }

    /// Returns how many pairs of SAs both endpoints have installed in both directions.
    pub fn agreed(&self) -> usize {
        let both = |from: usize| {
            self.ends[from].outbound.keys().filter(|spi| self.ends[1 - from].inbound.contains_key(spi)).count()
        };
        both(0).min(both(1))
    }
}
