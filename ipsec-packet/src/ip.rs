use core::fmt;
use core::net::IpAddr;

use crate::{Fault, HeaderPosition, IpProto, Ipv4, Ipv6, MAX_EXTENSION_HEADERS, NoSpace, TooShort, ipv4};

/// IP packet whose header was validated: version, header length, and total length against the input (RFC 791 section
/// 3.1, RFC 8200 section 3).
#[derive(Clone, Copy, Debug)]
pub enum Ip<'a> {
    /// Packet of IP version 4.
    V4(Ipv4<'a>),
    /// Packet of IP version 6.
    V6(Ipv6<'a>),
}

impl<'a> Ip<'a> {
    /// Validates the header of the packet at the front of `bytes`. Octets after its own length (link padding) are
    /// not part of it (RFC 791 section 3.1, RFC 8200 section 3).
    ///
    /// # Errors
    /// [`IpError`] if the header is malformed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, IpError> {
        match bytes.first() {
            None => Err(TooShort { needed: 20, available: 0 }.into()),
            Some(first) if first >> 4 == 4 => Ipv4::parse(bytes).map(Self::V4),
            Some(first) if first >> 4 == 6 => Ipv6::parse(bytes).map(Self::V6),
            Some(first) => Err(IpError::Version(first >> 4)),
        }
    }

    /// Returns the packet, exactly as long as its length field specifies.
    pub fn packet(&self) -> &'a [u8] {
        match self {
            Self::V4(ip) => ip.packet(),
            Self::V6(ip) => ip.packet(),
        }
    }

    /// Returns the source address (RFC 791 section 3.1, RFC 8200 section 3).
    pub fn source(&self) -> IpAddr {
        match self {
            Self::V4(ip) => ip.header().source().into(),
            Self::V6(ip) => ip.header().source().into(),
        }
    }

    /// Returns the destination address (RFC 791 section 3.1, RFC 8200 section 3).
    pub fn destination(&self) -> IpAddr {
        match self {
            Self::V4(ip) => ip.header().destination().into(),
            Self::V6(ip) => ip.header().destination().into(),
        }
    }

    /// Returns the TOS or traffic class octet: DSCP in the upper six bits, ECN in the lower two (RFC 2474, RFC 3168).
    pub fn traffic_class(&self) -> u8 {
        match self {
            Self::V4(ip) => ip.header().tos(),
            Self::V6(ip) => ip.header().traffic_class(),
        }
    }

    /// Returns the TTL or hop limit (RFC 791 section 3.1, RFC 8200 section 3).
    pub fn hop_limit(&self) -> u8 {
        match self {
            Self::V4(ip) => ip.header().ttl(),
            Self::V6(ip) => ip.header().hop_limit(),
        }
    }
}

/// Sets the length field to the length of the packet, and recomputes the header checksum of IPv4 (RFC 791 section
/// 3.1, RFC 8200 section 3).
///
/// # Errors
/// [`IpError::TooLong`] if the length exceeds 16 bits, or an error of [`Ip::parse`].
pub fn set_length(packet: &mut [u8]) -> Result<(), IpError> {
    let total = packet.len();
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let total = u16::try_from(total).map_err(|_| IpError::TooLong(total))?;
            ipv4::rewrite_header(packet, |header| header.set_total_length(total))
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

/// Sets the length field to the length of the packet, and updates the header checksum of IPv4 (RFC 1624): a wrong
/// checksum stays wrong, so that the next verification still detects the damage.
///
/// # Errors
/// [`IpError::TooLong`] if the length exceeds 16 bits, or an error of [`Ip::parse`] about the version.
pub fn adjust_length(packet: &mut [u8]) -> Result<(), IpError> {
    let total = packet.len();
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        let total = u16::try_from(total).map_err(|_| IpError::TooLong(total))?;
        ipv4::update_header(packet, |header| header.set_total_length(total));
        return Ok(());
    }
    set_length(packet)
}

/// Sets the protocol number of the header at a position, and updates the header checksum of IPv4: a wrong checksum
/// stays wrong (RFC 1624).
///
/// # Errors
/// [`IpError::NotFound`] if the position is outside the packet.
pub fn set_next_header(packet: &mut [u8], place: HeaderPosition, kind: IpProto) -> Result<(), IpError> {
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        ipv4::update_header(packet, |header| header.set_protocol(kind));
        return Ok(());
    }
    *packet.get_mut(place.next_header_at).ok_or(IpError::NotFound)? = kind.0;
    Ok(())
}

/// Error of an IP packet that cannot be processed (RFC 791 section 3.1, RFC 8200 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpError {
    /// The packet is shorter than its header.
    TooShort(TooShort),
    /// The version is neither 4 nor 6.
    Version(u8),
    /// The IPv4 header length field is below 5 words.
    HeaderLength(u8),
    /// The length field is smaller than the header or larger than the packet.
    Length {
        /// Length in the header, in octets.
        claimed: usize,
        /// Number of octets that are available.
        available: usize,
    },
    /// The packet would exceed 65,535 octets; jumbograms (RFC 2675) are not supported.
    TooLong(usize),
    /// The packet is a fragment where whole packets are required (RFC 4303 section 3.3.4, RFC 4302 section 3.3.4, RFC
    /// 3173 section 2).
    Fragment,
    /// The packet has more IPv6 extension headers than [`MAX_EXTENSION_HEADERS`](crate::MAX_EXTENSION_HEADERS).
    TooManyExtensions,
    /// An IPv6 extension header is truncated or longer than the packet.
    Extension {
        /// Offset of the header in octets.
        offset: usize,
    },
    /// A source route or routing header in front of an IPsec header is not finished: the packet has not reached its
    /// destination (RFC 791 section 3.1, RFC 8200 section 4.4).
    RouteNotFinished {
        /// Offset of the option or header in octets.
        offset: usize,
    },
    /// An IPv4 or IPv6 option in front of an IPsec header is malformed, or unknown and not to be skipped (RFC 8200
    /// section 4.2).
    Option {
        /// Offset of the option in octets.
        offset: usize,
    },
    /// The packet has no such header.
    NotFound,
    /// The caller's buffer is too small.
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

impl IpError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NoSpace(_) | Self::TooLong(_) => Fault::Caller,
            Self::TooShort(_)
            | Self::Version(_)
            | Self::HeaderLength(_)
            | Self::Length { .. }
            | Self::Fragment
            | Self::TooManyExtensions
            | Self::Extension { .. }
            | Self::RouteNotFinished { .. }
            | Self::Option { .. }
            | Self::NotFound => Fault::Peer,
        }
    }
}

impl fmt::Display for IpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(e) => e.fmt(f),
            Self::Version(v) => write!(f, "unknown IP version {v}"),
            Self::HeaderLength(words) => write!(f, "invalid IPv4 header length: got {words} words, expected 5 or more"),
            Self::Length { claimed, available } => {
                write!(f, "IP length mismatch: length field has {claimed} octets, {available} available")
            }
            Self::TooLong(octets) => write!(f, "IP packet too long: {octets} octets, at most 65535 allowed"),
            Self::Fragment => f.write_str("fragment"),
            Self::TooManyExtensions => {
                write!(f, "too many IPv6 extension headers: expected at most {MAX_EXTENSION_HEADERS}")
            }
            Self::Extension { offset } => write!(f, "malformed IPv6 extension header at octet {offset}"),
            Self::RouteNotFinished { offset } => {
                write!(f, "source route or routing header at octet {offset} not finished")
            }
            Self::Option { offset } => write!(f, "malformed or unknown IP option at octet {offset}"),
            Self::NotFound => f.write_str("header not found in the packet"),
            Self::NoSpace(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for IpError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::TooShort(e) => Some(e),
            Self::NoSpace(e) => Some(e),
            _ => None,
        }
    }
}
