use core::fmt;

use ipsec_crypto::{AhIntegrity, Icv};
use ipsec_packet::{
    DestinationOptions, Fault, HeaderPosition, Ip, IpError, IpProto, NoSpace, PacketBuf, Seq, SeqWidth,
    SequenceExhausted, Spi, adjust_length, close_gap, open_gap, transport_position,
};
use zerocopy::IntoBytes;
use zerocopy::byteorder::network_endian::U32;

use crate::header::{HEADER, Header};
use crate::{MutableError, Profile, immutable_view};

/// Parameters of one packet (RFC 4302 section 2).
#[derive(Clone, Copy, Debug)]
pub struct SignParams {
    /// SPI of the SA.
    pub spi: Spi,
    /// Sequence number of the packet, which was never used before under the key of the SA.
    pub seq: Seq,
    /// Width of the sequence number. With ESN the high half is authenticated, too.
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

/// Signs one IP packet in place: AH is inserted behind its IP header (RFC 4302 section 3.1.1), whose lengths and
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
    let gap = packet.data_mut().get_mut(place.at..).and_then(|rest| rest.get_mut(..len)).unwrap_or_default();
    gap.fill(0);
    let iv = iv.get(..integrity.iv_len()).unwrap_or_default();
    gap.iter_mut().zip(header.as_bytes().iter().chain(iv)).for_each(|(to, from)| *to = *from);

    let tag = match icv(integrity, packet.data(), place, len, envelope.seq, envelope.width, envelope.profile) {
        Ok(tag) => tag,
        Err(e) => {
            close_gap(packet, place, len, place.next)?;
            return Err(e.into());
        }
    };
    let at = place.at.saturating_add(HEADER).saturating_add(integrity.iv_len());
    let field = packet.data_mut().get_mut(at..).unwrap_or_default();
    field.iter_mut().zip(tag.as_slice()).for_each(|(to, from)| *to = *from);
    Ok(())
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
    let (ah, payload) = whole.get(place.at..).and_then(|rest| rest.split_at_checked(len)).unwrap_or_default();
    let (fixed, field) = ah.split_at_checked(HEADER.saturating_add(integrity.iv_len())).unwrap_or_default();
    let tag_len = integrity.field_len().saturating_sub(integrity.iv_len());
    let (tag, padding) = field.split_at_checked(tag_len).unwrap_or_default();
    let iv = fixed.last_chunk().copied().unwrap_or_default();
    let mut seen = Ok(());
    let computed = integrity.authenticate(iv, |absorb| {
        seen = immutable_view(&ip, place.at, profile, absorb);
        absorb(fixed);
        absorb(ZEROS.get(..tag.len()).unwrap_or_default());
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

const ZEROS: [u8; ipsec_crypto::MAX_ICV] = [0; ipsec_crypto::MAX_ICV];

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
    /// Returns whose fault the error is.
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
            Self::IcvLength => f.write_str("ICV does not fit into AH"),
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
