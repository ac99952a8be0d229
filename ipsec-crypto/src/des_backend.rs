//! DES and 3DES (FIPS 46-3): the implementation of the `des` crate, and with the feature `vector-code` decryption by the
//! bitsliced implementation of `ipsec-crypto-simd`, which is constant-time and processes many blocks at once.
//! Encryption of one packet is a chain, which has but one block at a time.

use core::borrow::Borrow;

use cipher::consts::U8;
use cipher::{BlockCipherDecrypt, BlockSizeUser};

use crate::Iv;

/// Key schedule `C` of the crate for `KEYS` keys, and the keys for decryption where it is bitsliced.
pub(crate) struct DesBackend<C, const KEYS: usize> {
    schedule: C,
    #[cfg(feature = "vector-code")]
    bitsliced: ipsec_crypto_simd::BitslicedDes<KEYS>,
}

macro_rules! backend {
    ($feature:literal, $schedule:ty, $keys:literal, $octets:literal) => {
        #[cfg(feature = $feature)]
        impl DesBackend<$schedule, $keys> {
            pub fn new(key: &[u8; $octets]) -> Self {
                Self {
                    schedule: cipher::KeyInit::new(&cipher::array::Array(*key)),
                    #[cfg(feature = "vector-code")]
                    bitsliced: ipsec_crypto_simd::BitslicedDes::<$keys>::new(key),
                }
            }
        }
    };
}
backend!("des", des::Des, 1, 8);
backend!("3des", des::TdesEde3, 3, 24);

impl<C: BlockCipherDecrypt + BlockSizeUser<BlockSize = U8>, const KEYS: usize> DesBackend<C, KEYS> {
    /// Decrypts whole blocks in CBC mode.
    #[inline(always)]
    pub fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
        #[cfg(feature = "vector-code")]
        self.bitsliced.decrypt(&crate::cbc::first::<U8>(iv).0, body);
        #[cfg(not(feature = "vector-code"))]
        crate::cbc::decrypt(&self.schedule, iv, body);
    }
}

impl<C, const KEYS: usize> Borrow<C> for DesBackend<C, KEYS> {
    fn borrow(&self) -> &C {
        &self.schedule
    }
}
