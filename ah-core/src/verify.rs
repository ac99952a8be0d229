use core::fmt;

use ipsec_crypto::{AhIntegrity, IcvMismatch};
use ipsec_packet::{
    HeaderPosition, Ip, IpError, IpProto, PacketBuf, ReplayError, Seq, SeqWidth, Spi, check_route_finished, close_gap,
    find_header, remove_atomic_fragment_headers,
};
use zerocopy::FromBytes;

use crate::header::{HEADER, Header};
use crate::sign::icv;
use crate::{MutableError, Profile};

/// What a verified packet says (RFC 4302 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// What AH protected: the upper layer, or with [`IpProto::IPV4`] or [`IpProto::IPV6`] the inner packet of a tunnel.
    pub next_header: IpProto,
    /// The whole number of the packet.
    pub seq: Seq,
}

/// A received AH and where it is.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) place: HeaderPosition,
    pub(crate) header: Header,
}

/// Finds the outermost AH of a packet.
//= RFC 4302 2.3/2
pub(crate) fn find(packet: &[u8]) -> Result<Found, VerifyError> {
    let place = find_header(packet, IpProto::AH)?;
    let ah = Ip::parse(packet)?.packet().get(place.at..).unwrap_or_default();
    let (header, _) = Header::read_from_prefix(ah).map_err(|_| VerifyError::TooShort)?;
    Ok(Found { place, header })
}

/// Reads SPI and the low half of the number of the outermost AH, to find its SA or to show it (RFC 4302 2.4, 2.5).
///
/// # Errors
/// [`VerifyError::Ip`] when there is none, [`VerifyError::TooShort`] when it is cut off.
pub fn peek(packet: &[u8]) -> Result<(u32, u32), VerifyError> {
    find(packet).map(|Found { header, .. }| (header.spi.get(), header.seq.get()))
}

/// Verifies the outermost AH of a packet and takes it off in place; lengths and checksum of the IP header follow (RFC 4302 3.4.4).
///
/// The packet must be at its destination: a source route or routing header that is not used up is refused, as an attacker on the path can
/// turn a mutable option into one. Atomic fragment headers in front of AH, which the ICV does not cover, are removed.
///
/// Pure: the caller answers for the number, its high half included, and for the replay window. [`crate::Inbound`] keeps
/// both. The IPv4 header checksum of the received packet belongs to the IP layer and is not looked at.
///
/// # Errors
/// [`VerifyError`]; the packet is unchanged.
//= RFC 4302 5/1
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

/// The part that a forged packet does not pass.
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
        return Err(VerifyError::Length { octets: len });
    }
    if !profile.unfinished_routes {
        check_route_finished(packet, found.place.at)?;
    }
    let ah = ip.packet().get(found.place.at..).and_then(|rest| rest.get(..len)).ok_or(VerifyError::TooShort)?;
    let expected = icv(integrity, packet, found.place, len, seq, width, profile)?;
    let at = HEADER.saturating_add(integrity.iv_len());
    let carried = ah.get(at..).and_then(|field| field.get(..expected.as_slice().len()));
    //= RFC 4302 3.4.4/1
    Ok(expected.verify(carried.unwrap_or_default())?)
}

/// Takes AH off an authenticated packet.
pub(crate) fn strip(found: &Found, seq: Seq, packet: &mut PacketBuf<'_>) -> Result<Verified, VerifyError> {
    let own_length = Ip::parse(packet.data())?.packet().len();
    packet.truncate(own_length);
    let next_header = IpProto(found.header.next_header);
    close_gap(packet, found.place, found.header.len(), next_header)?;
    remove_atomic_fragment_headers(packet, found.place.at)?;
    Ok(Verified { next_header, seq })
}

/// Why a packet was not verified (RFC 4302 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is no IP packet with AH, or a fragment, which AH never covers (RFC 4302 3.4.1).
    Ip(IpError),
    /// It ends inside AH.
    TooShort,
    /// AH has so many octets, which do not fit the ICV of this SA.
    Length {
        /// What the length field says.
        octets: usize,
    },
    /// It belongs to another SA.
    WrongSpi {
        /// The SPI of this SA.
        expected: Spi,
        /// The one in the packet.
        found: u32,
    },
    /// The window refuses its number.
    Replayed(ReplayError),
    /// The ICV does not hold.
    IcvMismatch,
    /// Its options or routing header contradict themselves.
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

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(e) => e.fmt(f),
            Self::TooShort => f.write_str("ah cut off"),
            Self::Length { octets } => write!(f, "ah of {octets} octets does not fit the icv"),
            Self::WrongSpi { expected, found } => write!(f, "spi 0x{found:08x} where {expected} belongs"),
            Self::Replayed(e) => e.fmt(f),
            Self::IcvMismatch => f.write_str("icv does not hold"),
            Self::Mutable(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for VerifyError {}
