//! C functions of ESP (RFC 4303).

use esp_core::{Inbound, Outbound};
use ipsec_crypto::AnySuite;
use ipsec_packet::{IpProto, Seq, SeqWidth, Spi};

use crate::memory::{clear, get, octets, one, put, status};
use crate::{IpsecKey, IpsecPacket, IpsecStatus, algorithm};

/// Outbound SA of ESP. The contents are private; initialise it with `ipsec_esp_out_init`.
#[repr(C, align(16))]
pub struct IpsecEspOut {
    private_octets: [u8; 4736],
}

/// Inbound SA of ESP with an anti-replay window of 64 packets. The contents are private; initialise it with
/// `ipsec_esp_in_init`.
#[repr(C, align(16))]
pub struct IpsecEspIn {
    private_octets: [u8; 4736],
}

/// Creates the suite of an SA.
///
/// # Safety
/// The pointers are null or point to valid keys.
unsafe fn suite(cipher: *const IpsecKey, mac: *const IpsecKey) -> Result<AnySuite, IpsecStatus> {
    // SAFETY: guaranteed by the caller.
    let (cipher, mac) = unsafe { (IpsecKey::read(cipher)?, IpsecKey::read(mac)?) };
    Ok(AnySuite::from_slices(algorithm::cipher(cipher.0)?, cipher.1, algorithm::integrity(mac.0)?, mac.1)?)
}

pub(crate) fn spi(value: u32) -> Result<Spi, IpsecStatus> {
    Spi::new(value).map_err(|_| IpsecStatus::Reserved)
}

pub(crate) const fn width(extended: bool) -> SeqWidth {
    if extended { SeqWidth::Extended64 } else { SeqWidth::Bits32 }
}

/// Initialises an outbound SA of ESP with SPI `number` (at least 256). Its first sequence number is 1; `extended`
/// selects extended sequence numbers (ESN). For AEADs, the algorithm of `mac` must be `IPSEC_MAC_NONE`.
///
/// # Safety
/// `sa` is null or valid for writes, `cipher` and `mac` are null or point to valid keys.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_out_init(
    sa: *mut IpsecEspOut,
    number: u32,
    extended: bool,
    cipher: *const IpsecKey,
    mac: *const IpsecKey,
) -> IpsecStatus {
    // SAFETY: guaranteed by the caller.
    status(|| unsafe { put(sa, Outbound::new(spi(number)?, suite(cipher, mac)?, width(extended))) })
}

/// Initialises an inbound SA of ESP with SPI `number` (at least 256), with the parameters of `ipsec_esp_out_init`.
///
/// # Safety
/// The requirements are those of [`ipsec_esp_out_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_in_init(
    sa: *mut IpsecEspIn,
    number: u32,
    extended: bool,
    cipher: *const IpsecKey,
    mac: *const IpsecKey,
) -> IpsecStatus {
    // SAFETY: guaranteed by the caller.
    status(|| unsafe { put(sa, Inbound::new(spi(number)?, suite(cipher, mac)?, width(extended))) })
}

/// Encrypts and authenticates a payload in place, which becomes an ESP packet (RFC 4303 section 3.3). `random` points
/// to `random_len` octets from a cryptographic random number generator, new for each packet and at least as many as
/// the IV has (16 suffice for every cipher). Suites with counter-based IVs do not read them.
///
/// # Safety
/// `sa` is null, initialised, or filled with zeros. `packet` is null or valid, its buffer is valid for `size` octets,
/// and `random` is null or valid for reads of `random_len` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_seal(
    sa: *mut IpsecEspOut,
    packet: *mut IpsecPacket,
    next_header: u8,
    random: *const u8,
    random_len: usize,
) -> IpsecStatus {
    status(|| {
        // SAFETY: guaranteed by the caller.
        let (sa, random) = unsafe { (get::<_, Outbound<AnySuite>>(sa)?, octets(random, random_len)?) };
        let layout = ipsec_crypto::Suite::layout(sa.suite());
        if layout.iv_rule() == ipsec_crypto::IvRule::Unpredictable && random.len() < layout.iv_len() {
            return Err(IpsecStatus::Iv);
        }
        let mut fill = |_: Seq, iv: &mut [u8]| iv.iter_mut().zip(random).for_each(|(to, from)| *to = *from);
        // SAFETY: guaranteed by the caller.
        unsafe { IpsecPacket::change(packet, |packet| Ok(sa.seal(packet, IpProto(next_header), &mut fill)?)) }?;
        Ok(())
    })
}

/// Verifies and decrypts an ESP packet in place, which becomes its payload (RFC 4303 section 3.4). Stores the
/// protocol number of the payload in `next_header`.
///
/// # Safety
/// The requirements are those of [`ipsec_esp_seal`], and `next_header` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_open(
    sa: *mut IpsecEspIn,
    packet: *mut IpsecPacket,
    next_header: *mut u8,
) -> IpsecStatus {
    status(|| {
        // SAFETY: guaranteed by the caller.
        let (sa, next_header) = unsafe { (get::<_, Inbound<AnySuite>>(sa)?, one(next_header)?) };
        // SAFETY: guaranteed by the caller.
        let opened = unsafe { IpsecPacket::change(packet, |packet| Ok(sa.open(packet)?)) }?;
        *next_header = opened.next_header.0;
        Ok(())
    })
}

/// Wipes an outbound SA with its keys. It must be initialised again before it is used.
///
/// # Safety
/// `sa` is null, initialised, or filled with zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_out_clear(sa: *mut IpsecEspOut) -> IpsecStatus {
    // SAFETY: guaranteed by the caller.
    status(|| unsafe { clear::<_, Outbound<AnySuite>>(sa) })
}

/// Wipes an inbound SA with its keys. It must be initialised again before it is used.
///
/// # Safety
/// `sa` is null, initialised, or filled with zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_esp_in_clear(sa: *mut IpsecEspIn) -> IpsecStatus {
    // SAFETY: guaranteed by the caller.
    status(|| unsafe { clear::<_, Inbound<AnySuite>>(sa) })
}
