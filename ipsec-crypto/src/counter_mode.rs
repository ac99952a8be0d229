//! Counter mode of a block cipher as in RFC 3686 and RFC 4309: the last four octets of the counter block count.

use cipher::array::Array;
use cipher::consts::U16;
use cipher::typenum::Unsigned;
use cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, ParBlocks};

use crate::par_blocks::use_par_blocks;

/// XORs the key stream to a body of less than 2^32 blocks. The block counter begins at 1.
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
        let mut counter = u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]);
        let mut next = || {
            counter = counter.wrapping_add(1);
            Array(counter.to_be_bytes())
        };
        let size = B::ParBlocksSize::USIZE;
        for piece in self.body.chunks_mut(size.saturating_mul(16)) {
            if use_par_blocks(piece.len() >> 4, size) {
                let mut blocks = ParBlocks::<B>::from_fn(|_| next());
                backend.encrypt_par_blocks((&mut blocks).into());
                xor(piece, Array::slice_as_flattened(&blocks));
                continue;
            }
            let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(piece);
            for block in blocks {
                let mut stream = next();
                backend.encrypt_block((&mut stream).into());
                xor(block, &stream);
            }
            if !rest.is_empty() {
                let mut stream = next();
                backend.encrypt_block((&mut stream).into());
                xor(rest, &stream);
            }
        }
    }
}

#[inline(always)]
fn xor(to: &mut [u8], stream: &[u8]) {
    to.iter_mut().zip(stream).for_each(|(to, from)| *to ^= from);
}
