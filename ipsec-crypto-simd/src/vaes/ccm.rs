//! AES-CCM (RFC 3610) for ESP (RFC 4309), in one pass over the text.
//!
//! CCM is CBC-MAC of the plaintext and counter mode with the same key. In CBC-MAC the block cipher of a block waits for
//! that of the block before, so that a packet takes the latency of all rounds of all blocks, and the units for AES are
//! idle for most of the time. The key stream of four blocks, which one register has, does not wait for anything. The
//! processor computes it between the rounds of the MAC, in the same pass:
//!
//! ```text
//! MAC    | B0 | AAD | text 1 | text 2 | text 3 | text 4 | text 5 | ..           | ICV
//! CTR    | A0, 1 to 4        | 5 to 8                            | 9 to 12 | ..
//! ```
//!
//! The last round of a block of the MAC adds a round key, to which the first round key and the next block of plaintext
//! are added before, as all of them are known: nothing but the rounds is in the chain. Gueron, "Intel Advanced
//! Encryption Standard (AES) New Instructions Set" (2010), describes the instructions and why independent blocks are
//! processed at the same time.
//!
//! Opening computes plaintext before the ICV can be verified, as CCM authenticates the plaintext. If verification
//! fails, the text is encrypted again and is as before.

use core::arch::x86_64::*;
use core::fmt;

use fearless_simd::{Avx512, Level, SimdBase, SimdFrom, kernel, u8x16, u8x64};
use zeroize::ZeroizeOnDrop;

use super::ctr::apply_stream;
use super::ghash::{load_partial_block, reversed};
use super::stream::{REGISTER, cut, encrypt_block, key_stream, load_partial, store_partial};
use super::{Schedule, expand};

/// Flags of a counter block: the counter has four octets (RFC 3610 section 2.3).
const COUNTER_FLAGS: u8 = 3;
/// Longest AAD in octets, which makes one block after its length of two octets.
const MAX_AAD: usize = 14;

/// AES-CCM (RFC 3610) with nonces of 11 octets, for a machine that has the instructions. The key schedule is wiped on
/// drop. It is constant-time.
#[derive(ZeroizeOnDrop)]
pub struct AesCcm {
    #[zeroize(skip)]
    simd: Avx512,
    keys: Schedule,
    /// Length of the ICV in octets, which the MAC covers.
    #[zeroize(skip)]
    icv_len: u8,
}

impl AesCcm {
    /// Creates the AEAD from a key of 16, 24 or 32 octets and the length of the ICV of 8, 12 or 16 octets. Returns
    /// `None` for other lengths, and on a machine without the instructions.
    pub fn new(key: &[u8], icv_len: usize) -> Option<Self> {
        let icv_len = u8::try_from(icv_len).ok().filter(|len| matches!(len, 8 | 12 | 16))?;
        let simd = Level::new().as_avx512().filter(|_| matches!(key.len(), 16 | 24 | 32))?;
        Some(Self { simd, keys: schedule(simd, key), icv_len })
    }

    /// Encrypts a text in place and returns 16 octets that begin with the ICV. Returns `None` and leaves the text
    /// unchanged if it has 2^32 octets or more, or if the AAD has more than 14, which that of ESP does not have.
    #[must_use]
    pub fn seal(&self, nonce: &[u8; 11], aad: &[u8], text: &mut [u8]) -> Option<[u8; 16]> {
        let start = self.start(nonce, aad, text)?;
        Some(seal(self.simd, &self.keys, start, aad, text))
    }

    /// Decrypts the text in place and passes 16 octets that begin with its ICV to `verify`. If that returns false, the
    /// text is encrypted again, and is unchanged. Returns what `verify` has returned, and false for the lengths that
    /// [`seal`](Self::seal) refuses.
    #[must_use]
    pub fn open(&self, nonce: &[u8; 11], aad: &[u8], text: &mut [u8], verify: &dyn Fn(&[u8; 16]) -> bool) -> bool {
        let Some(start) = self.start(nonce, aad, text) else { return false };
        let valid = verify(&open(self.simd, &self.keys, start, aad, text));
        if !valid {
            apply_stream(self.simd, &self.keys, start.nonce, text);
        }
        valid
    }

    /// Returns the blocks that a packet begins with (RFC 3610 sections 2.2 and 2.3).
    #[inline(always)]
    fn start(&self, nonce: &[u8; 11], aad: &[u8], text: &[u8]) -> Option<Start> {
        let len = u32::try_from(text.len()).ok().filter(|_| aad.len() <= MAX_AAD)?;
        let [a, b, c, d, e, f, g, h, i, j, k] = *nonce;
        // (M - 2) / 2 in bits 3 to 5, where M is even, and whether there is AAD in bit 6.
        let flags = self.icv_len.wrapping_sub(2).wrapping_mul(4) | u8::from(!aad.is_empty()) << 6 | COUNTER_FLAGS;
        Some(Start { nonce: [COUNTER_FLAGS, a, b, c, d, e, f, g, h, i, j, k], flags, len })
    }
}

impl fmt::Debug for AesCcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesCcm(..)")
    }
}

/// Flags, nonce and length in the first blocks of a packet.
#[derive(Clone, Copy)]
struct Start {
    /// Flags and nonce of the counter blocks.
    nonce: [u8; 12],
    /// Flags of the first block of the MAC.
    flags: u8,
    /// Length of the text in octets.
    len: u32,
}

kernel! {
    fn schedule(simd: Avx512, key: &[u8]) -> Schedule {
        let _ = simd;
        expand(key)
    }
}

kernel! {
    fn seal(simd: Avx512, keys: &Schedule, start: Start, aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        crypt::<true>(simd, keys, start, aad, text)
    }
}

kernel! {
    fn open(simd: Avx512, keys: &Schedule, start: Start, aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        crypt::<false>(simd, keys, start, aad, text)
    }
}

/// Encrypts if `SEAL`, otherwise decrypts, and returns the encrypted MAC of the plaintext.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,aes,vaes,ssse3,sse4.1")]
fn crypt<const SEAL: bool>(simd: Avx512, keys: &Schedule, start: Start, aad: &[u8], text: &mut [u8]) -> [u8; 16] {
    let zero = load_partial_block(&start.nonce);
    let mask = encrypt_block(keys, zero);
    let mut mac = Mac::new(keys, start, zero, aad);
    let next = _mm512_setr_epi32(1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0);
    let mut counters = _mm512_add_epi32(_mm512_broadcast_i32x4(_mm_shuffle_epi8(zero, reversed())), next);
    let (registers, rest) = text.as_chunks_mut::<REGISTER>();
    for register in registers {
        let [stream] = key_stream::<1>(keys, &mut counters, |_| ());
        let given = u8x64::load_array_ref(simd, register).into();
        let result = _mm512_xor_si512(given, stream);
        *register = u8x64::simd_from(simd, result).to_array();
        mac.absorb_four(if SEAL { given } else { result });
    }
    if !rest.is_empty() {
        let [stream] = key_stream::<1>(keys, &mut counters, |_| ());
        let given = load_partial(simd, rest);
        let result = _mm512_xor_si512(given, stream);
        store_partial(simd, result, rest);
        mac.absorb_some(if SEAL { given } else { cut(result, rest.len()) }, rest.len().div_ceil(16));
    }
    u8x16::simd_from(simd, mac.finish(mask)).to_array()
}

/// CBC-MAC of a packet (RFC 3610 section 2.2).
struct Mac<'a> {
    keys: &'a Schedule,
    /// Sum of the last and the first round key, which the end of a block and the begin of the next one add.
    joint: __m128i,
    /// Input of the first round of the block cipher.
    state: __m128i,
}

impl<'a> Mac<'a> {
    /// Begins with the block of flags, nonce and length, and the block of AAD. `zero` is the counter block with number
    /// 0, which has the same nonce.
    #[inline]
    #[target_feature(enable = "aes,sse4.1")]
    fn new(keys: &'a Schedule, start: Start, zero: __m128i, aad: &[u8]) -> Self {
        let len = start.len.swap_bytes().cast_signed();
        let first = _mm_insert_epi8(_mm_insert_epi32(zero, len, 3), start.flags.into(), 0);
        let mut mac =
            Self { keys, joint: _mm_xor_si128(keys.first, keys.last), state: _mm_xor_si128(first, keys.first) };
        if let Ok(len @ 1..) = i32::try_from(aad.len()) {
            // Two octets of length, then the AAD.
            mac.absorb(_mm_insert_epi8(_mm_slli_si128(load_partial_block(aad), 2), len, 1));
        }
        mac
    }

    #[inline]
    #[target_feature(enable = "aes")]
    fn absorb(&mut self, block: __m128i) {
        self.state = _mm_aesenclast_si128(self.middle_rounds(), _mm_xor_si128(self.joint, block));
    }

    #[inline]
    #[target_feature(enable = "avx512f,aes")]
    fn absorb_four(&mut self, blocks: __m512i) {
        self.absorb(_mm512_castsi512_si128(blocks));
        self.absorb(_mm512_extracti32x4_epi32(blocks, 1));
        self.absorb(_mm512_extracti32x4_epi32(blocks, 2));
        self.absorb(_mm512_extracti32x4_epi32(blocks, 3));
    }

    /// Absorbs the first blocks of a register.
    #[inline]
    #[target_feature(enable = "avx512f,aes")]
    fn absorb_some(&mut self, mut blocks: __m512i, number: usize) {
        for _ in 0..number {
            self.absorb(_mm512_castsi512_si128(blocks));
            blocks = _mm512_alignr_epi64(blocks, blocks, 2);
        }
    }

    /// Returns the MAC, to which `mask` is added.
    #[inline]
    #[target_feature(enable = "aes")]
    fn finish(self, mask: __m128i) -> __m128i {
        _mm_aesenclast_si128(self.middle_rounds(), _mm_xor_si128(self.keys.last, mask))
    }

    /// Returns the state after all rounds but the last one.
    #[inline]
    #[target_feature(enable = "aes")]
    fn middle_rounds(&self) -> __m128i {
        // Every key size has these rounds, which are not a loop.
        let [a, b, c, d, e, f, g, h, i, others @ ..] = &self.keys.middle;
        let mut state = self.state;
        for key in [a, b, c, d, e, f, g, h, i] {
            state = _mm_aesenc_si128(state, *key);
        }
        for key in others.iter().take(self.keys.between.saturating_sub(9)) {
            state = _mm_aesenc_si128(state, *key);
        }
        state
    }
}
