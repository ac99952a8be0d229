//! Interoperability with two other DEFLATE implementations, in both directions.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use ipcomp_core::{Compressor, Decompressor, Deflate, FixedDeflate, Inflate, InflateError};
use test_vectors::Random;

/// Returns pieces of many sizes of typical packet contents: text, HTTP, JSON, machine code, noise and runs.
fn corpus() -> Vec<Vec<u8>> {
    let text = include_bytes!("../../LICENSE-APACHE").to_vec();
    let lan = include_bytes!("../../ipsec-lab/data/lan.pcap").to_vec();
    let code = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let mut random = Random(1);
    let noise = random.octets(65535);
    let skewed: Vec<u8> = random.octets(65535).into_iter().map(|octet| octet.leading_zeros() as u8).collect();
    let json: Vec<u8> =
        (0..2000).flat_map(|n| format!("{{\"n\":{n},\"v\":{}}},", random.below(50)).into_bytes()).collect();
    let zeros = vec![0u8; 65535];
    let cycle: Vec<u8> = (0..65535u32).map(|n| (n % 251) as u8).collect();
    let sources = [text, lan, code[..100_000].to_vec(), noise, skewed, json, zeros, cycle];
    let mut pieces = Vec::new();
    for source in &sources {
        for size in
            (1..70).chain([90, 127, 258, 259, 300, 511, 512, 513, 1000, 1408, 2047, 2049, 4096, 9000, 32768, 65535])
        {
            let size = size.min(source.len());
            let at = random.below(source.len() - size + 1);
            pieces.push(source[at..at + size].to_vec());
        }
    }
    pieces
}

fn inflate_with_others(deflated: &[u8], expected: &[u8], by: &str) {
    let miniz = miniz_oxide::inflate::decompress_to_vec(deflated).unwrap_or_else(|e| panic!("{by}: {e}"));
    assert!(miniz == expected, "{by}");
    let mut zlib = Vec::new();
    DeflateDecoder::new(deflated).read_to_end(&mut zlib).unwrap_or_else(|e| panic!("{by}: {e}"));
    assert!(zlib == expected, "{by}");
}

//= RFC 3173 2.1/2, 2/1
//# MUST: a compressed payload has whole octets
//# MUST: a datagram that was compressed and decompressed is the original one
//= RFC 2394 2/1
//# MUST: history is cleared between packets, both ways
#[test]
fn compressed_data_is_read_by_other_decoders_and_inflate() {
    let (mut deflate, mut fixed, mut inflate) = (Deflate::new(), FixedDeflate::new(), Inflate::new());
    let mut shrunk = 0;
    for input in corpus() {
        let mut space = vec![0; input.len() * 2 + 64];
        let mut back = vec![0; input.len()];
        for (name, len) in [
            ("Deflate", deflate.compress(&input, &mut space.clone())),
            ("FixedDeflate", fixed.compress(&input, &mut space.clone())),
        ] {
            let Some(len) = len else { continue };
            let again = if name == "Deflate" {
                deflate.compress(&input, &mut space)
            } else {
                fixed.compress(&input, &mut space)
            };
            assert_eq!(again, Some(len), "the history must be cleared");
            inflate_with_others(&space[..len], &input, name);
            assert_eq!(inflate.decompress(&space[..len], &mut back), Ok(input.len()));
            assert!(back == input);
            shrunk += usize::from(len < input.len());
        }
    }
    assert!(shrunk > 500, "{shrunk}");
}

#[test]
fn inflate_reads_data_of_other_encoders() {
    let mut inflate = Inflate::new();
    for input in corpus() {
        let mut back = vec![0; input.len()];
        for level in [0, 1, 6, 9] {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
            encoder.write_all(&input).unwrap();
            let theirs = [encoder.finish().unwrap(), miniz_oxide::deflate::compress_to_vec(&input, level as u8)];
            for deflated in theirs {
                assert_eq!(inflate.decompress(&deflated, &mut back), Ok(input.len()), "level {level}");
                assert!(back == input);
            }
        }
    }
}

#[test]
fn output_buffer_one_octet_too_short_is_refused() {
    let (mut deflate, mut fixed, mut inflate) = (Deflate::new(), FixedDeflate::new(), Inflate::new());
    for input in corpus().into_iter().filter(|i| i.len() > 90) {
        let mut space = vec![0; input.len() * 2 + 64];
        if let Some(len) = deflate.compress(&input, &mut space) {
            assert_eq!(inflate.decompress(&space[..len], &mut vec![0; input.len() - 1]), Err(InflateError::OutputFull));
            assert_eq!(deflate.compress(&input, &mut space[..len]), Some(len));
            assert_eq!(deflate.compress(&input, &mut space[..len - 1]), None);
        }
        if let Some(len) = fixed.compress(&input, &mut space) {
            assert_eq!(fixed.compress(&input, &mut space[..len]), Some(len));
            assert_eq!(fixed.compress(&input, &mut space[..len - 1]), None);
        }
    }
}

#[test]
fn inflate_refuses_truncated_streams() {
    let (mut deflate, mut inflate) = (Deflate::new(), Inflate::new());
    let input = &include_bytes!("../../LICENSE-APACHE")[..1408];
    let mut space = vec![0; 4096];
    let len = deflate.compress(input, &mut space).unwrap();
    for cut in 0..len {
        assert_eq!(inflate.decompress(&space[..cut], &mut vec![0; 1408]), Err(InflateError::Truncated), "{cut}");
    }
}

#[test]
fn modified_streams_match_other_decoder() {
    let (mut deflate, mut inflate) = (Deflate::new(), Inflate::new());
    let mut streams = 0;
    for input in corpus().into_iter().filter(|i| (90..600).contains(&i.len())) {
        let mut space = vec![0; 4096];
        let Some(len) = deflate.compress(&input, &mut space) else { continue };
        for bit in (0..len * 8).step_by(3) {
            let mut altered = space[..len].to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            let (mut ours, mut theirs) = (vec![0; 9000], vec![0; 9000]);
            let ours_len = inflate.decompress(&altered, &mut ours);
            let mut state = Box::<miniz_oxide::inflate::core::DecompressorOxide>::default();
            let flags = miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
            let (status, _, theirs_len) =
                miniz_oxide::inflate::core::decompress(&mut state, &altered, &mut theirs, 0, flags);
            let theirs_ok = status == miniz_oxide::inflate::TINFLStatus::Done;
            match ours_len {
                Ok(n) => assert!(theirs_ok && n == theirs_len && ours[..n] == theirs[..n], "bit {bit}: {status:?}"),
                Err(e) => assert!(!theirs_ok, "bit {bit}: {e:?}, accepted by the other decoder"),
            }
            streams += 1;
        }
    }
    assert!(streams > 5000, "{streams}");
}
