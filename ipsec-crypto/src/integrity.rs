use core::fmt;

use crate::append::excluded;
use crate::internal::Internal;
use crate::{IcvLen, IcvMismatch, ct};

/// Length of the longest ICV of any algorithm, in octets (RFC 4868 section 2.3).
pub const MAX_ICV: usize = 32;

/// Computed Integrity Check Value (RFC 4303 section 2.8).
#[derive(Clone, Copy)]
pub struct Icv {
    octets: [u8; MAX_ICV],
    len: IcvLen,
}

impl Icv {
    /// ICV of no octets.
    pub(crate) const NONE: Self = Self { octets: [0; MAX_ICV], len: IcvLen::NONE };

    /// Returns the first `len` octets of a hash value, which is not shorter.
    #[cfg(feature = "_hmac")]
    #[inline(always)]
    pub(crate) fn of<H: crate::hash::Hash>(state: &H::State, len: IcvLen) -> Self {
        let mut octets = [0; MAX_ICV];
        H::write(state, &mut octets);
        Self { octets, len }
    }

    /// Returns space for a MAC of which the first `len` octets are used.
    #[cfg(all(
        feature = "vector-code",
        any(feature = "hmac-sha1", feature = "hmac-sha2-256"),
        target_arch = "x86_64",
        not(target_os = "none")
    ))]
    #[inline(always)]
    pub(crate) fn octets_mut(&mut self, len: IcvLen) -> &mut [u8; MAX_ICV] {
        self.len = len;
        &mut self.octets
    }

    /// Creates an ICV from the first `len` octets of `mac` (RFC 2104 section 5). Returns `None` if `mac` is shorter.
    pub fn truncated(mac: &[u8], len: IcvLen) -> Option<Self> {
        let used = mac.get(..len.octets())?;
        let mut octets = [0; MAX_ICV];
        octets.iter_mut().zip(used).for_each(|(to, from)| *to = *from);
        Some(Self { octets, len })
    }

    /// Creates an ICV from the first `LEN` octets of `mac`. The compiler checks the lengths.
    #[cfg(any(feature = "aes-xcbc", feature = "aes-cmac", feature = "aes-gmac"))]
    #[inline(always)]
    pub(crate) fn first<const LEN: usize>(mac: [u8; 16]) -> Self {
        const { assert!(LEN <= 16, "the MAC is shorter") };
        let mut octets = [0; MAX_ICV];
        octets.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
        Self { octets, len: IcvLen::of::<LEN>() }
    }

    /// Writes the ICV to a field of its length. Lengths that differ are an error of the caller; the field has none of
    /// its previous octets then.
    #[inline(always)]
    pub(crate) fn write(&self, field: &mut [u8]) {
        field.iter_mut().zip(self.octets).for_each(|(to, from)| *to = from);
    }

    /// Returns the octets of the ICV on the wire (RFC 4303 section 2.8).
    pub fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.len.octets()).unwrap_or_else(excluded)
    }

    /// Compares the ICV with a received one in constant time (RFC 4303 section 3.4.4.1).
    ///
    /// # Errors
    /// [`IcvMismatch`] if they differ.
    pub fn verify(&self, icv: &[u8]) -> Result<(), IcvMismatch> {
        if ct::equal(self.as_slice(), icv) { Ok(()) } else { Err(IcvMismatch) }
    }
}

impl fmt::Debug for Icv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Icv(..)")
    }
}

/// Input of the ICV of an ESP packet: header, IV and body, followed by the high half of ESN if there is one (RFC 4303
/// section 2.8).
#[derive(Clone, Copy)]
pub struct IcvInput<'a> {
    octets: &'a [u8],
    high: Option<&'a [u8; 4]>,
}

impl<'a> IcvInput<'a> {
    /// Creates the input from the octets on the wire and the high half of ESN.
    pub const fn new(octets: &'a [u8], high: Option<&'a [u8; 4]>) -> Self {
        Self { octets, high }
    }

    /// Returns the octets on the wire.
    #[cfg(feature = "_hmac")]
    pub(crate) const fn octets(self) -> &'a [u8] {
        self.octets
    }

    /// Returns the high half of ESN.
    #[cfg(feature = "_hmac")]
    pub(crate) const fn high(self) -> Option<&'a [u8; 4]> {
        self.high
    }

    /// Returns both segments, which count as one string.
    pub fn segments(self) -> [&'a [u8]; 2] {
        [self.octets, self.high.map_or(&[], |high| high)]
    }
}

/// Prints lengths only: with NULL encryption the input is plaintext.
impl fmt::Debug for IcvInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IcvInput({} + {} octets)", self.octets.len(), self.high.map_or(0, |high| high.len()))
    }
}

/// Integrity algorithm with a fixed ICV length (RFC 4303 section 3.2.2).
pub trait Integrity {
    /// Returns the length of the ICV (RFC 4303 section 2.8).
    fn icv_len(&self) -> IcvLen;

    /// Computes the ICV over the pieces that `feed` passes to its argument, as if they were one string.
    //= RFC 4303 3.3.2.1/1
    //# MUST: implicit padding for an integrity algorithm that requires whole blocks
    fn compute_over(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv;

    /// Computes the ICV over the segments, as if they were one string.
    fn compute(&self, segments: &[&[u8]]) -> Icv {
        self.compute_over(|absorb| segments.iter().for_each(|segment| absorb(segment)))
    }

    /// Computes the ICV of an ESP packet.
    #[doc(hidden)]
    fn compute_input(&self, text: IcvInput<'_>, _: Internal) -> Icv {
        self.compute(&text.segments())
    }

    /// Computes the ICV of a received packet, with the result of [`compute_input`](Self::compute_input). Octets that
    /// were just encrypted can be slow to read, received ones are not.
    #[doc(hidden)]
    fn compute_received(&self, text: IcvInput<'_>, _: Internal) -> Icv {
        self.compute_input(text, Internal)
    }

    /// Returns the number of texts from which [`compute_batch`](Self::compute_batch) is faster than one after the
    /// other. The default is never.
    #[doc(hidden)]
    fn min_batch(&self, _: Internal) -> usize {
        usize::MAX
    }

    /// Computes the ICVs of several texts, each under its own key, with the result of
    /// [`compute_input`](Self::compute_input) for each.
    #[doc(hidden)]
    fn compute_batch(texts: &[(&Self, IcvInput<'_>)], tags: &mut [Icv], _: Internal)
    where
        Self: Sized,
    {
        tags.iter_mut().zip(texts).for_each(|(tag, (icv, text))| *tag = icv.compute_input(*text, Internal));
    }
}

/// Integrity algorithm of AH: every [`Integrity`], and AES-GMAC, which transmits an IV in front of its ICV (RFC 4302
/// section 3.2, RFC 4543 section 4).
pub trait AhIntegrity {
    /// Returns the length of the IV at the beginning of the ICV field, in octets: 0 or 8 (RFC 4543 section 4).
    fn iv_len(&self) -> usize;

    /// Returns the length of the ICV field in octets, including the IV (RFC 4302 section 2.6, RFC 4543 section 4).
    fn field_len(&self) -> usize;

    /// Computes the ICV, without the IV, over the pieces that `feed` passes to its argument (RFC 4302 section 3.3.3).
    /// An IV must never repeat under one key; algorithms without an IV ignore it.
    fn authenticate(&self, iv: [u8; 8], feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv;
}

impl<I: Integrity> AhIntegrity for I {
    fn iv_len(&self) -> usize {
        0
    }

    fn field_len(&self) -> usize {
        self.icv_len().octets()
    }

    fn authenticate(&self, _: [u8; 8], feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        self.compute_over(feed)
    }
}

#[cfg(all(
    test,
    feature = "hmac-md5",
    feature = "hmac-sha1",
    feature = "hmac-sha2",
    feature = "hmac-ripemd160",
    feature = "aes-xcbc"
))]
mod tests;
