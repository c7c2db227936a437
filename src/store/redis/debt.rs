//! What Redis and the mirror owe each other: a scan finds what Redis has, a restart what it has lost, and settling
//! writes what it lost and the deadlines that an outage moved. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};
use std::{iter, mem};

use ::redis::Value;

use super::connect::{Origin, Replicated};
use super::fault::Fault;
use super::session::Cause;
use crate::registration::TargetId;
use crate::store::{Change, Comparison, HEARTBEAT, Kept, Missing, Settlement};

/// If the new process has been up for longer than this, or nobody here had heard from the old one for so long before it
/// ended, missing registrations may well have been deleted on purpose.
const UNSEEN_MAX: Duration = Duration::from_secs(60);

/// This much time around the restart may pass unseen without doubt about it: a heartbeat before the end, and another
/// until the new process is found.
const CERTAIN_WITHIN: Duration = HEARTBEAT.saturating_mul(2);

pub(super) struct Scan {
    pub(super) cause: Cause,
    pub(super) began: Instant,
    /// Every id that has held a value since the scan began.
    pub(super) present: HashSet<TargetId>,
    /// Keys that are not ids or do not hold strings: they belong to other programs.
    pub(super) foreign: usize,
    /// Where the server continues; `None` after the last key.
    cursor: Option<Vec<u8>>,
    /// Ids found but not fetched yet.
    page: Vec<TargetId>,
}

/// The id under which Redis holds a value, if this change says so.
pub(super) fn holds(change: &Change) -> Option<TargetId> {
    if let Change::Put { id, .. } = change { Some(*id) } else { None }
}

impl Scan {
    pub(super) fn new(cause: Cause) -> Scan {
        let (present, page) = (HashSet::new(), Vec::new());
        Scan { cause, began: Instant::now(), present, foreign: 0, cursor: Some(b"0".to_vec()), page }
    }

    /// Every key has been found and fetched.
    pub(super) fn is_done(&self) -> bool {
        self.cursor.is_none() && self.page.is_empty()
    }

    /// Up to `room` of the ids that must be fetched.
    pub(super) fn take(&mut self, room: usize) -> Vec<TargetId> {
        self.page.split_off(self.page.len().saturating_sub(room))
    }

    /// The cursor of the next SCAN, once the last page has been taken.
    pub(super) fn next_page(&self) -> Option<&[u8]> {
        if self.page.is_empty() { self.cursor.as_deref() } else { None }
    }

    pub(super) fn turn_page(&mut self, answer: Value) -> Result<(), Fault> {
        let (cursor, keys): (Vec<u8>, Vec<Vec<u8>>) =
            ::redis::from_redis_value(answer).map_err(|_| Fault::Unexpected("SCAN"))?;
        let ids: Vec<TargetId> = keys.iter().filter_map(|key| TargetId::from_key(key)).collect();
        self.foreign += keys.len() - ids.len();
        self.page.extend(ids);
        self.cursor = (cursor != b"0").then_some(cursor);
        Ok(())
    }
}

/// The facts about a restart for a session that may have to restore.
#[derive(Debug, Clone)]
pub(super) struct Restart {
    /// When the old process last answered.
    pub(super) last_contact: Instant,
    /// How long ago that was, including time in which this machine slept.
    pub(super) gap: Duration,
    /// How long the old process, the new one, or one between them may have been changed unseen, until the new one first
    /// answered.
    pub(super) unseen: Duration,
    /// The part of that before the new process began.
    pub(super) unseen_before: Duration,
    /// The same since then: an interrupted restore is no reason to believe that nothing was lost.
    pub(super) apart: Duration,
    /// What the new process had before an interruption.
    pub(super) seen: Seen,
    /// The connection was closed from the other side while in use, so the old process was seen until its end. Otherwise
    /// this server was cut off, and others may have deleted anything.
    pub(super) saw_end: bool,
    /// There was another process in between, and its losses may not all have been restored when it ended: how much was,
    /// and in which order, nobody knows.
    pub(super) after_a_loss: bool,
    /// How many keys other programs had in the old process, when last known.
    pub(super) foreign: usize,
    /// How far the replication of the old process was known to be, if it had replicas.
    pub(super) replicated: Option<Replicated>,
    pub(super) origin: Origin,
}

/// What was seen of the registrations in a new process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The registrations that were shown before, and that it must have had unless it lost them.
    pub(super) before: Option<HashSet<TargetId>>,
    /// Those that it had at any time: any of them that are missing were deleted.
    pub(super) there: HashSet<TargetId>,
    /// Those whose deletion was seen.
    pub(super) deleted: HashSet<TargetId>,
}

/// The keys in a new process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) registrations: usize,
    /// Keys of other programs, in all databases.
    pub(super) foreign: usize,
}

/// Which of the missing registrations can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    None,
    /// The process came up without any registration.
    All,
    /// The process came up with data saved or copied at some moment: everything written before is there, or was deleted
    /// since.
    Latest {
        /// The most that can be lost; `None` if the order of writes decides. It says nothing when more known
        /// registrations are there than the process has loaded, because others put back what was lost in no order.
        at_most: Option<usize>,
        /// Writes up to this are not lost.
        after: Option<Instant>,
    },
}

impl Restart {
    /// The registrations that the new process has lost, as they must be put back: with the rest of their lifetimes, or
    /// with half a lifetime at most if somebody may have deleted them unseen. This includes those that expired `early`
    /// because the clock differs.
    fn lost(&self, found: Found, comparison: Comparison, early: Vec<Missing>, now: Instant) -> Vec<Kept> {
        let is_certain = self.saw_end && self.apart_or_unseen() <= CERTAIN_WITHIN && self.says_what_is_lost(found);
        let mut lost = self.select(found, comparison);
        lost.extend(early);
        let put_back = |Missing { mut kept, half_lifetime }: Missing| {
            let doubtful = now.checked_add(half_lifetime).filter(|_| !is_certain);
            kept.deadline = [kept.deadline, doubtful].into_iter().flatten().min();
            kept
        };
        lost.into_iter().map(put_back).collect()
    }

    fn select(&self, found: Found, comparison: Comparison) -> Vec<Missing> {
        let Comparison { mut missing, latest_write, latest_update, shown, known } = comparison;
        let (at_most, after) = match self.loss(found, shown, known) {
            Loss::None => return Vec::new(),
            Loss::All => return missing,
            Loss::Latest { at_most, after } => (at_most, after),
        };
        let is_later = |kept: &Kept| match (kept.written_at, latest_write) {
            (Some(at), Some(latest)) => at > latest,
            _ => latest_update.is_none_or(|latest| kept.updated_at >= latest),
        };
        let is_new = |kept: &Kept| after.is_none_or(|after| kept.written_at.is_none_or(|at| at > after));
        missing.retain(|missing| (at_most.is_some() || is_later(&missing.kept)) && is_new(&missing.kept));
        missing.sort_by_key(|missing| Reverse((missing.kept.written_at, missing.kept.updated_at)));
        missing.truncate(at_most.unwrap_or(usize::MAX));
        missing
    }

    /// Whether nobody can have changed anything unseen before the new process began, but for moments.
    pub(super) fn was_watched(&self) -> bool {
        self.saw_end && self.unseen_before <= CERTAIN_WITHIN
    }

    /// How long anything may have been changed unseen.
    pub(super) fn apart_or_unseen(&self) -> Duration {
        self.unseen.saturating_add(self.apart)
    }

    /// Writes up to this count as known to the old process.
    pub(super) fn known_until(&self, now: Instant) -> Instant {
        if self.after_a_loss { now } else { self.last_contact }
    }

    /// How many registrations the new process has loaded. It counts all keys, so this is known only if other programs
    /// have as many keys as before.
    fn loaded(&self, found: Found) -> Option<usize> {
        let loaded = self.origin.loaded_keys?;
        (loaded == 0 || found.foreign == self.foreign).then(|| loaded.saturating_sub(found.foreign))
    }

    /// Whether the new process says enough to know the losses.
    fn says_what_is_lost(&self, found: Found) -> bool {
        let Origin { fresh_append_only_file, former, .. } = &self.origin;
        fresh_append_only_file.is_some() || former.is_some() || self.loaded(found).is_some()
    }

    /// What can be lost. `shown` registrations would have been there when the process came up if it had lost nothing;
    /// `known` of them are there now, or were deleted since.
    fn loss(&self, found: Found, shown: usize, known: usize) -> Loss {
        let Origin { fresh_append_only_file, former, .. } = &self.origin;
        if !self.after_a_loss
            && let Some((history, copied_to)) = former
            && let Some(known) = self.replicated.as_ref().filter(|known| known.history == *history)
        {
            // A replica has become the master, and says how much of the old one it has copied.
            let after = (*copied_to >= known.offset).then_some(known.at);
            return Loss::Latest { at_most: None, after };
        }
        let is_unseen = self.unseen > UNSEEN_MAX || (!self.saw_end && self.gap > UNSEEN_MAX);
        match (fresh_append_only_file, self.loaded(found)) {
            (None, Some(loaded)) if loaded > 0 && loaded >= shown => Loss::None,
            _ if self.after_a_loss => Loss::All,
            (Some(true), _) | (None, Some(0)) => Loss::All,
            (Some(false), _) => Loss::None,
            (None, Some(_)) if is_unseen => Loss::None,
            (None, Some(loaded)) => Loss::Latest { at_most: (known > loaded).then_some(shown - loaded), after: None },
            (None, None) if found.registrations == 0 => Loss::All,
            (None, None) if is_unseen => Loss::None,
            (None, None) => Loss::Latest { at_most: None, after: None },
        }
    }
}

/// The restore after a restart, from the first scan until everything is put back.
///
/// A registration that was seen in the new process and is missing now was deleted. For one that was never seen there,
/// absence says nothing, even if a change is reported: another database may have the same id. The end of a scan
/// decides.
pub(super) struct Restoring {
    pub(super) restart: Restart,
    seen: Seen,
    /// Registrations that were missing at the end of the last scan and seemed to be deleted.
    missing: HashSet<TargetId>,
}

impl Restoring {
    pub(super) fn new(mut restart: Restart) -> Restoring {
        Restoring { seen: mem::take(&mut restart.seen), restart, missing: HashSet::new() }
    }

    /// Notes what is shown before anything of the new process is, unless that was done in an earlier session with it.
    pub(super) fn begin(&mut self, living_after: impl FnOnce(Instant) -> HashSet<TargetId>) {
        let now = Instant::now();
        let came_up = now.checked_sub(self.restart.origin.age).unwrap_or(now);
        self.seen.before.get_or_insert_with(|| living_after(came_up));
    }

    /// The registrations that were shown before.
    pub(super) fn before(&self) -> Option<&HashSet<TargetId>> {
        self.seen.before.as_ref()
    }

    /// The missing registrations that must be put back.
    pub(super) fn lost(
        &self,
        found: Found,
        mut comparison: Comparison,
        early: Vec<Missing>,
        now: Instant,
    ) -> Vec<Kept> {
        comparison.missing.retain(|missing| !self.was_there(missing.kept.id));
        // The process had loaded these too: their deletion does not reduce what it lost.
        let Seen { before, deleted, .. } = &self.seen;
        comparison.known += deleted.len();
        comparison.shown += before.as_ref().map_or(0, |before| deleted.difference(before).count());
        self.restart.lost(found, comparison, early, now)
    }

    /// What was seen in the new process so far.
    pub(super) fn into_seen(self) -> Seen {
        self.seen
    }

    /// Notes what Redis has and what is deleted, and drops every absence that says nothing.
    pub(super) fn note(&mut self, changes: &mut Vec<Change>) {
        self.saw(changes.iter().filter_map(holds));
        for id in changes.iter().filter_map(holds) {
            self.seen.deleted.remove(&id);
        }
        changes.retain(|change| !matches!(change, Change::Gone(id) if !self.was_there(*id)));
        self.seen.deleted.extend(changes.iter().filter(|change| holds(change).is_none()).map(Change::id));
    }

    /// Notes ids that Redis has or had, also those that were put back.
    pub(super) fn saw(&mut self, ids: impl IntoIterator<Item = TargetId>) {
        self.seen.there.extend(ids);
    }

    /// Notes ids that Redis had and that were deleted before, or by this server.
    pub(super) fn deleted(&mut self, ids: impl Iterator<Item = TargetId> + Clone) {
        self.saw(ids.clone());
        self.seen.deleted.extend(ids);
    }

    pub(super) fn was_there(&self, id: TargetId) -> bool {
        self.seen.there.contains(&id)
    }

    /// Whether the scan before found all of this missing as well. Otherwise another server may be putting it back.
    pub(super) fn confirms(&mut self, gone: &HashSet<TargetId>) -> bool {
        let confirmed = gone.is_subset(&self.missing);
        self.missing.clone_from(gone);
        confirmed
    }
}

/// Registrations on their way back to Redis.
pub(super) struct Settling {
    /// Settling is done only when Redis has taken a write since then.
    pub(super) began: Instant,
    /// The end of the outage to be settled, if there was one. The mirror is told when everything is written.
    pub(super) end: Option<Instant>,
    /// The mirror has returned everything that the outage moves.
    has_all: bool,
    left: BTreeMap<TargetId, Kept>,
    /// Those that Redis has lost before their deadlines.
    lost: HashSet<TargetId>,
    /// Those whose deadlines are too early in Redis.
    early: HashSet<TargetId>,
}

impl Settling {
    /// Settles losses, and an outage until `end` if there is one: its deadlines must still be asked for.
    pub(super) fn new(lost: Vec<Kept>, end: Instant) -> Settling {
        let left: BTreeMap<TargetId, Kept> = lost.into_iter().map(|kept| (kept.id, kept)).collect();
        let lost = left.keys().copied().collect();
        Settling { began: end, end: Some(end), has_all: false, left, lost, early: HashSet::new() }
    }

    /// Adds registrations whose deadlines in Redis are too early, to be moved back.
    pub(super) fn move_back(&mut self, early: Vec<Kept>) {
        for kept in early {
            let (id, moved_from) = (kept.id, kept.moved_from);
            if !self.lost.contains(&id) {
                self.early.insert(id);
                self.left.entry(id).and_modify(|owed| owed.moved_from = moved_from).or_insert(kept);
            }
        }
    }

    /// Starts over for an outage that lasted until `end`.
    pub(super) fn begin_again(&mut self, end: Instant) {
        let (lost, early) = (&self.lost, &self.early);
        self.left.retain(|id, _| lost.contains(id) || early.contains(id));
        (self.began, self.end, self.has_all) = (end, Some(end), false);
    }

    /// What to ask the mirror for, to have `count` registrations ready: the end of the outage, and how many more.
    pub(super) fn lacks(&self, count: usize) -> Option<(Instant, usize)> {
        let end = self.end.filter(|_| !self.has_all && self.left.len() < count)?;
        Some((end, count - self.left.len()))
    }

    /// Takes the answer of the mirror.
    pub(super) fn owe(&mut self, settlement: Option<Settlement>) {
        match settlement {
            None => (self.end, self.has_all) = (None, true),
            Some(Settlement { moved, is_last }) => {
                self.has_all = is_last;
                self.left.extend(moved.into_iter().map(|kept| (kept.id, kept)));
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.has_all && self.left.is_empty()
    }

    /// Redis no longer has this registration. Unless it has expired, somebody deleted it.
    pub(super) fn note_gone(&mut self, id: TargetId, now: Instant) {
        if self.left.get(&id).is_some_and(|kept| !has_expired(kept, now)) {
            self.left.remove(&id);
        }
    }

    /// Redis has this with a deadline. Unless that is the owed one, somebody wrote it.
    pub(super) fn note_put(&mut self, id: TargetId, deadline: Option<Instant>) {
        if self.left.get(&id).is_some_and(|owed| owed.deadline != deadline) {
            self.left.remove(&id);
        }
    }

    /// Somebody wrote or deleted this meanwhile: it is not written.
    pub(super) fn forget(&mut self, id: TargetId) {
        self.left.remove(&id);
    }

    /// Whether Redis has it with a deadline that must be moved.
    pub(super) fn lives(&self, kept: &Kept, now: Instant) -> bool {
        kept.moved_from.is_some() && !has_expired(kept, now) && !self.lost.contains(&kept.id)
    }

    /// Takes the next registration. Leaves out expired ones, unless Redis would keep them for longer.
    pub(super) fn next(&mut self, now: Instant) -> Option<Kept> {
        let is_over = self.end.is_none();
        let left = iter::from_fn(|| self.left.pop_first());
        left.map(|(_, kept)| kept).find(|kept| {
            kept.deadline.is_none_or(|deadline| deadline > now) || (is_over && kept.moved_from > kept.deadline)
        })
    }

    pub(super) fn give_back(&mut self, kept: Kept) {
        self.left.insert(kept.id, kept);
    }
}

/// Whether a registration is in no store any more because it has expired, and only the outage keeps it.
fn has_expired(kept: &Kept, now: Instant) -> bool {
    kept.moved_from.is_some_and(|deadline| deadline <= now)
}

#[cfg(test)]
mod tests;
