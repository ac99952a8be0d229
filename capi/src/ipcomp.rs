//! C functions of IPComp with DEFLATE (RFC 3173, RFC 2394).

use ipcomp_core::{Compression, DecompressError, FixedDeflate, Inflate, compress, decompress};
use ipsec_packet::{Cpi, IpProto};

use crate::memory::{get, one, put, status};
use crate::{IpsecPacket, IpsecStatus};

/// Working memory of compressor and decompressor. It keeps no state from one packet to the next. The contents are
/// private; initialise it with `ipsec_deflate_init`.
#[repr(C, align(16))]
pub struct IpsecDeflate {
    private_octets: [u8; 5344],
}

type State = (FixedDeflate, Inflate);

/// Initialises the working memory of compressor and decompressor.
///
/// # Safety
/// `state` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_deflate_init(state: *mut IpsecDeflate) -> IpsecStatus {
    // SAFETY: guaranteed by the caller.
    status(|| unsafe { put(state, (FixedDeflate::new(), Inflate::new())) })
}

/// Compresses a payload with protocol number `next_header` in place, if that makes it smaller (RFC 3173 section 2.2).
/// The octets after it in the buffer are overwritten; space of the size of the payload always suffices.
/// [`IpsecStatus::NotWorthwhile`] leaves the payload unchanged.
///
/// # Safety
/// `state` is null, initialised, or filled with zeros. `packet` is null or valid, and its buffer is valid for `size`
/// octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ipcomp_compress(
    state: *mut IpsecDeflate,
    packet: *mut IpsecPacket,
    next_header: u8,
    cpi: u16,
) -> IpsecStatus {
    status(|| {
        let cpi = Cpi::new(cpi).map_err(|_| IpsecStatus::Reserved)?;
        // SAFETY: guaranteed by the caller.
        let (deflate, _) = unsafe { get::<_, State>(state) }?;
        // SAFETY: guaranteed by the caller.
        unsafe {
            IpsecPacket::change(packet, |packet| match compress(packet, IpProto(next_header), cpi, deflate) {
                Ok(Compression::Compressed { .. }) => Ok(()),
                Ok(_) => Err(IpsecStatus::NotWorthwhile),
                Err(_) => Err(IpsecStatus::NoSpace),
            })
        }
    })
}

/// Decompresses a packet that begins with an IPComp header, and stores the protocol number of its payload in
/// `next_header`.
///
/// # Safety
/// The requirements are those of [`ipsec_ipcomp_compress`], and `next_header` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ipcomp_decompress(
    state: *mut IpsecDeflate,
    packet: *mut IpsecPacket,
    cpi: u16,
    next_header: *mut u8,
) -> IpsecStatus {
    status(|| {
        let cpi = Cpi::new(cpi).map_err(|_| IpsecStatus::Reserved)?;
        // SAFETY: guaranteed by the caller.
        let ((_, inflate), next_header) = unsafe { (get::<_, State>(state)?, one(next_header)?) };
        // SAFETY: guaranteed by the caller.
        let next = unsafe {
            IpsecPacket::change(packet, |packet| {
                decompress(packet, cpi, inflate).map_err(|error| match error {
                    DecompressError::TooShort(_) => IpsecStatus::TooShort,
                    DecompressError::CpiMismatch { .. } => IpsecStatus::SpiMismatch,
                    _ => IpsecStatus::Malformed,
                })
            })
        }?;
        *next_header = next.0;
        Ok(())
    })
}
