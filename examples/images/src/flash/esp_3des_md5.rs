//! Size of 3DES-CBC with HMAC-MD5-96.
#![no_std]
#![no_main]

mod esp;
#[path = "../image.rs"]
mod image;

use ipsec_crypto::{EncryptThenMac, HmacMd5_96, TripleDesCbc};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    esp::seal_and_open(
        |key| Some(EncryptThenMac::new(TripleDesCbc::from_slice(key).ok()?, HmacMd5_96::new(key.first_chunk()?))),
        input,
        output,
    )
}
