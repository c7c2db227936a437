//! All live registrations in memory: by id, by group, by deadline. It decides what is alive by its own clock,
//! and what is fit to be shown. Stores write it through [`Mirror`]; time is passed in everywhere below that.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::{info, warn};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::list::{List, Shown, Snapshot};
use crate::registration::{Content, Document, LabelNames, TargetId, Ttl};
use crate::store::{Change, Mirror, Missing};

/// How many ids of unfit documents are remembered, so that each is logged once.
const QUARANTINE_MAX: usize = 10_000;

/// How many deadlines are counted before others get at the view: some tens of microseconds.
const COUNTED_AT_ONCE: usize = 1_000;

/// How much earlier than here a store may see a lifetime end.
const EXPIRY_AHEAD_MAX: Duration = Duration::from_secs(1);

/// What a view needs to know of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Which label names may be shown.
    pub names: LabelNames,
    /// The lifetime of registrations: owners renew at least this often, so it is the grace after an outage.
    pub ttl: Ttl,
    /// How long past its deadline a registration may be kept because of an outage.
    pub outage_keep: Duration,
}

/// The view is still being filled for the first time; what it holds is part of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotLoaded;

/// Counts for the metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Live registrations.
    pub registrations: usize,
    /// Groups with at least one of them.
    pub groups: usize,
    /// Stored values that are not fit to be shown.
    pub quarantined: usize,
}

/// All live registrations.
#[derive(Debug)]
pub struct View {
    rules: Rules,
    state: Mutex<State>,
    first_loaded: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<TargetId, Held>,
    all: List,
    groups: HashMap<Arc<str>, List>,
    deadlines: BTreeSet<(Instant, TargetId)>,
    quarantined: HashSet<TargetId>,
    freshness: Freshness,
    /// Ran out, and the store has not been told.
    expired: Vec<TargetId>,
}

#[derive(Debug)]
struct Held {
    content: Content,
    group: Arc<str>,
    /// When it stops being shown; `None` is never.
    deadline: Option<Instant>,
    /// The deadline was put off because its owner could not renew it.
    on_grace: bool,
    updated_at: SystemTime,
}

impl Held {
    /// Shown although its lifetime is over.
    fn is_kept(&self, now: Instant) -> bool {
        self.on_grace || self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    #[default]
    Loading,
    Fresh,
    /// The store was lost at this time; nothing that ran out since could be renewed.
    Stale(Instant),
}

/// A change whose value has been looked at, which needs no lock.
enum Checked {
    Put { id: TargetId, registration: Fit, expires_in: Option<Duration> },
    Unfit { id: TargetId, why: String },
    Remove(TargetId),
}

struct Fit {
    content: Content,
    group: String,
    updated_at: SystemTime,
}

impl View {
    /// A view that is loading.
    pub fn new(rules: Rules) -> View {
        View { rules, state: Mutex::default(), first_loaded: Condvar::new() }
    }

    /// The list of all registrations that are alive at `now`, and for how long it may have been out of date.
    ///
    /// # Errors
    /// [`NotLoaded`] before the first full load: part of a list is a wrong list.
    pub fn all(&self, now: Instant) -> Result<(Arc<Snapshot>, Option<Duration>), NotLoaded> {
        let mut state = self.state.lock();
        let stale = state.stale_for(now)?;
        state.expire(now, self.rules);
        Ok((state.all.snapshot(), stale))
    }

    /// The list of one group, like [`View::all`]; an unknown group is empty.
    ///
    /// # Errors
    /// [`NotLoaded`], as above.
    pub fn group(&self, name: &str, now: Instant) -> Result<(Arc<Snapshot>, Option<Duration>), NotLoaded> {
        let mut state = self.state.lock();
        let stale = state.stale_for(now)?;
        state.expire(now, self.rules);
        let list = state.groups.get_mut(name);
        Ok((list.map_or_else(|| List::default().snapshot(), List::snapshot), stale))
    }

    /// Whether the view was ever complete.
    pub fn is_loaded(&self) -> bool {
        self.state.lock().freshness != Freshness::Loading
    }

    /// Returns when the view is complete for the first time, at the deadline at the latest.
    pub fn wait_until_loaded(&self, deadline: Instant) {
        let mut state = self.state.lock();
        let loading = |state: &mut State| state.freshness == Freshness::Loading;
        self.first_loaded.wait_while_until(&mut state, loading, deadline);
    }

    /// Stops showing an id that is kept beyond its lifetime because of an outage; `false` when it is not one of these.
    /// The store cannot do it, because the id is gone from there.
    pub fn remove_kept(&self, id: TargetId, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.expire(now, self.rules);
        let kept = state.held.get(&id).is_some_and(|held| held.is_kept(now));
        if kept {
            state.remove(id);
        }
        kept
    }

    /// Drops what ran out and returns all ids that ran out since the last call.
    pub fn expire(&self, now: Instant) -> Vec<TargetId> {
        let mut state = self.state.lock();
        state.expire(now, self.rules);
        std::mem::take(&mut state.expired)
    }

    /// Counts for the metrics.
    pub fn counts(&self, now: Instant) -> Counts {
        let mut state = self.state.lock();
        state.expire(now, self.rules);
        Counts { registrations: state.all.len(), groups: state.groups.len(), quarantined: state.quarantined.len() }
    }

    /// How many registrations run out within `span`, unless they are renewed.
    pub fn expiring_within(&self, span: Duration, now: Instant) -> usize {
        let Some(end) = now.checked_add(span) else { return 0 };
        let (mut count, mut from) = (0, Bound::Unbounded);
        let mut state = self.state.lock();
        loop {
            let mut several = 0;
            for deadline in state.deadlines.range((from, Bound::Included((end, TargetId::MAX)))).take(COUNTED_AT_ONCE) {
                from = Bound::Excluded(*deadline);
                several += 1;
            }
            count += several;
            if several < COUNTED_AT_ONCE {
                return count;
            }
            // Polls do not wait until all of them are counted.
            MutexGuard::bump(&mut state);
        }
    }

    fn check(&self, change: Change) -> Checked {
        match change {
            Change::Remove(id) => Checked::Remove(id),
            Change::Put { id, value, expires_in } => match fit(&value, self.rules.names) {
                Ok(registration) => Checked::Put { id, registration, expires_in },
                Err(why) => Checked::Unfit { id, why },
            },
        }
    }

    fn apply_at(&self, changes: Vec<Change>, now: Instant) {
        let checked: Vec<Checked> = changes.into_iter().map(|change| self.check(change)).collect();
        let mut state = self.state.lock();
        for change in checked {
            match change {
                Checked::Put { id, registration, expires_in } => state.put(id, registration, expires_in, now),
                Checked::Unfit { id, why } => state.quarantine(id, &why),
                Checked::Remove(id) => state.remove_unless_expired(id, now),
            }
        }
    }

    fn loaded_at(&self, now: Instant) {
        let mut state = self.state.lock();
        self.first_loaded.notify_all();
        if let Freshness::Stale(since) = std::mem::replace(&mut state.freshness, Freshness::Fresh) {
            let kept = state.grant_grace(since, now, self.rules);
            info!(seconds = now.duration_since(since).as_secs(), kept = kept; "the store is back");
        }
    }

    fn lost_at(&self, now: Instant) {
        let mut state = self.state.lock();
        state.expire(now, self.rules);
        if state.freshness == Freshness::Fresh {
            state.freshness = Freshness::Stale(now);
            warn!(registrations = state.all.len(); "the store is lost, serving the last good list");
        }
    }

    fn missing_from_at(&self, present: &HashSet<TargetId>, now: Instant) -> Vec<Missing> {
        let mut state = self.state.lock();
        state.quarantined.retain(|id| present.contains(id));
        let mut missing = Vec::new();
        for (id, held) in state.held.iter().filter(|(id, _)| !present.contains(*id)) {
            // What ran out is gone from every store; whether it is still shown is the view's own affair.
            if held.is_kept(now) {
                continue;
            }
            missing.push(Missing {
                id: *id,
                document: held.content.document(*id, held.updated_at),
                expires_in: held.deadline.map(|deadline| deadline - now),
            });
        }
        missing
    }
}

impl State {
    fn stale_for(&self, now: Instant) -> Result<Option<Duration>, NotLoaded> {
        match self.freshness {
            Freshness::Loading => Err(NotLoaded),
            Freshness::Fresh => Ok(None),
            Freshness::Stale(since) => Ok(Some(now.saturating_duration_since(since))),
        }
    }

    /// Drops what ran out. While the store is lost nobody can renew, so that only what is past all keeping goes.
    fn expire(&mut self, now: Instant, rules: Rules) {
        let due = match self.freshness {
            Freshness::Stale(_) => now.checked_sub(rules.outage_keep),
            Freshness::Loading | Freshness::Fresh => Some(now),
        };
        let Some(due) = due else { return };
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > due {
                break;
            }
            self.remove(id);
            self.expired.push(id);
        }
    }

    fn put(&mut self, id: TargetId, fit: Fit, expires_in: Option<Duration>, now: Instant) {
        self.quarantined.remove(&id);
        let Fit { content, group, updated_at } = fit;
        // A lifetime beyond what the clock can represent never ends.
        let deadline = expires_in.and_then(|rest| now.checked_add(rest));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        if let Some(held) = self.held.get_mut(&id)
            && held.content == content
        {
            // A renewal: nothing that is rendered has changed.
            let old = std::mem::replace(&mut held.deadline, deadline);
            held.on_grace = false;
            held.updated_at = updated_at;
            self.forget_deadline(id, old, deadline);
            return;
        }
        self.all.insert(Shown { id, content: content.clone() });
        let group = self.join_group(&group, Shown { id, content: content.clone() });
        let held = Held { content, group, deadline, on_grace: false, updated_at };
        if let Some(old) = self.held.insert(id, held) {
            self.forget_deadline(id, old.deadline, deadline);
            if self.held.get(&id).is_some_and(|held| held.group != old.group) {
                self.leave_group(&old.group, id);
            }
        }
    }

    fn forget_deadline(&mut self, id: TargetId, old: Option<Instant>, new: Option<Instant>) {
        if let Some(old) = old.filter(|_| old != new) {
            self.deadlines.remove(&(old, id));
        }
    }

    fn join_group(&mut self, name: &str, shown: Shown) -> Arc<str> {
        let name = match self.groups.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => Arc::from(name),
        };
        self.groups.entry(name.clone()).or_default().insert(shown);
        name
    }

    fn leave_group(&mut self, name: &str, id: TargetId) {
        if let Some(group) = self.groups.get_mut(name) {
            group.remove(id);
            if group.len() == 0 {
                self.groups.remove(name);
            }
        }
    }

    fn remove(&mut self, id: TargetId) {
        if let Some(held) = self.held.remove(&id) {
            self.all.remove(id);
            self.leave_group(&held.group, id);
            self.forget_deadline(id, held.deadline, None);
        }
    }

    /// A store drops what ran out by itself; here that is decided by the clock and by what an outage allows.
    fn remove_unless_expired(&mut self, id: TargetId, now: Instant) {
        self.quarantined.remove(&id);
        // A store that still speaks, and only cannot be written to, may be ahead of this clock.
        let now = if let Freshness::Stale(_) = self.freshness { now + EXPIRY_AHEAD_MAX } else { now };
        if !self.held.get(&id).is_some_and(|held| held.is_kept(now)) {
            self.remove(id);
        }
    }

    fn quarantine(&mut self, id: TargetId, why: &str) {
        self.remove(id);
        if self.quarantined.len() < QUARANTINE_MAX && self.quarantined.insert(id) {
            warn!(id:% = id, reason = why; "a stored value is not fit to be shown and is left out of all lists");
        }
    }

    /// Puts off the deadlines that passed during an outage, so that owners have time to renew; returns how many.
    fn grant_grace(&mut self, since: Instant, now: Instant, rules: Rules) -> usize {
        let passed: Vec<_> = self.deadlines.range((since, TargetId::NIL)..=(now, TargetId::MAX)).copied().collect();
        let grace = rules.ttl.duration().unwrap_or(rules.outage_keep);
        let before = self.held.len();
        for &(deadline, id) in &passed {
            let kept_until = (now + grace.min(rules.outage_keep)).min(deadline + rules.outage_keep);
            if let Some(held) = self.held.get_mut(&id) {
                held.deadline = Some(kept_until);
                held.on_grace = true;
                self.deadlines.remove(&(deadline, id));
                self.deadlines.insert((kept_until, id));
            }
        }
        self.expire(now, rules);
        passed.len().saturating_sub(before - self.held.len())
    }
}

/// What a stored value has to say, or why it cannot be shown.
fn fit(value: &[u8], names: LabelNames) -> Result<Fit, String> {
    let document = Document::decode(value).map_err(|e| e.to_string())?;
    let updated_at = document.updated_at().unwrap_or(SystemTime::UNIX_EPOCH);
    let registration = document.into_registration(names).map_err(|e| e.to_string())?;
    Ok(Fit { content: Content::new(&registration), group: registration.group().to_owned(), updated_at })
}

/// The edge where stores come in: here the clock is read.
impl Mirror for View {
    fn apply(&self, changes: Vec<Change>) {
        self.apply_at(changes, Instant::now());
    }

    fn loaded(&self) {
        self.loaded_at(Instant::now());
    }

    fn lost(&self) {
        self.lost_at(Instant::now());
    }

    fn missing_from(&self, present: &HashSet<TargetId>) -> Vec<Missing> {
        self.missing_from_at(present, Instant::now())
    }
}

#[cfg(test)]
mod tests;
