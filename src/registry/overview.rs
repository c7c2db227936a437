//! Sums over many registrations, for people: groups, and everything that somebody may see. The view is held for a few
//! hundred of them at a time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::allowance::NotLoaded;
use super::list::Snapshot;
use super::look::{LOOKED_UP_AT_ONCE, Times};
use super::scope::Scope;
use super::view::View;
use crate::registration::{Content, TargetId};

/// How far ahead registrations are counted that run out, in seconds, and what that is called.
pub const EXPIRY_SPANS: [(&str, u64); 3] = [("5m", 300), ("1h", 3600), ("6h", 21600)];

/// A group with at least one registration.
#[derive(Debug)]
pub struct GroupSummary {
    /// Its name.
    pub name: Arc<str>,
    /// How many registrations it has.
    pub registrations: usize,
    /// How many addresses these have.
    pub targets: usize,
    /// When one of them was last written, as far as the documents say it.
    pub last_updated_at: Option<SystemTime>,
    /// When the next of them runs out, if any does.
    pub next_expiry: Option<Instant>,
}

/// The groups of a scope, by name.
pub(super) fn groups(view: &View, scope: &Scope, now: Instant) -> Result<Vec<GroupSummary>, NotLoaded> {
    let groups = view.groups(now)?.into_iter().filter(|(name, _)| scope.has(name));
    let mut summaries: Vec<GroupSummary> = groups.map(|(name, list)| summary(view, name, &list, now)).collect();
    summaries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(summaries)
}

fn summary(view: &View, name: Arc<str>, list: &Snapshot, now: Instant) -> GroupSummary {
    let (mut last_updated, mut next_expiry) = (0, None);
    for_each_time(view, list, now, |Times { deadline, updated_at_seconds }| {
        last_updated = last_updated.max(updated_at_seconds);
        next_expiry = [next_expiry, deadline].into_iter().flatten().min();
    });
    let at = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let last_updated_at = Some(last_updated).filter(|seconds| *seconds > 0).and_then(at);
    GroupSummary { name, registrations: list.len(), targets: addresses(list), last_updated_at, next_expiry }
}

/// How many addresses the registrations of a list have together.
pub(super) fn addresses(list: &Snapshot) -> usize {
    list.registrations().map(|(_, content)| content.target_count()).sum()
}

/// How many registrations of a list run out within each of [`EXPIRY_SPANS`].
pub(super) fn expiring(view: &View, list: &Snapshot, now: Instant) -> [usize; 3] {
    let mut counts = [0; 3];
    for_each_time(view, list, now, |times| {
        let left = times.deadline.map(|deadline| deadline.saturating_duration_since(now));
        for (count, (_, seconds)) in counts.iter_mut().zip(EXPIRY_SPANS) {
            *count += usize::from(left.is_some_and(|left| left <= Duration::from_secs(seconds)));
        }
    });
    counts
}

fn for_each_time(view: &View, list: &Snapshot, now: Instant, mut each: impl FnMut(Times)) {
    let ids: Vec<TargetId> = list.registrations().map(|(id, _)| id).collect();
    for ids in ids.chunks(LOOKED_UP_AT_ONCE) {
        view.times(ids, now).into_iter().for_each(|(_, times)| each(times));
    }
}

/// A number for what a group declares: targets, labels and modules, but not lifetimes and times. Equal for equal groups,
/// also on other servers of the same build.
pub(super) fn declared_hash<'a>(registrations: impl Iterator<Item = (TargetId, &'a Content)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (id, content) in registrations {
        (id, content.labels_json(), content.modules_json()).hash(&mut hasher);
    }
    hasher.finish()
}
