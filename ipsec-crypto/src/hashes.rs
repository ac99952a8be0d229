//! Hashes of HMAC, one row each. The compression functions are those of RustCrypto, except for `sha1`.

use crate::hash::Hash;

macro_rules! hash {
    ($(#[$doc:meta])+ $hash:ident: $word:ty, $words:literal words, $block:literal in, $output:literal out, $bytes:ident, $compress:expr, $start:expr$(, $hmac_batch:ident $(, $alone:ident)?)?) => {
        $(#[$doc])+
        #[derive(Debug)]
        pub enum $hash {}

        impl crate::hash::sealed::Sealed for $hash {}

        impl Hash for $hash {
            type State = [$word; $words];
            type Block = [u8; $block];

            const START: Self::State = $start;
            const ZERO: Self::Block = [0; $block];
            const LENGTH: usize = $block / 8;
            const BIG_ENDIAN: bool = !matches!(1u16.$bytes(), [1, 0]);
            const OUTPUT: usize = $output;

            #[inline(always)]
            fn compress(state: &mut Self::State, blocks: &[Self::Block]) {
                $compress(state, blocks);
            }

            #[inline(always)]
            fn blocks(text: &[u8]) -> (&[Self::Block], &[u8]) {
                text.as_chunks()
            }

            #[inline(always)]
            fn octets(blocks: &mut [Self::Block; 2]) -> &mut [u8] {
                blocks.as_flattened_mut()
            }

            #[inline(always)]
            fn write(state: &Self::State, to: &mut [u8]) {
                let (words, _) = to.as_chunks_mut();
                words.iter_mut().zip(state).for_each(|(to, word)| *to = word.$bytes());
            }

            $(
                #[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
                fn min_batch() -> usize {
                    crate::simd_hmac::min_batch::<ipsec_crypto_simd::$hash, $words>()
                }

                #[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
                fn $hmac_batch(texts: &[crate::hash::KeyedInput<'_, Self>], tags: &mut [crate::Icv], len: crate::IcvLen) -> bool {
                    crate::simd_hmac::hmac_batch::<Self, ipsec_crypto_simd::$hash, $words>(texts, tags, len)
                }

                $(
                    #[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
                    #[inline(always)]
                    fn hmac(text: &crate::hash::KeyedInput<'_, Self>, len: crate::IcvLen) -> Option<crate::Icv> {
                        let simd = ipsec_crypto_simd::available()?;
                        let mut tag = crate::Icv::NONE;
                        ipsec_crypto_simd::sha_ni::$alone::hmac(simd, text.for_simd(), tag.octets_mut(len));
                        Some(tag)
                    }
                )?
            )?
        }
    };
}

#[cfg(feature = "hmac-md5")]
hash!(
    /// MD5 hash function (RFC 1321).
    Md5: u32, 4 words, 64 in, 16 out, to_le_bytes, md5::block_api::compress, [
    0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476,
], hmac_batch);
#[cfg(feature = "hmac-sha1")]
hash!(
    /// SHA-1 hash function (RFC 3174).
    Sha1: u32, 5 words, 64 in, 20 out, to_be_bytes, sha1, [
    0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0,
], hmac_batch, sha1);
#[cfg(feature = "hmac-sha2-256")]
hash!(
    /// SHA2-256 hash function (RFC 6234).
    Sha256: u32, 8 words, 64 in, 32 out, to_be_bytes, sha2::block_api::compress256, [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
], hmac_batch, sha256);
#[cfg(feature = "hmac-sha2-384")]
hash!(
    /// SHA2-384 hash function (RFC 6234).
    Sha384: u64, 8 words, 128 in, 48 out, to_be_bytes, sha2::block_api::compress512, [
    0xcbbb_9d5d_c105_9ed8, 0x629a_292a_367c_d507, 0x9159_015a_3070_dd17, 0x152f_ecd8_f70e_5939,
    0x6733_2667_ffc0_0b31, 0x8eb4_4a87_6858_1511, 0xdb0c_2e0d_64f9_8fa7, 0x47b5_481d_befa_4fa4,
]);
#[cfg(feature = "hmac-sha2-512")]
hash!(
    /// SHA2-512 hash function (RFC 6234).
    Sha512: u64, 8 words, 128 in, 64 out, to_be_bytes, sha2::block_api::compress512, [
    0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1, 0x9b05_688c_2b3e_6c1f, 0x1f83_d9ab_fb41_bd6b, 0x5be0_cd19_137e_2179,
]);
#[cfg(feature = "hmac-ripemd160")]
hash!(
    /// RIPEMD-160 hash function (RFC 2857).
    Ripemd160: u32, 5 words, 64 in, 20 out, to_le_bytes, ripemd160, [
    0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0,
]);

/// Compresses blocks with SHA-1. The feature `vector-code` uses the implementation of `ipsec-crypto-simd`, which is
/// faster on a machine with the instructions.
#[cfg(feature = "hmac-sha1")]
#[inline(always)]
fn sha1(state: &mut [u32; 5], blocks: &[[u8; 64]]) {
    #[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
    if let Some(simd) = ipsec_crypto_simd::available() {
        return ipsec_crypto_simd::sha_ni::sha1::compress_all(simd, state, blocks);
    }
    sha1::block_api::compress(state, blocks);
}

/// Compresses blocks by way of a serialized state: the crate exports no compression function, but accepts a state as
/// octets, with the number of blocks after it.
#[cfg(feature = "hmac-ripemd160")]
fn ripemd160(state: &mut [u32; 5], blocks: &[[u8; 64]]) {
    use ripemd::block_api::Ripemd160Core;
    use ripemd::digest::array::Array;
    use ripemd::digest::block_api::UpdateCore;
    use ripemd::digest::common::hazmat::{SerializableState, SerializedState};

    let mut octets = SerializedState::<Ripemd160Core>::default();
    let words = state.iter().flat_map(|word| word.to_le_bytes());
    octets.iter_mut().zip(words).for_each(|(to, from)| *to = from);
    if let Ok(mut core) = Ripemd160Core::deserialize(&octets) {
        core.update_blocks(Array::cast_slice_from_core(blocks));
        octets = core.serialize();
    }
    let (words, _) = octets.as_chunks();
    state.iter_mut().zip(words).for_each(|(to, word)| *to = u32::from_le_bytes(*word));
    zeroize::Zeroize::zeroize(octets.as_mut_slice());
}
