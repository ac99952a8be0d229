//! AEADs of RustCrypto, or those of `ipsec-crypto-simd` where the machine has the instructions.

use ::aead::AeadInOut;

use crate::{EspParts, IcvMismatch, aead};

#[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
pub(crate) use available::*;
#[cfg(not(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none"))))]
pub(crate) use unavailable::*;

/// AEAD with the implementation that suits the machine.
#[allow(clippy::large_enum_variant)] // an SA has memory for the larger one
pub(crate) enum Aead<A, V> {
    Portable(A),
    /// Implementation with vector instructions, feature `vector-code`.
    Vectors(V),
}

impl<A: AeadInOut, V: VectorAead> Aead<A, V> {
    pub fn new(vectors: Option<V>, portable: impl FnOnce() -> A) -> Self {
        vectors.map_or_else(|| Self::Portable(portable()), Self::Vectors)
    }

    /// Encrypts a packet as [`Suite::seal`](crate::Suite::seal) specifies.
    pub fn seal(&self, salt: &[u8; 4], parts: &mut EspParts<'_>) {
        match self {
            Self::Portable(aead) => aead::seal(aead, salt, parts),
            Self::Vectors(aead) => aead.seal_parts::<A::TagSize>(salt, parts),
        }
    }

    /// Decrypts a packet as [`Suite::open`](crate::Suite::open) specifies.
    pub fn open(&self, salt: &[u8; 4], parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        match self {
            Self::Portable(aead) => aead::open(aead, salt, parts),
            Self::Vectors(aead) => aead.open_parts::<A::TagSize>(salt, parts),
        }
    }
}

#[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
mod available {
    use cipher::array::ArraySize;

    use crate::nonce::set_icv;
    use crate::{EspParts, IcvMismatch, ct};

    /// AEAD of `ipsec-crypto-simd`, whose ICV of 16 octets is truncated.
    pub(crate) trait VectorAead {
        fn seal(&self, nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16];

        fn open(&self, nonce: &[u8; 12], aad: &[u8], text: &mut [u8], verify: &dyn Fn(&[u8; 16]) -> bool) -> bool;

        fn seal_parts<N: ArraySize>(&self, salt: &[u8; 4], parts: &mut EspParts<'_>) {
            let (nonce, aad) = (nonce(*salt, parts), parts.aad());
            let icv = self.seal(&nonce, aad.as_slice(), parts.body());
            set_icv::<N>(parts, &icv);
        }

        fn open_parts<N: ArraySize>(&self, salt: &[u8; 4], parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
            let (nonce, aad) = (nonce(*salt, parts), parts.aad());
            let (mut octets, len) = ([0; 16], N::USIZE);
            let received = octets.get_mut(..len).filter(|to| to.len() == parts.icv().len()).ok_or(IcvMismatch)?;
            received.copy_from_slice(parts.icv());
            let received = octets.get(..len).ok_or(IcvMismatch)?;
            //= RFC 4303 3.4.4.2/1
            //# MUST: a packet that a combined mode algorithm finds wrong is discarded
            let valid = self.open(&nonce, aad.as_slice(), parts.body(), &|computed| {
                computed.get(..len).is_some_and(|computed| ct::equal(computed, received))
            });
            if valid { Ok(()) } else { Err(IcvMismatch) }
        }
    }

    /// Returns the nonce: the salt of the SA, then the IV of the packet.
    fn nonce([s0, s1, s2, s3]: [u8; 4], parts: &EspParts<'_>) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h, ..] = parts.iv();
        [s0, s1, s2, s3, a, b, c, d, e, f, g, h]
    }

    #[cfg(feature = "aes-gcm")]
    pub(crate) type VectorAesGcm = ipsec_crypto_simd::AesGcm;
    #[cfg(feature = "chacha20-poly1305")]
    pub(crate) type VectorChaCha20Poly1305 = ipsec_crypto_simd::ChaCha20Poly1305;

    /// Returns AES-GCM if the processor has AVX-512 and VAES.
    #[cfg(feature = "aes-gcm")]
    pub(crate) fn vector_aes_gcm(key: &[u8]) -> Option<VectorAesGcm> {
        VectorAesGcm::new(key)
    }

    /// Returns ChaCha20-Poly1305 if the processor has vectors.
    #[cfg(feature = "chacha20-poly1305")]
    pub(crate) fn vector_chacha20_poly1305(key: &[u8; 32]) -> Option<VectorChaCha20Poly1305> {
        VectorChaCha20Poly1305::new(key)
    }

    macro_rules! aeads {
        ($($feature:literal: $name:ident),*) => {$(
            #[cfg(feature = $feature)]
            impl VectorAead for ipsec_crypto_simd::$name {
                fn seal(&self, nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
                    self.seal(nonce, aad, text)
                }

                fn open(
                    &self,
                    nonce: &[u8; 12],
                    aad: &[u8],
                    text: &mut [u8],
                    verify: &dyn Fn(&[u8; 16]) -> bool,
                ) -> bool {
                    self.open(nonce, aad, text, verify)
                }
            }
        )*};
    }
    aeads! { "aes-gcm": AesGcm, "chacha20-poly1305": ChaCha20Poly1305 }
}

#[cfg(not(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none"))))]
mod unavailable {
    use core::convert::Infallible;

    use crate::{EspParts, IcvMismatch};

    /// Placeholder for machines without the instructions: only a type without values implements it.
    pub(crate) trait VectorAead {
        fn seal_parts<N>(&self, salt: &[u8; 4], parts: &mut EspParts<'_>);
        fn open_parts<N>(&self, salt: &[u8; 4], parts: &mut EspParts<'_>) -> Result<(), IcvMismatch>;
    }

    #[cfg(feature = "aes-gcm")]
    pub(crate) type VectorAesGcm = Infallible;
    #[cfg(feature = "chacha20-poly1305")]
    pub(crate) type VectorChaCha20Poly1305 = Infallible;

    #[cfg(feature = "aes-gcm")]
    pub(crate) const fn vector_aes_gcm(_: &[u8]) -> Option<VectorAesGcm> {
        None
    }

    #[cfg(feature = "chacha20-poly1305")]
    pub(crate) const fn vector_chacha20_poly1305(_: &[u8; 32]) -> Option<VectorChaCha20Poly1305> {
        None
    }

    impl VectorAead for Infallible {
        fn seal_parts<N>(&self, _: &[u8; 4], _: &mut EspParts<'_>) {
            match *self {}
        }

        fn open_parts<N>(&self, _: &[u8; 4], _: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
            match *self {}
        }
    }
}
