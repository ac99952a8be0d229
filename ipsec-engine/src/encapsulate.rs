//! One header put on a packet, by an SA: no database, no policy.

use core::net::IpAddr;

use esp_core::IvSource;
use ipcomp_core::{Compression, Compressor, THRESHOLD, compress};
use ipsec_packet::{
    BeetError, DestinationOptions, DfPolicy, HeaderPosition, Ip, IpError, IpProto, NoSpace, Outer, PacketBuf,
    TunnelError, UDP_HEADER, UdpChecksum, UdpError, adjust_length, close_gap, open_gap, placement, push_udp,
    set_next_header,
};

use crate::algorithms::Algorithms;
use crate::counters::Counter;
use crate::disposition::DiscardReason;
use crate::policy::Mode;
use crate::sa::{Direction, Encap, IpcompOut, Sa, Transform};
use crate::tunnel_policy::is_recursive;

/// Octets of padding at most, by which a cipher's blocks are filled.
const MAX_PADDING: usize = 16;

/// What the transforms of one packet have in common.
pub(crate) struct Encapsulation<'e, C> {
    pub(crate) compressor: Option<&'e mut C>,
    pub(crate) counters: &'e mut crate::Counters,
    /// Whether routers may fragment what an IPv4 tunnel carries, whatever its own rule.
    pub(crate) fragment: bool,
    /// The identification of the next outer IPv4 header.
    pub(crate) identification: &'e mut u16,
    /// Octets of TFC padding at most.
    pub(crate) max_tfc: usize,
}

/// A transform of a policy, decided: in which mode the SA is used.
pub(crate) fn mode_of(asked: Mode, sa: Mode) -> Mode {
    match (asked, sa) {
        (Mode::Any, Mode::Any) => Mode::Transport,
        (Mode::Any, of_the_sa) => of_the_sa,
        (asked, _) => asked,
    }
}

/// The length of a packet on its way through its transforms, and the room it needs, before anything is changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizePlan {
    pub(crate) length: usize,
    front: usize,
    back: usize,
    /// Octets in front of where a transport header goes.
    header: usize,
    version: u8,
    /// The addresses of the header in front by then.
    ends: (IpAddr, IpAddr),
    /// Whether the packet is an IPv4 fragment and no tunnel is around it yet.
    fragment: bool,
    /// Octets of TFC padding at most: it yields where a packet would not fit on its path.
    pub(crate) max_tfc: usize,
}

impl SizePlan {
    /// With so many octets of TFC padding at most.
    pub(crate) fn with_max_tfc(self, max_tfc: usize) -> Self {
        Self { max_tfc, ..self }
    }

    /// For this packet.
    pub(crate) fn of(packet: &[u8]) -> Result<Self, IpError> {
        let ip = Ip::parse(packet)?;
        let (version, fragment) = match ip {
            Ip::V4(ip) => (4, ip.header().is_fragment()),
            Ip::V6(_) => (6, false),
        };
        let ends = (ip.source(), ip.destination());
        Ok(Self {
            length: ip.packet().len(),
            front: 0,
            back: 0,
            header: 0,
            version,
            ends,
            fragment,
            max_tfc: usize::MAX,
        })
    }

    /// Goes through one more SA. IPComp is taken as if it did nothing: it never makes a packet larger.
    pub(crate) fn through<A: Algorithms>(
        &mut self,
        sa: &Sa<A>,
        mode: Mode,
        packet: &[u8],
    ) -> Result<(), DiscardReason> {
        // Only the packet's own headers can be a fragment's, or have options: those put around it have none.
        let own = self.front == 0;
        if own && sa.mode == Mode::Any && matches!(mode, Mode::Any | Mode::Transport) && is_recursive(packet) {
            return Err(TunnelError::Recursive.into());
        }
        if let (Mode::Beet, Some(beet)) = (mode, &sa.beet) {
            if !beet.is_between(self.ends.0, self.ends.1) {
                return Err(BeetError::WrongInner.into());
            }
            if self.fragment {
                return Err(BeetError::Ip(IpError::Fragment).into());
            }
        }
        let (in_front, outer) = match mode {
            // BEET takes a header off first: this is the most it can come to.
            Mode::Tunnel | Mode::Beet => (0, sa.tunnel.overhead()),
            Mode::Any | Mode::Transport if own => (placement(packet, sa.options)?.at, 0),
            Mode::Any | Mode::Transport => (self.header, 0),
        };
        let payload = self.length.saturating_sub(in_front);
        let (mut front, mut back) = (0, 0);
        if let Transform::EspOut(esp) = &sa.transform {
            let padding = esp.padding().with_tfc_limit(payload, self.max_tfc);
            let overhead = esp.overhead_with(padding, payload);
            (front, back) = (overhead.front.saturating_add(sa.encap.map_or(0, Encap::overhead)), overhead.back);
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

    /// Refuses a buffer with too little room.
    pub(crate) fn check_space_in(&self, packet: &PacketBuf<'_>) -> Result<(), NoSpace> {
        packet.check_space(self.front, self.back)
    }
}

impl Encap {
    /// Octets between the IP header and ESP.
    pub(crate) const fn overhead(self) -> usize {
        UDP_HEADER.saturating_add(self.marker.esp_offset())
    }

    /// The checksum is 0 over IPv4, as RFC 3948 2.1 asks, and computed over IPv6, where receivers want one (RFC 8200 8.1).
    fn push(self, packet: &mut PacketBuf<'_>, flow: (IpAddr, IpAddr)) -> Result<(), UdpError> {
        let (source, destination) = flow;
        //= RFC 3948 2.1/2
        let checksum = if source.is_ipv4() { UdpChecksum::Zero } else { UdpChecksum::Computed { source, destination } };
        push_udp(packet, self.ports, self.marker, checksum)
    }
}

/// Puts a packet through one SA, and says how many octets its limits count.
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

/// Transport mode: behind the packet's own header.
fn transport_mode<A: Algorithms>(
    sa: &mut Sa<A>,
    encapsulation: &mut Encapsulation<'_, A::Compressor>,
    packet: &mut PacketBuf<'_>,
    iv: &mut impl IvSource,
) -> Result<usize, DiscardReason> {
    let place = placement(packet.data(), sa.options)?;
    let payload = packet.len().saturating_sub(place.at);
    match &mut sa.transform {
        Transform::EspOut(esp) => {
            esp_transport_mode(esp, place, sa.encap, packet, encapsulation.max_tfc, iv)?;
            count(encapsulation, Counter::Esp, Counter::EspOctets, payload);
        }
        Transform::AhOut(ah) => {
            let whole = packet.len();
            ah.sign(packet)?;
            count(encapsulation, Counter::Ah, Counter::AhOctets, whole);
            return Ok(whole);
        }
        Transform::IpcompOut(ipcomp) => {
            //= RFC 3173 2/6
            let place = placement(packet.data(), DestinationOptions::Protected)?;
            packet.pull_front(place.at).map_err(IpError::from)?;
            let next = try_compress(ipcomp, encapsulation, packet, place.next);
            packet.push_front(place.at).map_err(IpError::from)?;
            if next != place.next {
                set_next_header(packet.data_mut(), place, next)?;
                adjust_length(packet.data_mut())?;
            }
        }
        Transform::EspIn(_) | Transform::AhIn(_) | Transform::IpcompIn(_) => {}
    }
    Ok(payload)
}

/// Puts ESP, and UDP where asked for, behind the header of the packet. A refused seal leaves the packet as it was.
fn esp_transport_mode<S: ipsec_crypto::Suite>(
    esp: &mut esp_core::Outbound<S>,
    place: HeaderPosition,
    encap: Option<Encap>,
    packet: &mut PacketBuf<'_>,
    max_tfc: usize,
    iv: &mut impl IvSource,
) -> Result<(), DiscardReason> {
    let payload = packet.len().saturating_sub(place.at);
    let padding = esp.padding().with_tfc_limit(payload, max_tfc);
    let gap = esp.overhead_with(padding, payload).front.saturating_add(encap.map_or(0, Encap::overhead));
    //= RFC 4303 2/1
    let proto = if encap.is_some() { IpProto::UDP } else { IpProto::ESP };
    let ip = Ip::parse(packet.data())?;
    let ends = (ip.source(), ip.destination());
    open_gap(packet, place, gap, proto)?;
    let head = place.at.saturating_add(gap);
    packet.pull_front(head).map_err(IpError::from)?;
    if let Err(refused) = esp.seal_padded(packet, place.next, padding, iv) {
        packet.push_front(head).map_err(IpError::from)?;
        close_gap(packet, place, gap, place.next)?;
        return Err(refused.into());
    }
    if let Some(encap) = encap {
        encap.push(packet, ends)?;
    }
    packet.push_front(place.at).map_err(IpError::from)?;
    Ok(adjust_length(packet.data_mut())?)
}

/// Tunnel and BEET mode: behind a new header.
//= RFC 3948 1/2
fn tunnel_mode<A: Algorithms>(
    sa: &mut Sa<A>,
    mode: Mode,
    encapsulation: &mut Encapsulation<'_, A::Compressor>,
    packet: &mut PacketBuf<'_>,
    iv: &mut impl IvSource,
) -> Result<usize, DiscardReason> {
    let mut id = *encapsulation.identification;
    if let (Mode::Beet, Ip::V4(inner)) = (mode, Ip::parse(packet.data())?) {
        id = inner.header().identification();
    } else {
        // Not 0: systems that send raw packets put another number in its place, and AH covers it.
        *encapsulation.identification = id.checked_add(1).unwrap_or(1);
    }
    let tunnel = if encapsulation.fragment { sa.tunnel.with_df(DfPolicy::Clear) } else { sa.tunnel };
    let (outer, mut next) = tunnel.outer_for(packet.data_mut())?;
    if let (Mode::Beet, Some(beet)) = (mode, &sa.beet) {
        next = beet.strip(packet)?;
    }
    let mut payload = packet.len();
    match &mut sa.transform {
        Transform::EspOut(esp) => {
            let padding = esp.padding().with_tfc_limit(payload, encapsulation.max_tfc);
            esp.seal_padded(packet, next, padding, iv)?;
            //= RFC 4303 2/1
            let mut proto = IpProto::ESP;
            if let Some(encap) = sa.encap {
                encap.push(packet, ends(&outer))?;
                proto = IpProto::UDP;
            }
            outer.push(packet, proto, id)?;
            count(encapsulation, Counter::Esp, Counter::EspOctets, payload);
        }
        Transform::AhOut(ah) => {
            outer.push(packet, next, id)?;
            let whole = packet.len();
            ah.sign(packet)?;
            count(encapsulation, Counter::Ah, Counter::AhOctets, whole);
            payload = whole;
        }
        Transform::IpcompOut(ipcomp) => {
            let next = try_compress(ipcomp, encapsulation, packet, next);
            outer.push(packet, next, id)?;
        }
        Transform::EspIn(_) | Transform::AhIn(_) | Transform::IpcompIn(_) => {}
    }
    encapsulation.counters.add(Direction::Outbound, Counter::Tunnelled, 1);
    Ok(payload)
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

/// Compresses a payload, if it gets smaller, and says what it is now.
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
        match compress(packet, next, ipcomp.cpi, *compressor) {
            Ok(Compression::Shrunk { saved }) => {
                ipcomp.backoff.learn(true);
                ipcomp.saved = ipcomp.saved.saturating_add(u64::try_from(saved).unwrap_or(u64::MAX));
                count(encapsulation, Counter::Compressed, Counter::CompressedOctets, octets);
                return IpProto::IPCOMP;
            }
            Ok(Compression::NotWorthwhile) => ipcomp.backoff.learn(false),
            // Without room to work in it goes as it is, too (RFC 3173 2.2).
            Ok(Compression::TooSmall) | Err(_) => {}
        }
    }
    encapsulation.counters.add(Direction::Outbound, Counter::Uncompressed, 1);
    next
}
