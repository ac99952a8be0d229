use crate::IcvInput;
use crate::append::{append, excluded};
use crate::hash::Hash;

/// Splits a text into hash blocks: whole blocks in place, then one or two of `end`, which are zero on entry and
/// receive the rest, the padding, and the length of the text plus one block of key (RFC 1321 sections 3.1 and 3.2;
/// RFC 6234 section 4).
#[inline(always)]
pub(crate) fn blocks<'t, 'e, H: Hash>(
    text: IcvInput<'t>,
    end: &'e mut [H::Block; 2],
) -> (&'t [H::Block], &'e [H::Block]) {
    let (octets, high) = (text.octets(), text.high().map_or(0, |high| high.len()));
    let (whole, rest) = H::blocks(octets);
    let both = H::octets(end);
    let block = both.len() / 2;
    let skipped = usize::from(rest.len().saturating_add(high) < block.saturating_sub(H::LENGTH));
    let (_, free) = both.split_at_mut_checked(skipped.saturating_mul(block)).unwrap_or_else(excluded);
    let mut free = append(free, rest);
    if let Some(high) = text.high() {
        free = append(free, high);
    }
    append(free, &[0x80]);
    write_length::<H>(both, octets.len().saturating_add(high).saturating_add(block));
    (whole, end.get(skipped..).unwrap_or_else(excluded))
}

/// Writes the length in bits at the end of the last block.
#[inline(always)]
pub(crate) fn write_length<H: Hash>(end: &mut [u8], octets: usize) {
    let bits = u64::try_from(octets).unwrap_or(u64::MAX).saturating_mul(8);
    let Some(to) = end.last_chunk_mut() else { return excluded() };
    *to = if H::BIG_ENDIAN { bits.to_be_bytes() } else { bits.to_le_bytes() };
}
