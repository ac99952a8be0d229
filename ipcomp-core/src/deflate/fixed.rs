use super::bits::BitWriter;
use super::matches::{Positions, longest_match, word_at};
use super::symbols::{FIXED_DISTANCES, FIXED_LITERALS, push_match, push_symbol};
use super::tables::END;
use crate::Compressor;

/// DEFLATE compressor with 2 KiB of state for firmware: writes one block of fixed codes in a single pass (RFC 1951
/// section 3.2.6). It is faster than [`crate::Deflate`], and its output is about a third larger.
pub struct FixedDeflate {
    positions: Positions<1>,
}

impl Default for FixedDeflate {
    fn default() -> Self {
        Self::new()
    }
}

impl FixedDeflate {
    /// Creates the state, which can be used for any number of packets.
    pub const fn new() -> Self {
        Self { positions: Positions::new() }
    }
}

/// Log2 of the number of octets without a match after which the search step increases by one position, so that
/// incompressible input is processed quickly.
const STEP_SHIFT: u32 = 6;

impl Compressor for FixedDeflate {
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        self.positions.clear();
        let mut writer = BitWriter::new(output);
        writer.push_bits(0b011, 3); // BFINAL = 1, BTYPE = 01 (fixed codes)
        let (mut at, mut unmatched) = (0usize, 0usize);
        while at < input.len() {
            let found = word_at(input, at).and_then(|word| {
                let candidates = self.positions.insert(word, at);
                longest_match(input, at, word, candidates)
            });
            match found {
                Some(found) => {
                    push_match(&mut writer, &FIXED_LITERALS, &FIXED_DISTANCES, found);
                    writer.flush()?;
                    at = at.saturating_add(found.length.into());
                    unmatched = 0;
                }
                None => {
                    let step = (unmatched >> STEP_SHIFT).saturating_add(1);
                    let literals = input.get(at..).unwrap_or_default();
                    for octet in literals.iter().take(step) {
                        push_symbol(&mut writer, &FIXED_LITERALS, usize::from(*octet));
                        writer.flush()?;
                    }
                    at = at.saturating_add(step);
                    unmatched = unmatched.saturating_add(step);
                }
            }
        }
        push_symbol(&mut writer, &FIXED_LITERALS, END);
        writer.flush()?;
        writer.finish()
    }
}
