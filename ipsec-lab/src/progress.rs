//! Progress of long runs on the terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Number of items from which progress is shown.
const LONG: u64 = 10_000;
/// Interval of updates without progress.
const TICK: Duration = Duration::from_millis(250);

/// Indicator on the standard error stream. It is shown from the ten thousandth item, and only on a terminal; not while
/// lines for each item appear on the same terminal.
pub struct Progress {
    bar: ProgressBar,
    count: u64,
    is_allowed: bool,
}

impl Progress {
    /// Creates an indicator that counts items with this name. `prints_lines` is set if each item prints a line.
    pub fn new(items: &str, prints_lines: bool) -> Self {
        let bar = ProgressBar::hidden();
        let template = format!("{{spinner}} {{pos}} {items}, {{per_sec}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        let is_allowed = std::io::stderr().is_terminal() && !(prints_lines && std::io::stdout().is_terminal());
        Self { bar, count: 0, is_allowed }
    }

    /// Counts an item that was processed.
    pub fn advance(&mut self) {
        self.count += 1;
        if self.count == LONG && self.is_allowed {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(TICK);
            self.bar.set_position(self.count);
        }
        self.bar.inc(1);
    }

    /// Prints text while the indicator is hidden.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Removes the indicator from the terminal.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
