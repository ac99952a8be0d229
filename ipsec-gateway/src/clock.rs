//! Clock of the daemon.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipsec_packet::Instant;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};

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

/// Timer of the same clock, whose descriptor is readable from its time on. A timeout of `poll` does not count the time
/// that the system is suspended.
pub struct Alarm {
    timer: OwnedFd,
    /// Time that is set; `None` if none is.
    set: Cell<Option<Instant>>,
}

impl Alarm {
    /// Creates a timer without a time.
    ///
    /// # Errors
    /// The error of the system.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self { timer, set: Cell::new(None) })
    }

    /// Sets the time, or none.
    ///
    /// # Errors
    /// The error of the system.
    pub fn set(&self, due: Option<Instant>) -> io::Result<()> {
        if self.set.get() == due {
            return Ok(());
        }
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = due.map_or(none, |due| {
            let since = due.saturating_duration_since(Instant::ZERO);
            // A time of zero would be none.
            let (seconds, nanos) = (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos().max(1));
            Timespec { tv_sec: seconds, tv_nsec: nanos.into() }
        });
        let time = Itimerspec { it_interval: none, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &time)?;
        self.set.set(due);
        Ok(())
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn is_over(alarm: &Alarm, wait: Option<Duration>) -> bool {
        let timeout = wait.map(|wait| Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() });
        poll(&mut [PollFd::new(alarm, PollFlags::IN)], timeout.as_ref()).unwrap() == 1
    }

    #[test]
    fn timer_is_readable_from_its_time_on_until_another_is_set() {
        let (alarm, now) = (Alarm::new().unwrap(), now());
        let at_once = Some(Duration::ZERO);
        assert!(!is_over(&alarm, at_once));
        alarm.set(Some(now + Duration::from_millis(5))).unwrap();
        assert!(is_over(&alarm, None));
        assert!(super::now() >= now + Duration::from_millis(5));
        alarm.set(Some(now + Duration::from_secs(3600))).unwrap();
        assert!(!is_over(&alarm, at_once));
        alarm.set(Some(Instant::ZERO)).unwrap();
        assert!(is_over(&alarm, at_once), "a time that has passed");
        alarm.set(Some(Instant::ZERO.saturating_add(Duration::MAX))).unwrap();
        assert!(!is_over(&alarm, at_once));
        alarm.set(None).unwrap();
        assert!(!is_over(&alarm, at_once));
    }
}
