//! AES (FIPS 197) in vectors, on machines that have instructions for it (VAES of AVX-512), and nothing on others.

#[cfg(all(feature = "simd", target_arch = "x86_64", not(target_os = "none")))]
mod side_by_side;
#[cfg(all(feature = "simd", target_arch = "x86_64", not(target_os = "none")))]
mod vaes;
#[cfg(all(feature = "simd", target_arch = "x86_64", not(target_os = "none")))]
pub(crate) use vaes::{LANES, WideAes};

#[cfg(not(all(feature = "simd", target_arch = "x86_64", not(target_os = "none"))))]
pub(crate) use nowhere::{LANES, WideAes};

#[cfg(not(all(feature = "simd", target_arch = "x86_64", not(target_os = "none"))))]
mod nowhere {
    use super::Block;
    use crate::Iv;

    pub(crate) const LANES: usize = 1;

    /// No machine has it.
    pub(crate) enum WideAes {}

    impl WideAes {
        pub fn new(_: &[u8]) -> Option<Self> {
            None
        }

        pub fn encrypt_chain(&self, _: &mut Block, _: &mut [Block]) {
            match *self {}
        }

        pub fn encrypt_chains(_: &[&Self], _: &mut [Block], _: &mut [&mut [Block]], _: usize) {}

        pub fn decrypt(&self, _: &Iv, _: &mut [u8]) {
            match *self {}
        }
    }
}

/// A block of AES.
pub(crate) type Block = cipher::array::Array<u8, cipher::consts::U16>;
