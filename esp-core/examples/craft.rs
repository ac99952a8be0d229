//! Crafts ESP packets with a valid ICV and one deviation each: sequence number, padding, pad length or length.
//!
//! `cargo run -p esp-core --example craft` prints the packets and the result of opening them. fuzz/GUIDE.md describes
//! their use. The keys and the IV are constant, so that each run gives the same octets: never use them on a network.
#![deny(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

use esp_core::{Inbound, Padding, SealParams, seal_with};
use ipsec_crypto::{Aes128Cbc, EncryptThenMac, EspParts, HmacSha1_96, Suite};
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};

fn suite() -> impl Suite {
    EncryptThenMac::new(Aes128Cbc::new(&[1; 16]), HmacSha1_96::new(&[2; 20]))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spi = Spi::new(0x1001)?;
    let envelope = |number: u64, next_header| SealParams {
        spi,
        seq: Seq::new(number),
        width: SeqWidth::Bits32,
        next_header,
        padding: Padding::MINIMAL,
    };
    let packets: [(&str, Vec<u8>); 7] = [
        ("valid packet", sealed(&envelope(1, IpProto::UDP), b"payload")?),
        ("repeated sequence number", sealed(&envelope(1, IpProto::UDP), b"another")?),
        ("sequence number 0", sealed(&envelope(0, IpProto::UDP), b"payload")?),
        ("dummy packet", sealed(&envelope(2, IpProto::NO_NEXT), b"anything")?),
        ("pad length of 255", raw(3, &[[7; 14].as_slice(), &[255, 4]].concat())),
        ("zero padding", raw(4, &[[7; 8].as_slice(), &[0, 0, 0, 0, 0, 0, 6, 4]].concat())),
        ("truncated by one octet", {
            let mut truncated = sealed(&envelope(5, IpProto::UDP), b"payload")?;
            truncated.pop();
            truncated
        }),
    ];
    let mut receiver: Inbound<_> = Inbound::new(spi, suite(), SeqWidth::Bits32);
    for (what, mut octets) in packets {
        let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        println!("{text}\n  {what}: {:?}", receiver.open(&mut PacketBuf::received(&mut octets)));
    }
    Ok(())
}

/// Seals the payload with any envelope, without a sequence counter.
fn sealed(envelope: &SealParams, payload: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut frame = [0; 256];
    frame[64..64 + payload.len()].copy_from_slice(payload);
    let mut packet = PacketBuf::with_headroom(&mut frame, 64, payload.len())?;
    seal_with(&suite(), envelope, &[9; 16], &mut packet)?;
    Ok(packet.data().to_vec())
}

/// Encrypts and authenticates any body; the caller supplies padding and trailer in it.
fn raw(number: u32, body: &[u8]) -> Vec<u8> {
    let mut packet = [&0x1001u32.to_be_bytes()[..], &number.to_be_bytes(), &[9; 16], body, &[0; 12]].concat();
    let mut parts = EspParts::split(suite().layout(), &mut packet, None).unwrap();
    suite().seal(&mut parts);
    packet
}
