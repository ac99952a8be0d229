//! CBC mode over whole bodies (RFC 2451 section 2.1, RFC 3602 section 2), with one call into the cipher's backend per
//! packet or batch.

use core::marker::PhantomData;
use core::ptr;

use cipher::array::{Array, ArraySize};
use cipher::inout::InOutBuf;
use cipher::typenum::Unsigned;
use cipher::{
    Block, BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncBackend,
    BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, ParBlocks,
};
use heapless::Vec;

use crate::Iv;
use crate::append::excluded;
use crate::cipher::BatchItem;
use crate::par_blocks::use_par_blocks;

pub(crate) fn encrypt<C: BlockCipherEncrypt>(cipher: &C, iv: &Iv, body: &mut [u8]) {
    encrypt_and_mac(cipher, iv, body, 0, &mut |_| ());
}

#[cfg_attr(ipsec_small, inline(never))] // its stack is not in use at the same time as that of the MAC
#[cfg_attr(feature = "vector-code", allow(dead_code))] // of DES and 3DES without another cipher
pub(crate) fn decrypt<C: BlockCipherDecrypt>(cipher: &C, iv: &Iv, body: &mut [u8]) {
    cipher.decrypt_with_backend(CbcDecrypt { chain: first(iv), body });
}

struct CbcDecrypt<'a, N: ArraySize> {
    chain: Array<u8, N>,
    body: &'a mut [u8],
}

impl<N: ArraySize> BlockSizeUser for CbcDecrypt<'_, N> {
    type BlockSize = N;
}

impl<N: ArraySize> BlockCipherDecClosure for CbcDecrypt<'_, N> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = N>>(self, backend: &B) {
        let Self { mut chain, body } = self;
        let (blocks, _) = Array::slice_as_chunks_mut(body);
        let size = B::ParBlocksSize::USIZE;
        let (groups, some) = match use_par_blocks(size, size) {
            true => Array::<_, B::ParBlocksSize>::slice_as_chunks_mut(blocks),
            false => (&mut [][..], blocks),
        };
        for group in groups {
            unchain(backend, &mut chain, group);
        }
        if some.is_empty() {
            return;
        }
        if use_par_blocks(some.len(), size) {
            let mut group = ParBlocks::<B>::default();
            group.iter_mut().zip(&*some).for_each(|(to, from)| to.clone_from(from));
            unchain(backend, &mut chain, &mut group);
            some.iter_mut().zip(&group).for_each(|(to, from)| to.clone_from(from));
            return;
        }
        for block in some {
            let mut plain = block.clone();
            backend.decrypt_block((&mut plain).into());
            xor(&mut plain, &chain);
            chain = core::mem::replace(block, plain);
        }
    }
}

#[inline(always)]
fn unchain<B: BlockCipherDecBackend>(backend: &B, chain: &mut Block<B>, group: &mut ParBlocks<B>) {
    let mut plain = group.clone();
    backend.decrypt_par_blocks((&mut plain).into());
    if let Some((first, others)) = plain.split_first_mut() {
        xor(first, chain);
        others.iter_mut().zip(&*group).for_each(|(to, before)| xor(to, before));
    }
    group.last().into_iter().for_each(|last| chain.clone_from(last));
    group.clone_from(&plain);
}

/// Returns the first octets of an IV.
pub(crate) fn first<N: ArraySize>(iv: &Iv) -> Array<u8, N> {
    let mut block = Array::default();
    block.iter_mut().zip(iv).for_each(|(to, from): (&mut u8, _)| *to = *from);
    block
}

/// Number of octets that a hash processes at once.
const CHUNK_LEN: usize = 64;

/// Implements [`crate::Cipher::encrypt_and_mac`]. Each block depends on the block before it, and a hash depends on
/// its previous state. Interleaved, each uses the waiting time of the other, as long as the hash is one chunk behind:
/// octets that were just encrypted are slow to read.
#[cfg_attr(ipsec_small, inline(never))] // nor this, when the MAC is finished
pub(crate) fn encrypt_and_mac<C: BlockCipherEncrypt>(
    cipher: &C,
    iv: &Iv,
    text: &mut [u8],
    from: usize,
    follow: &mut dyn FnMut(&[u8]),
) {
    cipher.encrypt_with_backend(Followed { chain: first(iv), text, from, follow });
}

struct Followed<'a, N: ArraySize> {
    chain: Array<u8, N>,
    text: &'a mut [u8],
    from: usize,
    follow: &'a mut dyn FnMut(&[u8]),
}

impl<N: ArraySize> BlockSizeUser for Followed<'_, N> {
    type BlockSize = N;
}

impl<N: ArraySize> BlockCipherEncClosure for Followed<'_, N> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = N>>(self, backend: &B) {
        let Self { mut chain, text, from, follow } = self;
        encrypt_in_chunks(text, from, follow, |chunk| {
            let (blocks, _) = Array::slice_as_chunks_mut(chunk);
            for block in blocks {
                xor(&mut chain, block);
                backend.encrypt_block((&mut chain).into());
                block.clone_from(&chain);
            }
        });
    }
}

/// Encrypts a chunk, then passes the chunk before it to the MAC.
#[inline(always)]
pub(crate) fn encrypt_in_chunks(
    text: &mut [u8],
    from: usize,
    follow: &mut dyn FnMut(&[u8]),
    mut encrypt: impl FnMut(&mut [u8]),
) {
    let (mut sealed, mut followed) = (from, 0);
    while sealed < text.len() {
        let before = sealed & !(CHUNK_LEN - 1);
        let end = sealed.saturating_add(CHUNK_LEN).min(text.len());
        encrypt(text.get_mut(sealed..end).unwrap_or_else(excluded));
        sealed = end;
        if let Some(piece @ [_, ..]) = text.get(followed..before) {
            follow(piece);
            followed = before;
        }
    }
    follow(text.get(followed..).unwrap_or_else(excluded));
}

/// Number of packets that are encrypted together: enough to fill the pipeline of an AES unit, with registers left for
/// the keys.
const LANES: usize = 12;

/// Implements [`crate::Cipher::encrypt_batch`]: the chains of several packets advance block by block. A backend has
/// one key, so that packets with other keys follow later. Packets without a cipher of this type are skipped.
pub(crate) fn encrypt_batch<T, C: BlockCipherEncrypt>(
    lanes: &mut [BatchItem<'_, T>],
    cipher: impl Fn(&T) -> Option<&C>,
) {
    for at in 0..lanes.len() {
        let (before, from) = lanes.split_at_mut_checked(at).unwrap_or_else(excluded);
        let Some(of) = from.first().map(|lane| lane.cipher) else { return };
        if let Some(cipher) = cipher(of).filter(|_| before.iter().all(|lane| !ptr::eq(lane.cipher, of))) {
            let same = from.iter_mut().filter(|lane| ptr::eq(lane.cipher, of));
            let packets = same.map(|lane| ((), first(&lane.iv), Array::slice_as_chunks_mut(lane.body).0));
            cipher.encrypt_with_backend(Interleaved { packets, block: PhantomData::<C::BlockSize> });
        }
    }
}

struct Interleaved<P, N> {
    packets: P,
    block: PhantomData<N>,
}

impl<P, N: ArraySize> BlockSizeUser for Interleaved<P, N> {
    type BlockSize = N;
}

impl<'b, P, N: ArraySize> BlockCipherEncClosure for Interleaved<P, N>
where
    P: Iterator<Item = ((), Array<u8, N>, &'b mut [Array<u8, N>])>,
{
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = N>>(self, backend: &B) {
        interleaved::<_, _, LANES>(self.packets, |_, chains, bodies, steps| {
            match (chains.first_chunk_mut::<LANES>(), bodies.first_chunk_mut::<LANES>()) {
                (Some(all), Some(bodies)) => {
                    let mut chains = all.clone(); // in registers, as their number is known here
                    advance(backend, &mut chains, bodies, steps);
                    *all = chains;
                }
                _ => advance(backend, chains, bodies, steps),
            }
        });
    }
}

/// Processes up to `LANES` packets at a time, each with its key, its IV and the blocks of its body. `advance` encrypts
/// a number of blocks of each chain. A lane whose packet ends takes the next packet.
#[inline(always)]
pub(crate) fn interleaved<'b, K, B: 'b, const LANES: usize>(
    mut packets: impl Iterator<Item = (K, B, &'b mut [B])>,
    mut advance: impl FnMut(&[K], &mut [B], &mut [&mut [B]], usize),
) {
    let mut keys: Vec<K, LANES> = Vec::new();
    let mut chains: Vec<B, LANES> = Vec::new();
    let mut bodies: Vec<&mut [B], LANES> = Vec::new();
    loop {
        let free = LANES.saturating_sub(bodies.len());
        for (key, iv, body) in packets.by_ref().take(free) {
            let _ = (keys.push(key), chains.push(iv), bodies.push(body)); // there is room
        }
        // All lanes advance as far as the shortest body.
        let Some(steps) = bodies.iter().map(|body| body.len()).min() else { return };
        advance(&keys, &mut chains, &mut bodies, steps);
        let left = || bodies.iter().map(|body| !body.is_empty());
        retain(&mut keys, left());
        retain(&mut chains, left());
        bodies.retain(|body| !body.is_empty());
    }
}

fn retain<T, const N: usize>(all: &mut Vec<T, N>, mut which: impl Iterator<Item = bool>) {
    all.retain(|_| which.next() == Some(true));
}

/// Encrypts a number of blocks of each chain.
#[inline(always)]
fn advance<B: BlockCipherEncBackend>(
    backend: &B,
    chains: &mut [Block<B>],
    bodies: &mut [&mut [Block<B>]],
    steps: usize,
) {
    for step in 0..steps {
        for (chain, body) in chains.iter_mut().zip(&*bodies) {
            body.get(step).into_iter().for_each(|block| xor(chain, block));
        }
        encrypt_all(backend, chains);
        for (chain, body) in chains.iter().zip(&mut *bodies) {
            body.get_mut(step).into_iter().for_each(|block| block.clone_from(chain));
        }
    }
    for body in bodies {
        *body = core::mem::take(body).get_mut(steps..).unwrap_or_else(excluded);
    }
}

/// Encrypts blocks that do not depend on each other.
#[inline(always)]
fn encrypt_all<B: BlockCipherEncBackend>(backend: &B, blocks: &mut [Block<B>]) {
    let (use_par_blocks, rest) = InOutBuf::from(blocks).into_chunks::<B::ParBlocksSize>();
    for blocks in use_par_blocks {
        backend.encrypt_par_blocks(blocks);
    }
    for block in rest {
        backend.encrypt_block(block);
    }
}

#[inline(always)]
fn xor<N: ArraySize>(to: &mut Array<u8, N>, from: &Array<u8, N>) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= *from);
}
