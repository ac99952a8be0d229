use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use ipcomp_core::Backoff;
use ipsec_packet::{
    AntiReplay, Beet, ChecksumRepair, Cpi, DestinationOptions, FlowPolicy, HopLimitPolicy, Instant, Seq, SeqCounter,
    Tunnel,
};

use ipsec_sa::{Direction, Lifetimes, Mode, Protocol, SaAlgorithms, SaId, UdpEncap};

use crate::algorithms::Algorithms;

/// Security association: keys with their counter or window, and the parameters by which the engine uses them (RFC
/// 4301 sections 4.1 and 4.4.2.1).
pub struct Sa<A: Algorithms> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) transform: Transform<A>,
    pub(crate) mode: Mode,
    pub(crate) tunnel: Tunnel,
    pub(crate) beet: Option<Beet>,
    pub(crate) options: DestinationOptions,
    pub(crate) encap: Option<UdpEncap>,
    pub(crate) repair: ChecksumRepair,
    pub(crate) reqid: u32,
    pub(crate) lifetimes: Lifetimes,
    /// MTU that a router reported, and the time until which it is valid.
    pub(crate) path_mtu: Option<(u16, Instant)>,
    /// Largest size of its packets by configuration.
    pub(crate) max_packet: Option<u16>,
    pub(crate) algorithms: SaAlgorithms,
    /// SPI by which the SA is managed, where it is not that of the SA.
    pub(crate) managed_spi: Option<u32>,
}

/// Keyed transform of an SA in one direction (RFC 4301 section 4.4.2.1).
#[allow(clippy::large_enum_variant)] // there is no heap
#[non_exhaustive]
pub enum Transform<A: Algorithms> {
    /// Outbound ESP, which seals.
    EspOut(esp_core::Outbound<A::Suite>),
    /// Inbound ESP, which opens.
    EspIn(esp_core::Inbound<A::Suite, A::Window>),
    /// Outbound AH, which signs.
    AhOut(ah_core::Outbound<A::Integrity>),
    /// Inbound AH, which verifies.
    AhIn(ah_core::Inbound<A::Integrity, A::Window>),
    /// Outbound IPComp, which compresses.
    IpcompOut(IpcompOut),
    /// Inbound IPComp with this CPI, which decompresses.
    IpcompIn(Cpi),
}

/// Outbound IPComp association (RFC 3173 section 4).
#[derive(Clone, Copy, Debug)]
pub struct IpcompOut {
    pub(crate) cpi: Cpi,
    pub(crate) backoff: Backoff,
    pub(crate) saved: u64,
}

impl IpcompOut {
    /// Creates an association with this CPI (RFC 3173 section 3.3).
    pub const fn new(cpi: Cpi) -> Self {
        Self { cpi, backoff: Backoff::new(), saved: 0 }
    }

    /// Returns the number of octets that compression has saved.
    pub const fn saved(&self) -> u64 {
        self.saved
    }
}

/// Error of an SA whose source and destination address have different families (RFC 4301 section 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixedFamilies;

impl fmt::Display for MixedFamilies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("source and destination address families differ")
    }
}

impl core::error::Error for MixedFamilies {}

impl<A: Algorithms> Sa<A> {
    /// Creates an SA for packets from `source` to `destination`, with mode [`Mode::Any`], request ID 0 and no limits.
    /// The unspecified address as source of an inbound SA matches any source.
    ///
    /// # Errors
    /// [`MixedFamilies`].
    pub fn new(source: IpAddr, destination: IpAddr, transform: Transform<A>) -> Result<Self, MixedFamilies> {
        let (local, remote) = match transform.direction() {
            Direction::Outbound => (source, destination),
            Direction::Inbound => (destination, source),
        };
        let tunnel = match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Tunnel::v4(local, remote),
            (IpAddr::V6(local), IpAddr::V6(remote)) => Tunnel::v6(local, remote),
            _ => return Err(MixedFamilies),
        };
        Ok(Self {
            source,
            destination,
            transform,
            mode: Mode::Any,
            tunnel,
            beet: None,
            options: DestinationOptions::Protected,
            encap: None,
            repair: ChecksumRepair::Recompute,
            reqid: 0,
            lifetimes: Lifetimes::default(),
            path_mtu: None,
            max_packet: None,
            algorithms: SaAlgorithms::default(),
            managed_spi: None,
        })
    }

    /// Sets the mode; for [`Mode::Beet`] see [`with_beet`](Self::with_beet) (RFC 4301 section 4.1).
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Sets the largest size in octets of the IP packets that the SA sends. Larger ones are treated as those that
    /// exceed the path MTU (RFC 4301 section 8.2).
    #[must_use]
    pub fn with_max_packet(self, max_packet: Option<u16>) -> Self {
        Self { max_packet, ..self }
    }

    /// Sets BEET mode with these inner addresses.
    #[must_use]
    pub fn with_beet(self, inner: Beet) -> Self {
        let tunnel = self.tunnel.with_hop_limit(HopLimitPolicy::Copy).with_flow_label(FlowPolicy::Copy);
        Self { mode: Mode::Beet, beet: Some(inner), tunnel, ..self }
    }

    /// Changes the rules of the outer header: DSCP, ECN, hop limit, don't fragment (RFC 4301 section 5.1.2).
    #[must_use]
    pub fn with_tunnel(self, rules: impl FnOnce(Tunnel) -> Tunnel) -> Self {
        Self { tunnel: rules(self.tunnel), ..self }
    }

    /// Sets the request ID, `unique:` in setkey(8).
    #[must_use]
    pub fn with_reqid(self, reqid: u32) -> Self {
        Self { reqid, ..self }
    }

    /// Sets the lifetimes (RFC 4301 section 4.4.2.1).
    #[must_use]
    pub fn with_lifetimes(self, lifetimes: Lifetimes) -> Self {
        Self { lifetimes, ..self }
    }

    /// Sets the algorithms that the status of the SA names.
    #[must_use]
    pub fn with_algorithms(self, algorithms: SaAlgorithms) -> Self {
        Self { algorithms, ..self }
    }

    /// Sets the SPI by which the SA is managed. It differs from the CPI on the wire for IPComp with a well-known CPI.
    #[must_use]
    pub fn with_managed_spi(self, spi: u32) -> Self {
        Self { managed_spi: Some(spi), ..self }
    }

    /// Sets UDP encapsulation (RFC 3948 sections 2.1 and 3.1.2). Inbound transport mode recomputes checksums unless
    /// `repair` says otherwise.
    #[must_use]
    pub fn with_encap(self, encap: UdpEncap, repair: ChecksumRepair) -> Self {
        Self { encap: Some(encap), repair, ..self }
    }

    /// Sets the position of ESP or AH relative to IPv6 destination options (RFC 4302 section 3.1.1, RFC 4303 section
    /// 3.1.1).
    #[must_use]
    pub fn with_destination_options(mut self, options: DestinationOptions) -> Self {
        if let Transform::AhOut(ah) = &mut self.transform {
            ah.set_destination_options(options);
        }
        Self { options, ..self }
    }

    /// Returns the identifier of the SA (RFC 4301 section 4.1).
    pub fn key(&self) -> SaId {
        let (protocol, spi) = match &self.transform {
            Transform::EspOut(esp) => (Protocol::Esp, esp.spi().get()),
            Transform::EspIn(esp) => (Protocol::Esp, esp.spi().get()),
            Transform::AhOut(ah) => (Protocol::Ah, ah.spi().get()),
            Transform::AhIn(ah) => (Protocol::Ah, ah.spi().get()),
            Transform::IpcompOut(ipcomp) => (Protocol::Ipcomp, ipcomp.cpi.get().into()),
            Transform::IpcompIn(cpi) => (Protocol::Ipcomp, cpi.get().into()),
        };
        let direction = self.transform.direction();
        let peer_port = self.encap.filter(|_| direction == Direction::Outbound).map(|encap| encap.ports.destination);
        SaId { direction, destination: self.destination, protocol, spi, peer_port }
    }

    /// Returns the source address of the packets of the SA.
    pub const fn source(&self) -> IpAddr {
        self.source
    }

    /// Returns the destination address of the packets of the SA.
    pub const fn destination(&self) -> IpAddr {
        self.destination
    }

    /// Returns the mode of the SA (RFC 4301 section 4.1).
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns the request ID of the SA.
    pub const fn reqid(&self) -> u32 {
        self.reqid
    }

    /// Returns the soft and hard limits of the SA.
    pub const fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// Returns the algorithms of the SA, as far as they were set.
    pub const fn algorithms(&self) -> &SaAlgorithms {
        &self.algorithms
    }

    /// Returns the UDP encapsulation of the SA.
    pub const fn encap(&self) -> Option<UdpEncap> {
        self.encap
    }

    /// Returns the keyed transform with its counter or window.
    pub const fn transform(&self) -> &Transform<A> {
        &self.transform
    }

    /// Returns address and port of the peer of an inbound SA with UDP encapsulation.
    pub(crate) fn peer(&self) -> Option<(IpAddr, u16)> {
        self.encap
            .filter(|_| self.transform.direction() == Direction::Inbound)
            .map(|encap| (self.source, encap.ports.source))
    }

    /// Returns the path MTU of the SA, if it is known. A reported MTU is valid for `life`, and no longer if the clock
    /// was set back.
    pub(crate) fn path_mtu(&self, now: Instant, life: Duration) -> Option<u16> {
        let latest = now.saturating_add(life);
        self.path_mtu.filter(|(_, until)| now < *until && *until <= latest).map(|(mtu, _)| mtu)
    }
}

impl<A: Algorithms> Transform<A> {
    /// Returns the direction of the SA (RFC 4301 section 4.1).
    pub const fn direction(&self) -> Direction {
        match self {
            Self::EspOut(_) | Self::AhOut(_) | Self::IpcompOut(_) => Direction::Outbound,
            Self::EspIn(_) | Self::AhIn(_) | Self::IpcompIn(_) => Direction::Inbound,
        }
    }

    /// Returns the last sequence number that was sent, or the highest received; `None` for IPComp (RFC 4303 section
    /// 2.2).
    pub fn sequence(&self) -> Option<Seq> {
        match self {
            Self::EspOut(esp) => Some(esp.counter().last_used()),
            Self::AhOut(ah) => Some(ah.counter().last_used()),
            Self::EspIn(esp) => Some(esp.window().top()),
            Self::AhIn(ah) => Some(ah.window().top()),
            Self::IpcompOut(_) | Self::IpcompIn(_) => None,
        }
    }

    /// Advances the counter of an outbound SA, so that `used` is the last number used. Returns `None` if the counter is
    /// beyond that.
    pub(crate) fn skip_to(&mut self, used: u64) -> Option<()> {
        let state = SeqCounter::new(self.counter()?.width()).export_ahead(used);
        match self {
            Self::EspOut(esp) => esp.import(&state).ok(),
            Self::AhOut(ah) => ah.import(&state).ok(),
            _ => None,
        }
    }

    /// Returns the counter of an outbound SA; `None` for inbound SAs and IPComp.
    pub(crate) const fn counter(&self) -> Option<&SeqCounter> {
        match self {
            Self::EspOut(esp) => Some(esp.counter()),
            Self::AhOut(ah) => Some(ah.counter()),
            _ => None,
        }
    }
}

impl<A: Algorithms> fmt::Debug for Sa<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sa({}, {})", self.key(), self.mode)
    }
}
