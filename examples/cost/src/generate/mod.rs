//! Generation of inputs from genomes: a few octets that determine the parts of an input, which a search mutates.

pub mod deflate;
pub mod ike;
pub mod ip;
pub mod lzs;
pub mod pfkey;

/// Reader of the octets of a genome.
#[derive(Clone)]
pub struct Genome<'a> {
    octets: &'a [u8],
}

impl<'a> Genome<'a> {
    /// Creates a reader from the octets of a genome.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets }
    }

    /// Returns the next octet, or 0 after the last.
    pub fn take(&mut self) -> u8 {
        let (first, rest) = self.octets.split_first().unwrap_or((&0, &[]));
        self.octets = rest;
        *first
    }

    /// Returns a length determined by the next octet, 16 to 1291 octets.
    pub fn length(&mut self) -> usize {
        usize::from(self.take()) * 5 + 16
    }

    /// Returns the rest of the genome as pairs of item and parameter, at least one.
    pub fn pairs(&self) -> Vec<(u8, u8)> {
        let pairs: Vec<_> = self.octets.chunks(2).map(|pair| (pair[0], pair.get(1).copied().unwrap_or(0))).collect();
        if pairs.is_empty() { vec![(0, 0)] } else { pairs }
    }
}
