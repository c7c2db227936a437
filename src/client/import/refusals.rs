//! What was refused: how many, and the first of them with their reasons.

use crate::client::output::tell;

/// Refused entries that are named; the others are counted.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Default)]
pub(super) struct RefusedEntries {
    pub(super) total: usize,
    shown: Vec<String>,
}

impl RefusedEntries {
    pub(super) fn add(&mut self, what: &str, reason: &str) {
        self.total += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("{what}: {reason}"));
        }
    }

    /// Says them.
    pub(super) fn tell(&self) {
        self.shown.iter().for_each(|refusal| tell(refusal));
        if self.total > self.shown.len() {
            tell(&format!("and {} more refused", self.total - self.shown.len()));
        }
    }
}
