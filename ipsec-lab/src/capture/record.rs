//! Records of captured frames, as the formats store them.

use std::time::Duration;

/// Largest number of octets of a frame that are kept. The rest is skipped, and the frame is truncated.
pub const MAX_FRAME: usize = 1 << 20;

/// Byte order of a file or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least significant octet first.
    Little,
    /// Most significant octet first.
    Big,
}

impl Order {
    /// Reads 16 bits in this byte order.
    pub const fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        }
    }

    /// Reads 32 bits in this byte order.
    pub const fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        }
    }

    /// Reads 32 bits at an offset; zero if there are fewer octets.
    pub fn u32_at(self, octets: &[u8], at: usize) -> u32 {
        octets.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| self.u32(*field))
    }

    /// Reads 16 bits at an offset; zero if there are fewer octets.
    pub fn u16_at(self, octets: &[u8], at: usize) -> u16 {
        octets.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| self.u16(*field))
    }
}

/// Frame of a capture with its link layer.
#[derive(Debug)]
pub struct Record {
    /// Link type; `None` if the interface of the frame is not described.
    pub link: Option<u32>,
    /// Time since the epoch; zero if the capture contains none.
    pub time: Duration,
    /// Original length of a frame of which not all octets were captured.
    pub cut: Option<u32>,
    /// Byte order of the section, in which some link headers are written.
    pub order: Order,
    /// Captured octets of the frame.
    pub octets: Vec<u8>,
}

/// Result of reading the next record.
pub enum Next {
    /// Frame that was read.
    Record(Record),
    /// End of the file, after a complete record.
    End,
    /// The file ends in a record; description of the missing octets.
    Truncated(String),
}
