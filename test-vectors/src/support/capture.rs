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

/// Writes IP packets to a capture file in little-endian pcap format, one a second from this time on.
///
/// # Panics
/// The file cannot be written.
#[track_caller]
pub fn write_capture(path: &Path, first_second: u32, packets: impl IntoIterator<Item = Vec<u8>>) {
    let raw_ip = 101u32;
    let mut file = [&0xa1b2_c3d4_u32.to_le_bytes()[..], &[2, 0, 4, 0], &[0; 8]].concat();
    file.extend([65535, raw_ip].map(u32::to_le_bytes).concat());
    for (second, packet) in (first_second..).zip(packets) {
        let length = packet.len() as u32;
        file.extend([second, 0, length, length].map(u32::to_le_bytes).concat());
        file.extend(packet);
    }
    fs::write(path, file).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
