//! LZS against a reference decoder that works on a string of bits, and against the bit patterns of its specification.
#![cfg(feature = "lzs")]

use ipcomp_core::{Compressor, Decompressor, Lzs, LzsError};

/// Decodes an LZS stream as a string of 0 and 1, for comparison.
fn reference_decode(stream: &[u8]) -> Option<Vec<u8>> {
    let bits: String = stream.iter().map(|o| format!("{o:08b}")).collect();
    let (mut rest, mut out) = (bits.as_str(), Vec::new());
    let number = |s: &str| usize::from_str_radix(s, 2).ok();
    loop {
        if let Some(after) = rest.strip_prefix('0') {
            out.push(number(after.get(..8)?)? as u8);
            rest = &after[8..];
            continue;
        }
        let distance;
        if let Some(after) = rest.strip_prefix("11") {
            distance = number(after.get(..7)?)?;
            rest = &after[7..];
            if distance == 0 {
                return Some(out);
            }
        } else {
            let after = rest.strip_prefix("10")?;
            distance = number(after.get(..11)?)?;
            rest = &after[11..];
        }
        let short = [("00", 2), ("01", 3), ("10", 4), ("1100", 5), ("1101", 6), ("1110", 7)];
        let length = match short.iter().find(|(code, _)| rest.starts_with(code)) {
            Some((code, length)) => {
                rest = &rest[code.len()..];
                *length
            }
            None => {
                rest = rest.strip_prefix("1111")?;
                let mut length = 8;
                loop {
                    let nibble = number(rest.get(..4)?)?;
                    rest = &rest[4..];
                    length += nibble;
                    if nibble < 15 {
                        break length;
                    }
                }
            }
        };
        for _ in 0..length {
            out.push(*out.get(out.len().checked_sub(distance).filter(|_| distance > 0)?)?);
        }
    }
}

fn inputs() -> Vec<Vec<u8>> {
    let text = include_bytes!("../../LICENSE-APACHE");
    let mut inputs: Vec<Vec<u8>> = (0..300).map(|n| text[n * 7..n * 7 + n * 9].to_vec()).collect();
    inputs.extend([vec![0; 1], vec![0; 1408], vec![7; 65535], (0..=255).collect(), text.to_vec()]);
    inputs.extend((1..60).map(|run| [vec![b'a'; run], b"xyz".to_vec(), vec![b'a'; run]].concat()));
    inputs
}

#[test]
fn compressed_data_is_read_by_reference_decoder_and_by_lzs() {
    let mut lzs = Lzs::new();
    for input in inputs() {
        let mut space = vec![0; input.len() * 9 / 8 + 16];
        let len = lzs.compress(&input, &mut space).unwrap();
        assert_eq!(reference_decode(&space[..len]).as_ref(), Some(&input));
        let mut back = vec![0; input.len()];
        assert_eq!(lzs.decompress(&space[..len], &mut back), Ok(input.len()));
        assert!(back == input);
        if !input.is_empty() {
            let mut short = vec![0; input.len() - 1];
            assert_eq!(lzs.decompress(&space[..len], &mut short), Err(LzsError::OutputFull));
        }
        assert_eq!(lzs.compress(&input, &mut space[..len - 1]), None);
    }
}

#[test]
fn modified_and_truncated_streams_match_reference_decoder() {
    let mut lzs = Lzs::new();
    let input = &include_bytes!("../../LICENSE-APACHE")[..400];
    let mut space = vec![0; 800];
    let len = lzs.compress(input, &mut space).unwrap();
    for cut in 0..len {
        assert_eq!(lzs.decompress(&space[..cut], &mut vec![0; 9000]), Err(LzsError::Truncated), "{cut}");
    }
    for bit in 0..len * 8 {
        let mut altered = space[..len].to_vec();
        altered[bit / 8] ^= 0x80 >> (bit % 8);
        let mut out = vec![0; 100_000];
        let ours = lzs.decompress(&altered, &mut out).ok().map(|n| out[..n].to_vec());
        assert_eq!(ours, reference_decode(&altered), "bit {bit}");
    }
}

/// Converts a string of ones and zeros to octets, padded with zeros.
fn octets_of(bits: &str) -> Vec<u8> {
    let mut bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
    bits.resize(bits.len().next_multiple_of(8), 0);
    bits.chunks(8).map(|octet| octet.iter().fold(0, |octet, bit| octet << 1 | bit)).collect()
}

#[test]
fn matches_are_encoded_as_specified() {
    let (a, b, end) = ("0 01100001", "0 01100010", "11 0000000");
    for (input, stream) in [
        ("", end.to_string()),
        ("ab", format!("{a} {b} {end}")),
        // Distance 1 in seven bits, with each encoding of a match length.
        ("aaa", format!("{a} 11 0000001 00 {end}")),
        ("aaaa", format!("{a} 11 0000001 01 {end}")),
        ("aaaaa", format!("{a} 11 0000001 10 {end}")),
        ("aaaaaa", format!("{a} 11 0000001 1100 {end}")),
        ("aaaaaaa", format!("{a} 11 0000001 1101 {end}")),
        ("aaaaaaaa", format!("{a} 11 0000001 1110 {end}")),
        ("aaaaaaaaa", format!("{a} 11 0000001 1111 0000 {end}")),
        ("aaaaaaaaaa", format!("{a} 11 0000001 1111 0001 {end}")),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", format!("{a} 11 0000001 1111 1111 0000 {end}")),
        ("ababab", format!("{a} {b} 11 0000010 10 {end}")),
    ] {
        let mut space = [0; 100];
        let length = Lzs::new().compress(input.as_bytes(), &mut space).unwrap();
        assert_eq!(space[..length], octets_of(&stream), "{input}");
    }
}

#[test]
fn distances_from_128_are_encoded_in_eleven_bits() {
    let literals: Vec<u8> = (0..=255).collect();
    for (distance, bits) in [(127usize, "11 1111111"), (128, "10 00010000000"), (250, "10 00011111010")] {
        // `distance` different octets, followed by the first two of them.
        let input = [&literals[..distance], &literals[..2]].concat();
        let written: String = input[..distance].iter().map(|octet| format!("0{octet:08b}")).collect();
        let mut space = vec![0; 600];
        let length = Lzs::new().compress(&input, &mut space).unwrap();
        assert_eq!(space[..length], octets_of(&format!("{written} {bits} 00 11 0000000")), "{distance}");
    }
}

#[test]
fn lzs_errors_name_their_cause() {
    for (error, text) in [
        (LzsError::Truncated, "truncated LZS data"),
        (LzsError::OutputFull, "decompressed LZS data exceeds the buffer"),
        (LzsError::DistanceTooLarge, "LZS distance refers to before the start of the output"),
        (LzsError::ZeroDistance, "LZS distance of eleven bits is zero"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
