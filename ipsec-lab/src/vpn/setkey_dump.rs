//! The SAs, in the manner of `setkey -D`. Keys are not shown: they are in `esp_sa`, for their owner.

use std::time::Duration;

use super::gateway::{Gateway, Proto, WireMode};

/// Prints what each gateway sends by.
pub fn print(gateways: &[&Gateway], age: Duration) {
    for gateway in gateways {
        let esp = if gateway.encap.is_some() { "esp-udp" } else { "esp" };
        if gateway.proto != Proto::Ah {
            print_sa(gateway, esp, gateway.spi.get(), age);
        }
        if gateway.proto != Proto::Esp {
            print_sa(gateway, "ah", gateway.spi.get() + 0x1000, age);
        }
    }
}

fn print_sa(gateway: &Gateway, proto: &str, spi: u32, age: Duration) {
    let mode = match gateway.mode {
        WireMode::Tunnel => "tunnel",
        WireMode::Transport => "transport",
        WireMode::Beet => "beet",
    };
    println!("{} {}", gateway.source, gateway.destination);
    println!("\t{proto} mode={mode} spi={spi}(0x{spi:08x}) reqid=0(0x00000000)");
    if proto != "ah" {
        println!("\tE: {}  {} bits", gateway.suite.cipher, gateway.keys.cipher.len() * 8);
    }
    if !gateway.keys.integrity.is_empty() {
        println!("\tA: {}  {} bits", gateway.suite.integrity, gateway.keys.integrity.len() * 8);
    }
    println!("\tseq=0x{:08x} replay=64 flags=0x00000000 state=mature", gateway.sealed());
    println!("\tdiff: {}(s)\thard: 0(s)\tsoft: 0(s)", age.as_secs());
    println!("\tcurrent: {}(bytes)\thard: 0(bytes)\tsoft: 0(bytes)", gateway.octets);
    println!("\tallocated: {}\thard: 0\tsoft: 0", gateway.sealed());
    println!("\tgateway {}\n", gateway.name);
}
