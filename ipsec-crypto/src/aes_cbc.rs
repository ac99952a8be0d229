use core::fmt;

use cipher::array::Array;
use cipher::consts::U16;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};

use crate::{Cbc, Cipher, Confidential, Iv, IvRule, Lane, cbc};

/// AES-CBC (RFC 3602) with the key size of `A`.
pub struct AesCbc<A>(A);

/// AES-128-CBC (RFC 3602 2.2).
pub type Aes128Cbc = AesCbc<aes::Aes128>;
/// AES-192-CBC (RFC 3602 2.2).
pub type Aes192Cbc = AesCbc<aes::Aes192>;
/// AES-256-CBC (RFC 3602 2.2).
pub type Aes256Cbc = AesCbc<aes::Aes256>;

macro_rules! sizes {
    ($($aes:ty, $octets:literal;)*) => {$(
        impl AesCbc<$aes> {
            /// From a key of the right size (RFC 3602 2.2).
            pub fn new(key: &[u8; $octets]) -> Self {
                Self(<$aes>::new(&Array(*key)))
            }
        }
    )*};
}
sizes! { aes::Aes128, 16; aes::Aes192, 24; aes::Aes256, 32; }

impl<A: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>> Cipher for AesCbc<A> {
    fn iv_len(&self) -> usize {
        16
    }

    fn block(&self) -> usize {
        16
    }

    fn iv_rule(&self) -> IvRule {
        IvRule::Unpredictable
    }

    fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
        cbc::encrypt(&self.0, iv, body);
    }

    fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
        cbc::decrypt(&self.0, iv, body);
    }

    fn encrypt_followed(&self, iv: &Iv, text: &mut [u8], from: usize, follow: &mut dyn FnMut(&[u8])) {
        cbc::encrypt_followed(&self.0, iv, text, from, follow);
    }

    fn encrypt_batch(&self, lanes: &mut [Lane<'_>]) {
        cbc::encrypt_batch(&self.0, lanes);
    }
}

impl<A> Confidential for AesCbc<A> where Self: Cipher {}
impl<A> Cbc for AesCbc<A> where Self: Cipher {}

impl<A> fmt::Debug for AesCbc<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesCbc(..)")
    }
}
