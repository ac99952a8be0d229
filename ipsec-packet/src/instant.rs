use core::fmt;
use core::ops::{Add, AddAssign};
use core::time::Duration;

/// Point in time: microseconds since an arbitrary start, such as the start of the system, on a clock that is never
/// set back (RFC 4301 section 4.4.2.1 measures lifetimes by it). Sums saturate.
///
/// ```
/// use core::time::Duration;
/// use ipsec_packet::Instant;
///
/// let installed = Instant::from_secs(10);
/// let now = installed + Duration::from_millis(1500);
/// assert_eq!(now.saturating_duration_since(installed), Duration::from_millis(1500));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant {
    micros: u64,
}

const MICROS_PER_SEC: u64 = 1_000_000;
const MICROS_PER_MILLI: u64 = 1_000;

impl Instant {
    /// Start of the clock.
    pub const ZERO: Self = Self { micros: 0 };

    /// Creates an instant from the microseconds since the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// Creates an instant from the milliseconds since the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self { micros: millis.saturating_mul(MICROS_PER_MILLI) }
    }

    /// Creates an instant from the seconds since the start.
    pub const fn from_secs(secs: u64) -> Self {
        Self { micros: secs.saturating_mul(MICROS_PER_SEC) }
    }

    /// Creates an instant from the time since the start, rounded down to microseconds.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self::ZERO.saturating_add(elapsed)
    }

    /// Returns the microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.micros
    }

    /// Returns the whole seconds since the start.
    pub const fn as_secs(self) -> u64 {
        self.micros.wrapping_div(MICROS_PER_SEC)
    }

    /// Returns the time since the start.
    pub const fn since_start(self) -> Duration {
        Duration::from_micros(self.micros)
    }

    /// Returns the instant that is this much later, rounded down to microseconds, or the last one.
    #[must_use]
    #[cfg_attr(ipsec_small, inline(never))] // products of 64 bits
    pub const fn saturating_add(self, duration: Duration) -> Self {
        let whole = duration.as_secs().saturating_mul(MICROS_PER_SEC);
        Self { micros: self.micros.saturating_add(whole).saturating_add(duration.subsec_micros() as u64) }
    }

    /// Returns the time since `earlier`; 0 if that is later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.saturating_add(duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = self.saturating_add(duration);
    }
}

/// Prints the seconds since the start with three digits of the fraction.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.micros.wrapping_rem(MICROS_PER_SEC).wrapping_div(MICROS_PER_MILLI);
        write!(f, "{}.{millis:03}", self.as_secs())
    }
}
