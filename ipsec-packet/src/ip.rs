use core::fmt;
use core::net::IpAddr;

use crate::{HeaderPosition, IpProto, Ipv4, Ipv6, NoSpace, TooShort, ipv4};

/// An IP packet whose header was checked: version, header length, and total length against the octets there (RFC 791 3.1, RFC 8200 3).
#[derive(Clone, Copy, Debug)]
pub enum Ip<'a> {
    /// IPv4.
    V4(Ipv4<'a>),
    /// IPv6.
    V6(Ipv6<'a>),
}

impl<'a> Ip<'a> {
    /// Looks at the packet in front of `bytes`; octets behind its own length (link padding) are not part of it (RFC 791 3.1, RFC 8200 3).
    ///
    /// # Errors
    /// [`IpError`] when the header does not hold together.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, IpError> {
        match bytes.first() {
            None => Err(TooShort { needed: 20, available: 0 }.into()),
            Some(first) if first >> 4 == 4 => Ipv4::parse(bytes).map(Self::V4),
            Some(first) if first >> 4 == 6 => Ipv6::parse(bytes).map(Self::V6),
            Some(first) => Err(IpError::Version(first >> 4)),
        }
    }

    /// The packet, exactly as long as its header says.
    pub fn packet(&self) -> &'a [u8] {
        match self {
            Self::V4(ip) => ip.packet(),
            Self::V6(ip) => ip.packet(),
        }
    }

    /// Where it comes from (RFC 791 3.1, RFC 8200 3).
    pub fn source(&self) -> IpAddr {
        match self {
            Self::V4(ip) => ip.header().source().into(),
            Self::V6(ip) => ip.header().source().into(),
        }
    }

    /// Where it goes to (RFC 791 3.1, RFC 8200 3).
    pub fn destination(&self) -> IpAddr {
        match self {
            Self::V4(ip) => ip.header().destination().into(),
            Self::V6(ip) => ip.header().destination().into(),
        }
    }

    /// The TOS or traffic class octet: DSCP in the upper six bits, ECN in the lower two (RFC 2474, 3168).
    pub fn traffic_class(&self) -> u8 {
        match self {
            Self::V4(ip) => ip.header().tos(),
            Self::V6(ip) => ip.header().traffic_class(),
        }
    }

    /// TTL or hop limit (RFC 791 3.1, RFC 8200 3).
    pub fn hop_limit(&self) -> u8 {
        match self {
            Self::V4(ip) => ip.header().ttl(),
            Self::V6(ip) => ip.header().hop_limit(),
        }
    }
}

/// Sets the length field of the packet's header to the octets there, and the header checksum of IPv4 to match (RFC 791 3.1, RFC 8200 3).
///
/// # Errors
/// [`IpError::TooLong`] when the length does not fit in 16 bits, or what [`Ip::parse`] would say of the header.
pub fn set_length(packet: &mut [u8]) -> Result<(), IpError> {
    let total = packet.len();
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let total = u16::try_from(total).map_err(|_| IpError::TooLong(total))?;
            ipv4::edit(packet, |header| header.set_total_length(total))
        }
        Some(6) => {
            let header = crate::ipv6::header_mut(packet)?;
            let payload = total.saturating_sub(crate::ipv6::HEADER);
            header.set_payload_length(u16::try_from(payload).map_err(|_| IpError::TooLong(total))?);
            Ok(())
        }
        Some(version) => Err(IpError::Version(version)),
        None => Err(TooShort { needed: 20, available: 0 }.into()),
    }
}

/// Sets the length field of the packet's header to the octets there, and adjusts the header checksum of IPv4 (RFC 1624): a wrong one stays
/// wrong, so that the next check still finds the damage.
///
/// # Errors
/// [`IpError::TooLong`] when the length does not fit in 16 bits, or what [`Ip::parse`] would say of the version.
pub fn adjust_length(packet: &mut [u8]) -> Result<(), IpError> {
    let total = packet.len();
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        let total = u16::try_from(total).map_err(|_| IpError::TooLong(total))?;
        ipv4::amend(packet, |header| header.set_total_length(total));
        return Ok(());
    }
    set_length(packet)
}

/// Names what comes at a place, and adjusts the header checksum of IPv4: a wrong one stays wrong (RFC 1624).
///
/// # Errors
/// [`IpError::NotFound`] when the place is outside the packet.
pub fn set_next_header(packet: &mut [u8], place: HeaderPosition, kind: IpProto) -> Result<(), IpError> {
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        ipv4::amend(packet, |header| header.set_protocol(kind));
        return Ok(());
    }
    *packet.get_mut(place.named_at).ok_or(IpError::NotFound)? = kind.0;
    Ok(())
}

/// An IP packet that cannot be worked with (RFC 791 3.1, RFC 8200 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpError {
    /// It ends inside its header.
    TooShort(TooShort),
    /// Neither version 4 nor version 6.
    Version(u8),
    /// The IPv4 header length field is below 5.
    HeaderLength(u8),
    /// The length in the header is smaller than the header or larger than the packet.
    Length {
        /// Octets that the header claims.
        claimed: usize,
        /// Octets there.
        available: usize,
    },
    /// The packet would exceed 65535 octets; jumbograms (RFC 2675) are not supported.
    TooLong(usize),
    /// A fragment where only whole packets are processed (RFC 4303 3.3.4, RFC 4302 3.3.4, RFC 3173 2).
    Fragment,
    /// More IPv6 extension headers than are followed.
    TooManyExtensions,
    /// An IPv6 extension header is cut off or longer than the packet.
    Extension {
        /// Where it begins.
        offset: usize,
    },
    /// A source route or routing header in front of an IPsec header is not used up: the packet is not at its destination yet
    /// (RFC 791 3.1, RFC 8200 4.4).
    RouteNotFinished {
        /// Offset of the option or header.
        offset: usize,
    },
    /// An IPv4 or IPv6 option in front of an IPsec header is malformed, or unknown and not to be skipped (RFC 8200 4.2).
    Option {
        /// Offset of the option.
        offset: usize,
    },
    /// The header that was looked for is not in the packet.
    NotFound,
    /// The caller's buffer has no room for the change.
    NoSpace(NoSpace),
}

impl From<TooShort> for IpError {
    fn from(e: TooShort) -> Self {
        Self::TooShort(e)
    }
}

impl From<NoSpace> for IpError {
    fn from(e: NoSpace) -> Self {
        Self::NoSpace(e)
    }
}

impl fmt::Display for IpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(e) => e.fmt(f),
            Self::Version(v) => write!(f, "ip version {v}"),
            Self::HeaderLength(words) => write!(f, "ipv4 header length of {words} words"),
            Self::Length { claimed, available } => {
                write!(f, "ip length field says {claimed} octets, {available} are there")
            }
            Self::TooLong(octets) => write!(f, "ip packet of {octets} octets"),
            Self::Fragment => f.write_str("fragment"),
            Self::TooManyExtensions => f.write_str("too many ipv6 extension headers"),
            Self::Extension { offset } => write!(f, "malformed ipv6 extension header at octet {offset}"),
            Self::RouteNotFinished { offset } => {
                write!(f, "source route or routing header at octet {offset} is not finished")
            }
            Self::Option { offset } => write!(f, "malformed or unknown IP option at octet {offset}"),
            Self::NotFound => f.write_str("no such header in the packet"),
            Self::NoSpace(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for IpError {}
