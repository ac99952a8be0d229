//! Limit for log lines that packets cause.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use ipsec_packet::Instant;

use super::{Event, Level, line, warning};

/// Limit for log lines that unauthenticated packets can cause: for each reason the first ones of an interval are
/// written, the others counted. Many packets of one reason do not hide another one.
#[derive(Default)]
pub struct Limiter(HashMap<&'static str, Interval>);

/// Lines of one reason.
#[derive(Default)]
struct Interval {
    began: Option<Instant>,
    lines: u64,
}

impl Limiter {
    /// Writes a line unless the limit of its reason is reached.
    pub fn write(&mut self, now: Instant, reason: &'static str, level: Level, text: impl fmt::Display) {
        self.write_event(now, reason, level, text, None);
    }

    /// Writes a line about an event unless the limit of its reason is reached.
    pub fn write_event(
        &mut self,
        now: Instant,
        reason: &'static str,
        level: Level,
        text: impl fmt::Display,
        event: Option<Event>,
    ) {
        let omitted = self.0.entry(reason).or_default().count(now);
        if let Some(omitted) = omitted.filter(|omitted| *omitted > 0) {
            warning(format_args!("{omitted} more lines of this kind were omitted: {reason}"));
        }
        if omitted.is_some() {
            line(level, text, event);
        }
    }
}

impl Interval {
    const LENGTH: Duration = Duration::from_secs(10);
    const LINES: u64 = 10;

    /// Counts a line. Returns `None` if it is to be omitted, else the number of lines that were omitted before.
    fn count(&mut self, now: Instant) -> Option<u64> {
        let mut omitted = 0;
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= Self::LENGTH) {
            omitted = self.lines.saturating_sub(Self::LINES);
            (self.began, self.lines) = (Some(now), 0);
        }
        self.lines = self.lines.saturating_add(1);
        (self.lines <= Self::LINES).then_some(omitted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Keep, keep_lines, take_lines};
    use super::*;

    #[test]
    fn lines_are_limited_in_each_interval() {
        let mut interval = Interval::default();
        let written = (0..25).filter(|_| interval.count(Instant::from_secs(1)).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(interval.count(Instant::from_secs(11)), Some(15));
        assert_eq!(interval.count(Instant::from_secs(21)), Some(0));
    }

    #[test]
    fn many_lines_of_one_reason_do_not_hide_another() {
        let (mut limiter, now) = (Limiter::default(), Instant::from_secs(1));
        keep_lines(Keep::Lines);
        (0..1000).for_each(|_| limiter.write(now, "no SA", Level::Warning, "packet discarded: no SA"));
        limiter.write(now, "wrong ICV", Level::Warning, "packet discarded: wrong ICV");
        limiter.write(Instant::from_secs(11), "no SA", Level::Warning, "packet discarded: no SA");
        let lines: Vec<_> = take_lines().into_iter().map(|line| line.text).collect();
        keep_lines(Keep::Nothing);
        let expected = ["packet discarded: wrong ICV", "990 more lines of this kind were omitted: no SA"];
        assert_eq!((lines.len(), &lines[10..12]), (13, &expected.map(str::to_owned)[..]));
    }
}
