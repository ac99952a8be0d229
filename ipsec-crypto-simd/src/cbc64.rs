//! CBC mode of ciphers with blocks of 64 bits (RFC 2451 section 2.1), several blocks at a time.
//!
//! A round of such a cipher waits for table look-ups most of the time. Blocks that do not depend on each other advance
//! round by round, so that the look-ups of one are in flight while another waits: the blocks of one packet when it is
//! decrypted, and a block of each packet when several are encrypted.
//!
//! ```text
//! encrypt_chains, three packets          decrypt, one packet
//!
//! a1 -> a2 -> a3   step 1: a1 b1 c1      a1 a2 a3 | a4 a5 a6
//! b1 -> b2 -> b3   step 2: a2 b2 c2
//! c1 -> c2 -> c3   step 3: a3 b3 c3
//! ```

use core::array;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
pub(crate) mod tests;

/// Number of chains that [`Cbc64::encrypt_chains`] processes together at most.
pub const CHAINS: usize = 32;

/// CBC mode of a cipher with blocks of 64 bits.
pub trait Cbc64: Sized {
    /// Encrypts the next blocks of a chain, which is the IV or the last block before them, and is replaced by the last
    /// block of them.
    fn encrypt_chain(&self, chain: &mut [u8; 8], blocks: &mut [[u8; 8]]);

    /// Encrypts `steps` blocks of several chains, each with its key, and removes them from the front of the bodies. No
    /// body is shorter.
    fn encrypt_chains(all: &[&Self], chains: &mut [[u8; 8]], bodies: &mut [&mut [[u8; 8]]], steps: usize);

    /// Decrypts whole blocks; octets after the last whole block remain as they are.
    fn decrypt(&self, iv: &[u8; 8], body: &mut [u8]);
}

/// Two halves of a block, in the form that the rounds of a cipher process.
pub(crate) type Halves<H> = [H; 2];

/// Cipher of two halves whose rounds are computed for several blocks in turn.
pub(crate) trait Feistel: Sized {
    /// Half of a block. The form is linear: the XOR of two halves is the half of the XOR.
    type Half: Copy + Default + core::ops::BitXor<Output = Self::Half>;

    /// Returns the halves of a block.
    fn load(block: &[u8; 8]) -> Halves<Self::Half>;

    /// Returns the block of two halves.
    fn store(halves: Halves<Self::Half>) -> [u8; 8];

    /// Encrypts the halves of one block.
    fn encrypt_block(&self, block: Halves<Self::Half>) -> Halves<Self::Half>;

    /// Encrypts blocks, each with its key.
    fn encrypt_blocks<const N: usize>(all: [&Self; N], blocks: &mut [Halves<Self::Half>; N]);

    /// Decrypts blocks with one key.
    fn decrypt_blocks<const N: usize>(&self, blocks: &mut [Halves<Self::Half>; N]);
}

/// Encrypts the next blocks of a chain.
#[inline(always)]
pub(crate) fn encrypt_chain<C: Feistel>(cipher: &C, chain: &mut [u8; 8], blocks: &mut [[u8; 8]]) {
    let mut state = C::load(chain);
    for block in blocks {
        state = cipher.encrypt_block(xor(state, C::load(block)));
        *block = C::store(state);
        *chain = *block;
    }
}

/// Encrypts blocks of several chains, `N` at a time.
#[inline(always)]
pub(crate) fn encrypt_chains<C: Feistel, const N: usize>(
    all: &[&C],
    chains: &mut [[u8; 8]],
    bodies: &mut [&mut [[u8; 8]]],
    steps: usize,
) {
    for ((all, chains), bodies) in all.chunks(N).zip(chains.chunks_mut(N)).zip(bodies.chunks_mut(N)) {
        match (all, &mut *chains, &mut *bodies) {
            ([cipher], [chain], [body]) => cipher_alone(*cipher, chain, body, steps),
            ([first, others @ ..], ..) if others.iter().all(|other| core::ptr::eq(*other, *first)) => {
                let first: &C = first;
                advance([first; N], chains, bodies, steps);
            }
            ([first, ..], ..) => {
                // Unused lanes have the first key.
                let each = array::from_fn(|lane| all.get(lane).copied().unwrap_or(first));
                advance::<C, N>(each, chains, bodies, steps);
            }
            ([], ..) => {}
        }
    }
}

#[inline(always)]
fn cipher_alone<C: Feistel>(cipher: &C, chain: &mut [u8; 8], body: &mut &mut [[u8; 8]], steps: usize) {
    let (now, later) = core::mem::take(body).split_at_mut_checked(steps).unwrap_or_default();
    encrypt_chain(cipher, chain, now);
    *body = later;
}

#[inline(always)]
fn advance<C: Feistel, const N: usize>(
    all: [&C; N],
    chains: &mut [[u8; 8]],
    bodies: &mut [&mut [[u8; 8]]],
    steps: usize,
) {
    let mut states: [Halves<C::Half>; N] =
        array::from_fn(|lane| chains.get(lane).map_or_else(Default::default, C::load));
    let mut texts: [&mut [[u8; 8]]; N] = array::from_fn(|_| Default::default());
    for (text, body) in texts.iter_mut().zip(&mut *bodies) {
        (*text, *body) = core::mem::take(body).split_at_mut_checked(steps).unwrap_or_default();
    }
    for step in 0..steps {
        for (state, text) in states.iter_mut().zip(&texts) {
            if let Some(block) = text.get(step) {
                *state = xor(*state, C::load(block));
            }
        }
        C::encrypt_blocks(all, &mut states);
        for (state, text) in states.iter().zip(&mut texts) {
            if let Some(block) = text.get_mut(step) {
                *block = C::store(*state);
            }
        }
    }
    chains.iter_mut().zip(states).for_each(|(chain, state)| *chain = C::store(state));
}

/// Decrypts whole blocks, `N` at a time; after them, if at most `LAST` blocks remain, these together.
#[inline(always)]
pub(crate) fn decrypt<C: Feistel, const N: usize, const LAST: usize>(cipher: &C, iv: &[u8; 8], body: &mut [u8]) {
    let (groups, rest) = body.as_chunks_mut::<8>().0.as_chunks_mut::<N>();
    let mut before = C::load(iv);
    for group in groups {
        decrypt_group(cipher, &mut before, group);
    }
    if rest.len() > LAST {
        decrypt_partial::<C, N>(cipher, before, rest);
    } else if !rest.is_empty() {
        decrypt_partial::<C, LAST>(cipher, before, rest);
    }
}

/// Decrypts up to `N` blocks: a group costs little more than a block.
#[inline(always)]
fn decrypt_partial<C: Feistel, const N: usize>(cipher: &C, mut before: Halves<C::Half>, blocks: &mut [[u8; 8]]) {
    let mut group = [[0; 8]; N];
    group.iter_mut().zip(&*blocks).for_each(|(to, from)| *to = *from);
    decrypt_group(cipher, &mut before, &mut group);
    blocks.iter_mut().zip(&group).for_each(|(to, from)| *to = *from);
}

#[inline(always)]
fn decrypt_group<C: Feistel, const N: usize>(cipher: &C, before: &mut Halves<C::Half>, group: &mut [[u8; 8]; N]) {
    let loaded = group.each_ref().map(C::load);
    let mut plain = loaded;
    cipher.decrypt_blocks(&mut plain);
    for ((block, plain), loaded) in group.iter_mut().zip(plain).zip(loaded) {
        *block = C::store(xor(plain, *before));
        *before = loaded;
    }
}

/// Returns the words of a block in network byte order.
#[inline(always)]
pub(crate) fn words(&[a, b, c, d, e, f, g, h]: &[u8; 8]) -> Halves<u32> {
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

/// Returns the octets of two words, in the reverse of [`words`].
#[inline(always)]
pub(crate) fn octets([left, right]: Halves<u32>) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (left.to_be_bytes(), right.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn xor<H: core::ops::BitXor<Output = H>>([a, b]: Halves<H>, [c, d]: Halves<H>) -> Halves<H> {
    [a ^ c, b ^ d]
}
