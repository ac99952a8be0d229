//! Size of AES-256-CBC with HMAC-SHA2-256-128.
#![no_std]
#![no_main]

mod esp;
#[path = "../image.rs"]
mod image;

use ipsec_crypto::{Aes256Cbc, EncryptThenMac, HmacSha2_256_128};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    esp::seal_and_open(
        |key| Some(EncryptThenMac::new(Aes256Cbc::new(key.first_chunk()?), HmacSha2_256_128::new(key.first_chunk()?))),
        input,
        output,
    )
}
