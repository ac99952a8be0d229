//! Size of IPComp in both directions, with the smaller compressor.
#![no_std]
#![no_main]

#[path = "../image.rs"]
mod image;

use ipcomp_core::{FixedDeflate, Inflate, compress, decompress};
use ipsec_packet::{Cpi, IpProto, PacketBuf};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let Ok(mut packet) = PacketBuf::with_headroom(output, 0, input.len()) else { return 0 };
    let shrunk = compress(&mut packet, IpProto::TCP, Cpi::DEFLATE, &mut FixedDeflate::new()).is_ok();
    usize::from(shrunk ^ decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new()).is_ok())
}
