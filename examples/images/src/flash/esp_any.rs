//! Size of every suite, chosen at run time.
#![no_std]
#![no_main]

mod esp;
#[path = "../image.rs"]
mod image;

use ipsec_crypto::{AnySuite, CipherAlgorithm, IntegrityAlgorithm};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let suite = |key: &[u8]| {
        let cipher = CipherAlgorithm::ALL.get(usize::from(*key.first()?))?.algorithm;
        let mac = IntegrityAlgorithm::ALL.get(usize::from(*key.last()?))?.algorithm;
        AnySuite::from_slices(cipher, key, mac, key).ok()
    };
    esp::seal_and_open(suite, input, output)
}
