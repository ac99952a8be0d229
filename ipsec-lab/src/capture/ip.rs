//! IP headers of captured packets, of which octets may be missing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Header of an IP packet with its extension headers up to the payload, or up to a fragment header.
#[derive(Clone, Copy, Debug)]
pub struct IpHeader {
    /// Source address of the packet.
    pub source: IpAddr,
    /// Destination address of the packet.
    pub destination: IpAddr,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Offset of the payload; in a fragment of IPv6, after the fragment header.
    pub at: usize,
    /// Declared length of the packet.
    pub length: usize,
    /// Position in the packet that was fragmented.
    pub fragment: Option<Fragment>,
}

/// Position of a fragment.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    /// Identification of the fragmented packet.
    pub id: u32,
    /// Offset of the payload in that of the packet.
    pub offset: usize,
    /// Set if this is not the last fragment.
    pub more: bool,
    /// Offset of the octet with the number of the header that follows, in IPv6.
    pub next_header_at: usize,
}

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;

impl IpHeader {
    /// Parses the header of a packet. Returns `None` if it is malformed or truncated.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::parse_v4(packet),
            6 => Self::parse_v6(packet),
            _ => None,
        }
    }

    /// Returns the captured octets of the payload.
    pub fn payload<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        packet.get(self.at..self.length.min(packet.len())).unwrap_or_default()
    }

    /// Returns whether octets of the packet are missing.
    pub const fn is_cut(&self, packet: &[u8]) -> bool {
        packet.len() < self.length
    }

    fn parse_v4(packet: &[u8]) -> Option<Self> {
        let &[first, _, l0, l1, i0, i1, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
            packet.first_chunk::<IPV4_HEADER>()?;
        let at = usize::from(first & 15) * 4;
        // Packets that the sender's interface segments may be captured before their length is set.
        let length = match usize::from(u16::from_be_bytes([l0, l1])) {
            0 => packet.len(),
            length => length,
        };
        if at < IPV4_HEADER || length < at || packet.len() < at {
            return None;
        }
        let flags = u16::from_be_bytes([f0, f1]);
        let (more, offset) = (flags & 0x2000 != 0, usize::from(flags & 0x1fff) * 8);
        let id = u16::from_be_bytes([i0, i1]).into();
        Some(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            protocol,
            at,
            length,
            fragment: (more || offset > 0).then_some(Fragment { id, offset, more, next_header_at: 9 }),
        })
    }

    fn parse_v6(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<IPV6_HEADER>()?;
        let address = |at: usize| packet.get(at..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets));
        let length = match u16::from_be_bytes([header[4], header[5]]) {
            0 => packet.len(),
            length => IPV6_HEADER + usize::from(length),
        };
        let (mut at, mut next_header_at) = (IPV6_HEADER, 6);
        let mut this = Self {
            source: address(8)?.into(),
            destination: address(24)?.into(),
            protocol: header[6],
            at,
            length,
            fragment: None,
        };
        // Hop-by-hop options, routing, destination options, mobility, host identity, shim6.
        while let 0 | 43 | 60 | 135 | 139 | 140 = this.protocol {
            let &[next, octets] = packet.get(at..)?.first_chunk()?;
            (this.protocol, next_header_at) = (next, at);
            at += (usize::from(octets) + 1) * 8;
        }
        if this.protocol == 44 {
            let &[next, _, o0, o1, i0, i1, i2, i3] = packet.get(at..)?.first_chunk::<FRAGMENT_HEADER>()?;
            let field = u16::from_be_bytes([o0, o1]);
            let (offset, more) = (usize::from(field & 0xfff8), field & 1 != 0);
            let id = u32::from_be_bytes([i0, i1, i2, i3]);
            this.fragment = Some(Fragment { id, offset, more, next_header_at });
            this.protocol = next;
            at += FRAGMENT_HEADER;
        }
        this.at = at;
        (at <= packet.len() && at <= length).then_some(this)
    }
}
