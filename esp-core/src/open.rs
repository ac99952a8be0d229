use core::fmt;

use ipsec_crypto::{EspParts, IcvMismatch, Layout, LengthError, Suite};
use ipsec_packet::{Fault, IpProto, NoSpace, PacketBuf, ReplayError, Seq, SeqWidth, Spi};

use crate::PadCheck;
use crate::header::HEADER;
use crate::seal::high_half;

/// Fields of an opened packet (RFC 4303 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Protocol number of the payload.
    pub next_header: IpProto,
    /// Sequence number of the packet, all 64 bits.
    pub seq: Seq,
    /// Length of the padding after the payload, in octets.
    pub pad_len: u8,
}

impl Opened {
    /// Returns whether the packet is a dummy packet, which is discarded silently (RFC 4303 section 2.6).
    //= RFC 4303 2.6/1
    //# MUST: next header 59 designates a dummy packet
    pub fn is_dummy(&self) -> bool {
        self.next_header == IpProto::NO_NEXT
    }
}

/// Verifies the ICV of an ESP packet and decrypts it in place (RFC 4303 section 3.4.4).
///
/// On return the buffer holds the payload without header, trailer and ICV. This function keeps no state: the caller
/// supplies the 64-bit sequence number and maintains the anti-replay window. [`crate::Inbound`] does both.
///
/// # Errors
/// [`OpenError::TooShort`], [`OpenError::Unaligned`], [`OpenError::IcvMismatch`]: the packet is unchanged.
/// [`OpenError::InvalidPadLength`], [`OpenError::InvalidPadding`]: the packet was authentic, and its plaintext was
/// wiped.
pub fn open_with<S: Suite + ?Sized>(
    suite: &S,
    seq: Seq,
    width: SeqWidth,
    check: PadCheck,
    packet: &mut PacketBuf<'_>,
) -> Result<Opened, OpenError> {
    //= RFC 4303 3.4.4.1/5
    //# MUST: integrity is verified before a decrypted packet is passed on
    decrypt(suite, high_half(seq, width), packet)?;
    strip(suite.layout(), seq, check, packet)
}

/// Length of the pad length and next header fields, in octets. The body of a packet is not shorter, as its alignment
/// is at least 4.
const TRAILER: usize = 2;

/// Verifies the ICV and decrypts; leaves the trailer in place.
pub(crate) fn decrypt<S: Suite + ?Sized>(
    suite: &S,
    seq_high: Option<[u8; 4]>,
    packet: &mut PacketBuf<'_>,
) -> Result<(), OpenError> {
    let mut parts = EspParts::split(suite.layout(), packet.data_mut(), seq_high)?;
    Ok(suite.open(&mut parts)?)
}

/// Removes header, IV, padding, trailer and ICV of a decrypted packet.
pub(crate) fn strip(
    layout: Layout,
    seq: Seq,
    check: PadCheck,
    packet: &mut PacketBuf<'_>,
) -> Result<Opened, OpenError> {
    let (front, back) = (HEADER.saturating_add(layout.iv_len()), packet.len().saturating_sub(layout.icv_len()));
    let body = packet.data_mut().get_mut(front..back).ok_or(OpenError::TooShort)?;
    let payload = Payload::find(body, check)?;
    Ok(payload.keep(layout, seq, packet))
}

/// Payload of a decrypted packet.
#[derive(Clone, Copy)]
pub(crate) struct Payload {
    len: usize,
    next_header: IpProto,
    pad_len: u8,
}

impl Payload {
    /// Finds the payload in a decrypted body, which is wiped if its padding is invalid.
    #[inline(always)]
    pub(crate) fn find(body: &mut [u8], check: PadCheck) -> Result<Self, OpenError> {
        let Some((rest, &[pad_len, next_header])) = body.split_last_chunk::<TRAILER>() else {
            return Err(OpenError::TooShort);
        };
        let Some(len) = rest.len().checked_sub(pad_len.into()) else {
            body.fill(0);
            return Err(OpenError::InvalidPadLength { pad_len });
        };
        //= RFC 4303 2.4/3
        //# SHOULD: the receiver inspects the default padding
        if !check.passes(rest.get(len..).unwrap_or_default()) {
            body.fill(0);
            return Err(OpenError::InvalidPadding);
        }
        Ok(Self { len, next_header: IpProto(next_header), pad_len })
    }

    /// Removes header, IV, padding, trailer and ICV of the packet.
    //= RFC 4303 2.4/1
    //# MUST: padding can be generated and consumed
    #[inline(always)]
    pub(crate) fn keep(self, layout: Layout, seq: Seq, packet: &mut PacketBuf<'_>) -> Opened {
        let front = HEADER.saturating_add(layout.iv_len());
        packet.truncate(front.saturating_add(self.len));
        let pulled = packet.pull_front(front);
        debug_assert!(pulled.is_ok(), "the packet was split with this layout");
        Opened { next_header: self.next_header, seq, pad_len: self.pad_len }
    }
}

/// Reason why a packet was not opened (RFC 4303 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The packet is shorter than header, IV, trailer and ICV together.
    TooShort,
    /// The length of the ciphertext is not a multiple of the block size, or of 4 octets.
    Unaligned,
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
    /// The pad length exceeds the decrypted octets. If the suite has an ICV, it was verified.
    InvalidPadLength {
        /// Value of the pad length field.
        pad_len: u8,
    },
    /// The padding octets are not 1, 2, 3 and so on. If the suite has an ICV, it was verified.
    InvalidPadding,
    /// The output buffer is too small.
    NoSpace(NoSpace),
    /// A slot of a batch has an index without an SA.
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

impl OpenError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NoSpace(_) | Self::NoSa(_) => Fault::Caller,
            Self::TooShort
            | Self::Unaligned
            | Self::SpiMismatch { .. }
            | Self::Replayed(_)
            | Self::IcvMismatch
            | Self::InvalidPadLength { .. }
            | Self::InvalidPadding => Fault::Peer,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("ESP packet too short"),
            Self::Unaligned => f.write_str("ciphertext length is not a multiple of the block size"),
            Self::SpiMismatch { expected, found } => write!(f, "SPI mismatch: got 0x{found:08x}, expected {expected}"),
            Self::Replayed(e) => e.fmt(f),
            Self::IcvMismatch => f.write_str("ICV verification failed"),
            Self::InvalidPadLength { pad_len } => {
                write!(f, "invalid ESP padding: pad length {pad_len} exceeds the payload")
            }
            Self::InvalidPadding => f.write_str("invalid ESP padding"),
            Self::NoSpace(e) => e.fmt(f),
            Self::NoSa(index) => write!(f, "batch has no SA {index}"),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Replayed(e) => Some(e),
            Self::NoSpace(e) => Some(e),
            _ => None,
        }
    }
}
