#[allow(dead_code, missing_docs)] // functions that write are not fuzzed
#[path = "../../../ipsec-lab/src/capture.rs"]
mod capture;

pub fn pcap(octets: &[u8]) {
    if let Ok(packets) = capture::read(octets) {
        assert!(
            packets.iter().map(|seen| seen.packet.len()).sum::<usize>() <= octets.len(),
            "packets exceed the length of the file"
        );
    }
}
