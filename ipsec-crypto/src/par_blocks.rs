//! How many blocks go through a cipher's backend at once.

/// Whether so many blocks are given to a backend as one group of `size`, what is missing made up. Where a group is small it
/// costs no more than one block: then there is no other way, and half the code. With the feature `small` small groups are
/// not made at all: all round keys twice on the stack is their price.
pub(crate) const fn use_par_blocks(blocks: usize, size: usize) -> bool {
    if size <= 4 { size == 1 || !cfg!(feature = "small") } else { blocks == size }
}
