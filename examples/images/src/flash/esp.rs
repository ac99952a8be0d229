//! An SA out and one in, with their counter and window.

use esp_core::{Inbound, Outbound};
use ipsec_crypto::Suite;
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};

/// With the suite that the key gives.
pub fn seal_and_open<S: Suite>(suite: impl Fn(&[u8]) -> Option<S>, input: &[u8], output: &mut [u8]) -> usize {
    there_and_back(|| suite(input), input, output).map_or(0, usize::from)
}

fn there_and_back<S: Suite>(suite: impl Fn() -> Option<S>, input: &[u8], output: &mut [u8]) -> Option<bool> {
    let spi = Spi::new(0x1001).ok()?;
    let mut outbound = Outbound::new(spi, suite()?, SeqWidth::Bits32);
    let mut inbound = Inbound::new(spi, suite()?, SeqWidth::Bits32);
    let mut packet = PacketBuf::with_headroom(output, 24, input.len()).ok()?;
    let sealed = outbound.seal(&mut packet, IpProto::IPV4, &mut |_: Seq, iv: &mut [u8]| iv.fill(7)).is_ok();
    Some(sealed ^ inbound.open(&mut packet).is_ok())
}
