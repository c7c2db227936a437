//! When Redis comes back as another process, without registrations that it had: which of them it has lost, and which were
//! deleted. Absence is loss only as far as the new process shows that it came up with less than was acknowledged.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::connect::{Origin, Replicated};
use super::scan::holds;
use crate::registration::TargetId;
use crate::store::{Change, Comparison, HEARTBEAT, Kept, Missing};

/// When the new process has been up for longer than this, or nobody here has heard of the old one for so long before it
/// ended, what is missing may well have been deleted on purpose meanwhile.
const UNSEEN_MAX: Duration = Duration::from_secs(60);

/// So much of the time before and after the restart may pass unseen without any doubt about what happened in it.
const CERTAIN_WITHIN: Duration = HEARTBEAT.saturating_mul(5);

/// What is known about a restart when a session begins that may have to restore.
#[derive(Debug, Clone)]
pub(super) struct Restart {
    /// When the process before answered last.
    pub(super) last_contact: Instant,
    /// How long ago that was, the time included that this machine slept.
    pub(super) gap: Duration,
    /// The connection was closed from the other side while it was in use: what happened in the old process until its end
    /// was seen here. Otherwise this server was cut off, and others may have deleted anything.
    pub(super) saw_end: bool,
    /// How far the copies of the old process were known to be, if it made any.
    pub(super) replicated: Option<Replicated>,
    /// How the new process came to its data.
    pub(super) origin: Origin,
}

/// What of the missing registrations can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    None,
    /// The process came up without any registration.
    All,
    /// The process came up with what had been saved or copied until some moment: all that was written before is there, or
    /// was deleted since.
    Latest {
        /// How many are lost at most, if that is known.
        at_most: Option<usize>,
        /// What was written until then is not lost.
        after: Option<Instant>,
    },
}

impl Restart {
    /// The registrations that the new process has lost, as they are to be put back: with what is left of their lifetimes,
    /// or, where somebody may have deleted them unseen, with no more than half of a lifetime. `found` are there.
    pub(super) fn lost(&self, found: usize, comparison: Comparison, now: Instant) -> Vec<Kept> {
        let is_certain = self.saw_end && self.unseen() <= CERTAIN_WITHIN && self.origin.says_what_it_loaded();
        let lost = self.select(found, comparison);
        let put_back = |Missing { mut kept, half_lifetime }: Missing| {
            let doubtful = now.checked_add(half_lifetime).filter(|_| !is_certain);
            kept.deadline = [kept.deadline, doubtful].into_iter().flatten().min();
            kept
        };
        lost.into_iter().map(put_back).collect()
    }

    fn select(&self, found: usize, comparison: Comparison) -> Vec<Missing> {
        let Comparison { mut missing, latest_write, latest_update, shown } = comparison;
        let (at_most, after) = match self.loss(found, shown) {
            Loss::None => return Vec::new(),
            Loss::All => return missing,
            Loss::Latest { at_most, after } => (at_most, after),
        };
        let is_later = |kept: &Kept| match (kept.written_at, latest_write) {
            (Some(at), Some(latest)) => at > latest,
            _ => latest_update.is_none_or(|latest| kept.updated_at >= latest),
        };
        let is_new = |kept: &Kept| after.is_none_or(|after| kept.written_at.is_none_or(|at| at > after));
        missing.retain(|missing| is_later(&missing.kept) && is_new(&missing.kept));
        missing.sort_by_key(|missing| Reverse((missing.kept.written_at, missing.kept.updated_at)));
        missing.truncate(at_most.unwrap_or(usize::MAX));
        missing
    }

    /// For how long the new process may have been changed without anybody here seeing it. A replica was there before.
    fn unseen(&self) -> Duration {
        self.origin.age.min(self.gap)
    }

    /// `shown` registrations must have been there when the process came up, as far as is known here.
    fn loss(&self, found: usize, shown: usize) -> Loss {
        let Origin { fresh_append_only_file, loaded_keys, keys, former, .. } = &self.origin;
        if let Some((history, copied_to)) = former
            && let Some(known) = self.replicated.as_ref().filter(|known| known.history == *history)
        {
            // A replica was made the master, and says how far it has copied the old one.
            let after = (*copied_to >= known.offset).then_some(known.at);
            return Loss::Latest { at_most: None, after };
        }
        let is_unseen = self.unseen() > UNSEEN_MAX || (!self.saw_end && self.gap > UNSEEN_MAX);
        let foreign = keys.saturating_sub(found);
        match (fresh_append_only_file, loaded_keys) {
            (Some(true), _) => Loss::All,
            (Some(false), _) => Loss::None,
            (None, Some(loaded)) => match loaded.saturating_sub(foreign) {
                0 => Loss::All,
                loaded if loaded >= shown || is_unseen => Loss::None,
                loaded => Loss::Latest { at_most: Some(shown - loaded), after: None },
            },
            (None, None) if found == 0 => Loss::All,
            (None, None) if is_unseen => Loss::None,
            (None, None) => Loss::Latest { at_most: None, after: None },
        }
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
