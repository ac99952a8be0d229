use core::fmt;
use core::net::IpAddr;

use ipsec_packet::Selector;

use crate::words::words;

/// Parameters of a policy: selector, direction, priority and action (RFC 4301 section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyParams {
    /// Packets that the policy applies to.
    pub selector: Selector,
    /// Direction of those packets.
    pub direction: PolicyDirection,
    /// Position in the SPD. Among policies of one priority, the one added first is searched first.
    pub priority: Priority,
    /// Treatment of the packets.
    pub action: Action,
}

/// Number of a policy in its back end. It is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(u32);

impl PolicyId {
    /// Creates the number of a policy, from 1.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number of the policy, from 1.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the request ID that the SAs of a template must have; 0 for any. For level `unique` it is 2^31 or
    /// above.
    pub fn reqid(self, template: &Template) -> u32 {
        match template.level {
            Level::UniqueId(id) => id,
            Level::Unique => FIRST_UNIQUE.saturating_add(self.0),
            Level::Default | Level::Use | Level::Require => 0,
        }
    }
}

/// Lowest request ID of policies of level `unique`; all numbers from here on are reserved for them.
const FIRST_UNIQUE: u32 = 1 << 31;

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Direction of the packets of a policy (RFC 4301 section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyDirection {
    /// Packets that are received for this host.
    In,
    /// Packets that are sent or forwarded to the unprotected side.
    Out,
    /// Packets that are received and forwarded (Linux).
    Forward,
}

/// Action of a policy (RFC 4301 section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum Action {
    /// The packet is discarded (DISCARD).
    Discard,
    /// The packet passes without IPsec (BYPASS); `none` in setkey(8).
    Bypass,
    /// The packet is protected by these transforms, or was (PROTECT); `ipsec` in setkey(8).
    Protect(Bundle),
}

/// Largest number of templates of one policy.
pub const MAX_TRANSFORMS: usize = 4;

/// Templates of a policy in their order: outbound, the first is applied first (RFC 2401 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bundle {
    templates: [Option<Template>; MAX_TRANSFORMS],
}

impl Bundle {
    /// Appends a template. Returns `None` if there are [`MAX_TRANSFORMS`] already.
    #[must_use]
    pub fn with(mut self, template: Template) -> Option<Self> {
        *self.templates.iter_mut().find(|slot| slot.is_none())? = Some(template);
        Some(self)
    }

    /// Iterates over the templates in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Template> {
        self.templates.iter().flatten()
    }
}

/// Transform that a policy requires (RFC 4301 section 4.4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// Security protocol: ESP, AH or IPComp.
    pub protocol: Protocol,
    /// Mode of the SA: transport, tunnel, or any.
    pub mode: Mode,
    /// Endpoints of the tunnel; `None` for any, or in transport mode.
    pub ends: Option<TunnelEndpoints>,
    /// Level of setkey(8): whether the transform is required, and which SAs match.
    pub level: Level,
}

impl Template {
    /// Returns whether a packet may pass without the transform of this template, where the level `default` means this.
    pub const fn is_optional(&self, default: DefaultLevel) -> bool {
        match self.level {
            Level::Use => true,
            Level::Default => matches!(default, DefaultLevel::Use),
            Level::Require | Level::Unique | Level::UniqueId(_) => false,
        }
    }
}

/// Meaning of the level `default` of a template (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefaultLevel {
    /// An SA is used if one exists, as [`Level::Use`].
    Use,
    /// An SA is required, as [`Level::Require`].
    Require,
}

/// Security protocol of an SA or a template (RFC 4301 section 3.2, RFC 3173).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Encapsulating Security Payload (RFC 4303).
    Esp,
    /// Authentication Header (RFC 4302).
    Ah,
    /// IP Payload Compression (RFC 3173).
    Ipcomp,
}

/// Mode of an SA or of a template (RFC 4301 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// No mode: the template decides which mode the SA is used in.
    #[default]
    Any,
    /// Transport mode, between two hosts.
    Transport,
    /// Tunnel mode, between security gateways or hosts.
    Tunnel,
    /// Bound end-to-end tunnel mode, an extension of setkey(8) for peers that implement it.
    Beet,
}

/// Endpoints of a tunnel. `None` is `any`, to be found by key exchange; ports are those of UDP encapsulation (RFC
/// 4301 section 4.4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelEndpoints {
    /// Address and UDP port of the source.
    pub source: (Option<IpAddr>, Option<u16>),
    /// Address and UDP port of the destination.
    pub destination: (Option<IpAddr>, Option<u16>),
}

impl TunnelEndpoints {
    /// Returns whether the addresses of an SA match these endpoints, as far as they are specified (RFC 4301 section
    /// 4.4.1.2).
    pub fn matches(&self, source: IpAddr, destination: IpAddr) -> bool {
        self.source.0.is_none_or(|end| end == source) && self.destination.0.is_none_or(|end| end == destination)
    }
}

/// Level of a template (setkey(8)): whether its transform is required, and which SAs match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Level {
    /// The default of the system, see [`DefaultLevel`].
    #[default]
    Default,
    /// An SA is used if one exists.
    Use,
    /// An SA is required; without one the packet is not sent.
    Require,
    /// An SA of this policy only is required.
    Unique,
    /// The SA with this request ID is required.
    UniqueId(u32),
}

/// Priority of a policy (Linux). Policies with lower numbers are searched first (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u32);

impl Priority {
    /// Base priority `high` of setkey(8).
    pub const HIGH: Self = Self(0x4000_0000);
    /// Base priority `def` of setkey(8), which is also the default.
    pub const DEFAULT: Self = Self(0x8000_0000);
    /// Base priority `low` of setkey(8).
    pub const LOW: Self = Self(0xc000_0000);

    /// Raises the default priority by `offset`, or lowers it if that is negative. Returns `None` out of range.
    pub fn relative_to_default(offset: i32) -> Option<Self> {
        let distance = offset.unsigned_abs();
        let moved =
            if offset < 0 { Self::DEFAULT.0.checked_add(distance) } else { Self::DEFAULT.0.checked_sub(distance) };
        moved.map(Self)
    }

    /// Raises this base priority by `offset`, or lowers it if that is negative. Returns `None` if the result would be
    /// nearer to another base.
    pub fn offset(self, offset: i32) -> Option<Self> {
        let distance = offset.unsigned_abs();
        match offset {
            ..0 => self.0.checked_add(distance).filter(|_| distance < 0x4000_0000).map(Self),
            _ => self.0.checked_sub(distance).filter(|_| distance <= 0x4000_0000).map(Self),
        }
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

words! { PolicyDirection { In = "in", Out = "out", Forward = "fwd", } }
words! { Protocol { Esp = "esp", Ah = "ah", Ipcomp = "ipcomp", } }
words! { Mode { Any = "any", Transport = "transport", Tunnel = "tunnel", Beet = "beet", } }

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Use => f.write_str("use"),
            Self::Require => f.write_str("require"),
            Self::Unique => f.write_str("unique"),
            Self::UniqueId(id) => write!(f, "unique:{id}"),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/", self.protocol, self.mode)?;
        if let Some(ends) = &self.ends {
            write_end(f, ends.source)?;
            f.write_str("-")?;
            write_end(f, ends.destination)?;
        }
        write!(f, "/{}", self.level)
    }
}

fn write_end(f: &mut fmt::Formatter<'_>, (address, port): (Option<IpAddr>, Option<u16>)) -> fmt::Result {
    match address {
        Some(address) => write!(f, "{address}")?,
        None => f.write_str("any")?,
    }
    port.map_or(Ok(()), |port| write!(f, "[{port}]"))
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard => f.write_str("discard"),
            Self::Bypass => f.write_str("none"),
            Self::Protect(bundle) => {
                f.write_str("ipsec")?;
                bundle.iter().try_for_each(|template| write!(f, " {template}"))
            }
        }
    }
}
