//! Image of `ipcomp-core`: compression and decompression with each algorithm.
#![no_std]
#![no_main]

mod image;

use ipcomp_core::{Backoff, Compressor, Decompressor, Deflate, FixedDeflate, Inflate, Lzs, compress, decompress};
use ipsec_packet::{Cpi, IpProto, PacketBuf};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let mut backoff = Backoff::new();
    let worth = backoff.try_next();
    backoff.record(!worth);
    let sums = [
        both(&mut Deflate::new(), &mut Inflate::new(), input, output),
        both(&mut FixedDeflate::new(), &mut Inflate::new(), input, output),
        both(&mut Lzs::new(), &mut Lzs::new(), input, output),
    ];
    sums.into_iter().flatten().fold(0, usize::wrapping_add)
}

fn both(
    deflate: &mut impl Compressor,
    inflate: &mut impl Decompressor,
    input: &[u8],
    output: &mut [u8],
) -> Option<usize> {
    let plain = inflate.decompress(input, output).ok();
    let small = deflate.compress(input, output);
    let cpi = Cpi::new(input.len() as u16).ok()?;
    let mut packet = PacketBuf::with_headroom(output, 0, input.len()).ok()?;
    let shrunk = compress(&mut packet, IpProto(input.len() as u8), cpi, deflate).is_ok();
    let back = decompress(&mut packet, cpi, inflate).is_ok();
    Some(usize::from(shrunk ^ back).wrapping_add(plain?).wrapping_add(small?))
}
