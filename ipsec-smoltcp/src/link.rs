//! Frames of a medium: packets without a header, or Ethernet.

use ipsec_packet::PacketBuf;
use smoltcp::phy::Medium;

/// Length of an Ethernet header in octets.
const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ARP: [u8; 2] = [0x08, 0x06];

/// Header of the frames of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Frames are IP packets.
    None,
    /// Destination, source and EtherType are in front of a packet.
    #[cfg_attr(not(feature = "ethernet"), allow(dead_code))]
    Ethernet,
}

/// Contents of a frame.
pub(crate) enum Frame {
    /// IPv4 or IPv6 packet after this header.
    Ip(Header),
    /// ARP, to which IPsec does not apply.
    Arp,
    /// Another protocol, or a frame that is too short.
    Other,
}

/// Link header in front of a packet.
pub(crate) enum Header {
    None,
    /// Destination and source address.
    Ethernet([u8; 12]),
}

impl Link {
    /// Returns the header of a medium; `None` if the medium is not supported.
    pub(crate) fn of(medium: Medium) -> Option<Self> {
        match medium {
            Medium::Ip => Some(Self::None),
            #[cfg(feature = "ethernet")]
            Medium::Ethernet => Some(Self::Ethernet),
            #[allow(unreachable_patterns)] // smoltcp has a medium for each of its features
            _ => None,
        }
    }

    /// Classifies the frame of `len` octets at the front of a buffer.
    pub(crate) fn split(self, buffer: &[u8], len: usize) -> Frame {
        match (self, buffer.get(..len).and_then(|frame| frame.split_first_chunk::<12>())) {
            (Self::None, _) => Frame::Ip(Header::None),
            (Self::Ethernet, Some((addresses, [a, b, ..]))) => match [*a, *b] {
                IPV4 | IPV6 => Frame::Ip(Header::Ethernet(*addresses)),
                ARP => Frame::Arp,
                _ => Frame::Other,
            },
            (Self::Ethernet, _) => Frame::Other,
        }
    }
}

impl Header {
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Ethernet(_) => ETHERNET,
        }
    }

    /// Adds the header in front of a packet, whose IP version may have changed. Returns `None` if there is no space, or
    /// if the packet is neither IPv4 nor IPv6.
    pub(crate) fn push(&self, packet: &mut PacketBuf<'_>) -> Option<()> {
        let Self::Ethernet(addresses) = self else { return Some(()) };
        let kind = match packet.data().first()? >> 4 {
            4 => IPV4,
            6 => IPV6,
            _ => return None,
        };
        let header = packet.push_front(ETHERNET).ok()?;
        let octets = addresses.iter().chain(&kind);
        header.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        Some(())
    }
}
