//! DEFLATE decompression (RFC 1951) with the output as the window.

mod bits;
mod huffman;
mod output;

use core::fmt;

use bits::BitReader;
use huffman::{Entry, Kind, Table};
use output::Output;

use crate::Decompressor;

/// DEFLATE decompressor with about 4 KB of state (RFC 2394 section 2.2). The output buffer serves as the window; there
/// is no separate one.
pub struct Inflate {
    literals: Table<512, 288>,
    distances: Table<128, 32>,
    /// Set while the tables are those of the fixed codes, which are built once for any number of blocks.
    fixed: bool,
}

impl Default for Inflate {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflate {
    /// Creates the state, which can be used for any number of packets.
    pub const fn new() -> Self {
        Self { literals: Table::new(), distances: Table::new(), fixed: false }
    }
}

impl Decompressor for Inflate {
    type Error = InflateError;

    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
        let mut output = Output::new(output);
        self.blocks(&mut BitReader::new(input), &mut output).inspect_err(|_| output.clear())?;
        Ok(output.len())
    }

    fn clears_on_error(&self) -> bool {
        true
    }
}

/// Decodes a stored block: LEN, its complement NLEN, and the octets (RFC 1951 section 3.2.4).
fn stored(bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<(), InflateError> {
    bits.align();
    bits.refill();
    let (len, complement) = (bits.read(16)?, bits.read(16)?);
    if len ^ complement != 0xffff {
        return Err(InflateError::StoredLength);
    }
    let len = usize::try_from(len).unwrap_or(0);
    output.extend(bits.octets(len).ok_or(InflateError::Truncated)?)
}

/// Number of symbols of a block of fixed codes that are decoded before tables are built for it: building them costs as
/// much as decoding many symbols, and a sender may alternate between fixed and other codes.
const BEFORE_TABLES: usize = 32;

/// Decodes symbols of the fixed codes up to the end of the block, or at most [`BEFORE_TABLES`] of them (RFC 1951
/// section 3.2.6). Returns whether the block ended.
fn first_symbols(bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<bool, InflateError> {
    for _ in 0..BEFORE_TABLES {
        bits.refill();
        // The longest code has nine bits; its first bit is the most significant.
        let code = u16::try_from(bits.peek() & 0x1ff).unwrap_or(0).reverse_bits() >> 7;
        let (symbol, length) = match code {
            0..=0x05f => ((code >> 2).wrapping_add(256), 7),
            0x060..=0x17f => ((code >> 1).wrapping_sub(0x30), 8),
            0x180..=0x18f => ((code >> 1).wrapping_add(280 - 0xc0), 8),
            _ => (code.wrapping_sub(0x190 - 144), 9),
        };
        bits.consume(length)?;
        if let [literal, 0] = symbol.to_le_bytes() {
            output.push(literal)?;
            continue;
        }
        if symbol == 256 {
            return Ok(true);
        }
        let length = Entry::from_symbol(Kind::Literals, symbol).value(bits)?;
        let distance = u16::try_from(bits.peek() & 0x1f).unwrap_or(0).reverse_bits() >> 11;
        bits.consume(5)?;
        let distance = Entry::from_symbol(Kind::Distances, distance).value(bits)?;
        output.repeat(distance, length)?;
    }
    Ok(false)
}

impl Inflate {
    fn blocks(&mut self, bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<(), InflateError> {
        loop {
            bits.refill();
            let last = bits.read(1)? == 1;
            match bits.read(2)? {
                0 => stored(bits, output)?,
                1 => {
                    let ended = !self.fixed && first_symbols(bits, output)?;
                    if !ended {
                        self.fixed();
                        self.block(bits, output)?;
                    }
                }
                2 => {
                    self.dynamic(bits)?;
                    self.block(bits, output)?;
                }
                _ => return Err(InflateError::BlockType),
            }
            if last {
                return Ok(());
            }
        }
    }

    fn fixed(&mut self) {
        if self.fixed {
            return;
        }
        let mut lengths = [8u8; 288];
        lengths.iter_mut().skip(144).take(112).for_each(|l| *l = 9);
        lengths.iter_mut().skip(256).take(24).for_each(|l| *l = 7);
        // Both codes are complete, so that `build` cannot fail. They contain the symbols 286, 287, 30 and 31, which are
        // never valid.
        let _ = self.literals.build(&lengths, Kind::Literals);
        let _ = self.distances.build(&[5u8; 32], Kind::Distances);
        self.fixed = true;
    }

    /// Reads the codes of a dynamic block and builds their tables (RFC 1951 section 3.2.7).
    fn dynamic(&mut self, bits: &mut BitReader<'_>) -> Result<(), InflateError> {
        bits.refill();
        let read = |bits: &mut BitReader<'_>, n, plus: usize| {
            bits.read(n).map(|v| usize::try_from(v).unwrap_or(0).saturating_add(plus))
        };
        let literals = read(bits, 5, 257)?;
        let distances = read(bits, 5, 1)?;
        let code_length_count = read(bits, 4, 4)?;
        if literals > 286 || distances > 30 {
            return Err(InflateError::TooManySymbols);
        }
        self.fixed = false;
        let mut code_lengths = [0u8; 19];
        for symbol in CODE_LENGTH_ORDER.iter().take(code_length_count) {
            bits.ensure(3);
            let length = bits.read(3)?;
            if let Some(slot) = code_lengths.get_mut(usize::from(*symbol)) {
                *slot = u8::try_from(length).unwrap_or(0);
            }
        }
        // The distance table is used for the code length code while the code lengths are read.
        self.distances.build(&code_lengths, Kind::CodeLengths)?;
        let mut lengths = [0u8; 286 + 30];
        let all = literals.saturating_add(distances);
        let (mut at, mut previous) = (0usize, None);
        while at < all {
            bits.ensure(14);
            let symbol = self.distances.symbol(bits)?;
            let (value, run) = match symbol {
                0..=15 => (u8::try_from(symbol).unwrap_or(0), 1),
                16 => (previous.ok_or(InflateError::MissingPreviousLength)?, read(bits, 2, 3)?),
                17 => (0, read(bits, 3, 3)?),
                _ => (0, read(bits, 7, 11)?),
            };
            let end = at.saturating_add(run);
            let slots = lengths.get_mut(at..end).filter(|_| end <= all).ok_or(InflateError::RunTooLong)?;
            slots.fill(value);
            (at, previous) = (end, Some(value));
        }
        let (literal_lengths, rest) = lengths.split_at_checked(literals).unwrap_or_default();
        if literal_lengths.get(256) == Some(&0) {
            return Err(InflateError::NoEndOfBlock);
        }
        self.literals.build(literal_lengths, Kind::Literals)?;
        self.distances.build(rest.get(..distances).unwrap_or_default(), Kind::Distances)
    }

    /// Decodes symbols up to the end of the block.
    fn block(&self, bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<(), InflateError> {
        output.with(|output| self.symbols(bits, output))
    }

    #[inline]
    fn symbols(&self, bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<(), InflateError> {
        loop {
            bits.refill();
            let mut entry = self.literals.lookup(bits)?;
            // A refill buffers at least 56 bits, which suffices for two literals of up to 15 bits and a length with its
            // extra bits.
            if entry.is_literal() {
                output.push(entry.octet())?;
                entry = self.literals.lookup(bits)?;
                if entry.is_literal() {
                    output.push(entry.octet())?;
                    continue;
                }
            }
            if entry.is_end() {
                return Ok(());
            }
            let length = entry.value(bits)?;
            bits.ensure(28);
            let entry = self.distances.lookup(bits)?;
            let distance = entry.value(bits)?;
            output.repeat(distance, length)?;
        }
    }
}

const CODE_LENGTH_ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Error of a DEFLATE payload (RFC 1951 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InflateError {
    /// The payload ends before the end of its last block.
    Truncated,
    /// The decompressed payload exceeds the output buffer, as with a decompression bomb.
    OutputFull,
    /// The block type is 3, which is reserved.
    BlockType,
    /// The length of a stored block does not match its complement.
    StoredLength,
    /// A dynamic block declares more symbols than the alphabets have.
    TooManySymbols,
    /// The code lengths give an over-subscribed or incomplete code.
    InvalidCode,
    /// The first code length is a repetition of the preceding one.
    MissingPreviousLength,
    /// A run of code lengths exceeds the number of symbols.
    RunTooLong,
    /// The end of the block has no code.
    NoEndOfBlock,
    /// A code or symbol is not valid.
    InvalidSymbol,
    /// A distance refers to a position before the start of the output.
    DistanceTooLarge,
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "truncated DEFLATE data",
            Self::OutputFull => "decompressed DEFLATE data exceeds the buffer",
            Self::BlockType => "invalid DEFLATE block type",
            Self::StoredLength => "length of stored DEFLATE block does not match its complement",
            Self::TooManySymbols => "too many symbols in dynamic DEFLATE block",
            Self::InvalidCode => "over-subscribed or incomplete DEFLATE code",
            Self::MissingPreviousLength => "run of code lengths without a preceding length",
            Self::RunTooLong => "run of code lengths is too long",
            Self::NoEndOfBlock => "end of DEFLATE block has no code",
            Self::InvalidSymbol => "invalid DEFLATE symbol",
            Self::DistanceTooLarge => "DEFLATE distance refers to before the start of the output",
        })
    }
}

impl core::error::Error for InflateError {}
