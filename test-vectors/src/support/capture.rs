use std::fs;
use std::path::Path;

/// Reads the packets of a capture file in little-endian pcap format, without the headers of file and records.
///
/// # Panics
/// The file cannot be read, or is truncated.
#[track_caller]
pub fn packets_of_capture(path: &Path) -> Vec<Vec<u8>> {
    let octets = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut rest = &octets[24..];
    let mut packets = Vec::new();
    while rest.len() >= 16 {
        let length = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
        packets.push(rest[16..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    packets
}
