use core::fmt;

use ipsec_crypto::{EspParts, Layout, LengthError, Suite};
use ipsec_packet::{IpProto, NoSpace, PacketBuf, Seq, SeqWidth, SequenceExhausted, Spi};

use crate::header::HEADER;
use crate::size::overhead;
use crate::{Padding, header, padding};

/// What the envelope of one packet says (RFC 4303 2).
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// The SA.
    pub spi: Spi,
    /// The number of this packet, never used before under the SA's keys.
    pub seq: Seq,
    /// Whether the high half of the number is authenticated, too.
    pub width: SeqWidth,
    /// What the payload is.
    pub next_header: IpProto,
    /// How it is padded.
    pub padding: Padding,
}

/// Seals one packet in place: what was data becomes the payload of an ESP packet (RFC 4303 3.3.2).
///
/// Pure: the caller answers for the number and the IV. [`crate::Outbound`] is the one that cannot repeat them.
///
/// # Errors
/// [`SealError::NoSpace`] when head- or tailroom is smaller than [`overhead`] says, [`SealError::IvLength`],
/// [`SealError::TooLong`] when ESP would exceed 65535 octets. The packet is unchanged.
pub fn seal_with<S: Suite + ?Sized>(
    suite: &S,
    envelope: &Envelope,
    iv: &[u8],
    packet: &mut PacketBuf<'_>,
) -> Result<(), SealError> {
    suite.seal(&mut frame(suite.layout(), envelope, iv, packet)?);
    Ok(())
}

/// Puts everything around a payload that needs no key: header, IV, padding, trailer, and room for the ICV.
pub(crate) fn frame<'p>(
    layout: Layout,
    envelope: &Envelope,
    iv: &[u8],
    packet: &'p mut PacketBuf<'_>,
) -> Result<EspParts<'p>, SealError> {
    let payload = packet.len();
    let room = overhead(layout, envelope.padding, payload);
    let total = payload.saturating_add(room.total());
    if iv.len() != layout.iv {
        return Err(SealError::IvLength { needed: layout.iv, given: iv.len() });
    }
    if total > usize::from(u16::MAX) {
        return Err(SealError::TooLong(total));
    }
    layout.body_of(total).map_err(SealError::Layout)?;
    packet.check_space(room.front, room.back)?;

    let (spi, seq) = (envelope.spi.to_be_bytes(), envelope.seq.low());
    if let Some((fixed, carried)) = packet.push_front(room.front)?.split_first_chunk_mut::<HEADER>() {
        //= RFC 4303 2.2/2
        *fixed = header::write(spi, seq);
        if carried.len() == iv.len() {
            carried.copy_from_slice(iv);
        }
    }
    let tfc = envelope.padding.tfc(payload);
    let pad = envelope.padding.len(layout, payload.saturating_add(tfc));
    //= RFC 4303 2.7/2
    let (zeros, rest) = packet.push_back(room.back)?.split_at_mut_checked(tfc).unwrap_or_default();
    //= RFC 4303 2.7/1
    zeros.fill(0);
    let (padding, rest) = rest.split_at_mut_checked(pad.into()).unwrap_or_default();
    padding::write(padding);
    //= RFC 4303 2.6/4
    if let Some(trailer) = rest.first_chunk_mut() {
        *trailer = [pad, envelope.next_header.0];
    }
    EspParts::split(layout, packet.data_mut(), high_half(envelope.seq, envelope.width)).map_err(SealError::Layout)
}

/// The half of the number that is authenticated without being sent.
//= RFC 4303 2.2.1/1
pub(crate) fn high_half(seq: Seq, width: SeqWidth) -> Option<[u8; 4]> {
    match width {
        SeqWidth::Bits32 => None,
        SeqWidth::Extended64 => Some(seq.high()),
    }
}

/// Why a packet was not sealed (RFC 4303 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// Every number of the SA was used: a new SA is due (RFC 4303 3.3.3).
    SequenceExhausted,
    /// The buffer has too little room around the packet.
    NoSpace(NoSpace),
    /// The ESP packet would have so many octets, more than IP can carry.
    TooLong(usize),
    /// The IV has the wrong length, in octets.
    IvLength {
        /// What the suite asks for.
        needed: usize,
        /// What was given.
        given: usize,
    },
    /// The suite's layout contradicts itself, as no suite of `ipsec-crypto` does.
    Layout(LengthError),
    /// Of a batch: there is no SA of this index.
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

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SequenceExhausted => f.write_str("sequence numbers exhausted"),
            Self::NoSpace(e) => e.fmt(f),
            Self::TooLong(octets) => write!(f, "esp packet of {octets} octets"),
            Self::IvLength { needed, given } => write!(f, "iv of {given} octets, {needed} needed"),
            Self::Layout(e) => write!(f, "the suite's layout contradicts itself: {e}"),
            Self::NoSa(index) => write!(f, "no sa {index} in the batch"),
        }
    }
}

impl core::error::Error for SealError {}
