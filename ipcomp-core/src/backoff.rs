/// Stops trying to compress the packets of an SA while they do not get smaller (RFC 3173 2.2).
///
/// After each packet that was not worthwhile it lets twice as many pass untried as before, up to 256; one that shrinks
/// resets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u8,
    skip: u16,
}

/// Failures in a row that are forgiven: a few incompressible packets say nothing of the next.
const FORGIVEN: u8 = 3;
const MOST: u16 = 256;

impl Backoff {
    /// Trying.
    pub const fn new() -> Self {
        Self { failures: 0, skip: 0 }
    }

    /// Whether to try the next packet; counts it as passed by if not (RFC 3173 2.2).
    pub const fn try_next(&mut self) -> bool {
        match self.skip.checked_sub(1) {
            Some(rest) => {
                self.skip = rest;
                false
            }
            None => true,
        }
    }

    /// Tells what came of a packet that was tried (RFC 3173 2.2).
    pub const fn learn(&mut self, shrunk: bool) {
        if shrunk {
            *self = Self::new();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if let Some(over) = self.failures.checked_sub(FORGIVEN) {
            self.skip = if over >= 8 { MOST } else { 1 << over };
        }
    }
}
