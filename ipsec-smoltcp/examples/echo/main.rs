//! TCP between two smoltcp hosts, protected by ESP: `cargo run -p ipsec-smoltcp --example echo`.
#![deny(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

mod hosts;
mod wire;

use hosts::{Host, echo, secured};

const CONFIGURATION: &str = include_str!("ipsec.conf");

fn main() {
    let (one, other) = wire::wire();
    let mut client = Host::new(secured(one, "192.0.2.1", CONFIGURATION), [192, 0, 2, 1]);
    let mut server = Host::new(secured(other, "192.0.2.2", CONFIGURATION), [192, 0, 2, 2]);
    let received = echo(&mut client, &mut server, b"Hello over ESP", 2000);
    println!("received: {}", String::from_utf8_lossy(&received));
    for (name, host) in [("client", &mut client), ("server", &mut server)] {
        let sent = &host.device.inner().sent;
        let esp = sent.iter().filter(|packet| packet[9] == 50).count();
        println!("{name}: {} packets sent, {esp} of them ESP", sent.len());
    }
}
