use core::fmt;

use zeroize::Zeroize;

use crate::{Icv, IcvInput};

/// A hash that HMAC is made with: [`HmacIntegrity`](crate::HmacIntegrity) has one as parameter (RFC 2104 2). Nothing but those of this crate can be one.
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

    /// The first `len` octets of the HMAC of a text, where there is a faster way than block by block, on this machine.
    #[doc(hidden)]
    fn hmac(text: &Keyed<'_, Self>, len: usize) -> Option<Icv>
    where
        Self: Sized,
    {
        let _ = (text, len);
        None
    }

    /// From how many texts on it is worth to hash them side by side, on this machine.
    #[doc(hidden)]
    fn min_batch() -> usize {
        usize::MAX
    }

    /// The first `len` octets of the HMAC of each text, side by side, from the states behind its key; says whether it did.
    #[doc(hidden)]
    fn hmac_batch(texts: &[Keyed<'_, Self>], tags: &mut [Icv], len: usize) -> bool
    where
        Self: Sized,
    {
        let _ = (texts, tags, len);
        false
    }
}

/// A text, and what the hash remembers behind the inner and the outer block of key (RFC 2104 2).
#[doc(hidden)]
#[allow(dead_code)] // where nothing is hashed side by side
pub struct Keyed<'a, H: Hash> {
    pub(crate) inner: &'a H::State,
    pub(crate) outer: &'a H::State,
    pub(crate) text: IcvInput<'a>,
}

impl<H: Hash> fmt::Debug for Keyed<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyed({:?})", self.text)
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
}
