//! AES-XCBC-MAC-96 (RFC 3566): a CBC-MAC whose last block is masked with K2 when full and K3 when padded.

use core::fmt;

use aes::Aes128Enc as Aes128;
use cipher::array::Array;
use cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::append::excluded;
use crate::{Icv, IcvLen, Integrity};

/// AES-XCBC-MAC truncated to 96 bits (RFC 3566).
pub struct AesXcbcMac96 {
    k1: Aes128,
    k2: [u8; 16],
    k3: [u8; 16],
}

impl AesXcbcMac96 {
    /// Creates the algorithm from a key of 128 bits (RFC 3566 section 4.1).
    pub fn new(key: &[u8; 16]) -> Self {
        let cipher = Aes128::new(&Array(*key));
        let derive = |octet| {
            let mut block = Array([octet; 16]);
            cipher.encrypt_block(&mut block);
            block
        };
        let mut k1 = derive(1);
        let keyed = Self { k1: Aes128::new(&k1), k2: derive(2).into(), k3: derive(3).into() };
        k1.zeroize();
        keyed
    }

    /// Computes the MAC of 128 bits (RFC 3566 section 4).
    fn mac(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> [u8; 16] {
        let mut chain = [0u8; 16]; // E[i-1] xor the octets of M[i] that are there
        let mut filled = 0usize;
        feed(&mut |piece| {
            let mut rest = piece;
            while !rest.is_empty() {
                // A full block is encrypted when another octet shows that it is not the last.
                if filled == 16 {
                    self.encrypt(&mut chain);
                    filled = 0;
                }
                let free = chain.get_mut(filled..).unwrap_or_else(excluded);
                let taken = free.len().min(rest.len());
                let (now, later) = rest.split_at_checked(taken).unwrap_or_else(excluded);
                xor(free, now);
                filled = filled.saturating_add(taken);
                rest = later;
            }
        });
        if filled == 16 {
            xor(&mut chain, &self.k2);
        } else {
            xor(chain.get_mut(filled..).unwrap_or_else(excluded), &[0x80]);
            xor(&mut chain, &self.k3);
        }
        self.encrypt(&mut chain);
        chain
    }

    fn encrypt(&self, block: &mut [u8; 16]) {
        let mut array = Array(*block);
        self.k1.encrypt_block(&mut array);
        *block = array.into();
    }
}

/// Computes AES-XCBC-PRF-128. The key is brought to 16 octets first: a shorter key is padded with zeros, a longer one
/// is replaced by its own MAC (RFC 4434 section 2).
pub(crate) fn prf(key: &[u8], segments: &[&[u8]]) -> Zeroizing<[u8; 16]> {
    let mut block = Zeroizing::new([0u8; 16]);
    if key.len() > block.len() {
        *block = AesXcbcMac96::new(&block).mac(|absorb| absorb(key));
    } else {
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    }
    let keyed = AesXcbcMac96::new(&block);
    Zeroizing::new(keyed.mac(|absorb| segments.iter().for_each(|segment| absorb(segment))))
}

fn xor(into: &mut [u8], with: &[u8]) {
    into.iter_mut().zip(with).for_each(|(a, b)| *a ^= b);
}

impl Integrity for AesXcbcMac96 {
    fn icv_len(&self) -> IcvLen {
        IcvLen::of::<12>()
    }

    fn compute_over(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        Icv::first::<12>(self.mac(feed))
    }
}

impl Drop for AesXcbcMac96 {
    fn drop(&mut self) {
        self.k2.zeroize();
        self.k3.zeroize();
    }
}

impl ZeroizeOnDrop for AesXcbcMac96 {}

impl fmt::Debug for AesXcbcMac96 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesXcbcMac96(..)")
    }
}
