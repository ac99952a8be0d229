//! ESP in UDP (RFC 3948), and the framing of the drafts before it.

use core::fmt;
use core::net::IpAddr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Checksum, IpProto, NoSpace, PacketBuf, TooShort};

/// Octets of a UDP header (RFC 768).
pub const UDP_HEADER: usize = 8;

/// How ESP and IKE are told apart on one UDP port (RFC 3948 2.1, 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Marker {
    /// RFC 3948, port 4500: IKE begins with four zero octets, which no SPI is.
    #[default]
    NonEsp,
    /// draft-ietf-ipsec-udp-encaps-00 and 01, port 500: ESP follows eight zero octets, which no IKE cookie is.
    NonIke,
}

impl Marker {
    /// Octets between the UDP header and ESP (RFC 3948 2.1).
    pub const fn esp_offset(self) -> usize {
        match self {
            Self::NonEsp => 0,
            Self::NonIke => 8,
        }
    }
}

/// What a UDP payload holds (RFC 3948 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// An IKE message, its marker taken off.
    Ike(&'a [u8]),
    /// An ESP packet, its marker taken off.
    Esp(&'a [u8]),
    /// A NAT keep-alive (RFC 3948 2.3): one octet 0xff, to be ignored.
    KeepAlive,
    /// Too short to be any of them.
    Runt,
}

/// Tells IKE, ESP and keep-alive apart (RFC 3948 2, 3.5).
pub fn classify(payload: &[u8], marker: Marker) -> Datagram<'_> {
    match (marker, payload) {
        //= RFC 3948 2.3/5
        (_, [0xff]) => Datagram::KeepAlive,
        //= RFC 3948 2.1/4
        (Marker::NonEsp, [0, 0, 0, 0, ike @ ..]) => Datagram::Ike(ike),
        (Marker::NonEsp, [_, _, _, _, _, _, _, _, ..]) => Datagram::Esp(payload),
        (Marker::NonIke, [0, 0, 0, 0, 0, 0, 0, 0, esp @ ..]) => Datagram::Esp(esp),
        (Marker::NonIke, [_, _, _, _, _, _, _, _, ..]) => Datagram::Ike(payload),
        _ => Datagram::Runt,
    }
}

/// UDP source and destination port (RFC 3948 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port; 4500 unless a NAT changed it.
    pub destination: u16,
}

/// What the UDP checksum of encapsulated ESP says (RFC 3948 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpChecksum {
    /// 0, as RFC 3948 2.1 asks: the ICV protects the payload. On IPv6 it needs a receiver that allows it (RFC 6936).
    Zero,
    /// Computed, over the addresses of the IP packet that will carry it.
    Computed {
        /// Its source address.
        source: IpAddr,
        /// Its destination address.
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

/// Puts the UDP header, and the marker where there is one, in front of an ESP packet (RFC 3948 2.1).
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

/// Takes the UDP header off a packet that begins with it, and says from which ports to which it went (RFC 3948 3.3, 3.5). Octets behind the
/// length it claims are cut. What is left is for [`classify`].
///
/// The checksum is not looked at: ESP's is 0 or covered by the ICV, IKE's was the socket's matter.
///
/// # Errors
/// [`UdpError::TooShort`], [`UdpError::Length`]; the packet is unchanged.
//= RFC 3948 2.1/3
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

/// The sum over the pseudo header of TCP and UDP (RFC 768, RFC 8200 8.1).
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

/// A packet that cannot be put into or taken out of UDP (RFC 3948 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UdpError {
    /// It ends inside the UDP header.
    TooShort(TooShort),
    /// The length field is smaller than the header or larger than the packet.
    Length {
        /// Octets that the header claims.
        claimed: usize,
        /// Octets there.
        available: usize,
    },
    /// The datagram would exceed 65535 octets.
    TooLong(usize),
    /// The caller's buffer has no room for the header.
    NoSpace(NoSpace),
}

impl From<NoSpace> for UdpError {
    fn from(e: NoSpace) -> Self {
        Self::NoSpace(e)
    }
}

impl fmt::Display for UdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(e) => e.fmt(f),
            Self::Length { claimed, available } => {
                write!(f, "udp length field says {claimed} octets, {available} are there")
            }
            Self::TooLong(octets) => write!(f, "udp datagram of {octets} octets"),
            Self::NoSpace(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for UdpError {}
