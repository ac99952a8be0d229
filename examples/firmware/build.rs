//! Where the machine has its memory, and the vectors as constants.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use test_vectors::{Record, data, read_file};

fn main() {
    let out = env::var("OUT_DIR").expect("set by cargo");
    let target = env::var("TARGET").expect("set by cargo");
    let memory = match target.as_str() {
        // The machine "microbit": an nRF51822.
        "thumbv6m-none-eabi" => "MEMORY { FLASH : ORIGIN = 0, LENGTH = 256K  RAM : ORIGIN = 0x20000000, LENGTH = 16K }",
        // The machine "mps2-an386": a Cortex-M4 with more than it needs.
        "thumbv7em-none-eabihf" => "MEMORY { FLASH : ORIGIN = 0, LENGTH = 4M  RAM : ORIGIN = 0x20000000, LENGTH = 64K }",
        // The machine "virt".
        "riscv32imac-unknown-none-elf" => {
            "MEMORY { RAM : ORIGIN = 0x80000000, LENGTH = 1M }
            REGION_ALIAS(\"REGION_TEXT\", RAM); REGION_ALIAS(\"REGION_RODATA\", RAM); REGION_ALIAS(\"REGION_DATA\", RAM);
            REGION_ALIAS(\"REGION_BSS\", RAM); REGION_ALIAS(\"REGION_HEAP\", RAM); REGION_ALIAS(\"REGION_STACK\", RAM);"
        }
        other => panic!("no emulated machine is known for {other}"),
    };
    fs::write(Path::new(&out).join("memory.x"), memory).expect("writable");
    println!("cargo::rustc-link-search={out}");
    println!("cargo::rustc-check-cfg=cfg(nrf51)");
    if target == "thumbv6m-none-eabi" {
        println!("cargo::rustc-cfg=nrf51");
    }
    println!("cargo::rerun-if-changed=build.rs");

    let mut constants = String::new();
    let mut constant = |name: &str, octets: &[u8]| {
        writeln!(constants, "pub const {name}: [u8; {}] = {octets:?};", octets.len()).expect("a string");
    };
    for file in ["packets/esp_matrix.jsonl", "ipcomp/ipcomp.jsonl", "ikev1/messages.jsonl"] {
        let path = data().join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        for located in read_file(&path).expect("readable") {
            match located.record {
                Record::Packet(record) if record.id == "esp-aes-cbc128-hmac-sha1-96-transport-v6-plain" => {
                    constant("CIPHER_KEY", &record.sa.enc_key.0);
                    constant("MAC_KEY", &record.sa.auth_key.0);
                    // Behind the IPv6 headers.
                    constant("ESP", record.wire_packet.get(40..).expect("a header"));
                    constant("PAYLOAD", record.plain_packet.expect("accepted").get(40..).expect("a header"));
                }
                Record::Ipcomp(record) if record.id == "ipcomp-v4-transport-udp-1000" => {
                    constant("IPCOMP", &record.wire_packet.0);
                    constant("PACKET", &record.plain_packet.expect("accepted"));
                }
                Record::Isakmp(record) if record.id == "strongswan-main-psk-esp-aes128-aesxcbc-f1" => {
                    constant("MESSAGE", &record.hex.0);
                }
                _ => {}
            }
        }
    }
    fs::write(Path::new(&out).join("vectors.rs"), constants).expect("writable");
}
