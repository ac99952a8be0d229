//! CBC mode (RFC 3602 section 2): encryption block by block, decryption of sixteen blocks at a time.

use core::arch::x86_64::*;

use fearless_simd::{Avx512, SimdBase, SimdFrom, kernel, u8x16, u8x64};

use super::{BLOCKS, BLOCKS_PER_REGISTER, Block, REGISTERS, Schedule, Vaes, cbc_multi_buffer, load};

impl Vaes {
    /// Number of packets that are encrypted together.
    pub const LANES: usize = BLOCKS;

    /// Encrypts blocks in CBC mode after the block `chain`, which becomes the last block.
    #[inline]
    pub fn encrypt_chain(&self, chain: &mut [u8; 16], blocks: &mut [[u8; 16]]) {
        encrypt_chain(self.simd, &self.encrypt, chain, blocks);
    }

    /// Encrypts `steps` blocks of at most [`LANES`](Self::LANES) chains in CBC mode, each with its key, and removes
    /// them from the front of the bodies. No body is shorter, and all keys have one size.
    #[inline]
    pub fn encrypt_chains(all: &[&Self], chains: &mut [[u8; 16]], bodies: &mut [&mut [[u8; 16]]], steps: usize) {
        if let ([aes], [chain], [body]) = (all, &mut *chains, &mut *bodies) {
            let (now, later) = core::mem::take(body).split_at_mut_checked(steps).unwrap_or_default();
            *body = later;
            aes.encrypt_chain(chain, now);
        } else if let Some(first) = all.first() {
            cbc_multi_buffer::encrypt(first.simd, all, chains, bodies, steps);
        }
    }

    /// Decrypts whole blocks in CBC mode.
    #[inline]
    pub fn decrypt(&self, iv: &[u8; 16], body: &mut [u8]) {
        decrypt(self.simd, &self.decrypt, iv, body);
    }
}

kernel! {
    fn encrypt_chain(simd: Avx512, keys: &Schedule, chain: &mut Block, blocks: &mut [Block]) {
        let mut state = load(simd, chain);
        for block in blocks {
            state = _mm_xor_si128(_mm_xor_si128(state, keys.first), load(simd, block));
            for key in keys.middle() {
                state = _mm_aesenc_si128(state, *key);
            }
            state = _mm_aesenclast_si128(state, keys.last);
            store(simd, state, block);
        }
        store(simd, state, chain);
    }
}

/// Computes the key schedule of the equivalent inverse cipher (FIPS 197 section 5.3.5).
#[inline]
#[target_feature(enable = "aes")]
pub(super) fn inverse(encrypt: &Schedule) -> Schedule {
    let mut inverse = Schedule { first: encrypt.last, last: encrypt.first, ..encrypt.clone() };
    let backwards = encrypt.middle().iter().rev();
    inverse.middle.iter_mut().zip(backwards).for_each(|(to, key)| *to = _mm_aesimc_si128(*key));
    inverse
}

kernel! {
    fn decrypt(simd: Avx512, keys: &Schedule, iv: &Block, body: &mut [u8]) {
        let mut before = _mm512_broadcast_i32x4(load(simd, iv));
        let (groups, rest) = body.as_chunks_mut::<{ 16 * BLOCKS }>();
        for group in groups {
            before = decrypt_some::<REGISTERS>(simd, keys, before, group);
        }
        // The rest is seldom longer than half of a group, and often the whole body.
        if rest.len() > 16 * BLOCKS / 2 {
            decrypt_some::<REGISTERS>(simd, keys, before, rest);
        } else if !rest.is_empty() {
            decrypt_some::<{ REGISTERS / 2 }>(simd, keys, before, rest);
        }
    }
}

/// Decrypts as many blocks as fit into `N` registers; `before` ends with the block in front of them. Returns the last
/// register.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn decrypt_some<const N: usize>(simd: Avx512, keys: &Schedule, before: __m512i, body: &mut [u8]) -> __m512i {
    let (fours, some) = body.as_chunks_mut::<{ 16 * BLOCKS_PER_REGISTER }>();
    let (some, _) = some.as_chunks_mut();
    let mut texts = [_mm512_setzero_si512(); N];
    let (whole, last) = texts.split_at_mut_checked(fours.len()).unwrap_or_default();
    whole.iter_mut().zip(&*fours).for_each(|(text, four)| *text = u8x64::load_array_ref(simd, four).into());
    if !some.is_empty() {
        last.iter_mut().take(1).for_each(|text| *text = load_some(simd, some));
    }
    let plain = decrypt_chained(keys, before, texts);
    let (whole, last) = plain.split_at_checked(fours.len()).unwrap_or_default();
    fours.iter_mut().zip(whole).for_each(|(four, plain)| *four = u8x64::simd_from(simd, *plain).to_array());
    last.iter().take(1).for_each(|plain| store_some(simd, *plain, some));
    texts.last().copied().unwrap_or(before)
}

/// Decrypts consecutive blocks of one packet.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn decrypt_chained<const N: usize>(keys: &Schedule, mut before: __m512i, texts: [__m512i; N]) -> [__m512i; N] {
    let first = _mm512_broadcast_i32x4(keys.first);
    let mut plain = texts.map(|text| _mm512_xor_si512(text, first));
    for key in keys.middle() {
        let key = _mm512_broadcast_i32x4(*key);
        plain = plain.map(|plain| _mm512_aesdec_epi128(plain, key));
    }
    let last = _mm512_broadcast_i32x4(keys.last);
    for (plain, text) in plain.iter_mut().zip(texts) {
        let chained = _mm512_alignr_epi64(text, before, 6);
        *plain = _mm512_aesdeclast_epi128(*plain, _mm512_xor_si512(last, chained));
        before = text;
    }
    plain
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn join([a, b, c, d]: [__m128i; BLOCKS_PER_REGISTER]) -> __m512i {
    let low = _mm512_inserti32x4(_mm512_castsi128_si512(a), b, 1);
    _mm512_inserti32x4(_mm512_inserti32x4(low, c, 2), d, 3)
}

/// Loads up to four blocks, padded with zeros.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_some(simd: Avx512, blocks: &[Block]) -> __m512i {
    let mut each = blocks.iter().map(|block| load(simd, block));
    join(core::array::from_fn(|_| each.next().unwrap_or(_mm_setzero_si128())))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_some(simd: Avx512, four: __m512i, blocks: &mut [Block]) {
    let each = [
        _mm512_castsi512_si128(four),
        _mm512_extracti32x4_epi32(four, 1),
        _mm512_extracti32x4_epi32(four, 2),
        _mm512_extracti32x4_epi32(four, 3),
    ];
    each.into_iter().zip(blocks).for_each(|(state, block)| store(simd, state, block));
}

#[inline(always)]
fn store(simd: Avx512, state: __m128i, block: &mut Block) {
    *block = u8x16::simd_from(simd, state).to_array();
}
