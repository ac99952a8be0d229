//! Selectors of packets and policies (RFC 4301 section 4.4.1.1).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::parsed::Layout;
use crate::{Ip, IpError, IpProto};

/// Selector values of one packet (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Source address of the packet.
    pub source: IpAddr,
    /// Destination address of the packet.
    pub destination: IpAddr,
    /// Upper-layer protocol: that after IPv6 extension headers, but not after AH or ESP. In a later IPv6 fragment it is
    /// unknown: the value is [`IpProto::FRAGMENT`], and `detail` is [`Detail::Opaque`].
    pub protocol: IpProto,
    /// Ports, or type and code, of the upper-layer protocol.
    pub detail: Detail,
}

/// Ports, or type and code, of an upper-layer protocol (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// The protocol has neither ports nor type and code.
    None,
    /// Source and destination port of TCP, UDP, UDP-Lite, SCTP or DCCP.
    Ports(u16, u16),
    /// Type and code of ICMP or ICMPv6.
    Icmp(u8, u8),
    /// The values are not available: the packet is a later fragment, or too short (`OPAQUE` in RFC 4301 section
    /// 4.4.1.1).
    Opaque,
}

impl Flow {
    /// Reads the selector values of a packet (RFC 4301 section 4.4.1.1).
    ///
    /// # Errors
    /// [`IpError`] if the IP header or an extension header is malformed.
    pub fn read(packet: &[u8]) -> Result<Self, IpError> {
        let ip = Ip::parse(packet)?;
        Layout::of(&ip).flow(ip.source(), ip.destination())
    }

    /// Returns whether the packet is one of ICMP or ICMPv6, which may quote another packet.
    pub const fn is_icmp(&self) -> bool {
        is_icmp(self.protocol)
    }

    /// Returns the flow of the return traffic: addresses and ports are exchanged.
    #[must_use]
    pub const fn reversed(self) -> Self {
        let detail = match self.detail {
            Detail::Ports(source, destination) => Detail::Ports(destination, source),
            other => other,
        };
        Self { source: self.destination, destination: self.source, detail, ..self }
    }
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

/// Range of addresses of one IP version, first and last included (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// Range of all IPv4 addresses (RFC 4301 section 4.4.1.1).
    pub const ANY_V4: Self = Self { first: IpAddr::V4(Ipv4Addr::UNSPECIFIED), last: IpAddr::V4(Ipv4Addr::BROADCAST) };
    /// Range of all IPv6 addresses (RFC 4301 section 4.4.1.1).
    pub const ANY_V6: Self =
        Self { first: IpAddr::V6(Ipv6Addr::UNSPECIFIED), last: IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)) };

    /// Creates a range of one address.
    pub const fn host(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }

    /// Creates a range from `first` to `last`. Returns `None` if their versions differ or their order is wrong
    /// (RFC 4301 section 4.4.1.1).
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    /// Creates the range of addresses with the first `length` bits of `address`. Returns `None` if the address has
    /// fewer bits.
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

    /// Returns whether an address is in the range.
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

    /// Returns whether all addresses of another range are in this one.
    pub fn contains_range(&self, other: &Self) -> bool {
        self.contains(other.first) && self.contains(other.last)
    }

    /// Returns the lowest address.
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// Returns the highest address.
    pub const fn last(&self) -> IpAddr {
        self.last
    }

    /// Returns the length of the common prefix in bits, if the range is exactly a prefix.
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

/// Range of ports, first and last included (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// Lowest port of the range.
    pub first: u16,
    /// Highest port of the range.
    pub last: u16,
}

impl PortRange {
    /// Range of all ports, which also matches packets without ports (RFC 4301 section 4.4.1.1).
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// Creates a range of one port.
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Returns whether a port is in the range.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Returns whether all ports of another range are in this one.
    pub const fn contains_range(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

/// Upper-layer protocols, ports, types and codes of a selector (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Upper {
    /// Any upper-layer protocol with any ports.
    Any,
    /// This protocol, or any protocol with ports for `None`, with source and destination ports in these ranges.
    Ports(Option<IpProto>, PortRange, PortRange),
    /// This protocol with any ports.
    Protocol(IpProto),
    /// ICMP or ICMPv6 with one type, and one code or any.
    Icmp(IpProto, u8, Option<u8>),
}

/// Selector of a policy (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Range of source addresses.
    pub source: AddressRange,
    /// Range of destination addresses.
    pub destination: AddressRange,
    /// Upper-layer protocol with its ports, or type and code.
    pub upper: Upper,
}

/// Result of the comparison of a packet with a selector (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The packet matches the selector.
    Yes,
    /// The packet does not match the selector.
    No,
    /// The packet may match: a value that decides is not available ([`Detail::Opaque`]).
    Unknown,
}

impl Selector {
    /// Compares a packet with the selector (RFC 4301 section 4.4.1.1).
    pub fn matches(&self, flow: &Flow) -> Match {
        if self.source.contains(flow.source) && self.destination.contains(flow.destination) {
            self.upper.matches(flow)
        } else {
            Match::No
        }
    }

    /// Returns whether every packet that matches another selector matches this one as well.
    pub fn contains(&self, other: &Self) -> bool {
        self.source.contains_range(&other.source)
            && self.destination.contains_range(&other.destination)
            && self.upper.contains(other.upper)
    }
}

impl Upper {
    fn contains(self, other: Self) -> bool {
        let any = |source, destination| (source, destination) == (PortRange::ANY, PortRange::ANY);
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) => false,
            (Self::Protocol(wanted), Self::Protocol(found) | Self::Ports(Some(found), ..) | Self::Icmp(found, ..)) => {
                wanted == found
            }
            (Self::Ports(wanted, source, destination), Self::Ports(found, other_source, other_destination)) => {
                (wanted.is_none() || wanted == found)
                    && source.contains_range(other_source)
                    && destination.contains_range(other_destination)
            }
            // Without a restriction of its ports, a protocol matches in either form.
            (Self::Ports(Some(wanted), source, destination), Self::Protocol(found)) => {
                wanted == found && any(source, destination)
            }
            (Self::Ports(None, source, destination), Self::Protocol(found)) => {
                found.has_ports() && any(source, destination)
            }
            (Self::Icmp(wanted, kind, code), Self::Icmp(found, other_kind, other_code)) => {
                (wanted, kind) == (found, other_kind) && (code.is_none() || code == other_code)
            }
            _ => false,
        }
    }

    fn matches(self, flow: &Flow) -> Match {
        let wanted = match self {
            Self::Any => return Match::Yes,
            Self::Ports(wanted, ..) => wanted,
            Self::Protocol(wanted) | Self::Icmp(wanted, ..) => Some(wanted),
        };
        // A later IPv6 fragment may have any upper-layer protocol.
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
