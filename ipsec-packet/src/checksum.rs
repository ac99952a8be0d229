/// The Internet checksum (RFC 1071), fed piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum {
    sum: u64,
    odd: bool,
}

impl Checksum {
    /// Nothing summed yet.
    pub const fn new() -> Self {
        Self { sum: 0, odd: false }
    }

    /// Adds octets (RFC 1071 1). Pieces may have odd lengths; they count as one run of octets.
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

    /// The checksum to write into a header whose checksum field was summed as 0 (RFC 1071 1).
    pub const fn finish(self) -> u16 {
        !self.folded()
    }

    /// Whether what was summed, checksum field included, is right (RFC 1071 1).
    pub const fn holds(self) -> bool {
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

/// The checksum after the octets `old` were replaced by `new` (RFC 1624 equation 3); both begin at an even offset, and an
/// odd one at the end counts as if a zero followed.
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
