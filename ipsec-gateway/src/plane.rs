//! Packets between the protected side (TUN) and the unprotected side (raw sockets), by the engine.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use esp_core::RngIv;
use ipsec_engine::{Acquire, DiscardReason, InboundAction, MssLimits, OutboundAction, OutboundSlot, PolicyId, SaId};
use ipsec_packet::{AddressRange, Flow, Fragments, Instant, Ip, IpError, PacketBuf, TooBig, too_big_reply};
use ipsec_sa::PolicyDirection;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::buffer::Buffer;
use crate::clock;
use crate::databases::Databases;
use crate::gif::{Decapsulation, Encapsulation, Gifs};
use crate::state::{ManualState, verified};

/// Destination of packets: an interface or a socket.
pub trait PacketSink {
    /// Sends an IP packet.
    ///
    /// # Errors
    /// EMSGSIZE if the packet exceeds the MTU of its route and must not be fragmented, and others of the system.
    fn send(&self, packet: &[u8]) -> io::Result<()>;

    /// Sends an IP packet that exceeds the MTU of its route in fragments.
    ///
    /// # Errors
    /// EMSGSIZE if the packet cannot be fragmented, and others of the system.
    fn send_in_fragments(&self, packet: &[u8]) -> io::Result<()> {
        let _ = packet;
        Err(rustix::io::Errno::MSGSIZE.into())
    }

    /// Returns the MTU of the route of an IP packet, if it is known.
    fn mtu(&self, packet: &[u8]) -> Option<u16> {
        let ip = Ip::parse(packet).ok()?;
        self.route_mtu(ip.source(), ip.destination())
    }

    /// Returns the MTU of the route between two addresses of the unprotected side, if it is known.
    fn route_mtu(&self, source: IpAddr, destination: IpAddr) -> Option<u16> {
        let _ = (source, destination);
        None
    }
}

/// Returns whether a packet was not sent because it exceeds the MTU of its route.
pub fn is_too_big(e: &io::Error) -> bool {
    e.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

/// Longest ICMP error, that of IPv6 (RFC 4443 section 2.4), in octets.
const MAX_ICMP_ERROR: usize = 1280;

/// Smallest path MTU that reports set, as in the engine, for IPv4 and IPv6.
const MIN_PATH_MTU_V4: u16 = 576;
const MIN_PATH_MTU_V6: u16 = 1280;

/// Longest time for which a packet waits for an SA: that of an exchange of phase 1 and one of phase 2.
const MAX_WAIT: Duration = Duration::from_secs(240);

/// Engine with the packets that wait for an SA.
pub struct Plane {
    /// Databases of policies and SAs.
    pub engine: Box<Databases>,
    /// Last packet of each policy that has caused an acquire, with its time.
    waiting: BTreeMap<PolicyId, (Instant, Vec<u8>)>,
    /// Addresses of this host in the protected network, from which it sends ICMP errors.
    addresses: Vec<IpAddr>,
    /// Sources of the packets in inbound SAs of clients: their assigned addresses.
    sources: HashMap<SaId, AddressRange>,
    /// IP-in-IP tunnels in front of the engine.
    gifs: Gifs,
    /// State of the SAs with manual keys, if it is stored.
    pub state: Option<ManualState>,
    /// MTU of the TUN interface, if the MSS of TCP connections is lowered.
    pub clamped_to: Option<u16>,
    /// Set if SAs may limit the size of their packets.
    pub limits_packets: bool,
    rng: StdRng,
    buffer: Buffer,
}

impl Plane {
    /// Creates the plane for an engine. IVs are drawn from the system's random source.
    pub fn new(mut engine: Box<Databases>) -> Self {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        engine.engine_mut().set_identification(rng.random());
        Self {
            engine,
            waiting: BTreeMap::new(),
            addresses: Vec::new(),
            sources: HashMap::new(),
            gifs: Gifs::default(),
            state: None,
            clamped_to: None,
            limits_packets: false,
            rng,
            buffer: Buffer::new(),
        }
    }

    /// Sets the addresses of this host in the protected network, from which it reports packets that are too big.
    #[must_use]
    pub fn with_addresses(self, addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ..self }
    }

    /// Sets the IP-in-IP tunnels in front of the engine.
    #[must_use]
    pub fn with_gifs(self, gifs: Gifs) -> Self {
        Self { gifs, ..self }
    }

    /// Stores the state of the SAs with manual keys.
    #[must_use]
    pub fn with_state(self, state: Option<ManualState>) -> Self {
        Self { state, ..self }
    }

    /// Lowers the MSS of TCP connections to a TUN interface with this MTU, and to the path of their SAs.
    #[must_use]
    pub fn with_mss_clamping(self, clamped_to: Option<u16>) -> Self {
        Self { clamped_to, ..self }
    }

    /// Divides packets for SAs that limit the size of their packets.
    #[must_use]
    pub fn with_packet_limits(self, limits_packets: bool) -> Self {
        Self { limits_packets, ..self }
    }

    /// Replaces the addresses of this host in the protected network. The first ones are preferred.
    pub fn set_addresses(&mut self, addresses: Vec<IpAddr>) {
        self.addresses = addresses;
    }

    /// Replaces the IP-in-IP tunnels in front of the engine.
    pub fn set_gifs(&mut self, gifs: Gifs) {
        self.gifs = gifs;
    }

    /// Adds an address of this host in the protected network, which is preferred.
    pub fn add_address(&mut self, address: IpAddr) {
        self.addresses.retain(|other| *other != address);
        self.addresses.insert(0, address);
    }

    /// Removes an address of this host in the protected network.
    pub fn remove_address(&mut self, address: IpAddr) {
        self.addresses.retain(|other| *other != address);
    }

    /// Processes one packet as [`outbound_batch`](Self::outbound_batch) does, with which it is compared.
    #[cfg(test)]
    pub fn outbound(&mut self, now: Instant, packet: &mut PacketBuf<'_>, wire: &impl PacketSink) -> io::Result<()> {
        match self.encapsulate(packet) {
            Ok(Encapsulation::TooBig { mtu }) => self.report_too_big(now, packet.data(), mtu, wire),
            // The engine counts a malformed packet.
            Ok(Encapsulation::Done | Encapsulation::None) | Err(_) => self.protect(now, packet, wire),
        }
    }

    /// Writes an outer header in front of a packet for an IP-in-IP tunnel.
    fn encapsulate(&mut self, packet: &mut PacketBuf<'_>) -> Result<Encapsulation, IpError> {
        let (engine, id) = (&self.engine, self.rng.random());
        self.gifs.encapsulate(packet, id, |flow| engine.is_protected(PolicyDirection::Out, flow))
    }

    /// Removes the outer header of a received packet of an IP-in-IP tunnel.
    fn decapsulate(&self, packet: &mut PacketBuf<'_>) -> Decapsulation {
        let directions = [PolicyDirection::In, PolicyDirection::Forward];
        self.gifs.decapsulate(packet, |flow| directions.iter().any(|way| self.engine.is_protected(*way, flow)))
    }

    /// Protects and sends a packet, in fragments if the packets of its SA are limited (`esp_frag`).
    fn protect(&mut self, now: Instant, packet: &mut PacketBuf<'_>, wire: &impl PacketSink) -> io::Result<()> {
        match self.divided(now, packet.data()) {
            Some(fragments) => self.protect_all(now, fragments, wire),
            None => self.protect_one(now, packet, wire),
        }
    }

    /// Protects and sends the fragments of a packet, until one is not sent.
    fn protect_all(&mut self, now: Instant, mut fragments: Fragments<'_>, wire: &impl PacketSink) -> io::Result<()> {
        let mut buffer = Buffer::new();
        loop {
            let mut fragment = buffer.receive(|space| {
                let written = fragments.write_next(space).map_err(io::Error::other)?;
                Ok(written.map_or(0, |fragment| fragment.len()))
            })?;
            if fragment.is_empty() {
                return Ok(());
            }
            self.protect_one(now, &mut fragment, wire)?;
        }
    }

    /// Returns the fragments of a packet that is divided before ESP; `None` if it is not.
    fn divided<'p>(&mut self, now: Instant, packet: &'p [u8]) -> Option<Fragments<'p>> {
        let size = self.limits_packets.then(|| self.engine.engine_mut().fragment_size(packet, now))??;
        Fragments::new(packet, size, 0).ok()
    }

    fn protect_one(&mut self, now: Instant, packet: &mut PacketBuf<'_>, wire: &impl PacketSink) -> io::Result<()> {
        self.clamp_mss(now, packet, wire);
        let action = self.engine.engine_mut().outbound(packet, now, &mut RngIv(&mut self.rng));
        self.finish(now, &action, packet.data(), wire)
    }

    fn clamp_mss(&mut self, now: Instant, packet: &mut PacketBuf<'_>, wire: &impl PacketSink) {
        if let Some(tun_mtu) = self.clamped_to {
            let limits = limits(tun_mtu, wire);
            self.engine.engine_mut().clamp_outbound_mss(packet.data_mut(), now, limits);
        }
    }

    /// Sends a packet as the engine has protected it, or keeps it until its SA exists.
    fn finish(
        &mut self,
        now: Instant,
        action: &OutboundAction,
        packet: &[u8],
        wire: &impl PacketSink,
    ) -> io::Result<()> {
        match action {
            OutboundAction::Send | OutboundAction::Bypass => match wire.send(packet) {
                Err(e) if is_too_big(&e) => match self.lower_path_mtu(now, packet, wire) {
                    Some(()) => Ok(()),
                    // The engine knows the path MTU: its sender need not make the packet smaller.
                    None => wire.send_in_fragments(packet),
                },
                sent => sent,
            },
            OutboundAction::Acquire(Acquire { policy, .. }) => {
                self.waiting.insert(*policy, (now, packet.to_vec()));
                Ok(())
            }
            OutboundAction::Discard(DiscardReason::TooBig { mtu }) => self.report_too_big(now, packet, *mtu, wire),
            OutboundAction::Discard(_) => Ok(()),
        }
    }

    /// Processes packets of the protected side in their order: each is protected and sent, or kept until its SA exists.
    /// Their ciphers and hashes run together. `failed` receives the errors of `wire`.
    pub fn outbound_batch(
        &mut self,
        now: Instant,
        packets: Vec<PacketBuf<'_>>,
        wire: &impl PacketSink,
        failed: &mut dyn FnMut(io::Error),
    ) {
        let mut slots = Vec::with_capacity(packets.len());
        for mut packet in packets {
            // The engine counts a malformed packet.
            if let Ok(Encapsulation::TooBig { mtu }) = self.encapsulate(&mut packet) {
                self.report_too_big(now, packet.data(), mtu, wire).unwrap_or_else(&mut *failed);
                continue;
            }
            if let Some(fragments) = self.divided(now, packet.data()) {
                self.send_slots(now, &mut slots, wire, failed);
                self.protect_all(now, fragments, wire).unwrap_or_else(&mut *failed);
                continue;
            }
            self.clamp_mss(now, &mut packet, wire);
            slots.push(OutboundSlot::new(packet));
        }
        self.send_slots(now, &mut slots, wire, failed);
    }

    fn send_slots(
        &mut self,
        now: Instant,
        slots: &mut Vec<OutboundSlot<'_>>,
        wire: &impl PacketSink,
        failed: &mut dyn FnMut(io::Error),
    ) {
        self.engine.engine_mut().outbound_batch(slots, now, &mut RngIv(&mut self.rng));
        for slot in slots.drain(..) {
            if let Some(action) = &slot.action {
                self.finish(now, action, slot.packet.data(), wire).unwrap_or_else(&mut *failed);
            }
        }
    }

    /// Lowers the path MTU of the SA of a packet that was not sent. The packet is lost; the next one of this size is
    /// reported to its sender (RFC 4301 section 8.2.1). Returns `None` if the MTU is not lower.
    fn lower_path_mtu(&mut self, now: Instant, packet: &[u8], wire: &impl PacketSink) -> Option<()> {
        let (mut octets, destination) = ([0; MAX_ICMP_ERROR], Ip::parse(packet).ok()?.destination());
        // The report is the one that the next router would send.
        let report = too_big_reply(packet, wire.mtu(packet)?, destination, &mut octets)?;
        let report = TooBig::read(report).ok()??;
        self.engine.engine_mut().path_mtu_report(&report, now).then_some(())
    }

    /// Applies an ICMP report about a packet of an SA. Returns the destination and the new path MTU, if it is lower.
    pub fn report_path_mtu(&mut self, now: Instant, packet: &[u8]) -> Option<(IpAddr, u16)> {
        let report = TooBig::read(packet).ok()??;
        let least = if report.destination.is_ipv4() { MIN_PATH_MTU_V4 } else { MIN_PATH_MTU_V6 };
        self.engine.engine_mut().path_mtu_report(&report, now).then_some((report.destination, report.mtu.max(least)))
    }

    /// Sends an ICMP error for a packet of the protected side that is too big to be protected. The error quotes the
    /// packet: if its sender is behind a policy, too, it is protected or discarded as the policy requires (RFC 4301
    /// section 6.2).
    fn report_too_big(&mut self, now: Instant, packet: &[u8], mtu: u16, wire: &impl PacketSink) -> io::Result<()> {
        let mut octets = [0; MAX_ICMP_ERROR];
        // No error is sent from an address of the other IP version.
        let length = self.addresses.iter().find_map(|from| Some(too_big_reply(packet, mtu, *from, &mut octets)?.len()));
        let Some(report) = length.and_then(|length| octets.get(..length)) else { return Ok(()) };
        let engine = self.engine.engine_mut();
        let Ok(flow) = Flow::read(report) else { return Ok(()) };
        if !engine.is_protected(PolicyDirection::Out, &flow) {
            return wire.send(report);
        }
        let mut buffer = Buffer::new();
        let mut packet = buffer.copy(report)?;
        match engine.outbound(&mut packet, now, &mut RngIv(&mut self.rng)) {
            OutboundAction::Send | OutboundAction::Bypass => wire.send(packet.data()),
            OutboundAction::Acquire(_) | OutboundAction::Discard(_) => Ok(()),
        }
    }

    /// Binds an inbound SA to the source addresses of its packets. The policy of a server is for all its clients; the
    /// SA is for one of them.
    pub fn bind(&mut self, sa: SaId, sources: AddressRange) {
        let engine = &self.engine;
        self.sources.retain(|known, _| engine.sas().any(|sa| sa.key == *known));
        self.sources.insert(sa, sources);
    }

    /// Returns whether an inbound SA is bound to sources that include an address.
    pub fn is_bound_to(&self, address: IpAddr) -> bool {
        let mut bound = self.sources.iter().filter(|(_, sources)| sources.contains(address));
        bound.any(|(sa, _)| self.engine.sas().any(|own| own.key == *sa))
    }

    /// Processes a packet of the unprotected side and passes its contents to `host`, which also knows the routes of the
    /// unprotected side. Returns the SA that has authenticated it.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] for a source address to which the SA is not bound, or if the state of the SA
    /// could not be stored, and the error of `host`.
    pub fn inbound(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        host: &impl PacketSink,
    ) -> io::Result<Option<SaId>> {
        let verified_before = if self.state.is_some() { verified(&self.engine) } else { 0 };
        match self.engine.engine_mut().inbound(packet, now) {
            InboundAction::Deliver { sa } => {
                let source = Ip::parse(packet.data()).ok().map(|ip| ip.source());
                match (self.sources.get(&sa), source) {
                    (None, _) => {}
                    (Some(bound), Some(source)) if bound.contains(source) => {}
                    (Some(bound), _) => {
                        let source = source.map(|source| source.to_string()).unwrap_or_default();
                        let text = format!("source address mismatch in SA {sa}: got {source}, expected {bound}");
                        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
                    }
                }
                if let Some(state) = &mut self.state {
                    let headers = verified(&self.engine).saturating_sub(verified_before);
                    state
                        .before_delivery(&self.engine, (&sa, headers), (now, clock::unix_seconds()))
                        .map_err(|e| io::Error::new(io::ErrorKind::PermissionDenied, e))?;
                }
                if let Some(tun_mtu) = self.clamped_to {
                    let limits = limits(tun_mtu, host);
                    self.engine.engine_mut().clamp_inbound_mss(packet.data_mut(), now, limits);
                }
                match self.decapsulate(packet) {
                    Decapsulation::None | Decapsulation::Done => host.send(packet.data()).map(|()| Some(sa)),
                    Decapsulation::Refused => Ok(Some(sa)),
                }
            }
            // The kernel has received other packets that pass.
            InboundAction::Bypass => match self.decapsulate(packet) {
                Decapsulation::Done => host.send(packet.data()).map(|()| None),
                Decapsulation::None | Decapsulation::Refused => Ok(None),
            },
            InboundAction::Discard(_) => Ok(None),
        }
    }

    /// Sends the packet that waits for an SA of this policy, if there is one. One that has waited for too long, as no
    /// SA was negotiated for it, is dropped.
    ///
    /// # Errors
    /// The error of `wire`.
    pub fn send_waiting(&mut self, now: Instant, policy: PolicyId, wire: &impl PacketSink) -> io::Result<()> {
        let Some((since, packet)) = self.waiting.remove(&policy) else { return Ok(()) };
        if now.saturating_duration_since(since) > MAX_WAIT {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let sent = buffer.copy(&packet).and_then(|mut packet| self.protect(now, &mut packet, wire));
        self.buffer = buffer;
        sent
    }

    /// Drops the packet that waits for an SA of this policy: its negotiation has failed.
    pub fn drop_waiting(&mut self, policy: PolicyId) {
        self.waiting.remove(&policy);
    }
}

/// Returns the limits of TCP segments between a TUN interface and the routes of a sink.
fn limits(tun_mtu: u16, sink: &impl PacketSink) -> MssLimits<impl FnOnce(IpAddr, IpAddr) -> Option<u16>> {
    MssLimits { interface_mtu: tun_mtu, route_mtu: |source, destination| sink.route_mtu(source, destination) }
}

#[cfg(test)]
mod tests;
