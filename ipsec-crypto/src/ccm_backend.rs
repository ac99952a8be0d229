//! AES-CCM of RustCrypto, or that of `ipsec-crypto-simd` where the machine has the instructions.

#[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
pub(crate) use ipsec_crypto_simd::AesCcm as VectorCcm;

#[cfg(not(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none"))))]
pub(crate) use unavailable::VectorCcm;

#[cfg(not(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none"))))]
mod unavailable {
    /// Placeholder for machines without the instructions. The type has no values.
    pub(crate) enum VectorCcm {}

    impl VectorCcm {
        pub const fn new(_: &[u8], _: usize) -> Option<Self> {
            None
        }

        pub const fn seal(&self, _: &[u8; 11], _: &[u8], _: &mut [u8]) -> Option<[u8; 16]> {
            match *self {}
        }

        pub const fn open(&self, _: &[u8; 11], _: &[u8], _: &mut [u8], _: &dyn Fn(&[u8; 16]) -> bool) -> bool {
            match *self {}
        }
    }
}

/// AES-CCM with the implementation that suits the machine.
#[allow(clippy::large_enum_variant)] // an SA has memory for the larger one
pub(crate) enum Backend<A> {
    /// Block cipher, of which the `ccm` crate makes AES-CCM.
    Portable(A),
    /// Implementation with vector instructions, feature `vector-code`.
    Vectors(VectorCcm),
}

impl<A> Backend<A> {
    pub fn new(key: &[u8], icv_len: usize, portable: impl FnOnce() -> A) -> Self {
        VectorCcm::new(key, icv_len).map_or_else(|| Self::Portable(portable()), Self::Vectors)
    }
}
