//! All live registrations in memory: by id, by group, by deadline. The view decides what is alive, by its own clock and
//! the rule of [`outage`](super::outage), and what is fit to be shown. Stores write it through [`Mirror`]; below that,
//! time is passed in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::info;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::allowance::Unanswered;
use super::change_log::Author;
use super::deletions::{Deleted, Present};
use super::diagnostics::Reckonings;
use super::list::Snapshot;
use super::metrics::Departures;
use super::outage::Ended;
use super::selections::Selections;
use super::state::{Live, QUARANTINED_BYTES_MAX, Quarantined, State, Written, began};
use crate::registration::{Content, DOCUMENT_BYTES_MAX, LabelNames, TargetId, Ttl, read_stored};
use crate::store::{Change, Comparison, Kept, Mirror, Missing, Outdated, Settlement, Stored};

/// The time at which a request came in.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Instant,
    /// For times that are stored or shown.
    pub wall: SystemTime,
}

impl Now {
    pub fn read() -> Now {
        Now { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// The wall clock time of an instant.
    pub fn wall_at(self, at: Instant) -> Option<SystemTime> {
        match at.checked_duration_since(self.monotonic) {
            Some(later) => self.wall.checked_add(later),
            None => self.wall.checked_sub(self.monotonic.duration_since(at)),
        }
    }
}

/// The settings of a view.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub names: LabelNames,
    /// The lifetime of registrations that have none of their own.
    pub ttl: Ttl,
    /// How long past its deadline a registration may be kept because of an outage.
    pub outage_keep: Duration,
    /// Whether metrics may name groups.
    pub shows_groups: bool,
}

#[cfg(test)]
impl Rules {
    /// The settings of a server without configuration.
    pub(crate) const USUAL: Rules = Rules {
        names: crate::registration::LabelNames::Legacy,
        ttl: Ttl::DEFAULT,
        outage_keep: Duration::from_secs(24 * 3600),
        shows_groups: true,
    };
}

/// How long after an outage a deleted value that is back counts as put back by a server that has not heard of the
/// deletion, and not as written by somebody.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// A list, and for how long it may have been out of date because of an outage.
#[derive(Debug)]
pub struct Discovered {
    pub list: Arc<Snapshot>,
    /// `None` if it is up to date.
    pub stale: Option<Duration>,
}

/// Counts for the metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub registrations: usize,
    pub groups: usize,
    /// Stored values that are not fit to be shown.
    pub quarantined: usize,
    pub selections: usize,
    /// Their size in bytes.
    pub selection_bytes: usize,
}

#[derive(Debug)]
pub struct View {
    pub rules: Rules,
    state: Mutex<State>,
    first_loaded: Condvar,
    pub(super) selections: Selections,
    /// The epoch by which pages turn instants into numbers that are the same on every page.
    pub(super) epoch: Now,
    pub(super) reckonings: Reckonings,
}

/// A change whose value has been checked, without a lock.
enum Checked {
    Put { id: TargetId, written: Written },
    Unfit { id: TargetId, value: Quarantined },
    Gone(TargetId),
    Deleted { id: TargetId, by: Author },
}

impl View {
    pub(super) fn new(rules: Rules, metrics: &prometheus::Registry) -> View {
        let departures = Departures::new(metrics, rules.shows_groups);
        View {
            rules,
            state: Mutex::new(State::new(rules.outage_keep, departures)),
            first_loaded: Condvar::new(),
            selections: Selections::new(metrics),
            epoch: Now::read(),
            reckonings: Reckonings::default(),
        }
    }

    /// A list that is kept as long as the server runs, of a group or of everything, as it is at `now`. The list of an
    /// unknown group is empty.
    ///
    /// # Errors
    /// [`Unanswered::NotLoaded`] before the first full load: part of a list is a wrong list.
    pub fn kept_list(&self, group: Option<&str>, now: Instant) -> Result<Discovered, Unanswered> {
        let mut state = self.at(now);
        if !state.loaded {
            return Err(Unanswered::NotLoaded);
        }
        let list = state.lists.snapshot(group);
        Ok(Discovered { list, stale: state.outage(now) })
    }

    pub fn is_loaded(&self) -> bool {
        self.state.lock().loaded
    }

    /// Waits until the view is complete for the first time, or until the deadline.
    pub fn wait_until_loaded(&self, deadline: Instant) {
        let mut state = self.state.lock();
        self.first_loaded.wait_while_until(&mut state, |state| !state.loaded, deadline);
    }

    /// How long the present outage has lasted, if there is one.
    pub fn outage(&self, now: Instant) -> Option<Duration> {
        self.at(now).outage(now)
    }

    /// A write of this registration was refused: its owner lives, and could not renew. Without an outage that concerns
    /// nobody else, and nobody is told.
    pub fn refused(&self, id: TargetId, is_outage: bool, now: Instant) {
        let mut state = self.at(now);
        let known = state.held.contains_key(&id).then_some(id);
        state.horizon.refuse(known, now);
        if is_outage && state.horizon.tell() {
            state.tell_of_outage();
        }
    }

    /// A registration as it is shown, if there was an outage since the store was `asked`: it may have said that it has
    /// none, because this one expired or was lost and was not put back yet.
    pub fn kept(&self, id: TargetId, asked: Instant, now: Instant) -> Option<Kept> {
        let state = self.at(now);
        let held = state.held.get(&id).filter(|_| state.horizon.had_outage(asked));
        held.map(|held| held.kept(id))
    }

    pub fn counts(&self, now: Instant) -> Counts {
        let (selections, selection_bytes) = self.selections.size();
        let state = self.at(now);
        Counts {
            registrations: state.held.len(),
            groups: state.lists.group_count(),
            quarantined: state.quarantined.len(),
            selections,
            selection_bytes,
        }
    }

    /// The state as it was left, for reads that do not depend on time.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The state at this time: expired registrations are gone, and an outage that has begun is known.
    pub(super) fn at(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.check(now);
        state.expire(now);
        state
    }

    /// The content of a stored value, and when its owner last wrote it, if the value says so; or why it cannot be
    /// shown.
    pub(super) fn read(&self, value: &[u8]) -> Result<(Content, Option<SystemTime>), String> {
        if value.len() > DOCUMENT_BYTES_MAX {
            return Err(format!("larger than {DOCUMENT_BYTES_MAX} bytes"));
        }
        read_stored(value, self.rules.names)
    }

    fn check(&self, change: Change) -> Checked {
        let (id, stored, deadline, original) = match change {
            Change::Put { id, stored, deadline, original } => (id, stored, deadline, original),
            Change::Gone(id) => return Checked::Gone(id),
            Change::Deleted { id, by } => return Checked::Deleted { id, by: by.into() },
        };
        let (content, updated_at, by) = match stored {
            Stored::Own { content, updated_at, by } => (content, Some(updated_at), by.into()),
            Stored::Read(mut value) => match self.read(&value) {
                Ok((content, updated_at)) => (content, updated_at, Author::AnotherServer),
                Err(reason) => {
                    value.truncate(QUARANTINED_BYTES_MAX);
                    // Without the memory that the whole value took.
                    return Checked::Unfit { id, value: Quarantined { reason, value: value.into() } };
                }
            },
        };
        let own = content.ttl().filter(|ttl| *ttl != Ttl::FOREVER);
        // A registration that never expires needs no renewal, whatever its document says.
        let ttl = deadline.map_or(Ttl::FOREVER, |_| own.unwrap_or(self.rules.ttl));
        // Documents have the time in whole seconds. Without a time, a document counts as written at the beginning of
        // the epoch.
        let since = updated_at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        let updated_at = SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs());
        let age = SystemTime::now().duration_since(updated_at).ok();
        Checked::Put { id, written: Written { content, updated_at, age, ttl, deadline, original, by } }
    }

    fn apply_at(&self, changes: Vec<Change>, now: Instant) {
        let checked: Vec<Checked> = changes.into_iter().map(|change| self.check(change)).collect();
        let mut state = self.at(now);
        for change in checked {
            match change {
                Checked::Put { id, written } => state.put(id, written, now),
                Checked::Unfit { id, value } => state.quarantine(id, value, now),
                Checked::Gone(id) => state.remove_unless_expired(id, now),
                Checked::Deleted { id, by } => state.delete(id, by, now),
            }
        }
    }

    fn take_outdated_at(&self, changes: &mut Vec<Change>, with_deleted: bool, now: Instant) -> Vec<Outdated> {
        // Values that this server wrote are never outdated, so the view need not be locked for them.
        if !changes.iter().any(|change| change.read().is_some()) {
            return Vec::new();
        }
        let state = self.at(now);
        let had_outage = now.checked_sub(BACK_WITHIN).is_some_and(|since| state.horizon.had_outage(since));
        let of_deleted = |change: &Change| Some((change.id(), state.deletions.get(change.id())?));
        let deleted: HashMap<TargetId, Deleted> = match with_deleted && had_outage {
            true => changes.iter().filter_map(of_deleted).collect(),
            false => HashMap::new(),
        };
        let kept = |change: &Change| state.kept_past_its_deadline(change.id(), now);
        let expired: HashMap<TargetId, Kept> = match state.outage(now) {
            Some(_) => changes.iter().filter_map(kept).map(|kept| (kept.id, kept)).collect(),
            None => HashMap::new(),
        };
        drop(state);
        let is_deleted = |change: &mut Change| {
            let deleted = deleted.get(&change.id()).filter(|_| change.read().is_some());
            deleted.is_some_and(|deleted| self.present(change).is_some_and(|present| deleted.is(&present)))
        };
        let gone = changes.extract_if(.., is_deleted).filter_map(|change| Outdated::of(change, None));
        let mut outdated: Vec<Outdated> = gone.collect();
        let is_older = |change: &mut Change| match (change.read(), expired.get(&change.id())) {
            (Some(value), Some(kept)) => {
                matches!(self.read(value), Ok((_, Some(updated_at))) if updated_at < kept.updated_at)
            }
            _ => false,
        };
        let older = changes.extract_if(.., is_older);
        outdated.extend(older.filter_map(|change| {
            let newer = expired.get(&change.id()).cloned();
            Outdated::of(change, newer)
        }));
        outdated
    }

    /// What this change says the store has; `None` if that is unfit.
    fn present(&self, change: &Change) -> Option<Present> {
        match self.check(change.clone()) {
            Checked::Put { id, written: Written { content, updated_at, deadline, ttl, .. } } => {
                let document = content.document(id, updated_at);
                Some(Present { began: began(deadline, ttl), document, updated_at })
            }
            _ => None,
        }
    }

    fn loaded_at(&self, now: Instant) {
        let mut state = self.state.lock();
        state.load(now);
        state.horizon.begin(now);
        self.first_loaded.notify_all();
    }
}

/// The side of the view that stores see.
impl Mirror for View {
    fn apply(&self, changes: Vec<Change>) {
        self.apply_at(changes, Instant::now());
    }

    fn loaded(&self) {
        self.loaded_at(Instant::now());
    }

    fn interrupted(&self, since: Instant) {
        self.state.lock().horizon.interrupt(since);
    }

    fn settle(&self, end: Instant, count: usize) -> Option<Settlement> {
        self.at(end).settle(end, count)
    }

    fn moved(&self, moved: &[Kept]) {
        if !moved.is_empty() {
            self.lock().moved(moved);
        }
    }

    fn settled(&self, end: Instant) {
        let ended = self.lock().horizon.settled(end, Instant::now());
        let Some(Ended { length, moved, is_told }) = ended else { return };
        let seconds = length.as_secs_f64();
        if is_told {
            info!(seconds, moved; "the store takes writes again");
        } else if moved > 0 {
            info!(seconds, moved; "nobody could renew for a while; deadlines are moved");
        }
    }

    fn writable(&self, at: Instant) {
        let mut state = self.lock();
        // From now on registrations expire, even while others are still being loaded.
        state.deadlines();
        state.check(at);
        state.horizon.prove(at);
        state.expire(at);
        drop(state);
        self.selections.forget_unused(at);
    }

    fn trouble(&self, now: Instant, wait: Duration) {
        self.lock().horizon.trouble(now, wait);
    }

    fn restored(&self, ids: &[TargetId]) {
        if !ids.is_empty() {
            self.at(Instant::now()).restored(ids, Instant::now());
        }
    }

    fn take_outdated(&self, changes: &mut Vec<Change>, deleted: bool) -> Vec<Outdated> {
        self.take_outdated_at(changes, deleted, Instant::now())
    }

    fn expired_until(&self) -> Option<Instant> {
        self.state.lock().horizon.expired_until(Instant::now())
    }

    fn next_expiry(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        let first = state.deadlines().first().map(|(deadline, _)| *deadline);
        first.map(|deadline| state.horizon.expires_at(deadline))
    }

    fn lifetimes(&self, of: Option<&[TargetId]>) -> Vec<Kept> {
        let state = self.state.lock();
        let kept = |(id, held): (&TargetId, &Live)| held.deadline.map(|_| held.kept(*id));
        match of {
            Some(ids) => ids.iter().filter_map(|id| kept((id, state.held.get(id)?))).collect(),
            None => state.held.iter().filter_map(kept).collect(),
        }
    }

    fn forget_deletions(&self) {
        self.state.lock().deletions.forget_all();
    }

    fn living_after(&self, at: Instant) -> HashSet<TargetId> {
        let state = self.state.lock();
        let lives = |(_, held): &(&TargetId, &Live)| held.deadline.is_none_or(|deadline| deadline > at);
        state.held.iter().filter(lives).map(|(id, _)| *id).collect()
    }

    fn compare(&self, present: &HashSet<TargetId>, until: Instant, before: Option<&HashSet<TargetId>>) -> Comparison {
        let mut state = self.state.lock();
        state.quarantined.retain(|id, _| present.contains(id));
        let shown = before.map_or(state.held.len(), HashSet::len);
        let mut comparison =
            Comparison { missing: Vec::new(), shown, known: 0, latest_write: None, latest_update: None };
        for (id, held) in &state.held {
            if !present.contains(id) {
                let lifetime = [held.ttl, self.rules.ttl, Ttl::DEFAULT].into_iter().find_map(Ttl::duration);
                let half_lifetime = lifetime.unwrap_or_default() / 2;
                comparison.missing.push(Missing { kept: held.kept(*id), half_lifetime });
                continue;
            }
            let is_old = held.written_at.is_none_or(|at| at <= until);
            let was_held = before.is_none_or(|before| before.contains(id));
            comparison.shown += usize::from(is_old && !was_held);
            comparison.known += usize::from(is_old || was_held);
            // The same document may have been written again, in the same second.
            let is_again = began(held.deadline, held.ttl).is_some_and(|at| at > until);
            if is_old && !held.is_moved && !is_again {
                comparison.latest_write = comparison.latest_write.max(held.written_at);
                comparison.latest_update = comparison.latest_update.max(Some(held.updated_at));
            }
        }
        comparison
    }
}

#[cfg(test)]
mod tests;
