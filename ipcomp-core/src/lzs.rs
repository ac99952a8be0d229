//! LZS (RFC 2395, ANSI X3.241): literals of 9 bits and matches in a window of 2 KiB, most significant bit first.
//!
//! ```text
//! literal      0 | octet (8)
//! match        1 | 1 | distance (7), 1 to 127     or  1 | 0 | distance (11), 1 to 2047     then the length:
//!              2: 00   3: 01   4: 10   5: 1100   6: 1101   7: 1110   from 8: 1111, then 15 for each nibble of 1111
//! end          1 | 1 | 0 (7), filled up to an octet with zeros
//! ```

use core::fmt;

use crate::{Compressor, Decompressor};

const SLOTS: usize = 512;
const WINDOW: usize = 2047;
const EMPTY: u16 = u16::MAX;

/// LZS compressor and decompressor with 1 KiB of state (RFC 2395 sections 2 and 3).
pub struct Lzs {
    positions: [u16; SLOTS],
}

impl Default for Lzs {
    fn default() -> Self {
        Self::new()
    }
}

impl Lzs {
    /// Creates the state, which can be used for any number of packets.
    pub const fn new() -> Self {
        Self { positions: [EMPTY; SLOTS] }
    }

    /// Stores the position of two octets and returns the preceding position with the same hash.
    fn insert(&mut self, pair: [u8; 2], at: usize) -> Option<usize> {
        let hash = u16::from_be_bytes(pair).wrapping_mul(0x9e37) >> 7;
        let slot = self.positions.get_mut(usize::from(hash))?;
        let before = usize::from(*slot);
        *slot = u16::try_from(at).unwrap_or(EMPTY);
        (before != usize::from(EMPTY)).then_some(before)
    }
}

impl Compressor for Lzs {
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        self.positions = [EMPTY; SLOTS];
        let mut writer = Writer { output, at: 0, buffered: 0, count: 0 };
        let mut at = 0usize;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            let pair = rest.first_chunk().copied();
            let before = pair.and_then(|pair| self.insert(pair, at));
            let found = before.and_then(|before| {
                let distance = at.checked_sub(before).filter(|d| (1..=WINDOW).contains(d))?;
                let length = input.get(before..)?.iter().zip(rest).take_while(|(a, b)| a == b).count();
                (length >= 2).then_some((distance, length))
            });
            match (found, rest.first()) {
                (Some((distance, length)), _) => {
                    writer.distance(distance)?;
                    writer.length(length)?;
                    at = at.saturating_add(length);
                }
                (None, Some(octet)) => {
                    writer.write_bits(u32::from(*octet), 9)?;
                    at = at.saturating_add(1);
                }
                (None, None) => break,
            }
        }
        writer.write_bits(0b1_1000_0000, 9)?;
        writer.write_bits(0, 7)?;
        Some(writer.at)
    }
}

struct Writer<'a> {
    output: &'a mut [u8],
    at: usize,
    buffered: u32,
    count: u32,
}

impl Writer<'_> {
    /// Writes up to 16 bits; returns `None` when the output is full.
    fn write_bits(&mut self, bits: u32, count: u32) -> Option<()> {
        self.buffered = (self.buffered << (count & 31)) | bits;
        self.count = self.count.saturating_add(count);
        while let Some(rest) = self.count.checked_sub(8) {
            let octet = self.buffered >> (rest & 31);
            *self.output.get_mut(self.at)? = octet.to_le_bytes()[0];
            self.at = self.at.saturating_add(1);
            self.count = rest;
        }
        Some(())
    }

    fn distance(&mut self, distance: usize) -> Option<()> {
        let distance = u32::try_from(distance).ok()?;
        if distance < 128 {
            self.write_bits(0b11 << 7 | distance, 9)
        } else {
            self.write_bits(0b10 << 11 | distance, 13)
        }
    }

    fn length(&mut self, length: usize) -> Option<()> {
        match length {
            2 => self.write_bits(0b00, 2),
            3 => self.write_bits(0b01, 2),
            4 => self.write_bits(0b10, 2),
            5 => self.write_bits(0b1100, 4),
            6 => self.write_bits(0b1101, 4),
            7 => self.write_bits(0b1110, 4),
            _ => {
                let mut rest = length.saturating_sub(8);
                self.write_bits(0b1111, 4)?;
                while let Some(remaining) = rest.checked_sub(15) {
                    self.write_bits(0b1111, 4)?;
                    rest = remaining;
                }
                self.write_bits(u32::try_from(rest).ok()?, 4)
            }
        }
    }
}

impl Decompressor for Lzs {
    type Error = LzsError;

    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, LzsError> {
        let mut at = 0;
        if let Err(error) = decode(input, output, &mut at) {
            output.get_mut(..at).unwrap_or_default().fill(0);
            return Err(error);
        }
        Ok(at)
    }

    fn clears_on_error(&self) -> bool {
        true
    }
}

/// Decompresses `input`. `at` is the number of octets written, also after an error.
fn decode(input: &[u8], output: &mut [u8], at: &mut usize) -> Result<(), LzsError> {
    let mut reader = Reader { input, at: 0 };
    loop {
        if reader.read(1)? == 0 {
            let octet = reader.read(8)?;
            *output.get_mut(*at).ok_or(LzsError::OutputFull)? = octet.to_le_bytes()[0];
            *at = at.saturating_add(1);
            continue;
        }
        let distance = match reader.read(1)? {
            1 => reader.read(7)?,
            _ => reader.read(11)?,
        };
        // A distance of 0 is the end marker in seven bits; in eleven bits it is invalid.
        let Some(distance) = usize::try_from(distance).ok().filter(|d| *d > 0) else { return reader.end() };
        let length = reader.length(output.len())?;
        for _ in 0..length {
            let from = at.checked_sub(distance).ok_or(LzsError::DistanceTooLarge)?;
            let octet = output.get(from).copied().ok_or(LzsError::OutputFull)?;
            *output.get_mut(*at).ok_or(LzsError::OutputFull)? = octet;
            *at = at.saturating_add(1);
        }
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize, // in bits
}

impl Reader<'_> {
    fn read(&mut self, count: usize) -> Result<u32, LzsError> {
        let mut value = 0;
        for _ in 0..count {
            let octet = self.input.get(self.at >> 3).ok_or(LzsError::Truncated)?;
            let bit = octet >> (7usize.wrapping_sub(self.at & 7) & 7) & 1;
            value = value << 1 | u32::from(bit);
            self.at = self.at.saturating_add(1);
        }
        Ok(value)
    }

    /// Reads a match length; fails as soon as it exceeds `max_len`.
    fn length(&mut self, max_len: usize) -> Result<usize, LzsError> {
        match self.read(2)? {
            0b00 => return Ok(2),
            0b01 => return Ok(3),
            0b10 => return Ok(4),
            _ => {}
        }
        match self.read(2)? {
            0b00 => return Ok(5),
            0b01 => return Ok(6),
            0b10 => return Ok(7),
            _ => {}
        }
        let mut length = 8usize;
        loop {
            let nibble = usize::try_from(self.read(4)?).unwrap_or(0);
            length = length.saturating_add(nibble);
            if length > max_len {
                return Err(LzsError::OutputFull);
            }
            if nibble < 15 {
                return Ok(length);
            }
        }
    }

    /// Verifies that the distance of 0 had seven bits, which is the end marker.
    fn end(&self) -> Result<(), LzsError> {
        let marker = self.at.checked_sub(8).and_then(|from| {
            let octet = self.input.get(from >> 3)?;
            Some(octet >> (7usize.wrapping_sub(from & 7) & 7) & 1)
        });
        if marker == Some(1) { Ok(()) } else { Err(LzsError::ZeroDistance) }
    }
}

/// Error of an LZS payload (RFC 2395 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LzsError {
    /// The payload ends before the end marker.
    Truncated,
    /// The decompressed payload exceeds the output buffer.
    OutputFull,
    /// A distance refers to a position before the start of the output.
    DistanceTooLarge,
    /// A distance of eleven bits is 0.
    ZeroDistance,
}

impl fmt::Display for LzsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "truncated LZS data",
            Self::OutputFull => "decompressed LZS data exceeds the buffer",
            Self::DistanceTooLarge => "LZS distance refers to before the start of the output",
            Self::ZeroDistance => "LZS distance of eleven bits is zero",
        })
    }
}

impl core::error::Error for LzsError {}
