//! A block cipher in counter mode, as RFC 3686 and RFC 4309 have it: the last four octets of the counter block count.

use cipher::array::Array;
use cipher::consts::U16;
use cipher::typenum::Unsigned;
use cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, ParBlocks};

use crate::group::together;

/// XORs the key stream that begins with the block counter 1 to a whole body, which is at most 2^32 blocks.
pub(crate) fn apply<C>(cipher: &C, nonce: [u8; 12], body: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    cipher.encrypt_with_backend(Stream { nonce, body });
}

struct Stream<'a> {
    nonce: [u8; 12],
    body: &'a mut [u8],
}

impl BlockSizeUser for Stream<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Stream<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.nonce;
        let mut counter = 0u32;
        let mut next = || {
            counter = counter.wrapping_add(1);
            let [c0, c1, c2, c3] = counter.to_be_bytes();
            Array([a, b, c, d, e, f, g, h, i, j, k, l, c0, c1, c2, c3])
        };
        let size = B::ParBlocksSize::USIZE;
        for piece in self.body.chunks_mut(size.saturating_mul(16)) {
            if together(piece.len() >> 4, size) {
                let mut blocks = ParBlocks::<B>::default();
                blocks.iter_mut().for_each(|block| *block = next());
                backend.encrypt_par_blocks((&mut blocks).into());
                xor(piece, Array::slice_as_flattened(&blocks));
                continue;
            }
            for piece in piece.chunks_mut(16) {
                let mut block = next();
                backend.encrypt_block((&mut block).into());
                xor(piece, &block);
            }
        }
    }
}

#[inline(always)]
fn xor(to: &mut [u8], stream: &[u8]) {
    to.iter_mut().zip(stream).for_each(|(to, from)| *to ^= from);
}
