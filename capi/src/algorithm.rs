use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};

use crate::IpsecStatus;

/// NULL encryption (RFC 2410), without key.
pub const IPSEC_CIPHER_NULL: u32 = 0;
/// DES-CBC (RFC 2405), key of 8 octets.
pub const IPSEC_CIPHER_DES_CBC: u32 = 1;
/// 3DES-CBC (RFC 2451), key of 24 octets.
pub const IPSEC_CIPHER_3DES_CBC: u32 = 2;
/// Blowfish-CBC (RFC 2451), key of 5 to 56 octets, 16 by default.
pub const IPSEC_CIPHER_BLOWFISH_CBC: u32 = 3;
/// CAST-128-CBC (RFC 2451), key of 5 to 16 octets.
pub const IPSEC_CIPHER_CAST128_CBC: u32 = 4;
/// AES-CBC (RFC 3602), key of 16, 24 or 32 octets.
pub const IPSEC_CIPHER_AES_CBC: u32 = 5;
/// AES-CTR (RFC 3686), key of 20, 28 or 36 octets, of which the last 4 are the nonce.
pub const IPSEC_CIPHER_AES_CTR: u32 = 6;
/// AES-GCM with an ICV of 8 octets (RFC 4106), key of 20, 28 or 36 octets, of which the last 4 are the salt.
pub const IPSEC_CIPHER_AES_GCM_8: u32 = 7;
/// AES-GCM with an ICV of 12 octets (RFC 4106), key of 20, 28 or 36 octets, of which the last 4 are the salt.
pub const IPSEC_CIPHER_AES_GCM_12: u32 = 8;
/// AES-GCM with an ICV of 16 octets (RFC 4106), key of 20, 28 or 36 octets, of which the last 4 are the salt.
pub const IPSEC_CIPHER_AES_GCM_16: u32 = 9;
/// AES-CCM with an ICV of 8 octets (RFC 4309), key of 19, 27 or 35 octets, of which the last 3 are the salt.
pub const IPSEC_CIPHER_AES_CCM_8: u32 = 10;
/// AES-CCM with an ICV of 12 octets (RFC 4309), key of 19, 27 or 35 octets, of which the last 3 are the salt.
pub const IPSEC_CIPHER_AES_CCM_12: u32 = 11;
/// AES-CCM with an ICV of 16 octets (RFC 4309), key of 19, 27 or 35 octets, of which the last 3 are the salt.
pub const IPSEC_CIPHER_AES_CCM_16: u32 = 12;
/// ChaCha20-Poly1305 (RFC 7634), key of 36 octets, of which the last 4 are the salt.
pub const IPSEC_CIPHER_CHACHA20_POLY1305: u32 = 13;
/// NULL encryption with AES-GMAC (RFC 4543), key of 20, 28 or 36 octets, of which the last 4 are the salt.
pub const IPSEC_CIPHER_NULL_AES_GMAC: u32 = 14;
/// No integrity algorithm, for AEADs.
pub const IPSEC_MAC_NONE: u32 = 0;
/// HMAC-MD5-96 (RFC 2403), key of 16 octets.
pub const IPSEC_MAC_HMAC_MD5_96: u32 = 1;
/// HMAC-SHA1-96 (RFC 2404), key of 20 octets.
pub const IPSEC_MAC_HMAC_SHA1_96: u32 = 2;
/// HMAC-SHA2-256 truncated to 96 bits (draft-ietf-ipsec-ciph-sha-256-00), key of 32 octets.
pub const IPSEC_MAC_HMAC_SHA2_256_96: u32 = 3;
/// HMAC-SHA2-256-128 (RFC 4868), key of 32 octets.
pub const IPSEC_MAC_HMAC_SHA2_256_128: u32 = 4;
/// HMAC-SHA2-384-192 (RFC 4868), key of 48 octets.
pub const IPSEC_MAC_HMAC_SHA2_384_192: u32 = 5;
/// HMAC-SHA2-512-256 (RFC 4868), key of 64 octets.
pub const IPSEC_MAC_HMAC_SHA2_512_256: u32 = 6;
/// HMAC-RIPEMD-160-96 (RFC 2857), key of 20 octets.
pub const IPSEC_MAC_HMAC_RIPEMD160_96: u32 = 7;
/// AES-XCBC-MAC-96 (RFC 3566), key of 16 octets.
pub const IPSEC_MAC_AES_XCBC_MAC_96: u32 = 8;
/// AES-CMAC-96 (RFC 4494), key of 16 octets.
pub const IPSEC_MAC_AES_CMAC_96: u32 = 9;
/// AES-GMAC (RFC 4543) for AH, key of 20, 28 or 36 octets, of which the last 4 are the salt.
pub const IPSEC_MAC_AES_GMAC: u32 = 10;

pub(crate) const fn cipher(number: u32) -> Result<CipherAlgorithm, IpsecStatus> {
    Ok(match number {
        IPSEC_CIPHER_NULL => CipherAlgorithm::Null,
        IPSEC_CIPHER_DES_CBC => CipherAlgorithm::DesCbc,
        IPSEC_CIPHER_3DES_CBC => CipherAlgorithm::TripleDesCbc,
        IPSEC_CIPHER_BLOWFISH_CBC => CipherAlgorithm::BlowfishCbc,
        IPSEC_CIPHER_CAST128_CBC => CipherAlgorithm::Cast128Cbc,
        IPSEC_CIPHER_AES_CBC => CipherAlgorithm::AesCbc,
        IPSEC_CIPHER_AES_CTR => CipherAlgorithm::AesCtr,
        IPSEC_CIPHER_AES_GCM_8 => CipherAlgorithm::AesGcm8,
        IPSEC_CIPHER_AES_GCM_12 => CipherAlgorithm::AesGcm12,
        IPSEC_CIPHER_AES_GCM_16 => CipherAlgorithm::AesGcm16,
        IPSEC_CIPHER_AES_CCM_8 => CipherAlgorithm::AesCcm8,
        IPSEC_CIPHER_AES_CCM_12 => CipherAlgorithm::AesCcm12,
        IPSEC_CIPHER_AES_CCM_16 => CipherAlgorithm::AesCcm16,
        IPSEC_CIPHER_CHACHA20_POLY1305 => CipherAlgorithm::ChaCha20Poly1305,
        IPSEC_CIPHER_NULL_AES_GMAC => CipherAlgorithm::NullAesGmac,
        _ => return Err(IpsecStatus::Algorithm),
    })
}

pub(crate) const fn integrity(number: u32) -> Result<IntegrityAlgorithm, IpsecStatus> {
    Ok(match number {
        IPSEC_MAC_NONE => IntegrityAlgorithm::None,
        IPSEC_MAC_HMAC_MD5_96 => IntegrityAlgorithm::HmacMd5_96,
        IPSEC_MAC_HMAC_SHA1_96 => IntegrityAlgorithm::HmacSha1_96,
        IPSEC_MAC_HMAC_SHA2_256_96 => IntegrityAlgorithm::HmacSha2_256_96,
        IPSEC_MAC_HMAC_SHA2_256_128 => IntegrityAlgorithm::HmacSha2_256_128,
        IPSEC_MAC_HMAC_SHA2_384_192 => IntegrityAlgorithm::HmacSha2_384_192,
        IPSEC_MAC_HMAC_SHA2_512_256 => IntegrityAlgorithm::HmacSha2_512_256,
        IPSEC_MAC_HMAC_RIPEMD160_96 => IntegrityAlgorithm::HmacRipemd160_96,
        IPSEC_MAC_AES_XCBC_MAC_96 => IntegrityAlgorithm::AesXcbcMac96,
        IPSEC_MAC_AES_CMAC_96 => IntegrityAlgorithm::AesCmac96,
        IPSEC_MAC_AES_GMAC => IntegrityAlgorithm::AesGmac,
        _ => return Err(IpsecStatus::Algorithm),
    })
}

/// Algorithm and key. The key remains in the memory of the caller and is copied into the SA. For counter modes, the
/// salt is the end of the key.
#[repr(C)]
pub struct IpsecKey {
    /// Algorithm number, one of `IPSEC_CIPHER_..` or `IPSEC_MAC_..`.
    pub algorithm: u32,
    /// Pointer to the octets of the key.
    pub octets: *const u8,
    /// Length of the key in octets.
    pub len: usize,
}

impl IpsecKey {
    /// Reads algorithm number and key.
    ///
    /// # Safety
    /// `at` is null or points to a key whose own pointer is null or valid for reads of `len` octets.
    pub(crate) unsafe fn read<'a>(at: *const Self) -> Result<(u32, &'a [u8]), IpsecStatus> {
        // SAFETY: guaranteed by the caller.
        let key = unsafe { at.as_ref() }.ok_or(IpsecStatus::Null)?;
        // SAFETY: guaranteed by the caller.
        Ok((key.algorithm, unsafe { crate::memory::octets(key.octets, key.len) }?))
    }
}
