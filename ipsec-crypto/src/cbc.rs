//! CBC mode over whole bodies (RFC 2451 2.1, RFC 3602 2): one call into the cipher's backend for each packet.

use cipher::array::Array;
use cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};

pub(crate) fn encrypt<C: BlockCipherEncrypt>(cipher: &C, iv: &Block<C>, body: &mut [u8]) {
    let (blocks, _) = Array::slice_as_chunks_mut(body);
    ::cbc::Encryptor::inner_iv_init(cipher, iv).encrypt_blocks(blocks);
}

pub(crate) fn decrypt<C: BlockCipherDecrypt>(cipher: &C, iv: &Block<C>, body: &mut [u8]) {
    let (blocks, _) = Array::slice_as_chunks_mut(body);
    ::cbc::Decryptor::inner_iv_init(cipher, iv).decrypt_blocks(blocks);
}
