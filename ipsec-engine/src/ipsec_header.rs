//! The outermost IPsec header of a received packet, which may be in UDP (RFC 3948) or, with IPComp, be absent.

use core::net::IpAddr;

use ipcomp_core::DecompressError;
use ipsec_packet::{
    Datagram, Fragment, HeaderPosition, Instant, Ip, IpProto, Marker, ParsedIp, Ports, UDP_HEADER, classify,
};

use ipsec_sa::{Direction, Mode, Protocol, SaId, UdpEncap};

use crate::algorithms::Algorithms;
use crate::discard::DiscardReason;
use crate::engine::Engine;
use crate::table::SlotNumber;
use crate::tunnel_policy::TunnelSa;

/// Only octet of a NAT-keepalive packet (RFC 3948 section 2.3).
const KEEP_ALIVE: u8 = 0xff;

/// First header of a packet that inbound processing has to handle.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FirstHeader {
    /// An IPsec header at this position; with UDP encapsulation it is after the UDP header.
    Ipsec(Protocol, HeaderPosition, Option<UdpEncap>),
    /// A NAT-keepalive packet, which is not delivered.
    KeepAlive,
    /// A fragment of an IPsec packet, which is never decapsulated (RFC 4303 section 3.4.1). Only the first fragment
    /// has the header.
    Fragment(Option<(Protocol, HeaderPosition)>),
    /// Neither an IPsec header nor a NAT-keepalive packet.
    Upper,
}

/// SA of an IPsec header.
#[derive(Clone, Copy)]
pub(crate) struct FoundSa {
    /// Slot of the SA.
    pub(crate) at: SlotNumber,
    /// Position of the header, or of the UDP header around it.
    pub(crate) place: HeaderPosition,
    pub(crate) encap: Option<UdpEncap>,
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Finds the first IPsec header after the IP header.
    pub(crate) fn find_ipsec_header(&self, ip: &ParsedIp, packet: &[u8]) -> Result<FirstHeader, DiscardReason> {
        let (place, fragment) = ip.first_header()?;
        let protocol = match place.next {
            IpProto::ESP => Protocol::Esp,
            IpProto::AH => Protocol::Ah,
            IpProto::IPCOMP => Protocol::Ipcomp,
            IpProto::UDP if fragment == Fragment::Whole => return Ok(self.in_udp(packet, place, ip.destination())),
            _ => return Ok(FirstHeader::Upper),
        };
        //= RFC 3173 2/7
        //# MUST: inbound datagrams are decompressed after their reassembly
        Ok(match fragment {
            Fragment::Whole => FirstHeader::Ipsec(protocol, place, None),
            // The contents of a later fragment do not begin with a header.
            Fragment::Later => FirstHeader::Fragment(None),
            Fragment::First(at) => FirstHeader::Fragment(Some((protocol, HeaderPosition { at, ..place }))),
        })
    }

    /// Classifies a UDP datagram. It is ESP if an SA has its SPI and local port. With an unknown SPI it is ESP on the
    /// configured port, or after eight zeros on the port of IKE (the drafts).
    fn in_udp(&self, packet: &[u8], place: HeaderPosition, destination: IpAddr) -> FirstHeader {
        let udp = packet.get(place.at..).unwrap_or_default();
        let Some((&[s1, s2, d1, d2, ..], payload)) = udp.split_first_chunk::<UDP_HEADER>() else {
            return FirstHeader::Upper;
        };
        let ports = Ports { source: u16::from_be_bytes([s1, s2]), destination: u16::from_be_bytes([d1, d2]) };
        for marker in [Marker::NonEsp, Marker::NonIke] {
            if matches!(classify(payload, marker), Datagram::Esp(_))
                && self.is_esp_of_an_sa(payload, marker, ports.destination, destination)
            {
                return FirstHeader::Ipsec(Protocol::Esp, place, Some(UdpEncap { ports, marker }));
            }
        }
        let marker = match ports.destination {
            port if port == self.settings.nat_port => Marker::NonEsp,
            500 => Marker::NonIke,
            port if payload == [KEEP_ALIVE] && self.sad.has_local(destination, Some(port)) => Marker::NonEsp,
            _ => return FirstHeader::Upper,
        };
        match classify(payload, marker) {
            Datagram::Esp(_) => FirstHeader::Ipsec(Protocol::Esp, place, Some(UdpEncap { ports, marker })),
            //= RFC 3948 2.3/3
            //# MUST NOT: receivers of NAT-keepalive packets do not depend on a UDP checksum of zero
            Datagram::KeepAlive => FirstHeader::KeepAlive,
            Datagram::Ike(_) | Datagram::Runt => FirstHeader::Upper,
        }
    }

    /// Returns whether an SA with this marker and local port has the SPI of an ESP packet in UDP.
    fn is_esp_of_an_sa(&self, payload: &[u8], marker: Marker, port: u16, destination: IpAddr) -> bool {
        let Some(&spi) = payload.get(marker.esp_offset()..).and_then(<[u8]>::first_chunk) else { return false };
        let key = SaId::inbound(destination, Protocol::Esp, u32::from_be_bytes(spi));
        let sa = self.sad.find(&key, destination).and_then(|at| self.sad.get(at)?.sa.as_ref());
        sa.and_then(|sa| sa.encap).is_some_and(|encap| (encap.marker, encap.ports.destination) == (marker, port))
    }

    /// Returns whether an inbound SA, or the template of a policy, has this destination.
    pub(crate) fn has_destination(&self, address: IpAddr) -> bool {
        self.sad.has_local(address, None) || self.spd.policies().has_destination(address)
    }

    /// Finds the IPComp SA of a packet that was sent uncompressed: it arrives as a plain tunnel (RFC 3173 section
    /// 2.2).
    pub(crate) fn find_ipcomp_sa(&self, ip: &ParsedIp, packet: &[u8], now: Instant) -> Option<FoundSa> {
        if !self.sad.has_ipcomp_in() {
            return None;
        }
        let ends = ip.ends();
        let place = ip.find(IpProto::IPV4).or_else(|_| ip.find(IpProto::IPV6)).ok()?;
        ip.check_preceding_headers(packet, place.at).ok()?;
        // Every tunnel between these addresses has this form. Therefore a policy has to require IPComp.
        let tunnel = TunnelSa { protocol: Protocol::Ipcomp, source: ends.0, destination: ends.1 };
        let is_required = Ip::parse(packet.get(place.at..)?).map_or(true, |inner| {
            let inner = (inner.source(), inner.destination());
            self.spd.requires_tunnel(tunnel, inner, self.settings.default_level)
        });
        if !is_required {
            return None; // a malformed inner packet is refused when it is decapsulated
        }
        let between = |slot: &crate::slot::Slot<A>| {
            let key = slot.key;
            let is_tunnel = slot.sa.as_ref().is_some_and(|sa| matches!(sa.mode, Mode::Tunnel | Mode::Any));
            is_tunnel
                && (key.direction, key.protocol) == (Direction::Inbound, Protocol::Ipcomp)
                && (slot.source, key.destination) == ends
        };
        // An SA before its hard limit is preferred.
        let is_over = |slot: &crate::slot::Slot<A>| {
            slot.sa.as_ref().is_some_and(|sa| sa.lifetimes.hard.reached(&slot.usage, now))
        };
        let all = self.sad.ipcomp_between(ends).filter(|(_, slot)| between(slot));
        let (at, _) = all.min_by_key(|(at, slot)| (is_over(slot), *at))?;
        Some(FoundSa { at, place, encap: None })
    }
}

/// Reads the SPI (or CPI) and the sequence number of an IPsec header.
pub(crate) fn spi_and_sequence(
    packet: &[u8],
    protocol: Protocol,
    place: HeaderPosition,
    encap: Option<UdpEncap>,
) -> Result<(u32, Option<u32>), DiscardReason> {
    let at = place.at.saturating_add(encap.map_or(0, UdpEncap::overhead));
    let header = packet.get(at..).unwrap_or_default();
    match (protocol, header) {
        (Protocol::Esp, [a, b, c, d, e, f, g, h, ..]) | (Protocol::Ah, [_, _, _, _, a, b, c, d, e, f, g, h, ..]) => {
            Ok((u32::from_be_bytes([*a, *b, *c, *d]), Some(u32::from_be_bytes([*e, *f, *g, *h]))))
        }
        (Protocol::Ipcomp, [_, _, high, low, ..]) => Ok((u16::from_be_bytes([*high, *low]).into(), None)),
        (Protocol::Esp, _) => Err(esp_core::OpenError::TooShort.into()),
        (Protocol::Ah, _) => Err(ah_core::VerifyError::TooShort.into()),
        (Protocol::Ipcomp, _) => Err(DiscardReason::Ipcomp(DecompressError::TooShort(ipsec_packet::TooShort {
            needed: 4,
            available: header.len(),
        }))),
    }
}
