//! Log lines on standard error: date, level and text, one line each.

use std::fmt;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipsec_packet::Instant;

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The daemon cannot do what it is configured to do.
    Error,
    /// The state is unexpected, and the daemon continues.
    Warning,
    /// Event of normal operation.
    Info,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Info => "INFO",
        })
    }
}

/// Writes a line of level [`Level::Info`].
pub fn info(text: impl fmt::Display) {
    line(Level::Info, text);
}

/// Writes a line of level [`Level::Warning`].
pub fn warning(text: impl fmt::Display) {
    line(Level::Warning, text);
}

/// Writes a line of level [`Level::Error`].
pub fn error(text: impl fmt::Display) {
    line(Level::Error, text);
}

#[allow(clippy::disallowed_methods)] // a log line contains the current time
fn line(level: Level, text: impl fmt::Display) {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let line = format!("{}: {level}: {}\n", Date(seconds), one_line(&text.to_string()));
    // One call, so that lines of several processes are not mixed. There is no other place to report an error.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Replaces control characters, which a peer may have sent, by escape sequences.
fn one_line(text: &str) -> String {
    let escaped = text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() });
    escaped.collect()
}

/// Date and time in UTC: seconds since 1970.
struct Date(u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, second) = (self.0 / 86_400, self.0 % 86_400);
        let (year, month, day) = civil_date(day);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Returns year, month and day of the Gregorian calendar for the number of days since 1970-01-01.
const fn civil_date(days: u64) -> (u64, u64, u64) {
    // Years begin in March, so that the leap day is the last one. 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = (day - (153 * month + 2) / 5) + 1;
    let (year, month) = (year + era * 400, if month < 10 { month + 3 } else { month - 9 });
    (if month <= 2 { year + 1 } else { year }, month, date)
}

/// Limit for lines that unauthenticated packets can cause: the first ones of each interval are written, the others
/// counted.
#[derive(Default)]
pub struct Limiter {
    /// Begin of the interval.
    began: Option<Instant>,
    lines: u64,
}

impl Limiter {
    const INTERVAL: Duration = Duration::from_secs(10);
    const LINES: u64 = 10;

    /// Writes a line unless the limit is reached.
    pub fn write(&mut self, now: Instant, level: Level, text: impl fmt::Display) {
        let omitted = self.count(now);
        if let Some(omitted) = omitted.filter(|omitted| *omitted > 0) {
            warning(format_args!("{omitted} more lines of this kind were omitted"));
        }
        if omitted.is_some() {
            line(level, text);
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
    fn lines_about_packets_are_limited() {
        let mut limiter = Limiter::default();
        let written = (0..25).filter(|_| limiter.count(Instant::from_secs(1)).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(limiter.count(Instant::from_secs(11)), Some(15));
        assert_eq!(limiter.count(Instant::from_secs(21)), Some(0));
    }

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        let table = [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_796_032_800, "2026-11-30 10:00:00"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ];
        for (seconds, date) in table {
            assert_eq!(Date(seconds).to_string(), date);
        }
    }

    #[test]
    fn text_of_a_peer_stays_on_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[31m\u{7f}ä"), "a\\nb\\u{1b}[31m\\u{7f}ä");
    }
}
