//! LZS against a second decoder that works bit by bit on text, and against the example of its description.
#![cfg(feature = "lzs")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use ipcomp_core::{Compressor, Decompressor, Lzs, LzsError};

/// Reads an LZS stream as a string of 0 and 1, the slow way.
fn naive(stream: &[u8]) -> Option<Vec<u8>> {
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
fn the_slow_decoder_and_ours_read_what_we_write() {
    let mut lzs = Lzs::new();
    for input in inputs() {
        let mut space = vec![0; input.len() * 9 / 8 + 16];
        let len = lzs.compress(&input, &mut space).unwrap();
        assert_eq!(naive(&space[..len]).as_ref(), Some(&input));
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
fn altered_and_truncated_streams_mean_the_same_to_both_decoders() {
    let mut lzs = Lzs::new();
    let input = &include_bytes!("../../LICENSE-APACHE")[..400];
    let mut space = vec![0; 800];
    let len = lzs.compress(input, &mut space).unwrap();
    for cut in 0..len {
        assert_eq!(lzs.decompress(&space[..cut], &mut vec![0; 9000]), Err(LzsError::EndsEarly), "{cut}");
    }
    for bit in 0..len * 8 {
        let mut altered = space[..len].to_vec();
        altered[bit / 8] ^= 0x80 >> (bit % 8);
        let mut out = vec![0; 100_000];
        let ours = lzs.decompress(&altered, &mut out).ok().map(|n| out[..n].to_vec());
        assert_eq!(ours, naive(&altered), "bit {bit}");
    }
}
