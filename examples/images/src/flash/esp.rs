//! An SA out and one in, with their counter and window: AES-128-CBC and HMAC-SHA1-96.
#![no_std]
#![no_main]

#[path = "../image.rs"]
mod image;

use esp_core::{Inbound, Outbound};
use ipsec_crypto::{Aes128Cbc, EncryptThenMac, HmacSha1_96};
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    seal_and_open(input, output).map_or(0, usize::from)
}

fn seal_and_open(input: &[u8], output: &mut [u8]) -> Option<bool> {
    let suite =
        || Some(EncryptThenMac::new(Aes128Cbc::new(input.first_chunk()?), HmacSha1_96::new(input.first_chunk()?)));
    let spi = Spi::new(0x1001).ok()?;
    let mut outbound = Outbound::new(spi, suite()?, SeqWidth::Bits32);
    let mut inbound = Inbound::new(spi, suite()?, SeqWidth::Bits32);
    let mut packet = PacketBuf::with_headroom(output, 24, input.len()).ok()?;
    let sealed = outbound.seal(&mut packet, IpProto::IPV4, &mut |_: Seq, iv: &mut [u8]| iv.fill(7)).is_ok();
    Some(sealed ^ inbound.open(&mut packet).is_ok())
}
