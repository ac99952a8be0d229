//! Limit for log lines that packets cause.

use std::fmt;
use std::time::Duration;

use ipsec_packet::Instant;

use super::{Event, Level, line, warning};

/// Limit for log lines that unauthenticated packets can cause: the first ones of each interval are written, the others
/// counted.
#[derive(Default)]
pub struct Limiter {
    /// Start of the interval.
    began: Option<Instant>,
    lines: u64,
}

impl Limiter {
    const INTERVAL: Duration = Duration::from_secs(10);
    const LINES: u64 = 10;

    /// Writes a line unless the limit is reached.
    pub fn write(&mut self, now: Instant, level: Level, text: impl fmt::Display) {
        self.write_event(now, level, text, None);
    }

    /// Writes a line about an event unless the limit is reached.
    pub fn write_event(&mut self, now: Instant, level: Level, text: impl fmt::Display, event: Option<Event>) {
        let omitted = self.count(now);
        if let Some(omitted) = omitted.filter(|omitted| *omitted > 0) {
            warning(format_args!("{omitted} more lines of this kind were omitted"));
        }
        if omitted.is_some() {
            line(level, text, event);
        }
    }

    /// Counts a line. Returns `None` if it is to be omitted, else the number of lines that were omitted before.
    fn count(&mut self, now: Instant) -> Option<u64> {
        let mut omitted = 0;
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= Self::INTERVAL) {
            omitted = self.lines.saturating_sub(Self::LINES);
            (self.began, self.lines) = (Some(now), 0);
        }
        self.lines = self.lines.saturating_add(1);
        (self.lines <= Self::LINES).then_some(omitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_about_packets_are_limited() {
        let mut limiter = Limiter::default();
        let written = (0..25).filter(|_| limiter.count(Instant::from_secs(1)).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(limiter.count(Instant::from_secs(11)), Some(15));
        assert_eq!(limiter.count(Instant::from_secs(21)), Some(0));
    }
}
