//! ```text
//! |  next header  |     flags: 0    |  Compression Parameter Index  |
//! |  compressed payload ..                                          |
//! ```

use core::fmt;

use ipsec_packet::{Cpi, IpProto, NoSpace, PacketBuf, TooShort};

/// Length of the IPComp header in octets (RFC 3173 section 3.3).
const HEADER: usize = 4;

/// Minimum length in octets of a payload for compression to be tried (RFC 3173 section 2.2). On shorter payloads no
/// codec saves more than it costs.
pub const THRESHOLD: usize = 90;

/// Compression algorithm with its complete state. The history is cleared for each call (RFC 3173 section 2).
pub trait Compressor {
    /// Compresses `input` to the start of `output` and returns the compressed length, or `None` when it does not fit
    /// (RFC 3173 section 2).
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize>;
}

/// Decompression algorithm with its complete state, the counterpart of a [`Compressor`] (RFC 3173 section 2).
pub trait Decompressor {
    /// Error of a compressed payload.
    type Error;

    /// Decompresses `input` to the start of `output` and returns the length (RFC 3173 section 2). Octets after the end
    /// of the compressed data are ignored.
    ///
    /// # Errors
    /// Fails when `input` is malformed or truncated, or when the decompressed payload exceeds `output`.
    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, Self::Error>;

    /// Returns whether [`Self::decompress`] overwrites with zeros, before it returns an error, every octet of `output`
    /// that it has written, and leaves the others unchanged. The decompressors of this crate do; for others,
    /// [`decompress`] clears the whole tailroom.
    fn clears_on_error(&self) -> bool {
        false
    }
}

/// Result of [`compress`] (RFC 3173 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// The packet begins with an IPComp header and is smaller than before.
    Compressed {
        /// Number of octets saved, after subtraction of the IPComp header.
        saved: usize,
    },
    /// Compression does not make the packet smaller. It is unchanged and sent uncompressed (RFC 3173 section 2.2).
    NotWorthwhile,
    /// The payload is shorter than [`THRESHOLD`] and was not tried. It is sent uncompressed, and does not indicate
    /// whether the traffic is compressible.
    TooSmall,
}

/// Compresses a payload in place and prepends the IPComp header, if the result including the header is smaller (RFC
/// 3173 section 2.2). `next` is the protocol of the payload; the caller sets the protocol field of the IP header or of
/// the outer tunnel header to [`IpProto::IPCOMP`].
///
/// The tailroom serves as workspace; the length of the payload is always sufficient. Its contents are overwritten, and
/// no octet of the payload remains in it.
///
/// Stack usage: 664 bytes on a Cortex-M4 with [`crate::FixedDeflate`], 1796 with [`crate::Deflate`], measured by
/// `ci/firmware`.
///
/// # Errors
/// [`NoSpace`] when the tailroom is too small; the packet is unchanged.
//= RFC 3173 2/1
//# MUST: a datagram that was compressed and decompressed is the original one
pub fn compress(
    packet: &mut PacketBuf<'_>,
    next: IpProto,
    cpi: Cpi,
    compressor: &mut impl Compressor,
) -> Result<Compression, NoSpace> {
    let payload = packet.len();
    // A compressed payload is not compressed again (RFC 3173 section 2.1).
    //= RFC 2394 3/1
    //# SHOULD NOT: payloads of fewer than 90 octets are not compressed
    if payload < THRESHOLD {
        return Ok(Compression::TooSmall);
    }
    if next == IpProto::IPCOMP {
        return Ok(Compression::NotWorthwhile);
    }
    //= RFC 3173 2.2/1
    //# MUST: a datagram that is not smaller with IPComp header and compressed payload is sent uncompressed
    let max_len = payload.saturating_sub(HEADER).saturating_sub(1);
    packet.check_space(0, max_len)?;
    let (input, space) = packet.data_and_tailroom();
    let space = space.get_mut(..max_len).unwrap_or_default();
    let Some(len) = compressor.compress(input, space) else {
        space.fill(0); // the compressor may have written part of it
        return Ok(Compression::NotWorthwhile);
    };
    let [high, low] = cpi.get().to_be_bytes();
    //= RFC 3173 3.3/1
    //# MUST: the flags are sent as zero
    packet.replace(&[next.0, 0, high, low], len)?;
    Ok(Compression::Compressed { saved: payload.saturating_sub(packet.len()) })
}

/// Decompresses in place a packet that begins with the IPComp header, and returns the protocol of its payload (RFC 3173
/// sections 2 and 3.3).
///
/// The payload is decompressed into the tailroom, whose size therefore limits it: a decompression bomb ends in an
/// error. No octet of the payload remains in the tailroom.
///
/// Stack usage: 664 bytes on a Cortex-M4 with [`crate::Inflate`].
///
/// # Errors
/// [`DecompressError`]; the packet is unchanged.
pub fn decompress<D: Decompressor>(
    packet: &mut PacketBuf<'_>,
    cpi: Cpi,
    decompressor: &mut D,
) -> Result<IpProto, DecompressError<D::Error>> {
    let available = packet.len();
    let (input, space) = packet.data_and_tailroom();
    //= RFC 3173 3.3/2
    //# MUST: the receiver ignores the flags
    let Some((&[next, _flags, high, low], input)) = input.split_first_chunk::<HEADER>() else {
        return Err(DecompressError::TooShort(TooShort { needed: HEADER, available }));
    };
    let (next, found) = (IpProto(next), u16::from_be_bytes([high, low]));
    if found != cpi.get() {
        return Err(DecompressError::CpiMismatch { expected: cpi, found });
    }
    if next == IpProto::IPCOMP {
        return Err(DecompressError::Nested);
    }
    let len = match decompressor.decompress(input, space) {
        Ok(len) => len,
        Err(error) => {
            // Clearing all of the tailroom can cost far more than the packet, and an attacker needs no key to send
            // malformed packets.
            if !decompressor.clears_on_error() {
                space.fill(0);
            }
            return Err(DecompressError::Payload(error));
        }
    };
    packet.replace(&[], len).map_err(DecompressError::NoSpace)?;
    Ok(next)
}

/// Error of [`decompress`]; the packet is unchanged (RFC 3173 sections 2 and 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecompressError<E> {
    /// The packet is shorter than the IPComp header.
    TooShort(TooShort),
    /// The CPI is that of another IPComp association or of another algorithm.
    CpiMismatch {
        /// CPI of this IPComp association.
        expected: Cpi,
        /// CPI in the packet.
        found: u16,
    },
    /// The payload is IPComp again. No sender does this (RFC 3173 section 2.1), and it would allow a packet to cause
    /// unlimited work.
    Nested,
    /// The compressed payload is malformed, or its content is too large.
    Payload(E),
    /// The decompressor returned a length that exceeds the buffer. The decompressors of this crate never do.
    NoSpace(NoSpace),
}

impl<E: fmt::Display> fmt::Display for DecompressError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(e) => e.fmt(f),
            Self::CpiMismatch { expected, found } => write!(f, "CPI mismatch: got 0x{found:04x}, expected {expected}"),
            Self::Nested => f.write_str("nested IPComp header"),
            Self::Payload(e) => e.fmt(f),
            Self::NoSpace(e) => e.fmt(f),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for DecompressError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::TooShort(e) => Some(e),
            Self::Payload(e) => Some(e),
            Self::NoSpace(e) => Some(e),
            _ => None,
        }
    }
}
