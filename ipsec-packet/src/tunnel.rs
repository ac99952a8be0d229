//! Tunnel mode: addition and removal of the outer header (RFC 4301 section 5.1.2, RFC 2003, RFC 2473).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::IntoBytes;

use crate::{EcnMode, Fault, Ip, IpError, IpProto, Ipv4Header, Ipv6Header, PacketBuf, ParsedIp, ipv4, ipv6};

/// Endpoints of a tunnel and the rules of its outer header (RFC 4301 section 5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    ends: Ends,
    rules: TunnelRules,
}

/// Rules of the outer header of a tunnel (RFC 4301 section 5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelRules {
    /// Rule for the hop limit.
    pub hop_limit: HopLimitPolicy,
    /// Rule for the DSCP.
    pub dscp: DscpPolicy,
    /// Rule for the don't-fragment bit of IPv4.
    pub df: DfPolicy,
    /// ECN mode (RFC 6040 section 4).
    pub ecn: EcnMode,
    /// Rule for the flow label of IPv6.
    pub flow_label: FlowPolicy,
}

impl TunnelRules {
    /// Hop limit 64, DSCP and DF copied, ECN of RFC 6040, flow label 0.
    pub const DEFAULT: Self = Self {
        hop_limit: HopLimitPolicy::Set(64),
        dscp: DscpPolicy::Copy,
        df: DfPolicy::Copy,
        ecn: EcnMode::Normal,
        flow_label: FlowPolicy::Set(0),
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    V4 { local: Ipv4Addr, remote: Ipv4Addr },
    V6 { local: Ipv6Addr, remote: Ipv6Addr },
}

/// Rule for the hop limit (TTL) of outer and inner header (RFC 4301 sections 5.1.2.1 and 5.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HopLimitPolicy {
    /// The outer header has this hop limit; the inner one is unchanged.
    Set(u8),
    /// The outer header copies the hop limit of the inner one, which is unchanged.
    Copy,
    /// The outer header has this hop limit. The inner one is decremented at both ends of the tunnel, as by a router
    /// that forwards the packet (RFC 4301 section 5.1.2.1), and a packet without hops left is refused.
    Decrement(u8),
}

/// Hop limits of a packet in a tunnel (RFC 4301 section 5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopLimits {
    /// Hop limit of the inner header.
    pub inner: u8,
    /// Hop limit of the outer header.
    pub outer: u8,
}

/// Rule for the DSCP, the upper six bits of TOS or traffic class (RFC 4301 sections 5.1.2.1 and 5.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DscpPolicy {
    /// The DSCP is copied to the outer header; decapsulation keeps the inner one (RFC 4301 section 5.1.2.1, RFC 2983
    /// pipe model).
    Copy,
    /// The outer header has this DSCP, the lower six bits; decapsulation keeps the inner one.
    Set(u8),
    /// The DSCP is copied to the outer header, and to the inner one at decapsulation (RFC 2983 uniform model).
    CopyBothWays,
}

/// Rule for the don't-fragment bit of an outer IPv4 header (RFC 4301 section 8.1). An inner IPv6 packet counts as one
/// with the bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DfPolicy {
    /// The bit is copied from the inner header.
    Copy,
    /// The bit is set.
    Set,
    /// The bit is clear.
    Clear,
}

/// Rule for the flow label of an outer IPv6 header (RFC 4301 section 5.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowPolicy {
    /// The outer header has this label, the lower 20 bits; 0 does not reveal the inner flows.
    Set(u32),
    /// The label is copied from an inner IPv6 header; 0 for an inner IPv4 packet.
    Copy,
}

impl Tunnel {
    /// Creates an IPv4 tunnel as seen from its local end. Defaults: hop limit 64, DSCP and DF copied, ECN of RFC
    /// 6040.
    pub const fn v4(local: Ipv4Addr, remote: Ipv4Addr) -> Self {
        Self::between(Ends::V4 { local, remote })
    }

    /// Creates an IPv6 tunnel as seen from its local end. Defaults: hop limit 64, DSCP copied, flow label 0, ECN of
    /// RFC 6040.
    pub const fn v6(local: Ipv6Addr, remote: Ipv6Addr) -> Self {
        Self::between(Ends::V6 { local, remote })
    }

    const fn between(ends: Ends) -> Self {
        Self { ends, rules: TunnelRules::DEFAULT }
    }

    /// Replaces the endpoints, as seen from the local end. Returns `None` if their IP versions differ.
    #[must_use]
    pub const fn with_endpoints(self, local: IpAddr, remote: IpAddr) -> Option<Self> {
        let ends = match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Ends::V4 { local, remote },
            (IpAddr::V6(local), IpAddr::V6(remote)) => Ends::V6 { local, remote },
            _ => return None,
        };
        Some(Self { ends, ..self })
    }

    /// Sets all rules of the outer header (RFC 4301 section 5.1.2).
    #[must_use]
    pub const fn with_rules(self, rules: TunnelRules) -> Self {
        Self { rules, ..self }
    }

    /// Returns the rules of the outer header (RFC 4301 section 5.1.2).
    pub const fn rules(&self) -> &TunnelRules {
        &self.rules
    }

    /// Sets the rule for the hop limit (RFC 4301 sections 5.1.2.1 and 5.1.2.2).
    #[must_use]
    pub const fn with_hop_limit(self, hop_limit: HopLimitPolicy) -> Self {
        self.with_rules(TunnelRules { hop_limit, ..self.rules })
    }

    /// Sets the rule for the DSCP (RFC 4301 sections 5.1.2.1 and 5.1.2.2).
    #[must_use]
    pub const fn with_dscp(self, dscp: DscpPolicy) -> Self {
        self.with_rules(TunnelRules { dscp, ..self.rules })
    }

    /// Sets the rule for the don't-fragment bit (RFC 4301 section 8.1).
    #[must_use]
    pub const fn with_df(self, df: DfPolicy) -> Self {
        self.with_rules(TunnelRules { df, ..self.rules })
    }

    /// Sets the ECN mode (RFC 6040 section 4).
    #[must_use]
    pub const fn with_ecn(self, ecn: EcnMode) -> Self {
        self.with_rules(TunnelRules { ecn, ..self.rules })
    }

    /// Sets the rule for the flow label (RFC 4301 section 5.1.2.2).
    #[must_use]
    pub const fn with_flow_label(self, flow: FlowPolicy) -> Self {
        self.with_rules(TunnelRules { flow_label: flow, ..self.rules })
    }

    /// Returns the length of the outer header in octets: 20 or 40.
    pub const fn overhead(&self) -> usize {
        match self.ends {
            Ends::V4 { .. } => ipv4::HEADER,
            Ends::V6 { .. } => ipv6::HEADER,
        }
    }

    /// Prepares the outer header for an inner packet, before the packet is encrypted (RFC 4301 section 5.1.2). With
    /// [`HopLimitPolicy::Decrement`] the inner hop limit is decremented; the packet is unchanged otherwise.
    ///
    /// Returns the header and the protocol number of the payload, [`IpProto::IPV4`] or [`IpProto::IPV6`].
    ///
    /// # Errors
    /// [`TunnelError::Inner`] if the payload is not an IP packet, [`TunnelError::HopLimit`] if it has no hops left.
    pub fn outer_for(&self, inner: &mut [u8]) -> Result<(Outer, IpProto), TunnelError> {
        self.outer_for_parsed(&ParsedIp::read(inner)?, inner)
    }

    /// Prepares the outer header like [`outer_for`](Self::outer_for), for an inner packet that was parsed before.
    ///
    /// # Errors
    /// [`TunnelError::HopLimit`] if the packet has no hops left.
    pub fn outer_for_parsed(&self, ip: &ParsedIp, inner: &mut [u8]) -> Result<(Outer, IpProto), TunnelError> {
        let OuterFields { traffic_class, hop_limit, dont_fragment, flow_label, .. } = ip.fields;
        let hops = self.hop_limits(hop_limit)?;
        let class = match self.rules.dscp {
            DscpPolicy::Copy | DscpPolicy::CopyBothWays => traffic_class & !0b11,
            DscpPolicy::Set(dscp) => (dscp & 0x3f) << 2,
        };
        let class = class | self.rules.ecn.encapsulate(traffic_class);
        let outer = match self.ends {
            Ends::V4 { local, remote } => {
                let mut header = Ipv4Header::new(local, remote, IpProto::ESP, hops.outer);
                header.set_tos(class);
                header.set_dont_fragment(match self.rules.df {
                    DfPolicy::Copy => dont_fragment,
                    DfPolicy::Set => true,
                    DfPolicy::Clear => false,
                });
                Outer::V4(header)
            }
            Ends::V6 { local, remote } => {
                let mut header = Ipv6Header::new(local, remote, IpProto::ESP, hops.outer);
                header.set_traffic_class(class);
                header.set_flow_label(match self.rules.flow_label {
                    FlowPolicy::Copy => flow_label,
                    FlowPolicy::Set(label) => label,
                });
                Outer::V6(header)
            }
        };
        let next = if ip.version() == 4 { IpProto::IPV4 } else { IpProto::IPV6 };
        if hops.inner != hop_limit {
            rewrite(inner, None, Some(hops.inner));
        }
        Ok((outer, next))
    }

    /// Returns the hop limits of both headers for a packet with hop limit `inner` that enters the tunnel.
    ///
    /// # Errors
    /// [`TunnelError::HopLimit`] if the packet has no hops left.
    pub fn hop_limits(&self, inner: u8) -> Result<HopLimits, TunnelError> {
        match self.rules.hop_limit {
            HopLimitPolicy::Set(outer) => Ok(HopLimits { inner, outer }),
            HopLimitPolicy::Copy => Ok(HopLimits { inner, outer: inner }),
            HopLimitPolicy::Decrement(outer) => match inner.checked_sub(1) {
                None | Some(0) => Err(TunnelError::HopLimit),
                Some(inner) => Ok(HopLimits { inner, outer }),
            },
        }
    }

    /// Checks that a received outer header has the addresses of the tunnel (RFC 4301 section 5.2 step 1).
    ///
    /// # Errors
    /// [`TunnelError::EndpointMismatch`].
    pub fn check_endpoints(&self, outer: &OuterFields) -> Result<(), TunnelError> {
        let (local, remote): (IpAddr, IpAddr) = match self.ends {
            Ends::V4 { local, remote } => (local.into(), remote.into()),
            Ends::V6 { local, remote } => (local.into(), remote.into()),
        };
        if outer.source == remote && outer.destination == local { Ok(()) } else { Err(TunnelError::EndpointMismatch) }
    }

    /// Checks the inner packet after decapsulation, removes TFC padding after it (RFC 4303 section 2.7), and applies
    /// the ECN, DSCP and hop limit rules.
    ///
    /// Version, header length and total length are checked. The IPv4 header checksum is not verified and stays as it
    /// is; the IP stack verifies it. Returns the parsed form of the inner packet.
    ///
    /// # Errors
    /// [`TunnelError`]; the packet is unchanged and must not be delivered.
    pub fn accept(
        &self,
        outer: &OuterFields,
        next: IpProto,
        packet: &mut PacketBuf<'_>,
    ) -> Result<ParsedIp, TunnelError> {
        let inner = ParsedIp::read(packet.data());
        self.accept_parsed(outer, next, inner, packet)
    }

    /// Checks the inner packet like [`accept`](Self::accept), which was parsed before. Returns its parsed form with
    /// the changes.
    ///
    /// # Errors
    /// [`TunnelError`]; the packet is unchanged and must not be delivered.
    pub fn accept_parsed(
        &self,
        outer: &OuterFields,
        next: IpProto,
        inner: Result<ParsedIp, IpError>,
        packet: &mut PacketBuf<'_>,
    ) -> Result<ParsedIp, TunnelError> {
        if next != IpProto::IPV4 && next != IpProto::IPV6 {
            return Err(TunnelError::NotIp(next));
        }
        let mut ip = inner?;
        if (ip.version() == 4) != (next == IpProto::IPV4) {
            return Err(TunnelError::InnerVersion);
        }
        let inner_class = ip.fields.traffic_class;
        let ecn = self.rules.ecn.decapsulate(outer.traffic_class, inner_class).ok_or(TunnelError::CongestionLost)?;
        let dscp = match self.rules.dscp {
            DscpPolicy::CopyBothWays => outer.traffic_class & !0b11,
            DscpPolicy::Copy | DscpPolicy::Set(_) => inner_class & !0b11,
        };
        let class = Some(dscp | ecn).filter(|&class| class != inner_class);
        let hops = match self.rules.hop_limit {
            HopLimitPolicy::Decrement(_) => {
                Some(ip.fields.hop_limit.checked_sub(1).filter(|&h| h > 0).ok_or(TunnelError::HopLimit)?)
            }
            HopLimitPolicy::Set(_) | HopLimitPolicy::Copy => None,
        };
        packet.truncate(ip.length);
        rewrite(packet.data_mut(), class, hops);
        ip.fields.traffic_class = class.unwrap_or(inner_class);
        ip.fields.hop_limit = hops.unwrap_or(ip.fields.hop_limit);
        Ok(ip)
    }
}

/// Sets traffic class and hop limit of a validated packet, and updates an IPv4 checksum.
fn rewrite(packet: &mut [u8], class: Option<u8>, hops: Option<u8>) {
    if class.is_none() && hops.is_none() {
        return;
    }
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        ipv4::update_header(packet, |header| {
            header.set_tos(class.unwrap_or(header.tos()));
            header.set_ttl(hops.unwrap_or(header.ttl()));
        });
    } else if let Ok(header) = ipv6::header_mut(packet) {
        header.set_traffic_class(class.unwrap_or(header.traffic_class()));
        header.set_hop_limit(hops.unwrap_or(header.hop_limit()));
    }
}

/// Outer header, to be added in front of the sealed packet (RFC 4301 section 5.1.2).
#[derive(Clone, Copy, Debug)]
pub enum Outer {
    /// Outer header of IP version 4.
    V4(Ipv4Header),
    /// Outer header of IP version 6.
    V6(Ipv6Header),
}

impl Outer {
    /// Creates a header with these addresses and this hop limit; the other fields are 0. Returns `None` if the address
    /// families differ.
    pub fn between(source: IpAddr, destination: IpAddr, hop_limit: u8) -> Option<Self> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Some(Self::V4(Ipv4Header::new(source, destination, IpProto::ESP, hop_limit)))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Some(Self::V6(Ipv6Header::new(source, destination, IpProto::ESP, hop_limit)))
            }
            _ => None,
        }
    }

    /// Returns the length of the header in octets.
    pub const fn overhead(&self) -> usize {
        match self {
            Self::V4(_) => ipv4::HEADER,
            Self::V6(_) => ipv6::HEADER,
        }
    }

    /// Returns the parsed form of a packet with this header in front of `length - overhead` octets of protocol
    /// `proto`.
    pub fn parsed(&self, proto: IpProto, id: u16, length: usize) -> ParsedIp {
        let fields = match self {
            Self::V4(header) => OuterFields {
                source: header.source().into(),
                destination: header.destination().into(),
                traffic_class: header.tos(),
                hop_limit: header.ttl(),
                identification: id,
                dont_fragment: header.dont_fragment(),
                flow_label: 0,
            },
            Self::V6(header) => OuterFields {
                source: header.source().into(),
                destination: header.destination().into(),
                traffic_class: header.traffic_class(),
                hop_limit: header.hop_limit(),
                identification: 0,
                dont_fragment: true,
                flow_label: header.flow_label(),
            },
        };
        ParsedIp::written(fields, length, proto)
    }

    /// Adds the header in front of the packet, whose protocol number is `proto`. `id` is the IPv4 identification,
    /// which the caller keeps unique among packets that may be fragmented (RFC 6864 section 4); IPv6 has none.
    ///
    /// # Errors
    /// [`IpError::TooLong`] above 65,535 octets, [`IpError::NoSpace`]; the packet is unchanged.
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

/// Fields of a received outer header that are needed after its removal (RFC 4301 section 5.1.2).
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
    /// Reads the fields of a header (RFC 4301 section 5.1.2).
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

/// Error of a packet that must not enter or leave a tunnel (RFC 4301 section 5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelError {
    /// The inner packet is malformed.
    Inner(IpError),
    /// The IP version of the inner packet differs from the next header field.
    InnerVersion,
    /// The payload is not an IP packet.
    NotIp(IpProto),
    /// The outer addresses are not those of the tunnel.
    EndpointMismatch,
    /// Congestion was marked on a packet without ECN-capable transport (RFC 6040 section 4.2).
    CongestionLost,
    /// The inner packet has no hops left.
    HopLimit,
    /// The inner packet has the addresses of the outer one (RFC 2003 section 3), so that it would enter the tunnel
    /// again.
    Recursive,
}

impl From<IpError> for TunnelError {
    fn from(e: IpError) -> Self {
        Self::Inner(e)
    }
}

impl TunnelError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Inner(e) => e.fault(),
            Self::Recursive => Fault::Caller,
            Self::InnerVersion | Self::NotIp(_) | Self::EndpointMismatch | Self::CongestionLost | Self::HopLimit => {
                Fault::Peer
            }
        }
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(e) => write!(f, "inner packet: {e}"),
            Self::InnerVersion => f.write_str("IP version of the inner packet does not match the next header"),
            Self::NotIp(proto) => write!(f, "unexpected next header {proto}: expected an inner IP packet"),
            Self::EndpointMismatch => f.write_str("outer addresses do not match the tunnel"),
            Self::CongestionLost => f.write_str("congestion marked on a packet without ECN"),
            Self::HopLimit => f.write_str("hop limit exceeded"),
            Self::Recursive => f.write_str("inner packet has the addresses of the outer packet"),
        }
    }
}

impl core::error::Error for TunnelError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Inner(e) => Some(e),
            _ => None,
        }
    }
}
