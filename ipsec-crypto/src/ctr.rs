//! AES in counter mode (RFC 3686).
//!
//! ```text
//! counter block:  nonce (4, from the key)  |  IV (8, from the packet)  |  block counter (4), from 1
//! ```

use core::fmt;

use aes::{Aes128, Aes192, Aes256};
use cipher::array::Array;
use cipher::consts::U16;
use cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Cipher, Confidential, Iv, IvRule, counter};

/// AES-CTR (RFC 3686) with the key size of `A`. An IV that repeats under one key gives the plaintexts away, so
/// [`IvRule::Unique`] holds: senders count. Never without integrity.
pub struct AesCtr<A> {
    cipher: A,
    nonce: [u8; 4],
}

/// AES-128-CTR (RFC 3686 2.2).
pub type Aes128Ctr = AesCtr<Aes128>;
/// AES-192-CTR (RFC 3686 2.2).
pub type Aes192Ctr = AesCtr<Aes192>;
/// AES-256-CTR (RFC 3686 2.2).
pub type Aes256Ctr = AesCtr<Aes256>;

macro_rules! sizes {
    ($($aes:ty, $octets:literal;)*) => {$(
        impl AesCtr<$aes> {
            /// From the key and the nonce of the SA, which are negotiated as one (RFC 3686 5.1).
            pub fn new(key: &[u8; $octets], nonce: [u8; 4]) -> Self {
                Self { cipher: <$aes>::new(&Array(*key)), nonce }
            }
        }
    )*};
}
sizes! { Aes128, 16; Aes192, 24; Aes256, 32; }

impl<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Cipher for AesCtr<A> {
    fn iv_len(&self) -> usize {
        8
    }

    fn block(&self) -> usize {
        1
    }

    fn iv_rule(&self) -> IvRule {
        IvRule::Unique
    }

    fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
        let ([n0, n1, n2, n3], &[a, b, c, d, e, f, g, h, ..]) = (self.nonce, iv);
        counter::apply(&self.cipher, [n0, n1, n2, n3, a, b, c, d, e, f, g, h], body);
    }

    fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
        self.encrypt(iv, body);
    }
}

impl<A> Confidential for AesCtr<A> where Self: Cipher {}

impl<A> Drop for AesCtr<A> {
    fn drop(&mut self) {
        self.nonce.zeroize();
    }
}

impl<A: ZeroizeOnDrop> ZeroizeOnDrop for AesCtr<A> {}

impl<A> fmt::Debug for AesCtr<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesCtr(..)")
    }
}
