//! Tunnel mode: the outer header, pushed and popped (RFC 4301 5.1.2, RFC 2003, RFC 2473).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::IntoBytes;

use crate::{EcnMode, Ip, IpError, IpProto, Ipv4Header, Ipv6Header, PacketBuf, ipv4, ipv6};

/// The ends of a tunnel and what its outer headers say (RFC 4301 5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    ends: Ends,
    hop_limit: HopLimitPolicy,
    dscp: DscpPolicy,
    df: DfPolicy,
    ecn: EcnMode,
    flow: FlowPolicy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    V4 { local: Ipv4Addr, remote: Ipv4Addr },
    V6 { local: Ipv6Addr, remote: Ipv6Addr },
}

/// The hop limit (TTL) of outer and inner header (RFC 4301 5.1.2.1, 5.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HopLimitPolicy {
    /// The outer header starts with this many hops; the inner one is not changed.
    Set(u8),
    /// The outer header copies the inner one, which is not changed.
    Copy,
    /// The outer header starts with this many; the inner one is decremented at each end, as a router that forwards it
    /// does (RFC 4301 5.1.2.1), and a packet whose hops are used up is refused.
    Decrement(u8),
}

/// The DSCP (upper six bits of TOS or traffic class; RFC 4301 5.1.2.1, 5.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DscpPolicy {
    /// Copied to the outer header; the inner one is kept on the way in (RFC 4301 5.1.2.1, RFC 2983 pipe model).
    Copy,
    /// The outer header has this one, the lower six bits; the inner one is kept.
    Set(u8),
    /// Copied to the outer header, and back to the inner one on the way in (RFC 2983 uniform model).
    CopyBothWays,
}

/// The don't-fragment bit of an outer IPv4 header (RFC 4301 8.1). An inner IPv6 packet counts as one that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DfPolicy {
    /// Copied from the inner header.
    Copy,
    /// Set.
    Set,
    /// Clear.
    Clear,
}

/// The flow label of an outer IPv6 header (RFC 4301 5.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowPolicy {
    /// This label, the lower 20 bits; 0 says nothing about the flows inside.
    Set(u32),
    /// Copied from an inner IPv6 header; 0 for an inner IPv4 packet.
    Copy,
}

impl Tunnel {
    /// An IPv4 tunnel as seen from its local end. Defaults: 64 hops, DSCP and DF copied, ECN as RFC 6040.
    pub const fn v4(local: Ipv4Addr, remote: Ipv4Addr) -> Self {
        Self::between(Ends::V4 { local, remote })
    }

    /// An IPv6 tunnel as seen from its local end. Defaults: 64 hops, DSCP copied, flow label 0, ECN as RFC 6040.
    pub const fn v6(local: Ipv6Addr, remote: Ipv6Addr) -> Self {
        Self::between(Ends::V6 { local, remote })
    }

    const fn between(ends: Ends) -> Self {
        Self {
            ends,
            hop_limit: HopLimitPolicy::Set(64),
            dscp: DscpPolicy::Copy,
            df: DfPolicy::Copy,
            ecn: EcnMode::Normal,
            flow: FlowPolicy::Set(0),
        }
    }

    /// With these ends in the place of its own, as seen from its local end; `None` when they are of two IP versions.
    #[must_use]
    pub const fn with_ends(self, local: IpAddr, remote: IpAddr) -> Option<Self> {
        let ends = match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Ends::V4 { local, remote },
            (IpAddr::V6(local), IpAddr::V6(remote)) => Ends::V6 { local, remote },
            _ => return None,
        };
        Some(Self { ends, ..self })
    }

    /// With this hop limit policy (RFC 4301 5.1.2.1, 5.1.2.2).
    #[must_use]
    pub const fn with_hop_limit(self, hop_limit: HopLimitPolicy) -> Self {
        Self { hop_limit, ..self }
    }

    /// With this DSCP policy (RFC 4301 5.1.2.1, 5.1.2.2).
    #[must_use]
    pub const fn with_dscp(self, dscp: DscpPolicy) -> Self {
        Self { dscp, ..self }
    }

    /// With this don't-fragment policy (RFC 4301 8.1).
    #[must_use]
    pub const fn with_df(self, df: DfPolicy) -> Self {
        Self { df, ..self }
    }

    /// With this ECN mode (RFC 6040 4).
    #[must_use]
    pub const fn with_ecn(self, ecn: EcnMode) -> Self {
        Self { ecn, ..self }
    }

    /// With this flow label policy (RFC 4301 5.1.2.2).
    #[must_use]
    pub const fn with_flow_label(self, flow: FlowPolicy) -> Self {
        Self { flow, ..self }
    }

    /// Octets of the outer header: 20 or 40.
    pub const fn overhead(&self) -> usize {
        match self.ends {
            Ends::V4 { .. } => ipv4::HEADER,
            Ends::V6 { .. } => ipv6::HEADER,
        }
    }

    /// Prepares the outer header for the inner packet: to be called before the packet is encrypted (RFC 4301 5.1.2). With
    /// [`HopLimitPolicy::Decrement`] the inner header changes; nothing else does.
    ///
    /// The next header of the payload, [`IpProto::IPV4`] or [`IpProto::IPV6`], comes with it.
    ///
    /// # Errors
    /// [`TunnelError::Inner`] for what is no IP packet, [`TunnelError::HopLimit`] when its hops are used up.
    pub fn outer_for(&self, inner: &mut [u8]) -> Result<(Outer, IpProto), TunnelError> {
        let ip = Ip::parse(inner)?;
        let class = match self.dscp {
            DscpPolicy::Copy | DscpPolicy::CopyBothWays => ip.traffic_class() & !0b11,
            DscpPolicy::Set(dscp) => (dscp & 0x3f) << 2,
        };
        let class = class | self.ecn.encapsulate(ip.traffic_class());
        let hops = match self.hop_limit {
            HopLimitPolicy::Set(hops) | HopLimitPolicy::Decrement(hops) => hops,
            HopLimitPolicy::Copy => ip.hop_limit(),
        };
        let outer = match self.ends {
            Ends::V4 { local, remote } => {
                let mut header = Ipv4Header::new(local, remote, IpProto::ESP, hops);
                header.set_tos(class);
                header.set_dont_fragment(match (self.df, &ip) {
                    (DfPolicy::Copy, Ip::V4(inner)) => inner.header().dont_fragment(),
                    (DfPolicy::Copy, Ip::V6(_)) | (DfPolicy::Set, _) => true,
                    (DfPolicy::Clear, _) => false,
                });
                Outer::V4(header)
            }
            Ends::V6 { local, remote } => {
                let mut header = Ipv6Header::new(local, remote, IpProto::ESP, hops);
                header.set_traffic_class(class);
                header.set_flow_label(match (self.flow, &ip) {
                    (FlowPolicy::Copy, Ip::V6(inner)) => inner.header().flow_label(),
                    (FlowPolicy::Copy, Ip::V4(_)) => 0,
                    (FlowPolicy::Set(label), _) => label,
                });
                Outer::V6(header)
            }
        };
        let next = match ip {
            Ip::V4(_) => IpProto::IPV4,
            Ip::V6(_) => IpProto::IPV6,
        };
        if let HopLimitPolicy::Decrement(_) = self.hop_limit {
            let hops = ip.hop_limit().checked_sub(1).filter(|&h| h > 0).ok_or(TunnelError::HopLimit)?;
            rewrite(inner, None, Some(hops));
        }
        Ok((outer, next))
    }

    /// Checks that an outer header came from the remote end to the local one (RFC 4301 5.2 step 1).
    ///
    /// # Errors
    /// [`TunnelError::WrongEnds`].
    pub fn check_ends(&self, outer: &OuterFields) -> Result<(), TunnelError> {
        let (local, remote): (IpAddr, IpAddr) = match self.ends {
            Ends::V4 { local, remote } => (local.into(), remote.into()),
            Ends::V6 { local, remote } => (local.into(), remote.into()),
        };
        if outer.source == remote && outer.destination == local { Ok(()) } else { Err(TunnelError::WrongEnds) }
    }

    /// Checks the inner packet that came out of a tunnel, cuts the TFC padding behind it (RFC 4303 2.7), and carries
    /// over what the outer header has to say (ECN, DSCP, hops).
    ///
    /// Version, header length and total length are checked here; the IPv4 header checksum is left as it was, right or
    /// wrong, to the IP input that follows.
    ///
    /// # Errors
    /// [`TunnelError`]; the packet is unchanged and must not be delivered.
    pub fn accept(&self, outer: &OuterFields, next: IpProto, packet: &mut PacketBuf<'_>) -> Result<(), TunnelError> {
        if next != IpProto::IPV4 && next != IpProto::IPV6 {
            return Err(TunnelError::NotIp(next));
        }
        let ip = Ip::parse(packet.data())?;
        if matches!(ip, Ip::V4(_)) != (next == IpProto::IPV4) {
            return Err(TunnelError::InnerVersion);
        }
        let inner_class = ip.traffic_class();
        let ecn = self.ecn.decapsulate(outer.traffic_class, inner_class).ok_or(TunnelError::CongestionLost)?;
        let dscp = match self.dscp {
            DscpPolicy::CopyBothWays => outer.traffic_class & !0b11,
            DscpPolicy::Copy | DscpPolicy::Set(_) => inner_class & !0b11,
        };
        let class = Some(dscp | ecn).filter(|&class| class != inner_class);
        let hops = match self.hop_limit {
            HopLimitPolicy::Decrement(_) => {
                Some(ip.hop_limit().checked_sub(1).filter(|&h| h > 0).ok_or(TunnelError::HopLimit)?)
            }
            HopLimitPolicy::Set(_) | HopLimitPolicy::Copy => None,
        };
        let len = ip.packet().len();
        packet.truncate(len);
        rewrite(packet.data_mut(), class, hops);
        Ok(())
    }
}

/// Rewrites traffic class and hop limit of a checked packet; an IPv4 checksum follows the change.
fn rewrite(packet: &mut [u8], class: Option<u8>, hops: Option<u8>) {
    if class.is_none() && hops.is_none() {
        return;
    }
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        ipv4::amend(packet, |header| {
            header.set_tos(class.unwrap_or(header.tos()));
            header.set_ttl(hops.unwrap_or(header.ttl()));
        });
    } else if let Ok(header) = ipv6::header_mut(packet) {
        header.set_traffic_class(class.unwrap_or(header.traffic_class()));
        header.set_hop_limit(hops.unwrap_or(header.hop_limit()));
    }
}

/// An outer header, ready to be pushed in front of the sealed packet (RFC 4301 5.1.2).
#[derive(Clone, Copy, Debug)]
pub enum Outer {
    /// IPv4.
    V4(Ipv4Header),
    /// IPv6.
    V6(Ipv6Header),
}

impl Outer {
    /// Octets of the header.
    pub const fn overhead(&self) -> usize {
        match self {
            Self::V4(_) => ipv4::HEADER,
            Self::V6(_) => ipv6::HEADER,
        }
    }

    /// Pushes the header in front of the packet, which begins with `proto`. `id` is the IPv4 identification, which the
    /// caller keeps unique among packets that may be fragmented (RFC 6864 4); IPv6 has none.
    ///
    /// # Errors
    /// [`IpError::TooLong`] above 65535 octets, [`IpError::NoSpace`]; the packet is unchanged.
    pub fn push(self, packet: &mut PacketBuf<'_>, proto: IpProto, id: u16) -> Result<(), IpError> {
        let payload = packet.len();
        let total = payload.saturating_add(self.overhead());
        let too_long = |_| IpError::TooLong(total);
        match self {
            Self::V4(mut header) => {
                header.set_total_length(u16::try_from(total).map_err(too_long)?);
                header.set_identification(id);
                header.set_protocol(proto);
                header.set_checksum();
                packet.prepend(header.as_bytes())?;
            }
            Self::V6(mut header) => {
                header.set_payload_length(u16::try_from(payload).map_err(too_long)?);
                header.set_next_header(proto);
                packet.prepend(header.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// What a received outer header said, kept while it is taken off (RFC 4301 5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterFields {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) traffic_class: u8,
    pub(crate) hop_limit: u8,
    pub(crate) identification: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) flow_label: u32,
}

impl OuterFields {
    /// Reads the header in front of a packet (RFC 4301 5.1.2).
    pub fn read(ip: &Ip<'_>) -> Self {
        let (identification, dont_fragment, flow_label) = match ip {
            Ip::V4(ip) => (ip.header().identification(), ip.header().dont_fragment(), 0),
            Ip::V6(ip) => (0, true, ip.header().flow_label()),
        };
        Self {
            source: ip.source(),
            destination: ip.destination(),
            traffic_class: ip.traffic_class(),
            hop_limit: ip.hop_limit(),
            identification,
            dont_fragment,
            flow_label,
        }
    }
}

/// A packet that cannot go into a tunnel or may not come out of it (RFC 4301 5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelError {
    /// The inner packet is malformed.
    Inner(IpError),
    /// The next header says IPv4 and the packet IPv6, or the reverse.
    InnerVersion,
    /// The payload is no IP packet.
    NotIp(IpProto),
    /// The outer addresses are not those of the tunnel.
    WrongEnds,
    /// Congestion was marked on a packet whose transport does not know ECN (RFC 6040 4.2).
    CongestionLost,
    /// The inner packet has no hops left.
    HopLimit,
    /// The inner packet has the addresses of the outer one (RFC 2003 3): the tunnel would go through itself.
    Recursive,
}

impl From<IpError> for TunnelError {
    fn from(e: IpError) -> Self {
        Self::Inner(e)
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(e) => write!(f, "inner packet: {e}"),
            Self::InnerVersion => f.write_str("inner packet has another ip version than the next header says"),
            Self::NotIp(proto) => write!(f, "{proto} where an inner ip packet belongs"),
            Self::WrongEnds => f.write_str("outer addresses are not those of the tunnel"),
            Self::CongestionLost => f.write_str("congestion marked on a packet without ecn"),
            Self::HopLimit => f.write_str("hop limit used up"),
            Self::Recursive => f.write_str("inner packet has the addresses of the outer packet"),
        }
    }
}

impl core::error::Error for TunnelError {}
