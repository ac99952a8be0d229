//! TCP maximum segment size of connections through tunnels (RFC 6691): the MSS option of SYN segments is lowered to
//! the MTU of the path of the SA, in both directions. Hosts then send no segment that would be too big, even if ICMP
//! errors do not reach them.

use core::net::IpAddr;

use ipsec_packet::{
    DestinationOptions, Instant, IpProto, ParsedIp, clamp_tcp_mss, is_tcp_syn, tcp_mss, transport_position,
};

use crate::algorithms::Algorithms;
use crate::encapsulate::Inner;
use crate::engine::Engine;

/// Limits of the packets of a TCP connection through a tunnel (RFC 6691).
#[derive(Clone, Copy, Debug)]
pub struct MssLimits<R> {
    /// MTU in octets of the interface of the protected side, which carries the packets without protection and without
    /// an outer header of IP in IP.
    pub interface_mtu: u16,
    /// Returns the MTU of the route from the source to the destination address of the outermost header, if it is known.
    pub route_mtu: R,
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Lowers the MSS of a TCP SYN that is to be protected, also within IP in IP, to that of the largest packet that
    /// its policy sends in one piece ([`policy_mtu_over`](Self::policy_mtu_over)). Returns whether the packet was
    /// changed; every other packet is unchanged.
    pub fn clamp_outbound_mss(
        &mut self,
        packet: &mut [u8],
        now: Instant,
        limits: MssLimits<impl FnOnce(IpAddr, IpAddr) -> Option<u16>>,
    ) -> bool {
        self.clamp_mss(packet, now, limits, |ip| ip)
    }

    /// Lowers the MSS of a TCP SYN that was decapsulated to that of the policy of the return traffic: it limits the
    /// segments that the host sends in reply. Returns whether the packet was changed; every other packet is unchanged.
    pub fn clamp_inbound_mss(
        &mut self,
        packet: &mut [u8],
        now: Instant,
        limits: MssLimits<impl FnOnce(IpAddr, IpAddr) -> Option<u16>>,
    ) -> bool {
        self.clamp_mss(packet, now, limits, ParsedIp::reversed)
    }

    /// Lowers the MSS to that of the policy for the headers that `selected` returns.
    fn clamp_mss(
        &mut self,
        packet: &mut [u8],
        now: Instant,
        limits: MssLimits<impl FnOnce(IpAddr, IpAddr) -> Option<u16>>,
        selected: impl FnOnce(ParsedIp) -> ParsedIp,
    ) -> bool {
        let MssLimits { interface_mtu, route_mtu } = limits;
        let clamped = || {
            let at = syn_position(packet)?;
            let ip = selected(ParsedIp::read(packet).ok()?);
            let mtu = self.policy_mtu_of(Inner { ip: &ip, packet }, now, route_mtu)?;
            let inner = packet.get_mut(at..)?;
            let version = inner.first()? >> 4;
            let mss = tcp_mss(usize::from(mtu).saturating_sub(at).min(interface_mtu.into()), version);
            clamp_tcp_mss(inner, u16::try_from(mss).unwrap_or(u16::MAX)).ok()
        };
        clamped().unwrap_or(false)
    }
}

/// Returns the offset of the IP header of a TCP SYN: 0, or the length of the outer header of IP in IP.
fn syn_position(packet: &[u8]) -> Option<usize> {
    if is_tcp_syn(packet) {
        return Some(0);
    }
    let place = transport_position(packet, DestinationOptions::Unprotected).ok()?;
    let is_tunnelled = place.next == IpProto::IPV4 || place.next == IpProto::IPV6;
    (is_tunnelled && is_tcp_syn(packet.get(place.at..)?)).then_some(place.at)
}
