use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use ipcomp_core::Backoff;
use ipsec_packet::{
    AntiReplay, Beet, ChecksumRepair, Cpi, DestinationOptions, FlowPolicy, HopLimitPolicy, Marker, Ports, Seq,
    SeqCounter, Tunnel,
};

use crate::algorithms::Algorithms;
use crate::lifetime::Lifetimes;
use crate::policy::words;
use crate::policy::{Mode, Protocol};

/// Which way the packets of an SA go (RFC 4301 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It opens what arrives.
    Inbound,
    /// It seals what leaves.
    Outbound,
}

words! { Direction { Inbound = "in", Outbound = "out", } }

/// What names an SA (RFC 4301 4.1): no two of one way share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SaId {
    /// Whether it seals or opens.
    pub direction: Direction,
    /// Where its packets go.
    pub destination: IpAddr,
    /// ESP, AH or IPComp.
    pub protocol: Protocol,
    /// Its SPI, or the CPI of IPComp.
    pub spi: u32,
}

impl SaId {
    pub(crate) fn is_ipcomp_in(&self) -> bool {
        (self.direction, self.protocol) == (Direction::Inbound, Protocol::Ipcomp)
    }
}

impl fmt::Display for SaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:#010x} {}", self.protocol, self.destination, self.spi, self.direction)
    }
}

/// A security association: keys with their counter or window, and what the engine has to know to use them (RFC 4301 4.1, 4.4.2.1).
pub struct Sa<A: Algorithms> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) transform: Transform<A>,
    pub(crate) mode: Mode,
    pub(crate) tunnel: Tunnel,
    pub(crate) beet: Option<Beet>,
    pub(crate) options: DestinationOptions,
    pub(crate) encap: Option<Encap>,
    pub(crate) repair: ChecksumRepair,
    pub(crate) reqid: u32,
    pub(crate) lifetimes: Lifetimes,
    /// What a router reported, and until when it is believed.
    pub(crate) path_mtu: Option<(u16, Duration)>,
    pub(crate) label: Label,
}

/// What an SA is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Label {
    /// The number by which setkey(8) knows an SA of IPComp that has a well-known CPI on the wire; 0 for the SPI.
    pub index: u32,
    /// The name of its cipher or compression.
    pub cipher: Option<&'static str>,
    /// The name of its MAC.
    pub mac: Option<&'static str>,
}

/// One half of a transform, keyed (RFC 4301 4.4.2.1).
#[allow(clippy::large_enum_variant)] // there is no heap
#[non_exhaustive]
pub enum Transform<A: Algorithms> {
    /// ESP that seals.
    EspOut(esp_core::Outbound<A::Suite>),
    /// ESP that opens.
    EspIn(esp_core::Inbound<A::Suite, A::Window>),
    /// AH that signs.
    AhOut(ah_core::Outbound<A::Integrity>),
    /// AH that verifies.
    AhIn(ah_core::Inbound<A::Integrity, A::Window>),
    /// IPComp that compresses.
    IpcompOut(IpcompOut),
    /// IPComp that decompresses.
    IpcompIn(Cpi),
}

/// An IPComp association that compresses (RFC 3173 4).
#[derive(Clone, Copy, Debug)]
pub struct IpcompOut {
    pub(crate) cpi: Cpi,
    pub(crate) backoff: Backoff,
    pub(crate) saved: u64,
}

impl IpcompOut {
    /// Under this CPI (RFC 3173 3.3).
    pub const fn new(cpi: Cpi) -> Self {
        Self { cpi, backoff: Backoff::new(), saved: 0 }
    }

    /// Octets it has saved.
    pub const fn saved(&self) -> u64 {
        self.saved
    }
}

/// ESP in UDP (RFC 3948): the ports as in the packets of this SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encap {
    /// Ports of the SA's packets; of an SA that opens, the peer's as it was last known.
    pub ports: Ports,
    /// RFC 3948, or the drafts before it.
    pub marker: Marker,
}

/// The ends of an SA are of two IP versions (RFC 4301 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixedFamilies;

impl fmt::Display for MixedFamilies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ends of an sa are of two ip versions")
    }
}

impl core::error::Error for MixedFamilies {}

impl<A: Algorithms> Sa<A> {
    /// An SA for packets from `source` to `destination`: mode [`Mode::Any`], request number 0, no limits. An unspecified
    /// source of an SA that opens stands for any.
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
            label: Label::default(),
        })
    }

    /// In this mode; for [`Mode::Beet`] see [`with_beet`](Self::with_beet) (RFC 4301 4.1).
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// In BEET mode, between these inner addresses.
    #[must_use]
    pub fn with_beet(self, inner: Beet) -> Self {
        let tunnel = self.tunnel.with_hop_limit(HopLimitPolicy::Copy).with_flow_label(FlowPolicy::Copy);
        Self { mode: Mode::Beet, beet: Some(inner), tunnel, ..self }
    }

    /// With other rules for the outer header: DSCP, ECN, hop limit, don't fragment (RFC 4301 5.1.2).
    #[must_use]
    pub fn with_tunnel(self, rules: impl FnOnce(Tunnel) -> Tunnel) -> Self {
        Self { tunnel: rules(self.tunnel), ..self }
    }

    /// For the policies of this request number, `unique:` in setkey(8).
    #[must_use]
    pub fn with_reqid(self, reqid: u32) -> Self {
        Self { reqid, ..self }
    }

    /// With these limits (RFC 4301 4.4.2.1).
    #[must_use]
    pub fn with_lifetimes(self, lifetimes: Lifetimes) -> Self {
        Self { lifetimes, ..self }
    }

    /// Shown under these names.
    #[must_use]
    pub fn with_label(self, label: Label) -> Self {
        Self { label, ..self }
    }

    /// In UDP (RFC 3948 2.1, 3.1.2). Checksums of transport mode are computed anew on arrival unless `repair` says otherwise.
    #[must_use]
    pub fn with_encap(self, encap: Encap, repair: ChecksumRepair) -> Self {
        Self { encap: Some(encap), repair, ..self }
    }

    /// With destination options of IPv6 in front of ESP or AH, or behind it (RFC 4302 3.1.1, RFC 4303 3.1.1).
    #[must_use]
    pub fn with_destination_options(mut self, options: DestinationOptions) -> Self {
        if let Transform::AhOut(ah) = &mut self.transform {
            ah.set_destination_options(options);
        }
        Self { options, ..self }
    }

    /// Its name (RFC 4301 4.1).
    pub fn key(&self) -> SaId {
        let (protocol, spi) = match &self.transform {
            Transform::EspOut(esp) => (Protocol::Esp, esp.spi().get()),
            Transform::EspIn(esp) => (Protocol::Esp, esp.spi().get()),
            Transform::AhOut(ah) => (Protocol::Ah, ah.spi().get()),
            Transform::AhIn(ah) => (Protocol::Ah, ah.spi().get()),
            Transform::IpcompOut(ipcomp) => (Protocol::Ipcomp, ipcomp.cpi.get().into()),
            Transform::IpcompIn(cpi) => (Protocol::Ipcomp, cpi.get().into()),
        };
        SaId { direction: self.transform.direction(), destination: self.destination, protocol, spi }
    }

    /// Where its packets come from.
    pub const fn source(&self) -> IpAddr {
        self.source
    }

    /// Where they go.
    pub const fn destination(&self) -> IpAddr {
        self.destination
    }

    /// Its mode (RFC 4301 4.1).
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Its request number.
    pub const fn reqid(&self) -> u32 {
        self.reqid
    }

    /// Its limits.
    pub const fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// What it is shown as.
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// Its UDP encapsulation.
    pub const fn encap(&self) -> Option<Encap> {
        self.encap
    }

    /// Its keys and their counter or window.
    pub const fn transform(&self) -> &Transform<A> {
        &self.transform
    }

    /// Sets other limits.
    pub const fn set_lifetimes(&mut self, lifetimes: Lifetimes) {
        self.lifetimes = lifetimes;
    }

    /// Follows a peer that a NAT has moved (see [`Event::NatMapping`](crate::Event::Moved)) to another address and port (RFC 3947 7). What was
    /// learnt about the path to it is forgotten.
    ///
    /// # Errors
    /// [`MixedFamilies`]; nothing has changed.
    pub fn move_peer(&mut self, address: IpAddr, port: u16) -> Result<(), MixedFamilies> {
        let direction = self.transform.direction();
        let (source, destination) = match direction {
            Direction::Inbound => (address, self.destination),
            Direction::Outbound => (self.source, address),
        };
        let (local, remote) =
            if direction == Direction::Outbound { (source, destination) } else { (destination, source) };
        self.tunnel = self.tunnel.with_ends(local, remote).ok_or(MixedFamilies)?;
        (self.source, self.destination, self.path_mtu) = (source, destination, None);
        if let Some(encap) = &mut self.encap {
            match direction {
                Direction::Inbound => encap.ports.source = port,
                Direction::Outbound => encap.ports.destination = port,
            }
        }
        Ok(())
    }

    /// Where the peer in UDP is that sends by this SA.
    pub(crate) fn peer(&self) -> Option<(IpAddr, u16)> {
        self.encap
            .filter(|_| self.transform.direction() == Direction::Inbound)
            .map(|encap| (self.source, encap.ports.source))
    }

    /// Octets that the path to the peer carries, as far as it is known; what a router reported is believed for `life`, and no longer when
    /// the clock was set back.
    pub(crate) fn path_mtu(&self, now: Duration, life: Duration) -> Option<u16> {
        let latest = now.saturating_add(life);
        self.path_mtu.filter(|(_, until)| now < *until && *until <= latest).map(|(mtu, _)| mtu)
    }

    /// Its keys and their counter or window, to be imported into.
    pub const fn transform_mut(&mut self) -> &mut Transform<A> {
        &mut self.transform
    }
}

impl<A: Algorithms> Transform<A> {
    /// Whether it seals or opens (RFC 4301 4.1).
    pub const fn direction(&self) -> Direction {
        match self {
            Self::EspOut(_) | Self::AhOut(_) | Self::IpcompOut(_) => Direction::Outbound,
            Self::EspIn(_) | Self::AhIn(_) | Self::IpcompIn(_) => Direction::Inbound,
        }
    }

    /// The last number used, or the highest received; `None` for IPComp (RFC 4303 2.2).
    pub fn sequence(&self) -> Option<Seq> {
        match self {
            Self::EspOut(esp) => Some(esp.counter().last_used()),
            Self::AhOut(ah) => Some(ah.counter().last_used()),
            Self::EspIn(esp) => Some(esp.window().top()),
            Self::AhIn(ah) => Some(ah.window().top()),
            Self::IpcompOut(_) | Self::IpcompIn(_) => None,
        }
    }

    /// The counter of numbers to come; `None` for what opens, and for IPComp.
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
