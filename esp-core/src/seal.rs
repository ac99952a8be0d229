use core::fmt;

use ipsec_crypto::{EspParts, Layout, LengthError, Suite};
use ipsec_packet::{Fault, IpProto, NoSpace, PacketBuf, Seq, SeqWidth, SequenceExhausted, Spi};

use crate::header::HEADER;
use crate::size::overhead;
use crate::{Padding, header, padding};

/// Parameters of one packet (RFC 4303 section 2).
#[derive(Clone, Copy, Debug)]
pub struct SealParams {
    /// SPI of the SA.
    pub spi: Spi,
    /// Sequence number of the packet, which was never used before under the keys of the SA.
    pub seq: Seq,
    /// Width of the sequence number. With ESN the high half is authenticated as well.
    pub width: SeqWidth,
    /// Protocol number of the payload.
    pub next_header: IpProto,
    /// Padding of the payload.
    pub padding: Padding,
}

/// Seals one packet in place: the data becomes the payload of an ESP packet (RFC 4303 section 3.3.2).
///
/// This function keeps no state: the caller guarantees that sequence number and IV do not repeat. [`crate::Outbound`]
/// does that.
///
/// # Errors
/// [`SealError::NoSpace`] if head- or tailroom is smaller than [`overhead`], [`SealError::IvLength`],
/// [`SealError::TooLong`] if ESP would exceed 65,535 octets. The packet is unchanged.
pub fn seal_with<S: Suite + ?Sized>(
    suite: &S,
    envelope: &SealParams,
    iv: &[u8],
    packet: &mut PacketBuf<'_>,
) -> Result<(), SealError> {
    suite.seal(&mut frame(suite.layout(), envelope, iv, packet)?);
    Ok(())
}

/// Adds the parts that need no key: header, IV, padding, trailer, and space for the ICV.
pub(crate) fn frame<'p>(
    layout: Layout,
    envelope: &SealParams,
    iv: &[u8],
    packet: &'p mut PacketBuf<'_>,
) -> Result<EspParts<'p>, SealError> {
    let payload = packet.len();
    let tfc = envelope.padding.tfc(payload);
    let pad = envelope.padding.len(layout, payload.saturating_add(tfc));
    let room = overhead(layout, envelope.padding, payload);
    let total = payload.saturating_add(room.total());
    if iv.len() != layout.iv_len() {
        return Err(SealError::IvLength { needed: layout.iv_len(), given: iv.len() });
    }
    if total > usize::from(u16::MAX) {
        return Err(SealError::TooLong(total));
    }
    packet.check_space(room.front, room.back)?;

    let header = header::write(envelope.spi.to_be_bytes(), envelope.seq.low());
    let written = write_front(packet.push_front(room.front)?, header, iv)
        .and_then(|()| write_back(packet.push_back(room.back).ok()?, tfc, pad, envelope.next_header));
    debug_assert!(written.is_some(), "`overhead` is the sum of the fields");
    written.ok_or(SealError::Layout(LengthError::TooShort))?;
    EspParts::split(layout, packet.data_mut(), high_half(envelope.seq, envelope.width)).map_err(SealError::Layout)
}

/// Writes header and IV. Returns `None` if they are longer than `front`.
#[inline(always)]
fn write_front(front: &mut [u8], header: [u8; HEADER], iv: &[u8]) -> Option<()> {
    let (fixed, carried) = front.split_first_chunk_mut::<HEADER>()?;
    let (carried, _) = carried.split_at_mut_checked(iv.len())?;
    //= RFC 4303 2.2/2
    //# MUST: the sequence number is always present and transmitted
    *fixed = header;
    carried.copy_from_slice(iv);
    Some(())
}

/// Writes TFC padding, padding and trailer. Returns `None` if they are longer than `back`.
#[inline(always)]
fn write_back(back: &mut [u8], tfc: usize, pad: u8, next_header: IpProto) -> Option<()> {
    //= RFC 4303 2.7/2
    //# MUST NOT: length fields in the payload are changed to include TFC padding
    let (zeros, rest) = back.split_at_mut_checked(tfc)?;
    let (padding, rest) = rest.split_at_mut_checked(pad.into())?;
    let (trailer, _) = rest.split_first_chunk_mut()?;
    //= RFC 4303 2.7/1
    //# SHOULD: octets can be added between payload and padding to hide lengths
    zeros.fill(0);
    padding::write(padding);
    //= RFC 4303 2.6/4
    //# MUST: a dummy packet has every other field of header and trailer
    *trailer = [pad, next_header.0];
    Some(())
}

/// Returns the half of the sequence number that is authenticated but not transmitted.
//= RFC 4303 2.2.1/1
//# SHOULD: extended sequence numbers are implemented
pub(crate) fn high_half(seq: Seq, width: SeqWidth) -> Option<[u8; 4]> {
    match width {
        SeqWidth::Bits32 => None,
        SeqWidth::Extended64 => Some(seq.high()),
    }
}

/// Reason why a packet was not sealed (RFC 4303 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The sequence numbers of the SA are exhausted: the SA is to be rekeyed (RFC 4303 section 3.3.3).
    SequenceExhausted,
    /// The buffer has too little head- or tailroom.
    NoSpace(NoSpace),
    /// The ESP packet would have this number of octets, more than IP can carry.
    TooLong(usize),
    /// The IV has the wrong length, in octets.
    IvLength {
        /// Length that the suite requires.
        needed: usize,
        /// Length of the given IV.
        given: usize,
    },
    /// The lengths of the fields do not match that of the packet. The checks of [`Layout`] exclude it.
    Layout(LengthError),
    /// A slot of a batch has an index without an SA.
    NoSa(usize),
}

impl From<NoSpace> for SealError {
    fn from(e: NoSpace) -> Self {
        Self::NoSpace(e)
    }
}

impl From<SequenceExhausted> for SealError {
    fn from(_: SequenceExhausted) -> Self {
        Self::SequenceExhausted
    }
}

impl SealError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::SequenceExhausted | Self::NoSpace(_) | Self::TooLong(_) | Self::IvLength { .. } | Self::NoSa(_) => {
                Fault::Caller
            }
            Self::Layout(_) => Fault::Internal,
        }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SequenceExhausted => f.write_str("sequence numbers exhausted"),
            Self::NoSpace(e) => e.fmt(f),
            Self::TooLong(octets) => write!(f, "ESP packet too long: {octets} octets, at most 65535 allowed"),
            Self::IvLength { needed, given } => write!(f, "IV length mismatch: got {given} octets, expected {needed}"),
            Self::Layout(e) => write!(f, "inconsistent suite layout: {e}"),
            Self::NoSa(index) => write!(f, "batch has no SA {index}"),
        }
    }
}

impl core::error::Error for SealError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NoSpace(e) => Some(e),
            Self::Layout(e) => Some(e),
            _ => None,
        }
    }
}
