//! Removal of one IPsec header by its SA. This file reads neither the databases nor the policies.

use ipcomp_core::{DecompressError, decompress};
use ipsec_packet::{
    Datagram, HeaderPosition, Ip, IpError, IpProto, OuterFields, PacketBuf, adjust_length, check_preceding_headers,
    classify, close_gap, find_header, pop_udp, remove_preceding_headers, repair_checksum, set_next_header,
};

use crate::algorithms::Algorithms;
use crate::discard::{BadPayload, DiscardReason};
use crate::sa::{Sa, Transform};
use ipsec_sa::{Mode, Protocol, UdpEncap};

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

/// Packet that an SA has authenticated and that must be discarded nevertheless: what it contains is malformed, not
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
    /// The headers in front are checked first ([`check_preceding_headers`]). ESP in transport mode removes those
    /// headers in front that it does not authenticate ([`remove_preceding_headers`]).
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
        let place = find_header(packet.data(), self.outermost())?;
        check_preceding_headers(packet.data(), place.at)?;
        let decapsulated = self.open_captured(packet, decompressor)?;
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
        let ip = Ip::parse(packet.data())?;
        let (seen, length) = (OuterFields::read(&ip), ip.packet().len());
        packet.truncate(length);
        let mut extent = Extent::of(packet);
        let place = find_header(packet.data(), self.outermost())?;
        let result = match self.key().protocol {
            Protocol::Esp => esp(self, packet, place, self.encap, &seen, &any_packet),
            Protocol::Ah => ah(self, packet, &seen, &any_packet),
            Protocol::Ipcomp => ipcomp(self, decompressor, packet, place, &seen, &any_packet),
        };
        extent.include(packet);
        let result = match result {
            Ok(decapsulated) => self.repair_transport_checksum(packet, decapsulated),
            Err(DecapsulateError::Rejected(rejected)) => Err(rejected.reason),
            Err(DecapsulateError::Refused(reason)) => return Err(reason),
        };
        result.inspect_err(|_| extent.wipe(packet))
    }

    /// Repairs the checksum of the upper layer, unless IPComp follows.
    fn repair_transport_checksum(
        &self,
        packet: &mut PacketBuf<'_>,
        decapsulated: Decapsulated,
    ) -> Result<Decapsulated, DiscardReason> {
        let is_repaired = self.encap.is_some() && decapsulated.mode == Mode::Transport;
        //= RFC 3948 3.1.2/2
        //# SHOULD: checksums are waived only in transport mode, of packets with integrity
        if is_repaired && find_header(packet.data(), IpProto::IPCOMP).is_err() {
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

    /// Overwrites the whole extent, in front of the packet and behind it, too.
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

/// Returns whether the payload is that of a tunnel: by the mode of the SA, or for an SA without a mode by `decides`,
/// which is given the inner IP packet.
fn is_tunnel(mode: Mode, next: IpProto, inner: &[u8], decides: &dyn Fn(&[u8]) -> bool) -> bool {
    match mode {
        Mode::Tunnel => true,
        Mode::Any => (next == IpProto::IPV4 || next == IpProto::IPV6) && decides(inner),
        Mode::Transport | Mode::Beet => false,
    }
}

/// Accepts every IP packet inside an SA without a mode as that of a tunnel, where there are no policies.
fn any_packet(_: &[u8]) -> bool {
    true
}

pub(crate) fn esp<A: Algorithms>(
    sa: &mut Sa<A>,
    packet: &mut PacketBuf<'_>,
    place: HeaderPosition,
    encap: Option<UdpEncap>,
    seen: &OuterFields,
    decides: &dyn Fn(&[u8]) -> bool,
) -> Result<Decapsulated, DecapsulateError> {
    let Transform::EspIn(esp) = &mut sa.transform else { return Err(DiscardReason::NoSa.into()) };
    let (room, whole) = (packet.headroom(), packet.len());
    packet.pull_front(place.at).map_err(IpError::from)?;
    let unwrapped = unwrap_udp(packet, encap);
    let in_front = packet.headroom();
    let opened = match unwrapped.and_then(|()| esp.open(packet).map_err(DiscardReason::from)) {
        Ok(opened) => opened,
        Err(refused) => {
            // Restores the octets that were pulled in front and those that the UDP length cut off behind.
            let _ = packet.push_front(packet.headroom().saturating_sub(room));
            let _ = packet.push_back(whole.saturating_sub(packet.len()));
            return Err(refused.into());
        }
    };
    let gap = packet.headroom().saturating_sub(in_front).saturating_add(encap.map_or(0, UdpEncap::overhead));
    let octets = packet.len();
    // An IP packet without a next header passes transport mode with an empty payload; the payload of a dummy packet
    // has no meaning (RFC 4303 section 2.6).
    let bare = matches!(sa.mode, Mode::Transport | Mode::Any) && packet.is_empty();
    //= RFC 4303 2.6/3
    //# MUST: dummy packets are discarded without an error
    if opened.is_dummy() && !bare {
        return Decapsulated { mode: sa.mode, octets }.after(Err(DiscardReason::Dummy));
    }
    let mode = match sa.mode {
        Mode::Beet => Mode::Beet,
        mode if is_tunnel(mode, opened.next_header, packet.data(), decides) => Mode::Tunnel,
        _ => Mode::Transport,
    };
    let placed = match (mode, &sa.beet) {
        (Mode::Beet, Some(beet)) => beet.restore(seen, opened.next_header, packet).map_err(DiscardReason::from),
        (Mode::Tunnel | Mode::Beet, _) => {
            sa.tunnel.accept(seen, opened.next_header, packet).map_err(DiscardReason::from)
        }
        (Mode::Transport | Mode::Any, _) => {
            let placed = packet.push_front(place.at.saturating_add(gap)).map(drop).map_err(IpError::from);
            placed.and_then(|()| close_gap(packet, place, gap, opened.next_header)).map_err(DiscardReason::from)
        }
    };
    Decapsulated { mode, octets }.after(placed)
}

/// Removes the UDP header and the marker of the drafts.
fn unwrap_udp(packet: &mut PacketBuf<'_>, encap: Option<UdpEncap>) -> Result<(), DiscardReason> {
    let Some(encap) = encap else { return Ok(()) };
    pop_udp(packet)?;
    match classify(packet.data(), encap.marker) {
        Datagram::Esp(_) => {}
        Datagram::KeepAlive => return Err(DiscardReason::KeepAlive),
        Datagram::Ike(_) => return Err(DiscardReason::Encapsulation),
        Datagram::Runt => return Err(esp_core::OpenError::TooShort.into()),
    }
    packet.pull_front(encap.marker.esp_offset()).map_err(|e| IpError::from(e).into())
}

pub(crate) fn ah<A: Algorithms>(
    sa: &mut Sa<A>,
    packet: &mut PacketBuf<'_>,
    seen: &OuterFields,
    decides: &dyn Fn(&[u8]) -> bool,
) -> Result<Decapsulated, DecapsulateError> {
    let Transform::AhIn(ah) = &mut sa.transform else { return Err(DiscardReason::NoSa.into()) };
    let verified = ah.verify(packet)?;
    let octets = packet.len();
    let inner = find_header(packet.data(), verified.next_header);
    let inside = inner.ok().and_then(|place| packet.data().get(place.at..)).unwrap_or_default();
    if !is_tunnel(sa.mode, verified.next_header, inside, decides) {
        return Ok(Decapsulated { mode: Mode::Transport, octets });
    }
    let inner = inner.and_then(|place| packet.pull_front(place.at).map_err(IpError::from)).map_err(DiscardReason::from);
    let accepted = inner.and_then(|()| Ok(sa.tunnel.accept(seen, verified.next_header, packet)?));
    Decapsulated { mode: Mode::Tunnel, octets }.after(accepted)
}

pub(crate) fn ipcomp<A: Algorithms>(
    sa: &mut Sa<A>,
    decompressor: Option<&mut A::Decompressor>,
    packet: &mut PacketBuf<'_>,
    place: HeaderPosition,
    seen: &OuterFields,
    decides: &dyn Fn(&[u8]) -> bool,
) -> Result<Decapsulated, DecapsulateError> {
    let (Transform::IpcompIn(cpi), Some(decompressor)) = (&sa.transform, decompressor) else {
        return Err(DiscardReason::NoSa.into());
    };
    packet.pull_front(place.at).map_err(IpError::from)?;
    let next = match place.next {
        IpProto::IPCOMP => match decompress(packet, *cpi, decompressor) {
            Ok(next) => next,
            Err(refused) => {
                packet.push_front(place.at).map_err(IpError::from)?;
                return Err(DiscardReason::Ipcomp(without_payload(&refused)).into());
            }
        },
        plain => plain,
    };
    let octets = packet.len();
    if is_tunnel(sa.mode, next, packet.data(), decides) {
        return Decapsulated { mode: Mode::Tunnel, octets }.after(sa.tunnel.accept(seen, next, packet));
    }
    Decapsulated { mode: Mode::Transport, octets }.after(restore_headers(packet, place, next))
}

/// Puts the headers of transport mode back in front of a payload whose protocol number is `next`.
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
