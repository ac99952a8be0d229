//! Outbound and inbound SA with their counter and window.

use esp_core::{Inbound, Outbound};
use ipsec_crypto::Suite;
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};

/// Seals and opens a packet with the suite that `suite` creates from a key.
pub fn seal_and_open<S: Suite>(suite: impl Fn(&[u8]) -> Option<S>, input: &[u8], output: &mut [u8]) -> usize {
    round_trip(|| suite(input), input, output).map_or(0, usize::from)
}

fn round_trip<S: Suite>(suite: impl Fn() -> Option<S>, input: &[u8], output: &mut [u8]) -> Option<bool> {
    let spi = Spi::new(0x1001).ok()?;
    let mut outbound = Outbound::new(spi, suite()?, SeqWidth::Bits32);
    let mut inbound = Inbound::new(spi, suite()?, SeqWidth::Bits32);
    let mut packet = PacketBuf::with_headroom(output, 24, input.len()).ok()?;
    // A constant IV, because only the size of the image matters. Use a random number generator in a real firmware.
    let sealed = outbound.seal(&mut packet, IpProto::IPV4, &mut |_: Seq, iv: &mut [u8]| iv.fill(7)).is_ok();
    Some(sealed ^ inbound.open(&mut packet).is_ok())
}
