//! All live registrations in memory: by id, by group, by deadline. It decides what is alive, by its own clock and by
//! what [`lifetime`](super::lifetime) says of outages, and what is fit to be shown. Stores write it through [`Mirror`];
//! time is passed in everywhere below that.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::{info, warn};
use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus::IntCounter;

use super::Selector;
use super::lifetime::{Ended, Horizon, Write};
use super::list::{List, Shown, Snapshot};
use crate::registration::{Content, DOCUMENT_BYTES_MAX, Document, LabelNames, TargetId, Ttl};
use crate::store::{Change, Comparison, Kept, Mirror};

/// How many ids of unfit documents are remembered, so that each is logged once.
const QUARANTINE_MAX: usize = 10_000;

/// How many deadlines are counted before others get at the view: some tens of microseconds.
const COUNTED_AT_ONCE: usize = 1_000;

/// What a view needs to know of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Which label names may be shown.
    pub names: LabelNames,
    /// The lifetime of registrations that have none of their own.
    pub ttl: Ttl,
    /// How long past its deadline a registration may be kept because of an outage.
    pub outage_keep: Duration,
}

/// The view is still being filled for the first time; what it holds is part of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotLoaded;

/// A list, and for how long it may have been out of date because of an outage.
#[derive(Debug)]
pub struct Discovered {
    /// The list.
    pub list: Arc<Snapshot>,
    /// `None` when it is up to date.
    pub stale: Option<Duration>,
}

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
    /// Counts what ran out.
    expired: IntCounter,
}

#[derive(Debug)]
struct State {
    loaded: bool,
    held: HashMap<TargetId, Held>,
    all: List,
    groups: HashMap<Arc<str>, List>,
    deadlines: BTreeSet<(Instant, TargetId)>,
    quarantined: HashSet<TargetId>,
    horizon: Horizon,
    /// Half of the longest lifetime seen: who has more left than this is not touched by the rule of outages.
    half_lifetime_max: Duration,
    /// How many ran out and are not counted yet.
    expired: u64,
}

#[derive(Debug)]
struct Held {
    content: Content,
    group: Arc<str>,
    /// The lifetime that each renewal starts anew.
    ttl: Ttl,
    /// When it runs out; `None` is never.
    deadline: Option<Instant>,
    updated_at: SystemTime,
    /// When the lifetime began, as far as the deadline told it when it was written.
    written_at: Option<Instant>,
}

/// A change whose value has been looked at, which needs no lock.
enum Checked {
    Put { id: TargetId, registration: Fit, deadline: Option<Instant> },
    Unfit { id: TargetId, why: String },
    Gone(TargetId),
    Deleted(TargetId),
}

struct Fit {
    content: Content,
    group: String,
    updated_at: SystemTime,
}

impl View {
    /// A view that is loading. What runs out is counted.
    pub fn new(rules: Rules, expired: IntCounter) -> View {
        let state = State {
            loaded: false,
            held: HashMap::new(),
            all: List::default(),
            groups: HashMap::new(),
            deadlines: BTreeSet::new(),
            quarantined: HashSet::new(),
            horizon: Horizon::new(rules.outage_keep),
            half_lifetime_max: Duration::ZERO,
            expired: 0,
        };
        View { rules, state: Mutex::new(state), first_loaded: Condvar::new(), expired }
    }

    /// The list of the registrations that are alive at `now`; of an unknown group it is empty.
    ///
    /// # Errors
    /// [`NotLoaded`] before the first full load: part of a list is a wrong list.
    pub fn list(&self, selector: Selector<'_>, now: Instant) -> Result<Discovered, NotLoaded> {
        let mut state = self.at(now);
        if !state.loaded {
            return Err(NotLoaded);
        }
        let list = match selector {
            Selector::All => state.all.snapshot(),
            Selector::Group(name) => {
                let list = state.groups.get_mut(name);
                list.map_or_else(|| List::default().snapshot(), List::snapshot)
            }
        };
        Ok(Discovered { list, stale: state.outage(now) })
    }

    /// A registration that is alive at `now`.
    pub fn registration(&self, id: TargetId, now: Instant) -> Option<Kept> {
        self.at(now).held.get(&id).map(|held| held.kept(id))
    }

    /// Whether the view was ever complete.
    pub fn is_loaded(&self) -> bool {
        self.state.lock().loaded
    }

    /// Returns when the view is complete for the first time, at the deadline at the latest.
    pub fn wait_until_loaded(&self, deadline: Instant) {
        let mut state = self.state.lock();
        self.first_loaded.wait_while_until(&mut state, |state| !state.loaded, deadline);
    }

    /// For how long owners have not been able to renew, if that is so.
    pub fn outage(&self, now: Instant) -> Option<Duration> {
        self.at(now).outage(now)
    }

    /// A registration was not stored: its owner lives, and could not renew.
    pub fn refused(&self, id: TargetId, now: Instant) {
        let mut state = self.at(now);
        let known = state.held.contains_key(&id).then_some(id);
        if state.horizon.refuse(known, now) {
            state.tell_of_outage();
        }
    }

    /// A registration that is shown although it ran out, because of an outage: the store may have it no more.
    pub fn kept(&self, id: TargetId, now: Instant) -> Option<Kept> {
        let state = self.at(now);
        state.outage(now)?;
        let held = state.held.get(&id).filter(|held| held.deadline.is_some_and(|deadline| deadline <= now))?;
        Some(held.kept(id))
    }

    /// Counts for the metrics.
    pub fn counts(&self, now: Instant) -> Counts {
        let state = self.at(now);
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

    /// The state as it is at this time: what has run out is gone, and an outage that has begun is known.
    fn at(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.check(now);
        state.expire(now);
        self.expired.inc_by(std::mem::take(&mut state.expired));
        state
    }

    /// The lifetime that each renewal starts anew.
    fn ttl_of(&self, content: &Content) -> Ttl {
        content.ttl().filter(|ttl| *ttl != Ttl::FOREVER).unwrap_or(self.rules.ttl)
    }

    fn check(&self, change: Change) -> Checked {
        match change {
            Change::Gone(id) => Checked::Gone(id),
            Change::Deleted(id) => Checked::Deleted(id),
            Change::Put { id, value, deadline } => match fit(&value, self.rules.names) {
                Ok(registration) => Checked::Put { id, registration, deadline },
                Err(why) => Checked::Unfit { id, why },
            },
        }
    }

    fn apply_at(&self, changes: Vec<Change>, now: Instant) {
        let checked: Vec<Checked> = changes.into_iter().map(|change| self.check(change)).collect();
        let mut state = self.at(now);
        for change in checked {
            match change {
                Checked::Put { id, registration, deadline } => {
                    // What never runs out needs no renewal, whatever its document says.
                    let ttl = deadline.map_or(Ttl::FOREVER, |_| self.ttl_of(&registration.content));
                    state.put(id, registration, ttl, deadline, now);
                }
                Checked::Unfit { id, why } => state.quarantine(id, &why),
                Checked::Gone(id) => state.remove_unless_expired(id, now),
                Checked::Deleted(id) => {
                    state.quarantined.remove(&id);
                    state.remove(id);
                }
            }
        }
    }

    fn loaded_at(&self, now: Instant) {
        let mut state = self.state.lock();
        state.loaded = true;
        state.horizon.begin(now);
        self.first_loaded.notify_all();
    }

    fn settle_at(&self, end: Instant) -> Option<Vec<Kept>> {
        let mut state = self.at(end);
        state.outage(end)?;
        let kept = if state.horizon.lengthens() { state.lengthened(end) } else { Vec::new() };
        let deadlines = kept.iter().filter_map(|kept| Some((kept.id, kept.deadline?))).collect();
        state.horizon.settle(end, deadlines);
        Some(kept)
    }

    fn writable_at(&self, at: Instant) {
        let mut state = self.at(at);
        if let Some(Ended { length, deadlines }) = state.horizon.prove(at) {
            let lengthened = deadlines.len();
            deadlines.into_iter().for_each(|(id, deadline)| state.lengthen(id, deadline));
            info!(seconds = length.as_secs_f64(), lengthened; "the store takes writes again");
        }
        drop(state);
        drop(self.at(at));
    }

    fn compare_with(&self, present: &HashSet<TargetId>, until: Instant) -> Comparison {
        let mut state = self.state.lock();
        state.quarantined.retain(|id| present.contains(id));
        let mut comparison = Comparison { missing: Vec::new(), latest_write: None, latest_update: None };
        for (id, held) in &state.held {
            if !present.contains(id) {
                comparison.missing.push(held.kept(*id));
            } else if held.written_at.is_none_or(|at| at <= until) {
                comparison.latest_write = comparison.latest_write.max(held.written_at);
                comparison.latest_update = comparison.latest_update.max(Some(held.updated_at));
            }
        }
        comparison
    }
}

impl Held {
    fn kept(&self, id: TargetId) -> Kept {
        let Held { content, deadline, updated_at, written_at, .. } = self;
        Kept { id, content: content.clone(), updated_at: *updated_at, deadline: *deadline, written_at: *written_at }
    }
}

impl State {
    fn outage(&self, now: Instant) -> Option<Duration> {
        self.horizon.outage_since().map(|since| now.saturating_duration_since(since))
    }

    fn check(&mut self, now: Instant) {
        if self.horizon.check(now) {
            self.tell_of_outage();
        }
    }

    fn tell_of_outage(&self) {
        warn!(registrations = self.all.len(); "the store takes no writes; serving the last good list, in which nothing runs out");
    }

    /// Drops what ran out.
    fn expire(&mut self, now: Instant) {
        let Some(until) = self.horizon.expired_until(now) else { return };
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > until {
                break;
            }
            self.remove(id);
            self.expired += 1;
        }
    }

    /// The registrations whose deadlines are moved if the outage ends now, with their new ones.
    fn lengthened(&self, end: Instant) -> Vec<Kept> {
        let concerned = self.deadlines.iter().take_while(|(deadline, _)| *deadline < end + self.half_lifetime_max);
        let lengthened = concerned.filter_map(|(deadline, id)| {
            let held = self.held.get(id)?;
            let new = self.horizon.lengthened(*id, *deadline, held.ttl.duration()?, end);
            (new > *deadline).then(|| Kept { deadline: Some(new), ..held.kept(*id) })
        });
        lengthened.collect()
    }

    /// Moves a deadline, unless a renewal has moved it further.
    fn lengthen(&mut self, id: TargetId, deadline: Instant) {
        let Some(held) = self.held.get_mut(&id) else { return };
        if let Some(old) = held.deadline.filter(|old| *old < deadline) {
            held.deadline = Some(deadline);
            self.deadlines.remove(&(old, id));
            self.deadlines.insert((deadline, id));
        }
    }

    fn put(&mut self, id: TargetId, fit: Fit, ttl: Ttl, deadline: Option<Instant>, now: Instant) {
        self.quarantined.remove(&id);
        let Fit { content, group, updated_at } = fit;
        if let Some(lifetime) = ttl.duration() {
            self.half_lifetime_max = self.half_lifetime_max.max(lifetime / 2);
        }
        let began = deadline.zip(ttl.duration()).and_then(|(deadline, lifetime)| deadline.checked_sub(lifetime));
        let old = self.held.get(&id);
        let is_news = old.is_none_or(|old| old.updated_at != updated_at || old.content != content);
        // A deadline that was moved since it was written does not tell when that was.
        let written_at = if is_news { began } else { old.and_then(|old| old.written_at).or(began) };
        self.horizon.note(Write { id, replaced: old.and_then(|old| old.deadline), began, is_news }, now);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        if let Some(held) = self.held.get_mut(&id)
            && held.content == content
        {
            // A renewal: nothing that is rendered has changed.
            let old = std::mem::replace(&mut held.deadline, deadline);
            (held.ttl, held.updated_at, held.written_at) = (ttl, updated_at, written_at);
            self.forget_deadline(id, old, deadline);
            return;
        }
        self.all.insert(Shown { id, content: content.clone() });
        let group = self.join_group(&group, Shown { id, content: content.clone() });
        let held = Held { content, group, ttl, deadline, updated_at, written_at };
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

    /// A store drops what ran out by itself; here that is decided by the horizon.
    fn remove_unless_expired(&mut self, id: TargetId, now: Instant) {
        self.quarantined.remove(&id);
        let has_run_out = |held: &Held| held.deadline.is_some_and(|deadline| deadline <= now);
        if !self.held.get(&id).is_some_and(has_run_out) {
            self.remove(id);
        }
    }

    fn quarantine(&mut self, id: TargetId, why: &str) {
        self.remove(id);
        if self.quarantined.len() < QUARANTINE_MAX && self.quarantined.insert(id) {
            warn!(id:% = id, reason = why; "a stored value is not fit to be shown and is left out of all lists");
        }
    }
}

/// What a stored value has to say, or why it cannot be shown.
fn fit(value: &[u8], names: LabelNames) -> Result<Fit, String> {
    if value.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("larger than {DOCUMENT_BYTES_MAX} bytes, which no registration is"));
    }
    let document = Document::decode(value).map_err(|e| e.to_string())?;
    let updated_at = document.updated_at().unwrap_or(SystemTime::UNIX_EPOCH);
    let registration = document.into_registration(names).map_err(|e| e.to_string())?;
    Ok(Fit { content: Content::new(&registration), group: registration.group().to_owned(), updated_at })
}

/// The edge where stores come in.
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

    fn settle(&self, end: Instant) -> Option<Vec<Kept>> {
        self.settle_at(end)
    }

    fn writable(&self, at: Instant) {
        self.writable_at(at);
    }

    fn next_expiry(&self) -> Option<Instant> {
        self.state.lock().deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn compare(&self, present: &HashSet<TargetId>, until: Instant) -> Comparison {
        self.compare_with(present, until)
    }
}

#[cfg(test)]
mod tests;
