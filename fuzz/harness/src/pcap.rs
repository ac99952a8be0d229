#[allow(dead_code, missing_docs)] // what writes is not fuzzed
#[path = "../../../ipsec-lab/src/capture.rs"]
mod capture;

pub fn pcap(octets: &[u8]) {
    if let Ok(packets) = capture::read(octets) {
        assert!(packets.iter().map(|seen| seen.packet.len()).sum::<usize>() <= octets.len(), "no more than there is");
    }
}
