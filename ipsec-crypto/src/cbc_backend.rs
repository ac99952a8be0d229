//! Implementations of CBC mode of ciphers with 64-bit blocks.

use cipher::consts::U8;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser};

use crate::cipher::BatchItem;
use crate::{Iv, cbc};

/// CBC mode of an implementation of a cipher, keyed.
pub(crate) trait CbcBackend: Sized {
    /// Set if a batch gains from packets with other keys as well.
    const INTERLEAVES_KEYS: bool;

    /// Encrypts the whole blocks of a text.
    fn encrypt(&self, iv: &Iv, body: &mut [u8]);

    /// Decrypts the whole blocks of a text.
    fn decrypt(&self, iv: &Iv, body: &mut [u8]);

    /// Encrypts a text as [`crate::Cipher::encrypt_and_mac`] specifies.
    fn encrypt_and_mac(&self, iv: &Iv, text: &mut [u8], from: usize, follow: &mut dyn FnMut(&[u8]));

    /// Encrypts the texts of a batch as [`crate::Cipher::encrypt_batch`] specifies.
    fn encrypt_batch<T>(lanes: &mut [BatchItem<'_, T>], backend: impl Fn(&T) -> &Self);
}

/// Every cipher of RustCrypto, by its own backend.
impl<C: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U8>> CbcBackend for C {
    const INTERLEAVES_KEYS: bool = false;

    fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
        cbc::encrypt(self, iv, body);
    }

    fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
        cbc::decrypt(self, iv, body);
    }

    fn encrypt_and_mac(&self, iv: &Iv, text: &mut [u8], from: usize, follow: &mut dyn FnMut(&[u8])) {
        cbc::encrypt_and_mac(self, iv, text, from, follow);
    }

    fn encrypt_batch<T>(lanes: &mut [BatchItem<'_, T>], backend: impl Fn(&T) -> &Self) {
        cbc::encrypt_batch(lanes, |cipher| Some(backend(cipher)));
    }
}

#[cfg(feature = "vector-code")]
pub(crate) use vector::Vector;

#[cfg(feature = "vector-code")]
mod vector {
    use cipher::consts::U8;
    use ipsec_crypto_simd::{CHAINS, Cbc64};

    use super::CbcBackend;
    use crate::Iv;
    use crate::cbc::{encrypt_in_chunks, first, interleaved};
    use crate::cipher::BatchItem;

    /// Cipher of `ipsec-crypto-simd` in CBC mode.
    pub(crate) struct Vector<C>(pub C);

    impl<C: Cbc64> CbcBackend for Vector<C> {
        const INTERLEAVES_KEYS: bool = true;

        fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
            self.0.encrypt_chain(&mut first::<U8>(iv).0, body.as_chunks_mut().0);
        }

        fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
            self.0.decrypt(&first::<U8>(iv).0, body);
        }

        fn encrypt_and_mac(&self, iv: &Iv, text: &mut [u8], from: usize, follow: &mut dyn FnMut(&[u8])) {
            let mut chain = first::<U8>(iv).0;
            encrypt_in_chunks(text, from, follow, |chunk| self.0.encrypt_chain(&mut chain, chunk.as_chunks_mut().0));
        }

        fn encrypt_batch<T>(lanes: &mut [BatchItem<'_, T>], backend: impl Fn(&T) -> &Self) {
            let lanes = lanes.iter_mut();
            let packets =
                lanes.map(|lane| (&backend(lane.cipher).0, first::<U8>(&lane.iv).0, lane.body.as_chunks_mut().0));
            interleaved::<_, _, CHAINS>(packets, C::encrypt_chains);
        }
    }
}
