//! How a crypto accelerator is plugged in: a [`Suite`](ipsec_crypto::Suite) whose batches are prepared, started and finished.
//! `cargo run -p esp-core --example hardware`
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

mod device;

use device::Accelerator;
use esp_core::{Inbound, Outbound, SealSlot};
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (spi, accelerator) = (Spi::new(0x1001)?, || Accelerator::new(&[1; 16], &[2; 20]));
    let mut outbound = Outbound::new(spi, accelerator(), SeqWidth::Bits32);
    let mut inbound = Inbound::new(spi, accelerator(), SeqWidth::Bits32);

    let mut buffers = [[0u8; 256]; 8];
    let mut slots = Vec::new();
    for bytes in &mut buffers {
        slots.push(SealSlot::new(PacketBuf::with_headroom(bytes, 24, 100)?, IpProto::IPV4));
    }
    // A constant IV: only for an example.
    let sealed = outbound.seal_batch(&mut slots, &mut |_: Seq, iv: &mut [u8]| iv.fill(7));
    println!("{sealed} packets sealed, the device was started {} time", outbound.suite().starts());

    for slot in &mut slots {
        inbound.open(&mut slot.packet)?;
    }
    println!("{} packets opened, the device was started {} times", slots.len(), inbound.suite().starts());
    Ok(())
}
