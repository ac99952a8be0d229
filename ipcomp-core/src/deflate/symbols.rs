//! Symbols and matches as bits, by any codes or by the fixed ones (RFC 1951 3.2.5, 3.2.6).

use super::bits::BitWriter;
use super::matches::Match;
use super::tables::{DISTANCES, LITERALS, distance_symbol, length_symbol};

#[inline(always)]
pub(super) fn hold_symbol(writer: &mut BitWriter<'_>, codes: &[u32], symbol: usize) {
    let code = codes.get(symbol).copied().unwrap_or(0);
    writer.hold(u64::from(code & 0xffff), code >> 16);
}

/// At most 15 + 5 + 15 + 13 bits.
#[inline(always)]
pub(super) fn hold_match(
    writer: &mut BitWriter<'_>,
    literals: &[u32; LITERALS],
    distances: &[u32; DISTANCES],
    found: Match,
) {
    let (symbol, extra, bits) = length_symbol(found.length);
    hold_symbol(writer, literals, symbol);
    writer.hold(extra, bits);
    let (symbol, extra, bits) = distance_symbol(found.distance);
    hold_symbol(writer, distances, symbol);
    writer.hold(extra, bits);
}

/// The fixed codes (RFC 1951 3.2.6), as `length << 16 | code` with the bits in the order they are sent.
pub(super) const FIXED_LITERALS: [u32; LITERALS] = fixed_literals();
pub(super) const FIXED_DISTANCES: [u32; DISTANCES] = fixed_distances();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)] // evaluated by the compiler only
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

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)] // evaluated by the compiler only
const fn fixed_distances() -> [u32; DISTANCES] {
    let mut codes = [0; DISTANCES];
    let mut symbol = 0;
    while symbol < DISTANCES {
        codes[symbol] = code(symbol as u32, 5);
        symbol += 1;
    }
    codes
}

#[allow(clippy::arithmetic_side_effects)] // evaluated by the compiler only
const fn code(value: u32, length: u32) -> u32 {
    (length << 16) | (value.reverse_bits() >> (32 - length))
}
