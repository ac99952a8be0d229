use core::fmt;
use core::net::IpAddr;

use ipsec_packet::IpProto;

use super::dialect::{Kind, Wire};
use super::error::PfkeyErrorKind;
use super::number::SaFlags;
use super::policy::PolicyExtension;
use crate::policy::Mode;
use crate::sad::SaState;

/// One extension of a message (RFC 2367 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extension<'a> {
    /// An SA (RFC 2367 2.3.1).
    Sa {
        /// Its SPI, or CPI.
        spi: u32,
        /// Its window: in octets of bitmap with KAME and FreeBSD, in packets with Linux; 255 for what does not fit.
        replay: u8,
        /// Where it stands, by number.
        state: u8,
        /// Its integrity algorithm, by the number of the dialect.
        integrity: u8,
        /// Its cipher, or compression, by the number of the dialect.
        cipher: u8,
        /// Its flags.
        flags: SaFlags,
    },
    /// Limits of an SA, or what it has done (2.3.2).
    Lifetime(LifetimeRole, Lifetime),
    /// An address (2.3.3).
    Address {
        /// Whose.
        role: AddressRole,
        /// The upper protocol that a policy or proxy is for; 255 for any, 0 in most messages.
        proto: IpProto,
        /// Bits of the prefix.
        prefix: u8,
        /// The address.
        address: IpAddr,
        /// The port; 0 for any.
        port: u16,
    },
    /// A key (2.3.4).
    Key(KeyRole, Key<'a>),
    /// An identity (2.3.5): its type, its number, and its text without the zeros at its end.
    Identity(Side, u16, u64, &'a [u8]),
    /// Algorithms that the kernel has (2.3.8).
    Supported(KeyRole, Algorithms<'a>),
    /// SPIs to choose from (2.3.9).
    SpiRange {
        /// The lowest.
        min: u32,
        /// The highest.
        max: u32,
    },
    /// A policy, of KAME, FreeBSD and Linux.
    Policy(PolicyExtension<'a>),
    /// More about an SA, of KAME, FreeBSD and Linux.
    Sa2 {
        /// Its mode, by number: see [`Extension::mode`].
        mode: u8,
        /// Its sequence number.
        sequence: u32,
        /// Its request number.
        reqid: u32,
    },
    /// Whether ESP is in UDP, and how: 1 for the drafts, 2 for RFC 3948.
    NatType(u8),
    /// A UDP port.
    NatPort(Side, u16),
    /// How long a packet in UDP may be.
    NatFragment(u16),
    /// A window of so many packets, of FreeBSD.
    ReplayWindow(u32),
    /// The UDP port of the peer, of OpenBSD.
    UdpEncap(u16),
    /// Anything else: its number, and what follows it.
    Other(u16, &'a [u8]),
}

/// What a lifetime is (RFC 2367 2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
#[non_exhaustive]
pub enum LifetimeRole {
    Current,
    Hard,
    Soft,
    LastUse,
}

/// Limits, or what was done: times in seconds, 0 for none (RFC 2367 2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// Packets, or connections.
    pub allocations: u32,
    /// Octets.
    pub octets: u64,
    /// Since it was added; of a current one, when that was.
    pub added: u64,
    /// Since its first use; of a current one, when that was.
    pub used: u64,
}

/// Whose address it is (RFC 2367 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressRole {
    /// The source of an SA or policy.
    Source,
    /// The destination.
    Destination,
    /// The proxy.
    Proxy,
    /// The initiator's own behind a NAT; Linux has only this one.
    OriginalInitiator,
    /// The responder's own behind a NAT.
    OriginalResponder,
    /// FreeBSD: the source to be.
    NewSource,
    /// FreeBSD: the destination to be.
    NewDestination,
    /// OpenBSD: the mask of a flow's source.
    SourceMask,
    /// OpenBSD: the mask of a flow's destination.
    DestinationMask,
    /// OpenBSD: the source of a flow.
    SourceFlow,
    /// OpenBSD: the destination of a flow.
    DestinationFlow,
    /// OpenBSD: the destination of the second SA of a bundle.
    SecondDestination,
}

/// What a key, or a list of algorithms, is for (RFC 2367 2.3.4, 2.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
#[non_exhaustive]
pub enum KeyRole {
    Authentication,
    Encryption,
}

/// Which of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Side {
    Source,
    Destination,
}

/// A key (RFC 2367 2.3.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// Its bits.
    pub bits: u16,
    /// The octets that hold them.
    pub octets: &'a [u8],
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bits)", self.bits)
    }
}

/// Algorithms with the lengths of their keys (RFC 2367 2.3.8).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Algorithms<'a> {
    rows: &'a [[u8; 8]],
    wire: Wire,
}

/// One algorithm (RFC 2367 2.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlgorithmRow {
    /// Its number in the dialect.
    pub number: u8,
    /// Octets of IV.
    pub iv: u8,
    /// Bits of its shortest key.
    pub min_bits: u16,
    /// Bits of its longest key.
    pub max_bits: u16,
}

impl<'a> Algorithms<'a> {
    /// One by one (RFC 2367 2.3.8).
    pub fn iter(&self) -> impl Iterator<Item = AlgorithmRow> + 'a {
        let order = self.wire.order;
        self.rows.iter().map(move |&[number, iv, a, b, c, d, _, _]| AlgorithmRow {
            number,
            iv,
            min_bits: order.u16([a, b]),
            max_bits: order.u16([c, d]),
        })
    }

    pub(super) fn octets(&self) -> &'a [u8] {
        self.rows.as_flattened()
    }
}

impl fmt::Debug for Algorithms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Extension<'_> {
    /// The state of an SA by its number (RFC 2367 3.3).
    pub const fn state(number: u8) -> Option<SaState> {
        match number {
            0 => Some(SaState::Larval),
            1 => Some(SaState::Mature),
            2 => Some(SaState::Dying),
            3 => Some(SaState::Dead),
            _ => None,
        }
    }

    /// A mode by its number.
    pub const fn mode(number: u8) -> Option<Mode> {
        match number {
            0 => Some(Mode::Any),
            1 => Some(Mode::Transport),
            2 => Some(Mode::Tunnel),
            _ => None,
        }
    }

    /// The number of a mode; BEET has none that kernels share, and counts as any.
    pub const fn mode_number(mode: Mode) -> u8 {
        match mode {
            Mode::Any | Mode::Beet => 0,
            Mode::Transport => 1,
            Mode::Tunnel => 2,
        }
    }
}

/// Fixed octets from the front of a body.
pub(super) fn take<'a, const N: usize>(body: &mut &'a [u8]) -> Result<&'a [u8; N], PfkeyErrorKind> {
    let (front, rest) = body.split_first_chunk().ok_or(PfkeyErrorKind::TooShort)?;
    *body = rest;
    Ok(front)
}

/// Reads what follows length and type of an extension.
pub(super) fn read<'a>(wire: Wire, number: u16, mut body: &'a [u8]) -> Result<Extension<'a>, PfkeyErrorKind> {
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

/// An address and port, and the octets that it has.
pub(super) fn sockaddr(wire: Wire, body: &[u8]) -> Result<(IpAddr, u16, usize), PfkeyErrorKind> {
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
