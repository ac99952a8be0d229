//! Limits of an SA's life in octets, as peers write them, and when its renewal is due.

/// A hard limit in octets (RFC 4301 4.4.2.1). Arithmetic saturates: a peer's huge number of kilobytes never becomes a small limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteLimit(u64);

impl ByteLimit {
    /// So many octets.
    pub const fn octets(octets: u64) -> Self {
        Self(octets)
    }

    /// So many kilobytes of 1024 octets (RFC 2407 4.5).
    pub const fn kilobytes(kilobytes: u64) -> Self {
        Self(kilobytes.saturating_mul(1024))
    }

    /// The hard limit: at it the SA dies (RFC 4301 4.4.2.1).
    pub const fn hard(self) -> u64 {
        self.0
    }

    /// The soft limit, 80 % of the hard one as in KAME: at it a new SA is negotiated (RFC 4301 4.4.2.1).
    pub const fn soft(self) -> u64 {
        // Four fifths without a product that could overflow.
        let fifth = self.0 / 5;
        self.0.saturating_sub(fifth)
    }
}
