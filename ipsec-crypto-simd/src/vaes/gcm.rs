//! AES-GCM (NIST SP 800-38D) for ESP (RFC 4106).
//!
//! A packet is processed in groups of sixteen blocks, which are four registers. The processor has separate units for
//! rounds of AES and for carry-less multiplications, so the products of GHASH are computed between the rounds of the
//! key stream: after every second round those of one register.
//!
//! ```text
//! sealing    AES      | 1      | 2      | 3      |
//!            XOR               | text 1 | text 2 | text 3
//!            GHASH    | AAD             | text 1 | text 2 | text 3, lengths | ICV
//!
//! opening    AES      | 1      | 2      | 3      |
//!            GHASH    | text 1 | text 2 | text 3 | lengths | ICV
//!            XOR                                                 | text 1 .. 3, if the ICV is valid
//! ```
//!
//! The rest of a packet, of less than a group, is processed in one, two or four registers. Opening never writes
//! plaintext before the ICV is verified: the key stream of the first 2048 octets is stored until then, and that of
//! longer packets is computed afterwards. A packet with a forged ICV costs less than a valid one.

use core::arch::x86_64::*;
use core::fmt;

use fearless_simd::{Avx512, Level, SimdBase, SimdFrom, kernel, u8x16, u8x64};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::ghash::{Ghash, Powers, load_partial_block, reversed};
use super::stream::{REGISTER, apply, encrypt_block, key_stream, load_partial};
use super::{Block, REGISTERS, Schedule, expand};

/// Length of a group in octets.
const GROUP: usize = REGISTER * REGISTERS;
/// Number of registers of key stream that are stored until the ICV is verified.
const STORED: usize = 2048 / REGISTER;

/// Key stream that waits for the verification of the ICV. Its memory is not written before it is used.
type Stored = heapless::Vec<__m512i, STORED>;

/// AES-GCM (NIST SP 800-38D) with nonces of 12 octets, for a machine that has the instructions. Key schedule and powers
/// of the hash key are wiped on drop. It is constant-time.
#[derive(ZeroizeOnDrop)]
pub struct AesGcm {
    #[zeroize(skip)]
    simd: Avx512,
    keys: Schedule,
    powers: Powers,
}

impl AesGcm {
    /// Creates the AEAD from a key of 16, 24 or 32 octets. Returns `None` for other lengths, and on a machine without
    /// the instructions.
    pub fn new(key: &[u8]) -> Option<Self> {
        Level::new().as_avx512().filter(|_| matches!(key.len(), 16 | 24 | 32)).map(|simd| keyed(simd, key))
    }

    /// Encrypts a text of less than 2^32 - 2 blocks in place and returns the ICV, of which the first 8, 12 or 16
    /// octets are sent.
    pub fn seal(&self, nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        seal(self.simd, self, nonce, aad, text)
    }

    /// Passes the ICV to `verify`, and decrypts the text in place if that returns true. Otherwise the text is
    /// unchanged. Returns what `verify` has returned.
    #[must_use]
    pub fn open(&self, nonce: &[u8; 12], aad: &[u8], text: &mut [u8], verify: &dyn Fn(&[u8; 16]) -> bool) -> bool {
        open(self.simd, self, nonce, aad, text, verify)
    }
}

impl fmt::Debug for AesGcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesGcm(..)")
    }
}

kernel! {
    fn keyed(simd: Avx512, key: &[u8]) -> AesGcm {
        let keys = expand(key);
        let powers = Powers::new(simd, encrypt_block(&keys, _mm_setzero_si128()));
        AesGcm { simd, keys, powers }
    }
}

kernel! {
    fn seal(simd: Avx512, gcm: &AesGcm, nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        let (first, mut counters) = counters(nonce);
        let mask = encrypt_block(&gcm.keys, first);
        let (aad_len, text_len) = (aad.len(), text.len());
        let mut hash = Ghash::new(simd, &gcm.powers, aad, text_len.div_ceil(16));
        let (groups, rest) = text.as_chunks_mut::<GROUP>();
        // A group is hashed beside the key stream of the next one.
        let mut waiting: Option<[__m512i; REGISTERS]> = None;
        for group in groups {
            hash.begin_group();
            let stream = key_stream::<REGISTERS>(&gcm.keys, &mut counters, |n| {
                if let Some(text) = waiting.as_ref().and_then(|waiting| waiting.get(n)) {
                    hash.add(*text);
                }
            });
            waiting = Some(apply(simd, stream, group));
        }
        match rest.len() {
            0 => {
                hash.begin_group();
                waiting.iter().flatten().for_each(|text| hash.add(*text));
            }
            len if len <= REGISTER => seal_rest::<1>(simd, gcm, &mut hash, &mut counters, waiting, rest),
            len if len <= 2 * REGISTER => seal_rest::<2>(simd, gcm, &mut hash, &mut counters, waiting, rest),
            _ => seal_rest::<REGISTERS>(simd, gcm, &mut hash, &mut counters, waiting, rest),
        }
        store(simd, _mm_xor_si128(hash.finish(aad_len, text_len), mask))
    }
}

/// Encrypts less than a group in `N` registers, and hashes it after the group that waits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,pclmulqdq,vaes,vpclmulqdq")]
fn seal_rest<const N: usize>(
    simd: Avx512,
    gcm: &AesGcm,
    hash: &mut Ghash<'_>,
    counters: &mut __m512i,
    waiting: Option<[__m512i; REGISTERS]>,
    rest: &mut [u8],
) {
    hash.begin_group();
    let stream = key_stream::<N>(&gcm.keys, counters, |n| {
        if let Some(text) = waiting.as_ref().and_then(|waiting| waiting.get(n)) {
            hash.add(*text);
        }
    });
    hash.begin_group();
    let registers = rest.len().div_ceil(REGISTER);
    apply(simd, stream, rest).iter().take(registers).for_each(|text| hash.add(*text));
}

kernel! {
    fn open(
        simd: Avx512,
        gcm: &AesGcm,
        nonce: &[u8; 12],
        aad: &[u8],
        text: &mut [u8],
        verify: &dyn Fn(&[u8; 16]) -> bool,
    ) -> bool {
        let (first, mut counters) = counters(nonce);
        let mask = encrypt_block(&gcm.keys, first);
        let mut hash = Ghash::new(simd, &gcm.powers, aad, text.len().div_ceil(16));
        let mut stored = Stored::new();
        let (groups, rest) = text.as_chunks::<GROUP>();
        for group in groups {
            hash.begin_group();
            let (registers, _) = group.as_chunks::<REGISTER>();
            let mut hash_next = |n: usize| {
                if let Some(text) = registers.get(n) {
                    hash.add(u8x64::load_array_ref(simd, text).into());
                }
            };
            if stored.is_full() {
                (0..REGISTERS).for_each(hash_next);
            } else {
                let stream = key_stream::<REGISTERS>(&gcm.keys, &mut counters, &mut hash_next);
                stream.into_iter().for_each(|stream| store_stream(&mut stored, stream));
            }
        }
        match rest.len() {
            0 => {}
            len if len <= REGISTER => hash_rest::<1>(simd, gcm, &mut hash, &mut counters, &mut stored, rest),
            len if len <= 2 * REGISTER => hash_rest::<2>(simd, gcm, &mut hash, &mut counters, &mut stored, rest),
            _ => hash_rest::<REGISTERS>(simd, gcm, &mut hash, &mut counters, &mut stored, rest),
        }
        let icv = store(simd, _mm_xor_si128(hash.finish(aad.len(), text.len()), mask));

        let valid = verify(&icv);
        if valid {
            let first = text.len().min(STORED * REGISTER);
            let (first, later) = text.split_at_mut_checked(first).unwrap_or_default();
            for (text, stream) in first.chunks_mut(REGISTER).zip(&stored) {
                apply(simd, [*stream], text);
            }
            for group in later.chunks_mut(GROUP) {
                apply(simd, key_stream::<REGISTERS>(&gcm.keys, &mut counters, |_| ()), group);
            }
        }
        stored.iter_mut().for_each(Zeroize::zeroize);
        valid
    }
}

/// Hashes less than a group of ciphertext, beside its key stream in `N` registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,pclmulqdq,vaes,vpclmulqdq")]
fn hash_rest<const N: usize>(
    simd: Avx512,
    gcm: &AesGcm,
    hash: &mut Ghash<'_>,
    counters: &mut __m512i,
    stored: &mut Stored,
    rest: &[u8],
) {
    hash.begin_group();
    let (registers, partial) = rest.as_chunks::<REGISTER>();
    let mut hash_next = |n: usize| {
        if let Some(text) = registers.get(n) {
            hash.add(u8x64::load_array_ref(simd, text).into());
        } else if n == registers.len() && !partial.is_empty() {
            hash.add(load_partial(simd, partial));
        }
    };
    if stored.is_full() {
        (0..N).for_each(hash_next);
    } else {
        let stream = key_stream::<N>(&gcm.keys, counters, &mut hash_next);
        stream.into_iter().for_each(|stream| store_stream(stored, stream));
    }
}

/// Stores a register of key stream. There is space for it, as that for whole groups was checked.
#[inline]
#[target_feature(enable = "avx512f")]
fn store_stream(stored: &mut Stored, stream: __m512i) {
    let full = stored.push(stream);
    debug_assert!(full.is_ok(), "key stream of more than 2048 octets");
}

#[inline(always)]
fn store(simd: Avx512, block: __m128i) -> Block {
    u8x16::simd_from(simd, block).to_array()
}

/// Returns the first counter block, which has the number 1, and the next four in reversed order of octets, so that the
/// numbers are words (NIST SP 800-38D section 7.1).
#[inline]
#[target_feature(enable = "avx512f,ssse3,sse4.1")]
fn counters(nonce: &[u8; 12]) -> (__m128i, __m512i) {
    let first = _mm_insert_epi32(load_partial_block(nonce), 1 << 24, 3);
    let next = _mm512_setr_epi32(1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0);
    (first, _mm512_add_epi32(_mm512_broadcast_i32x4(_mm_shuffle_epi8(first, reversed())), next))
}
