use super::bits::BitWriter;
use super::code::{Bench, Code};
use super::matches::{Match, Positions, longest, word_at};
use super::symbols::{FIXED_DISTANCES, FIXED_LITERALS, hold_match, hold_symbol};
use super::tables::{CODE_LENGTH_ORDER, DISTANCES, END, LITERALS, distance_symbol, length_symbol};
use crate::Compressor;

/// The better deflater: fixed, dynamic and stored blocks, whichever is smallest (RFC 1951 3.2). About 10 KB of state.
///
/// What does not compress is given up after 320 octets.
pub struct Deflate {
    positions: Positions<2>,
    tokens: [u16; TOKENS],
    literal_counts: [u16; LITERALS],
    distance_counts: [u16; DISTANCES],
    literal_codes: [u32; LITERALS],
    distance_codes: [u32; DISTANCES],
    /// Extra bits of the block's lengths and distances.
    extra_bits: usize,
}

/// Literals and matches of one block. A literal is its octet; a match is 256 + length - 3, then distance - 1.
const TOKENS: usize = 2048;
const MATCH: u16 = 256;

impl Default for Deflate {
    fn default() -> Self {
        Self::new()
    }
}

impl Deflate {
    /// Ready for a packet.
    pub const fn new() -> Self {
        Self {
            positions: Positions::new(),
            tokens: [0; TOKENS],
            literal_counts: [0; LITERALS],
            distance_counts: [0; DISTANCES],
            literal_codes: [0; LITERALS],
            distance_codes: [0; DISTANCES],
            extra_bits: 0,
        }
    }
}

impl Compressor for Deflate {
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        //= RFC 2394 2/1
        self.positions.clear();
        let mut writer = BitWriter::new(output);
        let mut at = 0usize;
        loop {
            let start = at;
            let used = self.tokenize(input, &mut at)?;
            let last = at >= input.len();
            self.write_block(&mut writer, input.get(start..at)?, used, last)?;
            if last {
                return writer.finish();
            }
        }
    }
}

/// Where hopeless inputs are given up: hardly a match among as many octets, and so many different literals.
const PROBE: usize = 320;
const HOPELESS: usize = 150;

impl Deflate {
    /// Reads input from `at` on until it ends or the tokens are full, and returns how many there are. `None` when the
    /// input looks random.
    #[inline(never)] // apart from the codes, it has the registers for itself
    fn tokenize(&mut self, input: &[u8], at: &mut usize) -> Option<usize> {
        let Self { positions, tokens, literal_counts, distance_counts, .. } = self;
        (*literal_counts, *distance_counts) = ([0; LITERALS], [0; DISTANCES]);
        let (start, mut used, mut extra_bits) = (*at, 0usize, 0u32);
        let mut here = start;
        let mut probe = if start == 0 { PROBE } else { usize::MAX };
        while let Some([first, second]) = tokens.get_mut(used..).and_then(<[u16]>::first_chunk_mut::<2>) {
            let found = word_at(input, here).and_then(|word| {
                let candidates = positions.visit(word, here);
                longest(input, here, word, candidates)
            });
            match found {
                Some(Match { length, distance }) => {
                    *first = MATCH.wrapping_add(length).wrapping_sub(3);
                    *second = distance.wrapping_sub(1);
                    used = used.wrapping_add(2);
                    let (symbol, _, extra) = length_symbol(length);
                    bump(literal_counts, symbol);
                    let (symbol, _, more) = distance_symbol(distance);
                    bump(distance_counts, symbol);
                    extra_bits = extra_bits.wrapping_add(extra).wrapping_add(more);
                    here = here.wrapping_add(length.into());
                }
                None => {
                    let Some(octet) = input.get(here) else { break };
                    *first = u16::from(*octet);
                    used = used.wrapping_add(1);
                    bump(literal_counts, usize::from(*octet));
                    here = here.wrapping_add(1);
                }
            }
            if here >= probe {
                probe = usize::MAX;
                let different = literal_counts.iter().take(END).filter(|n| **n > 0).count();
                //= RFC 3173 2.2/2
                if different >= HOPELESS && used >= PROBE.wrapping_sub(20) {
                    return None;
                }
            }
        }
        bump(literal_counts, END);
        self.extra_bits = extra_bits as usize;
        *at = here;
        Some(used)
    }

    /// Writes the tokens, or the input they stand for, as the smallest kind of block.
    fn write_block(&mut self, writer: &mut BitWriter<'_>, input: &[u8], used: usize, last: bool) -> Option<()> {
        // Where the codes go in the end.
        let bench: &mut Bench = zerocopy::transmute_mut!(&mut self.literal_codes);
        let (mut literals, mut distances) = (Code::NONE, Code::NONE);
        literals.fit(&self.literal_counts, 15, bench);
        distances.fit(&self.distance_counts, 15, bench);
        let mut header = Header::default();
        header.tell(&literals.lengths, &distances.lengths, bench);
        let dynamic = literals.bits.saturating_add(distances.bits).saturating_add(header.bits());
        let fixed = fixed_bits(&self.literal_counts, &self.distance_counts);
        let stored = input.len().saturating_add(5).saturating_mul(8);
        let tokens = self.tokens.get(..used)?;
        let last = u64::from(last);
        if stored <= dynamic.min(fixed).saturating_add(self.extra_bits) {
            write_stored(writer, input, last)
        } else if fixed <= dynamic {
            writer.hold(last | 0b010, 3);
            write_tokens(writer, tokens, &FIXED_LITERALS, &FIXED_DISTANCES)
        } else {
            writer.hold(last | 0b100, 3);
            header.write(writer)?;
            literals.assign(&mut self.literal_codes);
            distances.assign(&mut self.distance_codes);
            write_tokens(writer, tokens, &self.literal_codes, &self.distance_codes)
        }
    }
}

fn bump(counts: &mut [u16], symbol: usize) {
    if let Some(n) = counts.get_mut(symbol) {
        *n = n.wrapping_add(1);
    }
}

/// Bits under the fixed codes (RFC 1951 3.2.6), extra bits apart.
fn fixed_bits(literals: &[u16; LITERALS], distances: &[u16; DISTANCES]) -> usize {
    let sum = |counts: &[u16]| counts.iter().map(|n| usize::from(*n)).fold(0, usize::wrapping_add);
    let part = |from, to| sum(literals.get(from..to).unwrap_or_default());
    let eights = part(0, 144).wrapping_add(part(280, LITERALS)).wrapping_mul(8);
    let others = part(144, 256).wrapping_mul(9).wrapping_add(part(256, 280).wrapping_mul(7));
    eights.wrapping_add(others).wrapping_add(sum(distances).wrapping_mul(5))
}

fn write_stored(writer: &mut BitWriter<'_>, input: &[u8], last: u64) -> Option<()> {
    let len = u16::try_from(input.len()).ok()?;
    writer.hold(last, 3);
    writer.align();
    writer.flush()?;
    writer.octets(&len.to_le_bytes())?;
    writer.octets(&(!len).to_le_bytes())?;
    writer.octets(input)
}

fn write_tokens(
    outer: &mut BitWriter<'_>,
    tokens: &[u16],
    literals: &[u32; LITERALS],
    distances: &[u32; DISTANCES],
) -> Option<()> {
    // Held by value, the writer stays in registers.
    let mut writer = core::mem::take(outer);
    writer.flush()?;
    let mut rest = tokens;
    loop {
        // Three literals in a row fit into one flush.
        rest = match *rest {
            [a, b, c, ref after @ ..] if (a | b | c) < MATCH => {
                hold_symbol(&mut writer, literals, a.into());
                hold_symbol(&mut writer, literals, b.into());
                hold_symbol(&mut writer, literals, c.into());
                after
            }
            [a, ref after @ ..] if a < MATCH => {
                hold_symbol(&mut writer, literals, a.into());
                after
            }
            [length, distance, ref after @ ..] => {
                let found = Match { length: (length & 255).wrapping_add(3), distance: distance.wrapping_add(1) };
                hold_match(&mut writer, literals, distances, found);
                after
            }
            _ => break,
        };
        writer.flush()?;
    }
    hold_symbol(&mut writer, literals, END);
    writer.flush()?;
    *outer = writer;
    Some(())
}

/// How the codes of a dynamic block are told: their lengths as one sequence of symbols with runs, under a code of its own
/// (RFC 1951 3.2.7).
struct Header {
    literals: usize,
    distances: usize,
    /// How many extra bits, the symbol, and these: `count << 13 | symbol << 8 | extra`.
    runs: [u16; LITERALS + DISTANCES],
    used: usize,
    code: Code<19>,
    told: usize,
    extra_bits: usize,
}

impl Default for Header {
    fn default() -> Self {
        let runs = [0; LITERALS + DISTANCES];
        Self { literals: 0, distances: 0, runs, used: 0, code: Code::NONE, told: 0, extra_bits: 0 }
    }
}

impl Header {
    #[inline(never)] // as tokenize
    fn tell(&mut self, literals: &[u8; LITERALS], distances: &[u8; DISTANCES], bench: &mut Bench) {
        let up_to = |lengths: &[u8]| lengths.iter().rposition(|l| *l > 0).map_or(0, |last| last.wrapping_add(1));
        (self.literals, self.distances) = (up_to(literals).max(257), up_to(distances).max(1));
        let both = literals.iter().take(self.literals).chain(distances.iter().take(self.distances));
        let mut lengths = both.copied();

        let Self { runs, used, extra_bits, .. } = self;
        let mut counts = [0u16; 19];
        let mut each = |symbol: u16, extra: u16, bits: u16| {
            if let Some(slot) = runs.get_mut(*used) {
                *slot = (symbol << 8) | (bits << 13) | extra;
            }
            *used = used.wrapping_add(1);
            bump(&mut counts, symbol.into());
            *extra_bits = extra_bits.wrapping_add(bits.into());
        };
        let mut finish = |length: u8, many: u16| match (length, many) {
            (_, 0) => {}
            (_, 1) => each(length.into(), 0, 0),
            (0, 11..) => each(18, many.wrapping_sub(11), 7),
            (0, 3..) => each(17, many.wrapping_sub(3), 3),
            (_, 4..) => {
                each(length.into(), 0, 0);
                each(16, many.wrapping_sub(4), 2);
            }
            _ => (0..many).for_each(|_| each(length.into(), 0, 0)),
        };
        let mut next = lengths.next();
        while let Some(length) = next {
            let most = if length == 0 { 138 } else { 7 };
            let mut many = 1u16;
            next = lengths.next();
            while next == Some(length) && many < most {
                many = many.wrapping_add(1);
                next = lengths.next();
            }
            finish(length, many);
        }
        self.code.fit(&counts, 7, bench);
        let length_of = |symbol: &u8| self.code.lengths.get(usize::from(*symbol)).copied().unwrap_or(0);
        let told = CODE_LENGTH_ORDER.iter().rposition(|symbol| length_of(symbol) > 0);
        self.told = told.map_or(4, |last| last.wrapping_add(1).max(4));
    }

    /// The bits it takes.
    fn bits(&self) -> usize {
        let fields = self.told.wrapping_mul(3).wrapping_add(14);
        fields.wrapping_add(self.code.bits).wrapping_add(self.extra_bits)
    }

    fn write(&self, writer: &mut BitWriter<'_>) -> Option<()> {
        let field = |n: usize, less: usize| u64::try_from(n.saturating_sub(less)).unwrap_or(0);
        writer.hold(field(self.literals, 257), 5);
        writer.hold(field(self.distances, 1), 5);
        writer.hold(field(self.told, 4), 4);
        writer.flush()?;
        // 19 times 3 bits fit beside the 7 that a flush may leave.
        for symbol in CODE_LENGTH_ORDER.iter().take(self.told) {
            writer.hold(self.code.lengths.get(usize::from(*symbol)).copied().unwrap_or(0).into(), 3);
        }
        writer.flush()?;
        let mut codes = [0u32; 19];
        self.code.assign(&mut codes);
        // Four times 7 + 7 bits fit.
        for four in self.runs.get(..self.used).unwrap_or_default().chunks(4) {
            for run in four {
                let (symbol, bits, extra) = (run >> 8 & 31, run >> 13, run & 255);
                hold_symbol(writer, &codes, symbol.into());
                writer.hold(extra.into(), bits.into());
            }
            writer.flush()?;
        }
        Some(())
    }
}
