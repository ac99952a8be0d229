use crate::Text;
use crate::copy::put;
use crate::hash::Hash;

/// A text in the blocks of a hash: whole ones as they lie there, then one or two with what is left and the padding, with the
/// length of the text and of one block of key in front of it (RFC 1321 3.1, 3.2; RFC 6234 4).
pub(crate) struct Blocks<'t, H: Hash> {
    pub whole: &'t [H::Block],
    end: [H::Block; 2],
    /// Of the end: 1 when the first is not needed.
    skipped: usize,
}

impl<'t, H: Hash> Blocks<'t, H> {
    #[inline(always)]
    pub fn of(text: Text<'t>) -> Self {
        let [octets, high] = text.segments();
        let (whole, rest) = H::blocks(octets);
        let mut end = [H::ZERO; 2];
        let both = H::octets(&mut end);
        let block = both.len() / 2;
        let skipped = usize::from(rest.len().saturating_add(high.len()) < block.saturating_sub(H::LENGTH));
        let (_, free) = both.split_at_mut_checked(skipped.saturating_mul(block)).unwrap_or_default();
        put(put(put(free, rest), high), &[0x80]);
        write_length::<H>(both, octets.len().saturating_add(high.len()).saturating_add(block));
        Self { whole, end, skipped }
    }

    /// What is behind the whole ones.
    #[inline(always)]
    pub fn end(&self) -> &[H::Block] {
        self.end.get(self.skipped..).unwrap_or_default()
    }
}

/// The number of bits in so many octets, behind everything else.
#[inline(always)]
pub(crate) fn write_length<H: Hash>(end: &mut [u8], octets: usize) {
    let bits = u64::try_from(octets).unwrap_or(u64::MAX).saturating_mul(8);
    if let Some(to) = end.last_chunk_mut() {
        *to = if H::BIG_ENDIAN { bits.to_be_bytes() } else { bits.to_le_bytes() };
    }
}
