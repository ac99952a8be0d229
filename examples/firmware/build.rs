//! Writes the memory layout of the machine for the linker, and the test vectors as constants.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use test_vectors::{Record, data, read_file};

fn main() {
    let out = env::var("OUT_DIR").expect("set by cargo");
    let target = env::var("TARGET").expect("set by cargo");
    let memory = match target.as_str() {
        // Machine "microbit" of QEMU, an nRF51822.
        "thumbv6m-none-eabi" => "MEMORY { FLASH : ORIGIN = 0, LENGTH = 256K  RAM : ORIGIN = 0x20000000, LENGTH = 16K }",
        // Machine "mps2-an386" of QEMU, a Cortex-M4; it has more memory.
        "thumbv7em-none-eabihf" => "MEMORY { FLASH : ORIGIN = 0, LENGTH = 4M  RAM : ORIGIN = 0x20000000, LENGTH = 64K }",
        // Machine "virt" of QEMU.
        "riscv32imac-unknown-none-elf" => {
            "MEMORY { RAM : ORIGIN = 0x80000000, LENGTH = 1M }
            REGION_ALIAS(\"REGION_TEXT\", RAM); REGION_ALIAS(\"REGION_RODATA\", RAM); REGION_ALIAS(\"REGION_DATA\", RAM);
            REGION_ALIAS(\"REGION_BSS\", RAM); REGION_ALIAS(\"REGION_HEAP\", RAM); REGION_ALIAS(\"REGION_STACK\", RAM);"
        }
        other => panic!("unsupported target: {other}"),
    };
    fs::write(Path::new(&out).join("memory.x"), memory).expect("writable file");
    println!("cargo::rustc-link-search={out}");
    println!("cargo::rustc-check-cfg=cfg(nrf51)");
    if target == "thumbv6m-none-eabi" {
        println!("cargo::rustc-cfg=nrf51");
    }
    println!("cargo::rerun-if-changed=build.rs");

    let mut constants = String::new();
    let mut constant = |name: &str, octets: &[u8]| {
        writeln!(constants, "pub const {name}: [u8; {}] = {octets:?};", octets.len()).expect("write to a string");
    };
    for file in ["packets/esp.jsonl", "ipcomp/ipcomp.jsonl", "ikev1/messages.jsonl"] {
        let path = data().join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        for located in read_file(&path).expect("readable file") {
            match located.record {
                Record::Packet(record) if record.id == "esp-aes-cbc128-hmac-sha1-96-transport-v6-plain" => {
                    constant("CIPHER_KEY", &record.sa.enc_key.0);
                    constant("MAC_KEY", &record.sa.auth_key.0);
                    // Without the IPv6 header.
                    constant("ESP", record.wire_packet.get(40..).expect("packet longer than its header"));
                    constant(
                        "PAYLOAD",
                        record
                            .plain_packet
                            .expect("plain packet of an accepted record")
                            .get(40..)
                            .expect("packet longer than its header"),
                    );
                }
                Record::Ipcomp(record) if record.id == "ipcomp-v4-transport-udp-1000" => {
                    constant("IPCOMP", &record.wire_packet.0);
                    constant("PACKET", &record.plain_packet.expect("plain packet of an accepted record"));
                }
                Record::Isakmp(record) if record.id == "strongswan-main-psk-esp-aes128-aesxcbc-f1" => {
                    constant("MESSAGE", &record.hex.0);
                }
                _ => {}
            }
        }
    }
    fs::write(Path::new(&out).join("vectors.rs"), constants).expect("writable file");
}
