//! Removal of one IPsec header by its SA. This file reads neither the databases nor the policies.

use ipcomp_core::{DecompressError, decompress};
use ipsec_packet::{
    Datagram, HeaderPosition, IpError, IpProto, PacketBuf, ParsedIp, TunnelError, adjust_length, classify, close_gap,
    pop_udp, remove_preceding_headers, repair_checksum, set_next_header,
};

use ipsec_sa::{Mode, Protocol, UdpEncap};

use crate::algorithms::Algorithms;
use crate::discard::{BadPayload, DiscardReason};
use crate::sa::{Sa, Transform};

/// Result of the removal of one IPsec header (RFC 4301 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decapsulated {
    /// Mode in which the SA was used: transport, tunnel or BEET.
    pub mode: Mode,
    /// Octets of payload, as the lifetime of the SA counts them.
    pub octets: usize,
}

/// Error of the removal of one IPsec header.
pub(crate) enum DecapsulateError {
    /// The SA refused the packet, which is unchanged.
    Refused(DiscardReason),
    /// The packet passed the SA and was refused afterwards.
    Rejected(Rejected),
}

/// Packet that an SA has authenticated and that must be discarded nevertheless: its contents are malformed, not
/// acceptable, or a dummy. It counts for the usage of the SA, and the caller wipes it with [`Extent::wipe`].
pub(crate) struct Rejected {
    pub(crate) decapsulated: Decapsulated,
    pub(crate) reason: DiscardReason,
}

impl<E: Into<DiscardReason>> From<E> for DecapsulateError {
    fn from(e: E) -> Self {
        Self::Refused(e.into())
    }
}

impl<A: Algorithms> Sa<A> {
    /// Removes the IPsec header of this SA from a packet without any database (RFC 4301 section 5.2).
    ///
    /// The header must be the outermost one of its protocol; a UDP header around it is removed if the SA has UDP
    /// encapsulation. Lifetimes and addresses of the SA are not checked. After ESP in UDP in transport mode the
    /// checksum of the upper layer is repaired (RFC 3948 section 3.1.2), unless IPComp follows: then the caller
    /// repairs it after decompression ([`repair_checksum`]).
    ///
    /// The headers in front are checked first ([`check_preceding_headers`](ipsec_packet::check_preceding_headers)). ESP
    /// in transport mode removes those headers in front that it does not authenticate ([`remove_preceding_headers`]).
    ///
    /// # Errors
    /// [`DiscardReason`]. Packet and window are unchanged if the SA refused the packet. A packet that was
    /// decapsulated and then refused is wiped; a dummy packet is one, with [`DiscardReason::Dummy`] (RFC 4303 section
    /// 2.6).
    pub fn open(
        &mut self,
        packet: &mut PacketBuf<'_>,
        decompressor: Option<&mut A::Decompressor>,
    ) -> Result<Decapsulated, DiscardReason> {
        let ip = ParsedIp::read(packet.data())?;
        let place = ip.find(self.outermost())?;
        ip.check_preceding_headers(packet.data(), place.at)?;
        let decapsulated = self.open_parsed(ip, place, packet, decompressor)?;
        if (decapsulated.mode, self.key().protocol) == (Mode::Transport, Protocol::Esp) {
            remove_preceding_headers(packet, place.at)?;
        }
        Ok(decapsulated)
    }

    /// Removes the IPsec header like [`open`](Self::open), for a packet of a capture, which need not be at its
    /// destination. The headers in front are neither checked nor changed, so the result must not be given to an IP
    /// stack.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_captured(
        &mut self,
        packet: &mut PacketBuf<'_>,
        decompressor: Option<&mut A::Decompressor>,
    ) -> Result<Decapsulated, DiscardReason> {
        let ip = ParsedIp::read(packet.data())?;
        let place = ip.find(self.outermost())?;
        self.open_parsed(ip, place, packet, decompressor)
    }

    fn open_parsed(
        &mut self,
        mut ip: ParsedIp,
        place: HeaderPosition,
        packet: &mut PacketBuf<'_>,
        decompressor: Option<&mut A::Decompressor>,
    ) -> Result<Decapsulated, DiscardReason> {
        packet.truncate(ip.len());
        let mut extent = Extent::of(packet);
        let header = IpsecHeader { place, encap: self.encap, is_tunnel: &any_packet };
        let result = match self.key().protocol {
            Protocol::Esp => esp(self, packet, &mut ip, &header),
            Protocol::Ah => ah(self, packet, &mut ip, &header),
            Protocol::Ipcomp => ipcomp(self, decompressor, packet, &mut ip, &header),
        };
        extent.include(packet);
        let result = match result {
            Ok(decapsulated) => self.repair_transport_checksum(packet, &ip, decapsulated),
            Err(DecapsulateError::Rejected(rejected)) => Err(rejected.reason),
            Err(DecapsulateError::Refused(reason)) => return Err(reason),
        };
        result.inspect_err(|_| extent.wipe(packet))
    }

    /// Repairs the checksum of the upper layer, unless IPComp follows.
    fn repair_transport_checksum(
        &self,
        packet: &mut PacketBuf<'_>,
        ip: &ParsedIp,
        decapsulated: Decapsulated,
    ) -> Result<Decapsulated, DiscardReason> {
        let is_repaired = self.encap.is_some() && decapsulated.mode == Mode::Transport;
        //= RFC 3948 3.1.2/2
        //# SHOULD: checksums are waived only in transport mode, of packets with integrity
        if is_repaired && ip.find(IpProto::IPCOMP).is_err() {
            repair_checksum(packet.data_mut(), self.repair)?;
        }
        Ok(decapsulated)
    }

    /// Returns the protocol number in front of the payload that this SA protects.
    fn outermost(&self) -> IpProto {
        match (self.key().protocol, self.encap) {
            (Protocol::Esp, Some(_)) => IpProto::UDP,
            (Protocol::Esp, None) => IpProto::ESP,
            (Protocol::Ah, _) => IpProto::AH,
            (Protocol::Ipcomp, _) => IpProto::IPCOMP,
        }
    }
}

/// Part of a buffer that a packet has occupied. Plaintext that is left there is wiped with the packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    start: usize,
    end: usize,
}

impl Extent {
    pub(crate) fn of(packet: &PacketBuf<'_>) -> Self {
        Self { start: packet.headroom(), end: packet.headroom().saturating_add(packet.len()) }
    }

    pub(crate) fn include(&mut self, packet: &PacketBuf<'_>) {
        let Self { start, end } = Self::of(packet);
        (self.start, self.end) = (self.start.min(start), self.end.max(end));
    }

    /// Overwrites the whole extent, in front of the packet and after it as well.
    pub(crate) fn wipe(&self, packet: &mut PacketBuf<'_>) {
        let Self { start, end } = Self::of(packet);
        packet.wipe(start.saturating_sub(self.start), self.end.saturating_sub(end));
    }
}

impl Decapsulated {
    /// Returns the result of the last step of the removal, which is about a packet that has passed the SA.
    fn after<E: Into<DiscardReason>>(self, last_step: Result<(), E>) -> Result<Self, DecapsulateError> {
        match last_step {
            Ok(()) => Ok(self),
            Err(e) => Err(DecapsulateError::Rejected(Rejected { decapsulated: self, reason: e.into() })),
        }
    }
}

/// IPsec header that is removed.
pub(crate) struct IpsecHeader<'h> {
    /// Position of the header, or of the UDP header around it.
    pub(crate) place: HeaderPosition,
    /// UDP encapsulation of the packet.
    pub(crate) encap: Option<UdpEncap>,
    /// Decides for an SA without a mode whether an IP packet is that of a tunnel.
    pub(crate) is_tunnel: &'h dyn Fn(&ParsedIp) -> bool,
}

/// Accepts every IP packet inside an SA without a mode as that of a tunnel, where there are no policies.
fn any_packet(_: &ParsedIp) -> bool {
    true
}

impl IpsecHeader<'_> {
    /// Reads the packet of a tunnel. Returns `None` if the payload is not one: by the mode of the SA, or for an SA
    /// without a mode by [`Self::is_tunnel`]. A malformed packet is refused by the tunnel.
    fn inner_packet(&self, mode: Mode, next: IpProto, payload: &[u8]) -> Option<Result<ParsedIp, IpError>> {
        match mode {
            Mode::Tunnel => Some(ParsedIp::read(payload)),
            Mode::Any if next == IpProto::IPV4 || next == IpProto::IPV6 => {
                Some(ParsedIp::read(payload)).filter(|inner| inner.as_ref().map_or(true, self.is_tunnel))
            }
            Mode::Any | Mode::Transport | Mode::Beet => None,
        }
    }
}

/// Verifies and decrypts ESP, and removes its headers (RFC 4303 section 3.4).
pub(crate) fn esp<A: Algorithms>(
    sa: &mut Sa<A>,
    packet: &mut PacketBuf<'_>,
    ip: &mut ParsedIp,
    header: &IpsecHeader<'_>,
) -> Result<Decapsulated, DecapsulateError> {
    let Transform::EspIn(esp) = &mut sa.transform else { return Err(DiscardReason::NoSa.into()) };
    let (received, in_front) = (packet.checkpoint(), packet.headroom());
    let place = header.place;
    let unwrapped = unwrap_udp(packet, header);
    let opened = match unwrapped.and_then(|()| esp.open(packet).map_err(DiscardReason::from)) {
        Ok(opened) => opened,
        Err(refused) => {
            packet.restore(received);
            return Err(refused.into());
        }
    };
    let octets = packet.len();
    // An IP packet without a next header passes transport mode with an empty payload; the payload of a dummy packet
    // has no meaning (RFC 4303 section 2.6).
    let bare = matches!(sa.mode, Mode::Transport | Mode::Any) && packet.is_empty();
    //= RFC 4303 2.6/3
    //# MUST: dummy packets are discarded without an error
    if opened.is_dummy() && !bare {
        return Decapsulated { mode: sa.mode, octets }.after(Err(DiscardReason::Dummy));
    }
    if let (Mode::Beet, Some(beet)) = (sa.mode, &sa.beet) {
        let restored = beet.restore(ip.outer_fields(), opened.next_header, packet);
        let restored = restored.and_then(|()| Ok(ParsedIp::read(packet.data())?));
        return Decapsulated { mode: Mode::Beet, octets }.after(restored.map(|restored| *ip = restored));
    }
    if let Some(inner) = header.inner_packet(sa.mode, opened.next_header, packet.data()) {
        let accepted = sa.tunnel.accept_parsed(ip.outer_fields(), opened.next_header, inner, packet);
        return Decapsulated { mode: Mode::Tunnel, octets }.after(accepted.map(|inner| *ip = inner));
    }
    let gap = packet.headroom().saturating_sub(in_front).saturating_sub(place.at);
    let placed = packet.push_front(place.at.saturating_add(gap)).map(drop).map_err(IpError::from);
    let placed = placed.and_then(|()| close_gap(packet, place, gap, opened.next_header));
    ip.read_next_headers(packet.data());
    Decapsulated { mode: Mode::Transport, octets }.after(placed)
}

/// Removes the headers in front of ESP: the IP header, and the UDP header and the marker of the drafts.
fn unwrap_udp(packet: &mut PacketBuf<'_>, header: &IpsecHeader<'_>) -> Result<(), DiscardReason> {
    packet.pull_front(header.place.at).map_err(IpError::from)?;
    let Some(encap) = header.encap else { return Ok(()) };
    pop_udp(packet)?;
    match classify(packet.data(), encap.marker) {
        Datagram::Esp(_) => {}
        Datagram::KeepAlive => return Err(DiscardReason::KeepAlive),
        Datagram::Ike(_) => return Err(DiscardReason::Encapsulation),
        Datagram::Runt => return Err(esp_core::OpenError::TooShort.into()),
    }
    packet.pull_front(encap.marker.esp_offset()).map_err(|e| IpError::from(e).into())
}

/// Verifies AH, and removes its header (RFC 4302 section 3.4).
pub(crate) fn ah<A: Algorithms>(
    sa: &mut Sa<A>,
    packet: &mut PacketBuf<'_>,
    ip: &mut ParsedIp,
    header: &IpsecHeader<'_>,
) -> Result<Decapsulated, DecapsulateError> {
    let Transform::AhIn(ah) = &mut sa.transform else { return Err(DiscardReason::NoSa.into()) };
    let next = ah.verify(packet)?.next_header;
    let octets = packet.len();
    ip.read_next_headers(packet.data());
    let found = ip.find(next);
    let inside = found.ok().and_then(|place| packet.data().get(place.at..)).unwrap_or_default();
    let Some(inner) = header.inner_packet(sa.mode, next, inside) else {
        return Ok(Decapsulated { mode: Mode::Transport, octets });
    };
    let tunnel = Decapsulated { mode: Mode::Tunnel, octets };
    if next != IpProto::IPV4 && next != IpProto::IPV6 {
        return tunnel.after(Err(TunnelError::NotIp(next)));
    }
    let pulled = found.and_then(|place| packet.pull_front(place.at).map_err(IpError::from));
    let accepted = pulled.map_err(DiscardReason::from).and_then(|()| {
        *ip = sa.tunnel.accept_parsed(ip.outer_fields(), next, inner, packet)?;
        Ok(())
    });
    tunnel.after(accepted)
}

/// Decompresses IPComp, and removes its header (RFC 3173 section 2).
pub(crate) fn ipcomp<A: Algorithms>(
    sa: &mut Sa<A>,
    decompressor: Option<&mut A::Decompressor>,
    packet: &mut PacketBuf<'_>,
    ip: &mut ParsedIp,
    header: &IpsecHeader<'_>,
) -> Result<Decapsulated, DecapsulateError> {
    let (Transform::IpcompIn(cpi), Some(decompressor)) = (&sa.transform, decompressor) else {
        return Err(DiscardReason::NoSa.into());
    };
    let (received, place) = (packet.checkpoint(), header.place);
    packet.pull_front(place.at).map_err(IpError::from)?;
    let next = match place.next {
        IpProto::IPCOMP => match decompress(packet, *cpi, decompressor) {
            Ok(next) => next,
            Err(refused) => {
                packet.restore(received);
                return Err(DiscardReason::Ipcomp(without_payload(&refused)).into());
            }
        },
        plain => plain,
    };
    let octets = packet.len();
    if let Some(inner) = header.inner_packet(sa.mode, next, packet.data()) {
        let accepted = sa.tunnel.accept_parsed(ip.outer_fields(), next, inner, packet);
        return Decapsulated { mode: Mode::Tunnel, octets }.after(accepted.map(|inner| *ip = inner));
    }
    let restored = restore_headers(packet, place, next);
    ip.read_next_headers(packet.data());
    Decapsulated { mode: Mode::Transport, octets }.after(restored)
}

/// Restores the headers of transport mode in front of a payload whose protocol number is `next`.
fn restore_headers(packet: &mut PacketBuf<'_>, place: HeaderPosition, next: IpProto) -> Result<(), IpError> {
    packet.push_front(place.at)?;
    set_next_header(packet.data_mut(), place, next)?;
    adjust_length(packet.data_mut())
}

fn without_payload<E>(error: &DecompressError<E>) -> DecompressError<BadPayload> {
    match *error {
        DecompressError::TooShort(e) => DecompressError::TooShort(e),
        DecompressError::CpiMismatch { expected, found } => DecompressError::CpiMismatch { expected, found },
        DecompressError::Nested => DecompressError::Nested,
        DecompressError::NoSpace(e) => DecompressError::NoSpace(e),
        _ => DecompressError::Payload(BadPayload),
    }
}
