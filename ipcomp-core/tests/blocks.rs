//! Streams of several blocks: fixed blocks with few and many literals, and dynamic and stored blocks between them.

use ipcomp_core::{Decompressor, Inflate, InflateError};

/// Writer of bits, least significant bit first.
#[derive(Default)]
struct Bits {
    octets: Vec<u8>,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, bits: u32) {
        for bit in 0..bits {
            if self.count.is_multiple_of(8) {
                self.octets.push(0);
            }
            *self.octets.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (self.count % 8);
            self.count += 1;
        }
    }

    /// Writes a code, whose first bit is the most significant.
    fn code(&mut self, code: u32, bits: u32) {
        (0..bits).rev().for_each(|bit| self.put(code >> bit & 1, 1));
    }

    /// Writes a block of fixed codes (RFC 1951 section 3.2.6).
    fn fixed(&mut self, literals: &[u8], last: bool) {
        self.put(last.into(), 1);
        self.put(1, 2);
        for &literal in literals {
            match literal {
                0..=143 => self.code(0x30 + u32::from(literal), 8),
                144..=255 => self.code(0x190 + u32::from(literal) - 144, 9),
            }
        }
        self.code(0, 7);
    }

    /// Writes the shortest dynamic block, which contains the end of block only.
    fn empty_dynamic(&mut self) {
        self.put(0b100, 3);
        self.put(0, 5); // 257 literals and lengths
        self.put(0, 5); // 1 distance
        self.put(14, 4); // 18 code lengths: 18 and 1 have one bit
        for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
            self.put(u32::from(symbol == 18 || symbol == 1), 3);
        }
        for (run, bits) in [(138, 8), (118, 8)] {
            self.put(1 | (run - 11) << 1, bits);
        }
        self.put(0, 1); // the end of block has a code of one bit
        self.put(0, 1); // the distance has a code of one bit
        self.put(0, 1);
    }

    fn stored(&mut self, octets: &[u8]) {
        self.put(0, 3);
        while !self.count.is_multiple_of(8) {
            self.put(0, 1);
        }
        self.put(octets.len() as u32, 16);
        self.put(!(octets.len() as u32), 16);
        octets.iter().for_each(|&octet| self.put(octet.into(), 8));
    }
}

#[test]
fn blocks_of_any_kind_are_read_in_any_order() {
    let literals: Vec<u8> = (0..=255).chain(0..=255).collect();
    let mut inflate = Inflate::new();
    for n in (0..80).chain([255, 256, 512]) {
        for between in 0..4 {
            let (mut bits, mut expected) = (Bits::default(), Vec::new());
            for round in 0..3 {
                if between & 1 != 0 {
                    bits.empty_dynamic();
                }
                if between & 2 != 0 {
                    bits.stored(b"stored");
                    expected.extend(b"stored");
                }
                bits.fixed(&literals[..n], round == 2);
                expected.extend(&literals[..n]);
            }
            let mut out = vec![0; expected.len()];
            assert_eq!(inflate.decompress(&bits.octets, &mut out), Ok(expected.len()), "{n} literals, {between}");
            assert!(out == expected);
            if let Some(short) = expected.len().checked_sub(1) {
                let found = inflate.decompress(&bits.octets, &mut out[..short]);
                assert_eq!(found, Err(InflateError::OutputFull), "{n} literals, {between}");
            }
            let cut = &bits.octets[..bits.octets.len() - 1];
            assert_eq!(inflate.decompress(cut, &mut out), Err(InflateError::Truncated), "{n} literals, {between}");
        }
    }
}

#[test]
fn code_of_one_symbol_replaces_preceding_code() {
    // More literals than are decoded without tables, so that the tables are filled.
    let mut bits = Bits::default();
    bits.fixed(&[b'a'; 64], false);
    bits.empty_dynamic();
    let whole = bits.octets.len();
    // The end of block has the code 0; the code 1 does not exist.
    let last = bits.count - 1;
    bits.octets[last as usize / 8] |= 1 << (last % 8);
    bits.octets.extend([0; 8]);
    assert!(whole > 64);
    for rest in 0..=255 {
        bits.octets[whole..].fill(rest);
        let found = Inflate::new().decompress(&bits.octets, &mut [0; 1000]);
        assert_eq!(found, Err(InflateError::InvalidSymbol), "{rest:02x}");
    }
}

/// Compares short blocks, whose symbols are decoded without tables, with the same symbols after other blocks, which are
/// decoded with tables.
#[test]
fn fixed_code_matches_are_equal_with_and_without_tables() {
    let literals: Vec<u8> = (0..=255).collect();
    // Each length, and each distance symbol up to the position reached, with the extra bits clear and set.
    let bases = [1u32, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193];
    for symbol in 257..=287u32 {
        for (distance, base) in bases.iter().enumerate() {
            for fill in [0, u32::MAX] {
                let of_length = if (265..285).contains(&symbol) { (symbol - 261) / 4 } else { 0 };
                let of_distance = (distance as u32 / 2).saturating_sub(1);
                let block = |bits: &mut Bits| {
                    if symbol < 280 {
                        bits.code(symbol - 256, 7)
                    } else {
                        bits.code(0xc0 + symbol - 280, 8)
                    }
                    bits.put(fill & ((1 << of_length) - 1), of_length);
                    bits.code(distance as u32, 5);
                    bits.put(fill & ((1 << of_distance) - 1), of_distance);
                    bits.code(0, 7);
                };
                let mut without = Bits::default();
                without.stored(&literals);
                without.put(0b011, 3);
                block(&mut without);
                let mut with = Bits::default();
                with.fixed(&literals, false);
                with.put(0b011, 3);
                block(&mut with);
                let (mut one, mut other) = ([0; 600], [0; 600]);
                let found = Inflate::new().decompress(&without.octets, &mut one);
                assert_eq!(found, Inflate::new().decompress(&with.octets, &mut other), "{symbol} {distance}");
                assert_eq!(one, other, "{symbol} {distance}");
                assert_eq!(found.is_ok(), symbol < 286, "{symbol} {distance}");
                let Ok(length) = found else { continue };
                let back = (base + (fill & ((1 << of_distance) - 1))) as usize;
                let expected: Vec<u8> = (256..length).map(|at| literals[256 - back + (at - 256) % back]).collect();
                assert_eq!(one[256..length], expected, "{symbol} {distance}");
            }
        }
    }
}
