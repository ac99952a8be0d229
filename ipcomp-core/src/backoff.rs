/// Adaptive back-off that suspends compression for an SA whose packets do not get smaller (RFC 3173 section 2.2).
///
/// After each packet that does not get smaller, the number of following packets that are not tried is doubled, up to
/// 256; a packet that gets smaller resets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u8,
    skip: u16,
}

/// Number of consecutive failures before packets are skipped: a few incompressible packets do not predict the next
/// ones.
const FREE_FAILURES: u8 = 3;
const MAX_SKIP: u16 = 256;

impl Backoff {
    /// Creates the initial state, in which the next packet is tried.
    pub const fn new() -> Self {
        Self { failures: 0, skip: 0 }
    }

    /// Returns whether to try the next packet; if not, the packet is counted as skipped (RFC 3173 section 2.2).
    pub const fn try_next(&mut self) -> bool {
        match self.skip.checked_sub(1) {
            Some(rest) => {
                self.skip = rest;
                false
            }
            None => true,
        }
    }

    /// Records whether a packet that was tried got smaller (RFC 3173 section 2.2).
    pub const fn record(&mut self, shrunk: bool) {
        if shrunk {
            *self = Self::new();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if let Some(exponent) = self.failures.checked_sub(FREE_FAILURES) {
            self.skip = if exponent >= 8 { MAX_SKIP } else { 1 << exponent };
        }
    }
}
