//! Inputs from genomes: a few octets that choose what an input is made of, for a search to alter.

pub mod deflate;
pub mod ike;
pub mod ip;
pub mod lzs;
pub mod pfkey;

/// Takes the octets of a genome one by one.
#[derive(Clone)]
pub struct Genome<'a> {
    octets: &'a [u8],
}

impl<'a> Genome<'a> {
    /// From its octets.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets }
    }

    /// The next octet; 0 behind the last.
    pub fn take(&mut self) -> u8 {
        let (first, rest) = self.octets.split_first().unwrap_or((&0, &[]));
        self.octets = rest;
        *first
    }

    /// The length that the next octet asks for: up to what an Ethernet frame carries.
    pub fn length(&mut self) -> usize {
        usize::from(self.take()) * 5 + 16
    }

    /// The rest in pairs, what to repeat and its parameter; at least one.
    pub fn pairs(&self) -> Vec<(u8, u8)> {
        let pairs: Vec<_> = self.octets.chunks(2).map(|pair| (pair[0], pair.get(1).copied().unwrap_or(0))).collect();
        if pairs.is_empty() { vec![(0, 0)] } else { pairs }
    }
}
