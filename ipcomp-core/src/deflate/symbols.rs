//! Encoding of symbols and matches with dynamic or fixed codes (RFC 1951 sections 3.2.5 and 3.2.6).

use super::bits::BitWriter;
use super::matches::Match;
use super::tables::{DISTANCES, LITERALS, distance_symbol, length_symbol};

#[inline(always)]
pub(super) fn push_symbol(writer: &mut BitWriter<'_>, codes: &[u32], symbol: usize) {
    let code = codes.get(symbol).copied().unwrap_or(0);
    writer.push_bits(u64::from(code & 0xffff), code >> 16);
}

/// Appends a match: at most 15 + 5 + 15 + 13 bits.
#[inline(always)]
pub(super) fn push_match(
    writer: &mut BitWriter<'_>,
    literals: &[u32; LITERALS],
    distances: &[u32; DISTANCES],
    found: Match,
) {
    let (symbol, extra, bits) = length_symbol(found.length);
    push_symbol(writer, literals, symbol);
    writer.push_bits(extra, bits);
    let (symbol, extra, bits) = distance_symbol(found.distance);
    push_symbol(writer, distances, symbol);
    writer.push_bits(extra, bits);
}

/// Fixed codes (RFC 1951 section 3.2.6), as `length << 16 | code` with the bits in wire order.
pub(super) const FIXED_LITERALS: [u32; LITERALS] = fixed_literals();
pub(super) const FIXED_DISTANCES: [u32; DISTANCES] = fixed_distances();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)] // evaluated at compile time only
const fn fixed_literals() -> [u32; LITERALS] {
    let mut codes = [0; LITERALS];
    let mut symbol = 0;
    while symbol < LITERALS {
        let s = symbol as u32;
        codes[symbol] = match s {
            0..=143 => code(0x30 + s, 8),
            144..=255 => code(0x190 + s - 144, 9),
            256..=279 => code(s - 256, 7),
            _ => code(0xc0 + s - 280, 8),
        };
        symbol += 1;
    }
    codes
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)] // evaluated at compile time only
const fn fixed_distances() -> [u32; DISTANCES] {
    let mut codes = [0; DISTANCES];
    let mut symbol = 0;
    while symbol < DISTANCES {
        codes[symbol] = code(symbol as u32, 5);
        symbol += 1;
    }
    codes
}

#[allow(clippy::arithmetic_side_effects)] // evaluated at compile time only
const fn code(value: u32, length: u32) -> u32 {
    (length << 16) | (value.reverse_bits() >> (32 - length))
}
