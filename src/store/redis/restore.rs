//! When Redis comes back without registrations that it had: which of them it has lost, and which were deleted.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::scan::holds;
use crate::registration::TargetId;
use crate::store::{Change, Comparison, Kept};

/// After a longer absence than this, what is missing may well have been deleted on purpose meanwhile.
const GAP_MAX: Duration = Duration::from_secs(60);

/// What is known about the new server process when a session begins that may have to restore.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restart {
    /// How long there was no contact, the time included that this machine slept.
    pub(super) gap: Duration,
    /// When the process before answered last.
    pub(super) last_contact: Instant,
    /// Whether the server keeps an append-only file.
    pub(super) append_only: bool,
}

impl Restart {
    /// The missing registrations that were lost, rather than deleted: all of them when more is gone than anyone deletes
    /// meanwhile. After a moment's absence of a server that saves now and then, those that were written after the latest
    /// write that it still has: what it saved last holds everything before that, and what is absent there was deleted.
    pub(super) fn lost(self, found: usize, comparison: Comparison) -> Vec<Kept> {
        let Comparison { missing, latest_write, latest_update } = comparison;
        if missing.len() >= found {
            return missing;
        }
        if self.gap > GAP_MAX || self.append_only {
            return Vec::new();
        }
        let is_later = |kept: &Kept| match (kept.written_at, latest_write) {
            (Some(at), Some(latest)) => at > latest,
            _ => latest_update.is_none_or(|latest| kept.updated_at >= latest),
        };
        missing.into_iter().filter(is_later).collect()
    }
}

/// A restart that is being made good, from the first scan until everything is put back.
///
/// What the new process was seen to have was deleted when it is gone. The absence of anything else says nothing, even if
/// a change of it is reported, for the same id may stand in another database: it is for the end of a scan to decide.
pub(super) struct Restoring {
    pub(super) restart: Restart,
    seen: HashSet<TargetId>,
    /// What was missing at the end of the last scan and seemed to be deleted.
    missing: HashSet<TargetId>,
}

impl Restoring {
    pub(super) fn new(restart: Restart) -> Restoring {
        Restoring { restart, seen: HashSet::new(), missing: HashSet::new() }
    }

    /// Takes note of what Redis has, and drops every absence that says nothing.
    pub(super) fn note(&mut self, changes: &mut Vec<Change>) {
        self.seen.extend(changes.iter().filter_map(holds));
        changes.retain(|change| !matches!(change, Change::Gone(id) if !self.was_there(*id)));
    }

    /// Whether Redis was seen to have this.
    pub(super) fn was_there(&self, id: TargetId) -> bool {
        self.seen.contains(&id)
    }

    /// Whether the scan before found all of this missing as well: another server may have been putting it back.
    pub(super) fn confirms(&mut self, gone: &HashSet<TargetId>) -> bool {
        let confirmed = gone.is_subset(&self.missing);
        self.missing.clone_from(gone);
        confirmed
    }
}

#[cfg(test)]
mod tests;
