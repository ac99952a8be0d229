//! Ciphers, integrity algorithms and suites of ESP, AH and IKE.
//!
//! A [`Suite`] encrypts and authenticates the [`EspParts`] of one packet in place. [`EncryptThenMac`] and the AEADs are
//! chosen at compile time, [`AnySuite`] at run time. Keys and what is derived from them are stored in types of this
//! crate and of `ipsec-crypto-simd` only. Ciphers and hashes are those of RustCrypto, except for the vector code of
//! feature `vector-code` (AES-CBC, AES-CTR, AES-GCM and AES-CCM, ChaCha20-Poly1305, DES, 3DES, Blowfish, CAST-128, HMAC
//! with SHA-1 and SHA-256, and batches), which is in `ipsec-crypto-simd`. Packet formats are in `esp-core` and
//! `ah-core`.
//!
//! ```
//! # #[cfg(all(feature = "aes-cbc", feature = "hmac-sha1"))] {
//! use ipsec_crypto::{Aes128Cbc, EncryptThenMac, EspParts, HmacSha1_96, Suite};
//!
//! // IKE or an administrator supplies the keys of a real SA.
//! let suite = EncryptThenMac::new(Aes128Cbc::new(&rand::random()), HmacSha1_96::new(&rand::random()));
//! let mut packet = [0; 8 + 16 + 32 + 12]; // SPI and sequence number, IV, payload with trailer, ICV
//! packet[8..24].copy_from_slice(&rand::random::<[u8; 16]>());
//! let mut parts = EspParts::split(suite.layout(), &mut packet, None)?;
//! suite.seal(&mut parts);
//! suite.open(&mut parts)?; // decrypts only if the ICV is valid
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A packet is decrypted only after its ICV was verified by the same suite: [`Suite::open`] does both, and the proof
//! [`Verified`], which a suite of a third party uses, cannot be created otherwise. [`batch`] is for several packets at
//! once. The methods of the traits that serve speed cannot be called or implemented by other crates.
//!
//! Features: one per algorithm, grouped as `modern` and `legacy`; `runtime-suites` for [`AnySuite`]; `vector-code` for
//! vector implementations of AES-CBC, AES-CTR, AES-GCM, AES-CCM, HMAC and batches on x86-64 with AVX-512 from Ice Lake
//! and Zen 4 on (it needs std on x86-64 to detect the processor), and for DES and 3DES by tables and in bitsliced form,
//! and Blowfish and CAST-128 of several blocks in turn, on every machine. All features are additive. `--cfg
//! ipsec_small` is for machines with little stack and AES in software; `--cfg ipsec_constant_time_des` uses bitsliced
//! DES and 3DES only (with `vector-code`).
//!
//! Security notes: keys and key schedules are wiped on drop and never printed. ICVs are compared in constant time,
//! and before anything is decrypted. AES and the hashes are constant-time; DES, 3DES, Blowfish and CAST-128 look up
//! tables at secret indices and are **not**; `--cfg ipsec_constant_time_des` makes DES and 3DES constant-time. Legacy
//! algorithms are for peers without stronger ones: 64-bit blocks leak after 2^32 blocks, single DES is broken by
//! search, and MD5 is secure inside HMAC only.
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
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(any(feature = "aes-gcm", feature = "chacha20-poly1305"))]
mod aead;
#[cfg(any(feature = "aes-gcm", feature = "chacha20-poly1305"))]
mod aead_backend;
#[cfg(any(feature = "aes-cbc", feature = "aes-ctr"))]
mod aes_backend;
#[cfg(feature = "aes-cbc")]
mod aes_cbc;
#[cfg(feature = "runtime-suites")]
mod any;
mod append;
pub mod batch;
#[cfg(feature = "blowfish")]
mod blowfish_backend;
#[cfg(feature = "cast128")]
mod cast128_backend;
#[cfg(any(feature = "aes-cbc", feature = "des", feature = "3des", feature = "blowfish", feature = "cast128"))]
mod cbc;
#[cfg(any(feature = "des", feature = "3des", feature = "blowfish", feature = "cast128"))]
mod cbc64;
#[cfg(any(feature = "des", feature = "3des", feature = "blowfish", feature = "cast128"))]
mod cbc_backend;
#[cfg(feature = "aes-ccm")]
mod ccm;
#[cfg(feature = "aes-ccm")]
mod ccm_backend;
#[cfg(feature = "chacha20-poly1305")]
mod chacha;
mod cipher;
#[cfg(feature = "aes-cmac")]
mod cmac;
#[cfg(any(feature = "aes-ctr", feature = "aes-ccm"))]
mod counter_mode;
mod ct;
#[cfg(feature = "aes-ctr")]
mod ctr;
#[cfg(any(feature = "des", feature = "3des"))]
mod des_backend;
mod encrypt_then_mac;
mod esp_parts;
#[cfg(feature = "aes-gcm")]
mod gcm;
#[cfg(feature = "aes-gmac")]
mod gmac;
#[cfg(feature = "_hmac")]
mod hash;
#[cfg(feature = "_hmac")]
mod hash_blocks;
#[cfg(feature = "_hmac")]
mod hashes;
#[cfg(feature = "_hmac")]
mod hmac;
mod integrity;
mod internal;
mod key;
mod keyed;
mod layout;
#[cfg(any(feature = "aes-gcm", feature = "aes-ccm", feature = "chacha20-poly1305"))]
mod nonce;
#[cfg(any(
    feature = "aes-cbc",
    feature = "aes-ctr",
    feature = "aes-ccm",
    feature = "des",
    feature = "3des",
    feature = "blowfish",
    feature = "cast128"
))]
mod par_blocks;
#[cfg(feature = "_prf")]
mod prf;
mod registry;
#[cfg(all(
    feature = "vector-code",
    any(feature = "hmac-md5", feature = "hmac-sha1", feature = "hmac-sha2-256"),
    target_arch = "x86_64",
    not(target_os = "none")
))]
mod simd_hmac;
mod suite;
mod verified;
#[cfg(any(feature = "des", feature = "3des"))]
mod weak;
#[cfg(all(test, feature = "modern", feature = "legacy", feature = "runtime-suites"))]
mod wycheproof_vectors;
#[cfg(feature = "aes-xcbc")]
mod xcbc;

#[cfg(feature = "aes-cbc")]
pub use aes_cbc::{Aes128Cbc, Aes192Cbc, Aes256Cbc, AesCbc};
#[cfg(feature = "runtime-suites")]
pub use any::{AnyAhIntegrity, AnyCipher, AnyIntegrity, AnySuite};
#[cfg(feature = "blowfish")]
pub use cbc64::BlowfishCbc;
#[cfg(feature = "cast128")]
pub use cbc64::Cast128Cbc;
#[cfg(feature = "des")]
pub use cbc64::DesCbc;
#[cfg(feature = "3des")]
pub use cbc64::TripleDesCbc;
#[cfg(feature = "aes-ccm")]
pub use ccm::{
    Aes128Ccm8, Aes128Ccm12, Aes128Ccm16, Aes192Ccm8, Aes192Ccm12, Aes192Ccm16, Aes256Ccm8, Aes256Ccm12, Aes256Ccm16,
    Ccm,
};
#[cfg(feature = "chacha20-poly1305")]
pub use chacha::{ChaCha, ChaCha20Poly1305};
#[cfg(feature = "null")]
pub use cipher::Null;
pub use cipher::{Cbc, Cipher, Confidential, Iv};
#[cfg(feature = "aes-cmac")]
pub use cmac::AesCmac96;
#[cfg(feature = "aes-ctr")]
pub use ctr::{Aes128Ctr, Aes192Ctr, Aes256Ctr, AesCtr};
pub use encrypt_then_mac::{EncryptThenMac, EncryptWithoutIntegrity};
pub use esp_parts::{Aad, EspParts};
#[cfg(feature = "aes-gcm")]
pub use gcm::{
    Aes128Gcm8, Aes128Gcm12, Aes128Gcm16, Aes192Gcm8, Aes192Gcm12, Aes192Gcm16, Aes256Gcm8, Aes256Gcm12, Aes256Gcm16,
    Gcm,
};
#[cfg(feature = "aes-gmac")]
pub use gmac::{Aes128Gmac, Aes192Gmac, Aes256Gmac, AesGmac};
#[cfg(feature = "_hmac")]
pub use hash::Hash;
#[cfg(feature = "hmac-md5")]
pub use hashes::Md5;
#[cfg(feature = "hmac-ripemd160")]
pub use hashes::Ripemd160;
#[cfg(feature = "hmac-sha1")]
pub use hashes::Sha1;
#[cfg(feature = "hmac-sha2-256")]
pub use hashes::Sha256;
#[cfg(feature = "hmac-sha2-384")]
pub use hashes::Sha384;
#[cfg(feature = "hmac-sha2-512")]
pub use hashes::Sha512;
#[cfg(feature = "_hmac")]
pub use hmac::HmacIntegrity;
#[cfg(feature = "hmac-md5")]
pub use hmac::HmacMd5_96;
#[cfg(feature = "hmac-ripemd160")]
pub use hmac::HmacRipemd160_96;
#[cfg(feature = "hmac-sha1")]
pub use hmac::HmacSha1_96;
#[cfg(feature = "hmac-sha2-256-96")]
pub use hmac::HmacSha2_256_96;
#[cfg(feature = "hmac-sha2-256")]
pub use hmac::HmacSha2_256_128;
#[cfg(feature = "hmac-sha2-384")]
pub use hmac::HmacSha2_384_192;
#[cfg(feature = "hmac-sha2-512")]
pub use hmac::HmacSha2_512_256;
pub use integrity::{AhIntegrity, Icv, IcvInput, Integrity, MAX_ICV};
pub use key::{KeyError, KeyLengths, Secret, SuiteKeys};
pub use keyed::{AlgorithmError, KeyedAhIntegrity, KeyedCipher, KeyedIntegrity, KeyedSuite};
pub use layout::{IcvLen, IvRule, Layout, LayoutError, LengthError};
#[cfg(feature = "_prf")]
pub use prf::{HashFunction, MAX_PRF, Prf, PrfOutput};
pub use registry::{CipherAlgorithm, CipherRow, IntegrityAlgorithm, IntegrityRow};
pub use suite::{IcvMismatch, Suite};
pub use verified::Verified;
#[cfg(feature = "aes-xcbc")]
pub use xcbc::AesXcbcMac96;
