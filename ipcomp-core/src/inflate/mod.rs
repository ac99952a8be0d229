//! INFLATE (RFC 1951) with the output as the window.

mod bits;
mod huffman;
mod output;

use core::fmt;

use bits::BitReader;
use huffman::{Entry, Kind, Table};
use output::Output;

use crate::Decompressor;

/// The inflater: about 4 KB of state (RFC 2394 2.2). The output buffer is the window, so there is no other.
pub struct Inflate {
    literals: Table<512, 288>,
    distances: Table<128, 32>,
    /// Whether the tables are those of the fixed codes: built once for any number of blocks.
    fixed: bool,
}

impl Default for Inflate {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflate {
    /// Ready for a packet.
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

/// An uncompressed block: LEN, its complement, the octets (RFC 1951 3.2.4).
fn stored(bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<(), InflateError> {
    bits.align();
    bits.refill();
    let (len, complement) = (bits.take(16)?, bits.take(16)?);
    if len ^ complement != 0xffff {
        return Err(InflateError::StoredLength);
    }
    let len = usize::try_from(len).unwrap_or(0);
    output.extend(bits.octets(len).ok_or(InflateError::EndsEarly)?)
}

/// Symbols of a block of fixed codes that are read before tables are built for it: building them costs as much as many symbols, and a
/// sender may alternate between fixed and other codes.
const BEFORE_TABLES: usize = 32;

/// Reads symbols of the fixed codes (RFC 1951 3.2.6) up to the end of the block, or [`BEFORE_TABLES`] of them. Says whether the block
/// ended.
fn first_symbols(bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<bool, InflateError> {
    for _ in 0..BEFORE_TABLES {
        bits.refill();
        // The nine bits of the longest code, the first as the most significant.
        let code = u16::try_from(bits.peek() & 0x1ff).unwrap_or(0).reverse_bits() >> 7;
        let (symbol, length) = match code {
            0..=0x05f => ((code >> 2).wrapping_add(256), 7),
            0x060..=0x17f => ((code >> 1).wrapping_sub(0x30), 8),
            0x180..=0x18f => ((code >> 1).wrapping_add(280 - 0xc0), 8),
            _ => (code.wrapping_sub(0x190 - 144), 9),
        };
        bits.drop(length)?;
        if let [literal, 0] = symbol.to_le_bytes() {
            output.push(literal)?;
            continue;
        }
        if symbol == 256 {
            return Ok(true);
        }
        let length = Entry::without_code(Kind::Literals, symbol).value(bits)?;
        let distance = u16::try_from(bits.peek() & 0x1f).unwrap_or(0).reverse_bits() >> 11;
        bits.drop(5)?;
        let distance = Entry::without_code(Kind::Distances, distance).value(bits)?;
        output.repeat(distance, length)?;
    }
    Ok(false)
}

impl Inflate {
    fn blocks(&mut self, bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<(), InflateError> {
        loop {
            bits.refill();
            let last = bits.take(1)? == 1;
            match bits.take(2)? {
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
        // Both are complete codes; symbols 286, 287, 30 and 31 are in them but never valid.
        let _ = self.literals.build(&lengths, Kind::Literals);
        let _ = self.distances.build(&[5u8; 32], Kind::Distances);
        self.fixed = true;
    }

    /// The codes of a dynamic block (RFC 1951 3.2.7).
    fn dynamic(&mut self, bits: &mut BitReader<'_>) -> Result<(), InflateError> {
        bits.refill();
        let take = |bits: &mut BitReader<'_>, n, plus: usize| {
            bits.take(n).map(|v| usize::try_from(v).unwrap_or(0).saturating_add(plus))
        };
        let literals = take(bits, 5, 257)?;
        let distances = take(bits, 5, 1)?;
        let told = take(bits, 4, 4)?;
        if literals > 286 || distances > 30 {
            return Err(InflateError::TooManySymbols);
        }
        self.fixed = false;
        let mut code_lengths = [0u8; 19];
        for symbol in CODE_LENGTH_ORDER.iter().take(told) {
            bits.hold(3);
            let length = bits.take(3)?;
            if let Some(slot) = code_lengths.get_mut(usize::from(*symbol)) {
                *slot = u8::try_from(length).unwrap_or(0);
            }
        }
        // The distance table serves for the code lengths while these are read.
        self.distances.build(&code_lengths, Kind::CodeLengths)?;
        let mut lengths = [0u8; 286 + 30];
        let all = literals.saturating_add(distances);
        let (mut at, mut previous) = (0usize, None);
        while at < all {
            bits.hold(14);
            let symbol = self.distances.symbol(bits)?;
            let (value, run) = match symbol {
                0..=15 => (u8::try_from(symbol).unwrap_or(0), 1),
                16 => (previous.ok_or(InflateError::RunOfNothing)?, take(bits, 2, 3)?),
                17 => (0, take(bits, 3, 3)?),
                _ => (0, take(bits, 7, 11)?),
            };
            let end = at.saturating_add(run);
            let slots = lengths.get_mut(at..end).filter(|_| end <= all).ok_or(InflateError::RunTooLong)?;
            slots.fill(value);
            (at, previous) = (end, Some(value));
        }
        let (of_literals, rest) = lengths.split_at_checked(literals).unwrap_or_default();
        if of_literals.get(256) == Some(&0) {
            return Err(InflateError::NoEndOfBlock);
        }
        self.literals.build(of_literals, Kind::Literals)?;
        self.distances.build(rest.get(..distances).unwrap_or_default(), Kind::Distances)
    }

    /// Symbols up to the end of the block.
    fn block(&self, bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<(), InflateError> {
        output.with(|output| self.symbols(bits, output))
    }

    #[inline]
    fn symbols(&self, bits: &mut BitReader<'_>, output: &mut Output<'_>) -> Result<(), InflateError> {
        loop {
            bits.refill();
            let mut entry = self.literals.lookup(bits)?;
            // A refill holds 56 bits and more: two literals of up to 15 bits leave room for a length and its extra bits.
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
            bits.hold(28);
            let entry = self.distances.lookup(bits)?;
            let distance = entry.value(bits)?;
            output.repeat(distance, length)?;
        }
    }
}

const CODE_LENGTH_ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// What is wrong with a deflated payload (RFC 1951 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InflateError {
    /// It ends before its last block does.
    EndsEarly,
    /// It gives more than the output holds: also how a bomb ends.
    OutputFull,
    /// A block of the type that does not exist.
    BlockType,
    /// The length of a stored block and its complement disagree.
    StoredLength,
    /// More symbols than the alphabets have.
    TooManySymbols,
    /// A code gives more codes than there are, or fewer.
    Code,
    /// A run of code lengths at the very beginning.
    RunOfNothing,
    /// A run of code lengths beyond the end.
    RunTooLong,
    /// No code for the end of the block.
    NoEndOfBlock,
    /// A symbol that stands for nothing.
    Symbol,
    /// A distance to before the beginning.
    TooFarBack,
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndsEarly => "deflate data end early",
            Self::OutputFull => "more than the buffer holds",
            Self::BlockType => "deflate block of unknown type",
            Self::StoredLength => "stored block contradicts its length",
            Self::TooManySymbols => "too many deflate symbols",
            Self::Code => "over-subscribed or incomplete code",
            Self::RunOfNothing => "run of code lengths without a first",
            Self::RunTooLong => "run of code lengths too long",
            Self::NoEndOfBlock => "no code for the end of the block",
            Self::Symbol => "deflate symbol that stands for nothing",
            Self::TooFarBack => "distance to before the beginning",
        })
    }
}

impl core::error::Error for InflateError {}
