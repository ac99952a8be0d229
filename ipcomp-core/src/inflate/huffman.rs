use super::InflateError;
use super::bits::BitReader;

/// Decoding table of a prefix code: `SIZE` entries for codes of up to log2(`SIZE`) bits, and the canonical order of the
/// symbols for longer codes, which are rare in packets.
pub(super) struct Table<const SIZE: usize, const SYMBOLS: usize> {
    root: [Entry; SIZE],
    count_by_length: [u16; 16],
    canonical: [u16; SYMBOLS],
    kind: Kind,
}

/// Alphabet of a code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Alphabet of literals, end of block and lengths.
    Literals,
    /// Alphabet of match distances.
    Distances,
    /// Alphabet of code lengths, whose symbols are their values.
    CodeLengths,
}

/// Decoded meaning of a code: `value << 16 | flag << 8 | number of extra bits << 4 | code length`; 0 for an invalid
/// code.
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

const LITERAL: u32 = 1 << 8;
const END: u32 = 2 << 8;
const BASE: u32 = 4 << 8;

impl Entry {
    const NONE: Self = Self(0);

    #[inline]
    pub(super) fn is_literal(self) -> bool {
        self.0 & LITERAL != 0
    }

    #[inline]
    pub(super) fn is_end(self) -> bool {
        self.0 & END != 0
    }

    #[inline]
    pub(super) fn octet(self) -> u8 {
        self.0.to_le_bytes()[2]
    }

    /// Returns the length or distance, including its extra bits.
    #[inline]
    pub(super) fn value(self, bits: &mut BitReader<'_>) -> Result<usize, InflateError> {
        if self.0 & BASE == 0 {
            return Err(InflateError::InvalidSymbol);
        }
        let extra = bits.read(self.0 >> 4 & 15)?;
        Ok(usize::try_from(u64::from(self.0 >> 16).saturating_add(extra)).unwrap_or(usize::MAX))
    }

    fn code_length(self) -> u32 {
        self.0 & 15
    }

    /// Creates the entry of a symbol that was decoded without a table.
    pub(super) fn from_symbol(kind: Kind, symbol: u16) -> Self {
        Self(Self::of(kind, symbol))
    }

    /// Returns the meaning of a symbol, without its code length.
    fn of(kind: Kind, symbol: u16) -> u32 {
        let value = |value: u16| u32::from(value) << 16;
        match (kind, symbol) {
            (Kind::CodeLengths, _) => value(symbol) | LITERAL,
            (Kind::Literals, 0..=255) => value(symbol) | LITERAL,
            (Kind::Literals, 256) => END,
            (Kind::Literals, _) => LENGTHS.get(usize::from(symbol.wrapping_sub(257))).copied().unwrap_or(0),
            (Kind::Distances, _) => DISTANCES.get(usize::from(symbol)).copied().unwrap_or(0),
        }
    }
}

/// Meanings of the length symbols 257 to 285.
const LENGTHS: [u32; 29] = {
    let mut rows = rows::<29>(4, 3);
    rows[28] = 258 << 16 | BASE;
    rows
};

/// Meanings of the distance symbols 0 to 29.
const DISTANCES: [u32; 30] = rows(2, 1);

/// Computes the base values and extra bits of an alphabet: after the first `2 * steps` symbols, which count up from
/// `first`, `steps` symbols share each power of two (RFC 1951 section 3.2.5).
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated at compile time only
const fn rows<const N: usize>(steps: u32, first: u32) -> [u32; N] {
    let mut rows = [0; N];
    let (mut symbol, mut index) = (0, 0);
    while index < N {
        let extra = (symbol / steps).saturating_sub(1);
        let base = if extra == 0 { symbol } else { (steps + symbol % steps) << extra };
        rows[index] = (base + first) << 16 | extra << 4 | BASE;
        (symbol, index) = (symbol + 1, index + 1);
    }
    rows
}

impl<const SIZE: usize, const SYMBOLS: usize> Table<SIZE, SYMBOLS> {
    pub(super) const fn new() -> Self {
        Self { root: [Entry::NONE; SIZE], count_by_length: [0; 16], canonical: [0; SYMBOLS], kind: Kind::CodeLengths }
    }

    /// Builds the table for a code with the given lengths (RFC 1951 section 3.2.2).
    ///
    /// The rules are those of zlib: a code may be incomplete only if it has one symbol of one bit and is not the code
    /// length code; a code without symbols is an error when it is used.
    pub(super) fn build(&mut self, lengths: &[u8], kind: Kind) -> Result<(), InflateError> {
        self.kind = kind;
        self.count_by_length = [0; 16];
        for length in lengths.iter().filter(|length| **length > 0) {
            if let Some(n) = self.count_by_length.get_mut(usize::from(*length & 15)) {
                *n = n.wrapping_add(1);
            }
        }
        let mut left = 1i32;
        let (mut longest, mut next_place, mut place) = (0usize, [0u16; 16], 0u16);
        for (length, (n, next_place)) in self.count_by_length.iter().zip(&mut next_place).enumerate().skip(1) {
            left = (left << 1).saturating_sub(i32::from(*n));
            if left < 0 {
                return Err(InflateError::InvalidCode);
            }
            if *n > 0 {
                longest = length;
            }
            *next_place = place;
            place = place.wrapping_add(*n);
        }
        if left > 0 && longest > 0 && (kind == Kind::CodeLengths || longest != 1) {
            return Err(InflateError::InvalidCode);
        }
        for (symbol, length) in (0u16..).zip(lengths).filter(|(_, length)| **length > 0) {
            let Some(place) = next_place.get_mut(usize::from(*length & 15)) else { continue };
            if let Some(ordered) = self.canonical.get_mut(usize::from(*place)) {
                *ordered = symbol;
            }
            *place = place.wrapping_add(1);
        }
        self.fill();
        Ok(())
    }

    /// Fills the table from the canonical order. For each bit of code length, the filled part of the table is
    /// duplicated: for any code, the number of entries copied is the size of the table.
    fn fill(&mut self) {
        let (mut size, mut code, mut symbols) = (1usize, 0u16, self.canonical.iter());
        if let Some(first) = self.root.first_mut() {
            *first = Entry::NONE;
        }
        for (length, n) in (1u16..).zip(self.count_by_length.iter().skip(1)) {
            let Some((done, rest)) = self.root.split_at_mut_checked(size).filter(|(_, rest)| !rest.is_empty()) else {
                break;
            };
            rest.iter_mut().zip(done.iter()).for_each(|(to, from)| *to = *from);
            size = size.saturating_mul(2);
            code <<= 1;
            for symbol in symbols.by_ref().take(usize::from(*n)) {
                let reversed = code.reverse_bits() >> (16u16.wrapping_sub(length) & 15);
                if let Some(slot) = self.root.get_mut(usize::from(reversed)) {
                    *slot = Entry(Entry::of(self.kind, *symbol) | u32::from(length));
                }
                code = code.wrapping_add(1);
            }
        }
    }

    /// Decodes and consumes one code.
    #[inline]
    pub(super) fn lookup(&self, bits: &mut BitReader<'_>) -> Result<Entry, InflateError> {
        let index = usize::try_from(bits.peek() & u64::from(u16::MAX)).unwrap_or(0) & SIZE.wrapping_sub(1);
        let entry = self.root.get(index).copied().unwrap_or(Entry::NONE);
        if entry.0 == 0 {
            return self.lookup_long(bits);
        }
        bits.consume(entry.code_length())?;
        Ok(entry)
    }

    /// Decodes and consumes one code of the code length alphabet.
    pub(super) fn symbol(&self, bits: &mut BitReader<'_>) -> Result<u16, InflateError> {
        self.lookup(bits).map(|entry| entry.0.to_le_bytes()).map(|[_, _, low, high]| u16::from_le_bytes([low, high]))
    }

    /// Decodes bit by bit a code that is longer than the table covers.
    #[cold]
    fn lookup_long(&self, bits: &mut BitReader<'_>) -> Result<Entry, InflateError> {
        let (mut code, mut first, mut place) = (0u32, 0u32, 0u32);
        for (length, n) in (1u32..).zip(self.count_by_length.iter().skip(1)) {
            let bit = bits.peek() >> (length.wrapping_sub(1) & 63) & 1;
            code |= u32::try_from(bit).unwrap_or(0);
            let n = u32::from(*n);
            if let Some(offset) = code.checked_sub(first).filter(|o| *o < n) {
                bits.consume(length)?;
                let at = usize::try_from(place.wrapping_add(offset)).unwrap_or(usize::MAX);
                let symbol = self.canonical.get(at).copied().unwrap_or(u16::MAX);
                return Ok(Entry(Entry::of(self.kind, symbol) | length));
            }
            place = place.wrapping_add(n);
            first = first.wrapping_add(n) << 1;
            code <<= 1;
        }
        Err(InflateError::InvalidSymbol)
    }
}
