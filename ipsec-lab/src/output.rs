//! Output on the standard streams, which the reader may close before the end.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::terminal_text::escaped;

/// Set when the reader of the standard output has closed it.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);
/// Set when text goes to the standard error stream, because the standard output is a capture.
static IS_DIVERTED: AtomicBool = AtomicBool::new(false);
/// First error of the standard output that is not a closed pipe.
static ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints text on the standard output, like `print!`, and discards it after the reader has closed the pipe.
macro_rules! say {
    ($($arg:tt)*) => { $crate::output::write(format_args!($($arg)*)) };
}

/// Prints a line on the standard output.
macro_rules! sayln {
    () => { $crate::output::write(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($arg)*))) };
}

/// Prints a line on the standard error stream, and ignores that it is closed.
macro_rules! noteln {
    ($($arg:tt)*) => { $crate::output::note(format_args!($($arg)*)) };
}

/// Writes text to the standard output. Characters that act on a terminal are escaped. After an error, the rest is
/// discarded.
pub fn write(text: Arguments<'_>) {
    write_unchanged(&escaped(&text.to_string()));
}

/// Writes text to the standard output that is a file for another program.
pub fn write_unchanged(text: &str) {
    if IS_DIVERTED.load(Ordering::Relaxed) {
        let _ = io::stderr().write_all(text.as_bytes());
    } else if !is_closed() {
        check(io::stdout().write_all(text.as_bytes()));
    }
}

/// Writes a line to the standard error stream. Characters that act on a terminal are escaped.
pub fn note(text: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", escaped(&text.to_string()));
}

/// Sends text to the standard error stream from now on.
pub fn divert() {
    IS_DIVERTED.store(true, Ordering::Relaxed);
}

/// Returns whether output is discarded, so that a command whose only result is output can end.
pub fn is_closed() -> bool {
    IS_CLOSED.load(Ordering::Relaxed)
}

/// Writes the buffered text and returns the first error other than a closed pipe.
pub fn finish() -> io::Result<()> {
    if !is_closed() {
        check(io::stdout().flush());
    }
    ERROR.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

/// Records the error of a write to the standard output.
fn check(written: io::Result<()>) {
    if let Err(e) = written {
        IS_CLOSED.store(true, Ordering::Relaxed);
        if e.kind() != ErrorKind::BrokenPipe {
            ERROR.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
        }
    }
}
