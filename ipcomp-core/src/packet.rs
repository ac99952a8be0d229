//! ```text
//! |  next header  |     flags: 0    |  Compression Parameter Index  |
//! |  compressed payload ..                                          |
//! ```

use core::fmt;

use ipsec_packet::{Cpi, IpProto, NoSpace, PacketBuf, TooShort};

/// Octets of the IPComp header (RFC 3173 3.3).
const HEADER: usize = 4;

/// Payloads of fewer octets are not worth a try (RFC 3173 2.2): below it, no codec gains more than it costs.
pub const THRESHOLD: usize = 90;

/// A compression algorithm with its whole state. History is cleared for each call (RFC 3173 2).
pub trait Compressor {
    /// Compresses `input` to the front of `output` and returns the length; `None` when it does not fit there (RFC 3173 2).
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize>;
}

/// The reverse of a [`Compressor`] (RFC 3173 2).
pub trait Decompressor {
    /// What is wrong with a compressed payload.
    type Error;

    /// Decompresses `input` to the front of `output` and returns the length (RFC 3173 2). Octets behind the end of the compressed
    /// data are ignored.
    ///
    /// # Errors
    /// When `input` is malformed, ends early, or gives more than `output` holds.
    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, Self::Error>;

    /// Whether [`Self::decompress`] overwrites with zeros, before it returns an error, every octet of `output` that it has written, and
    /// leaves the others as they were. The decompressors of this crate do; [`decompress`] clears all of the tailroom for others.
    fn clears_on_error(&self) -> bool {
        false
    }
}

/// What came of an attempt to compress (RFC 3173 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// The packet is smaller by so many octets, header counted, and begins with an IPComp header.
    Shrunk {
        /// Octets saved.
        saved: usize,
    },
    /// It is to be sent as it is (RFC 3173 2.2); unchanged.
    NotWorthwhile,
    /// Too small to be tried: to be sent as it is, and no sign of what the traffic is like.
    TooSmall,
}

/// Compresses a payload in place and puts the IPComp header in front of it, if that makes it smaller (RFC 3173 2.2: the
/// header counts). `next` is what the payload is; the IP header or the outer tunnel then says [`IpProto::IPCOMP`].
///
/// The tailroom serves as work space: as much as the payload is always enough. What was in it is lost, and nothing of the
/// payload is left in it.
///
/// Stack: 664 octets on Cortex-M4 with [`crate::FixedDeflate`], 1796 with [`crate::Deflate`], as `ci/firmware` measures it.
///
/// # Errors
/// [`NoSpace`] when there is less; the packet is unchanged.
//= RFC 3173 2/1
pub fn compress(
    packet: &mut PacketBuf<'_>,
    next: IpProto,
    cpi: Cpi,
    compressor: &mut impl Compressor,
) -> Result<Compression, NoSpace> {
    let payload = packet.len();
    // What is compressed already is not compressed again (RFC 3173 2.1).
    //= RFC 2394 3/1
    if payload < THRESHOLD {
        return Ok(Compression::TooSmall);
    }
    if next == IpProto::IPCOMP {
        return Ok(Compression::NotWorthwhile);
    }
    //= RFC 3173 2.2/1
    let most = payload.saturating_sub(HEADER).saturating_sub(1);
    packet.check_space(0, most)?;
    let (input, space) = packet.data_and_tailroom();
    let space = space.get_mut(..most).unwrap_or_default();
    let Some(len) = compressor.compress(input, space) else {
        space.fill(0); // as far as it came
        return Ok(Compression::NotWorthwhile);
    };
    let [high, low] = cpi.get().to_be_bytes();
    //= RFC 3173 3.3/1
    packet.replace(&[next.0, 0, high, low], len)?;
    Ok(Compression::Shrunk { saved: payload.saturating_sub(packet.len()) })
}

/// Decompresses a packet that begins with the IPComp header in place, and says what the payload is (RFC 3173 2, 3.3).
///
/// The tailroom holds the payload while it grows, so it limits it: a bomb ends in an error. Nothing of the payload is left in it.
///
/// Stack: 664 octets on Cortex-M4 with [`crate::Inflate`].
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
    let Some((&[next, _flags, high, low], input)) = input.split_first_chunk::<HEADER>() else {
        return Err(DecompressError::TooShort(TooShort { needed: HEADER, available }));
    };
    let (next, found) = (IpProto(next), u16::from_be_bytes([high, low]));
    if found != cpi.get() {
        return Err(DecompressError::WrongCpi { expected: cpi, found });
    }
    if next == IpProto::IPCOMP {
        return Err(DecompressError::Nested);
    }
    let len = match decompressor.decompress(input, space) {
        Ok(len) => len,
        Err(refused) => {
            // The tailroom may be much longer than the packet, and packets that are refused need no key.
            if !decompressor.clears_on_error() {
                space.fill(0);
            }
            return Err(DecompressError::Payload(refused));
        }
    };
    packet.replace(&[], len).map_err(DecompressError::NoSpace)?;
    Ok(next)
}

/// Why a packet was not decompressed (RFC 3173 2, 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecompressError<E> {
    /// Shorter than the header.
    TooShort(TooShort),
    /// It belongs to another association or names another algorithm.
    WrongCpi {
        /// The CPI of this association.
        expected: Cpi,
        /// The one in the packet.
        found: u16,
    },
    /// IPComp in IPComp, which no sender makes (RFC 3173 2.1) and which would let a packet work without end.
    Nested,
    /// The compressed payload is malformed or too large.
    Payload(E),
    /// The decompressor claims to have written more than there was room for, as none of this crate does.
    NoSpace(NoSpace),
}

impl<E: fmt::Display> fmt::Display for DecompressError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(e) => e.fmt(f),
            Self::WrongCpi { expected, found } => write!(f, "cpi 0x{found:04x} where {expected} belongs"),
            Self::Nested => f.write_str("ipcomp in ipcomp"),
            Self::Payload(e) => e.fmt(f),
            Self::NoSpace(e) => e.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for DecompressError<E> {}
