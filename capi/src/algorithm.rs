use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};

use crate::IpsecStatus;

/// The cipher Null.
pub const IPSEC_CIPHER_NULL: u32 = 0;
/// The cipher DesCbc.
pub const IPSEC_CIPHER_DES_CBC: u32 = 1;
/// The cipher TripleDesCbc.
pub const IPSEC_CIPHER_3DES_CBC: u32 = 2;
/// The cipher BlowfishCbc.
pub const IPSEC_CIPHER_BLOWFISH_CBC: u32 = 3;
/// The cipher Cast128Cbc.
pub const IPSEC_CIPHER_CAST128_CBC: u32 = 4;
/// The cipher AesCbc.
pub const IPSEC_CIPHER_AES_CBC: u32 = 5;
/// The cipher AesCtr.
pub const IPSEC_CIPHER_AES_CTR: u32 = 6;
/// The cipher AesGcm8.
pub const IPSEC_CIPHER_AES_GCM_8: u32 = 7;
/// The cipher AesGcm12.
pub const IPSEC_CIPHER_AES_GCM_12: u32 = 8;
/// The cipher AesGcm16.
pub const IPSEC_CIPHER_AES_GCM_16: u32 = 9;
/// The cipher AesCcm8.
pub const IPSEC_CIPHER_AES_CCM_8: u32 = 10;
/// The cipher AesCcm12.
pub const IPSEC_CIPHER_AES_CCM_12: u32 = 11;
/// The cipher AesCcm16.
pub const IPSEC_CIPHER_AES_CCM_16: u32 = 12;
/// The cipher ChaCha20Poly1305.
pub const IPSEC_CIPHER_CHACHA20_POLY1305: u32 = 13;
/// The cipher NullAesGmac.
pub const IPSEC_CIPHER_NULL_AES_GMAC: u32 = 14;
/// The integrity algorithm None.
pub const IPSEC_MAC_NONE: u32 = 0;
/// The integrity algorithm HmacMd5_96.
pub const IPSEC_MAC_HMAC_MD5_96: u32 = 1;
/// The integrity algorithm HmacSha1_96.
pub const IPSEC_MAC_HMAC_SHA1_96: u32 = 2;
/// The integrity algorithm HmacSha2_256_96.
pub const IPSEC_MAC_HMAC_SHA2_256_96: u32 = 3;
/// The integrity algorithm HmacSha2_256_128.
pub const IPSEC_MAC_HMAC_SHA2_256_128: u32 = 4;
/// The integrity algorithm HmacSha2_384_192.
pub const IPSEC_MAC_HMAC_SHA2_384_192: u32 = 5;
/// The integrity algorithm HmacSha2_512_256.
pub const IPSEC_MAC_HMAC_SHA2_512_256: u32 = 6;
/// The integrity algorithm HmacRipemd160_96.
pub const IPSEC_MAC_HMAC_RIPEMD160_96: u32 = 7;
/// The integrity algorithm AesXcbcMac96.
pub const IPSEC_MAC_AES_XCBC_MAC_96: u32 = 8;
/// The integrity algorithm AesCmac96.
pub const IPSEC_MAC_AES_CMAC_96: u32 = 9;
/// The integrity algorithm AesGmac.
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

/// An algorithm, and a key that stays the caller's: octets, and how many. The salt of a counter mode is the end of the key.
#[repr(C)]
pub struct IpsecKey {
    /// One of `IPSEC_CIPHER_..` or `IPSEC_MAC_..`.
    pub algorithm: u32,
    /// The key.
    pub octets: *const u8,
    /// Octets of it.
    pub len: usize,
}

impl IpsecKey {
    /// # Safety
    /// A pointer that is not null points to a key whose own pointer is null or good for `len` octets.
    pub(crate) unsafe fn read<'a>(at: *const Self) -> Result<(u32, &'a [u8]), IpsecStatus> {
        // SAFETY: the caller's promise.
        let key = unsafe { at.as_ref() }.ok_or(IpsecStatus::Null)?;
        // SAFETY: the caller's promise.
        Ok((key.algorithm, unsafe { crate::memory::octets(key.octets, key.len) }?))
    }
}
