//! The schedules of a key, and CBC (RFC 3602) with instructions that take a round of four blocks at once.

use core::arch::x86_64::*;

use cipher::array::Array;
use fearless_simd::{Avx512, Level, SimdBase, SimdFrom, kernel, u8x16, u8x64};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Block, side_by_side};
use crate::Iv;

/// Blocks of a register.
pub(super) const FOUR: usize = 4;
/// Registers that are worked on at once: as many as it takes to wait for none.
pub(super) const REGISTERS: usize = 4;
/// Packets that are encrypted side by side.
pub(crate) const LANES: usize = FOUR * REGISTERS;

/// AES with the schedules of a key, on a machine that has the instructions.
#[derive(Clone)]
pub(crate) struct WideAes {
    simd: Avx512,
    pub(super) encrypt: Schedule,
    decrypt: Schedule,
}

/// The key of each round (FIPS 197 5.2).
#[derive(Clone)]
pub(super) struct Schedule {
    pub first: __m128i,
    pub middle: [__m128i; 13],
    /// How many of them: 9, 11 or 13.
    pub between: usize,
    pub last: __m128i,
}

impl WideAes {
    /// From a key of 16, 24 or 32 octets; none on another machine.
    pub fn new(key: &[u8]) -> Option<Self> {
        Level::new().as_avx512().map(|simd| schedules(simd, key))
    }

    /// CBC, on from the block `chain`, which becomes the last one.
    pub fn encrypt_chain(&self, chain: &mut Block, blocks: &mut [Block]) {
        encrypt_chain(self.simd, &self.encrypt, chain, blocks);
    }

    /// At most [`LANES`] chains, each with its key, all of one length, so many blocks further.
    pub fn encrypt_chains(all: &[&Self], chains: &mut [Block], bodies: &mut [&mut [Block]], steps: usize) {
        if let ([aes], [chain], [body]) = (all, &mut *chains, &mut *bodies) {
            let (now, later) = core::mem::take(body).split_at_mut_checked(steps).unwrap_or_default();
            *body = later;
            aes.encrypt_chain(chain, now);
        } else if let Some(first) = all.first() {
            side_by_side::encrypt(first.simd, all, chains, bodies, steps);
        }
    }

    /// CBC, of whole blocks.
    pub fn decrypt(&self, iv: &Iv, body: &mut [u8]) {
        decrypt(self.simd, &self.decrypt, iv, body);
    }
}

impl Schedule {
    #[inline(always)]
    fn middle(&self) -> &[__m128i] {
        self.middle.get(..self.between).unwrap_or_default()
    }
}

kernel! {
    fn schedules(simd: Avx512, key: &[u8]) -> WideAes {
        let zero = _mm_setzero_si128();
        // The last round without a key: shifted rows of equal columns are the same rows.
        let substitute = |word: u32| {
            let columns = _mm_set1_epi32(word.cast_signed());
            _mm_cvtsi128_si32(_mm_aesenclast_si128(columns, zero)).cast_unsigned()
        };
        let (given, _) = key.as_chunks::<4>();
        let mut words = [0u32; 60];
        words.iter_mut().zip(given).for_each(|(to, from)| *to = u32::from_le_bytes(*from));
        let (mut constant, mut since) = (1u8, 0usize);
        let used = given.len().saturating_add(7).saturating_mul(4);
        for at in given.len()..used {
            let before = |by: usize| at.checked_sub(by).and_then(|at| words.get(at)).copied().unwrap_or_default();
            let mut word = before(1);
            if since == 0 {
                word = substitute(word.rotate_right(8)) ^ u32::from(constant);
                constant = constant.wrapping_shl(1) ^ if constant & 0x80 == 0 { 0 } else { 0x1b };
            } else if since == 4 && given.len() > 6 {
                word = substitute(word);
            }
            word ^= before(given.len());
            words.iter_mut().skip(at).take(1).for_each(|to| *to = word);
            since = if since.saturating_add(1) == given.len() { 0 } else { since.saturating_add(1) };
        }
        let (columns, _) = words.as_chunks::<4>();
        let mut keys = columns.iter().map(|words| {
            let [a, b, c, d] = words.map(u32::cast_signed);
            _mm_set_epi32(d, c, b, a)
        });
        let between = given.len().saturating_add(5);
        let mut next = || keys.next().unwrap_or(zero);
        let first = next();
        let mut middle = [zero; 13];
        middle.iter_mut().take(between).for_each(|to| *to = next());
        let encrypt = Schedule { first, middle, between, last: next() };
        let mut decrypt = Schedule { first: encrypt.last, last: encrypt.first, ..encrypt.clone() };
        let backwards = encrypt.middle().iter().rev();
        decrypt.middle.iter_mut().zip(backwards).for_each(|(to, key)| *to = _mm_aesimc_si128(*key));
        words.zeroize();
        WideAes { simd, encrypt, decrypt }
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

kernel! {
    fn decrypt(simd: Avx512, keys: &Schedule, iv: &Iv, body: &mut [u8]) {
        let mut before = _mm512_broadcast_i32x4(load(simd, &Array(*iv)));
        let (groups, rest) = body.as_chunks_mut::<{ 16 * LANES }>();
        let mut texts = [_mm512_setzero_si512(); REGISTERS];
        for group in groups {
            let (fours, _) = group.as_chunks_mut::<{ 16 * FOUR }>();
            texts.iter_mut().zip(&*fours).for_each(|(text, four)| *text = u8x64::load_array_ref(simd, four).into());
            let plain = unchain(keys, &mut before, texts);
            fours.iter_mut().zip(plain).for_each(|(four, plain)| *four = u8x64::simd_from(simd, plain).to_array());
        }
        if !rest.is_empty() {
            let (fours, some) = rest.as_chunks_mut::<{ 16 * FOUR }>();
            let (some, _) = Array::slice_as_chunks_mut(some);
            let (whole, last) = texts.split_at_mut_checked(fours.len()).unwrap_or_default();
            whole.iter_mut().zip(&*fours).for_each(|(text, four)| *text = u8x64::load_array_ref(simd, four).into());
            last.iter_mut().take(1).for_each(|text| *text = load_some(simd, some));
            let plain = unchain(keys, &mut before, texts);
            let (whole, last) = plain.split_at_checked(fours.len()).unwrap_or_default();
            fours.iter_mut().zip(whole).for_each(|(four, plain)| *four = u8x64::simd_from(simd, *plain).to_array());
            last.iter().take(1).for_each(|plain| store_some(simd, *plain, some));
        }
    }
}

/// Blocks that follow each other, decrypted; `before` is a register that ends with the block before them.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn unchain(keys: &Schedule, before: &mut __m512i, texts: [__m512i; REGISTERS]) -> [__m512i; REGISTERS] {
    let first = _mm512_broadcast_i32x4(keys.first);
    let mut plain = texts.map(|text| _mm512_xor_si512(text, first));
    for key in keys.middle() {
        let key = _mm512_broadcast_i32x4(*key);
        plain = plain.map(|plain| _mm512_aesdec_epi128(plain, key));
    }
    let last = _mm512_broadcast_i32x4(keys.last);
    for (plain, text) in plain.iter_mut().zip(texts) {
        let chained = _mm512_alignr_epi64(text, *before, 6);
        *plain = _mm512_aesdeclast_epi128(*plain, _mm512_xor_si512(last, chained));
        *before = text;
    }
    plain
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn join([a, b, c, d]: [__m128i; FOUR]) -> __m512i {
    let low = _mm512_inserti32x4(_mm512_castsi128_si512(a), b, 1);
    _mm512_inserti32x4(_mm512_inserti32x4(low, c, 2), d, 3)
}

/// Up to four blocks, and zeros behind them.
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
fn load(simd: Avx512, block: &Block) -> __m128i {
    u8x16::load_array_ref(simd, &block.0).into()
}

#[inline(always)]
fn store(simd: Avx512, state: __m128i, block: &mut Block) {
    block.0 = u8x16::simd_from(simd, state).to_array();
}

impl Drop for WideAes {
    fn drop(&mut self) {
        for keys in [&mut self.encrypt, &mut self.decrypt] {
            keys.first.zeroize();
            keys.middle.zeroize();
            keys.last.zeroize();
        }
    }
}

impl ZeroizeOnDrop for WideAes {}
