//! Log lines on standard error or in a file: date, level and text, one line each.

mod event;
mod limiter;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

pub use event::{Event, EventKind};
pub use limiter::Limiter;

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A configured function is not available.
    Error,
    /// The state is unexpected, and the daemon continues.
    Warning,
    /// Event of normal operation.
    Info,
    /// Message or decision that helps to find a fault.
    Debug,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        })
    }
}

/// Destination and extent of the log.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// File to which lines are appended; `None` for standard error.
    pub file: Option<PathBuf>,
    /// Debug level: with 1 each IKE message has a line, with 2 the counters that it changes as well.
    pub debug: u8,
    /// Set if lines go to standard error besides the file, and IKE messages of debug lines have their octets.
    pub is_verbose: bool,
}

/// Line that was written to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Time in seconds since 1970.
    pub seconds: u64,
    /// Level of the line.
    pub level: Level,
    /// Text without line breaks.
    pub text: String,
    /// Event that the line describes.
    pub event: Option<Event>,
}

impl Line {
    /// Returns date and time in UTC.
    pub fn date(&self) -> String {
        Date(self.seconds).to_string()
    }
}

/// Largest number of lines that are kept for the clients of the control socket.
const MAX_KEPT: usize = 1024;

/// Log of this thread, on which the daemon runs.
#[derive(Default)]
struct Log {
    options: LogOptions,
    file: Option<File>,
    /// Lines since the last call of [`take_lines`]; `None` if no client reads them.
    kept: Option<VecDeque<Line>>,
    /// Set while no lines are written.
    is_silent: bool,
}

thread_local! {
    static LOG: RefCell<Log> = RefCell::default();
}

/// Opens the log with these options.
///
/// # Errors
/// The message of the system with the name of the file.
pub fn open(options: LogOptions) -> Result<(), String> {
    let open = |path: &PathBuf| {
        // Its lines have addresses, names and lines of configurations.
        let file = File::options().append(true).create(true).mode(0o600).open(path);
        file.map_err(|e| format!("log file {}: {e}", path.display()))
    };
    let file = options.file.as_ref().map(open).transpose()?;
    set(options, file);
    Ok(())
}

/// Sets the options of the log, with a file that another process has opened.
pub fn set(options: LogOptions, file: Option<File>) {
    LOG.with_borrow_mut(|log| (log.options, log.file) = (options, file));
}

/// Replaces the file of the log by one that another process has opened.
pub fn replace_file(file: File) {
    LOG.with_borrow_mut(|log| log.file = Some(file));
}

/// Returns the options of the log.
pub fn options() -> LogOptions {
    LOG.with_borrow(|log| log.options.clone())
}

/// Returns a descriptor of the file of the log for another process.
pub fn file() -> Option<OwnedFd> {
    LOG.with_borrow(|log| log.file.as_ref()?.try_clone().ok()).map(OwnedFd::from)
}

/// Calls a function whose lines are not written.
pub fn silenced<T>(call: impl FnOnce() -> T) -> T {
    let former = LOG.with_borrow_mut(|log| std::mem::replace(&mut log.is_silent, true));
    let result = call();
    LOG.with_borrow_mut(|log| log.is_silent = former);
    result
}

/// Opens the file of the log again, which may have been renamed.
///
/// # Errors
/// The message of the system; the former file remains in use.
pub fn reopen() -> Result<(), String> {
    open(LOG.with_borrow(|log| log.options.clone()))
}

/// Returns whether lines of a debug level are written.
pub fn has_debug(level: u8) -> bool {
    LOG.with_borrow(|log| log.options.debug >= level)
}

/// Returns whether debug lines have the octets of messages.
pub fn is_verbose() -> bool {
    LOG.with_borrow(|log| log.options.is_verbose)
}

/// Keeps the lines from now on for [`take_lines`], or ends that.
pub fn keep_lines(keeps: Keep) {
    LOG.with_borrow_mut(|log| match keeps {
        Keep::Lines => _ = log.kept.get_or_insert_default(),
        Keep::Nothing => log.kept = None,
    });
}

/// Lines that are kept for the clients of the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All lines, up to 1,024 between two calls of [`take_lines`].
    Lines,
    /// No lines, as no client reads them.
    Nothing,
}

/// Returns the lines that were kept, and removes them.
pub fn take_lines() -> Vec<Line> {
    LOG.with_borrow_mut(|log| log.kept.as_mut().map_or_else(Vec::new, |kept| kept.drain(..).collect()))
}

/// Writes a line of level [`Level::Debug`] if the log has this debug level.
pub fn debug(level: u8, text: impl fmt::Display) {
    if has_debug(level) {
        line(Level::Debug, text, None);
    }
}

/// Writes a line of level [`Level::Info`].
pub fn info(text: impl fmt::Display) {
    line(Level::Info, text, None);
}

/// Writes a line of level [`Level::Warning`].
pub fn warning(text: impl fmt::Display) {
    line(Level::Warning, text, None);
}

/// Writes a line of level [`Level::Error`].
pub fn error(text: impl fmt::Display) {
    line(Level::Error, text, None);
}

/// Writes a line about an event, of level [`Level::Warning`] for a peer that is dead, else of level [`Level::Info`].
pub fn event(event: Event, text: impl fmt::Display) {
    let level = if event.event == EventKind::Phase1Dead { Level::Warning } else { Level::Info };
    line(level, text, Some(event));
}

#[allow(clippy::disallowed_methods)] // a log line contains the current time
fn line(level: Level, text: impl fmt::Display, event: Option<Event>) {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let text = one_line(&text.to_string());
    let line = format!("{}: {level}: {text}\n", Date(seconds));
    LOG.with_borrow_mut(|log| {
        if log.is_silent {
            return;
        }
        // One call for each line, so that those of several processes are not mixed. There is no other place to report
        // an error.
        if let Some(file) = &mut log.file {
            let _ = file.write_all(line.as_bytes());
        }
        if log.file.is_none() || log.options.is_verbose {
            let _ = io::stderr().write_all(line.as_bytes());
        }
        if let Some(kept) = log.kept.as_mut().filter(|kept| kept.len() < MAX_KEPT) {
            kept.push_back(Line { seconds, level, text, event });
        }
    });
}

/// Replaces characters that a peer may have sent by escape sequences: control characters, and those without width that
/// separate lines or change the direction of the text around them.
fn one_line(text: &str) -> String {
    let is_shown = |c: char| !c.is_control() && !INVISIBLE.iter().any(|range| range.contains(&c));
    text.chars().map(|c| if is_shown(c) { c.to_string() } else { c.escape_default().to_string() }).collect()
}

/// Line separators, and the format characters of Unicode (categories Zl, Zp and Cf).
const INVISIBLE: [RangeInclusive<char>; 8] = [
    '\u{ad}'..='\u{ad}',
    '\u{600}'..='\u{61c}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reopening_a_renamed_log_file_creates_a_new_one() {
        let path = std::env::temp_dir().join(format!("ipsec-gateway-{}-log", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let options = LogOptions { file: Some(path.clone()), debug: 1, is_verbose: false };
        open(options).unwrap();
        info("first");
        debug(1, "second");
        debug(2, "not written");
        let renamed = path.with_extension("old");
        std::fs::rename(&path, &renamed).unwrap();
        reopen().unwrap();
        warning("third");
        let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
        let (old, new) = (read(&renamed), read(&path));
        assert!(old.lines().count() == 2 && old.contains(": INFO: first\n") && old.ends_with(": DEBUG: second\n"));
        assert!(new.lines().count() == 1 && new.ends_with(": WARNING: third\n"), "{new}");
        for path in [path, renamed] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn lines_are_kept_while_a_client_reads_them() {
        info("before");
        keep_lines(Keep::Lines);
        warning("a\nb");
        (0..2 * MAX_KEPT).for_each(|_| debug(0, "more"));
        let lines = take_lines();
        assert_eq!((lines.len(), lines[0].level, lines[0].text.as_str()), (MAX_KEPT, Level::Warning, "a\\nb"));
        assert_eq!(take_lines(), []);
        keep_lines(Keep::Nothing);
        info("after");
        assert_eq!(take_lines(), []);
    }

    #[test]
    fn lines_about_events_name_the_peer_and_the_sa() {
        keep_lines(Keep::Lines);
        event(Event::of_sa(EventKind::SaUp, "west", 7), "SA established");
        event(Event::of_peer(EventKind::Phase1Dead, "west"), "no answer");
        info("text");
        let lines = take_lines();
        keep_lines(Keep::Nothing);
        let json: Vec<_> = lines.iter().map(|line| serde_json::to_string(&line.event).unwrap()).collect();
        assert_eq!(json[0], r#"{"event":"sa_up","peer":"west","sa":"7"}"#);
        assert_eq!(json[1], r#"{"event":"phase1_dead","peer":"west"}"#);
        assert_eq!(json[2], "null");
        let levels: Vec<_> = lines.iter().map(|line| line.level).collect();
        assert_eq!(levels, [Level::Info, Level::Warning, Level::Info]);
    }

    #[test]
    fn silenced_lines_are_not_written() {
        keep_lines(Keep::Lines);
        silenced(|| warning("silent"));
        warning("written");
        assert_eq!(take_lines().iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["written"]);
        keep_lines(Keep::Nothing);
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
    fn text_received_from_a_peer_is_logged_on_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[31m\u{7f}ä"), "a\\nb\\u{1b}[31m\\u{7f}ä");
        assert_eq!(one_line("a\u{202e}b\u{2028}c\u{200b}\u{2066}€"), "a\\u{202e}b\\u{2028}c\\u{200b}\\u{2066}€");
    }
}
