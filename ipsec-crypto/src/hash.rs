use core::fmt;

use zeroize::Zeroize;

use crate::{Icv, IcvInput, IcvLen};

/// Hash function of HMAC, the parameter of [`HmacIntegrity`](crate::HmacIntegrity) (RFC 2104 section 2). Only types
/// of this crate implement it.
pub trait Hash: sealed::Sealed {
    /// State of the hash between two blocks.
    #[doc(hidden)]
    type State: Copy + Zeroize;

    /// Input block of the hash.
    #[doc(hidden)]
    type Block: Copy + AsRef<[u8]> + AsMut<[u8]> + Zeroize;

    /// Initial state of the hash.
    #[doc(hidden)]
    const START: Self::State;

    #[doc(hidden)]
    const ZERO: Self::Block;

    /// Length of the field after the padding that contains the input length, in octets.
    #[doc(hidden)]
    const LENGTH: usize;

    #[doc(hidden)]
    const BIG_ENDIAN: bool;

    /// Length of the hash value in octets.
    #[doc(hidden)]
    const OUTPUT: usize;

    #[doc(hidden)]
    fn compress(state: &mut Self::State, blocks: &[Self::Block]);

    /// Splits a text into blocks and the rest.
    #[doc(hidden)]
    fn blocks(text: &[u8]) -> (&[Self::Block], &[u8]);

    /// Returns two blocks as octets.
    #[doc(hidden)]
    fn octets(blocks: &mut [Self::Block; 2]) -> &mut [u8];

    /// Writes the state as octets, of which the first [`OUTPUT`](Self::OUTPUT) are the hash value, as far as `to` has
    /// space.
    #[doc(hidden)]
    fn write(state: &Self::State, to: &mut [u8]);

    /// Computes the first `len` octets of the HMAC of a text, if this machine has a faster method than block by block.
    #[doc(hidden)]
    fn hmac(text: &KeyedInput<'_, Self>, len: IcvLen) -> Option<Icv>
    where
        Self: Sized,
    {
        let _ = (text, len);
        None
    }

    /// Returns the number of texts from which hashing in lanes is faster, on this machine.
    #[doc(hidden)]
    fn min_batch() -> usize {
        usize::MAX
    }

    /// Computes the first `len` octets of the HMAC of each text in lanes. Returns whether it did.
    #[doc(hidden)]
    fn hmac_batch(texts: &[KeyedInput<'_, Self>], tags: &mut [Icv], len: IcvLen) -> bool
    where
        Self: Sized,
    {
        let _ = (texts, tags, len);
        false
    }
}

/// Text with the states of the hash after the inner and the outer block of key (RFC 2104 section 2).
#[doc(hidden)]
#[allow(dead_code)] // where nothing is hashed side by side
pub struct KeyedInput<'a, H: Hash> {
    pub(crate) inner: &'a H::State,
    pub(crate) outer: &'a H::State,
    pub(crate) text: IcvInput<'a>,
}

impl<H: Hash> fmt::Debug for KeyedInput<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyed({:?})", self.text)
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
}
