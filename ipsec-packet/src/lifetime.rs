//! Lifetimes of an SA in octets, in the units of key exchange.

/// Hard limit in octets (RFC 4301 section 4.4.2.1). Arithmetic saturates: a large number of kilobytes from a peer
/// never becomes a small limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteLimit(u64);

impl ByteLimit {
    /// Creates a limit in octets.
    pub const fn octets(octets: u64) -> Self {
        Self(octets)
    }

    /// Creates a limit in kilobytes of 1024 octets (RFC 2407 section 4.5).
    pub const fn kilobytes(kilobytes: u64) -> Self {
        Self(kilobytes.saturating_mul(1024))
    }

    /// Returns the hard limit in octets, at which the SA expires (RFC 4301 section 4.4.2.1).
    pub const fn hard(self) -> u64 {
        self.0
    }

    /// Returns the soft limit in octets, 80 % of the hard limit as in KAME, at which a new SA is negotiated (RFC 4301
    /// section 4.4.2.1).
    pub const fn soft(self) -> u64 {
        // Four fifths are computed without a product that could overflow.
        let fifth = self.0 / 5;
        self.0.saturating_sub(fifth)
    }
}
