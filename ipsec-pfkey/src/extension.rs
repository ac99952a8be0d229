use core::fmt;
use core::net::IpAddr;

use ipsec_packet::IpProto;

use crate::dialect::{Kind, Wire};
use crate::error::PfkeyErrorKind;
use crate::number::SaFlags;
use crate::policy::PolicyExtension;
use ipsec_sa::{Mode, SaState};

/// Extension of a message (RFC 2367 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extension<'a> {
    /// Parameters of an SA (RFC 2367 section 2.3.1).
    Sa {
        /// SPI, or the CPI of IPComp.
        spi: u32,
        /// Size of the window: in octets of the bitmap for KAME and FreeBSD, in packets for Linux; 255 for larger
        /// ones.
        replay: u8,
        /// State of the SA, by number: see [`Extension::state`].
        state: u8,
        /// Integrity algorithm, by the number of the dialect.
        integrity: u8,
        /// Cipher or compression algorithm, by the number of the dialect.
        cipher: u8,
        /// Flags of the SA.
        flags: SaFlags,
    },
    /// Limits or usage of an SA (RFC 2367 section 2.3.2).
    Lifetime(LifetimeRole, Lifetime),
    /// Address of an SA or a policy (RFC 2367 section 2.3.3).
    Address {
        /// Meaning of the address.
        role: AddressRole,
        /// Upper-layer protocol of a policy or proxy; 255 for any, 0 in most messages.
        proto: IpProto,
        /// Length of the prefix in bits.
        prefix: u8,
        /// IPv4 or IPv6 address.
        address: IpAddr,
        /// Port number; 0 for any.
        port: u16,
    },
    /// Key of an SA (RFC 2367 section 2.3.4).
    Key(KeyRole, Key<'a>),
    /// Identity (RFC 2367 section 2.3.5): its type, its number, and its text without the zeros at the end.
    Identity(Side, u16, u64, &'a [u8]),
    /// Algorithms that the kernel supports (RFC 2367 section 2.3.8).
    Supported(KeyRole, Algorithms<'a>),
    /// Range from which an SPI is chosen (RFC 2367 section 2.3.9).
    SpiRange {
        /// Lowest SPI of the range.
        min: u32,
        /// Highest SPI of the range.
        max: u32,
    },
    /// Policy of KAME, FreeBSD and Linux.
    Policy(PolicyExtension<'a>),
    /// Further parameters of an SA, of KAME, FreeBSD and Linux.
    Sa2 {
        /// Mode of the SA, by number: see [`Extension::mode`].
        mode: u8,
        /// Sequence number of the message that created the SA.
        sequence: u32,
        /// Request ID of the SA.
        reqid: u32,
    },
    /// Type of UDP encapsulation: 1 for the drafts, 2 for RFC 3948.
    NatType(u8),
    /// UDP port of one side.
    NatPort(Side, u16),
    /// Largest size of a packet in UDP.
    NatFragment(u16),
    /// Size of the window in packets, of FreeBSD.
    ReplayWindow(u32),
    /// UDP port of the peer, of OpenBSD.
    UdpEncap(u16),
    /// Unknown extension: its number and its body.
    Other(u16, &'a [u8]),
}

/// Meaning of a lifetime (RFC 2367 section 2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
#[non_exhaustive]
pub enum LifetimeRole {
    Current,
    Hard,
    Soft,
    LastUse,
}

/// Limits or usage of an SA; times in seconds, 0 for none (RFC 2367 section 2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// Number of packets, or of connections.
    pub allocations: u32,
    /// Number of octets of payload.
    pub octets: u64,
    /// Seconds since the SA was added; for the current lifetime, the time at which it was added.
    pub added: u64,
    /// Seconds since the first use; for the current lifetime, the time of the first use.
    pub used: u64,
}

/// Meaning of an address (RFC 2367 section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressRole {
    /// Source of an SA or policy.
    Source,
    /// Destination of an SA or policy.
    Destination,
    /// Proxy of RFC 2367, for whom the SA is negotiated.
    Proxy,
    /// Original address of the initiator behind a NAT; the only one that Linux has.
    OriginalInitiator,
    /// Original address of the responder behind a NAT.
    OriginalResponder,
    /// New source of an SA (FreeBSD).
    NewSource,
    /// New destination of an SA (FreeBSD).
    NewDestination,
    /// Mask of the source of a flow (OpenBSD).
    SourceMask,
    /// Mask of the destination of a flow (OpenBSD).
    DestinationMask,
    /// Source of a flow (OpenBSD).
    SourceFlow,
    /// Destination of a flow (OpenBSD).
    DestinationFlow,
    /// Destination of the second SA of a bundle (OpenBSD).
    SecondDestination,
}

/// Purpose of a key or of a list of algorithms (RFC 2367 sections 2.3.4 and 2.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
#[non_exhaustive]
pub enum KeyRole {
    Authentication,
    Encryption,
}

/// Source or destination side of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Side {
    Source,
    Destination,
}

/// Key of an SA (RFC 2367 section 2.3.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// Length of the key in bits.
    pub bits: u16,
    /// Octets that contain the key.
    pub octets: &'a [u8],
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bits)", self.bits)
    }
}

/// List of algorithms with their key lengths (RFC 2367 section 2.3.8).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Algorithms<'a> {
    rows: &'a [[u8; 8]],
    wire: Wire,
}

/// Algorithm that a kernel supports (RFC 2367 section 2.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlgorithmRow {
    /// Number of the algorithm in the dialect.
    pub number: u8,
    /// Length of the IV in octets.
    pub iv: u8,
    /// Length of the shortest key in bits.
    pub min_bits: u16,
    /// Length of the longest key in bits.
    pub max_bits: u16,
}

impl<'a> Algorithms<'a> {
    /// Iterates over the algorithms (RFC 2367 section 2.3.8).
    pub fn iter(&self) -> impl Iterator<Item = AlgorithmRow> + 'a {
        let order = self.wire.order;
        self.rows.iter().map(move |&[number, iv, a, b, c, d, _, _]| AlgorithmRow {
            number,
            iv,
            min_bits: order.u16([a, b]),
            max_bits: order.u16([c, d]),
        })
    }

    pub(crate) fn octets(&self) -> &'a [u8] {
        self.rows.as_flattened()
    }
}

impl fmt::Debug for Algorithms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Extension<'_> {
    /// Returns the SA state of a number (RFC 2367 section 3.3).
    pub const fn state(number: u8) -> Option<SaState> {
        match number {
            0 => Some(SaState::Larval),
            1 => Some(SaState::Mature),
            2 => Some(SaState::Dying),
            3 => Some(SaState::Dead),
            _ => None,
        }
    }

    /// Returns the mode of a number.
    pub const fn mode(number: u8) -> Option<Mode> {
        match number {
            0 => Some(Mode::Any),
            1 => Some(Mode::Transport),
            2 => Some(Mode::Tunnel),
            _ => None,
        }
    }

    /// Returns the number of a mode. BEET has no number that kernels share, and is written as any.
    pub const fn mode_number(mode: Mode) -> u8 {
        match mode {
            Mode::Any | Mode::Beet => 0,
            Mode::Transport => 1,
            Mode::Tunnel => 2,
        }
    }
}

/// Takes a fixed number of octets from the front of a body.
pub(crate) fn take<'a, const N: usize>(body: &mut &'a [u8]) -> Result<&'a [u8; N], PfkeyErrorKind> {
    let (front, rest) = body.split_first_chunk().ok_or(PfkeyErrorKind::TooShort)?;
    *body = rest;
    Ok(front)
}

/// Parses the body after length and type of an extension.
pub(crate) fn read<'a>(wire: Wire, number: u16, mut body: &'a [u8]) -> Result<Extension<'a>, PfkeyErrorKind> {
    let order = wire.order;
    let whole = body;
    let body = &mut body;
    Ok(match wire.dialect.kind(number) {
        None => Extension::Other(number, whole),
        Some(Kind::Sa) => {
            let spi = u32::from_be_bytes(*take(body)?);
            let [replay, state, integrity, cipher] = *take(body)?;
            Extension::Sa { spi, replay, state, integrity, cipher, flags: SaFlags(order.u32(*take(body)?)) }
        }
        Some(Kind::Lifetime(role)) => {
            let allocations = order.u32(*take(body)?);
            let mut next = || Ok::<_, PfkeyErrorKind>(order.u64(*take(body)?));
            Extension::Lifetime(role, Lifetime { allocations, octets: next()?, added: next()?, used: next()? })
        }
        Some(Kind::Address(role)) => {
            let [proto, prefix, ..] = *take::<4>(body)?;
            let (address, port, _) = sockaddr(wire, body)?;
            Extension::Address { role, proto: IpProto(proto), prefix, address, port }
        }
        Some(Kind::Key(role)) => {
            let [a, b, ..] = *take::<4>(body)?;
            let bits = order.u16([a, b]);
            let octets = body.get(..usize::from(bits.div_ceil(8))).ok_or(PfkeyErrorKind::KeyLength(bits))?;
            Extension::Key(role, Key { bits, octets })
        }
        Some(Kind::Identity(side)) => {
            let [a, b, ..] = *take::<4>(body)?;
            let id = order.u64(*take(body)?);
            let end = body.iter().rposition(|octet| *octet != 0).map_or(0, |last| last.saturating_add(1));
            Extension::Identity(side, order.u16([a, b]), id, body.get(..end).unwrap_or_default())
        }
        Some(Kind::Supported(role)) => {
            take::<4>(body)?;
            Extension::Supported(role, Algorithms { rows: body.as_chunks().0, wire })
        }
        Some(Kind::SpiRange) => Extension::SpiRange { min: order.u32(*take(body)?), max: order.u32(*take(body)?) },
        Some(Kind::Policy) => Extension::Policy(PolicyExtension::read(wire, body)?),
        Some(Kind::Sa2) => {
            let [mode, ..] = *take::<4>(body)?;
            let (sequence, reqid) = (order.u32(*take(body)?), order.u32(*take(body)?));
            Extension::Sa2 { mode, sequence, reqid }
        }
        Some(Kind::NatType) => Extension::NatType(take::<4>(body)?.first().copied().unwrap_or(0)),
        Some(Kind::NatPort(side)) => {
            let [a, b, ..] = *take::<4>(body)?;
            Extension::NatPort(side, u16::from_be_bytes([a, b]))
        }
        Some(Kind::NatFragment) => {
            let [a, b, ..] = *take::<4>(body)?;
            Extension::NatFragment(order.u16([a, b]))
        }
        Some(Kind::ReplayWindow) => Extension::ReplayWindow(order.u32(*take(body)?)),
        Some(Kind::UdpEncap) => {
            let [a, b, ..] = *take::<4>(body)?;
            Extension::UdpEncap(u16::from_be_bytes([a, b]))
        }
    })
}

/// Parses a socket address. Returns address, port and its length in octets.
pub(crate) fn sockaddr(wire: Wire, body: &[u8]) -> Result<(IpAddr, u16, usize), PfkeyErrorKind> {
    let [a, b, port_1, port_2, rest @ ..] = body else { return Err(PfkeyErrorKind::TooShort) };
    let family = if wire.dialect.has_sa_len() { u16::from(*b) } else { wire.order.u16([*a, *b]) };
    let port = u16::from_be_bytes([*port_1, *port_2]);
    if family == 2 {
        let address: &[u8; 4] = rest.first_chunk().ok_or(PfkeyErrorKind::TooShort)?;
        Ok((IpAddr::from(*address), port, 16))
    } else if family == u16::from(wire.dialect.inet6()) {
        let address: &[u8; 16] = rest.get(4..).and_then(<[u8]>::first_chunk).ok_or(PfkeyErrorKind::TooShort)?;
        Ok((IpAddr::from(*address), port, 28))
    } else {
        Err(PfkeyErrorKind::Family(family))
    }
}
