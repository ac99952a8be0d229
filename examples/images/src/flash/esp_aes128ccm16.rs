//! Size of AES-128-CCM with an ICV of 16 octets.
#![no_std]
#![no_main]

mod esp;
#[path = "../image.rs"]
mod image;

use ipsec_crypto::Aes128Ccm16;

fn run(input: &[u8], output: &mut [u8]) -> usize {
    esp::seal_and_open(|key| Some(Aes128Ccm16::new(key.first_chunk()?, *key.first_chunk()?)), input, output)
}
