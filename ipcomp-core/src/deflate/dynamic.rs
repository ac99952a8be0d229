use super::bits::BitWriter;
use super::code::{Code, Workspace};
use super::matches::{Match, Positions, longest_match, word_at};
use super::symbols::{FIXED_DISTANCES, FIXED_LITERALS, push_match, push_symbol};
use super::tables::{CODE_LENGTH_ORDER, DISTANCES, END, LITERALS, distance_symbol, length_symbol};
use crate::Compressor;

/// DEFLATE compressor with the better ratio: writes the smallest of fixed, dynamic and stored blocks (RFC 1951 section
/// 3.2). Its state is about 10 KB.
///
/// Input that appears incompressible is abandoned after 320 octets.
pub struct Deflate {
    positions: Positions<2>,
    tokens: [u16; TOKENS],
    literal_counts: [u16; LITERALS],
    distance_counts: [u16; DISTANCES],
    literal_codes: [u32; LITERALS],
    distance_codes: [u32; DISTANCES],
    /// Total number of extra bits of the lengths and distances in the block.
    extra_bits: usize,
}

/// Maximum number of tokens of one block. A literal takes one token, its octet; a match takes two, 256 + length - 3 and
/// distance - 1.
const TOKENS: usize = 2048;
const MATCH: u16 = 256;

impl Default for Deflate {
    fn default() -> Self {
        Self::new()
    }
}

impl Deflate {
    /// Creates the state, which can be used for any number of packets.
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
        //# MUST: history is cleared between packets, both ways
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

/// Number of octets after which incompressible input is abandoned: when they contain hardly a match and at least
/// [`MIN_DISTINCT`] different literals.
const PROBE: usize = 320;
const MIN_DISTINCT: usize = 150;

impl Deflate {
    /// Converts input from `at` into tokens, until the input ends or the tokens are full. Returns their number; `None`
    /// when the input appears random.
    #[inline(never)] // compiled separately from the code construction, the loop keeps its variables in registers
    fn tokenize(&mut self, input: &[u8], at: &mut usize) -> Option<usize> {
        let Self { positions, tokens, literal_counts, distance_counts, .. } = self;
        (*literal_counts, *distance_counts) = ([0; LITERALS], [0; DISTANCES]);
        let (start, mut used, mut extra_bits) = (*at, 0usize, 0u32);
        let mut here = start;
        let mut probe = if start == 0 { PROBE } else { usize::MAX };
        while let Some([first, second]) = tokens.get_mut(used..).and_then(<[u16]>::first_chunk_mut::<2>) {
            let found = word_at(input, here).and_then(|word| {
                let candidates = positions.insert(word, here);
                longest_match(input, here, word, candidates)
            });
            match found {
                Some(Match { length, distance }) => {
                    *first = MATCH.wrapping_add(length).wrapping_sub(3);
                    *second = distance.wrapping_sub(1);
                    used = used.wrapping_add(2);
                    let (symbol, _, extra) = length_symbol(length);
                    increment(literal_counts, symbol);
                    let (symbol, _, more) = distance_symbol(distance);
                    increment(distance_counts, symbol);
                    extra_bits = extra_bits.wrapping_add(extra).wrapping_add(more);
                    here = here.wrapping_add(length.into());
                }
                None => {
                    let Some(octet) = input.get(here) else { break };
                    *first = u16::from(*octet);
                    used = used.wrapping_add(1);
                    increment(literal_counts, usize::from(*octet));
                    here = here.wrapping_add(1);
                }
            }
            if here >= probe {
                probe = usize::MAX;
                let different = literal_counts.iter().take(END).filter(|n| **n > 0).count();
                //= RFC 3173 2.2/2
                //# SHOULD: the algorithm stops as soon as it finds that data does not compress
                if different >= MIN_DISTINCT && used >= PROBE.wrapping_sub(20) {
                    return None;
                }
            }
        }
        increment(literal_counts, END);
        self.extra_bits = extra_bits as usize;
        *at = here;
        Some(used)
    }

    /// Writes the tokens, or the input that they represent, as the smallest kind of block.
    fn write_block(&mut self, writer: &mut BitWriter<'_>, input: &[u8], used: usize, last: bool) -> Option<()> {
        // The codes are assigned after the last use of the workspace, so that both share this memory.
        let workspace: &mut Workspace = zerocopy::transmute_mut!(&mut self.literal_codes);
        let (mut literals, mut distances) = (Code::NONE, Code::NONE);
        literals.build(&self.literal_counts, 15, workspace);
        distances.build(&self.distance_counts, 15, workspace);
        let mut header = Header::default();
        header.encode(&literals.lengths, &distances.lengths, workspace);
        let dynamic = literals.bits.saturating_add(distances.bits).saturating_add(header.bits());
        let fixed = fixed_bits(&self.literal_counts, &self.distance_counts);
        let stored = input.len().saturating_add(5).saturating_mul(8);
        let tokens = self.tokens.get(..used)?;
        let last = u64::from(last);
        if stored <= dynamic.min(fixed).saturating_add(self.extra_bits) {
            write_stored(writer, input, last)
        } else if fixed <= dynamic {
            writer.push_bits(last | 0b010, 3);
            write_tokens(writer, tokens, &FIXED_LITERALS, &FIXED_DISTANCES)
        } else {
            writer.push_bits(last | 0b100, 3);
            header.write(writer)?;
            literals.assign(&mut self.literal_codes);
            distances.assign(&mut self.distance_codes);
            write_tokens(writer, tokens, &self.literal_codes, &self.distance_codes)
        }
    }
}

fn increment(counts: &mut [u16], symbol: usize) {
    if let Some(n) = counts.get_mut(symbol) {
        *n = n.wrapping_add(1);
    }
}

/// Returns the number of bits of a block with fixed codes, without extra bits (RFC 1951 section 3.2.6).
fn fixed_bits(literals: &[u16; LITERALS], distances: &[u16; DISTANCES]) -> usize {
    let sum = |counts: &[u16]| counts.iter().map(|n| usize::from(*n)).fold(0, usize::wrapping_add);
    let part = |from, to| sum(literals.get(from..to).unwrap_or_default());
    let eights = part(0, 144).wrapping_add(part(280, LITERALS)).wrapping_mul(8);
    let others = part(144, 256).wrapping_mul(9).wrapping_add(part(256, 280).wrapping_mul(7));
    eights.wrapping_add(others).wrapping_add(sum(distances).wrapping_mul(5))
}

fn write_stored(writer: &mut BitWriter<'_>, input: &[u8], last: u64) -> Option<()> {
    let len = u16::try_from(input.len()).ok()?;
    writer.push_bits(last, 3);
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
    // As a local value, the writer is kept in registers.
    let mut writer = core::mem::take(outer);
    writer.flush()?;
    let mut rest = tokens;
    loop {
        // Three literals in a row fit into one flush.
        rest = match *rest {
            [a, b, c, ref after @ ..] if (a | b | c) < MATCH => {
                push_symbol(&mut writer, literals, a.into());
                push_symbol(&mut writer, literals, b.into());
                push_symbol(&mut writer, literals, c.into());
                after
            }
            [a, ref after @ ..] if a < MATCH => {
                push_symbol(&mut writer, literals, a.into());
                after
            }
            [length, distance, ref after @ ..] => {
                let found = Match { length: (length & 255).wrapping_add(3), distance: distance.wrapping_add(1) };
                push_match(&mut writer, literals, distances, found);
                after
            }
            _ => break,
        };
        writer.flush()?;
    }
    push_symbol(&mut writer, literals, END);
    writer.flush()?;
    *outer = writer;
    Some(())
}

/// Header of a dynamic block: the code lengths as a sequence of symbols with runs, encoded with the code length code
/// (RFC 1951 section 3.2.7).
struct Header {
    literals: usize,
    distances: usize,
    /// Symbols with their extra bits: `number of extra bits << 13 | symbol << 8 | extra bits`.
    runs: [u16; LITERALS + DISTANCES],
    used: usize,
    code: Code<19>,
    code_lengths: usize,
    extra_bits: usize,
}

impl Default for Header {
    fn default() -> Self {
        let runs = [0; LITERALS + DISTANCES];
        Self { literals: 0, distances: 0, runs, used: 0, code: Code::NONE, code_lengths: 0, extra_bits: 0 }
    }
}

impl Header {
    #[inline(never)] // for the same reason as `tokenize`
    fn encode(&mut self, literals: &[u8; LITERALS], distances: &[u8; DISTANCES], workspace: &mut Workspace) {
        let used_len = |lengths: &[u8]| lengths.iter().rposition(|l| *l > 0).map_or(0, |last| last.wrapping_add(1));
        (self.literals, self.distances) = (used_len(literals).max(257), used_len(distances).max(1));
        let both = literals.iter().take(self.literals).chain(distances.iter().take(self.distances));
        let mut lengths = both.copied();

        let Self { runs, used, extra_bits, .. } = self;
        let mut counts = [0u16; 19];
        let mut emit = |symbol: u16, extra: u16, bits: u16| {
            if let Some(slot) = runs.get_mut(*used) {
                *slot = (symbol << 8) | (bits << 13) | extra;
            }
            *used = used.wrapping_add(1);
            increment(&mut counts, symbol.into());
            *extra_bits = extra_bits.wrapping_add(bits.into());
        };
        let mut finish = |length: u8, run: u16| match (length, run) {
            (_, 0) => {}
            (_, 1) => emit(length.into(), 0, 0),
            (0, 11..) => emit(18, run.wrapping_sub(11), 7),
            (0, 3..) => emit(17, run.wrapping_sub(3), 3),
            (_, 4..) => {
                emit(length.into(), 0, 0);
                emit(16, run.wrapping_sub(4), 2);
            }
            _ => (0..run).for_each(|_| emit(length.into(), 0, 0)),
        };
        let mut next = lengths.next();
        while let Some(length) = next {
            let most = if length == 0 { 138 } else { 7 };
            let mut run = 1u16;
            next = lengths.next();
            while next == Some(length) && run < most {
                run = run.wrapping_add(1);
                next = lengths.next();
            }
            finish(length, run);
        }
        self.code.build(&counts, 7, workspace);
        let length_of = |symbol: &u8| self.code.lengths.get(usize::from(*symbol)).copied().unwrap_or(0);
        let code_lengths = CODE_LENGTH_ORDER.iter().rposition(|symbol| length_of(symbol) > 0);
        self.code_lengths = code_lengths.map_or(4, |last| last.wrapping_add(1).max(4));
    }

    /// Returns the length of the header in bits.
    fn bits(&self) -> usize {
        let fields = self.code_lengths.wrapping_mul(3).wrapping_add(14);
        fields.wrapping_add(self.code.bits).wrapping_add(self.extra_bits)
    }

    fn write(&self, writer: &mut BitWriter<'_>) -> Option<()> {
        let field = |n: usize, less: usize| u64::try_from(n.saturating_sub(less)).unwrap_or(0);
        writer.push_bits(field(self.literals, 257), 5);
        writer.push_bits(field(self.distances, 1), 5);
        writer.push_bits(field(self.code_lengths, 4), 4);
        writer.flush()?;
        // 19 times 3 bits fit in addition to the 7 bits that may remain after a flush.
        for symbol in CODE_LENGTH_ORDER.iter().take(self.code_lengths) {
            writer.push_bits(self.code.lengths.get(usize::from(*symbol)).copied().unwrap_or(0).into(), 3);
        }
        writer.flush()?;
        let mut codes = [0u32; 19];
        self.code.assign(&mut codes);
        // Four times 7 + 7 bits fit into one flush.
        for four in self.runs.get(..self.used).unwrap_or_default().chunks(4) {
            for run in four {
                let (symbol, bits, extra) = (run >> 8 & 31, run >> 13, run & 255);
                push_symbol(writer, &codes, symbol.into());
                writer.push_bits(extra.into(), bits.into());
            }
            writer.flush()?;
        }
        Some(())
    }
}
