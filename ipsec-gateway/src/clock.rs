//! Clock of the daemon.

use ipsec_packet::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Returns the time since the system was started, including the time that it was suspended: lifetimes of SAs end in a
/// suspended system as well.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    Instant::from_micros(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1000))
}

/// Returns the time in seconds since 1970, for the validity of certificates.
pub fn unix_seconds() -> u64 {
    u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or(0)
}
