//! AES in counter mode (RFC 3686).
//!
//! ```text
//! counter block:  nonce (4, from the key)  |  IV (8, from the packet)  |  block counter (4), from 1
//! ```

use core::fmt;

use aes::{Aes128Enc as Aes128, Aes192Enc as Aes192, Aes256Enc as Aes256};
use cipher::array::Array;
use cipher::consts::U16;
use cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::aes_backend::Aes;
use crate::layout::layout;
use crate::{Cipher, Confidential, IcvLen, Iv, Layout, counter_mode};

/// AES in counter mode (RFC 3686) with the key size of `A`. An IV that repeats under one key reveals the plaintexts,
/// so the rule is [`IvRule::Unique`](crate::IvRule::Unique): senders count. It requires integrity.
pub struct AesCtr<A> {
    cipher: Aes<A>,
    nonce: [u8; 4],
}

/// AES in counter mode with a key of 128 bits (RFC 3686 section 2.2).
pub type Aes128Ctr = AesCtr<Aes128>;
/// AES in counter mode with a key of 192 bits (RFC 3686 section 2.2).
pub type Aes192Ctr = AesCtr<Aes192>;
/// AES in counter mode with a key of 256 bits (RFC 3686 section 2.2).
pub type Aes256Ctr = AesCtr<Aes256>;

macro_rules! sizes {
    ($($aes:ty, $octets:literal;)*) => {$(
        impl AesCtr<$aes> {
            /// Creates the cipher from the key and the nonce of the SA, which are negotiated together (RFC 3686
            /// section 5.1).
            pub fn new(key: &[u8; $octets], nonce: [u8; 4]) -> Self {
                Self { cipher: Aes::new(key, || <$aes>::new(&Array(*key))), nonce }
            }
        }
    )*};
}
sizes! { Aes128, 16; Aes192, 24; Aes256, 32; }

impl<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Cipher for AesCtr<A> {
    fn layout(&self) -> Layout {
        layout!(8, 4, IcvLen::NONE, Unique)
    }

    fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
        let ([n0, n1, n2, n3], &[a, b, c, d, e, f, g, h, ..]) = (self.nonce, iv);
        let nonce = [n0, n1, n2, n3, a, b, c, d, e, f, g, h];
        match &self.cipher {
            Aes::Portable(aes) => counter_mode::apply(aes, nonce, body),
            Aes::Vaes(aes) => aes.apply_stream(nonce, body),
        }
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

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    // On a machine without the instructions both ciphers are the portable implementation.
    macro_rules! vectors_and_library_agree {
        ($($name:ident: $aes:ty, $octets:literal;)*) => {$(
            /// Tests every length up to four groups of blocks and more.
            #[test]
            fn $name() {
                let key = core::array::from_fn(|n: usize| n.to_le_bytes()[0]);
                let aes = AesCtr::<$aes>::new(&key, [0xff; 4]);
                let library = AesCtr { cipher: Aes::Portable(<$aes>::new(&Array(key))), nonce: [0xff; 4] };
                for length in 0..1100usize {
                    let iv = [length.to_le_bytes()[0]; 16];
                    let (mut one, mut other) = ([0x5a; 1100], [0x5a; 1100]);
                    aes.encrypt(&iv, &mut one[..length]);
                    library.encrypt(&iv, &mut other[..length]);
                    assert_eq!(one, other, "{length} octets");
                    aes.decrypt(&iv, &mut one[..length]);
                    assert_eq!(one, [0x5a; 1100], "{length} octets");
                }
            }
        )*};
    }
    vectors_and_library_agree! {
        aes_128: Aes128, 16;
        aes_192: Aes192, 24;
        aes_256: Aes256, 32;
    }
}
