//! INFLATE (RFC 1951) with the output as the window.

mod bits;
mod huffman;

use core::fmt;

use bits::BitReader;
use huffman::{Kind, Table};

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
        let mut bits = BitReader::new(input);
        let mut at = 0usize;
        loop {
            bits.refill();
            let last = bits.take(1)? == 1;
            match bits.take(2)? {
                0 => at = stored(&mut bits, output, at)?,
                1 => {
                    let ended;
                    (at, ended) = if self.fixed { (at, false) } else { first_literals(&mut bits, output, at)? };
                    if !ended {
                        self.fixed();
                        at = self.block(&mut bits, output, at)?;
                    }
                }
                2 => {
                    self.dynamic(&mut bits)?;
                    at = self.block(&mut bits, output, at)?;
                }
                _ => return Err(InflateError::BlockType),
            }
            if last {
                return Ok(at);
            }
        }
    }
}

/// An uncompressed block: LEN, its complement, the octets (RFC 1951 3.2.4).
fn stored(bits: &mut BitReader<'_>, output: &mut [u8], at: usize) -> Result<usize, InflateError> {
    bits.align();
    bits.refill();
    let (len, complement) = (bits.take(16)?, bits.take(16)?);
    if len ^ complement != 0xffff {
        return Err(InflateError::StoredLength);
    }
    let len = usize::try_from(len).unwrap_or(0);
    let octets = bits.octets(len).ok_or(InflateError::EndsEarly)?;
    let slot = output.get_mut(at..).and_then(|rest| rest.get_mut(..len)).ok_or(InflateError::OutputFull)?;
    slot.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    Ok(at.saturating_add(len))
}

/// Symbols of a block of fixed codes that are read before tables are built for it: building them costs as much as many symbols, and a
/// sender may alternate between fixed and other codes.
const BEFORE_TABLES: usize = 32;

/// Reads literals of the fixed code (RFC 1951 3.2.6) up to the end of the block, a length, or [`BEFORE_TABLES`] of them. Says whether the
/// block ended.
fn first_literals(bits: &mut BitReader<'_>, output: &mut [u8], mut at: usize) -> Result<(usize, bool), InflateError> {
    for _ in 0..BEFORE_TABLES {
        bits.refill();
        // The nine bits of the longest code, the first as the most significant.
        let code = u16::try_from(bits.peek() & 0x1ff).unwrap_or(0).reverse_bits() >> 7;
        let (literal, length) = match code {
            0..=3 => {
                bits.drop(7)?;
                return Ok((at, true));
            }
            0x060..=0x17f => ((code >> 1).wrapping_sub(0x30), 8),
            0x190..=0x1ff => (code.wrapping_sub(0x100), 9),
            _ => break,
        };
        bits.drop(length)?;
        put(output, at, literal.to_le_bytes()[0])?;
        at = at.saturating_add(1);
    }
    Ok((at, false))
}

impl Inflate {
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
    fn block(&mut self, bits: &mut BitReader<'_>, output: &mut [u8], mut at: usize) -> Result<usize, InflateError> {
        loop {
            bits.refill();
            let mut entry = self.literals.lookup(bits)?;
            // A refill holds 56 bits and more: two literals of up to 15 bits leave room for a length and its extra bits.
            if entry.is_literal() {
                put(output, at, entry.octet())?;
                at = at.saturating_add(1);
                entry = self.literals.lookup(bits)?;
                if entry.is_literal() {
                    put(output, at, entry.octet())?;
                    at = at.saturating_add(1);
                    continue;
                }
            }
            if entry.is_end() {
                return Ok(at);
            }
            let length = entry.value(bits)?;
            bits.hold(28);
            let entry = self.distances.lookup(bits)?;
            let distance = entry.value(bits)?;
            at = copy(output, at, distance, length)?;
        }
    }
}

#[inline]
fn put(output: &mut [u8], at: usize, octet: u8) -> Result<(), InflateError> {
    *output.get_mut(at).ok_or(InflateError::OutputFull)? = octet;
    Ok(())
}

/// Repeats `length` octets from `distance` back; they may overlap what they produce.
#[inline]
fn copy(output: &mut [u8], at: usize, distance: usize, length: usize) -> Result<usize, InflateError> {
    let (done, free) = output.split_at_mut_checked(at).ok_or(InflateError::OutputFull)?;
    //= RFC 2394 2/1
    let from = done.len().checked_sub(distance).ok_or(InflateError::TooFarBack)?;
    let free = free.get_mut(..length).ok_or(InflateError::OutputFull)?;
    let source = done.get(from..).unwrap_or_default();
    let end = at.saturating_add(length);
    if let (Some(source), true) = (source.get(..length), length <= distance) {
        // Short copies by words; the tail octet by octet.
        let (to, to_tail) = free.as_chunks_mut::<8>();
        let (from, from_tail) = source.as_chunks::<8>();
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        to_tail.iter_mut().zip(from_tail).for_each(|(to, from)| *to = *from);
        return Ok(end);
    }
    if let [octet] = source {
        free.fill(*octet);
        return Ok(end);
    }
    // The pattern repeats: what was written serves as source for more.
    free.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
    let mut written = distance;
    while let Some((pattern, rest)) = free.split_at_mut_checked(written).filter(|(_, rest)| !rest.is_empty()) {
        rest.iter_mut().zip(pattern.iter()).for_each(|(to, from)| *to = *from);
        written = written.saturating_mul(2);
    }
    Ok(end)
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
