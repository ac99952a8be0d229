use core::fmt;

use ipsec_crypto::{AhIntegrity, Icv, MAX_ICV};
use ipsec_packet::{
    DestinationOptions, Fault, HeaderPosition, Ip, IpError, IpProto, NoSpace, PacketBuf, Seq, SeqWidth,
    SequenceExhausted, Spi, TooShort, adjust_length, close_gap, open_gap, transport_position,
};
use zerocopy::byteorder::network_endian::U32;
use zerocopy::transmute;

use crate::header::{HEADER, Header};
use crate::{MutableError, Profile, immutable_view};

/// Parameters of one packet (RFC 4302 section 2).
#[derive(Clone, Copy, Debug)]
pub struct SignParams {
    /// SPI of the SA.
    pub spi: Spi,
    /// Sequence number of the packet, which was never used before under the key of the SA.
    pub seq: Seq,
    /// Width of the sequence number. With ESN the high half is authenticated as well.
    pub width: SeqWidth,
    /// Profile of the peer.
    pub profile: Profile,
    /// Position of AH relative to destination options.
    pub options: DestinationOptions,
}

/// Returns the number of octets that signing adds to a packet of this IP version, the headroom that it needs (RFC
/// 4302 section 2).
pub fn overhead(integrity: &impl AhIntegrity, profile: Profile, version: u8) -> usize {
    profile.header_len(version, integrity.field_len())
}

/// Signs one IP packet in place: AH is inserted after its IP header (RFC 4302 section 3.1.1), whose lengths and
/// checksum are updated. In tunnel mode the packet has the outer header already, with the inner packet as its
/// payload.
///
/// This function keeps no state: the caller guarantees that the sequence number, and the IV of AES-GMAC, do not
/// repeat. Other algorithms ignore the IV. [`crate::Outbound`] does that.
///
/// # Errors
/// [`SignError`]; the packet is unchanged.
//= RFC 4302 5/1
//# MUST: syntax and processing of AH for unicast traffic are implemented
pub fn sign_with<I: AhIntegrity>(
    integrity: &I,
    envelope: &SignParams,
    iv: [u8; 8],
    packet: &mut PacketBuf<'_>,
) -> Result<(), SignError> {
    let ip = Ip::parse(packet.data())?;
    let (version, own_length) = (if matches!(ip, Ip::V6(_)) { 6 } else { 4 }, ip.packet().len());
    let place = transport_position(packet.data(), envelope.options)?;
    // Malformed options are detected before the packet is changed.
    immutable_view(&ip, place.at, envelope.profile, &mut |_| {})?;
    let len = overhead(integrity, envelope.profile, version);
    let total = own_length.saturating_add(len);
    let carried = if version == 6 { total.saturating_sub(40) } else { total };
    if carried > usize::from(u16::MAX) {
        return Err(IpError::TooLong(total).into());
    }
    let payload_len = u8::try_from(len >> 2).ok().and_then(|words| words.checked_sub(2)).ok_or(SignError::IcvLength)?;
    if integrity.field_len().saturating_sub(integrity.iv_len()) > MAX_ICV {
        return Err(SignError::IcvLength);
    }

    packet.check_space(len, 0)?;
    packet.truncate(own_length);
    //= RFC 4302 2/1
    //# MUST: the header in front of AH names protocol 51
    open_gap(packet, place, len, IpProto::AH)?;
    adjust_length(packet.data_mut())?;
    //= RFC 4302 2.3/1
    //# MUST: the reserved field is sent as zero
    let header = Header {
        next_header: place.next.0,
        payload_len,
        reserved: [0; 2],
        spi: U32::new(envelope.spi.get()),
        seq: U32::from_bytes(envelope.seq.low()),
    };
    let iv: &[u8] = if integrity.iv_len() == 0 { &[] } else { &iv };
    if write_header(packet.data_mut(), place.at, len, &header, iv).is_none() {
        debug_assert!(false, "the gap has the length of header, IV and ICV");
        return Err(SignError::IcvLength);
    }
    let tag = match icv(integrity, packet.data(), place, len, envelope.seq, envelope.width, envelope.profile) {
        Ok(tag) => tag,
        Err(e) => {
            close_gap(packet, place, len, place.next)?;
            return Err(e.into());
        }
    };
    let at = place.at.saturating_add(HEADER).saturating_add(iv.len());
    if write_icv(packet.data_mut(), at, &tag, integrity).is_none() {
        close_gap(packet, place, len, place.next)?;
        return Err(SignError::IcvLength);
    }
    Ok(())
}

/// Writes the header of `len` octets at offset `at`, with its IV and an ICV of zeros. Returns `None` if it is longer.
#[inline(always)]
fn write_header(packet: &mut [u8], at: usize, len: usize, header: &Header, iv: &[u8]) -> Option<()> {
    let (_, rest) = packet.split_at_mut_checked(at)?;
    let (gap, _) = rest.split_at_mut_checked(len)?;
    gap.fill(0);
    let (fixed, rest) = gap.split_first_chunk_mut::<HEADER>()?;
    let (carried, _) = rest.split_at_mut_checked(iv.len())?;
    *fixed = transmute!(*header);
    carried.copy_from_slice(iv);
    Some(())
}

/// Writes the ICV at offset `at`. Returns `None` if its length is not that of the algorithm.
#[inline(always)]
fn write_icv(packet: &mut [u8], at: usize, tag: &Icv, integrity: &impl AhIntegrity) -> Option<()> {
    let tag = tag.as_slice();
    if Some(tag.len()) != integrity.field_len().checked_sub(integrity.iv_len()) {
        return None;
    }
    let (_, rest) = packet.split_at_mut_checked(at)?;
    let (field, _) = rest.split_at_mut_checked(tag.len())?;
    field.copy_from_slice(tag);
    Some(())
}

/// Computes the ICV of a packet whose AH header of `len` octets is at `place` (RFC 4302 section 3.3.3): the headers
/// in front as they arrive, AH with an ICV of zeros, the payload, and the high half of ESN.
pub(crate) fn icv<I: AhIntegrity>(
    integrity: &I,
    packet: &[u8],
    place: HeaderPosition,
    len: usize,
    seq: Seq,
    width: SeqWidth,
    profile: Profile,
) -> Result<Icv, MutableError> {
    let ip = Ip::parse(packet)?;
    let whole = ip.packet();
    //= RFC 2402 3.3/2
    //# SHOULD: an ipsec header takes no notice of those that are put on after it
    let (needed, available) = (place.at.saturating_add(len), whole.len());
    let fields = Fields::split(whole, place.at, len, integrity).ok_or(IpError::from(TooShort { needed, available }))?;
    let Fields { fixed, iv, zeros, padding, payload } = fields;
    let mut seen = Ok(());
    let computed = integrity.authenticate(iv, |absorb| {
        seen = immutable_view(&ip, place.at, profile, absorb);
        absorb(fixed);
        absorb(zeros);
        absorb(padding);
        absorb(payload);
        //= RFC 4302 2.5.1/1
        //# SHOULD: extended sequence numbers are offered
        if width == SeqWidth::Extended64 {
            absorb(&seq.high());
        }
    });
    seen.map(|()| computed)
}

/// Parts of a packet with AH that the ICV covers after the headers in front (RFC 4302 section 3.3.3).
struct Fields<'p> {
    /// Octets of the header and of the IV.
    fixed: &'p [u8],
    /// IV, or zeros for an algorithm without one.
    iv: [u8; 8],
    /// Octets in place of the ICV.
    zeros: &'static [u8],
    padding: &'p [u8],
    payload: &'p [u8],
}

impl<'p> Fields<'p> {
    /// Splits a packet whose AH header of `len` octets is at offset `at`. Returns `None` if the header or the packet is
    /// shorter.
    fn split(packet: &'p [u8], at: usize, len: usize, integrity: &impl AhIntegrity) -> Option<Self> {
        let (_, rest) = packet.split_at_checked(at)?;
        let (ah, payload) = rest.split_at_checked(len)?;
        let (fixed, field) = ah.split_at_checked(HEADER.checked_add(integrity.iv_len())?)?;
        let iv = match fixed.split_first_chunk::<HEADER>()? {
            (_, []) => [0; 8],
            (_, iv) => iv.try_into().ok()?,
        };
        let icv_len = integrity.field_len().checked_sub(integrity.iv_len())?;
        let (_, padding) = field.split_at_checked(icv_len)?;
        Some(Self { fixed, iv, zeros: ZEROS.get(..icv_len)?, padding, payload })
    }
}

const ZEROS: [u8; MAX_ICV] = [0; MAX_ICV];

/// Reason why a packet was not signed (RFC 4302 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// The sequence numbers of the SA are exhausted: the SA is to be rekeyed (RFC 4302 section 3.3.2).
    SequenceExhausted,
    /// The IP packet is malformed, a fragment, or too long, or the buffer is too small.
    Ip(IpError),
    /// The options or the routing header are malformed.
    Mutable(MutableError),
    /// The ICV of the integrity algorithm does not fit into AH; no algorithm of `ipsec-crypto` has such an ICV.
    IcvLength,
}

impl From<SequenceExhausted> for SignError {
    fn from(_: SequenceExhausted) -> Self {
        Self::SequenceExhausted
    }
}

impl From<IpError> for SignError {
    fn from(e: IpError) -> Self {
        Self::Ip(e)
    }
}

impl From<NoSpace> for SignError {
    fn from(e: NoSpace) -> Self {
        Self::Ip(e.into())
    }
}

impl From<MutableError> for SignError {
    fn from(e: MutableError) -> Self {
        Self::Mutable(e)
    }
}

impl SignError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::SequenceExhausted => Fault::Caller,
            Self::Ip(e) => e.fault(),
            Self::Mutable(e) => e.fault(),
            Self::IcvLength => Fault::Internal,
        }
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SequenceExhausted => f.write_str("sequence numbers exhausted"),
            Self::Ip(e) => e.fmt(f),
            Self::Mutable(e) => e.fmt(f),
            Self::IcvLength => f.write_str("ICV length exceeds the AH payload length field"),
        }
    }
}

impl core::error::Error for SignError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Ip(e) => Some(e),
            Self::Mutable(e) => Some(e),
            _ => None,
        }
    }
}
