//! IP in IP without an IPsec header between both IP headers (RFC 2003, RFC 2473), as the tunnels of gif(4).

use crate::{Ip, IpError, IpProto, OuterFields, PacketBuf, ParsedIp, Tunnel, TunnelError, ipv4, ipv6};

impl Tunnel {
    /// Adds the outer header to a packet (RFC 2003 section 3.1, RFC 2473 section 3.1). `id` is the IPv4 identification,
    /// which the caller keeps unique among packets that may be fragmented (RFC 6864 section 4).
    ///
    /// # Errors
    /// [`TunnelError::Inner`] for a packet that is malformed or too long, or a headroom that is too small, and
    /// [`TunnelError::HopLimit`] if it has no hops left; the packet is unchanged.
    pub fn encapsulate(&self, packet: &mut PacketBuf<'_>, id: u16) -> Result<(), TunnelError> {
        let total = packet.len().saturating_add(self.overhead());
        // The length field of IPv6 does not include the header.
        let counted = if self.overhead() == ipv4::HEADER { total } else { packet.len() };
        u16::try_from(counted).map_err(|_| IpError::TooLong(total))?;
        packet.check_space(self.overhead(), 0).map_err(IpError::from)?;
        let (outer, next) = self.outer_for(packet.data_mut())?;
        Ok(outer.push(packet, next, id)?)
    }

    /// Removes the outer header of a received packet of the tunnel, checks the inner packet and applies the rules of
    /// [`accept`](Self::accept). Returns the parsed form of the inner packet. Outer IPv4 options are removed; a packet
    /// with outer extension headers is not one of the tunnel.
    ///
    /// # Errors
    /// [`TunnelError::EndpointMismatch`] and [`TunnelError::NotIp`] for a packet that is not one of the tunnel,
    /// otherwise an error of the inner packet, which must not be delivered, or [`IpError::Fragment`] for a fragment;
    /// the packet is unchanged.
    pub fn decapsulate(&self, packet: &mut PacketBuf<'_>) -> Result<ParsedIp, TunnelError> {
        let ip = Ip::parse(packet.data())?;
        let (outer, length) = (OuterFields::read(&ip), ip.packet().len());
        let (next, header, is_fragment) = match &ip {
            Ip::V4(ip) => (ip.header().protocol(), ip.header().header_len(), ip.header().is_fragment()),
            Ip::V6(ip) => (ip.header().next_header(), ipv6::HEADER, false),
        };
        self.check_endpoints(&outer)?;
        if next != IpProto::IPV4 && next != IpProto::IPV6 {
            return Err(TunnelError::NotIp(next));
        }
        if is_fragment {
            return Err(IpError::Fragment.into());
        }
        let received = packet.checkpoint();
        packet.truncate(length);
        packet.pull_front(header).map_err(IpError::from)?;
        let accepted = self.accept(&outer, next, packet);
        if accepted.is_err() {
            packet.restore(received);
        }
        accepted
    }
}
