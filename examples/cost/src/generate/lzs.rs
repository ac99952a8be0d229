//! LZS data (RFC 2395) that are expensive to decompress for their length.

use super::Genome;

/// Returns the literals and matches of a genome, repeated up to a length, and an end marker.
pub fn data(genome: &[u8]) -> Vec<u8> {
    let mut genome = Genome::new(genome);
    let length = genome.length();
    let pairs = genome.pairs();
    let mut bits = Vec::new();
    put(&mut bits, 0x41, 9); // something to repeat
    for (kind, parameter) in pairs.iter().cycle() {
        if bits.len() / 8 + 8 > length {
            break;
        }
        let count = usize::from(parameter % 16);
        match kind % 6 {
            0 => put(&mut bits, 0x42, 9),
            1 => matching(&mut bits, 7, 1, &[0b00], 2), // two octets
            2 => matching(&mut bits, 11, 1, &[0b00], 2),
            3 => matching(&mut bits, 7, 1, &[0b1100], 4), // five octets
            4 => {
                matching(&mut bits, 7, 1, &[0b1111], 4);
                (0..count).for_each(|_| put(&mut bits, 0b1111, 4));
                put(&mut bits, 0, 4);
            }
            _ => matching(&mut bits, 7, usize::from(parameter % 2) + 1, &[0b10], 2), // four octets
        }
    }
    end(bits)
}

/// Returns literals, `length` octets of data: a normal input.
pub fn literals(length: usize) -> Vec<u8> {
    let mut bits = Vec::new();
    while bits.len() / 8 + 4 <= length {
        put(&mut bits, 0x43, 9);
    }
    end(bits)
}

fn matching(bits: &mut Vec<bool>, width: u32, distance: usize, length: &[u32], of_length: u32) {
    put(bits, if width == 7 { 0b11 } else { 0b10 }, 2);
    put(bits, u32::try_from(distance).unwrap_or(1), width);
    length.iter().for_each(|code| put(bits, *code, of_length));
}

fn end(mut bits: Vec<bool>) -> Vec<u8> {
    put(&mut bits, 0b1_1000_0000, 9);
    let octet = |bits: &[bool]| bits.iter().enumerate().fold(0, |octet, (n, bit)| octet | u8::from(*bit) << (7 - n));
    bits.chunks(8).map(octet).collect()
}

/// Appends bits, most significant first.
fn put(bits: &mut Vec<bool>, value: u32, count: u32) {
    bits.extend((0..count).rev().map(|n| value >> n & 1 == 1));
}
