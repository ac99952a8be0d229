//! UDP encapsulation of ESP (RFC 3948), and the framing of the drafts before it.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Checksum, Fault, IpProto, NoSpace, Outer, PacketBuf, TooShort, ipv4};

/// Length of a UDP header in octets (RFC 768).
pub const UDP_HEADER: usize = 8;
/// Hop limit of restored headers, which no router reads.
const RESTORED_HOP_LIMIT: u8 = 64;

/// Framing that distinguishes ESP and IKE on one UDP port (RFC 3948 sections 2.1 and 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Marker {
    /// Non-ESP marker of RFC 3948, port 4500: IKE begins with four zero octets, which are not an SPI.
    #[default]
    NonEsp,
    /// Non-IKE marker of draft-ietf-ipsec-udp-encaps-00 and 01, port 500: ESP follows eight zero octets, which are
    /// not an IKE cookie.
    NonIke,
}

impl Marker {
    /// Returns the number of octets between the UDP header and ESP (RFC 3948 section 2.1).
    pub const fn esp_offset(self) -> usize {
        match self {
            Self::NonEsp => 0,
            Self::NonIke => 8,
        }
    }
}

/// Contents of a UDP payload (RFC 3948 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// IKE message without its marker.
    Ike(&'a [u8]),
    /// ESP packet without its marker.
    Esp(&'a [u8]),
    /// NAT-keepalive packet of one octet 0xff, to be ignored (RFC 3948 section 2.3).
    KeepAlive,
    /// Payload that is too short for any of these.
    Runt,
}

/// Classifies a UDP payload as IKE, ESP or a NAT-keepalive packet (RFC 3948 sections 2 and 3.5).
pub fn classify(payload: &[u8], marker: Marker) -> Datagram<'_> {
    match (marker, payload) {
        //= RFC 3948 2.3/5
        //# SHOULD: a received NAT-keepalive packet is ignored
        (_, [0xff]) => Datagram::KeepAlive,
        //= RFC 3948 2.1/4
        //# MUST NOT: the SPI of ESP in UDP is not zero
        (Marker::NonEsp, [0, 0, 0, 0, ike @ ..]) => Datagram::Ike(ike),
        (Marker::NonEsp, [_, _, _, _, _, _, _, _, ..]) => Datagram::Esp(payload),
        (Marker::NonIke, [0, 0, 0, 0, 0, 0, 0, 0, esp @ ..]) => Datagram::Esp(esp),
        (Marker::NonIke, [_, _, _, _, _, _, _, _, ..]) => Datagram::Ike(payload),
        _ => Datagram::Runt,
    }
}

/// UDP source and destination port (RFC 3948 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Port of the sender.
    pub source: u16,
    /// Port of the receiver; 4500 unless a NAT has changed it.
    pub destination: u16,
}

impl Ports {
    /// Returns whether an answer can be sent to the source port: 0 means that there is none (RFC 768).
    pub const fn is_answerable(self) -> bool {
        self.source != 0
    }
}

/// UDP checksum of encapsulated ESP (RFC 3948 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpChecksum {
    /// Checksum 0, as RFC 3948 section 2.1 recommends: the ICV protects the payload. Over IPv6 the receiver has to
    /// support it (RFC 6936).
    Zero,
    /// Checksum that is computed over the addresses of the outer IP packet.
    Computed {
        /// Source address of the outer packet.
        source: IpAddr,
        /// Destination address of the outer packet.
        destination: IpAddr,
    },
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct UdpHeader {
    source: U16,
    destination: U16,
    length: U16,
    checksum: U16,
}

/// Adds the UDP header, and the marker of the drafts, in front of an ESP packet (RFC 3948 section 2.1).
///
/// # Errors
/// [`UdpError::TooLong`], [`UdpError::NoSpace`]; the packet is unchanged.
pub fn push_udp(
    packet: &mut PacketBuf<'_>,
    ports: Ports,
    marker: Marker,
    checksum: UdpChecksum,
) -> Result<(), UdpError> {
    let length = packet.len().saturating_add(UDP_HEADER).saturating_add(marker.esp_offset());
    let length = u16::try_from(length).map_err(|_| UdpError::TooLong(length))?;
    packet.check_space(UDP_HEADER.saturating_add(marker.esp_offset()), 0)?;
    if marker == Marker::NonIke {
        packet.prepend(&[0; 8])?;
    }
    let mut header = UdpHeader {
        source: U16::new(ports.source),
        destination: U16::new(ports.destination),
        length: U16::new(length),
        checksum: U16::ZERO,
    };
    if let UdpChecksum::Computed { source, destination } = checksum {
        let sum = pseudo_header(source, destination, IpProto::UDP, length.into())
            .over(header.as_bytes())
            .over(packet.data())
            .finish();
        header.checksum.set(if sum == 0 { 0xffff } else { sum });
    }
    packet.prepend(header.as_bytes())?;
    Ok(())
}

/// Adds the UDP header and the IP header that a UDP socket has removed from a received ESP packet (RFC 3948 section
/// 2.1), so that the packet is one from the wire. Fields that the socket does not return have default values.
///
/// # Errors
/// [`UdpError::AddressFamily`], [`UdpError::TooLong`], [`UdpError::NoSpace`]; the packet is unchanged.
pub fn restore_udp_headers(
    packet: &mut PacketBuf<'_>,
    source: SocketAddr,
    destination: SocketAddr,
) -> Result<(), UdpError> {
    let outer = Outer::between(source.ip(), destination.ip(), RESTORED_HOP_LIMIT).ok_or(UdpError::AddressFamily)?;
    // The length field of IPv6 does not include the header.
    let counted = if source.is_ipv4() { ipv4::HEADER } else { 0 };
    let length = packet.len().saturating_add(UDP_HEADER).saturating_add(counted);
    let too_long = UdpError::TooLong(length);
    u16::try_from(length).map_err(|_| too_long)?;
    packet.check_space(UDP_HEADER.saturating_add(outer.overhead()), 0)?;
    let ports = Ports { source: source.port(), destination: destination.port() };
    push_udp(packet, ports, Marker::NonEsp, UdpChecksum::Zero)?;
    outer.push(packet, IpProto::UDP, 0).map_err(|_| too_long)
}

/// Removes the UDP header of a packet and returns its ports (RFC 3948 sections 3.3 and 3.5). Octets after the length
/// of the header are removed. The payload is for [`classify`].
///
/// The checksum is not verified: that of ESP is 0 or redundant to the ICV, that of IKE is verified by the socket.
///
/// # Errors
/// [`UdpError::TooShort`], [`UdpError::Length`]; the packet is unchanged.
//= RFC 3948 2.1/3
//# MUST NOT: receivers do not depend on a UDP checksum of zero
pub fn pop_udp(packet: &mut PacketBuf<'_>) -> Result<Ports, UdpError> {
    let available = packet.len();
    let (header, _) = UdpHeader::ref_from_prefix(packet.data())
        .map_err(|_| UdpError::TooShort(TooShort { needed: UDP_HEADER, available }))?;
    let claimed = usize::from(header.length.get());
    if claimed < UDP_HEADER || claimed > available {
        return Err(UdpError::Length { claimed, available });
    }
    let ports = Ports { source: header.source.get(), destination: header.destination.get() };
    packet.truncate(claimed);
    packet.pull_front(UDP_HEADER).map_err(UdpError::TooShort)?;
    Ok(ports)
}

/// Returns the checksum over the pseudo header of TCP and UDP (RFC 768, RFC 8200 section 8.1).
pub(crate) fn pseudo_header(source: IpAddr, destination: IpAddr, proto: IpProto, length: u32) -> Checksum {
    let sum = add_address(add_address(Checksum::new(), source), destination);
    sum.over(&length.to_be_bytes()).over(&[0, proto.0])
}

fn add_address(sum: Checksum, address: IpAddr) -> Checksum {
    match address {
        IpAddr::V4(address) => sum.over(&address.octets()),
        IpAddr::V6(address) => sum.over(&address.octets()),
    }
}

/// Error of a packet that cannot be encapsulated in, or decapsulated from, UDP (RFC 3948 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UdpError {
    /// The packet is shorter than a UDP header.
    TooShort(TooShort),
    /// The length field is smaller than the header or larger than the packet.
    Length {
        /// Length in the header, in octets.
        claimed: usize,
        /// Number of octets that are available.
        available: usize,
    },
    /// The datagram would exceed 65,535 octets.
    TooLong(usize),
    /// One of the addresses is of IPv4 and the other of IPv6.
    AddressFamily,
    /// The caller's buffer is too small.
    NoSpace(NoSpace),
}

impl From<NoSpace> for UdpError {
    fn from(e: NoSpace) -> Self {
        Self::NoSpace(e)
    }
}

impl UdpError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NoSpace(_) | Self::TooLong(_) | Self::AddressFamily => Fault::Caller,
            Self::TooShort(_) | Self::Length { .. } => Fault::Peer,
        }
    }
}

impl fmt::Display for UdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(e) => e.fmt(f),
            Self::Length { claimed, available } => {
                write!(f, "UDP length mismatch: length field has {claimed} octets, {available} available")
            }
            Self::TooLong(octets) => write!(f, "UDP datagram too long: {octets} octets, at most 65535 allowed"),
            Self::AddressFamily => f.write_str("source and destination address families differ"),
            Self::NoSpace(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for UdpError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::TooShort(e) => Some(e),
            Self::NoSpace(e) => Some(e),
            _ => None,
        }
    }
}
