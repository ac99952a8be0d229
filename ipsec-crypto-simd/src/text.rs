use core::fmt;

use crate::MultiBufferHash;

/// Text of an HMAC with the states of the hash after the inner and the outer block of key (RFC 2104 section 2).
#[derive(Clone, Copy)]
pub struct KeyedText<'a, const N: usize> {
    /// State after the inner block of key.
    pub inner: &'a [u32; N],
    /// State after the outer block of key.
    pub outer: &'a [u32; N],
    /// Octets of the text.
    pub octets: &'a [u8],
    /// Last four octets of the text, which are stored elsewhere, such as the high half of ESN (RFC 4303 section 2.8).
    pub high: Option<&'a [u8; 4]>,
}

impl<'a, const N: usize> KeyedText<'a, N> {
    /// Splits the text into hash blocks: whole blocks in place, then one or two of `end`, which are zero on entry and
    /// receive the rest, the padding, and the length of the text plus one block of key (RFC 1321 sections 3.1 and 3.2;
    /// RFC 6234 section 4).
    #[inline(always)]
    pub(crate) fn blocks<'e, H: MultiBufferHash<N>>(
        &self,
        end: &'e mut [[u8; 64]; 2],
    ) -> (&'a [[u8; 64]], &'e [[u8; 64]]) {
        let (whole, rest) = self.octets.as_chunks();
        let high = self.high.map_or(0, |high| high.len());
        let skipped = usize::from(rest.len().saturating_add(high) < 64 - 8);
        let both = end.as_flattened_mut();
        let (_, free) = both.split_at_mut_checked(skipped.saturating_mul(64)).unwrap_or_default();
        let mut free = append(free, rest);
        if let Some(high) = self.high {
            free = append(free, high);
        }
        append(free, &[0x80]);
        let octets = self.octets.len().saturating_add(high).saturating_add(64);
        let bits = u64::try_from(octets).unwrap_or(u64::MAX).saturating_mul(8);
        if let Some(to) = both.last_chunk_mut() {
            *to = if H::BIG_ENDIAN { bits.to_be_bytes() } else { bits.to_le_bytes() };
        }
        (whole, end.get(skipped..).unwrap_or_default())
    }
}

/// Prints the length only, as the text may be plaintext.
impl<const N: usize> fmt::Debug for KeyedText<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedText({} + {} octets)", self.octets.len(), self.high.map_or(0, |high| high.len()))
    }
}

/// Copies octets to the front of `to`, which has space for them, and returns the octets after them.
#[inline(always)]
fn append<'a>(to: &'a mut [u8], octets: &[u8]) -> &'a mut [u8] {
    let Some((front, behind)) = to.split_at_mut_checked(octets.len()) else { return &mut [] };
    front.copy_from_slice(octets);
    behind
}
