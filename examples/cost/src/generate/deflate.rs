//! DEFLATE data (RFC 1951) that are expensive to decompress for their length.

use super::Genome;

/// Returns the blocks of a genome, repeated up to a length, and a last block.
pub fn data(genome: &[u8]) -> Vec<u8> {
    let mut genome = Genome::new(genome);
    let length = genome.length();
    blocks(&genome.pairs(), length)
}

/// Returns blocks of the given kinds in turn, up to about `length` octets, and an empty last block.
pub fn blocks(pairs: &[(u8, u8)], length: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    for (kind, parameter) in pairs.iter().cycle() {
        let before = bits.clone();
        block(&mut bits, *kind, *parameter);
        if bits.octets() + 2 > length {
            bits = before;
            break;
        }
    }
    bits.put(1, 1);
    bits.put(1, 2);
    bits.put(0, 7);
    bits.finish()
}

/// Returns literals in one fixed block, `length` octets of data: a normal input.
pub fn literals(length: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(1, 1);
    bits.put(1, 2);
    for n in 0.. {
        if bits.octets() + 2 > length {
            break;
        }
        fixed(&mut bits, n % 144);
    }
    fixed(&mut bits, END);
    bits.finish()
}

/// Returns blocks of the given kinds in turn, up to about `length` octets, followed by `octets` in compressed form.
pub fn blocks_and(pairs: &[(u8, u8)], length: usize, octets: &[u8]) -> Vec<u8> {
    let mut bits = Bits::default();
    for (kind, parameter) in pairs.iter().cycle() {
        if bits.octets() + 300 > length {
            break;
        }
        block(&mut bits, *kind, *parameter);
    }
    bits.put(1, 1);
    bits.put(1, 2);
    let mut at = 0;
    while at < octets.len() {
        // A match with the preceding octets, if it has the maximum length.
        let found = (1..=at.min(256)).find(|distance| {
            let same = octets[at..].iter().zip(&octets[at - distance..]).take_while(|(a, b)| a == b).count();
            same >= 258
        });
        match found {
            Some(distance) => {
                fixed(&mut bits, 285);
                fixed_distance(&mut bits, distance);
                at += 258;
            }
            None => {
                fixed(&mut bits, u16::from(octets[at]));
                at += 1;
            }
        }
    }
    fixed(&mut bits, END);
    bits.finish()
}

const END: u16 = 256;

fn block(bits: &mut Bits, kind: u8, parameter: u8) {
    let times = usize::from(parameter % 32);
    match kind % 12 {
        0 => fixed_block(bits, &[]),
        1 => fixed_block(bits, &vec![Symbol::Literal(parameter); times + 1]),
        2 => fixed_block(bits, &matches(285, 1, times)),
        3 => fixed_block(bits, &matches(257, 1, times)),
        4 => fixed_block(bits, &matches(257, 3, times)),
        5 => stored(bits, 0),
        6 => stored(bits, usize::from(parameter)),
        7 => dynamic(bits, &one_code(), &[0], &[]),
        8 => dynamic(bits, &longest_codes(), &[1, 1], &vec![Symbol::Literal(parameter); times]),
        9 => dynamic(bits, &every_code(), &[5; 28], &[]),
        10 => dynamic(bits, &every_code(), &[5; 28], &vec![Symbol::Literal(parameter); times]),
        _ => dynamic(bits, &spread_codes(parameter), &[1, 1], &[]),
    }
}

#[derive(Clone, Copy)]
enum Symbol {
    Literal(u8),
    Match { length: u16, distance: usize },
}

/// Returns `distance` literals and `times` + 1 matches that repeat them.
fn matches(length: u16, distance: usize, times: usize) -> Vec<Symbol> {
    let mut symbols = vec![Symbol::Literal(0); distance];
    symbols.extend(vec![Symbol::Match { length, distance }; times + 1]);
    symbols
}

fn fixed_block(bits: &mut Bits, symbols: &[Symbol]) {
    bits.put(0, 1);
    bits.put(1, 2);
    for symbol in symbols {
        match *symbol {
            Symbol::Literal(octet) => fixed(bits, u16::from(octet)),
            Symbol::Match { length, distance } => {
                fixed(bits, length);
                fixed_distance(bits, distance);
            }
        }
    }
    fixed(bits, END);
}

/// Writes a symbol of the fixed code (RFC 1951 section 3.2.6).
fn fixed(bits: &mut Bits, symbol: u16) {
    match symbol {
        0..=143 => bits.code(0x30 + symbol, 8),
        144..=255 => bits.code(0x190 + symbol - 144, 9),
        256..=279 => bits.code(symbol - 256, 7),
        _ => bits.code(0xc0 + symbol - 280, 8),
    }
}

/// Writes a distance of 1 to 256 with its extra bits.
fn fixed_distance(bits: &mut Bits, distance: usize) {
    let (mut symbol, mut base, mut extra) = (0, 1, 0);
    while base + (1 << extra) <= distance {
        base += 1 << extra;
        symbol += 1;
        extra = if symbol < 4 { 0 } else { symbol / 2 - 1 };
    }
    bits.code(u16::try_from(symbol).unwrap_or(0), 5);
    bits.put(u32::try_from(distance - base).unwrap_or(0), u32::try_from(extra).unwrap_or(0));
}

fn stored(bits: &mut Bits, length: usize) {
    bits.put(0, 3);
    bits.align();
    let length = u16::try_from(length).unwrap_or(0);
    bits.put(u32::from(length), 16);
    bits.put(u32::from(!length), 16);
    (0..length).for_each(|n| bits.put(u32::from(n & 0xff), 8));
}

/// Returns the shortest code: the end of block only.
fn one_code() -> Vec<u8> {
    let mut lengths = vec![0; 257];
    lengths[256] = 1;
    lengths
}

/// Returns codes of 1 to 15 bits; those of the literals 0 and 1 and the end of block are the longest.
fn longest_codes() -> Vec<u8> {
    let mut lengths = vec![0; 257];
    (1..=13).for_each(|length: u8| lengths[usize::from(length) + 1] = length);
    // Two codes of 15 bits and one of 14 bits complete the code.
    (lengths[0], lengths[1], lengths[256]) = (15, 14, 15);
    lengths
}

/// Returns a code for each of the 286 symbols.
fn every_code() -> Vec<u8> {
    (0..286).map(|symbol| if symbol < 226 { 8 } else { 9 }).collect()
}

/// Returns codes of increasing length, spread over the alphabet.
fn spread_codes(parameter: u8) -> Vec<u8> {
    let longest = parameter % 14 + 2;
    let mut lengths = vec![0; 286];
    let step = 255 / usize::from(longest);
    (1..longest - 1).for_each(|length| lengths[usize::from(length) * step] = length);
    (lengths[0], lengths[256]) = (longest - 1, longest - 1);
    lengths
}

/// Writes a block with dynamic codes (RFC 1951 section 3.2.7).
fn dynamic(bits: &mut Bits, literals: &[u8], distances: &[u8], symbols: &[Symbol]) {
    bits.put(0, 1);
    bits.put(2, 2);
    let runs = runs(&[literals, distances].concat());
    let mut used: Vec<u8> = runs.iter().map(|run| run.0).collect();
    used.sort_unstable();
    used.dedup();
    if let [only] = used[..] {
        used.push(if only == 0 { 18 } else { 0 });
    }
    let mut lengths = [0u8; 19];
    for (at, symbol) in used.iter().enumerate() {
        // Up to 8 symbols have codes of 1, 2, .. bits, the last two of equal length. More symbols get their lengths
        // below.
        lengths[usize::from(*symbol)] = match used.len() {
            count @ 0..=8 => u8::try_from((at + 1).min(count - 1)).unwrap_or(0),
            _ => 0,
        };
    }
    if used.len() > 8 {
        (0..19).for_each(|symbol| lengths[symbol] = if symbol < 13 { 4 } else { 5 });
    }
    let code_lengths = ORDER.iter().rposition(|symbol| lengths[*symbol] > 0).map_or(4, |last| (last + 1).max(4));
    bits.put(u32::try_from(literals.len() - 257).unwrap_or(0), 5);
    bits.put(u32::try_from(distances.len() - 1).unwrap_or(0), 5);
    bits.put(u32::try_from(code_lengths - 4).unwrap_or(0), 4);
    ORDER.iter().take(code_lengths).for_each(|symbol| bits.put(u32::from(lengths[*symbol]), 3));
    let codes = codes(&lengths);
    for (symbol, extra) in runs {
        bits.code(codes[usize::from(symbol)], lengths[usize::from(symbol)]);
        bits.put(u32::from(extra), [2, 3, 7].get(usize::from(symbol).wrapping_sub(16)).copied().unwrap_or(0));
    }
    let of_literals = self::codes(literals);
    for symbol in symbols {
        if let Symbol::Literal(octet) = *symbol {
            let at = usize::from(octet) % 2; // both codes have the intended length
            bits.code(of_literals[at], literals[at]);
        }
    }
    bits.code(of_literals[256], literals[256]);
}

const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Returns the code lengths as symbols with their extra bits (RFC 1951 section 3.2.7).
fn runs(lengths: &[u8]) -> Vec<(u8, u8)> {
    let (mut runs, mut at) = (Vec::new(), 0);
    while at < lengths.len() {
        let value = lengths[at];
        let count = lengths[at..].iter().take_while(|length| **length == value).count();
        let again = at > 0 && lengths[at - 1] == value;
        let (symbol, extra, taken) = match (value, count) {
            (0, 11..) => (18, count.min(138) - 11, count.min(138)),
            (0, 3..) => (17, count - 3, count),
            (_, 3..) if again => (16, count.min(6) - 3, count.min(6)),
            _ => (value, 0, 1),
        };
        runs.push((symbol, u8::try_from(extra).unwrap_or(0)));
        at += taken;
    }
    runs
}

/// Returns the canonical code of these lengths (RFC 1951 section 3.2.2).
fn codes(lengths: &[u8]) -> Vec<u16> {
    let (mut codes, mut code) = (vec![0; lengths.len()], 0u16);
    for length in 1..=15 {
        code <<= 1;
        for (slot, _) in codes.iter_mut().zip(lengths).filter(|(_, of)| **of == length) {
            *slot = code;
            code = code.wrapping_add(1);
        }
    }
    codes
}

/// Bit string in which each octet is filled from its least significant bit on.
#[derive(Clone, Default)]
struct Bits {
    bits: Vec<bool>,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.bits.extend((0..count).map(|n| value >> n & 1 == 1));
    }

    /// Appends a Huffman code, most significant bit first.
    fn code(&mut self, code: u16, length: u8) {
        self.bits.extend((0..length).rev().map(|n| code >> n & 1 == 1));
    }

    fn align(&mut self) {
        self.bits.resize(self.bits.len().next_multiple_of(8), false);
    }

    fn octets(&self) -> usize {
        self.bits.len().div_ceil(8)
    }

    fn finish(self) -> Vec<u8> {
        let octet = |bits: &[bool]| bits.iter().enumerate().fold(0, |octet, (n, bit)| octet | u8::from(*bit) << n);
        self.bits.chunks(8).map(octet).collect()
    }
}
