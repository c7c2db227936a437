//! What a view holds, and how a change becomes visible in all of it. One lock is around it; time is passed in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::warn;

use super::change_log::{Action, Author, ChangeLog, LoggedChange};
use super::deletions::Deletions;
use super::kept_lists::KeptLists;
use super::list::Listed;
use super::metrics::Departures;
use super::outage::{Horizon, SeenWrite};
use crate::registration::{Content, TargetId, Ttl};
use crate::store::{Kept, SETTLED_BYTES, Settlement};

/// How many unfit values are remembered, so that each is logged once for each reason.
const QUARANTINE_MAX: usize = 10_000;

/// How exactly a deadline is known.
pub(super) const DEADLINE_PRECISION: Duration = Duration::from_secs(1);

/// How much of an unfit value is remembered.
pub(super) const QUARANTINED_BYTES_MAX: usize = 512;

#[derive(Debug)]
pub(super) struct State {
    /// Until then nobody sees the lists, and they are empty.
    pub(super) loaded: bool,
    pub(super) held: HashMap<TargetId, Live>,
    pub(super) lists: KeptLists,
    /// `None` while the view is being loaded and nobody has asked for them: sorting all at once costs much less.
    pub(super) deadlines: Option<BTreeSet<(Instant, TargetId)>>,
    /// The latest expiry of the registrations whose deadlines outages have moved, the first one first.
    limits: BTreeSet<(Instant, TargetId)>,
    /// The last deadline that the settlement under way has looked at.
    settled_to: Option<(Instant, TargetId)>,
    pub(super) quarantined: BTreeMap<TargetId, Arc<Quarantined>>,
    pub(super) horizon: Horizon,
    pub(super) log: ChangeLog,
    pub(super) deletions: Deletions,
    /// Half of the longest lifetime seen. The rule of outages does not touch a registration with more time left than
    /// this.
    half_lifetime_max: Duration,
    pub(super) departures: Departures,
}

/// A stored value that is left out of all lists.
#[derive(Debug, Clone)]
pub struct Quarantined {
    pub reason: String,
    /// How it begins, at most [`QUARANTINED_BYTES_MAX`] bytes.
    pub value: Box<[u8]>,
}

#[derive(Debug)]
pub(super) struct Live {
    pub(super) content: Content,
    pub(super) group: Arc<str>,
    pub(super) ttl: Ttl,
    pub(super) deadline: Option<Instant>,
    /// The deadline that its owner gave it, if outages have moved it since.
    pub(super) original: Option<Instant>,
    /// In whole seconds; the beginning of the epoch if the document does not say it.
    pub(super) updated_at: SystemTime,
    /// When the lifetime began, by the deadline that it had when it was written.
    pub(super) written_at: Option<Instant>,
    /// The deadline was moved although the document stayed: by another server, or by somebody who wrote the same again.
    pub(super) is_moved: bool,
    pub(super) rhythm: Rhythm,
}

/// The interval between renewals, from which the next one can be expected. A change is not a renewal, and one gap is
/// not an interval.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rhythm {
    /// The whole seconds between the last two renewals; 0 when there were none.
    pub(super) last_gap: u32,
    /// The gap that two renewals in a row kept; 0 when none did.
    pub(super) interval_seconds: u32,
}

impl Rhythm {
    /// The rhythm with one more renewal, `gap` seconds after the write before it.
    fn and(self, gap: u32) -> Rhythm {
        let is_alike = self.last_gap > 0 && gap.abs_diff(self.last_gap) <= 1 + gap.max(self.last_gap) / 5;
        Rhythm { last_gap: gap, interval_seconds: if is_alike { gap } else { self.interval_seconds } }
    }
}

/// A registration that was written, as a store shows it. See [`Live`].
pub(super) struct Written {
    pub(super) content: Content,
    /// In whole seconds; the beginning of the epoch if the document does not say it.
    pub(super) updated_at: SystemTime,
    /// How long ago that was, by the owner's clock.
    pub(super) age: Option<Duration>,
    pub(super) ttl: Ttl,
    pub(super) deadline: Option<Instant>,
    pub(super) original: Option<Instant>,
    pub(super) by: Author,
}

impl Live {
    pub(super) fn kept(&self, id: TargetId) -> Kept {
        let Live { content, deadline, updated_at, written_at, .. } = self;
        let (content, updated_at, deadline, written_at) = (content.clone(), *updated_at, *deadline, *written_at);
        Kept { id, content, updated_at, deadline, moved_from: None, written_at }
    }

    /// When its owner last wrote it, if the document says it.
    pub(super) fn known_update(&self) -> Option<SystemTime> {
        Some(self.updated_at).filter(|at| *at > SystemTime::UNIX_EPOCH)
    }

    /// The rhythm after this write. A repeated write and a change do not affect it.
    fn rhythm(&self, content: &Content, updated_at: SystemTime) -> Rhythm {
        let since = updated_at.duration_since(self.updated_at).map_or(0, |since| since.as_secs());
        let is_known = self.updated_at > SystemTime::UNIX_EPOCH && self.content == *content;
        match u32::try_from(since) {
            Ok(gap) if gap > 0 && is_known => self.rhythm.and(gap),
            _ => self.rhythm,
        }
    }
}

impl State {
    pub(super) fn new(outage_keep: Duration, departures: Departures) -> State {
        State {
            loaded: false,
            held: HashMap::new(),
            lists: KeptLists::default(),
            deadlines: None,
            limits: BTreeSet::new(),
            settled_to: None,
            quarantined: BTreeMap::new(),
            horizon: Horizon::new(outage_keep),
            log: ChangeLog::default(),
            deletions: Deletions::default(),
            half_lifetime_max: Duration::ZERO,
            departures,
        }
    }

    /// Builds the lists once everything has been put for the first time.
    pub(super) fn load(&mut self, now: Instant) {
        let shown =
            |(id, held): (&TargetId, &Live)| (Listed { id: *id, content: held.content.clone() }, held.group.clone());
        self.lists.fill(self.held.iter().map(shown));
        self.deadlines();
        self.expire(now);
        self.loaded = true;
    }

    /// All deadlines, the next one first.
    pub(super) fn deadlines(&mut self) -> &mut BTreeSet<(Instant, TargetId)> {
        let of = |(id, held): (&TargetId, &Live)| Some((held.deadline?, *id));
        self.deadlines.get_or_insert_with(|| self.held.iter().filter_map(of).collect())
    }

    pub(super) fn outage(&self, now: Instant) -> Option<Duration> {
        self.horizon.outage_since().map(|since| now.saturating_duration_since(since))
    }

    pub(super) fn check(&mut self, now: Instant) {
        if self.horizon.check(now) {
            self.tell_of_outage();
        }
    }

    pub(super) fn tell_of_outage(&self) {
        warn!(registrations = self.held.len(); "the store takes no writes; serving the last good list, in which nothing expires");
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let Some(until) = self.horizon.expired_until(now) else { return };
        while let Some(id) = self.expired_by(until, now) {
            self.remove(id, Action::Expired, Author::Nobody, now);
        }
    }

    /// The next registration that has expired: by its deadline, or because outages have kept it for too long.
    fn expired_by(&self, until: Instant, now: Instant) -> Option<TargetId> {
        let by_deadline = self.deadlines.as_ref().and_then(BTreeSet::first).filter(|(deadline, _)| *deadline <= until);
        let by_limit = || self.limits.first().filter(|(limit, _)| *limit <= now);
        by_deadline.or_else(by_limit).map(|(_, id)| *id)
    }

    /// The next registrations whose deadlines the outage moves if it ended at `end`. Looks at `count` deadlines, or fewer
    /// where the registrations are large.
    pub(super) fn settle(&mut self, end: Instant, count: usize) -> Option<Settlement> {
        if !self.horizon.settle(end)? {
            self.settled_to = None;
        }
        // One more, to know whether that is all.
        let mut next = self.next_to_settle(end, count + 1);
        let mut is_last = next.len() <= count;
        next.truncate(count);
        let (mut stored, mut here, mut bytes) = (Vec::new(), Vec::new(), 0);
        for place in next {
            if bytes >= SETTLED_BYTES {
                is_last = false;
                break;
            }
            self.settled_to = Some(place);
            let Some(kept) = self.lengthen(place, end) else { continue };
            if self.horizon.concerns(kept.id, end) {
                bytes += kept.content.byte_count();
                stored.push(kept);
            } else {
                here.push(kept);
            }
        }
        self.moved(&here);
        Some(Settlement { moved: stored, is_last })
    }

    /// The next deadlines that an outage until `end` may move, `count` at most.
    fn next_to_settle(&mut self, end: Instant, count: usize) -> Vec<(Instant, TargetId)> {
        let settled_to = self.settled_to;
        if let Some(ids) = self.horizon.refused_alone() {
            let of = |id| Some((self.held.get(&id)?.deadline?, id));
            let mut refused: Vec<(Instant, TargetId)> =
                ids.filter_map(of).filter(|place| settled_to < Some(*place)).collect();
            refused.sort_unstable();
            refused.truncate(count);
            return refused;
        }
        let from = settled_to.map_or(Bound::Unbounded, Bound::Excluded);
        let to = Bound::Excluded((end + self.half_lifetime_max, TargetId::MIN));
        self.deadlines().range((from, to)).take(count).copied().collect()
    }

    /// The registration with its new deadline, if an outage until `end` moves it.
    fn lengthen(&self, (deadline, id): (Instant, TargetId), end: Instant) -> Option<Kept> {
        let held = self.held.get(&id)?;
        let new = self.horizon.lengthened(id, deadline, held.original, held.ttl.duration()?, end);
        (new > deadline).then(|| Kept { deadline: Some(new), moved_from: Some(deadline), ..held.kept(id) })
    }

    /// A registration that has expired in the store and is shown only because of an outage, with the deadline that it
    /// has if the outage ends now.
    pub(super) fn kept_past_its_deadline(&self, id: TargetId, now: Instant) -> Option<Kept> {
        let deadline = self.held.get(&id)?.deadline.filter(|deadline| *deadline <= now)?;
        self.lengthen((deadline, id), now).filter(|kept| kept.deadline > Some(now))
    }

    /// Moves deadlines, unless renewals have moved them further.
    pub(super) fn moved(&mut self, moved: &[Kept]) {
        for Kept { id, deadline, .. } in moved {
            let Some(held) = self.held.get_mut(id) else { continue };
            if let Some((old, new)) = held.deadline.zip(*deadline).filter(|(old, new)| old < new) {
                held.deadline = Some(new);
                let original = *held.original.get_or_insert(old);
                self.horizon.moved(*id, old);
                self.move_limit(*id, None, Some(original));
                self.move_deadline(*id, Some(old), Some(new));
            }
        }
    }

    pub(super) fn put(&mut self, id: TargetId, written: Written, at: Instant) {
        self.quarantined.remove(&id);
        self.deletions.forget(id);
        let Written { content, updated_at, age, ttl, deadline, original: known, by } = written;
        if let Some(lifetime) = ttl.duration() {
            self.half_lifetime_max = self.half_lifetime_max.max(lifetime / 2);
        }
        let began = began(deadline, ttl);
        let old = self.held.get(&id);
        let is_news = old.is_none_or(|old| old.updated_at != updated_at || old.content != content);
        // A deadline tells when the lifetime began only until it is moved. A registration that never expires was
        // written when it was seen.
        let seen_at = Some(at).filter(|_| self.loaded && deadline.is_none());
        let written_at = if is_news { began.or(seen_at) } else { old.and_then(|old| old.written_at).or(began) };
        let is_moved = !is_news && old.is_some_and(|old| old.is_moved || differ(old.deadline, deadline));
        let replaced = old.filter(|old| updated_at <= old.updated_at).and_then(|old| old.deadline);
        let old_original = old.and_then(|old| old.original);
        // If another server has moved the deadline, the one before is the original.
        let is_later = |before: &Instant| deadline.is_some_and(|new| new > *before + DEADLINE_PRECISION);
        let original =
            old.filter(|_| !is_news).and_then(|old| old.original.or(old.deadline.filter(is_later))).or(known);
        self.horizon.note(SeenWrite { id, replaced, began: began.filter(|_| is_news), age }, at);
        let left = old.map(|old| old.group.clone());
        let rhythm = old.map_or(Rhythm::default(), |old| old.rhythm(&content, updated_at));
        self.move_limit(id, old_original, original);
        if let Some(held) = self.held.get_mut(&id)
            && held.content.shows_the_same(&content)
        {
            // A renewal: nothing that is rendered has changed.
            // Lists share the old content, which says the same unless its lifetime is another.
            if held.content != content {
                held.content = content;
            }
            let old = std::mem::replace(&mut held.deadline, deadline);
            (held.ttl, held.updated_at, held.written_at) = (ttl, updated_at, written_at);
            (held.original, held.is_moved, held.rhythm) = (original, is_moved, rhythm);
            self.move_deadline(id, old, deadline);
            return;
        }
        let group = match self.loaded {
            true => self.lists.put(id, &content, left.clone()),
            false => self.lists.group_of(&content),
        };
        let action = if left.is_some() { Action::Changed } else { Action::Registered };
        let left = left.filter(|left| *left != group);
        self.departures.meet(&group);
        self.tell(LoggedChange { at, action, id, group: group.clone(), left, content: content.clone(), by });
        let held = Live { content, group, ttl, deadline, original, updated_at, written_at, is_moved, rhythm };
        let old = self.held.insert(id, held);
        self.move_deadline(id, old.and_then(|old| old.deadline), deadline);
    }

    /// Remembers a change for people. Loading at the start is no change.
    fn tell(&mut self, change: LoggedChange) {
        if self.loaded {
            self.log.add(change);
        }
    }

    fn move_deadline(&mut self, id: TargetId, old: Option<Instant>, new: Option<Instant>) {
        if old == new {
            return;
        }
        if let Some(deadlines) = &mut self.deadlines {
            old.map(|old| deadlines.remove(&(old, id)));
            deadlines.extend(new.map(|new| (new, id)));
        }
    }

    /// The same for the limit that follows from the owner's deadline, if outages have moved that.
    fn move_limit(&mut self, id: TargetId, old: Option<Instant>, new: Option<Instant>) {
        old.map(|old| self.limits.remove(&(self.horizon.kept_until(old), id)));
        new.map(|new| self.limits.insert((self.horizon.kept_until(new), id)));
    }

    pub(super) fn remove(&mut self, id: TargetId, action: Action, by: Author, at: Instant) {
        if let Some(Live { group, content, deadline, original, .. }) = self.held.remove(&id) {
            self.lists.remove(id, &group);
            self.move_limit(id, original, None);
            self.move_deadline(id, deadline, None);
            self.departures.count(action, &group);
            self.tell(LoggedChange { at, action, id, group, left: None, content, by });
        }
    }

    /// The store had lost these and was given them back.
    pub(super) fn restored(&mut self, ids: &[TargetId], at: Instant) {
        for id in ids {
            if let Some(held) = self.held.get(id) {
                let (group, content, by) = (held.group.clone(), held.content.clone(), Author::Nobody);
                self.tell(LoggedChange { at, action: Action::Restored, id: *id, group, left: None, content, by });
            }
        }
    }

    /// A client of this server has deleted it.
    pub(super) fn delete(&mut self, id: TargetId, by: Author, now: Instant) {
        self.quarantined.remove(&id);
        if let Some(held) = self.held.get(&id) {
            self.deletions.add(&held.kept(id), now);
        }
        self.remove(id, Action::Deleted, by, now);
    }

    /// The store has dropped it. If it has expired, the horizon decides when it leaves the lists.
    pub(super) fn remove_unless_expired(&mut self, id: TargetId, now: Instant) {
        self.quarantined.remove(&id);
        let has_run_out = |held: &Live| held.deadline.is_some_and(|deadline| deadline <= now);
        if !self.held.get(&id).is_some_and(has_run_out) {
            self.remove(id, Action::Deleted, Author::AnotherServer, now);
        }
    }

    /// Leaves a value out of all lists, and remembers it for people.
    pub(super) fn quarantine(&mut self, id: TargetId, value: Quarantined, now: Instant) {
        self.remove(id, Action::Deleted, Author::AnotherServer, now);
        let known = self.quarantined.get(&id);
        if known.is_none() && self.quarantined.len() >= QUARANTINE_MAX {
            return;
        }
        if known.is_none_or(|known| known.reason != value.reason) {
            warn!(id:% = id, reason = value.reason; "a stored value is invalid and is left out of all lists");
        }
        self.quarantined.insert(id, Arc::new(value));
    }
}

/// When a lifetime began, unless its deadline was moved since.
pub(super) fn began(deadline: Option<Instant>, ttl: Ttl) -> Option<Instant> {
    deadline?.checked_sub(ttl.duration()?)
}

/// Whether two deadlines differ by more than the time that it takes to ask a store for one.
fn differ(one: Option<Instant>, other: Option<Instant>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.max(other) - one.min(other) > DEADLINE_PRECISION,
        (None, None) => false,
        _ => true,
    }
}
