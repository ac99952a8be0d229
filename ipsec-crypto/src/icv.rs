use core::fmt;

use crate::{Forged, ct};

/// The longest ICV of any algorithm here, in octets.
pub const MAX_ICV: usize = 32;

/// A computed ICV.
#[derive(Clone, Copy)]
pub struct Tag {
    octets: [u8; MAX_ICV],
    len: usize,
}

impl Tag {
    /// The first `len` octets of `mac`, at most [`MAX_ICV`]; a shorter `mac` is followed by zeros.
    pub fn truncated(mac: &[u8], len: usize) -> Self {
        let mut octets = [0; MAX_ICV];
        octets.iter_mut().zip(mac).for_each(|(to, from)| *to = *from);
        Self { octets, len: len.min(MAX_ICV) }
    }

    /// The ICV as it goes onto the wire.
    pub fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    /// Compares with a received ICV, in constant time.
    ///
    /// # Errors
    /// [`Forged`] when they differ.
    pub fn verify(&self, icv: &[u8]) -> Result<(), Forged> {
        if ct::equal(self.as_slice(), icv) { Ok(()) } else { Err(Forged) }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// An integrity algorithm with a fixed ICV length.
pub trait Icv {
    /// Octets of the ICV.
    fn icv_len(&self) -> usize;

    /// The ICV over everything that `feed` passes to its argument, piece by piece, as if it were one string.
    fn compute_over(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Tag;

    /// The ICV over the segments, as if they were one string.
    fn compute(&self, segments: &[&[u8]]) -> Tag {
        self.compute_over(|absorb| segments.iter().for_each(|segment| absorb(segment)))
    }
}

/// An integrity algorithm as AH uses it: every [`Icv`], and AES-GMAC, which sends an IV in front of its ICV.
pub trait AhIntegrity {
    /// Octets of IV at the beginning of the ICV field; 0 or 8.
    fn iv_len(&self) -> usize;

    /// Octets of the ICV field, IV included.
    fn field_len(&self) -> usize;

    /// The ICV, without the IV, over everything that `feed` passes to its argument. An IV must never repeat under one key;
    /// where there is none it is ignored.
    fn authenticate(&self, iv: [u8; 8], feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Tag;
}

impl<I: Icv> AhIntegrity for I {
    fn iv_len(&self) -> usize {
        0
    }

    fn field_len(&self) -> usize {
        self.icv_len()
    }

    fn authenticate(&self, _: [u8; 8], feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Tag {
        self.compute_over(feed)
    }
}
