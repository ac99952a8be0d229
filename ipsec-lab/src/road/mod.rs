//! The two roads: IP surgery, IPComp, ESP and AH in the order of RFC 4301 5.

mod ipcomp;
mod refused;

use std::net::IpAddr;

use esp_core::{IvSource, OpenError, Overhead, SealError};
use ipsec_crypto::{AnyAhIntegrity, AnySuite};
use ipsec_packet::{
    AntiReplay, Beet, Datagram, DestinationOptions, Ip, IpError, IpProto, Marker, Outer, OuterSeen, PacketBuf,
    Placement, Ports, Tunnel, UDP_HEADER, UdpChecksum, classify, close_gap, locate, open_gap, placement, pop_udp,
    push_udp, set_length,
};

pub use ipcomp::{IpcompIn, IpcompOut};
pub use refused::Refused;

/// How an SA changes the IP header.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// ESP behind the packet's own header.
    Transport(DestinationOptions),
    /// The whole packet behind a new header.
    Tunnel(Tunnel),
    /// The payload behind a new header; the SA knows the old one.
    Beet(Beet, Tunnel),
}

/// ESP in UDP.
#[derive(Clone, Copy, Debug)]
pub struct Encap {
    /// Ports of outgoing packets.
    pub ports: Ports,
    /// RFC 3948 or the drafts before it.
    pub marker: Marker,
}

impl Encap {
    fn overhead(self) -> usize {
        UDP_HEADER + self.marker.esp_offset()
    }

    /// The checksum is 0 over IPv4, as RFC 3948 2.1 asks, and computed over IPv6, where receivers want one (RFC 8200 8.1).
    fn push(self, packet: &mut PacketBuf<'_>, source: IpAddr, destination: IpAddr) -> Result<(), Refused> {
        let checksum = match source {
            IpAddr::V4(_) => UdpChecksum::Zero,
            IpAddr::V6(_) => UdpChecksum::Computed { source, destination },
        };
        Ok(push_udp(packet, self.ports, self.marker, checksum)?)
    }
}

/// What protects a packet on its way out. ESP comes first, AH goes around it.
pub struct Sender {
    /// ESP.
    pub esp: Option<esp_core::Outbound<AnySuite>>,
    /// AH.
    pub ah: Option<ah_core::Outbound<AnyAhIntegrity>>,
    /// IPComp, inside both.
    pub ipcomp: Option<IpcompOut>,
    /// Which headers there are.
    pub mode: Mode,
    /// Whether UDP is around ESP.
    pub encap: Option<Encap>,
}

impl Sender {
    /// Protects one IP packet in place. `id` is the identification of an outer IPv4 header.
    pub fn send(&mut self, packet: &mut PacketBuf<'_>, iv: &mut impl IvSource, id: u16) -> Result<(), Refused> {
        match (&mut self.esp, &self.mode) {
            (Some(esp), mode) => send_esp(esp, mode, self.encap, self.ipcomp.as_mut(), packet, iv, id)?,
            (None, Mode::Tunnel(tunnel)) => {
                let (outer, next) = tunnel.outer_for(packet.data_mut())?;
                let next = squeeze(self.ipcomp.as_mut(), packet, next)?;
                outer.push(packet, next, id)?;
            }
            (None, _) => {
                if let Some(ipcomp) = &mut self.ipcomp {
                    ipcomp.packet(packet)?;
                }
            }
        }
        if let Some(ah) = &mut self.ah {
            ah.sign(packet)?;
        }
        Ok(())
    }
}

fn squeeze(ipcomp: Option<&mut IpcompOut>, packet: &mut PacketBuf<'_>, next: IpProto) -> Result<IpProto, Refused> {
    match ipcomp {
        Some(ipcomp) => ipcomp.payload(packet, next),
        None => Ok(next),
    }
}

fn send_esp(
    esp: &mut esp_core::Outbound<AnySuite>,
    mode: &Mode,
    encap: Option<Encap>,
    ipcomp: Option<&mut IpcompOut>,
    packet: &mut PacketBuf<'_>,
    iv: &mut impl IvSource,
    mut id: u16,
) -> Result<(), Refused> {
    let ip = Ip::parse(packet.data())?;
    let own_length = ip.packet().len();
    if let (Mode::Beet(..), Ip::V4(inner)) = (mode, &ip) {
        id = inner.header().identification();
    }
    packet.truncate(own_length);
    let (outer, next) = match mode {
        Mode::Transport(options) => {
            if let Some(ipcomp) = ipcomp {
                ipcomp.packet(packet)?;
            }
            let place = placement(packet.data(), *options)?;
            let overhead = esp.overhead(packet.len() - place.at);
            return transport(packet, place, encap, overhead, |packet, next| esp.seal(packet, next, iv).map(drop));
        }
        Mode::Tunnel(tunnel) => tunnel.outer_for(packet.data_mut())?,
        Mode::Beet(inner, tunnel) => {
            let (outer, _) = tunnel.outer_for(packet.data_mut())?;
            (outer, inner.strip(packet)?)
        }
    };
    let next = squeeze(ipcomp, packet, next)?;
    // What is too long for an IP packet is refused before it costs a number.
    let added = esp.overhead(packet.len()).total() + encap.map_or(0, Encap::overhead) + outer.overhead();
    if packet.len() + added > usize::from(u16::MAX) {
        return Err(IpError::TooLong(packet.len() + added).into());
    }
    esp.seal(packet, next, iv)?;
    if let Some(encap) = encap {
        let (source, destination) = match &outer {
            Outer::V4(header) => (header.source().into(), header.destination().into()),
            Outer::V6(header) => (header.source().into(), header.destination().into()),
        };
        encap.push(packet, source, destination)?;
    }
    let proto = if encap.is_some() { IpProto::UDP } else { IpProto::ESP };
    Ok(outer.push(packet, proto, id)?)
}

/// Puts ESP, and UDP where asked for, behind the header of the packet. A refused seal leaves the packet as it was.
pub fn transport(
    packet: &mut PacketBuf<'_>,
    place: Placement,
    encap: Option<Encap>,
    overhead: Overhead,
    seal: impl FnOnce(&mut PacketBuf<'_>, IpProto) -> Result<(), SealError>,
) -> Result<(), Refused> {
    let gap = overhead.front + encap.map_or(0, Encap::overhead);
    let total = packet.len() + overhead.total() + encap.map_or(0, Encap::overhead);
    if total > usize::from(u16::MAX) {
        return Err(IpError::TooLong(total).into());
    }
    let proto = if encap.is_some() { IpProto::UDP } else { IpProto::ESP };
    let ip = Ip::parse(packet.data())?;
    let (source, destination) = (ip.source(), ip.destination());
    open_gap(packet, place, gap, proto)?;
    let head = place.at + gap;
    packet.pull_front(head).map_err(IpError::from)?;
    if let Err(refused) = seal(packet, place.next) {
        packet.push_front(head).map_err(IpError::from)?;
        close_gap(packet, place, gap, place.next)?;
        return Err(refused.into());
    }
    if let Some(encap) = encap {
        encap.push(packet, source, destination)?;
    }
    packet.push_front(place.at).map_err(IpError::from)?;
    Ok(set_length(packet.data_mut())?)
}

/// What opens a packet on its way in. AH comes off first.
pub struct Receiver<W> {
    /// ESP.
    pub esp: Option<esp_core::Inbound<AnySuite, W>>,
    /// AH.
    pub ah: Option<ah_core::Inbound<AnyAhIntegrity, W>>,
    /// IPComp, inside both.
    pub ipcomp: Option<IpcompIn>,
    /// Which headers are expected.
    pub mode: Mode,
    /// Whether UDP is around ESP.
    pub encap: Option<Encap>,
    /// Whether the outer addresses must be the tunnel's.
    pub check_ends: bool,
}

/// What came of a packet that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// An IP packet, in the buffer.
    Packet,
    /// A dummy, to be dropped in silence.
    Dummy,
    /// Nothing for ESP: IKE or a keep-alive.
    NotEsp,
}

impl<W: AntiReplay> Receiver<W> {
    /// Takes one IP packet from the wire and leaves what it protected.
    pub fn receive(&mut self, packet: &mut PacketBuf<'_>) -> Result<Received, Refused> {
        let outer = Ip::parse(packet.data())?;
        let (seen, own_length) = (OuterSeen::read(&outer), outer.packet().len());
        packet.truncate(own_length);
        if let (Mode::Tunnel(tunnel) | Mode::Beet(_, tunnel), true) = (&self.mode, self.check_ends) {
            tunnel.check_ends(&seen)?;
        }
        let verified = match &mut self.ah {
            Some(ah) => Some(ah.verify(packet)?),
            None => None,
        };
        match (&mut self.esp, verified) {
            (Some(esp), _) => receive_esp(esp, &self.mode, self.encap, self.ipcomp.as_mut(), &seen, packet),
            (None, Some(verified)) => {
                if let Mode::Tunnel(tunnel) = &self.mode {
                    let place = locate(packet.data(), verified.next_header)?;
                    packet.pull_front(place.at).map_err(IpError::from)?;
                    let next = expand(self.ipcomp.as_mut(), packet, verified.next_header)?;
                    tunnel.accept(&seen, next, packet)?;
                } else if let Some(ipcomp) = &mut self.ipcomp {
                    ipcomp.packet(packet)?;
                }
                Ok(Received::Packet)
            }
            (None, None) => Err(IpError::NotFound.into()),
        }
    }
}

fn expand(ipcomp: Option<&mut IpcompIn>, packet: &mut PacketBuf<'_>, next: IpProto) -> Result<IpProto, Refused> {
    match ipcomp {
        Some(ipcomp) => ipcomp.payload(packet, next),
        None => Ok(next),
    }
}

fn receive_esp<W: AntiReplay>(
    esp: &mut esp_core::Inbound<AnySuite, W>,
    mode: &Mode,
    encap: Option<Encap>,
    ipcomp: Option<&mut IpcompIn>,
    seen: &OuterSeen,
    packet: &mut PacketBuf<'_>,
) -> Result<Received, Refused> {
    let proto = if encap.is_some() { IpProto::UDP } else { IpProto::ESP };
    let place = locate(packet.data(), proto)?;
    packet.pull_front(place.at).map_err(IpError::from)?;
    if let Some(encap) = encap {
        pop_udp(packet)?;
        match classify(packet.data(), encap.marker) {
            Datagram::Esp(_) => packet.pull_front(encap.marker.esp_offset()).map_err(IpError::from)?,
            Datagram::Ike(_) | Datagram::KeepAlive => return Ok(Received::NotEsp),
            Datagram::Runt => return Err(OpenError::TooShort.into()),
        }
    }
    let before = packet.headroom();
    let opened = esp.open(packet)?;
    // An IP packet that has no next header itself goes through transport mode with nothing to protect; a dummy has
    // something, which means nothing (RFC 4303 2.6).
    let bare = matches!(mode, Mode::Transport(_)) && packet.is_empty();
    if opened.is_dummy() && !bare {
        return Ok(Received::Dummy);
    }
    match mode {
        Mode::Tunnel(tunnel) => {
            let next = expand(ipcomp, packet, opened.next_header)?;
            tunnel.accept(seen, next, packet)?;
        }
        Mode::Beet(inner, _) => {
            let next = expand(ipcomp, packet, opened.next_header)?;
            inner.restore(seen, next, packet)?;
        }
        Mode::Transport(_) => {
            let gap = packet.headroom() - before + encap.map_or(0, Encap::overhead);
            packet.push_front(place.at + gap).map_err(IpError::from)?;
            close_gap(packet, place, gap, opened.next_header)?;
            if let Some(ipcomp) = ipcomp {
                ipcomp.packet(packet)?;
            }
        }
    }
    Ok(Received::Packet)
}
