//! Integration of a crypto accelerator: a [`Suite`](ipsec_crypto::Suite) that starts the device once per batch.
//!
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
use esp_core::{Inbound, Outbound, RngIv, SealSlot};
use ipsec_crypto::batch::Batched;
use ipsec_packet::{IpProto, PacketBuf, SeqWidth, Spi};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // IKE or an administrator supplies the keys of a real SA.
    let (cipher_key, integrity_key) = (rand::random(), rand::random());
    let (spi, accelerator) = (Spi::new(0x1001)?, || Batched::new(Accelerator::new(&cipher_key, &integrity_key)));
    let mut outbound = Outbound::new(spi, accelerator(), SeqWidth::Bits32);
    let mut inbound = Inbound::new(spi, accelerator(), SeqWidth::Bits32);

    let mut buffers = [[0u8; 256]; 8];
    let mut slots = Vec::new();
    for bytes in &mut buffers {
        slots.push(SealSlot::new(PacketBuf::with_headroom(bytes, 24, 100)?, IpProto::IPV4));
    }
    let sealed = outbound.seal_batch(&mut slots, &mut RngIv(rand::rng()));
    println!("{sealed} packets sealed, device starts: {}", outbound.suite().inner().starts());

    for slot in &mut slots {
        inbound.open(&mut slot.packet)?;
    }
    println!("{} packets opened, device starts: {}", slots.len(), inbound.suite().inner().starts());
    Ok(())
}
