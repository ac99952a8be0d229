//! Size of ChaCha20-Poly1305 with ESP.
#![no_std]
#![no_main]

mod esp;
#[path = "../image.rs"]
mod image;

use ipsec_crypto::ChaCha20Poly1305;

fn run(input: &[u8], output: &mut [u8]) -> usize {
    esp::seal_and_open(|key| Some(ChaCha20Poly1305::new(key.first_chunk()?, *key.first_chunk()?)), input, output)
}
