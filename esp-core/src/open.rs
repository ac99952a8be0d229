use core::fmt;

use ipsec_crypto::{EspParts, IcvMismatch, Layout, LengthError, Suite, Verification};
use ipsec_packet::{IpProto, NoSpace, PacketBuf, ReplayError, Seq, SeqWidth, Spi};

use crate::PadCheck;
use crate::header::HEADER;
use crate::seal::high_half;

/// What an opened packet says (RFC 4303 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// What the payload is.
    pub next_header: IpProto,
    /// The whole number of the packet.
    pub seq: Seq,
    /// Octets of padding that were behind the payload.
    pub pad_len: u8,
}

impl Opened {
    /// Whether this is a dummy that hides the traffic of an SA, to be dropped in silence (RFC 4303 2.6).
    //= RFC 4303 2.6/1
    pub fn is_dummy(&self) -> bool {
        self.next_header == IpProto::NO_NEXT
    }
}

/// Authenticates and decrypts one packet in place: what was ESP becomes its payload (RFC 4303 3.4.4).
///
/// Pure: the caller answers for the number, its high half included, and for the replay window. [`crate::Inbound`] keeps
/// both.
///
/// # Errors
/// [`OpenError::TooShort`], [`OpenError::Unaligned`], [`OpenError::IcvMismatch`]: the packet is unchanged.
/// [`OpenError::BadPadLength`], [`OpenError::BadPadding`]: it was authentic, and its plaintext was wiped.
pub fn open_with<S: Suite + ?Sized>(
    suite: &S,
    seq: Seq,
    width: SeqWidth,
    check: PadCheck,
    packet: &mut PacketBuf<'_>,
) -> Result<Opened, OpenError> {
    //= RFC 4303 3.4.4.1/5
    decrypt(suite, seq, width, packet, Verification::default())?;
    strip(suite.layout(), seq, check, packet)
}

/// Octets of pad length and next header.
const TRAILER: usize = 2;

/// The part that a forged packet does not pass.
pub(crate) fn decrypt<S: Suite + ?Sized>(
    suite: &S,
    seq: Seq,
    width: SeqWidth,
    packet: &mut PacketBuf<'_>,
    verdict: Verification,
) -> Result<(), OpenError> {
    let mut parts = EspParts::split(suite.layout(), packet.data_mut(), high_half(seq, width))?;
    if parts.body().len() < TRAILER {
        return Err(OpenError::TooShort);
    }
    Ok(suite.open_verified(&mut parts, verdict)?)
}

/// Takes header, IV, padding, trailer and ICV off a decrypted packet.
pub(crate) fn strip(
    layout: Layout,
    seq: Seq,
    check: PadCheck,
    packet: &mut PacketBuf<'_>,
) -> Result<Opened, OpenError> {
    let front = HEADER.saturating_add(layout.iv);
    let body_end = packet.len().saturating_sub(layout.icv);
    let body = packet.data_mut().get_mut(front..body_end).unwrap_or_default();
    let Some((rest, &[pad_len, next_header])) = body.split_last_chunk::<2>() else { return Err(OpenError::TooShort) };
    let Some(pad_at) = rest.len().checked_sub(pad_len.into()) else {
        body.fill(0);
        return Err(OpenError::BadPadLength { pad_len });
    };
    //= RFC 4303 2.4/3
    if !check.passes(rest.get(pad_at..).unwrap_or_default()) {
        body.fill(0);
        return Err(OpenError::BadPadding);
    }
    //= RFC 4303 2.4/1
    packet.truncate(front.saturating_add(pad_at));
    packet.pull_front(front).map_err(|_| OpenError::TooShort)?;
    Ok(Opened { next_header: IpProto(next_header), seq, pad_len })
}

/// Why a packet was not opened (RFC 4303 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Shorter than header, IV, trailer and ICV together.
    TooShort,
    /// What was encrypted is not whole blocks, or not whole words of 4 octets.
    Unaligned,
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
    /// The pad length is larger than what was encrypted. Where there is an ICV, it held.
    BadPadLength {
        /// The length it claims.
        pad_len: u8,
    },
    /// The padding is not 1, 2, 3 .. Where there is an ICV, it held.
    BadPadding,
    /// The buffer to open it into is too small.
    NoSpace(NoSpace),
    /// Of a batch: there is no SA of this index.
    NoSa(usize),
}

impl From<LengthError> for OpenError {
    fn from(e: LengthError) -> Self {
        match e {
            LengthError::TooShort => Self::TooShort,
            LengthError::Unaligned => Self::Unaligned,
        }
    }
}

impl From<IcvMismatch> for OpenError {
    fn from(_: IcvMismatch) -> Self {
        Self::IcvMismatch
    }
}

impl From<ReplayError> for OpenError {
    fn from(e: ReplayError) -> Self {
        Self::Replayed(e)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("esp packet too short"),
            Self::Unaligned => f.write_str("encrypted body is not whole blocks"),
            Self::WrongSpi { expected, found } => write!(f, "spi 0x{found:08x} where {expected} belongs"),
            Self::Replayed(e) => e.fmt(f),
            Self::IcvMismatch => f.write_str("icv does not hold"),
            Self::BadPadLength { pad_len } => write!(f, "pad length {pad_len} exceeds the payload"),
            Self::BadPadding => f.write_str("padding is not 1, 2, 3 .."),
            Self::NoSpace(e) => e.fmt(f),
            Self::NoSa(index) => write!(f, "no sa {index} in the batch"),
        }
    }
}

impl core::error::Error for OpenError {}
