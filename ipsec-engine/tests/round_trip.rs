//! Packets that one gateway protects are delivered by the other gateway, which has the same configuration with swapped
//! policy directions: random configurations of setkey(8) and random packets.
//!
//! A failure prints the configuration and the packet. `ROUND_TRIP_SEED` repeats one configuration;
//! `ROUND_TRIP_CONFIGURATIONS` is the number of configurations.
#![allow(clippy::result_large_err)]

#[path = "round_trip/configuration.rs"]
mod configuration;
mod gateway;
#[path = "round_trip/packet.rs"]
mod packet;
#[path = "round_trip/selector.rs"]
mod selector;

use std::collections::BTreeMap;
use std::fmt::Write;

use configuration::{Configuration, SaTraits};
use gateway::{Gateway, HEADROOM, NOW, Received};
use ipsec_config::setkey::{Statement, Statements};
use ipsec_engine::{Counter, Direction, DiscardReason, OutboundAction, PolicyDirection, Protocol};
use ipsec_packet::{Flow, Match, PacketBuf, Selector, Seq};
use packet::{Packet, packet, with_unknown_options_replaced};
use selector::local;
use test_vectors::{Random, to_hex};

const CONFIGURATIONS: u64 = 400;
const PACKETS: usize = 12;
/// Minimum number of passed cases of each kind, so that the property is tested.
const AT_LEAST: u64 = 10;

/// Number of passed cases of each kind, and of each kind of failure the number and the first case.
#[derive(Default)]
struct Report {
    passed: BTreeMap<&'static str, u64>,
    failures: BTreeMap<String, (u64, String)>,
}

impl Report {
    fn count(&mut self, names: &[&'static str]) {
        names.iter().for_each(|name| *self.passed.entry(name).or_default() += 1);
    }
}

/// Protected packet on the wire.
struct Sealed<'c> {
    wire: Vec<u8>,
    /// Index of the policy that protects the packet.
    policy: usize,
    used: Vec<&'c SaTraits>,
    names: Vec<&'static str>,
}

/// Gateways of both sides of a configuration.
struct Pair<'c> {
    configuration: &'c Configuration,
    /// Policies in the order of the text.
    selectors: Vec<Selector>,
    gateways: [Gateway; 2],
    iv: u64,
}

impl<'c> Pair<'c> {
    fn new(configuration: &'c Configuration) -> Self {
        let texts = [configuration.text.clone(), configuration.mirrored()];
        let gateways = [0, 1].map(|side| Gateway::new(&texts[side], &local(side)));
        let (mut selectors, mut statements) = (Vec::new(), Statements::of(&texts[0]));
        while let Some(statement) = statements.next().unwrap() {
            if let Statement::SpdAdd(policy) = statement {
                let from = usize::from(policy.direction != PolicyDirection::Out);
                assert_eq!(configuration.policies[selectors.len()].from, from);
                selectors.push(policy.selector().unwrap());
            }
        }
        Self { configuration, selectors, gateways, iv: 0 }
    }

    /// Returns the policy for a packet that this side sends.
    fn policy(&self, from: usize, packet: &[u8]) -> Option<usize> {
        let flow = Flow::read(packet).unwrap();
        let mut policies = self.configuration.policies.iter().zip(&self.selectors);
        policies.position(|(policy, selector)| policy.from == from && selector.matches(&flow) == Match::Yes)
    }

    fn outbound(&mut self, from: usize, packet: &[u8]) -> (OutboundAction, Vec<u8>) {
        let mut bytes = vec![0; HEADROOM + packet.len() + HEADROOM + 2048];
        bytes[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
        let mut buffer = PacketBuf::with_headroom(&mut bytes, HEADROOM, packet.len()).unwrap();
        let counter = &mut self.iv;
        let mut iv = |_: Seq, iv: &mut [u8]| {
            *counter += 1;
            iv.iter_mut().zip(counter.to_be_bytes()).for_each(|(to, from)| *to = from);
        };
        let action = self.gateways[from].engine.outbound(&mut buffer, NOW, &mut iv);
        (action, buffer.data().to_vec())
    }

    /// Returns the number of packets that each SA of the text has protected on this side.
    fn usage(&self, from: usize) -> Vec<u64> {
        let sas = self.gateways[from].engine.sas().filter(|sa| sa.key.direction == Direction::Outbound);
        let sas: BTreeMap<_, _> = sas
            .map(|sa| ((sa.key.protocol.name(), sa.key.spi, sa.key.destination.to_string()), sa.usage.packets))
            .collect();
        let packets = |sa: &SaTraits| sas.get(&(sa.protocol.name(), sa.spi, sa.destination.to_owned()));
        self.configuration.sas.iter().map(|sa| packets(sa).copied().unwrap_or(0)).collect()
    }

    fn compressed(&self, from: usize) -> u64 {
        self.gateways[from].engine.counters().get(Direction::Outbound, Counter::Compressed)
    }

    /// Sends a packet from this side to the other.
    fn exchange(&mut self, from: usize, packet: &Packet, report: &mut Report) -> Result<(), String> {
        let (usage, compressed) = (self.usage(from), self.compressed(from));
        let policy = self.policy(from, &packet.octets);
        let (action, wire) = self.outbound(from, &packet.octets);
        let name = match action {
            OutboundAction::Send => "",
            OutboundAction::Bypass => return self.bypass(from, packet, &wire, policy, report),
            OutboundAction::Acquire(_) => "missing SA",
            OutboundAction::Discard(DiscardReason::Policy) => "discarded by a policy",
            // AH refuses unknown options.
            OutboundAction::Discard(DiscardReason::Sign(_)) => "refused by AH",
            other => return Err(format!("{other:?} at the sender")),
        };
        let (Some(policy), "") = (policy, name) else {
            report.count(&[name]);
            return Ok(());
        };
        let mut sealed = Sealed { wire, policy, used: vec![], names: packet.names.clone() };
        self.protect_again(from, &mut sealed)?;
        let used = self.configuration.sas.iter().zip(usage.into_iter().zip(self.usage(from)));
        sealed.used = used.filter(|(_, (before, after))| before < after).map(|(sa, _)| sa).collect();
        if self.compressed(from) > compressed {
            sealed.names.push("compressed");
        }
        sealed.names.push(["sent by the first side", "sent by the second side"][from]);
        self.name(packet, &mut sealed);
        self.check_received(from, packet, sealed, report)
    }

    /// Protects the packet again by the tunnel of another policy, if one matches the protected packet.
    fn protect_again(&mut self, from: usize, sealed: &mut Sealed<'_>) -> Result<(), String> {
        let policies = &self.configuration.policies;
        let outer = policies[sealed.policy].outer.filter(|outer| self.policy(from, &sealed.wire) == Some(*outer));
        let Some(outer) = outer else { return Ok(()) };
        match self.outbound(from, &sealed.wire) {
            (OutboundAction::Send, twice) => {
                sealed.wire = twice;
                sealed.names.push("nested tunnels of two policies");
                sealed.names.extend(&policies[outer].names);
                Ok(())
            }
            // Without the outer tunnel the receiver accepts the packet of the inner tunnel.
            (OutboundAction::Bypass | OutboundAction::Acquire(_), _) => Ok(()),
            (other, _) => Err(format!("{other:?} for the outer tunnel at the sender")),
        }
    }

    /// Adds the names under which a case is counted.
    fn name(&self, packet: &Packet, sealed: &mut Sealed<'_>) {
        let policy = &self.configuration.policies[sealed.policy];
        sealed.names.extend(&policy.names);
        for sa in &sealed.used {
            sealed.names.extend(&sa.names);
            sealed.names.push(match (sa.without_mode, policy.has_tunnel, policy.has_transport) {
                (true, false, _) => "SA without -m in transport mode",
                (true, _, false) => "SA without -m in tunnel mode",
                (true, ..) => "SA without -m in a bundle of both modes",
                _ if sa.tunnel => "SA -m tunnel",
                _ => "SA -m transport",
            });
        }
        let innermost = sealed.used.iter().min_by_key(|sa| match sa.protocol {
            Protocol::Ipcomp => 0,
            Protocol::Esp => 1,
            Protocol::Ah => 2,
        });
        if packet.ip_in_ip && !policy.has_tunnel && innermost.is_some_and(|sa| sa.without_mode) {
            sealed.names.push("IP in IP, SA without -m");
        }
        if self.is_between_ends_of_ipcomp(packet) {
            sealed.names.push("IP in IP between the addresses of an IPComp SA");
        }
    }

    fn check_received(
        &mut self,
        from: usize,
        packet: &Packet,
        sealed: Sealed<'_>,
        report: &mut Report,
    ) -> Result<(), String> {
        let (action, opened) = self.gateways[1 - from].receive(&sealed.wire);
        let expected = self.expected(packet, &sealed);
        if action == Received::Deliver && expected.contains(&opened) {
            report.count(&sealed.names);
            report.count(if expected.contains(&packet.octets) {
                &[]
            } else {
                &["unauthenticated options are replaced"]
            });
            return Ok(());
        }
        // A packet that IPComp alone does not make smaller is sent unmodified.
        let unchanged = opened == packet.octets && sealed.wire == packet.octets;
        if action == Received::Bypass && unchanged && !has(&sealed, |sa| sa.protocol != Protocol::Ipcomp) {
            report.count(&sealed.names);
            report.count(&["uncompressed by IPComp"]);
            return Ok(());
        }
        let mut failure = format!("{action:?}\nwire: {}", to_hex(&sealed.wire));
        if action == Received::Deliver {
            write!(failure, "\ndelivered: {}\nexpected: {}", to_hex(&opened), to_hex(&expected[0])).unwrap();
        }
        Err(failure)
    }

    /// Returns the packets that the receiver may deliver. Options before ESP and AH in transport mode that no ICV
    /// covers are replaced. They may be replaced if such a packet is inside a tunnel of the same policy, or if the
    /// policy has a tunnel without an SA.
    fn expected(&self, packet: &Packet, sealed: &Sealed<'_>) -> Vec<Vec<u8>> {
        let policy = &self.configuration.policies[sealed.policy];
        let has_icv = has(sealed, |sa| sa.protocol != Protocol::Ipcomp);
        let in_tunnel = policy.has_tunnel && !policy.transport_first && sealed.used.len() == policy.templates;
        let replaced = with_unknown_options_replaced(&packet.octets);
        match policy.has_tunnel {
            _ if !has_icv || !policy.has_transport || in_tunnel => vec![packet.octets.clone()],
            true => vec![packet.octets.clone(), replaced],
            false => vec![replaced],
        }
    }

    fn is_between_ends_of_ipcomp(&self, packet: &Packet) -> bool {
        let destination = Flow::read(&packet.octets).unwrap().destination.to_string();
        let mut sas = self.configuration.sas.iter().filter(|sa| sa.protocol == Protocol::Ipcomp);
        packet.ip_in_ip && sas.any(|sa| sa.destination == destination && (sa.without_mode || sa.tunnel))
    }

    /// Asserts that the receiver bypasses a packet that the sender has bypassed.
    fn bypass(
        &mut self,
        from: usize,
        packet: &Packet,
        wire: &[u8],
        policy: Option<usize>,
        report: &mut Report,
    ) -> Result<(), String> {
        let (action, received) = self.gateways[1 - from].receive(wire);
        if action == Received::Bypass && received == packet.octets && wire == packet.octets {
            report.count(&[match policy.map(|policy| &self.configuration.policies[policy]) {
                None => "bypassed without a policy",
                Some(policy) if policy.names.is_empty() => "bypassed by a policy",
                Some(_) => "bypassed without an SA of level use",
            }]);
            return Ok(());
        }
        Err(format!("{action:?} of a bypassed packet"))
    }
}

fn has(sealed: &Sealed<'_>, what: impl Fn(&SaTraits) -> bool) -> bool {
    sealed.used.iter().any(|sa| what(sa))
}

/// Runs one configuration with packets in both directions.
fn run(seed: u64, report: &mut Report) {
    let mut random = Random::seeded(seed);
    let configuration = Configuration::random(&mut random);
    let mut pair = Pair::new(&configuration);
    for _ in 0..PACKETS {
        let from = random.below(2);
        let packet = packet(&mut random, &configuration, from);
        let Err(failure) = pair.exchange(from, &packet, report) else { continue };
        let side = ["the first side", "the second side"][from];
        let (text, octets) = (&configuration.text, to_hex(&packet.octets));
        let first = format!("ROUND_TRIP_SEED={seed}, sent by {side}\n{text}packet: {octets}\n{failure}");
        let kind = failure.lines().next().unwrap_or_default().to_owned();
        report.failures.entry(kind).or_insert((0, first)).0 += 1;
    }
}

#[test]
fn protected_packets_are_delivered_by_the_mirrored_configuration() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match (number("ROUND_TRIP_SEED"), number("ROUND_TRIP_CONFIGURATIONS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, configurations) => 0..configurations.unwrap_or(CONFIGURATIONS),
    };
    let is_complete = seeds.end - seeds.start >= CONFIGURATIONS;
    let mut report = Report::default();
    seeds.for_each(|seed| run(seed, &mut report));
    report.passed.iter().for_each(|(name, count)| println!("{count:8} {name}"));
    report.failures.values().for_each(|(count, text)| println!("{count} failures of one kind, the first is\n{text}\n"));
    assert!(report.failures.is_empty(), "{} kinds of failures", report.failures.len());
    if is_complete {
        for name in HOLDS {
            let count = report.passed.get(name).copied().unwrap_or(0);
            assert!(count >= AT_LEAST, "{name}: {count} cases, expected at least {AT_LEAST}");
        }
    }
}

/// Kinds of cases that must occur.
#[rustfmt::skip]
const HOLDS: &[&str] = &[
    // Bundles.
    "esp/transport", "ah/transport", "ipcomp/transport", "esp ah", "ipcomp esp", "ipcomp ah", "ipcomp esp ah",
    "esp/tunnel", "ah/tunnel", "ipcomp/tunnel", "tunnel with transport mode around it",
    "tunnel with two of transport mode around it",
    "nested tunnels of one policy", "transport mode in a tunnel of one policy", "three templates of both modes",
    "nested tunnels of two policies",
    "IPv4 tunnel of IPv4", "IPv4 tunnel of IPv6", "IPv6 tunnel of IPv4", "IPv6 tunnel of IPv6",
    // Policies.
    "policy any", "policy TCP or UDP", "policy ICMP", "policy with an ICMP type", "policy with ports", "policy ipencap",
    "policy ipv6", "policy of another protocol",
    "level default", "level use", "level require", "level unique", "level unique:number",
    // SAs.
    "ESP over IPv4", "ESP over IPv6", "AH over IPv4", "AH over IPv6", "IPComp over IPv4", "IPComp over IPv6",
    "SA -m transport", "SA -m tunnel", "SA without -m in transport mode", "SA without -m in tunnel mode",
    "SA without -m in a bundle of both modes",
    "ESP in UDP, ports 4500", "ESP in UDP, equal ports", "ESP in UDP, unequal ports", "-natt",
    "window", "no window", "extended sequence numbers", "well-known CPI", "compressed", "uncompressed by IPComp",
    // Packets.
    "UDP", "UDP without a checksum", "TCP", "ICMP", "ICMPv6", "IPv4 in IP", "IPv6 in IP", "no next header",
    "another protocol",
    "IP in IP, SA without -m", "IP in IP between the addresses of an IPComp SA",
    "IPv4 options", "unauthenticated options are replaced", "IPv6 hop-by-hop options", "IPv6 destination options",
    "size 0", "size below 64", "size below 1000", "size to 1400",
    "sent by the first side", "sent by the second side",
    // Unprotected packets.
    "bypassed without a policy", "bypassed by a policy", "bypassed without an SA of level use", "missing SA",
    "discarded by a policy",
];
