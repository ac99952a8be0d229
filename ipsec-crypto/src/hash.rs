use zeroize::Zeroize;

use crate::{Tag, Text};

/// A hash that HMAC is made with: [`HmacIcv`](crate::HmacIcv) has one as parameter (RFC 2104 2). Nothing but those of this crate can be one.
pub trait Hash: sealed::Sealed {
    /// What it remembers between blocks.
    #[doc(hidden)]
    type State: Copy + Zeroize;

    /// What it takes at once.
    #[doc(hidden)]
    type Block: Copy + AsRef<[u8]> + AsMut<[u8]> + Zeroize;

    /// Where it begins.
    #[doc(hidden)]
    const START: Self::State;

    #[doc(hidden)]
    const ZERO: Self::Block;

    /// Octets of the length behind the padding, the most significant first or last.
    #[doc(hidden)]
    const LENGTH: usize;

    #[doc(hidden)]
    const BIG_ENDIAN: bool;

    /// Octets that it gives.
    #[doc(hidden)]
    const OUTPUT: usize;

    #[doc(hidden)]
    fn compress(state: &mut Self::State, blocks: &[Self::Block]);

    /// A text cut into blocks, and what is left.
    #[doc(hidden)]
    fn blocks(text: &[u8]) -> (&[Self::Block], &[u8]);

    /// Two blocks as octets.
    #[doc(hidden)]
    fn octets(blocks: &mut [Self::Block; 2]) -> &mut [u8];

    /// A state as octets, of which the first [`OUTPUT`](Self::OUTPUT) are the hash: as many as there is room for.
    #[doc(hidden)]
    fn write(state: &Self::State, to: &mut [u8]);

    /// From how many texts on it is worth to hash them side by side, on this machine.
    #[doc(hidden)]
    fn batch_from() -> usize {
        usize::MAX
    }

    /// The first `len` octets of the HMAC of each text, side by side, from the states behind the key; says whether it did.
    #[doc(hidden)]
    fn hmac_batch(keyed: [&Self::State; 2], texts: &[Text<'_>], tags: &mut [Tag], len: usize) -> bool {
        let _ = (keyed, texts, tags, len);
        false
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
}
