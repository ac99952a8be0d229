use core::fmt;

use crate::{IcvMismatch, ct};

/// The longest ICV of any algorithm here, in octets (RFC 4868 2.3).
pub const MAX_ICV: usize = 32;

/// A computed ICV (RFC 4303 2.8).
#[derive(Clone, Copy)]
pub struct Icv {
    octets: [u8; MAX_ICV],
    len: usize,
}

impl Icv {
    /// Of no octets.
    pub(crate) const NONE: Self = Self { octets: [0; MAX_ICV], len: 0 };

    /// The first `len` octets of a hash.
    #[cfg(feature = "_hmac")]
    #[inline(always)]
    pub(crate) fn of<H: crate::hash::Hash>(state: &H::State, len: usize) -> Self {
        let mut octets = [0; MAX_ICV];
        H::write(state, &mut octets);
        Self { octets, len: len.min(MAX_ICV) }
    }

    /// Room for a MAC of which the first `len` octets are meant.
    #[cfg(all(
        feature = "simd",
        any(feature = "hmac-sha1", feature = "hmac-sha2-256"),
        target_arch = "x86_64",
        not(target_os = "none")
    ))]
    #[inline(always)]
    pub(crate) fn octets_mut(&mut self, len: usize) -> &mut [u8; MAX_ICV] {
        self.len = len.min(MAX_ICV);
        &mut self.octets
    }

    /// The first `len` octets of `mac`, at most [`MAX_ICV`]; a shorter `mac` is followed by zeros (RFC 2104 5).
    pub fn truncated(mac: &[u8], len: usize) -> Self {
        let mut octets = [0; MAX_ICV];
        octets.iter_mut().zip(mac).for_each(|(to, from)| *to = *from);
        Self { octets, len: len.min(MAX_ICV) }
    }

    /// The ICV as it goes onto the wire (RFC 4303 2.8).
    pub fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    /// Compares with a received ICV, in constant time (RFC 4303 3.4.4.1).
    ///
    /// # Errors
    /// [`IcvMismatch`] when they differ.
    pub fn verify(&self, icv: &[u8]) -> Result<(), IcvMismatch> {
        if ct::equal(self.as_slice(), icv) { Ok(()) } else { Err(IcvMismatch) }
    }
}

impl fmt::Debug for Icv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// What an ICV covers of one ESP packet: header, IV and body, and behind it the high half of ESN or nothing (RFC 4303 2.8).
#[derive(Clone, Copy)]
pub struct IcvInput<'a> {
    octets: &'a [u8],
    high: Option<&'a [u8; 4]>,
}

impl<'a> IcvInput<'a> {
    /// Of what is on the wire, and of what is not.
    pub const fn new(octets: &'a [u8], high: Option<&'a [u8; 4]>) -> Self {
        Self { octets, high }
    }

    /// What is on the wire.
    #[cfg(feature = "_hmac")]
    pub(crate) const fn octets(self) -> &'a [u8] {
        self.octets
    }

    /// What is not.
    #[cfg(feature = "_hmac")]
    pub(crate) const fn high(self) -> Option<&'a [u8; 4]> {
        self.high
    }

    /// Both, to be taken as one string.
    pub fn segments(self) -> [&'a [u8]; 2] {
        [self.octets, self.high.map_or(&[], |high| high)]
    }
}

/// Lengths only: with NULL encryption it is plaintext.
impl fmt::Debug for IcvInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} + {} octets)", self.octets.len(), self.high.map_or(0, |high| high.len()))
    }
}

/// An integrity algorithm with a fixed ICV length (RFC 4303 3.2.2).
pub trait Integrity {
    /// Octets of the ICV (RFC 4303 2.8).
    fn icv_len(&self) -> usize;

    /// The ICV over everything that `feed` passes to its argument, piece by piece, as if it were one string.
    //= RFC 4303 3.3.2.1/1
    fn compute_over(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv;

    /// The ICV over the segments, as if they were one string.
    fn compute(&self, segments: &[&[u8]]) -> Icv {
        self.compute_over(|absorb| segments.iter().for_each(|segment| absorb(segment)))
    }

    /// The ICV over what it covers of an ESP packet.
    fn compute_text(&self, text: IcvInput<'_>) -> Icv {
        self.compute(&text.segments())
    }

    /// As [`compute_text`](Self::compute_text), for a packet that was received: what was written just now can be slow to read another way.
    fn compute_received(&self, text: IcvInput<'_>) -> Icv {
        self.compute_text(text)
    }

    /// From how many texts on [`compute_batch`](Self::compute_batch) takes less time than one after the other; never, if not said otherwise.
    fn min_batch(&self) -> usize {
        usize::MAX
    }

    /// The ICVs over several texts, each under its own key, as [`compute_text`](Self::compute_text) would give one after the other.
    fn compute_batch(texts: &[(&Self, IcvInput<'_>)], tags: &mut [Icv])
    where
        Self: Sized,
    {
        tags.iter_mut().zip(texts).for_each(|(tag, (icv, text))| *tag = icv.compute_text(*text));
    }
}

/// An integrity algorithm as AH uses it: every [`Integrity`], and AES-GMAC, which sends an IV in front of its ICV (RFC 4302 3.2, RFC 4543 4).
pub trait AhIntegrity {
    /// Octets of IV at the beginning of the ICV field; 0 or 8 (RFC 4543 4).
    fn iv_len(&self) -> usize;

    /// Octets of the ICV field, IV included (RFC 4302 2.6, RFC 4543 4).
    fn field_len(&self) -> usize;

    /// The ICV, without the IV, over everything that `feed` passes to its argument (RFC 4302 3.3.3). An IV must never repeat under one key;
    /// where there is none it is ignored.
    fn authenticate(&self, iv: [u8; 8], feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv;
}

impl<I: Integrity> AhIntegrity for I {
    fn iv_len(&self) -> usize {
        0
    }

    fn field_len(&self) -> usize {
        self.icv_len()
    }

    fn authenticate(&self, _: [u8; 8], feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        self.compute_over(feed)
    }
}
