//! What a policy looks at in a packet, and what it compares it with (RFC 4301 4.4.1.1).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Ip, IpError, IpProto, Ipv4, Ipv6};

/// The selectors of one packet (RFC 4301 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// What it carries: behind IPv6 extension headers, but not behind AH or ESP. Of a later IPv6 fragment that is unknown: it is
    /// [`IpProto::FRAGMENT`] then, and `detail` is [`Detail::Opaque`].
    pub protocol: IpProto,
    /// What that protocol tells about itself.
    pub detail: Detail,
}

/// What an upper protocol tells about itself (RFC 4301 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// Nothing.
    None,
    /// Source and destination port of TCP, UDP, UDP-Lite, SCTP or DCCP.
    Ports(u16, u16),
    /// Type and code of ICMP or ICMPv6.
    Icmp(u8, u8),
    /// It is not there to be read: the packet is a later fragment, or too short (`OPAQUE` in RFC 4301 4.4.1.1).
    Opaque,
}

impl Flow {
    /// Reads the selectors of a packet (RFC 4301 4.4.1.1).
    ///
    /// # Errors
    /// [`IpError`] when its IP header or an extension header does not hold together.
    pub fn read(packet: &[u8]) -> Result<Self, IpError> {
        let ip = Ip::parse(packet)?;
        let (protocol, detail) = match &ip {
            Ip::V4(ip) => ipv4_upper(ip),
            Ip::V6(ip) => ipv6_upper(ip)?,
        };
        Ok(Self { source: ip.source(), destination: ip.destination(), protocol, detail })
    }

    /// That of an answer: addresses and ports change places.
    #[must_use]
    pub const fn reversed(self) -> Self {
        let detail = match self.detail {
            Detail::Ports(source, destination) => Detail::Ports(destination, source),
            other => other,
        };
        Self { source: self.destination, destination: self.source, detail, ..self }
    }
}

fn ipv4_upper(ip: &Ipv4<'_>) -> (IpProto, Detail) {
    let protocol = ip.header().protocol();
    (protocol, if ip.header().is_first_or_whole() { read_detail(protocol, ip.payload()) } else { hidden(protocol) })
}

fn ipv6_upper(ip: &Ipv6<'_>) -> Result<(IpProto, Detail), IpError> {
    let mut chain = ip.chain();
    while let Some(extension) = chain.next_extension()? {
        let body = ip.packet().get(extension.link.offset..).unwrap_or_default();
        match (extension.link.kind, body) {
            // What AH covers is its own matter.
            (IpProto::AH, _) => return Ok((IpProto::AH, Detail::None)),
            // The next header of a later fragment is ignored by reassembly, so it may name anything (RFC 8200 4.5).
            (IpProto::FRAGMENT, [_, _, high, low, ..]) if (*high, low >> 3) != (0, 0) => {
                return Ok((IpProto::FRAGMENT, Detail::Opaque));
            }
            _ => {}
        }
    }
    let link = chain.link();
    Ok((link.kind, read_detail(link.kind, ip.packet().get(link.offset..).unwrap_or_default())))
}

const fn is_icmp(protocol: IpProto) -> bool {
    matches!(protocol, IpProto::ICMP | IpProto::ICMPV6)
}

pub(crate) fn read_detail(protocol: IpProto, upper: &[u8]) -> Detail {
    match *upper {
        [a, b, c, d, ..] if protocol.has_ports() => {
            Detail::Ports(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        }
        [kind, code, ..] if is_icmp(protocol) => Detail::Icmp(kind, code),
        _ => hidden(protocol),
    }
}

pub(crate) const fn hidden(protocol: IpProto) -> Detail {
    if protocol.has_ports() || is_icmp(protocol) { Detail::Opaque } else { Detail::None }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail {
            Detail::Ports(source, destination) => {
                write!(f, "{}[{source}] {}[{destination}] {}", self.source, self.destination, self.protocol)
            }
            Detail::Icmp(kind, code) => {
                write!(f, "{} {} {},{kind},{code}", self.source, self.destination, self.protocol)
            }
            Detail::None | Detail::Opaque => write!(f, "{} {} {}", self.source, self.destination, self.protocol),
        }
    }
}

/// Addresses of one IP version, from the first to the last, both included (RFC 4301 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// Every IPv4 address (RFC 4301 4.4.1.1).
    pub const ANY_V4: Self = Self { first: IpAddr::V4(Ipv4Addr::UNSPECIFIED), last: IpAddr::V4(Ipv4Addr::BROADCAST) };
    /// Every IPv6 address (RFC 4301 4.4.1.1).
    pub const ANY_V6: Self =
        Self { first: IpAddr::V6(Ipv6Addr::UNSPECIFIED), last: IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)) };

    /// One address.
    pub const fn host(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }

    /// Those from `first` to `last`; `None` when they are of two versions or in the wrong order (RFC 4301 4.4.1.1).
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    /// Those that have the first `length` bits of `address`; `None` when it has fewer bits.
    pub fn prefix(address: IpAddr, length: u8) -> Option<Self> {
        match address {
            IpAddr::V4(address) => {
                let hosts = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                let first = address.to_bits() & !hosts;
                let (first, last) = (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(first | hosts));
                (length <= 32).then_some(Self { first: first.into(), last: last.into() })
            }
            IpAddr::V6(address) => {
                let hosts = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                let first = address.to_bits() & !hosts;
                let (first, last) = (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(first | hosts));
                (length <= 128).then_some(Self { first: first.into(), last: last.into() })
            }
        }
    }

    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, self.last, address) {
            (IpAddr::V4(first), IpAddr::V4(last), IpAddr::V4(address)) => {
                (first.to_bits()..=last.to_bits()).contains(&address.to_bits())
            }
            (IpAddr::V6(first), IpAddr::V6(last), IpAddr::V6(address)) => {
                (first.to_bits()..=last.to_bits()).contains(&address.to_bits())
            }
            _ => false,
        }
    }

    /// The lowest.
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// The highest.
    pub const fn last(&self) -> IpAddr {
        self.last
    }

    /// Their common prefix in bits, where they are all that have it.
    pub fn prefix_length(&self) -> Option<u8> {
        let (common, whole) = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => ((first.to_bits() ^ last.to_bits()).leading_zeros(), 32),
            (IpAddr::V6(first), IpAddr::V6(last)) => ((first.to_bits() ^ last.to_bits()).leading_zeros(), 128),
            _ => return None,
        };
        let length = u8::try_from(common.min(whole)).ok()?;
        Self::prefix(self.first, length).filter(|all| all == self).map(|_| length)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_length() {
            Some(length) => write!(f, "{}/{length}", self.first),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// Ports from the first to the last, both included (RFC 4301 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// Every port, and packets that have none (RFC 4301 4.4.1.1).
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// One port.
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Whether a port is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// What upper protocols, and what of them, a selector is for (RFC 4301 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Upper {
    /// Any, whatever its ports.
    Any,
    /// This one, or with `None` any that has ports, between these ports.
    Ports(Option<IpProto>, PortRange, PortRange),
    /// This one, whatever its ports.
    Protocol(IpProto),
    /// ICMP or ICMPv6 of one type, and of one code or any.
    Icmp(IpProto, u8, Option<u8>),
}

/// Which packets a policy is for (RFC 4301 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Where they come from.
    pub source: AddressRange,
    /// Where they go.
    pub destination: AddressRange,
    /// What they carry.
    pub upper: Upper,
}

/// Whether a packet is one of a selector's (RFC 4301 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It may be: what tells is not there to be read ([`Detail::Opaque`]).
    Unknown,
}

impl Selector {
    /// Compares a packet with the selector (RFC 4301 4.4.1.1).
    pub fn matches(&self, flow: &Flow) -> Match {
        if self.source.contains(flow.source) && self.destination.contains(flow.destination) {
            self.upper.matches(flow)
        } else {
            Match::No
        }
    }
}

impl Upper {
    fn matches(self, flow: &Flow) -> Match {
        let wanted = match self {
            Self::Any => return Match::Yes,
            Self::Ports(wanted, ..) => wanted,
            Self::Protocol(wanted) | Self::Icmp(wanted, ..) => Some(wanted),
        };
        // A later IPv6 fragment may be a part of any protocol.
        if (flow.protocol, flow.detail) == (IpProto::FRAGMENT, Detail::Opaque) {
            return Match::Unknown;
        }
        if wanted.is_some_and(|wanted| wanted != flow.protocol) {
            return Match::No;
        }
        let holds = match (self, flow.detail) {
            (Self::Protocol(_), _) => true,
            (Self::Ports(_, PortRange::ANY, PortRange::ANY), detail) => {
                wanted.is_some() || matches!(detail, Detail::Ports(..)) || flow.protocol.has_ports()
            }
            (Self::Icmp(..), Detail::Opaque) => return Match::Unknown,
            (Self::Ports(..), Detail::Opaque) if flow.protocol.has_ports() => return Match::Unknown,
            (Self::Ports(_, from, to), Detail::Ports(source, destination)) => {
                from.contains(source) && to.contains(destination)
            }
            (Self::Icmp(_, wanted, code), Detail::Icmp(kind, found)) => {
                wanted == kind && code.is_none_or(|code| code == found)
            }
            _ => false,
        };
        if holds { Match::Yes } else { Match::No }
    }
}
