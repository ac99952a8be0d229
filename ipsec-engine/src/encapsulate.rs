//! Addition of one IPsec header by its SA. This file reads neither the databases nor the policies.

use core::net::IpAddr;

use esp_core::{IvSource, Padding, Prepared, SealError};
use ipcomp_core::{Compression, Compressor, THRESHOLD, compress};
use ipsec_packet::{
    BeetError, DestinationOptions, DfPolicy, HeaderPosition, IpError, IpProto, NoSpace, Outer, PacketBuf, ParsedIp,
    TunnelError, UdpChecksum, UdpError, adjust_length, close_gap, open_gap, push_udp, set_next_header,
};

use ipsec_sa::{Direction, Mode, UdpEncap};

use crate::algorithms::Algorithms;
use crate::counters::Counter;
use crate::discard::DiscardReason;
use crate::sa::{IpcompOut, Sa, Transform};
use crate::table::SlotNumber;
use crate::tunnel_policy::is_recursive;

/// Largest number of octets of ESP padding that aligns the ciphertext to the block size.
const MAX_PADDING: usize = 16;

/// State that all transforms of one packet share.
pub(crate) struct Encapsulation<'e, C> {
    pub(crate) compressor: Option<&'e mut C>,
    pub(crate) counters: &'e mut crate::Counters,
    /// Set if routers may fragment the packet of an IPv4 tunnel, regardless of the DF rule of the tunnel.
    pub(crate) fragment: bool,
    /// Identification of the next outer IPv4 header.
    pub(crate) identification: &'e mut u16,
    /// Largest number of octets of TFC padding.
    pub(crate) max_tfc: usize,
    /// Headers of the packet, which each transform updates.
    pub(crate) ip: &'e mut ParsedIp,
    /// Batch that completes the ESP packet of the outermost transform; `None` for other transforms.
    pub(crate) batch: Option<&'e mut BatchSeal>,
}

/// ESP packet of a batch, which is completed together with others.
#[derive(Debug)]
pub(crate) struct BatchSeal {
    /// Number of packets in the batch.
    pub(crate) packets: usize,
    /// Slot of the SA of the outermost transform.
    pub(crate) sa: Option<SlotNumber>,
    /// ESP packet that is not complete.
    pub(crate) prepared: Option<Prepared>,
}

impl BatchSeal {
    /// Seals a packet, or prepares it where a batch is faster.
    fn seal<S: ipsec_crypto::Suite>(
        batch: Option<&mut Self>,
        esp: &mut esp_core::Outbound<S>,
        packet: &mut PacketBuf<'_>,
        (next, padding): (IpProto, Padding),
        iv: &mut impl IvSource,
    ) -> Result<(), SealError> {
        match batch.filter(|batch| esp.gains_from_batch(batch.packets)) {
            Some(batch) => batch.prepared = Some(esp.prepare(packet, next, padding, iv)?),
            None => _ = esp.seal_padded(packet, next, padding, iv)?,
        }
        Ok(())
    }
}

/// Returns the mode in which an SA is used for a template.
pub(crate) fn mode_of(asked: Mode, sa: Mode) -> Mode {
    match (asked, sa) {
        (Mode::Any, Mode::Any) => Mode::Transport,
        (Mode::Any, of_the_sa) => of_the_sa,
        (asked, _) => asked,
    }
}

/// Packet that is to be protected, with its headers.
#[derive(Clone, Copy)]
pub(crate) struct Inner<'p> {
    pub(crate) ip: &'p ParsedIp,
    pub(crate) packet: &'p [u8],
}

/// Length of a packet after its transforms and the space that it needs, computed before anything is changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizePlan {
    pub(crate) length: usize,
    front: usize,
    back: usize,
    /// Length of the headers in front of the position of a transport mode header, in octets.
    header: usize,
    version: u8,
    /// Addresses of the outermost IP header so far.
    ends: (IpAddr, IpAddr),
    /// Set if the packet is an IPv4 fragment that is not inside a tunnel.
    fragment: bool,
    /// Largest number of octets of TFC padding. Padding is reduced where the packet would exceed the path MTU.
    pub(crate) max_tfc: usize,
}

impl SizePlan {
    pub(crate) fn with_max_tfc(self, max_tfc: usize) -> Self {
        Self { max_tfc, ..self }
    }

    /// Creates the plan of a packet without transforms.
    pub(crate) fn of(ip: &ParsedIp) -> Self {
        Self {
            length: ip.len(),
            front: 0,
            back: 0,
            header: 0,
            version: ip.version(),
            ends: ip.ends(),
            fragment: ip.version() == 4 && ip.is_fragment(),
            max_tfc: usize::MAX,
        }
    }

    /// Adds the transform of one SA. IPComp counts as 0 octets, as it never makes a packet larger.
    pub(crate) fn through<A: Algorithms>(
        &mut self,
        sa: &Sa<A>,
        mode: Mode,
        inner: Inner<'_>,
    ) -> Result<(), DiscardReason> {
        // Only the packet's own headers can be a fragment's or have options. Headers that tunnel mode adds have none.
        let own = self.front == 0;
        if own
            && sa.mode == Mode::Any
            && matches!(mode, Mode::Any | Mode::Transport)
            && is_recursive(inner.ip, inner.packet)
        {
            return Err(TunnelError::Recursive.into());
        }
        if let (Mode::Beet, Some(beet)) = (mode, &sa.beet) {
            if !beet.matches(self.ends.0, self.ends.1) {
                return Err(BeetError::InnerAddressMismatch.into());
            }
            if self.fragment {
                return Err(BeetError::Ip(IpError::Fragment).into());
            }
        }
        let (in_front, outer) = match mode {
            // BEET removes a header first. This is the largest possible size.
            Mode::Tunnel | Mode::Beet => (0, sa.tunnel.overhead()),
            Mode::Any | Mode::Transport if own => (inner.ip.transport_position(sa.options)?.at, 0),
            Mode::Any | Mode::Transport => (self.header, 0),
        };
        let payload = self.length.saturating_sub(in_front);
        let (mut front, mut back) = (0, 0);
        if let Transform::EspOut(esp) = &sa.transform {
            let padding = esp.padding().with_tfc_limit(payload, self.max_tfc);
            let overhead = esp.overhead_with(padding, payload);
            (front, back) = (overhead.front.saturating_add(sa.encap.map_or(0, UdpEncap::overhead)), overhead.back);
        }
        if matches!(mode, Mode::Tunnel | Mode::Beet) {
            self.version = if outer == 20 { 4 } else { 6 };
            (self.ends, self.fragment) = ((sa.source, sa.destination), false);
            self.header = outer;
        } else {
            self.header = in_front;
        }
        if let Transform::AhOut(ah) = &sa.transform {
            front = ah.overhead(self.version);
        }
        if mode == Mode::Beet {
            back = back.saturating_add(MAX_PADDING); // that of a shorter payload may be more
        }
        self.front = self.front.saturating_add(front).saturating_add(outer);
        self.back = self.back.saturating_add(back);
        self.length = in_front.saturating_add(payload).saturating_add(front).saturating_add(back).saturating_add(outer);
        if self.length > usize::from(u16::MAX) {
            return Err(IpError::TooLong(self.length).into());
        }
        Ok(())
    }

    /// Refuses a buffer with too little head- or tailroom.
    pub(crate) fn check_space_in(&self, packet: &PacketBuf<'_>) -> Result<(), NoSpace> {
        packet.check_space(self.front, self.back)
    }
}

/// Adds the UDP header. Its checksum is 0 over IPv4, as RFC 3948 section 2.1 recommends, and computed over IPv6, where
/// receivers require one (RFC 8200 section 8.1).
fn push_encap(encap: UdpEncap, packet: &mut PacketBuf<'_>, flow: (IpAddr, IpAddr)) -> Result<(), UdpError> {
    let (source, destination) = flow;
    //= RFC 3948 2.1/2
    //# SHOULD: over IPv4 the UDP checksum is sent as zero
    let checksum = if source.is_ipv4() { UdpChecksum::Zero } else { UdpChecksum::Computed { source, destination } };
    push_udp(packet, encap.ports, encap.marker, checksum)
}

/// Applies one SA to a packet. Returns the number of octets that count for the lifetime of the SA.
pub(crate) fn protect<A: Algorithms>(
    sa: &mut Sa<A>,
    mode: Mode,
    encapsulation: &mut Encapsulation<'_, A::Compressor>,
    packet: &mut PacketBuf<'_>,
    iv: &mut impl IvSource,
) -> Result<usize, DiscardReason> {
    match mode {
        Mode::Tunnel | Mode::Beet => tunnel_mode(sa, mode, encapsulation, packet, iv),
        Mode::Any | Mode::Transport => transport_mode(sa, encapsulation, packet, iv),
    }
}

/// Adds the header of transport mode after the packet's own header.
fn transport_mode<A: Algorithms>(
    sa: &mut Sa<A>,
    encapsulation: &mut Encapsulation<'_, A::Compressor>,
    packet: &mut PacketBuf<'_>,
    iv: &mut impl IvSource,
) -> Result<usize, DiscardReason> {
    let place = encapsulation.ip.transport_position(sa.options)?;
    let payload = packet.len().saturating_sub(place.at);
    match &mut sa.transform {
        Transform::EspOut(esp) => {
            let batch =
                encapsulation.batch.take().filter(|_| may_be_completed_later(sa.encap, encapsulation.ip.version()));
            let position = EspPosition { place, encap: sa.encap, max_tfc: encapsulation.max_tfc };
            esp_transport_mode(esp, position, packet, (encapsulation.ip, batch), iv)?;
            count(encapsulation, Counter::Esp, Counter::EspOctets, payload);
        }
        Transform::AhOut(ah) => {
            let whole = packet.len();
            ah.sign(packet)?;
            encapsulation.ip.read_next_headers(packet.data());
            count(encapsulation, Counter::Ah, Counter::AhOctets, whole);
            return Ok(whole);
        }
        Transform::IpcompOut(ipcomp) => {
            //= RFC 3173 2/6
            //# MUST: hop-by-hop options and routing headers are sent in their original form
            let place = encapsulation.ip.transport_position(DestinationOptions::Protected)?;
            packet.pull_front(place.at).map_err(IpError::from)?;
            let next = try_compress(ipcomp, encapsulation, packet, place.next);
            packet.push_front(place.at).map_err(IpError::from)?;
            if next != place.next {
                set_next_header(packet.data_mut(), place, next)?;
                adjust_length(packet.data_mut())?;
                encapsulation.ip.replace(place, next, packet.len());
            }
        }
        Transform::EspIn(_) | Transform::AhIn(_) | Transform::IpcompIn(_) => {}
    }
    Ok(payload)
}

/// Position of ESP in transport mode, and the headers around it.
struct EspPosition {
    place: HeaderPosition,
    encap: Option<UdpEncap>,
    /// Largest number of octets of TFC padding.
    max_tfc: usize,
}

/// Adds ESP, and UDP if the SA has it, after the IP header of the packet. If sealing fails, the packet is unchanged.
fn esp_transport_mode<S: ipsec_crypto::Suite>(
    esp: &mut esp_core::Outbound<S>,
    EspPosition { place, encap, max_tfc }: EspPosition,
    packet: &mut PacketBuf<'_>,
    (ip, batch): (&mut ParsedIp, Option<&mut BatchSeal>),
    iv: &mut impl IvSource,
) -> Result<(), DiscardReason> {
    let payload = packet.len().saturating_sub(place.at);
    let padding = esp.padding().with_tfc_limit(payload, max_tfc);
    let gap = esp.overhead_with(padding, payload).front.saturating_add(encap.map_or(0, UdpEncap::overhead));
    //= RFC 4303 2/1
    //# MUST: the header in front of ESP names protocol 50
    let proto = if encap.is_some() { IpProto::UDP } else { IpProto::ESP };
    open_gap(packet, place, gap, proto)?;
    let whole = packet.checkpoint();
    packet.pull_front(place.at.saturating_add(gap)).map_err(IpError::from)?;
    if let Err(refused) = BatchSeal::seal(batch, esp, packet, (place.next, padding), iv) {
        packet.restore(whole);
        close_gap(packet, place, gap, place.next)?;
        return Err(refused.into());
    }
    if let Some(encap) = encap {
        push_encap(encap, packet, ip.ends())?;
    }
    packet.push_front(place.at).map_err(IpError::from)?;
    ip.insert(place, packet.len().saturating_sub(ip.len()), proto);
    Ok(adjust_length(packet.data_mut())?)
}

/// Adds the outer header of tunnel or BEET mode and the IPsec header.
//= RFC 3948 1/2
//# MUST: tunnel mode clients support tunnel mode
fn tunnel_mode<A: Algorithms>(
    sa: &mut Sa<A>,
    mode: Mode,
    encapsulation: &mut Encapsulation<'_, A::Compressor>,
    packet: &mut PacketBuf<'_>,
    iv: &mut impl IvSource,
) -> Result<usize, DiscardReason> {
    let mut id = *encapsulation.identification;
    if (mode, encapsulation.ip.version()) == (Mode::Beet, 4) {
        id = encapsulation.ip.identification();
    } else {
        // The identification is never 0: raw sockets of some systems replace 0 by another number, and AH covers the
        // field.
        *encapsulation.identification = id.checked_add(1).unwrap_or(1);
    }
    let tunnel = if encapsulation.fragment { sa.tunnel.with_df(DfPolicy::Clear) } else { sa.tunnel };
    let (outer, mut next) = tunnel.outer_for_parsed(encapsulation.ip, packet.data_mut())?;
    if let (Mode::Beet, Some(beet)) = (mode, &sa.beet) {
        next = beet.strip_parsed(encapsulation.ip, packet)?;
    }
    let mut payload = packet.len();
    match &mut sa.transform {
        Transform::EspOut(esp) => {
            let padding = esp.padding().with_tfc_limit(payload, encapsulation.max_tfc);
            let version = if matches!(outer, Outer::V4(_)) { 4 } else { 6 };
            let batch = encapsulation.batch.take().filter(|_| may_be_completed_later(sa.encap, version));
            BatchSeal::seal(batch, esp, packet, (next, padding), iv)?;
            //= RFC 4303 2/1
            //# MUST: the header in front of ESP names protocol 50
            let mut proto = IpProto::ESP;
            if let Some(encap) = sa.encap {
                push_encap(encap, packet, ends(&outer))?;
                proto = IpProto::UDP;
            }
            outer.push(packet, proto, id)?;
            *encapsulation.ip = outer.parsed(proto, id, packet.len());
            count(encapsulation, Counter::Esp, Counter::EspOctets, payload);
        }
        Transform::AhOut(ah) => {
            outer.push(packet, next, id)?;
            *encapsulation.ip = outer.parsed(next, id, packet.len());
            let whole = packet.len();
            ah.sign(packet)?;
            encapsulation.ip.read_next_headers(packet.data());
            count(encapsulation, Counter::Ah, Counter::AhOctets, whole);
            payload = whole;
        }
        Transform::IpcompOut(ipcomp) => {
            let next = try_compress(ipcomp, encapsulation, packet, next);
            outer.push(packet, next, id)?;
            *encapsulation.ip = outer.parsed(next, id, packet.len());
        }
        Transform::EspIn(_) | Transform::AhIn(_) | Transform::IpcompIn(_) => {}
    }
    encapsulation.counters.add(Direction::Outbound, Counter::Tunnelled, 1);
    Ok(payload)
}

/// Returns whether the headers in front of ESP do not depend on its ciphertext: a UDP checksum over IPv6 does.
fn may_be_completed_later(encap: Option<UdpEncap>, version: u8) -> bool {
    encap.is_none() || version == 4
}

fn ends(outer: &Outer) -> (IpAddr, IpAddr) {
    match outer {
        Outer::V4(header) => (header.source().into(), header.destination().into()),
        Outer::V6(header) => (header.source().into(), header.destination().into()),
    }
}

fn count<C>(encapsulation: &mut Encapsulation<'_, C>, packets: Counter, octets: Counter, length: usize) {
    encapsulation.counters.add(Direction::Outbound, packets, 1);
    encapsulation.counters.add(Direction::Outbound, octets, length);
}

/// Compresses a payload if that makes it smaller. Returns the resulting protocol number.
fn try_compress<C: Compressor>(
    ipcomp: &mut IpcompOut,
    encapsulation: &mut Encapsulation<'_, C>,
    packet: &mut PacketBuf<'_>,
    next: IpProto,
) -> IpProto {
    let octets = packet.len();
    let Some(compressor) = &mut encapsulation.compressor else { return next };
    if octets >= THRESHOLD && ipcomp.backoff.try_next() {
        //= RFC 3173 3.3/3
        //# MUST: the outbound header has the CPI that the decompressing node chose
        match compress(packet, next, ipcomp.cpi, *compressor) {
            Ok(Compression::Compressed { saved }) => {
                ipcomp.backoff.record(true);
                ipcomp.saved = ipcomp.saved.saturating_add(u64::try_from(saved).unwrap_or(u64::MAX));
                count(encapsulation, Counter::Compressed, Counter::CompressedOctets, octets);
                return IpProto::IPCOMP;
            }
            Ok(Compression::NotWorthwhile) => ipcomp.backoff.record(false),
            // Without enough tailroom to work in, the payload is sent uncompressed, too (RFC 3173 section 2.2).
            Ok(Compression::TooSmall) | Err(_) => {}
        }
    }
    encapsulation.counters.add(Direction::Outbound, Counter::Uncompressed, 1);
    next
}
