//! AES (FIPS 197) with vector instructions (VAES of AVX-512) where the machine has them, otherwise the portable
//! implementation.

#[cfg(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none")))]
pub(crate) use ipsec_crypto_simd::Vaes;

#[cfg(not(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none"))))]
pub(crate) use unavailable::Vaes;

#[cfg(not(all(feature = "vector-code", target_arch = "x86_64", not(target_os = "none"))))]
#[allow(dead_code)] // of a mode that is not chosen
mod unavailable {
    use crate::Iv;

    /// Placeholder for machines without the instructions. The type has no values.
    pub(crate) enum Vaes {}

    impl Vaes {
        pub const LANES: usize = 1;

        pub fn new(_: &[u8]) -> Option<Self> {
            None
        }

        pub fn encrypt_chain(&self, _: &mut [u8; 16], _: &mut [[u8; 16]]) {
            match *self {}
        }

        pub fn encrypt_chains(_: &[&Self], _: &mut [[u8; 16]], _: &mut [&mut [[u8; 16]]], _: usize) {}

        pub fn read_ahead_to_encrypt(&self) {
            match *self {}
        }

        pub fn read_ahead_to_decrypt(&self) {
            match *self {}
        }

        pub fn decrypt(&self, _: &Iv, _: &mut [u8]) {
            match *self {}
        }

        pub fn apply_stream(&self, _: [u8; 12], _: &mut [u8]) {
            match *self {}
        }
    }
}

/// AES with the implementation that suits the machine.
#[allow(clippy::large_enum_variant)] // they are of about one size, whatever A is
pub(crate) enum Aes<A> {
    Portable(A),
    /// Implementation with vector instructions, feature `vector-code`.
    Vaes(Vaes),
}

impl<A> Aes<A> {
    pub fn new(key: &[u8], portable: impl FnOnce() -> A) -> Self {
        Vaes::new(key).map_or_else(|| Self::Portable(portable()), Self::Vaes)
    }
}

// Both variants wipe themselves.
impl<A: zeroize::ZeroizeOnDrop> zeroize::ZeroizeOnDrop for Aes<A> {}
