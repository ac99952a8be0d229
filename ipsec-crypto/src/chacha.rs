use core::fmt;

use ::aead::{AeadCore, AeadInOut};
use cipher::KeyInit;
use cipher::array::Array;
use zeroize::Zeroize;

use crate::nonce::{LAYOUT, icv_len};
use crate::{EspParts, IcvMismatch, Layout, Suite, aead};

/// ChaCha20-Poly1305 in ESP (RFC 7634).
pub struct ChaCha<A> {
    aead: Implementation<A>,
    salt: [u8; 4],
}

/// [`ChaCha`] with a key of 32 octets.
pub type ChaCha20Poly1305 = ChaCha<chacha20poly1305::ChaCha20Poly1305>;

/// Implementation that suits the machine.
enum Implementation<A> {
    Portable(A),
    /// Implementation with vector instructions, feature `vector-code`.
    #[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
    Vectors(ipsec_crypto_simd::ChaCha20Poly1305),
}

impl ChaCha20Poly1305 {
    /// Creates the suite from the key and the salt of the SA, which are negotiated together (RFC 7634 section 2).
    pub fn new(key: &[u8; 32], salt: [u8; 4]) -> Self {
        #[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
        if let Some(aead) = ipsec_crypto_simd::ChaCha20Poly1305::new(key) {
            return Self { aead: Implementation::Vectors(aead), salt };
        }
        Self { aead: Implementation::Portable(KeyInit::new(&Array(*key))), salt }
    }
}

impl<A: AeadInOut> Suite for ChaCha<A> {
    fn layout(&self) -> Layout {
        LAYOUT.with_icv(icv_len::<<A as AeadCore>::TagSize>())
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        match &self.aead {
            Implementation::Portable(aead) => aead::seal(aead, &self.salt, parts),
            #[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
            Implementation::Vectors(aead) => vectors::seal(aead, &self.salt, parts),
        }
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        match &self.aead {
            Implementation::Portable(aead) => aead::open(aead, &self.salt, parts),
            #[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
            Implementation::Vectors(aead) => vectors::open(aead, &self.salt, parts),
        }
    }
}

#[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
mod vectors {
    use cipher::array::Array;
    use cipher::consts::U16;
    use ipsec_crypto_simd::ChaCha20Poly1305;

    use crate::nonce::set_icv;
    use crate::{EspParts, IcvMismatch, ct};

    pub(super) fn seal(aead: &ChaCha20Poly1305, salt: &[u8; 4], parts: &mut EspParts<'_>) {
        let (nonce, aad) = (nonce(*salt, parts), parts.aad());
        let icv = aead.seal(&nonce, aad.as_slice(), parts.body());
        set_icv::<U16>(parts, &Array(icv));
    }

    pub(super) fn open(aead: &ChaCha20Poly1305, salt: &[u8; 4], parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        let received: [u8; 16] = parts.icv().try_into().map_err(|_| IcvMismatch)?;
        let (nonce, aad) = (nonce(*salt, parts), parts.aad());
        //= RFC 4303 3.4.4.2/1
        //# MUST: a packet that a combined mode algorithm finds wrong is discarded
        let valid = aead.open(&nonce, aad.as_slice(), parts.body(), &|computed| ct::equal(computed, &received));
        if valid { Ok(()) } else { Err(IcvMismatch) }
    }

    /// Returns the nonce: the salt of the SA, then the IV of the packet.
    fn nonce([s0, s1, s2, s3]: [u8; 4], parts: &EspParts<'_>) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h, ..] = parts.iv();
        [s0, s1, s2, s3, a, b, c, d, e, f, g, h]
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
