//! Random configurations of setkey(8), and the properties of their SAs and policies.

use std::collections::BTreeSet;
use std::fmt::Write;

use ipsec_engine::Protocol;
use test_vectors::Random;

use super::selector::{Group, Place, SITES, Upper, address_of, gateways, number, selector, upper, upper_name};

/// Properties of an SA of the text.
pub struct SaTraits {
    pub protocol: Protocol,
    pub destination: &'static str,
    /// SPI, or CPI as transmitted.
    pub spi: u32,
    pub without_mode: bool,
    /// Set if the statement has `-m tunnel`.
    pub tunnel: bool,
    /// Source and destination port of UDP encapsulation.
    pub ports: Option<(u16, u16)>,
    pub names: Vec<&'static str>,
}

/// Properties of a policy of the text.
#[derive(Default)]
pub struct PolicyTraits {
    /// Side that sends packets of this policy.
    pub from: usize,
    pub templates: usize,
    pub has_tunnel: bool,
    pub has_transport: bool,
    /// Set if the first template has transport mode.
    pub transport_first: bool,
    /// Set if a template has IPComp in tunnel mode.
    pub ipcomp_tunnel: bool,
    /// Policy of the same side that protects the packets of this one again.
    pub outer: Option<usize>,
    pub names: Vec<&'static str>,
}

/// Configuration, as loaded by the first side.
pub struct Configuration {
    pub text: String,
    pub groups: Vec<Group>,
    pub sas: Vec<SaTraits>,
    pub policies: Vec<PolicyTraits>,
    /// Bundle of each group.
    bundles: Vec<Bundle>,
    selectors: BTreeSet<String>,
    ipcomp: BTreeSet<(&'static str, &'static str)>,
    spi: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Transport,
    Tunnel,
}
use Mode::{Transport as X, Tunnel as T};
use Protocol::{Ah, Esp, Ipcomp};

type Bundle = &'static [(Protocol, Mode)];

const TRANSPORT: &[Bundle] = &[
    &[(Esp, X)],
    &[(Esp, X)],
    &[(Ah, X)],
    &[(Ipcomp, X)],
    &[(Esp, X), (Ah, X)],
    &[(Ipcomp, X), (Esp, X)],
    &[(Ipcomp, X), (Ah, X)],
    &[(Ipcomp, X), (Esp, X), (Ah, X)],
];
const TUNNEL: &[Bundle] = &[
    &[(Esp, T)],
    &[(Esp, T)],
    &[(Ah, T)],
    &[(Ipcomp, T)],
    &[(Esp, T), (Ah, X)],
    &[(Esp, T), (Ah, T)],
    &[(Esp, T), (Esp, T)],
    &[(Ipcomp, T), (Esp, X)],
    &[(Ipcomp, T), (Ah, X)],
    &[(Ipcomp, T), (Esp, X), (Ah, X)],
];
/// Bundles with transport mode between hosts inside a tunnel of the same policy.
const TRANSPORT_IN_TUNNEL: &[Bundle] = &[
    &[(Ipcomp, X), (Esp, T)],
    &[(Ipcomp, X), (Esp, T), (Ah, X)],
    &[(Esp, X), (Ah, T)],
    &[(Esp, X), (Esp, T)],
    &[(Ah, X), (Esp, T)],
    &[(Esp, X), (Ah, X), (Esp, T)],
];

const CIPHERS: &[&str] = &[
    "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213",
    "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213",
    "-E 3des-cbc \"three keys of eight octe\" -A hmac-md5 \"sixteen octets !\"",
    "-E aes-gcm-16 \"sixteen octets, salt\"",
    "-E aes-ctr \"sixteen octets, salt\" -A hmac-sha2-256 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "-E null -A aes-xcbc-mac \"sixteen octets !\"",
    "-E chacha20-poly1305 \"thirty-two octets, and four of salt.\"",
];
const MACS: &[&str] = &[
    "-A hmac-sha1 \"twenty octets it has\"",
    "-A hmac-md5 \"sixteen octets !\"",
    "-A hmac-sha2-256 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
];

/// Maximum number of SAs, and of policies, of the engine of `Gateway`.
const MAX_ENTRIES: usize = 16;

impl Configuration {
    pub fn random(random: &mut Random) -> Self {
        let mut configuration = Self {
            text: String::new(),
            groups: Vec::new(),
            sas: Vec::new(),
            policies: Vec::new(),
            bundles: Vec::new(),
            selectors: BTreeSet::new(),
            ipcomp: BTreeSet::new(),
            spi: 0x1000,
        };
        for _ in 0..random.pick(&[1, 2, 2, 3, 3]) {
            match random.below(20) {
                0..7 => configuration.hosts(random),
                7..10 => configuration.ip_in_ip(random),
                10..18 => configuration.networks(random),
                _ => configuration.nested(random),
            }
        }
        configuration
    }

    /// Returns the text with the directions of the policies swapped.
    pub fn mirrored(&self) -> String {
        self.text.replace(" -P out ", " -P was-out ").replace(" -P in ", " -P out ").replace(" -P was-out ", " -P in ")
    }

    /// Adds policies of transport mode between the gateways.
    fn hosts(&mut self, random: &mut Random) {
        let ipv6 = random.below(2);
        let upper = upper(random, ipv6);
        self.add(random, Group { ipv6, places: [Place::Gateway; 2], upper }, TRANSPORT, gateways(ipv6));
    }

    /// Adds policies of transport mode around IP in IP between the gateways, as of gif(4).
    fn ip_in_ip(&mut self, random: &mut Random) {
        let ipv6 = random.below(2);
        let upper = random.pick(&[
            Upper::Protocol("ipencap", 4),
            Upper::Protocol("4", 4),
            Upper::Protocol("ipv6", 41),
            Upper::Protocol("41", 41),
        ]);
        self.add(random, Group { ipv6, places: [Place::Gateway; 2], upper }, TRANSPORT, gateways(ipv6));
    }

    /// Adds policies of tunnel mode between the gateways.
    fn networks(&mut self, random: &mut Random) {
        let ipv6 = random.below(2);
        let places = random.pick(&[
            [Place::Network; 2],
            [Place::Network; 2],
            [Place::Gateway, Place::Network],
            [Place::Host, Place::Network],
            [Place::Host; 2],
            [Place::Host; 2],
            [Place::Gateway; 2],
        ]);
        let outer = if random.percent(35) { 1 - ipv6 } else { ipv6 };
        let bundles = if places == [Place::Host; 2] && random.percent(60) { TRANSPORT_IN_TUNNEL } else { TUNNEL };
        let upper = upper(random, ipv6);
        self.add(random, Group { ipv6, places, upper }, bundles, gateways(outer));
    }

    /// Adds a tunnel between the gateways whose packets another policy protects by a second tunnel.
    fn nested(&mut self, random: &mut Random) {
        let (ipv6, outer) = (random.below(2), random.below(2));
        let (bundle, protocol) =
            random.pick(&[(&TUNNEL[..1], Upper::Protocol("esp", 50)), (&TUNNEL[2..3], Upper::Protocol("ah", 51))]);
        let around = Group { ipv6: outer, places: [Place::Gateway; 2], upper: random.pick(&[Upper::Any, protocol]) };
        let outermost = random.below(2);
        let second_gateways = SITES.each_ref().map(|site| site.outer[outermost]);
        let inside = Group { ipv6, places: [Place::Network; 2], upper: upper(random, ipv6) };
        if let Some(around) = self.add(random, around, &TUNNEL[..3], second_gateways)
            && let Some(inside) = self.add(random, inside, bundle, gateways(outer))
        {
            for side in 0..2 {
                self.policies[inside + side].outer = Some(around + side);
            }
        }
    }

    /// Adds two policies, one for each direction, and the SAs of their templates; `tunnel` are the endpoints of
    /// tunnel-mode templates. Returns the index of the first policy, or `None` if the engine has no space or the SAs
    /// of a packet would be ambiguous.
    fn add(
        &mut self,
        random: &mut Random,
        group: Group,
        bundles: &[Bundle],
        tunnel: [&'static str; 2],
    ) -> Option<usize> {
        let bundle = random.pick(bundles);
        let hosts = [0, 1].map(|side| address_of(side, group.places[side], group.ipv6));
        if self.sas.len() + 2 * bundle.len() > MAX_ENTRIES
            || self.policies.len() + 4 > MAX_ENTRIES
            || self.is_ambiguous(&group, bundle)
        {
            return None;
        }
        // An uncompressed packet of IPComp cannot be assigned to one of several SAs.
        if bundle.iter().any(|(protocol, _)| *protocol == Ipcomp) {
            let pairs = BTreeSet::from([(tunnel[0], tunnel[1]), (hosts[0], hosts[1])]);
            if !self.ipcomp.is_disjoint(&pairs) {
                return None;
            }
            self.ipcomp.extend(pairs);
        }
        if !self.selectors.insert(format!("{} {} {:?}", hosts[0], hosts[1], number(group.upper))) {
            return None;
        }
        if random.percent(35) {
            self.exception(random, &hosts);
        }
        let first = self.policies.len();
        let levels: Vec<&str> = bundle
            .iter()
            .map(|_| random.pick(&["require", "require", "", "use", "use", "unique:", "unique"]))
            .collect();
        let without_mode: Vec<bool> = bundle.iter().map(|_| random.percent(35)).collect();
        for from in 0..2 {
            self.direction(random, &group, bundle, from, hosts, tunnel, (&levels, &without_mode));
        }
        self.groups.push(group);
        self.bundles.push(bundle);
        Some(first)
    }

    /// Returns whether an SA without `-m` around an uncompressed IPComp tunnel could be the tunnel of another policy:
    /// the receiver compares only the addresses of the inner packet, as KAME does.
    fn is_ambiguous(&self, group: &Group, bundle: Bundle) -> bool {
        let is_tunnel = bundle.iter().any(|(_, mode)| *mode == T);
        let is_ipcomp_tunnel = bundle.contains(&(Ipcomp, T));
        self.groups.iter().zip(&self.bundles).any(|(other, others)| {
            let overlaps = |(one, two): (&Place, &Place)| (*one == Place::Gateway) == (*two == Place::Gateway);
            other.ipv6 == group.ipv6
                && other.places.iter().zip(&group.places).all(overlaps)
                && (is_ipcomp_tunnel && others.iter().any(|(_, mode)| *mode == T)
                    || is_tunnel && others.contains(&(Ipcomp, T)))
        })
    }

    /// Adds BYPASS or DISCARD policies for one port, which precede the others.
    fn exception(&mut self, random: &mut Random, hosts: &[&str; 2]) {
        if !self.selectors.insert(format!("{} {} 22", hosts[0], hosts[1])) {
            return;
        }
        let ends = [hosts[0].to_owned(), format!("{}[22]", hosts[1])];
        let action = random.pick(&["none", "bypass", "discard"]);
        for from in 0..2 {
            let direction = ["out", "in"][from];
            writeln!(self.text, "spdadd {} {} tcp -P {direction} {action};", ends[from], ends[1 - from]).unwrap();
            self.policies.push(PolicyTraits { from, ..PolicyTraits::default() });
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn direction(
        &mut self,
        random: &mut Random,
        group: &Group,
        bundle: Bundle,
        from: usize,
        hosts: [&'static str; 2],
        tunnel: [&'static str; 2],
        (levels, without_mode): (&[&str], &[bool]),
    ) {
        let to = 1 - from;
        let mut policy = PolicyTraits {
            from,
            templates: bundle.len(),
            names: vec![bundle_name(bundle), upper_name(group.upper)],
            ..PolicyTraits::default()
        };
        let id = self.policies.len() as u32 + 1;
        let (mut sas, mut templates) = (String::new(), String::new());
        let mut ends = (hosts[from], hosts[to]);
        for (index, &(protocol, mode)) in bundle.iter().enumerate() {
            if mode == T {
                ends = (tunnel[from], tunnel[to]);
                policy.has_tunnel = true;
                policy.ipcomp_tunnel |= protocol == Ipcomp;
                policy.names.push(
                    ["IPv4 tunnel of IPv4", "IPv6 tunnel of IPv4", "IPv4 tunnel of IPv6", "IPv6 tunnel of IPv6"]
                        [group.ipv6 * 2 + usize::from(ends.0.contains(':'))],
                );
            } else {
                policy.has_transport = true;
                policy.transport_first |= index == 0;
            }
            let (level, reqid) = match levels[index] {
                "unique:" => (format!("unique:{}", 2 * self.spi + from as u32), 2 * self.spi + from as u32),
                "unique" => ("unique".into(), (1 << 31) + id),
                level => (level.to_owned(), 0),
            };
            policy.names.push(level_name(levels[index]));
            let present = !random.percent(if levels[index] == "use" { 15 } else { 3 });
            let mut ports = None;
            if present {
                let (line, traits) = self.sa(random, protocol, mode, ends, reqid, without_mode[index]);
                sas.push_str(&line);
                ports = traits.ports;
                self.sas.push(traits);
            }
            let shown = match (mode, ports) {
                (T, Some((source, destination))) if random.percent(50) => {
                    format!("{}[{source}]-{}[{destination}]", ends.0, ends.1)
                }
                (T, _) => format!("{}-{}", ends.0, ends.1),
                (X, _) if random.percent(20) => format!("{}-{}", ends.0, ends.1),
                (X, _) => String::new(),
            };
            let mode = if mode == T { "tunnel" } else { "transport" };
            let template = format!(" {protocol}/{mode}/{shown}/{level}");
            templates.push_str(template.trim_end_matches('/'));
        }
        let (source, destination, upper) = selector(group.upper, hosts, from);
        let direction = ["out", "in"][from];
        writeln!(self.text, "{sas}spdadd {source} {destination} {upper} -P {direction} ipsec{templates};").unwrap();
        self.policies.push(policy);
    }

    fn sa(
        &mut self,
        random: &mut Random,
        protocol: Protocol,
        mode: Mode,
        (source, destination): (&'static str, &'static str),
        reqid: u32,
        without_mode: bool,
    ) -> (String, SaTraits) {
        self.spi += 1;
        let mut spi = self.spi;
        let mut names = vec![];
        let ports = (protocol == Esp && random.percent(20))
            .then(|| random.pick(&[(4500, 4500), (4500, 4500), (24500, 24500), (24500, 4500), (4500, 24500)]));
        let (mut source_text, mut destination_text, mut name, mut natt) =
            (source.to_owned(), destination.to_owned(), protocol.name(), String::new());
        if let Some((from, to)) = ports {
            names.push(
                ["ESP in UDP, ports 4500", "ESP in UDP, equal ports", "ESP in UDP, unequal ports"]
                    [if from != to { 2 } else { usize::from(from != 4500) }],
            );
            if random.percent(25) {
                names.push("-natt");
                natt = format!(" -natt {source}[{from}] {destination}[{to}]");
            } else {
                name = "esp-udp";
                (source_text, destination_text) = (format!("{source}[{from}]"), format!("{destination}[{to}]"));
            }
        }
        let mut options = String::new();
        if !without_mode {
            options.push_str(if mode == T { " -m tunnel" } else { " -m transport" });
        }
        if reqid != 0 {
            write!(options, " -u {reqid}").unwrap();
        }
        if protocol != Ipcomp {
            let window = random.pick(&["", "", " -r 4", " -r 8", " -r 32"]);
            names.push(if window.is_empty() { "no window" } else { "window" });
            options.push_str(window);
            if random.percent(15) {
                options.push_str(" -esn");
                names.push("extended sequence numbers");
            }
            if protocol == Esp && random.percent(15) {
                options.push_str(" -f zero-pad");
            }
        }
        let index = spi;
        let algorithms = match protocol {
            Esp => random.pick(CIPHERS),
            Ah => random.pick(MACS),
            Ipcomp if random.percent(50) => {
                names.push("well-known CPI");
                spi = 2;
                "-C deflate"
            }
            Ipcomp => "-C deflate -R",
        };
        names.push(match (protocol, destination.contains(':')) {
            (Esp, false) => "ESP over IPv4",
            (Esp, true) => "ESP over IPv6",
            (Ah, false) => "AH over IPv4",
            (Ah, true) => "AH over IPv6",
            (Ipcomp, false) => "IPComp over IPv4",
            (Ipcomp, true) => "IPComp over IPv6",
        });
        let line = format!("add {source_text} {destination_text} {name} {index:#x}{natt}{options} {algorithms};\n");
        (line, SaTraits { protocol, destination, spi, without_mode, tunnel: !without_mode && mode == T, ports, names })
    }
}

fn bundle_name(bundle: Bundle) -> &'static str {
    match bundle {
        [(Esp, X)] => "esp/transport",
        [(Ah, X)] => "ah/transport",
        [(Ipcomp, X)] => "ipcomp/transport",
        [(Esp, X), (Ah, X)] => "esp ah",
        [(Ipcomp, X), (Esp, X)] => "ipcomp esp",
        [(Ipcomp, X), (Ah, X)] => "ipcomp ah",
        [(Ipcomp, X), (Esp, X), (Ah, X)] => "ipcomp esp ah",
        [(Esp, T)] => "esp/tunnel",
        [(Ah, T)] => "ah/tunnel",
        [(Ipcomp, T)] => "ipcomp/tunnel",
        [(_, T), (_, X)] => "tunnel with transport mode around it",
        [(_, T), (_, T)] => "nested tunnels of one policy",
        [(_, T), _, _] => "tunnel with two of transport mode around it",
        [(_, X), (_, T)] => "transport mode in a tunnel of one policy",
        _ => "three templates of both modes",
    }
}

fn level_name(level: &str) -> &'static str {
    match level {
        "require" => "level require",
        "use" => "level use",
        "unique:" => "level unique:number",
        "unique" => "level unique",
        _ => "level default",
    }
}
