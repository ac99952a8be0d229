//! Addresses of both sides, and policy selectors for them.

use test_vectors::Random;

/// Addresses of one side, IPv4 and IPv6.
pub struct Site {
    /// Gateway, which is also a host of transport mode policies.
    pub gateway: [&'static str; 2],
    /// Second gateway, for tunnels around tunnels.
    pub outer: [&'static str; 2],
    /// Host in the network.
    pub host: [&'static str; 2],
    /// Network behind the gateway.
    pub network: [&'static str; 2],
}

/// First side, which loads the configuration as written, and second side, which loads it with the directions swapped.
pub const SITES: [Site; 2] = [
    Site {
        gateway: ["192.0.2.1", "2001:db8:a::1"],
        outer: ["203.0.113.1", "2001:db8:c::1"],
        host: ["10.1.0.9", "2001:db8:1::9"],
        network: ["10.1.0.0/16", "2001:db8:1::/48"],
    },
    Site {
        gateway: ["198.51.100.1", "2001:db8:b::1"],
        outer: ["203.0.113.2", "2001:db8:d::1"],
        host: ["10.2.0.9", "2001:db8:2::9"],
        network: ["10.2.0.0/16", "2001:db8:2::/48"],
    },
];

/// Returns the endpoints of a tunnel between the gateways.
pub fn gateways(ipv6: usize) -> [&'static str; 2] {
    SITES.each_ref().map(|site| site.gateway[ipv6])
}

/// Returns the addresses of a side as `Gateway::new` expects them.
pub fn local(side: usize) -> String {
    let Site { gateway, outer, host, .. } = &SITES[side];
    [*gateway, *outer, *host].concat().join(" ")
}

/// Kind of address of a selector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Gateway,
    Host,
    Network,
}

/// Upper-layer protocol of a selector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upper {
    Any,
    /// Name in the text, and protocol number.
    Protocol(&'static str, u8),
    /// TCP or UDP with a port on both sides or on the second side.
    Ports(&'static str, u8, Option<u16>, u16),
    /// ICMP with one type.
    Icmp(&'static str, u8, u8),
}

/// Selectors of a pair of policies, one for each direction.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub ipv6: usize,
    /// Kinds of address of the first and of the second side.
    pub places: [Place; 2],
    pub upper: Upper,
}

/// Returns the address or network of a selector.
pub fn address_of(side: usize, place: Place, ipv6: usize) -> &'static str {
    let site = &SITES[side];
    match place {
        Place::Gateway => site.gateway[ipv6],
        Place::Host => site.host[ipv6],
        Place::Network => site.network[ipv6],
    }
}

pub fn upper(random: &mut Random, ipv6: usize) -> Upper {
    match random.below(18) {
        0..7 => Upper::Any,
        7 => Upper::Protocol("tcp", 6),
        8 => Upper::Protocol("udp", 17),
        9 => [Upper::Protocol("icmp", 1), Upper::Protocol("icmp6", 58)][ipv6],
        10 => [Upper::Icmp("icmp", 1, 8), Upper::Icmp("icmp6", 58, 128)][ipv6],
        11 => Upper::Ports("udp", 17, Some(1000), 2000),
        12 => Upper::Ports("tcp", 6, None, 80),
        13 => Upper::Ports("udp", 17, None, 53),
        14 => Upper::Protocol("gre", 47),
        15 => Upper::Protocol("ipencap", 4),
        16 => Upper::Protocol("ipv6", 41),
        _ => Upper::Protocol("253", 253),
    }
}

pub fn number(upper: Upper) -> (u8, Option<u16>, u16) {
    match upper {
        Upper::Any => (0, None, 0),
        Upper::Protocol(_, number) => (number, None, 0),
        Upper::Ports(_, number, from, to) => (number, from, to),
        Upper::Icmp(_, number, kind) => (number, None, kind.into()),
    }
}

/// Returns source, destination and upper-layer protocol of the selector for packets that this side sends.
pub fn selector(upper: Upper, hosts: [&str; 2], from: usize) -> (String, String, String) {
    let port = |port: Option<u16>| port.map(|port| format!("[{port}]")).unwrap_or_default();
    let (ports, text) = match upper {
        Upper::Any => ([None, None], "any".to_owned()),
        Upper::Protocol(name, _) => ([None, None], name.to_owned()),
        Upper::Ports(name, _, first, second) => ([first, Some(second)], name.to_owned()),
        Upper::Icmp(name, _, kind) => ([None, None], format!("{name} {kind}")),
    };
    let end = |side: usize| format!("{}{}", hosts[side], port(ports[side]));
    (end(from), end(1 - from), text)
}

pub fn upper_name(upper: Upper) -> &'static str {
    match upper {
        Upper::Any => "policy any",
        Upper::Protocol(_, 4) => "policy ipencap",
        Upper::Protocol(_, 41) => "policy ipv6",
        Upper::Protocol(_, 1 | 58) => "policy ICMP",
        Upper::Protocol(_, 6 | 17) => "policy TCP or UDP",
        Upper::Protocol(..) => "policy of another protocol",
        Upper::Ports(..) => "policy with ports",
        Upper::Icmp(..) => "policy with an ICMP type",
    }
}
