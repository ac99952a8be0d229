//! Attacker on the path who replays, alters and truncates packets.

use ipsec_packet::{IpProto, UDP_HEADER, find_header, set_length};

/// State and counters of the attacker, who receives a copy of every packet and injects others.
#[derive(Default)]
pub struct Attacker {
    seen: usize,
    first: Vec<u8>,
    /// Number of replayed packets.
    pub replayed: u64,
    /// Number of packets with flipped bits.
    pub altered: u64,
    /// Number of truncated packets.
    pub cut: u64,
}

/// One of this many packets is attacked; the attacks alternate.
const EVERY: usize = 3;

impl Attacker {
    /// Observes an authentic packet and returns the packets to inject before and after it.
    pub fn watch(&mut self, packet: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        self.seen += 1;
        if self.first.is_empty() {
            self.first = packet.to_vec();
        }
        if !self.seen.is_multiple_of(EVERY) {
            return (Vec::new(), Vec::new());
        }
        match self.seen / EVERY % 6 {
            0 => (self.alter(packet, packet.len() - 1), Vec::new()), // in the ICV
            1 => (Vec::new(), self.replay(packet)),
            2 => (self.alter(packet, packet.len() / 2), Vec::new()), // in what is encrypted
            3 => (self.shorten(packet, packet.len() - 7), self.shorten(packet, packet.len() / 3)),
            4 => (self.alter(packet, esp_at(packet) + 6), Vec::new()), // in the sequence number
            _ => (Vec::new(), self.replay(&self.first.clone())),
        }
    }

    /// Returns the number of injected packets.
    pub fn sent(&self) -> u64 {
        self.replayed + self.altered + self.cut
    }

    fn replay(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        self.replayed += 1;
        vec![packet.to_vec()]
    }

    fn alter(&mut self, packet: &[u8], at: usize) -> Vec<Vec<u8>> {
        self.altered += 1;
        let mut packet = packet.to_vec();
        packet[at] ^= 1 << (self.seen % 8);
        vec![packet]
    }

    /// Truncates a packet and corrects the length in its IP header, so that only IPsec can detect it.
    fn shorten(&mut self, packet: &[u8], len: usize) -> Vec<Vec<u8>> {
        self.cut += 1;
        let mut packet = packet[..len.max(20)].to_vec();
        // A truncated IP header is left as it is.
        let _ = set_length(&mut packet);
        vec![packet]
    }
}

/// Returns the offset of ESP.
fn esp_at(packet: &[u8]) -> usize {
    match (find_header(packet, IpProto::ESP), find_header(packet, IpProto::UDP)) {
        (Ok(place), _) => place.at,
        (_, Ok(place)) => place.at + UDP_HEADER,
        _ => packet.len() / 2,
    }
}
