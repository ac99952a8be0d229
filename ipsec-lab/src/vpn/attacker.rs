//! Somebody on the wire who replays, alters and cuts packets.

use ipsec_packet::{IpProto, UDP_HEADER, find_header, set_length};

/// Sees every packet and sends others of its own.
#[derive(Default)]
pub struct Attacker {
    seen: usize,
    first: Vec<u8>,
    /// Packets replayed.
    pub replayed: u64,
    /// Packets with bits flipped.
    pub altered: u64,
    /// Packets cut short.
    pub cut: u64,
}

/// Every so many packets one is attacked, each time in another way.
const EVERY: usize = 3;

impl Attacker {
    /// Looks at a genuine packet and says what to send before it arrives and after.
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

    /// How many packets it sent.
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

    /// Cuts the packet and mends the length in its IP header, so that only IPsec can notice.
    fn shorten(&mut self, packet: &[u8], len: usize) -> Vec<Vec<u8>> {
        self.cut += 1;
        let mut packet = packet[..len.max(20)].to_vec();
        // A header that itself is cut off stays as it is.
        let _ = set_length(&mut packet);
        vec![packet]
    }
}

/// Where ESP begins.
fn esp_at(packet: &[u8]) -> usize {
    match (find_header(packet, IpProto::ESP), find_header(packet, IpProto::UDP)) {
        (Ok(place), _) => place.at,
        (_, Ok(place)) => place.at + UDP_HEADER,
        _ => packet.len() / 2,
    }
}
