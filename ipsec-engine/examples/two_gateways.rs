//! Two gateways with one setkey.conf in one process: a packet is delivered; a replay and a forgery are discarded.
//! `cargo run -p ipsec-engine --example two_gateways`; GUIDE.md of this crate describes the next steps.
// The example panics on unexpected errors.
#![allow(clippy::result_large_err)]

use std::error::Error;
use std::sync::LazyLock;

use esp_core::RngIv;
use ipsec_config::setkey;
use ipsec_engine::{AnyAlgorithms, Engine, InboundAction, OutboundAction, Settings};
use ipsec_packet::{Instant, IpProto, PacketBuf};

/// Configuration of setkey(8) for the gateway at 192.0.2.1. The other gateway has `in` instead of `out`.
const CONF: &str = r#"
    add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -r 8
        -E aes-cbc "sixteen octets !" -A hmac-sha256 "thirty-two octets, as RFC 4868 !";
    spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
"#;

/// Headroom for the headers of a tunnel, and tailroom for padding and ICV.
const HEADROOM: usize = 128;

type Gateway = Engine<AnyAlgorithms, 4, 4>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut left = gateway("192.0.2.1", CONF)?;
    let mut right = gateway("198.51.100.1", &CONF.replace("-P out", "-P in"))?;
    let plain = packet(b"attack at dawn");
    let wire = match send(&mut left, &plain)? {
        Ok(wire) => wire,
        Err(refused) => return Err(format!("{refused:?}").into()),
    };
    println!("{} octets of plaintext, {} on the wire", plain.len(), wire.len());

    let mut forged = wire.clone();
    *forged.last_mut().unwrap() ^= 1;
    for (what, octets) in
        [("forged packet", &forged), ("packet", &wire), ("replayed packet", &wire), ("cleartext packet", &plain)]
    {
        match receive(&mut right, octets) {
            Ok(inner) => println!("{what}: delivered, {} octets, {}", inner.len(), inner == plain),
            Err(refused) => println!("{what}: {refused:?}"),
        }
    }
    while let Some(audit) = right.poll_audit() {
        println!("audit {audit}");
    }
    for (_, counter, value) in right.counters().iter() {
        println!("{}: {value}", counter.name());
    }
    Ok(())
}

/// Returns the time since the start of the program, which is an argument of all engine functions that need it.
#[allow(clippy::disallowed_methods)] // the example reads the clock
fn now() -> Instant {
    static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    Instant::from_start(START.elapsed())
}

/// Builds the gateway with this address. SAs from it are outbound, and SAs to it inbound.
fn gateway(address: &str, configuration: &str) -> Result<Box<Gateway>, Box<dyn Error>> {
    let mut engine = Box::new(Gateway::new(Settings::STRICT, None, None));
    engine.set_identification(rand::random());
    setkey::apply(&mut *engine, configuration.as_bytes(), &[address.parse()?], now())?;
    Ok(engine)
}

fn send(engine: &mut Gateway, plain: &[u8]) -> Result<Result<Vec<u8>, OutboundAction>, Box<dyn Error>> {
    let mut frame = vec![0; HEADROOM + plain.len() + HEADROOM];
    frame[HEADROOM..HEADROOM + plain.len()].copy_from_slice(plain);
    let mut packet = PacketBuf::with_headroom(&mut frame, HEADROOM, plain.len())?;
    // The IV of CBC must be unpredictable (RFC 3602 section 2.1).
    Ok(match engine.outbound(&mut packet, now(), &mut RngIv(rand::rng())) {
        OutboundAction::Send => Ok(packet.data().to_vec()),
        other => Err(other),
    })
}

fn receive(engine: &mut Gateway, wire: &[u8]) -> Result<Vec<u8>, InboundAction> {
    let mut octets = wire.to_vec();
    let mut packet = PacketBuf::received(&mut octets);
    match engine.inbound(&mut packet, now()) {
        InboundAction::Deliver { .. } => Ok(packet.data().to_vec()),
        other => Err(other),
    }
}

/// Builds a packet from one network to the other; its header checksum is left to the IP stack.
fn packet(payload: &[u8]) -> Vec<u8> {
    let length = 20 + payload.len() as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, IpProto::UDP.0, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1];
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}
