//! C functions of AH (RFC 4302).

use ah_core::{Inbound, Outbound, Profile};
use ipsec_crypto::AnyAhIntegrity;

use crate::esp::{spi, width};
use crate::memory::{clear, get, put, status};
use crate::{IpsecKey, IpsecPacket, IpsecStatus, algorithm};

/// Outbound SA of AH. The contents are private; initialise it with `ipsec_ah_out_init`.
#[repr(C, align(16))]
pub struct IpsecAhOut {
    private_octets: [u8; 1024],
}

/// Inbound SA of AH with an anti-replay window of 64 packets. The contents are private; initialise it with
/// `ipsec_ah_in_init`.
#[repr(C, align(16))]
pub struct IpsecAhIn {
    private_octets: [u8; 1024],
}

/// Creates the integrity algorithm of an SA.
///
/// # Safety
/// The pointer is null or points to a valid key.
unsafe fn keyed(mac: *const IpsecKey) -> Result<AnyAhIntegrity, IpsecStatus> {
    // SAFETY: guaranteed by the caller.
    let (mac, key) = unsafe { IpsecKey::read(mac) }?;
    Ok(AnyAhIntegrity::new(algorithm::integrity(mac)?, key)?)
}

/// Initialises an outbound SA of AH with SPI `number` (at least 256). `extended` selects extended sequence numbers
/// (ESN).
///
/// # Safety
/// `sa` is null or valid for writes, `mac` is null or points to a valid key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_out_init(
    sa: *mut IpsecAhOut,
    number: u32,
    extended: bool,
    mac: *const IpsecKey,
) -> IpsecStatus {
    // SAFETY: guaranteed by the caller.
    status(|| unsafe { put(sa, Outbound::new(spi(number)?, keyed(mac)?, width(extended), Profile::RFC)) })
}

/// Initialises an inbound SA of AH with SPI `number` (at least 256). `extended` selects extended sequence numbers
/// (ESN).
///
/// # Safety
/// The requirements are those of [`ipsec_ah_out_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_in_init(
    sa: *mut IpsecAhIn,
    number: u32,
    extended: bool,
    mac: *const IpsecKey,
) -> IpsecStatus {
    // SAFETY: guaranteed by the caller.
    status(|| unsafe { put(sa, Inbound::new(spi(number)?, keyed(mac)?, width(extended), Profile::RFC)) })
}

/// Signs an IP packet in place: inserts AH after the IP header (RFC 4302 section 3.3).
///
/// # Safety
/// `sa` is null, initialised, or filled with zeros. `packet` is null or valid, and its buffer is valid for `size`
/// octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_sign(sa: *mut IpsecAhOut, packet: *mut IpsecPacket) -> IpsecStatus {
    status(|| {
        // SAFETY: guaranteed by the caller.
        let sa = unsafe { get::<_, Outbound<AnyAhIntegrity>>(sa) }?;
        // SAFETY: guaranteed by the caller.
        unsafe { IpsecPacket::change(packet, |packet| Ok(sa.sign(packet)?)) }?;
        Ok(())
    })
}

/// Verifies an IP packet in place and removes AH from it (RFC 4302 section 3.4). Mutable IPv4 options, which the ICV
/// does not cover, are replaced.
///
/// # Safety
/// The requirements are those of [`ipsec_ah_sign`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_verify(sa: *mut IpsecAhIn, packet: *mut IpsecPacket) -> IpsecStatus {
    status(|| {
        // SAFETY: guaranteed by the caller.
        let sa = unsafe { get::<_, Inbound<AnyAhIntegrity>>(sa) }?;
        // SAFETY: guaranteed by the caller.
        unsafe {
            IpsecPacket::change(packet, |packet| {
                sa.verify(packet)?;
                // The ICV does not cover these options.
                ah_core::replace_mutable_options(packet.data_mut()).map_err(|_| IpsecStatus::Malformed)
            })
        }
    })
}

/// Wipes an outbound SA with its key. It must be initialised again before it is used.
///
/// # Safety
/// `sa` is null, initialised, or filled with zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_out_clear(sa: *mut IpsecAhOut) -> IpsecStatus {
    // SAFETY: guaranteed by the caller.
    status(|| unsafe { clear::<_, Outbound<AnyAhIntegrity>>(sa) })
}

/// Wipes an inbound SA with its key. It must be initialised again before it is used.
///
/// # Safety
/// `sa` is null, initialised, or filled with zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_ah_in_clear(sa: *mut IpsecAhIn) -> IpsecStatus {
    // SAFETY: guaranteed by the caller.
    status(|| unsafe { clear::<_, Inbound<AnyAhIntegrity>>(sa) })
}
