//! When Redis comes back without data that it had, and what is put back then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::registration::TargetId;
use crate::store::Missing;

/// After a longer absence than this, what is missing may well have been deleted on purpose meanwhile.
const GAP_MAX: Duration = Duration::from_secs(60);

/// What is known about the new server process when a session begins that may have to restore.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restart {
    /// How long there was no contact.
    pub(super) gap: Duration,
    /// Whether the server keeps an append-only file.
    pub(super) append_only: bool,
}

impl Restart {
    /// Whether the missing were lost, rather than deleted: either the server can have kept nothing and was away for
    /// a moment only, or more is gone than anyone deletes meanwhile.
    pub(super) fn lost(self, found: usize, missing: usize) -> bool {
        missing > 0 && ((self.gap <= GAP_MAX && !self.append_only) || missing >= found)
    }
}

/// What is still to be put back.
pub(super) struct Restore {
    left: BTreeMap<TargetId, Missing>,
    since: Instant,
}

impl Restore {
    pub(super) fn new(missing: Vec<Missing>, now: Instant) -> Restore {
        Restore { left: missing.into_iter().map(|missing| (missing.id, missing)).collect(), since: now }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Someone wrote or deleted this meanwhile, so it is not put back.
    pub(super) fn forget(&mut self, id: TargetId) {
        self.left.remove(&id);
    }

    /// Takes up to `count` of them, with what is left of their lifetimes; what ran out meanwhile is left out.
    pub(super) fn take(&mut self, count: usize, now: Instant) -> Vec<Missing> {
        let gone = now.saturating_duration_since(self.since);
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some((_, mut missing)) = self.left.pop_first()
        {
            missing.expires_in = missing.expires_in.map(|left| left.saturating_sub(gone));
            if missing.expires_in.is_none_or(|left| left.as_millis() > 0) {
                taken.push(missing);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests;
