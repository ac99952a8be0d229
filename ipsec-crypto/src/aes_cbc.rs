use core::fmt;

use cipher::array::Array;
use cipher::consts::U16;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};

use crate::aes_backend::{Aes, Vaes};
use crate::batch::KeyUse;
use crate::cipher::BatchItem;
use crate::internal::Internal;
use crate::layout::layout;
use crate::{Cbc, Cipher, Confidential, IcvLen, Iv, Layout, cbc};

/// AES in CBC mode (RFC 3602) with the key size of `A`.
pub struct AesCbc<A>(Aes<A>);

/// AES in CBC mode with a key of 128 bits (RFC 3602 section 2.2).
pub type Aes128Cbc = AesCbc<aes::Aes128>;
/// AES in CBC mode with a key of 192 bits (RFC 3602 section 2.2).
pub type Aes192Cbc = AesCbc<aes::Aes192>;
/// AES in CBC mode with a key of 256 bits (RFC 3602 section 2.2).
pub type Aes256Cbc = AesCbc<aes::Aes256>;

macro_rules! sizes {
    ($($aes:ty, $octets:literal;)*) => {$(
        impl AesCbc<$aes> {
            /// Creates the cipher from a key of its size (RFC 3602 section 2.2).
            pub fn new(key: &[u8; $octets]) -> Self {
                Self(Aes::new(key, || <$aes>::new(&Array(*key))))
            }
        }
    )*};
}
sizes! { aes::Aes128, 16; aes::Aes192, 24; aes::Aes256, 32; }

impl<A: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>> Cipher for AesCbc<A> {
    fn layout(&self) -> Layout {
        layout!(16, 16, IcvLen::NONE, Unpredictable)
    }

    fn encrypt(&self, iv: &Iv, body: &mut [u8]) {
        match &self.0 {
            Aes::Portable(aes) => cbc::encrypt(aes, iv, body),
            Aes::Vaes(aes) => aes.encrypt_chain(&mut { *iv }, body.as_chunks_mut().0),
        }
    }

    fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
        match &self.0 {
            Aes::Portable(aes) => cbc::decrypt(aes, iv, body),
            Aes::Vaes(aes) => aes.decrypt(iv, body),
        }
    }

    fn encrypt_and_mac(&self, iv: &Iv, text: &mut [u8], from: usize, follow: &mut dyn FnMut(&[u8]), _: Internal) {
        match &self.0 {
            Aes::Portable(aes) => cbc::encrypt_and_mac(aes, iv, text, from, follow),
            Aes::Vaes(aes) => {
                let mut chain = *iv;
                cbc::encrypt_in_chunks(text, from, follow, |chunk| {
                    aes.encrypt_chain(&mut chain, chunk.as_chunks_mut().0)
                });
            }
        }
    }

    fn read_ahead(&self, use_of_keys: KeyUse, _: Internal) {
        match (&self.0, use_of_keys) {
            (Aes::Portable(_), _) => {}
            (Aes::Vaes(aes), KeyUse::Seal) => aes.read_ahead_to_encrypt(),
            (Aes::Vaes(aes), KeyUse::Open) => aes.read_ahead_to_decrypt(),
        }
    }

    fn min_batch(&self, _: Internal) -> usize {
        9
    }

    fn interleaves_keys(&self, _: Internal) -> bool {
        matches!(self.0, Aes::Vaes(_))
    }

    fn encrypt_batch(lanes: &mut [BatchItem<'_, Self>], _: Internal) {
        let wide = lanes.iter_mut().filter_map(|lane| match &lane.cipher.0 {
            Aes::Portable(_) => None,
            Aes::Vaes(aes) => Some((aes, lane.iv, lane.body.as_chunks_mut().0)),
        });
        cbc::interleaved::<_, _, { Vaes::LANES }>(wide, Vaes::encrypt_chains);
        cbc::encrypt_batch(lanes, |cipher| match &cipher.0 {
            Aes::Portable(aes) => Some(aes),
            Aes::Vaes(_) => None,
        });
    }
}

impl<A> Confidential for AesCbc<A> where Self: Cipher {}
impl<A> Cbc for AesCbc<A> where Self: Cipher {}

impl<A> fmt::Debug for AesCbc<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesCbc(..)")
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    /// Fills octets with the same pseudo-random values in each run (SplitMix64).
    fn fill(seed: &mut u64, octets: &mut [u8]) {
        for octet in octets {
            *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *octet = ((mixed ^ (mixed >> 27)) >> 40).to_le_bytes()[0];
        }
    }

    // On a machine without the instructions both ciphers are the portable implementation.
    macro_rules! vectors_and_library_agree {
        ($($name:ident: $aes:ty, $octets:literal;)*) => {$(
            /// Tests every number of blocks up to four groups, then mixed batches under several keys.
            #[test]
            fn $name() {
                let seed = &mut $octets;
                let both: [_; 3] = core::array::from_fn(|_| {
                    let mut key = [0; $octets];
                    fill(seed, &mut key);
                    let library = AesCbc(Aes::Portable(<$aes>::new(&Array(key))));
                    (AesCbc::<$aes>::new(&key), library)
                });
                let (mut iv, mut text) = ([0; 16], [0; 16 * 70]);
                for blocks in 0..=70 {
                    let (aes, library) = &both[blocks % 3];
                    fill(seed, &mut iv);
                    fill(seed, &mut text);
                    let plain = &text[..16 * blocks];
                    let (mut one, mut other) = (text, text);
                    aes.encrypt(&iv, &mut one[..16 * blocks]);
                    library.encrypt(&iv, &mut other[..16 * blocks]);
                    assert_eq!(one, other, "{blocks} blocks");
                    aes.decrypt(&iv, &mut one[..16 * blocks]);
                    assert_eq!(&one[..16 * blocks], plain, "{blocks} blocks");
                    library.decrypt(&iv, &mut one[..16 * blocks]);
                    aes.decrypt(&iv, &mut text[..16 * blocks]);
                    assert_eq!(one, text, "{blocks} blocks");
                }
                for packets in 0..50 {
                    let mut bodies = [[0; 16 * 9]; 50];
                    let ivs: [Iv; 50] = core::array::from_fn(|_| {
                        fill(seed, &mut iv);
                        iv
                    });
                    bodies.iter_mut().for_each(|body| fill(seed, body));
                    let mut others = bodies;
                    let each = bodies.iter_mut().zip(&mut others).zip(&ivs).take(packets).enumerate();
                    let mut lanes: heapless::Vec<BatchItem<'_, _>, 50> = heapless::Vec::new();
                    for (n, ((body, other), iv)) in each {
                        let (aes, library) = &both[n * packets % 7 % 3];
                        let octets = 16 * (n * 5 % 10);
                        library.encrypt(iv, &mut other[..octets]);
                        // The batch mixes both implementations.
                        let cipher = if n % 11 == 3 { library } else { aes };
                        assert!(lanes.push(BatchItem { cipher, iv: *iv, body: &mut body[..octets] }).is_ok());
                    }
                    AesCbc::encrypt_batch(&mut lanes, Internal);
                    drop(lanes);
                    assert_eq!(bodies, others, "{packets} packets");
                }
            }
        )*};
    }
    vectors_and_library_agree! {
        aes_128: aes::Aes128, 16;
        aes_192: aes::Aes192, 24;
        aes_256: aes::Aes256, 32;
    }
}
