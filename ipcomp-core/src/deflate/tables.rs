//! The alphabets of RFC 1951 3.2.5: lengths and distances as a symbol and extra bits.

/// Literals, end of block, lengths.
pub(super) const LITERALS: usize = 286;
/// Distances.
pub(super) const DISTANCES: usize = 30;
/// The end-of-block symbol.
pub(super) const END: usize = 256;

/// The length symbol (from 257), the extra bits and how many, for a match length of 3 to 258.
#[inline(always)]
pub(super) fn length_symbol(length: u16) -> (usize, u64, u32) {
    if length == 258 {
        return (285, 0, 0);
    }
    let (symbol, extra, bits) = symbol_of(u32::from(length.wrapping_sub(3)), 3);
    (symbol.saturating_add(257), extra, bits)
}

/// The distance symbol, the extra bits and how many, for a distance of 1 to 32768.
#[inline(always)]
pub(super) fn distance_symbol(distance: u16) -> (usize, u64, u32) {
    symbol_of(u32::from(distance.wrapping_sub(1)), 2)
}

/// Both alphabets are numbers with a `mantissa` of so many bits, the leading 1 counted: the bits below are extra.
#[inline(always)]
fn symbol_of(value: u32, mantissa: u32) -> (usize, u64, u32) {
    let width = u32::BITS.wrapping_sub(value.leading_zeros());
    let extra = width.saturating_sub(mantissa);
    let step = extra << mantissa.wrapping_sub(1);
    let symbol = step.wrapping_add(value >> (extra & 31));
    let bits = u64::from(value) & (1u64 << (extra & 63)).wrapping_sub(1);
    (usize::try_from(symbol).unwrap_or(0), bits, extra)
}

/// The order in which the lengths of the code length code are sent (RFC 1951 3.2.7).
pub(super) const CODE_LENGTH_ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
