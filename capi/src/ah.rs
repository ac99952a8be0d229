//! AH (RFC 4302).

use ah_core::{Inbound, Outbound, Profile};
use ipsec_crypto::AnyAhIntegrity;

use crate::esp::{spi, width};
use crate::memory::{clear, get, put, status};
use crate::{IpsecKey, IpsecPacket, IpsecStatus, algorithm};

/// An SA of AH that sends.
#[repr(C, align(16))]
pub struct IpsecAhOut {
    private_octets: [u8; 1024],
}

/// An SA of AH that receives, with a window of 64 packets.
#[repr(C, align(16))]
pub struct IpsecAhIn {
    private_octets: [u8; 1024],
}

/// # Safety
/// The pointer is null or good for what it is given for.
unsafe fn keyed(mac: *const IpsecKey) -> Result<AnyAhIntegrity, IpsecStatus> {
    // SAFETY: the caller's promise.
    let (mac, key) = unsafe { IpsecKey::read(mac) }?;
    Ok(AnyAhIntegrity::new(algorithm::integrity(mac)?, key)?)
}

/// Makes an SA that signs.
///
/// # Safety
/// `sa` may be written; the key is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_out_init(
    sa: *mut IpsecAhOut,
    number: u32,
    extended: bool,
    mac: *const IpsecKey,
) -> IpsecStatus {
    // SAFETY: the caller's promise.
    status(|| unsafe { put(sa, Outbound::new(spi(number)?, keyed(mac)?, width(extended), Profile::RFC)) })
}

/// Makes an SA that verifies.
///
/// # Safety
/// As [`ipsec_ah_out_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_in_init(
    sa: *mut IpsecAhIn,
    number: u32,
    extended: bool,
    mac: *const IpsecKey,
) -> IpsecStatus {
    // SAFETY: the caller's promise.
    status(|| unsafe { put(sa, Inbound::new(spi(number)?, keyed(mac)?, width(extended), Profile::RFC)) })
}

/// Signs an IP packet in place: AH goes behind its IP header (RFC 4302 3.3).
///
/// # Safety
/// `sa` was initialised, or is zero; `packet` and its buffer are good for what they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_sign(sa: *mut IpsecAhOut, packet: *mut IpsecPacket) -> IpsecStatus {
    status(|| {
        // SAFETY: the caller's promise.
        let sa = unsafe { get::<_, Outbound<AnyAhIntegrity>>(sa) }?;
        // SAFETY: the caller's promise.
        unsafe { IpsecPacket::change(packet, |packet| Ok(sa.sign(packet)?)) }?;
        Ok(())
    })
}

/// Verifies an IP packet and takes AH out of it (RFC 4302 3.4).
///
/// # Safety
/// As [`ipsec_ah_sign`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_verify(sa: *mut IpsecAhIn, packet: *mut IpsecPacket) -> IpsecStatus {
    status(|| {
        // SAFETY: the caller's promise.
        let sa = unsafe { get::<_, Inbound<AnyAhIntegrity>>(sa) }?;
        // SAFETY: the caller's promise.
        unsafe { IpsecPacket::change(packet, |packet| Ok(sa.verify(packet)?)) }?;
        Ok(())
    })
}

/// Wipes the key of an SA that signs, and ends it.
///
/// # Safety
/// `sa` was initialised, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_out_clear(sa: *mut IpsecAhOut) -> IpsecStatus {
    // SAFETY: the caller's promise.
    status(|| unsafe { clear::<_, Outbound<AnyAhIntegrity>>(sa) })
}

/// Wipes the key of an SA that verifies, and ends it.
///
/// # Safety
/// `sa` was initialised, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_in_clear(sa: *mut IpsecAhIn) -> IpsecStatus {
    // SAFETY: the caller's promise.
    status(|| unsafe { clear::<_, Inbound<AnyAhIntegrity>>(sa) })
}
