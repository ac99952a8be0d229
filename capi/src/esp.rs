//! ESP (RFC 4303).

use esp_core::{Inbound, Outbound};
use ipsec_crypto::AnySuite;
use ipsec_packet::{IpProto, Seq, SeqWidth, Spi};

use crate::memory::{clear, get, octets, one, put, status};
use crate::{IpsecKey, IpsecPacket, IpsecStatus, algorithm};

/// An SA of ESP that sends.
#[repr(C, align(16))]
pub struct IpsecEspOut {
    private_octets: [u8; 4736],
}

/// An SA of ESP that receives, with a window of 64 packets.
#[repr(C, align(16))]
pub struct IpsecEspIn {
    private_octets: [u8; 4736],
}

/// # Safety
/// The pointers are null or good for what they are given for.
unsafe fn suite(cipher: *const IpsecKey, mac: *const IpsecKey) -> Result<AnySuite, IpsecStatus> {
    // SAFETY: the caller's promise.
    let (cipher, mac) = unsafe { (IpsecKey::read(cipher)?, IpsecKey::read(mac)?) };
    Ok(AnySuite::from_slices(algorithm::cipher(cipher.0)?, cipher.1, algorithm::integrity(mac.0)?, mac.1)?)
}

pub(crate) fn spi(value: u32) -> Result<Spi, IpsecStatus> {
    Spi::new(value).map_err(|_| IpsecStatus::Reserved)
}

pub(crate) const fn width(extended: bool) -> SeqWidth {
    if extended { SeqWidth::Extended64 } else { SeqWidth::Bits32 }
}

/// Makes an SA that sends, its numbers from 1, extended (ESN) or not. `mac` is of `IPSEC_MAC_NONE` with ciphers that bring their own.
///
/// # Safety
/// `sa` may be written; the keys are good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_out_init(
    sa: *mut IpsecEspOut,
    number: u32,
    extended: bool,
    cipher: *const IpsecKey,
    mac: *const IpsecKey,
) -> IpsecStatus {
    // SAFETY: the caller's promise.
    status(|| unsafe { put(sa, Outbound::new(spi(number)?, suite(cipher, mac)?, width(extended))) })
}

/// Makes an SA that receives.
///
/// # Safety
/// As [`ipsec_esp_out_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_in_init(
    sa: *mut IpsecEspIn,
    number: u32,
    extended: bool,
    cipher: *const IpsecKey,
    mac: *const IpsecKey,
) -> IpsecStatus {
    // SAFETY: the caller's promise.
    status(|| unsafe { put(sa, Inbound::new(spi(number)?, suite(cipher, mac)?, width(extended))) })
}

/// Seals a payload in place (RFC 4303 3.3): the packet becomes ESP. `random` are octets that nobody can foretell, as many as an IV at
/// least (16 are always enough); a suite that counts its IVs does not look at them.
///
/// # Safety
/// `sa` was initialised, or is zero; `packet` and its buffer, and `random`, are good for what they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_seal(
    sa: *mut IpsecEspOut,
    packet: *mut IpsecPacket,
    next_header: u8,
    random: *const u8,
    random_len: usize,
) -> IpsecStatus {
    status(|| {
        // SAFETY: the caller's promise.
        let (sa, random) = unsafe { (get::<_, Outbound<AnySuite>>(sa)?, octets(random, random_len)?) };
        let layout = ipsec_crypto::Suite::layout(sa.suite());
        if layout.iv_rule == ipsec_crypto::IvRule::Unpredictable && random.len() < layout.iv {
            return Err(IpsecStatus::Iv);
        }
        let mut fill = |_: Seq, iv: &mut [u8]| iv.iter_mut().zip(random).for_each(|(to, from)| *to = *from);
        // SAFETY: the caller's promise.
        unsafe { IpsecPacket::change(packet, |packet| Ok(sa.seal(packet, IpProto(next_header), &mut fill)?)) }?;
        Ok(())
    })
}

/// Opens an ESP packet in place (RFC 4303 3.4): it becomes the payload, and `next_header` what that is.
///
/// # Safety
/// As [`ipsec_esp_seal`]; `next_header` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_open(
    sa: *mut IpsecEspIn,
    packet: *mut IpsecPacket,
    next_header: *mut u8,
) -> IpsecStatus {
    status(|| {
        // SAFETY: the caller's promise.
        let (sa, next_header) = unsafe { (get::<_, Inbound<AnySuite>>(sa)?, one(next_header)?) };
        // SAFETY: the caller's promise.
        let opened = unsafe { IpsecPacket::change(packet, |packet| Ok(sa.open(packet)?)) }?;
        *next_header = opened.next_header.0;
        Ok(())
    })
}

/// Wipes the keys of an SA that sends, and ends it.
///
/// # Safety
/// `sa` was initialised, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_out_clear(sa: *mut IpsecEspOut) -> IpsecStatus {
    // SAFETY: the caller's promise.
    status(|| unsafe { clear::<_, Outbound<AnySuite>>(sa) })
}

/// Wipes the keys of an SA that receives, and ends it.
///
/// # Safety
/// `sa` was initialised, or is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_in_clear(sa: *mut IpsecEspIn) -> IpsecStatus {
    // SAFETY: the caller's promise.
    status(|| unsafe { clear::<_, Inbound<AnySuite>>(sa) })
}
