//! CBC encryption of sixteen packets in step, four blocks per register, each with its own key.

use core::arch::x86_64::*;
use core::ptr;

use fearless_simd::{Avx512, SimdBase, SimdFrom, kernel, u8x64};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::cbc::{join, load_some, store_some};
use super::{BLOCKS_PER_REGISTER, Block, REGISTERS, Schedule, Vaes};

/// Sixteen blocks, one of each chain.
type Lanes = [__m512i; REGISTERS];

kernel! {
    /// Encrypts `steps` blocks of at most [`LANES`](Vaes::LANES) chains, each with its key. No body is shorter, and
    /// all keys have one size.
    pub(super) fn encrypt(simd: Avx512, all: &[&Vaes], chains: &mut [Block], bodies: &mut [&mut [Block]], steps: usize) {
        let Some((first, others)) = all.split_first() else { return };
        let none = _mm512_setzero_si512();
        if others.iter().all(|aes| ptr::eq(*aes, *first)) {
            let mut keys = Keys::of(none, first.encrypt.between);
            keys.set(&first.encrypt);
            advance(simd, &keys, chains, bodies, steps);
        } else {
            // Unused lanes have the first key.
            let mut lanes = [[&first.encrypt; BLOCKS_PER_REGISTER]; REGISTERS];
            lanes.as_flattened_mut().iter_mut().zip(all).for_each(|(lane, aes)| *lane = &aes.encrypt);
            let mut keys = Keys::of([none; REGISTERS], first.encrypt.between);
            keys.set_each(&lanes);
            advance(simd, &keys, chains, bodies, steps);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn advance<K: Round>(simd: Avx512, keys: &Keys<K>, chains: &mut [Block], bodies: &mut [&mut [Block]], steps: usize) {
    let none = _mm512_setzero_si512();
    let mut states = [none; REGISTERS];
    states
        .iter_mut()
        .zip(chains.chunks(BLOCKS_PER_REGISTER))
        .for_each(|(state, chains)| *state = load_some(simd, chains));

    // Each body is split into groups of four blocks and the rest.
    let mut fours: [[&mut [[u8; 16 * BLOCKS_PER_REGISTER]]; BLOCKS_PER_REGISTER]; REGISTERS] = Default::default();
    let mut rests: [[&mut [Block]; BLOCKS_PER_REGISTER]; REGISTERS] = Default::default();
    let each = fours.as_flattened_mut().iter_mut().zip(rests.as_flattened_mut());
    for ((four, rest), body) in each.zip(bodies) {
        let (now, later) = core::mem::take(body).split_at_mut_checked(steps).unwrap_or_default();
        let (whole, some) = now.split_at_mut_checked(steps & !(BLOCKS_PER_REGISTER - 1)).unwrap_or_default();
        (*four, *rest, *body) = (whole.as_flattened_mut().as_chunks_mut().0, some, later);
    }

    for step in 0..steps / BLOCKS_PER_REGISTER {
        let next = |four: &&mut [[u8; 16 * BLOCKS_PER_REGISTER]]| match four.get(step) {
            Some(four) => u8x64::load_array_ref(simd, four).into(),
            None => none,
        };
        let mut texts = columns(fours.each_ref().map(|fours| fours.each_ref().map(next)));
        keys.encrypt(&mut states, &mut texts);
        for (row, four) in rows(texts).as_flattened().iter().zip(fours.as_flattened_mut()) {
            four.get_mut(step).into_iter().for_each(|four| *four = u8x64::simd_from(simd, *row).to_array());
        }
    }
    let left = steps % BLOCKS_PER_REGISTER;
    if left > 0 {
        let mut texts = columns(rests.each_ref().map(|rests| rests.each_ref().map(|rest| load_some(simd, rest))));
        keys.encrypt(&mut states, texts.get_mut(..left).unwrap_or_default());
        for (row, rest) in rows(texts).as_flattened().iter().zip(rests.as_flattened_mut()) {
            store_some(simd, *row, rest);
        }
    }
    states
        .iter()
        .zip(chains.chunks_mut(BLOCKS_PER_REGISTER))
        .for_each(|(state, chains)| store_some(simd, *state, chains));
}

/// Round keys: one for all chains, or one for each.
#[derive(ZeroizeOnDrop)]
struct Keys<K: Zeroize> {
    first: K,
    middle: [K; 13],
    between: usize,
    last: K,
}

/// Stored form of the keys of a round.
trait Round: Copy + Zeroize {
    /// Set if the keys do not fit into registers.
    const EXCEEDS_REGISTERS: bool;

    fn each(self) -> Lanes;
}

impl Round for __m512i {
    const EXCEEDS_REGISTERS: bool = false;

    #[inline(always)]
    fn each(self) -> Lanes {
        [self; REGISTERS]
    }
}

impl Round for Lanes {
    const EXCEEDS_REGISTERS: bool = true;

    #[inline(always)]
    fn each(self) -> Lanes {
        self
    }
}

impl Keys<__m512i> {
    /// Writes the keys in place, like the functions below: a move would leave a copy of them in memory.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn set(&mut self, keys: &Schedule) {
        self.first = _mm512_broadcast_i32x4(keys.first);
        for (to, key) in self.middle.iter_mut().zip(&keys.middle) {
            *to = _mm512_broadcast_i32x4(*key);
        }
        self.last = _mm512_broadcast_i32x4(keys.last);
    }
}

impl Keys<Lanes> {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn set_each(&mut self, lanes: &[[&Schedule; BLOCKS_PER_REGISTER]; REGISTERS]) {
        for (register, four) in lanes.iter().enumerate() {
            let [a, b, c, d] = four;
            let at = |keys: &mut Lanes, key| keys.iter_mut().skip(register).take(1).for_each(|to| *to = key);
            at(&mut self.first, join([a.first, b.first, c.first, d.first]));
            let rounds = a.middle.iter().zip(&b.middle).zip(&c.middle).zip(&d.middle);
            for (to, (((a, b), c), d)) in self.middle.iter_mut().zip(rounds) {
                at(to, join([*a, *b, *c, *d]));
            }
            at(&mut self.last, join([a.last, b.last, c.last, d.last]));
        }
    }
}

impl<K: Round> Keys<K> {
    #[inline(always)]
    fn of(none: K, between: usize) -> Self {
        Self { first: none, middle: [none; 13], between, last: none }
    }

    /// Encrypts the next blocks of all chains.
    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn encrypt(&self, states: &mut Lanes, texts: &mut [Lanes]) {
        let mut all = *states;
        for texts in texts {
            // Many keys are read from memory in each round. The optimizer must not copy them to places that are not
            // wiped.
            let keys = if K::EXCEEDS_REGISTERS { core::hint::black_box(self) } else { self };
            for ((state, text), key) in all.iter_mut().zip(&*texts).zip(keys.first.each()) {
                *state = _mm512_xor_si512(_mm512_xor_si512(*state, *text), key);
            }
            for round in keys.middle.iter().take(keys.between) {
                all.iter_mut().zip(round.each()).for_each(|(state, key)| *state = _mm512_aesenc_epi128(*state, key));
            }
            all.iter_mut()
                .zip(keys.last.each())
                .for_each(|(state, key)| *state = _mm512_aesenclast_epi128(*state, key));
            *texts = all;
        }
        *states = all;
    }
}

/// Transposes four blocks of each chain into the first blocks of all chains, the second, the third and the fourth.
#[inline]
#[target_feature(enable = "avx512f")]
fn columns(rows: [[__m512i; BLOCKS_PER_REGISTER]; REGISTERS]) -> [Lanes; BLOCKS_PER_REGISTER] {
    let [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] =
        rows.map(|rows| transpose_blocks(rows));
    [[a0, b0, c0, d0], [a1, b1, c1, d1], [a2, b2, c2, d2], [a3, b3, c3, d3]]
}

/// Reverses the transposition of [`columns`].
#[inline]
#[target_feature(enable = "avx512f")]
fn rows(columns: [Lanes; BLOCKS_PER_REGISTER]) -> [[__m512i; BLOCKS_PER_REGISTER]; REGISTERS] {
    let [[a0, b0, c0, d0], [a1, b1, c1, d1], [a2, b2, c2, d2], [a3, b3, c3, d3]] = columns;
    [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]].map(|columns| transpose_blocks(columns))
}

/// Transposes a square of four registers of four blocks.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_blocks([a, b, c, d]: [__m512i; BLOCKS_PER_REGISTER]) -> [__m512i; BLOCKS_PER_REGISTER] {
    let (ab, cd) = (_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(c, d, 0x44));
    let (ab_high, cd_high) = (_mm512_shuffle_i64x2(a, b, 0xee), _mm512_shuffle_i64x2(c, d, 0xee));
    [
        _mm512_shuffle_i64x2(ab, cd, 0x88),
        _mm512_shuffle_i64x2(ab, cd, 0xdd),
        _mm512_shuffle_i64x2(ab_high, cd_high, 0x88),
        _mm512_shuffle_i64x2(ab_high, cd_high, 0xdd),
    ]
}
