//! BEET mode: tunnel semantics in transport format. The SA contains the inner addresses, so the inner header is not
//! sent.
//!
//! ```text
//! inner IPv4 header | options | payload         before
//! outer header | ESP | [BEET header | pad | options] | payload
//! ```
//!
//! The BEET header (protocol 94) carries IPv4 options: next header, length in units of 8 octets beyond the first 8,
//! octets of padding, reserved; then the padding (NOPs) and the options.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::IntoBytes;

use crate::{
    DestinationOptions, Fault, IpError, IpProto, Ipv4Header, Ipv6Header, OuterFields, PacketBuf, ParsedIp, TooShort,
    ipv4, ipv6, set_length,
};

/// Inner addresses of a BEET SA, as seen from the local end (draft-nikander-esp-beet-mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beet {
    inner: Inner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inner {
    V4 { local: Ipv4Addr, remote: Ipv4Addr },
    V6 { local: Ipv6Addr, remote: Ipv6Addr },
}

const PSEUDO_HEADER: usize = 4;
const NOP: u8 = 1;

impl Beet {
    /// Creates the inner addresses of an IPv4 packet.
    pub const fn v4(local: Ipv4Addr, remote: Ipv4Addr) -> Self {
        Self { inner: Inner::V4 { local, remote } }
    }

    /// Creates the inner addresses of an IPv6 packet.
    pub const fn v6(local: Ipv6Addr, remote: Ipv6Addr) -> Self {
        Self { inner: Inner::V6 { local, remote } }
    }

    /// Returns whether these are the addresses of an outbound packet of the SA.
    pub fn matches(&self, source: IpAddr, destination: IpAddr) -> bool {
        (source, destination)
            == match self.inner {
                Inner::V4 { local, remote } => (IpAddr::from(local), IpAddr::from(remote)),
                Inner::V6 { local, remote } => (local.into(), remote.into()),
            }
    }

    /// Removes the inner header of an outbound packet, whose addresses must be those of the SA. Returns the protocol
    /// number of the payload (draft-nikander-esp-beet-mode). The outer header is created by
    /// [`crate::Tunnel::outer_for`] before this call.
    ///
    /// # Errors
    /// [`BeetError`]; the packet is unchanged.
    pub fn strip(&self, packet: &mut PacketBuf<'_>) -> Result<IpProto, BeetError> {
        self.strip_parsed(&ParsedIp::read(packet.data())?, packet)
    }

    /// Removes the inner header of a parsed packet like [`strip`](Self::strip).
    ///
    /// # Errors
    /// [`BeetError`]; the packet is unchanged.
    pub fn strip_parsed(&self, ip: &ParsedIp, packet: &mut PacketBuf<'_>) -> Result<IpProto, BeetError> {
        if !self.matches(ip.source(), ip.destination()) {
            return Err(BeetError::InnerAddressMismatch);
        }
        if ip.version() == 6 {
            let next = packet.data().get(ipv6::NEXT_HEADER_OFFSET).copied().map(IpProto);
            packet.truncate(ip.length);
            packet.pull_front(ipv6::HEADER)?;
            return next.ok_or(BeetError::Ip(IpError::NotFound));
        }
        let place = ip.transport_position(DestinationOptions::Protected)?;
        let options = place.at.saturating_sub(ipv4::HEADER);
        packet.truncate(ip.length);
        packet.pull_front(ipv4::HEADER)?;
        if options == 0 { Ok(place.next) } else { push_pseudo_header(packet, place.next, options) }
    }

    /// Restores the inner header in front of a received payload, in the space of the removed headers
    /// (draft-nikander-esp-beet-mode).
    ///
    /// An inner IPv6 header after an outer IPv4 header may need up to 12 octets of headroom more. Fields that the SA
    /// does not contain (hop limit, class, flow label, identification, DF) are those of the outer header, to which
    /// the sender has copied them.
    ///
    /// # Errors
    /// [`BeetError`]; the payload must not be delivered.
    pub fn restore(&self, outer: &OuterFields, next: IpProto, packet: &mut PacketBuf<'_>) -> Result<(), BeetError> {
        match self.inner {
            Inner::V4 { local, remote } => {
                let (next, options) = if next == IpProto::BEET { pull_pseudo_header(packet)? } else { (next, 0) };
                let mut header = Ipv4Header::new(remote, local, next, outer.hop_limit);
                header.set_options_len(options);
                header.set_tos(outer.traffic_class);
                header.set_identification(outer.identification);
                header.set_dont_fragment(outer.dont_fragment);
                packet.prepend(header.as_bytes()).map_err(IpError::from)?;
            }
            Inner::V6 { .. } if next == IpProto::BEET => return Err(BeetError::PseudoHeader), // it carries IPv4 options
            Inner::V6 { local, remote } => {
                let mut header = Ipv6Header::new(remote, local, next, outer.hop_limit);
                header.set_traffic_class(outer.traffic_class);
                header.set_flow_label(outer.flow_label);
                packet.prepend(header.as_bytes()).map_err(IpError::from)?;
            }
        }
        Ok(set_length(packet.data_mut())?)
    }
}

/// Writes the pseudo header and its padding in front of the options, in the space of the removed header.
fn push_pseudo_header(packet: &mut PacketBuf<'_>, next: IpProto, options: usize) -> Result<IpProto, BeetError> {
    let pad = if options & 4 == 0 { 4 } else { 0 };
    let units = u8::try_from(options >> 3).map_err(|_| IpError::NotFound)?;
    if pad == 4 {
        packet.prepend(&[NOP; 4]).map_err(IpError::from)?;
    }
    packet.prepend(&[next.0, units, pad, 0]).map_err(IpError::from)?;
    Ok(IpProto::BEET)
}

/// Removes the pseudo header in front of the options. Returns the protocol number of the payload and the length of
/// the options in octets.
fn pull_pseudo_header(packet: &mut PacketBuf<'_>) -> Result<(IpProto, usize), BeetError> {
    let available = packet.len();
    let Some(&[next, units, pad, _]) = packet.data().first_chunk::<PSEUDO_HEADER>() else {
        return Err(IpError::from(TooShort { needed: PSEUDO_HEADER, available }).into());
    };
    let total = usize::from(units).saturating_add(1).saturating_mul(8);
    let front = PSEUDO_HEADER.saturating_add(pad.into());
    let options = total.checked_sub(front).filter(|o| *o <= 40 && o % 4 == 0).ok_or(BeetError::PseudoHeader)?;
    if total > available {
        return Err(IpError::from(TooShort { needed: total, available }).into());
    }
    packet.pull_front(front)?;
    Ok((IpProto(next), options))
}

/// Error of a packet that does not match a BEET SA (draft-nikander-esp-beet-mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeetError {
    /// The packet is not a valid IP packet.
    Ip(IpError),
    /// The addresses are not the inner addresses of the SA.
    InnerAddressMismatch,
    /// The lengths in the BEET header contradict each other, or it precedes an IPv6 payload.
    PseudoHeader,
}

impl From<IpError> for BeetError {
    fn from(e: IpError) -> Self {
        Self::Ip(e)
    }
}

impl From<TooShort> for BeetError {
    fn from(e: TooShort) -> Self {
        Self::Ip(e.into())
    }
}

impl BeetError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Ip(e) => e.fault(),
            Self::InnerAddressMismatch | Self::PseudoHeader => Fault::Peer,
        }
    }
}

impl fmt::Display for BeetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(e) => e.fmt(f),
            Self::InnerAddressMismatch => f.write_str("addresses do not match the inner addresses of the SA"),
            Self::PseudoHeader => f.write_str("malformed or misplaced BEET header"),
        }
    }
}

impl core::error::Error for BeetError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Ip(e) => Some(e),
            _ => None,
        }
    }
}
