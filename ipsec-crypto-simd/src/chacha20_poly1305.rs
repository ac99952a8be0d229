//! ChaCha20-Poly1305 (RFC 8439) with AVX-512, AVX2 or SSE2, for ESP (RFC 7634).
//!
//! Poly1305 is a chain of multiplications of 64-bit integers, and ChaCha20 needs the vectors of the processor: both run
//! at the same time. A packet is processed in groups of blocks, of which the first has the key of Poly1305:
//!
//! ```text
//! sealing    ChaCha20   | key, 1  | 2       | 3       |
//!            XOR                  | text 1  | text 2  | text 3  |
//!            Poly1305             | AAD     | text 1  | text 2  | text 3 | ICV
//!
//! opening    ChaCha20   | key, 1  | 2       | 3       |
//!            Poly1305             | text    | text    | text    | ICV
//!            XOR                                                      | text 1 .. 3, if the ICV is valid
//! ```

use core::fmt;

use fearless_simd::{Avx2, Avx512, Level, Simd, SimdBase, SimdFrom, Sse2, kernel, u8x16, u32x4, u32x8, u32x16};
use zeroize::{Zeroize, ZeroizeOnDrop};

use chacha20::{Piece, Row, Set, Stream, apply};
use poly1305::{Accumulator, Key};

mod chacha20;
mod poly1305;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;

/// Length of a block of key stream in octets.
const BLOCK: usize = 64;

/// Longest text in octets for which four blocks of key stream are enough, of which the first has the key of Poly1305.
const SHORT: usize = 3 * BLOCK;

/// Number of pieces of key stream that are stored until the ICV is verified, after the first group of AVX2: with it
/// enough for a packet of 1472 octets. Those of longer packets are computed afterwards. The number is a multiple of the
/// pieces of a group.
const STORED: usize = 72;
/// Number of pieces of key stream that are stored after the first group of AVX-512, whose groups are longer.
const STORED_AVX512: usize = 48;

/// ChaCha20-Poly1305 with the key of an SA, which is wiped on drop. It is constant-time.
#[derive(ZeroizeOnDrop)]
pub struct ChaCha20Poly1305 {
    key: [u8; 32],
    #[zeroize(skip)]
    vectors: Vectors,
}

/// Widest vectors of the processor.
#[derive(Clone, Copy)]
enum Vectors {
    Avx512(Avx512),
    Avx2(Avx2),
    Sse2(Sse2),
}

impl Vectors {
    fn detect() -> Option<Self> {
        let level = Level::new();
        let avx512 = level.as_avx512().map(Self::Avx512);
        avx512.or_else(|| level.as_avx2().map(Self::Avx2)).or_else(|| level.as_sse2().map(Self::Sse2))
    }
}

impl ChaCha20Poly1305 {
    /// Creates the AEAD from a key. Returns `None` if the processor was declared to have no vectors.
    pub fn new(key: &[u8; 32]) -> Option<Self> {
        Some(Self { key: *key, vectors: Vectors::detect()? })
    }

    /// Encrypts a text of less than 2^32 - 1 blocks of 64 octets in place and returns the ICV.
    pub fn seal(&self, nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        match self.vectors {
            Vectors::Avx512(simd) => seal_avx512(simd, &self.key, nonce, aad, text),
            Vectors::Avx2(simd) => seal_avx2(simd, &self.key, nonce, aad, text),
            Vectors::Sse2(simd) => seal_sse2(simd, &self.key, nonce, aad, text),
        }
    }

    /// Passes the ICV to `verify`, and decrypts the text in place if that returns true. Otherwise the text is
    /// unchanged. Returns what `verify` has returned.
    #[must_use]
    pub fn open(&self, nonce: &[u8; 12], aad: &[u8], text: &mut [u8], verify: &dyn Fn(&[u8; 16]) -> bool) -> bool {
        match self.vectors {
            Vectors::Avx512(simd) => open_avx512(simd, &self.key, nonce, aad, text, verify),
            Vectors::Avx2(simd) => open_avx2(simd, &self.key, nonce, aad, text, verify),
            Vectors::Sse2(simd) => open_sse2(simd, &self.key, nonce, aad, text, verify),
        }
    }
}

impl fmt::Debug for ChaCha20Poly1305 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaCha20Poly1305(..)")
    }
}

kernel! {
    fn seal_avx512(simd: Avx512, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        if text.len() <= SHORT {
            seal::<u32x16<_>, _, 1>(simd, key, nonce, aad, text)
        } else {
            seal::<u32x16<_>, _, 3>(simd, key, nonce, aad, text)
        }
    }
}

kernel! {
    fn seal_avx2(simd: Avx2, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        if text.len() <= SHORT {
            seal::<u32x8<_>, _, 2>(simd, key, nonce, aad, text)
        } else {
            seal::<u32x8<_>, _, 3>(simd, key, nonce, aad, text)
        }
    }
}

kernel! {
    fn seal_sse2(simd: Sse2, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        seal::<u32x4<_>, _, 3>(simd, key, nonce, aad, text)
    }
}

kernel! {
    fn open_avx512(
        simd: Avx512,
        key: &[u8; 32],
        nonce: &[u8; 12],
        aad: &[u8],
        text: &mut [u8],
        verify: &dyn Fn(&[u8; 16]) -> bool,
    ) -> bool {
        if text.len() <= SHORT {
            open::<u32x16<_>, _, 1, 0>(simd, key, nonce, aad, text, verify)
        } else {
            open::<u32x16<_>, _, 3, STORED_AVX512>(simd, key, nonce, aad, text, verify)
        }
    }
}

kernel! {
    fn open_avx2(
        simd: Avx2,
        key: &[u8; 32],
        nonce: &[u8; 12],
        aad: &[u8],
        text: &mut [u8],
        verify: &dyn Fn(&[u8; 16]) -> bool,
    ) -> bool {
        if text.len() <= SHORT {
            open::<u32x8<_>, _, 2, 0>(simd, key, nonce, aad, text, verify)
        } else {
            open::<u32x8<_>, _, 3, STORED>(simd, key, nonce, aad, text, verify)
        }
    }
}

kernel! {
    fn open_sse2(
        simd: Sse2,
        key: &[u8; 32],
        nonce: &[u8; 12],
        aad: &[u8],
        text: &mut [u8],
        verify: &dyn Fn(&[u8; 16]) -> bool,
    ) -> bool {
        open::<u32x4<_>, _, 3, STORED>(simd, key, nonce, aad, text, verify)
    }
}

/// Encrypts with groups of `SETS` sets of blocks.
#[inline(always)]
fn seal<R: Row<Token = S>, S: Simd, const SETS: usize>(
    simd: S,
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    text: &mut [u8],
) -> [u8; 16] {
    let (aad_len, text_len) = (aad.len(), text.len());
    let mut stream = Stream::<R>::new(simd, key, nonce);
    let sets: [Set<R>; SETS] = stream.next(|| ());
    let mac = mac_key(simd, &sets);
    let mut h = mac.absorb_padded([0; 3], aad);
    let (mut sealed, mut rest) = split(text, group_len::<R>(SETS).wrapping_sub(BLOCK));
    apply_first(simd, sets, sealed);
    while !rest.is_empty() {
        // Octets that were just encrypted are hashed when the vectors compute the next group.
        let mut waiting = sealed.as_chunks().0.iter();
        let sets: [Set<R>; SETS] = stream.next(
            #[inline(always)]
            || {
                for block in waiting.by_ref().take(2) {
                    h = mac.absorb(h, u128::from_le_bytes(*block));
                }
            },
        );
        h = waiting.fold(h, |h, block| mac.absorb(h, u128::from_le_bytes(*block)));
        (sealed, rest) = split(rest, group_len::<R>(SETS));
        apply_all(simd, sets, sealed);
    }
    finish(&mac, mac.absorb_padded(h, sealed), aad_len, text_len)
}

/// Verifies and decrypts with groups of `SETS` sets of blocks, of which `STORED` pieces are stored after the first
/// group: a multiple of those of a group.
#[inline(always)]
fn open<R: Row<Token = S>, S: Simd, const SETS: usize, const STORED: usize>(
    simd: S,
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    text: &mut [u8],
    verify: &dyn Fn(&[u8; 16]) -> bool,
) -> bool {
    const { assert!(STORED.is_multiple_of(pieces_of_group::<R>(SETS))) };
    let mut stream = Stream::<R>::new(simd, key, nonce);
    let sets: [Set<R>; SETS] = stream.next(|| ());
    let mac = mac_key(simd, &sets);
    let mut h = mac.absorb_padded([0; 3], aad);

    // Key stream of the following groups is computed beside the hash, and stored until the ICV is verified.
    let mut stored = [Piece::from(u32x4::load_array(simd, [0; 4])); STORED];
    let (whole, partial) = text.as_chunks();
    let mut waiting = whole.iter();
    let first_len = group_len::<R>(SETS).wrapping_sub(BLOCK);
    let missing = text.len().saturating_sub(first_len);
    let groups = stored.chunks_exact_mut(pieces_of_group::<R>(SETS).max(1));
    for group in groups.take(missing.div_ceil(group_len::<R>(SETS))) {
        let sets: [Set<R>; SETS] = stream.next(
            #[inline(always)]
            || {
                for block in waiting.by_ref().take(2) {
                    h = mac.absorb(h, u128::from_le_bytes(*block));
                }
            },
        );
        let pieces = group.chunks_exact_mut(R::BLOCKS.saturating_mul(4).max(1));
        for (to, set) in pieces.zip(sets) {
            to.iter_mut().zip(R::pieces(set)).for_each(|(to, piece)| *to = piece);
        }
    }
    h = waiting.fold(h, |h, block| mac.absorb(h, u128::from_le_bytes(*block)));
    h = mac.absorb_padded(h, partial);
    let valid = verify(&finish(&mac, h, aad.len(), text.len()));
    if valid {
        let (first, rest) = split(text, first_len);
        apply_first(simd, sets, first);
        let (second, mut rest) = split(rest, size_of_val(&stored));
        apply(simd, stored.iter().copied(), second);
        while !rest.is_empty() {
            let (group, after) = split(rest, group_len::<R>(SETS));
            apply_all::<R, _, SETS>(simd, stream.next(|| ()), group);
            rest = after;
        }
    }
    stored.zeroize();
    valid
}

/// Returns the number of pieces of the key stream of some sets.
#[inline(always)]
const fn pieces_of_group<R: Row>(sets: usize) -> usize {
    R::BLOCKS.wrapping_mul(sets).wrapping_mul(4)
}

/// Returns the length of the key stream of some sets in octets.
#[inline(always)]
const fn group_len<R: Row>(sets: usize) -> usize {
    R::BLOCKS.wrapping_mul(sets).wrapping_mul(BLOCK)
}

/// Splits a text, which may be shorter.
#[inline(always)]
fn split(text: &mut [u8], at: usize) -> (&mut [u8], &mut [u8]) {
    let at = at.min(text.len());
    text.split_at_mut_checked(at).unwrap_or_default()
}

/// Returns the key of Poly1305, which is the first half of block 0 (RFC 8439 section 2.6).
#[inline(always)]
fn mac_key<R: Row, S: Simd>(simd: S, sets: &[Set<R>]) -> Key {
    let number =
        |piece: Option<Piece>| piece.map_or(0, |piece| u128::from_le_bytes(u8x16::simd_from(simd, piece).to_array()));
    let Some(set) = sets.first() else { return Key::new([0; 2]) }; // there is one
    let mut pieces = R::pieces(*set);
    Key::new([number(pieces.next()), number(pieces.next())])
}

/// XORs key stream to a text.
#[inline(always)]
fn apply_all<R: Row, S: Simd, const SETS: usize>(simd: S, sets: [Set<R>; SETS], text: &mut [u8]) {
    for (set, text) in sets.into_iter().zip(text.chunks_mut(R::BLOCKS.wrapping_mul(BLOCK).max(1))) {
        apply(simd, R::pieces(set), text);
    }
}

/// XORs the key stream of the first group to a text: all but block 0.
#[inline(always)]
fn apply_first<R: Row, S: Simd, const SETS: usize>(simd: S, sets: [Set<R>; SETS], text: &mut [u8]) {
    let mut sets = sets.into_iter();
    let (first, mut rest) = split(text, R::BLOCKS.wrapping_sub(1).wrapping_mul(BLOCK));
    if let Some(set) = sets.next() {
        apply(simd, R::pieces(set).skip(4), first);
    }
    for set in sets {
        let (text, after) = split(rest, R::BLOCKS.wrapping_mul(BLOCK));
        apply(simd, R::pieces(set), text);
        rest = after;
    }
}

/// Adds the lengths and returns the ICV (RFC 8439 section 2.8).
#[inline(always)]
fn finish(mac: &Key, h: Accumulator, aad: usize, text: usize) -> [u8; 16] {
    let number = |len: usize| u128::try_from(len).unwrap_or_default();
    mac.finish(mac.absorb(h, number(aad) | number(text) << 64))
}
