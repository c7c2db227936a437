//! How far it is: a bar on a terminal, a line every 10 s elsewhere.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::client::output::tell;

/// Between two lines, where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    total: usize,
    /// `None` without a terminal.
    bar: Option<ProgressBar>,
    next_line: Instant,
}

impl Progress {
    pub(super) fn new(total: usize) -> Progress {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {rate}/s, {eta} left");
        let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
            // Writing to the text of a bar cannot fail.
            let _ = write!(text, "{:.0}", state.per_sec());
        };
        let style = style.map(|style| style.with_key("rate", rate));
        let bar = style.ok().filter(|_| io::stderr().is_terminal());
        let bar = bar.map(|style| ProgressBar::new(total as u64).with_style(style));
        Progress { total, bar, next_line: Instant::now() + BETWEEN_LINES }
    }

    pub(super) fn show(&mut self, done: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(done as u64),
            None if Instant::now() >= self.next_line => {
                tell(&format!("{done} of {}", self.total));
                self.next_line += BETWEEN_LINES;
            }
            None => {}
        }
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
