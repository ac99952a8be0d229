use core::fmt;

use ipsec_crypto::{AhIntegrity, IcvMismatch};
use ipsec_packet::{
    Fault, HeaderPosition, Ip, IpError, IpProto, PacketBuf, ReplayError, Seq, SeqWidth, Spi, check_route_finished,
    close_gap, find_header, remove_atomic_fragment_headers,
};
use zerocopy::FromBytes;

use crate::header::{HEADER, Header};
use crate::sign::icv;
use crate::{MutableError, Profile};

/// Fields of a verified packet (RFC 4302 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Protocol number of the payload: the upper layer, or [`IpProto::IPV4`] or [`IpProto::IPV6`] for the inner
    /// packet of a tunnel.
    pub next_header: IpProto,
    /// Sequence number of the packet, all 64 bits.
    pub seq: Seq,
}

/// Received AH header with its position.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) place: HeaderPosition,
    pub(crate) header: Header,
}

/// Finds the outermost AH header of a packet.
//= RFC 4302 2.3/2
//# SHOULD: a receiver ignores the reserved field, but for the ICV
pub(crate) fn find(packet: &[u8]) -> Result<Found, VerifyError> {
    let place = find_header(packet, IpProto::AH)?;
    let ah = Ip::parse(packet)?.packet().get(place.at..).unwrap_or_default();
    let (header, _) = Header::read_from_prefix(ah).map_err(|_| VerifyError::TooShort)?;
    Ok(Found { place, header })
}

/// Reads SPI and the low half of the sequence number of the outermost AH header, to find its SA or for display (RFC
/// 4302 sections 2.4 and 2.5).
///
/// # Errors
/// [`VerifyError::Ip`] if there is no AH header, [`VerifyError::TooShort`] if it is truncated.
pub fn peek(packet: &[u8]) -> Result<(u32, u32), VerifyError> {
    find(packet).map(|Found { header, .. }| (header.spi.get(), header.seq.get()))
}

/// Verifies the outermost AH header of a packet and removes it in place. Lengths and checksum of the IP header are
/// updated (RFC 4302 section 3.4.4).
///
/// The packet must be at its destination: an unfinished source route or routing header is refused, as an attacker on
/// the path can turn a mutable option into one. Atomic fragment headers in front of AH, which the ICV does not cover,
/// are removed.
///
/// This function keeps no state: the caller supplies the 64-bit sequence number and maintains the anti-replay window.
/// [`crate::Inbound`] does both. The IPv4 header checksum of the received packet is verified by the IP layer, not
/// here.
///
/// # Errors
/// [`VerifyError`]; the packet is unchanged.
//= RFC 4302 5/1
//# MUST: syntax and processing of AH for unicast traffic are implemented
pub fn verify_with<I: AhIntegrity>(
    integrity: &I,
    seq: Seq,
    width: SeqWidth,
    profile: Profile,
    packet: &mut PacketBuf<'_>,
) -> Result<Verified, VerifyError> {
    let found = find(packet.data())?;
    authenticate(integrity, &found, seq, width, profile, packet.data())?;
    strip(&found, seq, packet)
}

/// Verifies the ICV; leaves the header in place.
pub(crate) fn authenticate<I: AhIntegrity>(
    integrity: &I,
    found: &Found,
    seq: Seq,
    width: SeqWidth,
    profile: Profile,
    packet: &[u8],
) -> Result<(), VerifyError> {
    let ip = Ip::parse(packet)?;
    let version = if matches!(ip, Ip::V6(_)) { 6 } else { 4 };
    let len = found.header.len();
    if !profile.accepts(version, integrity.field_len(), len) {
        return Err(VerifyError::LengthMismatch { octets: len });
    }
    if !profile.unfinished_routes {
        check_route_finished(packet, found.place.at)?;
    }
    let ah = ip.packet().get(found.place.at..).and_then(|rest| rest.get(..len)).ok_or(VerifyError::TooShort)?;
    let expected = icv(integrity, packet, found.place, len, seq, width, profile)?;
    let at = HEADER.saturating_add(integrity.iv_len());
    let carried =
        ah.get(at..).and_then(|field| field.get(..expected.as_slice().len())).ok_or(VerifyError::IcvMismatch)?;
    //= RFC 4302 3.4.4/1
    //# MUST: a packet whose ICV verification fails is discarded
    Ok(expected.verify(carried)?)
}

/// Removes the AH header of an authenticated packet.
pub(crate) fn strip(found: &Found, seq: Seq, packet: &mut PacketBuf<'_>) -> Result<Verified, VerifyError> {
    let own_length = Ip::parse(packet.data())?.packet().len();
    packet.truncate(own_length);
    let next_header = IpProto(found.header.next_header);
    close_gap(packet, found.place, found.header.len(), next_header)?;
    remove_atomic_fragment_headers(packet, found.place.at)?;
    Ok(Verified { next_header, seq })
}

/// Reason why a packet was not verified (RFC 4302 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The packet is malformed, has no AH header, or is a fragment, which AH never covers (RFC 4302 section 3.4.1).
    Ip(IpError),
    /// The AH header is truncated.
    TooShort,
    /// The length of the AH header does not match the ICV of this SA.
    LengthMismatch {
        /// Length of the header in octets, from its length field.
        octets: usize,
    },
    /// The SPI is that of another SA.
    SpiMismatch {
        /// SPI of this SA.
        expected: Spi,
        /// SPI of the packet.
        found: u32,
    },
    /// The sequence number was refused by the anti-replay window.
    Replayed(ReplayError),
    /// The ICV of the packet differs from the computed one.
    IcvMismatch,
    /// The options or the routing header are malformed.
    Mutable(MutableError),
}

impl From<IpError> for VerifyError {
    fn from(e: IpError) -> Self {
        Self::Ip(e)
    }
}

impl From<ReplayError> for VerifyError {
    fn from(e: ReplayError) -> Self {
        Self::Replayed(e)
    }
}

impl From<IcvMismatch> for VerifyError {
    fn from(_: IcvMismatch) -> Self {
        Self::IcvMismatch
    }
}

impl From<MutableError> for VerifyError {
    fn from(e: MutableError) -> Self {
        Self::Mutable(e)
    }
}

impl VerifyError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Ip(e) => e.fault(),
            Self::Mutable(e) => e.fault(),
            Self::TooShort
            | Self::LengthMismatch { .. }
            | Self::SpiMismatch { .. }
            | Self::Replayed(_)
            | Self::IcvMismatch => Fault::Peer,
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(e) => e.fmt(f),
            Self::TooShort => f.write_str("truncated AH header"),
            Self::LengthMismatch { octets } => {
                write!(f, "AH length mismatch: got {octets} octets, expected the length of the SA's ICV")
            }
            Self::SpiMismatch { expected, found } => write!(f, "SPI mismatch: got 0x{found:08x}, expected {expected}"),
            Self::Replayed(e) => e.fmt(f),
            Self::IcvMismatch => f.write_str("ICV verification failed"),
            Self::Mutable(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Ip(e) => Some(e),
            Self::Mutable(e) => Some(e),
            Self::Replayed(e) => Some(e),
            _ => None,
        }
    }
}
