//! The setkey.conf texts of both gateways for each combination of options.

use std::error::Error;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipsec_config::setkey::{cipher_name, mac_name};
use ipsec_crypto::IntegrityAlgorithm;
use rand::Rng;
use test_vectors::to_hex;
use zeroize::Zeroizing;

use super::nat::Nat;
use super::networks::Networks;
use crate::suites::{Keys, SuiteName};

/// Options that determine the headers on the wire.
pub struct Layout {
    /// Mode of the SAs.
    pub mode: WireMode,
    /// Networks behind the gateways, which have addresses of the same IP version.
    pub networks: Networks,
    /// Protocols that protect the packets.
    pub proto: Proto,
    /// Set for a NAT in front of gateway A.
    pub nat: bool,
    /// Set for IPComp inside.
    pub ipcomp: bool,
    /// Set for extended sequence numbers.
    pub esn: bool,
}

/// Protocols that protect the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Proto {
    /// ESP with the suite, without AH.
    Esp,
    /// AH with the integrity algorithm of the suite, without encryption.
    Ah,
    /// AH around ESP, with the same integrity algorithm.
    #[value(name = "ah+esp")]
    AhEsp,
}

/// Mode of the SAs on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WireMode {
    /// Tunnel mode between the gateways.
    Tunnel,
    /// Transport mode between the hosts.
    Transport,
    /// BEET mode between the gateways, with the hosts as inner addresses.
    Beet,
}

/// Addresses of one IP version.
struct Addresses {
    gateways: (IpAddr, IpAddr),
    hosts: (IpAddr, IpAddr),
    /// Address of gateway A behind the NAT.
    behind_nat: IpAddr,
}

const V4: Addresses = Addresses {
    gateways: (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))),
    hosts: (IpAddr::V4(Ipv4Addr::new(192, 168, 1, 10)), IpAddr::V4(Ipv4Addr::new(192, 168, 2, 20))),
    behind_nat: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
};
const V6: Addresses = Addresses {
    gateways: (
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 1)),
    ),
    hosts: (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x10)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x20)),
    ),
    behind_nat: IpAddr::V6(Ipv6Addr::new(0xfd00, 0xa, 0, 0, 0, 0, 0, 2)),
};

const NAT_PORT: u16 = 61234;
const ESP_PORT: u16 = 4500;

/// Configuration of one gateway: its own address and that of the peer.
struct Side<'a> {
    local: IpAddr,
    remote: IpAddr,
    /// Selectors of the outbound policy: source and destination.
    selectors: (String, String),
    /// UDP port of the peer.
    port: u16,
    /// Source and destination address that the peer has in its packets, if a NAT changes them.
    original: Option<(IpAddr, IpAddr)>,
    spi: (u32, u32),
    keys: (&'a Keys, &'a Keys),
}

/// Texts of A and B, and the NAT between them if there is one.
pub type Texts = ([Zeroizing<String>; 2], Option<Nat>);

/// Creates the texts of A and B with new keys, and the NAT between them if there is one.
pub fn texts(layout: &Layout, suite: &SuiteName, rng: &mut impl Rng) -> Result<Texts, Box<dyn Error>> {
    if layout.proto != Proto::Esp && (layout.nat || layout.mode == WireMode::Beet) {
        return Err("AH covers the IP addresses: it cannot pass a NAT, and is not supported in BEET mode".into());
    }
    if layout.proto != Proto::Esp && suite.integrity == IntegrityAlgorithm::None {
        return Err("AH needs a suite with an integrity algorithm of its own, such as aes128-sha1".into());
    }
    let mut known = if layout.networks.is_v6() { V6 } else { V4 };
    let Networks { a: net_a, b: net_b } = layout.networks;
    known.hosts = (net_a.host_like(known.hosts.0), net_b.host_like(known.hosts.1));
    let between_hosts = layout.mode == WireMode::Transport;
    let (mut end_a, end_b) = if between_hosts { known.hosts } else { known.gateways };
    let seen_a = if layout.nat { known.gateways.0 } else { end_a };
    if layout.nat && !between_hosts {
        end_a = known.behind_nat;
    }
    let selectors = |a: IpAddr| match layout.mode {
        WireMode::Tunnel => (net_a.to_string(), net_b.to_string()),
        WireMode::Transport => (a.to_string(), end_b.to_string()),
        WireMode::Beet => (known.hosts.0.to_string(), known.hosts.1.to_string()),
    };
    let (keys_a, keys_b) = (suite.random_keys(rng), suite.random_keys(rng));
    // Only transport mode has checksums over addresses that a NAT changes.
    let original = |ends| (layout.nat && between_hosts).then_some(ends);
    let a = Side {
        local: end_a,
        remote: end_b,
        selectors: selectors(end_a),
        port: ESP_PORT,
        original: original((end_b, seen_a)),
        spi: (0x1001, 0x1002),
        keys: (&keys_a, &keys_b),
    };
    let (from, to) = selectors(seen_a);
    let b = Side {
        local: end_b,
        remote: seen_a,
        selectors: (to, from),
        port: if layout.nat { NAT_PORT } else { ESP_PORT },
        original: original((end_a, end_b)),
        spi: (0x1002, 0x1001),
        keys: (&keys_b, &keys_a),
    };
    let nat = layout.nat.then_some(Nat { inside: end_a, outside: seen_a, port: NAT_PORT });
    Ok(([text(layout, suite, &a)?, text(layout, suite, &b)?], nat))
}

fn text(layout: &Layout, suite: &SuiteName, side: &Side<'_>) -> Result<Zeroizing<String>, Box<dyn Error>> {
    let mut text = Zeroizing::new(String::new());
    let cipher = cipher_name(suite.cipher).ok_or("cipher without a name in setkey(8)")?;
    let mac = mac_name(suite.integrity).filter(|_| suite.integrity != IntegrityAlgorithm::None);
    let (with_esp, with_ah) = (layout.proto != Proto::Ah, layout.proto != Proto::Esp);
    // With IPComp in tunnel mode, the other SAs protect its packets in transport mode.
    let squeezed = layout.ipcomp && layout.mode == WireMode::Tunnel;
    let first = if squeezed { "transport" } else { word(layout.mode) };
    let esn = if layout.esn { " -esn" } else { "" };
    let (local, remote) = (side.local, side.remote);
    let ways = [(local, remote, side.spi.0, side.keys.0, false), (remote, local, side.spi.1, side.keys.1, true)];
    for (source, destination, spi, keys, arrives) in ways {
        let auth = mac.map_or(String::new(), |mac| format!(" -A {mac} 0x{}", to_hex(&keys.integrity)));
        let auth = Zeroizing::new(auth);
        if with_esp {
            let key = if keys.cipher.is_empty() { String::new() } else { format!(" 0x{}", to_hex(&keys.cipher)) };
            let (protocol, from, to) = match (layout.nat, arrives) {
                (false, _) => ("esp", String::new(), String::new()),
                (true, false) => ("esp-udp", format!("[{ESP_PORT}]"), format!("[{}]", side.port)),
                (true, true) => ("esp-udp", format!("[{}]", side.port), format!("[{ESP_PORT}]")),
            };
            let natt = match side.original.filter(|_| arrives) {
                Some((source, destination)) => format!(" -natt {source}[{}] {destination}[{ESP_PORT}]", side.port),
                None => String::new(),
            };
            writeln!(
                text,
                "add {source}{from} {destination}{to} {protocol} {spi:#x} -m {first} -r 8{esn}{natt} -E {cipher}{}{};",
                Zeroizing::new(key).as_str(),
                auth.as_str()
            )?;
        }
        if with_ah {
            let mode = if with_esp { "transport" } else { first };
            writeln!(text, "add {source} {destination} ah {:#x} -m {mode} -r 8{esn}{};", spi + 0x1000, auth.as_str())?;
        }
        if layout.ipcomp {
            let mode = if squeezed { "tunnel" } else { "transport" };
            // In BEET mode IPComp is applied between the hosts.
            let ends = match (layout.mode, arrives) {
                (WireMode::Beet, false) => format!("{} {}", side.selectors.0, side.selectors.1),
                (WireMode::Beet, true) => format!("{} {}", side.selectors.1, side.selectors.0),
                _ => format!("{source} {destination}"),
            };
            writeln!(text, "add {ends} ipcomp {:#x} -m {mode} -C deflate;", spi + 0x2000)?;
        }
    }
    let (here, there) = &side.selectors;
    for (direction, from, to, source, destination) in
        [("out", here, there, local, remote), ("in", there, here, remote, local)]
    {
        let mut transforms = String::new();
        let mut add = |protocol: &str, mode: &str, level: &str| {
            let ends = if mode == "transport" { String::new() } else { format!("{source}-{destination}") };
            transforms += &format!(" {protocol}/{mode}/{ends}/{level}");
        };
        if layout.ipcomp {
            add("ipcomp", if squeezed { "tunnel" } else { "transport" }, "use");
        }
        if with_esp {
            add("esp", first, "require");
        }
        if with_ah {
            add("ah", if with_esp { "transport" } else { first }, "require");
        }
        writeln!(text, "spdadd {from} {to} any -P {direction} ipsec{transforms};")?;
    }
    Ok(text)
}

const fn word(mode: WireMode) -> &'static str {
    match mode {
        WireMode::Tunnel => "tunnel",
        WireMode::Transport => "transport",
        WireMode::Beet => "beet",
    }
}
