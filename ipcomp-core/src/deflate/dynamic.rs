use super::bits::BitWriter;
use super::code::{codes, lengths};
use super::fixed::{FIXED_DISTANCES, FIXED_LITERALS};
use super::matches::{Match, Positions, longest, word_at};
use super::tables::{CODE_LENGTH_ORDER, DISTANCES, END, LITERALS, distance_symbol, length_symbol};
use crate::Compressor;

/// The better deflater: fixed, dynamic and stored blocks, whichever is smallest. About 10 KB of state.
///
/// What does not compress is given up after 512 octets.
pub struct Deflate {
    positions: Positions<2>,
    tokens: [u16; TOKENS],
    literal_counts: [u16; LITERALS],
    distance_counts: [u16; DISTANCES],
    literal_codes: [u32; LITERALS],
    distance_codes: [u32; DISTANCES],
}

/// Literals and matches of one block. A literal is its octet; a match is 256 + length - 3, then distance - 1.
const TOKENS: usize = 2048;
const MATCH: u16 = 256;
/// Positions of each match that are remembered.
const INSIDE: usize = 1;

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
        }
    }
}

impl Compressor for Deflate {
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
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

/// Where hopeless inputs are given up, and how many different literals among as many octets tell one.
const PROBE: usize = 512;
const HOPELESS: usize = 200;

impl Deflate {
    /// Reads input from `at` on until it ends or the tokens are full, and returns how many there are. `None` when the
    /// input looks random.
    fn tokenize(&mut self, input: &[u8], at: &mut usize) -> Option<usize> {
        self.literal_counts = [0; LITERALS];
        self.distance_counts = [0; DISTANCES];
        let (start, mut used) = (*at, 0usize);
        let mut probe = (start == 0).then_some(PROBE);
        while let Some([first, second]) = self.tokens.get_mut(used..).and_then(<[u16]>::first_chunk_mut::<2>) {
            let found = word_at(input, *at).and_then(|word| {
                let candidates = self.positions.visit(word, *at);
                longest(input, *at, word, candidates)
            });
            match found {
                Some(Match { length, distance }) => {
                    *first = MATCH.wrapping_add(length).wrapping_sub(3);
                    *second = distance.wrapping_sub(1);
                    used = used.wrapping_add(2);
                    bump(&mut self.literal_counts, length_symbol(length).0);
                    bump(&mut self.distance_counts, distance_symbol(distance).0);
                    let end = at.wrapping_add(length.into());
                    for inside in at.wrapping_add(1)..end.min(at.wrapping_add(INSIDE)) {
                        let Some(word) = word_at(input, inside) else { break };
                        self.positions.visit(word, inside);
                    }
                    *at = end;
                }
                None => {
                    let Some(octet) = input.get(*at) else { break };
                    *first = u16::from(*octet);
                    used = used.wrapping_add(1);
                    bump(&mut self.literal_counts, usize::from(*octet));
                    *at = at.wrapping_add(1);
                }
            }
            if probe.is_some_and(|probe| *at >= probe) {
                probe = None;
                let different = self.literal_counts.iter().take(END).filter(|n| **n > 0).count();
                if different >= HOPELESS {
                    return None;
                }
            }
        }
        bump(&mut self.literal_counts, END);
        Some(used)
    }

    /// Writes the tokens, or the input they stand for, as the smallest kind of block.
    fn write_block(&mut self, writer: &mut BitWriter<'_>, input: &[u8], used: usize, last: bool) -> Option<()> {
        let mut plan = Header::default();
        lengths(&self.literal_counts, 15, &mut plan.literals);
        lengths(&self.distance_counts, 15, &mut plan.distances);
        let header = plan.prepare();
        let (literals, distances) = (&self.literal_counts, &self.distance_counts);
        let dynamic = bits(literals, &plan.literals).saturating_add(bits(distances, &plan.distances));
        let dynamic = dynamic.saturating_add(header);
        let fixed = fixed_bits(literals).saturating_add(sum(distances).saturating_mul(5));
        let extra = extra_bits(literals, distances);
        let stored = input.len().saturating_add(5).saturating_mul(8);
        let tokens = self.tokens.get(..used)?;
        let last = u64::from(last);
        if stored <= dynamic.min(fixed).saturating_add(extra) {
            write_stored(writer, input, last)
        } else if fixed <= dynamic {
            writer.hold(last | 0b010, 3);
            write_tokens(writer, tokens, &FIXED_LITERALS, &FIXED_DISTANCES)
        } else {
            writer.hold(last | 0b100, 3);
            plan.write(writer)?;
            codes(&plan.literals, &mut self.literal_codes);
            codes(&plan.distances, &mut self.distance_codes);
            write_tokens(writer, tokens, &self.literal_codes, &self.distance_codes)
        }
    }
}

fn bump(counts: &mut [u16], symbol: usize) {
    if let Some(n) = counts.get_mut(symbol) {
        *n = n.wrapping_add(1);
    }
}

fn sum(counts: &[u16]) -> usize {
    counts.iter().map(|n| usize::from(*n)).sum()
}

fn bits(counts: &[u16], lengths: &[u8]) -> usize {
    counts.iter().zip(lengths).map(|(n, l)| usize::from(*n).saturating_mul(usize::from(*l))).sum()
}

/// Bits under the fixed literal code, whose lengths stand in its table.
fn fixed_bits(literals: &[u16; LITERALS]) -> usize {
    let length = |code: &u32| usize::try_from(code >> 16).unwrap_or(0);
    literals.iter().zip(&FIXED_LITERALS).map(|(n, code)| usize::from(*n).saturating_mul(length(code))).sum()
}

/// Extra bits behind length and distance symbols, the same in every kind of block.
fn extra_bits(literals: &[u16; LITERALS], distances: &[u16; DISTANCES]) -> usize {
    let long = literals.iter().zip(0usize..).skip(265).take(20);
    let long = long.map(|(n, symbol)| usize::from(*n).saturating_mul(symbol.saturating_sub(261) >> 2));
    let far = distances.iter().zip(0usize..).skip(4);
    let far = far.map(|(n, symbol)| usize::from(*n).saturating_mul((symbol >> 1).saturating_sub(1)));
    long.sum::<usize>().saturating_add(far.sum())
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

/// The codes of a dynamic block and how they are told (RFC 1951 3.2.7).
struct Header {
    literals: [u8; LITERALS],
    distances: [u8; DISTANCES],
    code_lengths: [u8; 19],
    told: usize,
}

impl Default for Header {
    fn default() -> Self {
        Self { literals: [0; LITERALS], distances: [0; DISTANCES], code_lengths: [0; 19], told: 4 }
    }
}

impl Header {
    /// Makes the code for the code lengths, and returns the bits of the whole header.
    fn prepare(&mut self) -> usize {
        let mut counts = [0u16; 19];
        let mut bits = 14usize;
        self.runs(|symbol, _, extra| {
            bump(&mut counts, symbol);
            bits = bits.saturating_add(usize::try_from(extra).unwrap_or(0));
        });
        lengths(&counts, 7, &mut self.code_lengths);
        let told = CODE_LENGTH_ORDER.iter().rposition(|symbol| self.length_of(*symbol) > 0);
        self.told = told.map_or(4, |last| last.saturating_add(1).max(4));
        let coded = counts.iter().zip(&self.code_lengths);
        let coded = coded.map(|(n, l)| usize::from(*n).saturating_mul(usize::from(*l))).sum::<usize>();
        bits.saturating_add(self.told.saturating_mul(3)).saturating_add(coded)
    }

    fn length_of(&self, symbol: u8) -> u8 {
        self.code_lengths.get(usize::from(symbol)).copied().unwrap_or(0)
    }

    fn write(&self, writer: &mut BitWriter<'_>) -> Option<()> {
        let (literals, distances) = self.sent();
        let field = |n: usize, less: usize| u64::try_from(n.saturating_sub(less)).unwrap_or(0);
        writer.hold(field(literals, 257), 5);
        writer.hold(field(distances, 1), 5);
        writer.hold(field(self.told, 4), 4);
        writer.flush()?;
        for symbol in CODE_LENGTH_ORDER.iter().take(self.told) {
            writer.hold(self.length_of(*symbol).into(), 3);
            writer.flush()?;
        }
        let mut written = Some(());
        let mut code = [0u32; 19];
        codes(&self.code_lengths, &mut code);
        self.runs(|symbol, extra, bits| {
            hold_symbol(writer, &code, symbol);
            writer.hold(extra, bits);
            written = written.and_then(|()| writer.flush());
        });
        written
    }

    /// How many lengths of each code are sent: up to the last symbol used.
    fn sent(&self) -> (usize, usize) {
        let up_to = |lengths: &[u8]| lengths.iter().rposition(|l| *l > 0).map_or(0, |last| last.saturating_add(1));
        (up_to(&self.literals).max(257), up_to(&self.distances).max(1))
    }

    /// The lengths of both codes as one sequence of symbols with runs: symbol, extra bits, how many of them.
    fn runs(&self, mut each: impl FnMut(usize, u64, u32)) {
        let (literals, distances) = self.sent();
        let mut lengths = self.literals.iter().take(literals).chain(self.distances.iter().take(distances)).peekable();
        while let Some(length) = lengths.next() {
            let mut run = 1u64;
            let most = if *length == 0 { 138 } else { 7 };
            while run < most && lengths.next_if_eq(&length).is_some() {
                run = run.saturating_add(1);
            }
            let literal = usize::from(*length);
            match (*length, run) {
                (0, 11..) => each(18, run.saturating_sub(11), 7),
                (0, 3..) => each(17, run.saturating_sub(3), 3),
                (_, 4..) => {
                    each(literal, 0, 0);
                    each(16, run.saturating_sub(4), 2);
                }
                _ => (0..run).for_each(|_| each(literal, 0, 0)),
            }
        }
    }
}
