//! AES with instructions that process four blocks per round: key schedules and modes.

use core::arch::x86_64::*;
use core::fmt;
use core::hint::black_box;

use fearless_simd::{Avx512, Level, SimdBase, kernel, u8x16};
use zeroize::{Zeroize, ZeroizeOnDrop};

mod cbc;
mod cbc_multi_buffer;
mod ccm;
mod ctr;
mod gcm;
mod ghash;
mod stream;

pub use ccm::AesCcm;
pub use gcm::AesGcm;

type Block = [u8; 16];

/// Number of blocks in a register.
const BLOCKS_PER_REGISTER: usize = 4;
/// Number of registers that are processed at once, chosen so that no instruction waits for its predecessor.
const REGISTERS: usize = 4;
/// Number of blocks in all registers.
const BLOCKS: usize = BLOCKS_PER_REGISTER * REGISTERS;

/// AES key schedules (FIPS 197 section 5.2) for a machine that has the instructions. They are wiped on drop.
#[derive(ZeroizeOnDrop)]
pub struct Vaes {
    #[zeroize(skip)]
    simd: Avx512,
    encrypt: Schedule,
    decrypt: Schedule,
}

/// Round keys (FIPS 197 section 5.2).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Schedule {
    first: __m128i,
    middle: [__m128i; 13],
    /// Number of middle rounds: 9, 11 or 13.
    between: usize,
    last: __m128i,
}

impl Vaes {
    /// Creates the schedules from a key of 16, 24 or 32 octets. Returns `None` for other lengths, and on a machine
    /// without the instructions.
    pub fn new(key: &[u8]) -> Option<Self> {
        Level::new().as_avx512().filter(|_| matches!(key.len(), 16 | 24 | 32)).map(|simd| schedules(simd, key))
    }

    /// Reads the round keys of encryption into the cache of the processor.
    pub fn read_ahead_to_encrypt(&self) {
        read_lines(self.simd, &self.encrypt);
    }

    /// Reads the round keys of decryption into the cache of the processor.
    pub fn read_ahead_to_decrypt(&self) {
        read_lines(self.simd, &self.decrypt);
    }
}

impl fmt::Debug for Vaes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vaes(..)")
    }
}

impl Schedule {
    #[inline(always)]
    fn middle(&self) -> &[__m128i] {
        self.middle.get(..self.between).unwrap_or_default()
    }
}

kernel! {
    /// Reads a key of each line of the cache of the processor that a schedule occupies, and keeps nothing of them.
    fn read_lines(simd: Avx512, keys: &Schedule) {
        let _ = simd;
        let [_, _, a, _, _, _, b, _, _, _, c, ..] = keys.middle;
        let words = [keys.first, a, b, c, keys.last].map(|key| _mm_cvtsi128_si32(key));
        let [v, w, x, y, z] = words;
        black_box(v ^ w ^ x ^ y ^ z == 0);
    }
}

kernel! {
    fn schedules(simd: Avx512, key: &[u8]) -> Vaes {
        let encrypt = expand(key);
        Vaes {
            simd,
            decrypt: cbc::inverse(&encrypt),
            encrypt,
        }
    }
}

/// Expands a key of 16, 24 or 32 octets (FIPS 197 section 5.2).
#[inline]
#[target_feature(enable = "aes")]
fn expand(key: &[u8]) -> Schedule {
    let zero = _mm_setzero_si128();
    // The last round without a key substitutes only: if all columns are equal, shifting rows changes nothing.
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
    let mut encrypt = Schedule { first: zero, middle: [zero; 13], between, last: zero };
    encrypt.first = next();
    encrypt.middle.iter_mut().take(between).for_each(|to| *to = next());
    encrypt.last = next();
    words.zeroize();
    encrypt
}

#[inline(always)]
fn load(simd: Avx512, block: &Block) -> __m128i {
    u8x16::load_array_ref(simd, block).into()
}
