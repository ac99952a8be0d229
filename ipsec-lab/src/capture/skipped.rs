//! Counts of the frames of a capture without IP packets.

use std::collections::BTreeMap;

/// Largest number of link types that are counted separately.
const MAX_LINKS: usize = 64;

/// Frames of a capture that were skipped, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Frames without an IP packet.
    pub not_ip: u64,
    /// Frames of an interface that the capture does not describe.
    pub without_interface: u64,
    /// Frames by link type that is not supported.
    links: BTreeMap<u32, u64>,
    /// Place at which the file ends in a record.
    pub truncated: Option<String>,
}

impl Skipped {
    /// Counts a frame of a link type that is not supported.
    pub fn count_link(&mut self, link: u32) {
        if self.links.len() < MAX_LINKS || self.links.contains_key(&link) {
            *self.links.entry(link).or_default() += 1;
        } else {
            self.not_ip += 1;
        }
    }

    /// Returns the number of frames that were skipped.
    pub fn total(&self) -> u64 {
        self.not_ip + self.without_interface + self.links.values().sum::<u64>()
    }

    /// Returns a line for each reason that is likely to matter. Frames without an IP packet are none.
    pub fn warnings(&self) -> Vec<String> {
        let frames = |count: u64| if count == 1 { "1 frame".to_owned() } else { format!("{count} frames") };
        let mut lines: Vec<_> = self
            .links
            .iter()
            .map(|(link, count)| format!("skipped {} of link type {link}, which is not supported", frames(*count)))
            .collect();
        if self.without_interface > 0 {
            lines.push(format!("skipped {} of an interface without a description", frames(self.without_interface)));
        }
        lines.extend(self.truncated.clone());
        lines
    }
}
