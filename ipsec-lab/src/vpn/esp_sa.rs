//! Wireshark's table of ESP SAs.

use std::net::IpAddr;

use test_vectors::to_hex;

use super::gateway::Gateway;

/// The row by which Wireshark decrypts what a gateway sends: version, source, destination, SPI, and the algorithms with
/// their keys. Addresses are left open, as a NAT may have changed them.
pub fn row(gateway: &Gateway) -> String {
    let version = if matches!(gateway.source, IpAddr::V6(_)) { "IPv6" } else { "IPv4" };
    let cipher = gateway.suite.cipher.row().and_then(|row| row.wireshark);
    let integrity = gateway.suite.integrity.row().and_then(|row| row.wireshark);
    // Algorithms that Wireshark does not know are told by their names here: the row shows who holds which key.
    let cipher = cipher.map_or_else(|| gateway.suite.cipher.to_string(), str::to_owned);
    let integrity = integrity.map_or_else(|| gateway.suite.integrity.to_string(), str::to_owned);
    let spi = gateway.spi;
    let (key, auth) = (hex(&gateway.keys.cipher), hex(&gateway.keys.integrity));
    format!("\"{version}\",\"*\",\"*\",\"{spi}\",\"{cipher}\",\"{key}\",\"{integrity}\",\"{auth}\"")
}

fn hex(key: &[u8]) -> String {
    if key.is_empty() { String::new() } else { format!("0x{}", to_hex(key)) }
}
