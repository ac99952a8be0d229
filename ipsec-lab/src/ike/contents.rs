//! Counts of the packets of a capture by kind, for the error that it contains no IKE message.

use std::collections::BTreeMap;

use crate::capture::IpHeader;

/// Numbers of packets by kind.
#[derive(Default)]
pub struct Contents {
    kinds: BTreeMap<&'static str, u64>,
}

impl Contents {
    /// Counts a packet of a kind.
    pub fn count(&mut self, kind: &'static str) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// Counts a packet that is not a fragment, by its protocol and ports.
    pub fn count_packet(&mut self, header: &IpHeader, packet: &[u8]) {
        let ports = header.payload(packet).first_chunk::<4>();
        let has_port =
            |port: u16| ports.is_some_and(|ports| ports.chunks_exact(2).any(|own| own == port.to_be_bytes()));
        self.count(match header.protocol {
            1 | 58 => "ICMP",
            6 => "TCP",
            17 if has_port(4500) => "UDP of port 4500 (ESP)",
            17 => "UDP of other ports",
            50 => "ESP",
            51 => "AH",
            108 => "IPComp",
            _ => "other protocols",
        });
    }

    /// Describes the packets that were counted, the most frequent kinds first. `skipped` frames have no IP packet.
    pub fn describe(&self, skipped: u64) -> String {
        let mut kinds: Vec<_> = self.kinds.iter().map(|(kind, count)| (*kind, *count)).collect();
        kinds.push(("frames without IP", skipped));
        kinds.retain(|(_, count)| *count > 0);
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        if kinds.is_empty() {
            return "it has no frames".into();
        }
        let list: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        format!("it has {}", list.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_kind_is_first() {
        let mut contents = Contents::default();
        assert_eq!(contents.describe(0), "it has no frames");
        contents.count("ESP");
        assert_eq!(contents.describe(2), "it has frames without IP: 2, ESP: 1");
    }
}
