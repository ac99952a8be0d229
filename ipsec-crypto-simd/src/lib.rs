//! AES-CBC, AES-CTR, AES-GCM, AES-CCM, ChaCha20-Poly1305 and HMAC with vector instructions of x86-64, for one packet or
//! sixteen at a time, DES and 3DES in bitsliced form and by tables, and Blowfish and CAST-128.
//!
//! [`Vaes`] holds the key schedules of AES and has the modes CBC (RFC 3602) and CTR (RFC 3686). [`AesGcm`] is AES-GCM
//! (NIST SP 800-38D) with VAES and VPCLMULQDQ, [`AesCcm`] AES-CCM (RFC 3610). [`ChaCha20Poly1305`] is the AEAD of RFC
//! 8439 in AVX-512, AVX2 or SSE2. [`sha_ni`] computes HMAC with SHA-1 and SHA-256 of one text, and [`hmac_batch`] HMAC
//! with [`Md5`], [`Sha1`] and [`Sha256`] of many, sixteen at a time. [`BitslicedDes`], [`TableDes`] and [`FastDes`],
//! which has both, are DES (RFC 2405) and 3DES (RFC 2451) in CBC mode ([`Cbc64`]), [`Blowfish`] and [`Cast128`] the
//! other ciphers of RFC 2451.
//! Arguments are octets, words and key schedules; the algorithms of ESP and AH that are made of them are in
//! `ipsec-crypto`, whose feature `vector-code` enables this crate.
//!
//! ```
//! # #[cfg(all(target_arch = "x86_64", not(target_os = "none")))] {
//! // None on a processor without the instructions.
//! if let Some(aes) = ipsec_crypto_simd::Vaes::new(&[0x42; 16]) {
//!     let mut blocks = [[0; 16]; 4];
//!     aes.encrypt_chain(&mut [0x17; 16], &mut blocks);
//!     aes.decrypt(&[0x17; 16], blocks.as_flattened_mut());
//!     assert_eq!(blocks, [[0; 16]; 4]);
//! }
//! # }
//! ```
//!
//! For AES and HMAC the processor needs AVX-512 as of Ice Lake or Zen 4, which is detected at run time with std.
//! [`BitslicedDes`] uses AVX-512, AVX2 or SSE2. On other targets than x86-64 with an operating system it uses integers,
//! and the crate has nothing else but the other ciphers with 64-bit blocks.
//!
//! Features: none.
//!
//! Security notes: keys and key schedules are wiped on drop and never printed. The code has no branches and no
//! addresses that depend on keys or texts, except for [`TableDes`], [`FastDes`], [`Blowfish`] and [`Cast128`]. CBC and
//! CTR do not authenticate; callers verify an ICV first. The crate does not allocate, panic or use `unsafe`.
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

mod blowfish;
mod cast128;
mod cbc64;
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
mod chacha20_poly1305;
mod des;
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
mod multi_buffer;
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
pub mod sha_ni;
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
mod text;
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
mod vaes;

pub use blowfish::Blowfish;
pub use cast128::Cast128;
pub use cbc64::{CHAINS, Cbc64};
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
pub use chacha20_poly1305::ChaCha20Poly1305;
pub use des::{BitslicedDes, FastDes, MAX_TABLE_LEN, TableDes};
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
pub use multi_buffer::{Md5, MultiBufferHash, Sha1, Sha256, hmac_batch};
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
pub use text::KeyedText;
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
pub use vaes::{AesCcm, AesGcm, Vaes};

/// Returns a token that proves that the machine has the instructions: every processor with AVX-512 from Ice Lake on
/// has those of AES in vectors and of SHA.
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
#[inline(always)]
pub fn available() -> Option<fearless_simd::Avx512> {
    fearless_simd::Level::new().as_avx512()
}
