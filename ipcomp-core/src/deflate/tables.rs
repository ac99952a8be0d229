//! Alphabets of RFC 1951 section 3.2.5: lengths and distances as a symbol and extra bits.

/// Number of symbols for literals, end of block and lengths.
pub(super) const LITERALS: usize = 286;
/// Number of symbols for distances.
pub(super) const DISTANCES: usize = 30;
/// Symbol of the end of a block.
pub(super) const END: usize = 256;

/// Returns the length symbol (from 257), the extra bits and their number, for a match length of 3 to 258.
#[inline(always)]
pub(super) fn length_symbol(length: u16) -> (usize, u64, u32) {
    let [_, packed] = length.wrapping_sub(3).to_be_bytes();
    let row = LENGTH_ROWS.get(usize::from(packed)).copied().unwrap_or(0);
    let [symbol_low, symbol_high, extra, bits] = row.to_le_bytes();
    (usize::from(u16::from_le_bytes([symbol_low, symbol_high])), extra.into(), bits.into())
}

/// Table indexed by length - 3: the number of extra bits, the extra bits and the symbol, from the upper octets to the
/// lower.
const LENGTH_ROWS: [u32; 256] = length_rows();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated at compile time only
const fn length_rows() -> [u32; 256] {
    let mut rows = [0u32; 256];
    let mut value = 0u32;
    while value < 255 {
        let width = u32::BITS - value.leading_zeros();
        let extra = width.saturating_sub(3);
        let symbol = 257 + (extra << 2) + (value >> extra);
        rows[value as usize] = extra << 24 | (value & ((1 << extra) - 1)) << 16 | symbol;
        value += 1;
    }
    rows[255] = 285;
    rows
}

/// Returns the distance symbol, the extra bits and their number, for a distance of 1 to 32768. The two upper bits of
/// distance - 1 select the symbol; the lower bits are the extra bits.
#[inline(always)]
pub(super) fn distance_symbol(distance: u16) -> (usize, u64, u32) {
    let value = u32::from(distance.wrapping_sub(1));
    let width = u32::BITS.wrapping_sub(value.leading_zeros());
    let extra = width.saturating_sub(2);
    let symbol = (extra << 1).wrapping_add(value >> (extra & 31));
    let bits = u64::from(value) & (1u64 << (extra & 63)).wrapping_sub(1);
    (usize::try_from(symbol).unwrap_or(0), bits, extra)
}

/// Wire order of the lengths of the code length code (RFC 1951 section 3.2.7).
pub(super) const CODE_LENGTH_ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
