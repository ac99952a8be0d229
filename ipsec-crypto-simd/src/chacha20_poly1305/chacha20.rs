//! ChaCha20 (RFC 8439 section 2.3) in vectors.
//!
//! The state of a block is a square of four rows. A register has the same row of one block for each 128 bits, so that a
//! quarter round is one instruction for all columns of these blocks; for the diagonals the rows are rotated. Several
//! sets of four registers advance in turn, as each waits for its own result:
//!
//! ```text
//!          block 0                      block 1
//! row a    constants                    constants
//! row b    key                          key
//! row c    key                          key
//! row d    counter  | nonce             counter + 1 | nonce
//! ```
//!
//! Unlike a register for each word of the state, as in most implementations, short texts need no more blocks than they
//! have, and key stream is not transposed.

use core::arch::x86_64::__m128i;
use core::ops::BitXor;

use fearless_simd::{Simd, SimdBase, SimdFrom, SimdSplit, u8x16, u32x4, u32x8, u32x16};

/// Four rows of the blocks that a register has.
pub(super) type Set<R> = [R; 4];

/// Part of the key stream with the length of a row.
pub(super) type Piece = __m128i;

/// Register with one row of some blocks.
pub(super) trait Row: Copy + BitXor<Output = Self> {
    /// Proof that the processor has the instructions.
    type Token: Copy;
    /// Number of blocks whose rows the register has.
    const BLOCKS: usize;

    /// Returns a register with the same row for each block.
    fn splat(token: Self::Token, row: [u32; 4]) -> Self;

    /// Returns a register with the number of each block in its first word.
    fn numbers(token: Self::Token) -> Self;

    /// Adds each word modulo 2^32.
    fn add(self, other: Self) -> Self;

    /// Rotates each word to the left by 1 to 31 bits.
    fn rotate_bits(self, bits: u32) -> Self;

    /// Rotates each row to the left by `N` words.
    fn rotate_words<const N: usize>(self, token: Self::Token) -> Self;

    /// Returns the pieces of the key stream in the order of the blocks.
    fn pieces(set: Set<Self>) -> impl Iterator<Item = Piece>;
}

impl<S: Simd> Row for u32x4<S> {
    type Token = S;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn splat(simd: S, row: [u32; 4]) -> Self {
        Self::load_array(simd, row)
    }

    #[inline(always)]
    fn numbers(simd: S) -> Self {
        SimdBase::splat(simd, 0)
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn rotate_bits(self, bits: u32) -> Self {
        self << bits | self >> 32u32.wrapping_sub(bits)
    }

    #[inline(always)]
    fn rotate_words<const N: usize>(self, simd: S) -> Self {
        simd.slide_within_blocks_u32x4::<N>(self, self)
    }

    #[inline(always)]
    fn pieces(set: Set<Self>) -> impl Iterator<Item = Piece> {
        set.map(Into::into).into_iter()
    }
}

impl<S: Simd> Row for u32x8<S> {
    type Token = S;
    const BLOCKS: usize = 2;

    #[inline(always)]
    fn splat(simd: S, [a, b, c, d]: [u32; 4]) -> Self {
        Self::load_array(simd, [a, b, c, d, a, b, c, d])
    }

    #[inline(always)]
    fn numbers(simd: S) -> Self {
        Self::load_array(simd, [0, 0, 0, 0, 1, 0, 0, 0])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn rotate_bits(self, bits: u32) -> Self {
        self << bits | self >> 32u32.wrapping_sub(bits)
    }

    #[inline(always)]
    fn rotate_words<const N: usize>(self, simd: S) -> Self {
        simd.slide_within_blocks_u32x8::<N>(self, self)
    }

    #[inline(always)]
    fn pieces(set: Set<Self>) -> impl Iterator<Item = Piece> {
        let [a, b, c, d] = set.map(SimdSplit::split);
        [a.0, b.0, c.0, d.0, a.1, b.1, c.1, d.1].map(Into::into).into_iter()
    }
}

impl<S: Simd> Row for u32x16<S> {
    type Token = S;
    const BLOCKS: usize = 4;

    #[inline(always)]
    fn splat(simd: S, [a, b, c, d]: [u32; 4]) -> Self {
        Self::load_array(simd, [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d])
    }

    #[inline(always)]
    fn numbers(simd: S) -> Self {
        Self::load_array(simd, [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn rotate_bits(self, bits: u32) -> Self {
        self << bits | self >> 32u32.wrapping_sub(bits)
    }

    #[inline(always)]
    fn rotate_words<const N: usize>(self, simd: S) -> Self {
        simd.slide_within_blocks_u32x16::<N>(self, self)
    }

    #[inline(always)]
    fn pieces(set: Set<Self>) -> impl Iterator<Item = Piece> {
        let [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = set.map(|row| {
            let (low, high) = row.split();
            let ((first, second), (third, fourth)) = (low.split(), high.split());
            [first, second, third, fourth].map(Piece::from)
        });
        [a0, b0, c0, d0, a1, b1, c1, d1, a2, b2, c2, d2, a3, b3, c3, d3].into_iter()
    }
}

/// Key stream of one key and nonce.
pub(super) struct Stream<R: Row> {
    token: R::Token,
    /// State of the first blocks; the counter is that of the blocks that follow.
    state: Set<R>,
}

impl<R: Row> Stream<R> {
    /// Begins at block 0.
    #[inline(always)]
    pub fn new(token: R::Token, key: &[u8; 32], nonce: &[u8; 12]) -> Self {
        let row = |octets: &[u8; 16]| {
            let [a, b, c, d] = *octets.as_chunks().0.first_chunk().unwrap_or(&[[0; 4]; 4]);
            R::splat(token, [a, b, c, d].map(u32::from_le_bytes))
        };
        let (halves, _) = key.as_chunks::<16>();
        let [low, high] = *halves.first_chunk().unwrap_or(&[[0; 16]; 2]);
        let constants = R::splat(token, [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *nonce;
        let nonce = row(&[0, 0, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l]);
        Self { token, state: [constants, row(&low), row(&high), nonce.add(R::numbers(token))] }
    }

    /// Returns the next `SETS` sets of blocks. Each half of a double round is followed by a call of `beside`, which the
    /// processor executes while the vectors wait.
    #[inline(always)]
    pub fn next<const SETS: usize>(&mut self, mut beside: impl FnMut()) -> [Set<R>; SETS] {
        let token = self.token;
        let blocks = u32::try_from(R::BLOCKS).unwrap_or_default();
        let mut first = [self.state; SETS];
        for set in &mut first {
            *set = self.state;
            let [.., counter] = &mut self.state;
            *counter = counter.add(R::splat(token, [blocks, 0, 0, 0]));
        }
        let mut sets = first;
        for _ in 0..10 {
            quarter_rounds(&mut sets);
            beside();
            for [_, b, c, d] in &mut sets {
                (*b, *c, *d) = (b.rotate_words::<1>(token), c.rotate_words::<2>(token), d.rotate_words::<3>(token));
            }
            quarter_rounds(&mut sets);
            beside();
            for [_, b, c, d] in &mut sets {
                (*b, *c, *d) = (b.rotate_words::<3>(token), c.rotate_words::<2>(token), d.rotate_words::<1>(token));
            }
        }
        for (set, first) in sets.iter_mut().zip(first) {
            set.iter_mut().zip(first).for_each(|(row, first)| *row = row.add(first));
        }
        sets
    }
}

/// Applies the quarter round to each column of each block (RFC 8439 section 2.1).
#[inline(always)]
fn quarter_rounds<R: Row, const SETS: usize>(sets: &mut [Set<R>; SETS]) {
    for (bits_of_d, bits_of_b) in [(16, 12), (8, 7)] {
        for [a, b, _, d] in &mut *sets {
            *a = a.add(*b);
            *d = (*d ^ *a).rotate_bits(bits_of_d);
        }
        for [_, b, c, d] in &mut *sets {
            *c = c.add(*d);
            *b = (*b ^ *c).rotate_bits(bits_of_b);
        }
    }
}

/// XORs key stream to a text.
#[inline(always)]
pub(super) fn apply<S: Simd>(simd: S, mut stream: impl Iterator<Item = Piece>, text: &mut [u8]) {
    let (whole, rest) = text.as_chunks_mut::<16>();
    for (text, stream) in whole.iter_mut().zip(&mut stream) {
        *text = (u8x16::load_array_ref(simd, text) ^ u8x16::simd_from(simd, stream)).to_array();
    }
    let Some(stream) = stream.next().filter(|_| !rest.is_empty()) else { return };
    let stream = u8x16::simd_from(simd, stream).to_array();
    let ((words, octets), (stream_words, _)) = (rest.as_chunks_mut(), stream.as_chunks());
    let after = stream.iter().skip(words.as_flattened().len());
    octets.iter_mut().zip(after).for_each(|(octet, stream)| *octet ^= stream);
    // Of a loop the compiler would make a masked store, which the hash that follows has to wait for.
    let xor = |to: &mut [u8; 4], stream: &[u8; 4]| {
        *to = (u32::from_ne_bytes(*to) ^ u32::from_ne_bytes(*stream)).to_ne_bytes()
    };
    if let ([a, ..], [stream, ..]) = (&mut *words, stream_words) {
        xor(a, stream);
    }
    if let ([_, b, ..], [_, stream, ..]) = (&mut *words, stream_words) {
        xor(b, stream);
    }
    if let ([_, _, c, ..], [_, _, stream, ..]) = (words, stream_words) {
        xor(c, stream);
    }
}
