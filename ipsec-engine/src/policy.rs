use core::fmt;
use core::net::IpAddr;

use ipsec_packet::Selector;

use crate::engine::DefaultLevel;

/// A policy: which packets, which way, and what happens to them (RFC 4301 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which packets.
    pub selector: Selector,
    /// Which way they go.
    pub direction: PolicyDirection,
    /// Where it stands among others: among equals, the one added first is looked at first.
    pub priority: Priority,
    /// What happens to them.
    pub action: Action,
}

/// The number of a policy in an engine, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(pub(crate) u32);

impl PolicyId {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The request number that the SAs of one of its transforms must have; 0 for any. Of level `unique` it is one of
    /// 2^31 and above.
    pub fn reqid(self, template: &Template) -> u32 {
        match template.level {
            Level::UniqueId(id) => id,
            Level::Unique => FIRST_UNIQUE.saturating_add(self.0),
            Level::Default | Level::Use | Level::Require => 0,
        }
    }
}

/// The lowest number that is given to policies of level `unique`: numbers from there on are theirs.
const FIRST_UNIQUE: u32 = 1 << 31;

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which packets a policy is for (RFC 4301 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyDirection {
    /// Those that arrive.
    In,
    /// Those that leave.
    Out,
    /// Those that are forwarded (Linux).
    Forward,
}

/// What happens to a packet that a policy selects (RFC 4301 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum Action {
    /// It is thrown away.
    Discard,
    /// It passes without IPsec.
    None,
    /// It passes without IPsec; for sockets, whatever the policies say.
    Bypass,
    /// The policy of the whole system decides.
    Entrust,
    /// It goes through these transforms, or came through them.
    Ipsec(Bundle),
}

impl Action {
    /// Whether packets go on as they are (RFC 4301 4.4.1).
    pub const fn passes(&self) -> bool {
        matches!(self, Self::None | Self::Bypass | Self::Entrust)
    }
}

/// The most transforms of one policy.
pub const MAX_TRANSFORMS: usize = 4;

/// The transforms of a policy in their order: on the way out the first is applied first (RFC 2401 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bundle {
    templates: [Option<Template>; MAX_TRANSFORMS],
}

impl Bundle {
    /// With one more transform at its end; `None` when there are [`MAX_TRANSFORMS`] already.
    #[must_use]
    pub fn with(mut self, template: Template) -> Option<Self> {
        *self.templates.iter_mut().find(|slot| slot.is_none())? = Some(template);
        Some(self)
    }

    /// The transforms in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Template> {
        self.templates.iter().flatten()
    }
}

/// One transform that a policy asks for (RFC 4301 4.4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// ESP, AH or IPComp.
    pub protocol: Protocol,
    /// Transport, tunnel, or either.
    pub mode: Mode,
    /// The ends of the tunnel.
    pub ends: Option<TunnelEndpoints>,
    /// How much it matters.
    pub level: Level,
}

/// Whether a packet may do without a transform.
pub(crate) fn is_optional(template: &Template, default_level: DefaultLevel) -> bool {
    match template.level {
        Level::Use => true,
        Level::Default => default_level == DefaultLevel::Use,
        Level::Require | Level::Unique | Level::UniqueId(_) => false,
    }
}

/// A security protocol of a policy (RFC 4301 3.2, RFC 3173).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Encapsulating security payload.
    Esp,
    /// Authentication header.
    Ah,
    /// IP payload compression.
    Ipcomp,
}

/// The mode of an SA or of a transform of a policy (RFC 4301 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Either: of an SA, what its policy asks for.
    #[default]
    Any,
    /// Between hosts.
    Transport,
    /// Between gateways.
    Tunnel,
    /// Bound end-to-end tunnel: an addition to setkey(8), for peers that have it.
    Beet,
}

/// The ends of a tunnel: `None` is `any`, to be filled in by key exchange; ports are those of UDP encapsulation (RFC 4301 4.4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelEndpoints {
    /// Where it begins.
    pub source: (Option<IpAddr>, Option<u16>),
    /// Where it ends.
    pub destination: (Option<IpAddr>, Option<u16>),
}

impl TunnelEndpoints {
    /// Whether an SA has these ends, as far as they are named (RFC 4301 4.4.1.2).
    pub fn matches(&self, source: IpAddr, destination: IpAddr) -> bool {
        self.source.0.is_none_or(|end| end == source) && self.destination.0.is_none_or(|end| end == destination)
    }
}

/// How much a transform matters, and which SA may serve it (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Level {
    /// What the system has as its default.
    #[default]
    Default,
    /// An SA if there is one.
    Use,
    /// An SA, or the packet is not sent.
    Require,
    /// An SA of this policy alone.
    Unique,
    /// The SA with this request number.
    UniqueId(u32),
}

/// Where a policy stands among others (Linux): lower numbers are looked at first (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u32);

impl Priority {
    /// `high` (setkey(8)).
    pub const HIGH: Self = Self(0x4000_0000);
    /// `def`, which is also what no priority means (setkey(8)).
    pub const DEFAULT: Self = Self(0x8000_0000);
    /// `low` (setkey(8)).
    pub const LOW: Self = Self(0xc000_0000);

    /// [`DEFAULT`](Self::DEFAULT), higher by `offset` or lower if that is negative, as far as priorities go.
    pub fn relative_to_default(offset: i32) -> Option<Self> {
        let distance = offset.unsigned_abs();
        let moved =
            if offset < 0 { Self::DEFAULT.0.checked_add(distance) } else { Self::DEFAULT.0.checked_sub(distance) };
        moved.map(Self)
    }

    /// A base, higher by `offset` or lower if that is negative; `None` when it would leave the neighbourhood of its base.
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

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal,)* }) => {
        impl $type {
            /// What setkey(8) calls it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The one that setkey(8) calls so.
            pub fn by_name(name: &str) -> Option<Self> {
                match name { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use words;

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
            Self::None => f.write_str("none"),
            Self::Bypass => f.write_str("bypass"),
            Self::Entrust => f.write_str("entrust"),
            Self::Ipsec(bundle) => {
                f.write_str("ipsec")?;
                bundle.iter().try_for_each(|template| write!(f, " {template}"))
            }
        }
    }
}
