//! Size of Blowfish-CBC with HMAC-SHA1-96.
#![no_std]
#![no_main]

mod esp;
#[path = "../image.rs"]
mod image;

use ipsec_crypto::{BlowfishCbc, EncryptThenMac, HmacSha1_96};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    esp::seal_and_open(
        |key| Some(EncryptThenMac::new(BlowfishCbc::from_slice(key).ok()?, HmacSha1_96::new(key.first_chunk()?))),
        input,
        output,
    )
}
