//! IPComp with DEFLATE (RFC 3173, RFC 2394).

use ipcomp_core::{Compression, DecompressError, FixedDeflate, Inflate, compress, decompress};
use ipsec_packet::{Cpi, IpProto};

use crate::memory::{get, one, put, status};
use crate::{IpsecPacket, IpsecStatus};

/// What a compressor and a decompressor need while they work; nothing in it lasts from one packet to the next.
#[repr(C, align(16))]
pub struct IpsecDeflate {
    private_octets: [u8; 5344],
}

type State = (FixedDeflate, Inflate);

/// Makes the state of a compressor.
///
/// # Safety
/// `state` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_deflate_init(state: *mut IpsecDeflate) -> IpsecStatus {
    // SAFETY: the caller's promise.
    status(|| unsafe { put(state, (FixedDeflate::new(), Inflate::new())) })
}

/// Compresses a payload in place, if that makes it smaller (RFC 3173 2.2); `next_header` is what it is. What lies behind it in the buffer
/// is overwritten: as much room as the payload is always enough. [`IpsecStatus::NotWorthwhile`] leaves it as it was.
///
/// # Safety
/// `state` was initialised, or is zero; `packet` and its buffer are good for what they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ipcomp_compress(
    state: *mut IpsecDeflate,
    packet: *mut IpsecPacket,
    next_header: u8,
    cpi: u16,
) -> IpsecStatus {
    status(|| {
        let cpi = Cpi::new(cpi).map_err(|_| IpsecStatus::Reserved)?;
        // SAFETY: the caller's promise.
        let (deflate, _) = unsafe { get::<_, State>(state) }?;
        // SAFETY: the caller's promise.
        unsafe {
            IpsecPacket::change(packet, |packet| match compress(packet, IpProto(next_header), cpi, deflate) {
                Ok(Compression::Compressed { .. }) => Ok(()),
                Ok(_) => Err(IpsecStatus::NotWorthwhile),
                Err(_) => Err(IpsecStatus::NoSpace),
            })
        }
    })
}

/// Decompresses a packet that begins with an IPComp header, and says what it is.
///
/// # Safety
/// As [`ipsec_ipcomp_compress`]; `next_header` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ipcomp_decompress(
    state: *mut IpsecDeflate,
    packet: *mut IpsecPacket,
    cpi: u16,
    next_header: *mut u8,
) -> IpsecStatus {
    status(|| {
        let cpi = Cpi::new(cpi).map_err(|_| IpsecStatus::Reserved)?;
        // SAFETY: the caller's promise.
        let ((_, inflate), next_header) = unsafe { (get::<_, State>(state)?, one(next_header)?) };
        // SAFETY: the caller's promise.
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
