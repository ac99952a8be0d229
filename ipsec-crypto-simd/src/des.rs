//! CBC mode of DES and 3DES (RFC 2405, RFC 2451): bitsliced, and by tables.

use core::fmt;

#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
use fearless_simd::{Level, kernel, u32x4, u32x8};
use zeroize::ZeroizeOnDrop;

use key::KeyMasks;

use crate::cbc64::{CHAINS, Cbc64};

pub use table::TableDes;

mod bitslice;
mod circuits;
mod key;
mod sboxes;
mod table;
#[cfg(test)]
mod tests;
mod word;

/// Bitsliced DES with one key, or encrypt-decrypt-encrypt with three (FIPS 46-3). It is constant-time: no branch and no
/// address depends on keys or texts.
///
/// The key is stored as it is, in 8 octets for each of its keys, and wiped on drop. Encryption and decryption make the
/// masks of its bits on the stack, 448 octets for each key, and wipe them.
#[derive(ZeroizeOnDrop)]
pub struct BitslicedDes<const KEYS: usize> {
    keys: [[u8; 8]; KEYS],
}

impl BitslicedDes<1> {
    /// Creates DES from a key, whose parity bits are ignored.
    pub fn new(key: &[u8; 8]) -> Self {
        Self { keys: [*key] }
    }
}

impl BitslicedDes<3> {
    /// Creates 3DES from three keys, whose parity bits are ignored.
    pub fn new(key: &[u8; 24]) -> Self {
        let mut keys = [[0; 8]; 3];
        keys.as_flattened_mut().copy_from_slice(key);
        Self { keys }
    }
}

impl<const KEYS: usize> Cbc64 for BitslicedDes<KEYS> {
    /// Encrypts each block in the time of 32.
    fn encrypt_chain(&self, chain: &mut [u8; 8], blocks: &mut [[u8; 8]]) {
        let keys = self.keys.each_ref().map(KeyMasks::new);
        let steps = blocks.len();
        bitslice::encrypt_chains(&keys, core::slice::from_mut(chain), &mut [blocks], steps);
    }

    /// Encrypts a block of each of 32 chains in the time of one.
    fn encrypt_chains(all: &[&Self], chains: &mut [[u8; 8]], bodies: &mut [&mut [[u8; 8]]], steps: usize) {
        for ((all, chains), bodies) in all.chunks(CHAINS).zip(chains.chunks_mut(CHAINS)).zip(bodies.chunks_mut(CHAINS))
        {
            let keys: [KeyMasks; KEYS] = core::array::from_fn(|number| {
                KeyMasks::of_each(all.iter().filter_map(move |des| des.keys.get(number)))
            });
            bitslice::encrypt_chains(&keys, chains, bodies, steps);
        }
    }

    /// Decrypts any number of blocks up to one that depends on the processor in the same time: 256 blocks with AVX2,
    /// 128 with the vectors of every x86-64, 64 in integers of 64 bits and 32 in integers of 32 bits.
    fn decrypt(&self, iv: &[u8; 8], body: &mut [u8]) {
        let keys = self.keys.each_ref().map(KeyMasks::new);
        let (blocks, _) = body.as_chunks_mut();
        #[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
        {
            let level = Level::new();
            if let Some(simd) = level.as_avx512() {
                return decrypt_avx512(simd, &keys, iv, blocks);
            }
            if let Some(simd) = level.as_avx2() {
                return decrypt_avx2(simd, &keys, iv, blocks);
            }
            if let Some(simd) = level.as_sse2() {
                return decrypt_sse2(simd, &keys, iv, blocks);
            }
        }
        decrypt_portable(&keys, iv, blocks);
    }
}

/// DES with one key, or encrypt-decrypt-encrypt with three (FIPS 46-3), by the faster of [`TableDes`] and
/// [`BitslicedDes`]. **Not** constant-time: only decryption of more than [`MAX_TABLE_LEN`] octets is.
#[derive(ZeroizeOnDrop)]
pub struct FastDes<const KEYS: usize> {
    tables: TableDes<KEYS>,
    bitsliced: BitslicedDes<KEYS>,
}

/// Longest body in octets that [`FastDes`] decrypts by tables: a group of bitsliced blocks takes as long as these.
pub const MAX_TABLE_LEN: usize = 32 * 8;

impl FastDes<1> {
    /// Creates DES from a key, whose parity bits are ignored.
    pub fn new(key: &[u8; 8]) -> Self {
        Self { tables: TableDes::<1>::new(key), bitsliced: BitslicedDes::<1>::new(key) }
    }
}

impl FastDes<3> {
    /// Creates 3DES from three keys, whose parity bits are ignored.
    pub fn new(key: &[u8; 24]) -> Self {
        Self { tables: TableDes::<3>::new(key), bitsliced: BitslicedDes::<3>::new(key) }
    }
}

impl<const KEYS: usize> Cbc64 for FastDes<KEYS> {
    fn encrypt_chain(&self, chain: &mut [u8; 8], blocks: &mut [[u8; 8]]) {
        self.tables.encrypt_chain(chain, blocks);
    }

    fn encrypt_chains(all: &[&Self], chains: &mut [[u8; 8]], bodies: &mut [&mut [[u8; 8]]], steps: usize) {
        for ((all, chains), bodies) in all.chunks(CHAINS).zip(chains.chunks_mut(CHAINS)).zip(bodies.chunks_mut(CHAINS))
        {
            let Some(first) = all.first() else { return };
            let tables: [_; CHAINS] = core::array::from_fn(|lane| &all.get(lane).unwrap_or(first).tables);
            TableDes::encrypt_chains(tables.get(..all.len()).unwrap_or_default(), chains, bodies, steps);
        }
    }

    fn decrypt(&self, iv: &[u8; 8], body: &mut [u8]) {
        if body.len() > MAX_TABLE_LEN {
            self.bitsliced.decrypt(iv, body);
        } else {
            self.tables.decrypt(iv, body);
        }
    }
}

impl<const KEYS: usize> fmt::Debug for FastDes<KEYS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FastDes(..)")
    }
}

impl<const KEYS: usize> fmt::Debug for BitslicedDes<KEYS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BitslicedDes(..)")
    }
}

#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
kernel! {
    // Vectors of 256 bits, as a packet seldom has more blocks than they. Instructions with three operands join gates.
    fn decrypt_avx512(simd: Avx512, keys: &[KeyMasks], iv: &[u8; 8], blocks: &mut [[u8; 8]]) {
        bitslice::decrypt_cbc::<u32x8<_>, 8>(simd, keys, iv, blocks);
    }
}

#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
kernel! {
    fn decrypt_avx2(simd: Avx2, keys: &[KeyMasks], iv: &[u8; 8], blocks: &mut [[u8; 8]]) {
        bitslice::decrypt_cbc::<u32x8<_>, 8>(simd, keys, iv, blocks);
    }
}

#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
kernel! {
    fn decrypt_sse2(simd: Sse2, keys: &[KeyMasks], iv: &[u8; 8], blocks: &mut [[u8; 8]]) {
        bitslice::decrypt_cbc::<u32x4<_>, 4>(simd, keys, iv, blocks);
    }
}

#[cfg(target_pointer_width = "64")]
fn decrypt_portable(keys: &[KeyMasks], iv: &[u8; 8], blocks: &mut [[u8; 8]]) {
    bitslice::decrypt_cbc::<u64, 2>((), keys, iv, blocks);
}

#[cfg(not(target_pointer_width = "64"))]
fn decrypt_portable(keys: &[KeyMasks], iv: &[u8; 8], blocks: &mut [[u8; 8]]) {
    bitslice::decrypt_cbc::<u32, 1>((), keys, iv, blocks);
}
