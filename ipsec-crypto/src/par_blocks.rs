//! Number of blocks that a cipher's backend processes at once.

/// Returns whether this number of blocks is passed to a backend as one padded group of `size` blocks. A small group
/// costs no more than one block, so it is always used and halves the code. With `ipsec_small`, small groups are
/// not used, as they need all round keys twice on the stack.
pub(crate) const fn use_par_blocks(blocks: usize, size: usize) -> bool {
    if size <= 4 { size == 1 || !cfg!(ipsec_small) } else { blocks == size }
}
