/// Builds a UDP datagram without a checksum (RFC 768).
pub fn udp(source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let header = [source_port.to_be_bytes(), destination_port.to_be_bytes(), length.to_be_bytes(), [0; 2]];
    [&header.concat(), payload].concat()
}

/// Builds a TCP segment with PSH and ACK, and checksum 0 (RFC 9293 section 3.1).
pub fn tcp(source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let ports = [source_port.to_be_bytes(), destination_port.to_be_bytes()].concat();
    [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0x10, 0, 0, 0, 0, 0], payload].concat()
}
