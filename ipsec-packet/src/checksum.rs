/// Internet checksum (RFC 1071), computed in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum {
    sum: u64,
    odd: bool,
}

impl Checksum {
    /// Creates a checksum over no octets.
    pub const fn new() -> Self {
        Self { sum: 0, odd: false }
    }

    /// Adds octets (RFC 1071 section 1). Pieces of odd length are allowed; the pieces count as one sequence of
    /// octets.
    #[must_use]
    pub fn over(mut self, mut bytes: &[u8]) -> Self {
        if self.odd
            && let Some((&low, rest)) = bytes.split_first()
        {
            self.sum = self.sum.wrapping_add(u64::from(low));
            self.odd = false;
            bytes = rest;
        }
        let (words, last) = bytes.as_chunks::<2>();
        for word in words {
            self.sum = self.sum.wrapping_add(u64::from(u16::from_be_bytes(*word)));
        }
        if let [high] = last {
            self.sum = self.sum.wrapping_add(u64::from(u16::from_be_bytes([*high, 0])));
            self.odd = true;
        }
        self
    }

    /// Returns the value for a header whose checksum field was summed as 0 (RFC 1071 section 1).
    pub const fn finish(self) -> u16 {
        !self.folded()
    }

    /// Returns whether the sum over a header, including its checksum field, is correct (RFC 1071 section 1).
    pub const fn is_valid(self) -> bool {
        self.folded() == 0xffff
    }

    const fn folded(self) -> u16 {
        let mut sum = self.sum;
        while sum > 0xffff {
            sum = (sum & 0xffff).wrapping_add(sum >> 16);
        }
        (sum & 0xffff) as u16
    }
}

/// Updates a checksum for a replacement of the octets `old` by `new` (RFC 1624 equation 3). Both begin at an even
/// offset; a last odd octet is padded with zero.
#[must_use]
pub fn adjust_checksum(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    let mut sum = Checksum::new().over(&(!checksum).to_be_bytes());
    let (words, last) = old.as_chunks::<2>();
    let last = last.first().map(|high| [*high, 0]);
    for word in words.iter().copied().chain(last) {
        sum = sum.over(&(!u16::from_be_bytes(word)).to_be_bytes());
    }
    sum.over(new).finish()
}
