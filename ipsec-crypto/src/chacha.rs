use core::fmt;

use ::aead::{AeadCore, AeadInOut};
use cipher::KeyInit;
use cipher::array::Array;
use zeroize::Zeroize;

use crate::aead_backend::{Aead, VectorChaCha20Poly1305, vector_chacha20_poly1305};
use crate::nonce::{LAYOUT, icv_len};
use crate::{EspParts, IcvMismatch, Layout, Suite};

/// ChaCha20-Poly1305 in ESP (RFC 7634).
pub struct ChaCha<A> {
    aead: Aead<A, VectorChaCha20Poly1305>,
    salt: [u8; 4],
}

/// [`ChaCha`] with a key of 32 octets.
pub type ChaCha20Poly1305 = ChaCha<chacha20poly1305::ChaCha20Poly1305>;

impl ChaCha20Poly1305 {
    /// Creates the suite from the key and the salt of the SA, which are negotiated together (RFC 7634 section 2).
    pub fn new(key: &[u8; 32], salt: [u8; 4]) -> Self {
        Self { aead: Aead::new(vector_chacha20_poly1305(key), || KeyInit::new(&Array(*key))), salt }
    }
}

impl<A: AeadInOut> Suite for ChaCha<A> {
    fn layout(&self) -> Layout {
        LAYOUT.with_icv(icv_len::<<A as AeadCore>::TagSize>())
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        self.aead.seal(&self.salt, parts);
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.aead.open(&self.salt, parts)
    }
}

impl<A> Drop for ChaCha<A> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl<A> fmt::Debug for ChaCha<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaCha(..)")
    }
}
