//! What one side of a configuration seals, the other side opens with the same configuration, its policy directions swapped:
//! over random configurations in the language of setkey(8) and random packets.
//!
//! A failure prints the configuration and the packet. `ROUND_TRIP_SEED` repeats one configuration;
//! `ROUND_TRIP_CONFIGURATIONS` says how many are tried.
#![allow(clippy::result_large_err)]

mod common;
#[path = "round_trip/configuration.rs"]
mod configuration;
#[path = "round_trip/packet.rs"]
mod packet;
#[path = "round_trip/selector.rs"]
mod selector;

use std::collections::BTreeMap;
use std::fmt::Write;

use common::{Gateway, NOW, ROOM};
use configuration::{Configuration, Random, SaTraits};
use ipsec_engine::setkey::{Statement, Statements};
use ipsec_engine::{Counter, Direction, DiscardReason, Disposition, PolicyDirection, Protocol};
use ipsec_packet::{Flow, Match, PacketBuf, Selector, Seq};
use packet::{Packet, packet, with_unknown_options_replaced};
use selector::local;

const CONFIGURATIONS: u64 = 400;
const PACKETS: usize = 12;
/// How often each kind of cases has to hold, for the property to be tested at all.
const AT_LEAST: u64 = 10;

/// What was counted: the cases that hold, and of the others how many fail alike and the first one.
#[derive(Default)]
struct Report {
    holds: BTreeMap<&'static str, u64>,
    failures: BTreeMap<String, (u64, String)>,
}

impl Report {
    fn count(&mut self, names: &[&'static str]) {
        names.iter().for_each(|name| *self.holds.entry(name).or_default() += 1);
    }
}

/// A packet on the wire.
struct Sealed<'c> {
    wire: Vec<u8>,
    /// The policy that protects it.
    policy: usize,
    used: Vec<&'c SaTraits>,
    names: Vec<&'static str>,
}

/// Both sides of a configuration.
struct Pair<'c> {
    configuration: &'c Configuration,
    /// Those of the text, in its order.
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

    /// The policy for a packet that this side sends.
    fn policy(&self, from: usize, packet: &[u8]) -> Option<usize> {
        let flow = Flow::read(packet).unwrap();
        let mut policies = self.configuration.policies.iter().zip(&self.selectors);
        policies.position(|(policy, selector)| policy.from == from && selector.matches(&flow) == Match::Yes)
    }

    fn outbound(&mut self, from: usize, packet: &[u8]) -> (Disposition, Vec<u8>) {
        let mut bytes = vec![0; ROOM + packet.len() + ROOM + 2048];
        bytes[ROOM..ROOM + packet.len()].copy_from_slice(packet);
        let mut buffer = PacketBuf::with_headroom(&mut bytes, ROOM, packet.len()).unwrap();
        let counter = &mut self.iv;
        let mut iv = |_: Seq, iv: &mut [u8]| {
            *counter += 1;
            iv.iter_mut().zip(counter.to_be_bytes()).for_each(|(to, from)| *to = from);
        };
        let disposition = self.gateways[from].engine.outbound(NOW, &mut buffer, &mut iv);
        (disposition, buffer.data().to_vec())
    }

    /// How many packets each SA of the text has sealed on this side.
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
        let (disposition, wire) = self.outbound(from, &packet.octets);
        let name = match disposition {
            Disposition::Send => "",
            Disposition::Bypass => return self.pass_in_clear(from, packet, &wire, policy, report),
            Disposition::Pending(_) => "an SA is missing",
            Disposition::Discard(DiscardReason::Policy) => "discarded by a policy",
            // Options that AH does not know.
            Disposition::Discard(DiscardReason::Sign(_)) => "refused by AH",
            other => return Err(format!("{other:?} on the way out")),
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
        sealed.names.push(["sent by the side of the configuration", "sent by the side of the mirrored one"][from]);
        self.name(packet, &mut sealed);
        self.open(from, packet, sealed, report)
    }

    /// Through the tunnel of another policy, where there is one for what the first one made.
    fn protect_again(&mut self, from: usize, sealed: &mut Sealed<'_>) -> Result<(), String> {
        let policies = &self.configuration.policies;
        let outer = policies[sealed.policy].outer.filter(|outer| self.policy(from, &sealed.wire) == Some(*outer));
        let Some(outer) = outer else { return Ok(()) };
        match self.outbound(from, &sealed.wire) {
            (Disposition::Send, twice) => {
                sealed.wire = twice;
                sealed.names.push("nested tunnels of two policies");
                sealed.names.extend(&policies[outer].names);
                Ok(())
            }
            // Without the outer tunnel it is a packet of the inner one.
            (Disposition::Bypass | Disposition::Pending(_), _) => Ok(()),
            (other, _) => Err(format!("{other:?} on the way out through the outer tunnel")),
        }
    }

    /// What a case is counted by.
    fn name(&self, packet: &Packet, sealed: &mut Sealed<'_>) {
        let policy = &self.configuration.policies[sealed.policy];
        sealed.names.extend(&policy.names);
        for sa in &sealed.used {
            sealed.names.extend(&sa.names);
            sealed.names.push(match (sa.without_mode, policy.has_tunnel, policy.has_transport) {
                (true, false, _) => "SA without -m in transport mode",
                (true, _, false) => "SA without -m as a tunnel",
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
            sealed.names.push("IP in IP between the ends of an SA of IPComp");
        }
    }

    fn open(&mut self, from: usize, packet: &Packet, sealed: Sealed<'_>, report: &mut Report) -> Result<(), String> {
        let (disposition, opened) = self.gateways[1 - from].receive(&sealed.wire);
        let expected = self.expected(packet, &sealed);
        if disposition == Disposition::Deliver && expected.contains(&opened) {
            report.count(&sealed.names);
            report.count(if expected.contains(&packet.octets) { &[] } else { &["options in clear are replaced"] });
            return Ok(());
        }
        // What IPComp alone does not make smaller goes as it is.
        let unchanged = opened == packet.octets && sealed.wire == packet.octets;
        if disposition == Disposition::Bypass && unchanged && !has(&sealed, |sa| sa.protocol != Protocol::Ipcomp) {
            report.count(&sealed.names);
            report.count(&["IPComp that compresses nothing"]);
            return Ok(());
        }
        let mut failure = format!("{disposition:?}\nwire: {}", hex(&sealed.wire));
        if disposition == Disposition::Deliver {
            write!(failure, "\nopened: {}\nexpected: {}", hex(&opened), hex(&expected[0])).unwrap();
        }
        Err(failure)
    }

    /// What the receiver may deliver. Options in front of ESP and AH in transport mode that no ICV covers are replaced. They may be where such
    /// a packet is inside a tunnel of the same policy, or the policy has a tunnel without an SA.
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

    /// What passes in clear at the sender passes in clear at the receiver.
    fn pass_in_clear(
        &mut self,
        from: usize,
        packet: &Packet,
        wire: &[u8],
        policy: Option<usize>,
        report: &mut Report,
    ) -> Result<(), String> {
        let (disposition, received) = self.gateways[1 - from].receive(wire);
        if disposition == Disposition::Bypass && received == packet.octets && wire == packet.octets {
            report.count(&[match policy.map(|policy| &self.configuration.policies[policy]) {
                None => "in clear without a policy",
                Some(policy) if policy.names.is_empty() => "in clear by a policy",
                Some(_) => "in clear as no SA of level use is there",
            }]);
            return Ok(());
        }
        Err(format!("{disposition:?} of a packet in clear"))
    }
}

fn has(sealed: &Sealed<'_>, what: impl Fn(&SaTraits) -> bool) -> bool {
    sealed.used.iter().any(|sa| what(sa))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

/// One configuration and packets in both directions.
fn run(seed: u64, report: &mut Report) {
    let mut random = Random::seeded(seed);
    let configuration = Configuration::random(&mut random);
    let mut pair = Pair::new(&configuration);
    for _ in 0..PACKETS {
        let from = random.below(2);
        let packet = packet(&mut random, &configuration, from);
        let Err(failure) = pair.exchange(from, &packet, report) else { continue };
        let side = ["the side of the configuration", "the side of the mirrored one"][from];
        let (text, octets) = (&configuration.text, hex(&packet.octets));
        let first = format!("ROUND_TRIP_SEED={seed}, sent by {side}\n{text}packet: {octets}\n{failure}");
        let kind = failure.lines().next().unwrap_or_default().to_owned();
        report.failures.entry(kind).or_insert((0, first)).0 += 1;
    }
}

#[test]
fn what_a_configuration_seals_the_same_configuration_opens() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match (number("ROUND_TRIP_SEED"), number("ROUND_TRIP_CONFIGURATIONS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, configurations) => 0..configurations.unwrap_or(CONFIGURATIONS),
    };
    let is_complete = seeds.end - seeds.start >= CONFIGURATIONS;
    let mut report = Report::default();
    seeds.for_each(|seed| run(seed, &mut report));
    report.holds.iter().for_each(|(name, count)| println!("{count:8} {name}"));
    report.failures.values().for_each(|(count, text)| println!("{count} fail alike, the first is\n{text}\n"));
    assert!(report.failures.is_empty(), "{} kinds of failures", report.failures.len());
    if is_complete {
        for name in HOLDS {
            let count = report.holds.get(name).copied().unwrap_or(0);
            assert!(count >= AT_LEAST, "{name}: {count} cases are too few");
        }
    }
}

/// What there have to be cases of.
#[rustfmt::skip]
const HOLDS: &[&str] = &[
    // Bundles.
    "esp/transport", "ah/transport", "ipcomp/transport", "esp ah", "ipcomp esp", "ipcomp ah", "ipcomp esp ah",
    "esp/tunnel", "ah/tunnel", "ipcomp/tunnel", "tunnel, transport mode around it", "tunnel, two of transport mode around it",
    "tunnel in a tunnel of one policy", "transport mode in a tunnel of one policy", "three of both modes",
    "nested tunnels of two policies",
    "IPv4 tunnel of IPv4", "IPv4 tunnel of IPv6", "IPv6 tunnel of IPv4", "IPv6 tunnel of IPv6",
    // Policies.
    "policy any", "policy tcp or udp", "policy icmp", "policy with a type of icmp", "policy with ports", "policy ipencap",
    "policy ipv6", "policy of another protocol",
    "level default", "level use", "level require", "level unique", "level unique:number",
    // SAs.
    "ESP over IPv4", "ESP over IPv6", "AH over IPv4", "AH over IPv6", "IPComp over IPv4", "IPComp over IPv6",
    "SA -m transport", "SA -m tunnel", "SA without -m in transport mode", "SA without -m as a tunnel",
    "SA without -m in a bundle of both modes",
    "ESP in UDP, ports 4500", "ESP in UDP, equal ports", "ESP in UDP, unequal ports", "-natt",
    "window", "no window", "extended sequence numbers", "well-known CPI", "compressed", "IPComp that compresses nothing",
    // Packets.
    "UDP", "UDP without a checksum", "TCP", "ICMP", "ICMPv6", "IPv4 in IP", "IPv6 in IP", "no next header", "another protocol",
    "IP in IP, SA without -m", "IP in IP between the ends of an SA of IPComp",
    "IPv4 options", "options in clear are replaced", "IPv6 hop-by-hop options", "IPv6 destination options",
    "size 0", "size below 64", "size below 1000", "size to 1400",
    "sent by the side of the configuration", "sent by the side of the mirrored one",
    // What is not protected.
    "in clear without a policy", "in clear by a policy", "in clear as no SA of level use is there", "an SA is missing",
    "discarded by a policy",
];
