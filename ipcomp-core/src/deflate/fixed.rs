use super::bits::BitWriter;
use super::matches::{Positions, longest, word_at};
use super::symbols::{FIXED_DISTANCES, FIXED_LITERALS, hold_match, hold_symbol};
use super::tables::END;
use crate::Compressor;

/// The small deflater: one block of fixed codes, written as it is found (RFC 1951 3.2.6). 2 KiB of state, for firmware; faster, and about a
/// third larger than [`crate::Deflate`] makes it.
pub struct FixedDeflate {
    positions: Positions<1>,
}

impl Default for FixedDeflate {
    fn default() -> Self {
        Self::new()
    }
}

impl FixedDeflate {
    /// Ready for a packet.
    pub const fn new() -> Self {
        Self { positions: Positions::new() }
    }
}

/// After so many octets without a match, every second one is looked at, and so on: what does not compress is passed fast.
const PATIENCE: u32 = 6;

impl Compressor for FixedDeflate {
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        self.positions.clear();
        let mut writer = BitWriter::new(output);
        writer.hold(0b011, 3); // last block, fixed codes
        let (mut at, mut missed) = (0usize, 0usize);
        while at < input.len() {
            let found = word_at(input, at).and_then(|word| {
                let candidates = self.positions.visit(word, at);
                longest(input, at, word, candidates)
            });
            match found {
                Some(found) => {
                    hold_match(&mut writer, &FIXED_LITERALS, &FIXED_DISTANCES, found);
                    writer.flush()?;
                    at = at.saturating_add(found.length.into());
                    missed = 0;
                }
                None => {
                    let step = (missed >> PATIENCE).saturating_add(1);
                    let literals = input.get(at..).unwrap_or_default();
                    for octet in literals.iter().take(step) {
                        hold_symbol(&mut writer, &FIXED_LITERALS, usize::from(*octet));
                        writer.flush()?;
                    }
                    at = at.saturating_add(step);
                    missed = missed.saturating_add(step);
                }
            }
        }
        hold_symbol(&mut writer, &FIXED_LITERALS, END);
        writer.flush()?;
        writer.finish()
    }
}
