//! Sums over many registrations, for people: groups, labels, and an overview of a scope. The view is locked for a few
//! hundred of them at a time.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::MutexGuard;

use super::allowance::{Allowance, Unanswered, within_answer};
use super::criteria::Criteria;
use super::diagnostics::{Duplicates, LabelProblems, count_label_problems, label_problems};
use super::list::Snapshot;
use super::lookups::{LOOKED_UP_AT_ONCE, LOOKED_UP_BYTES};
use super::state::Live;
use super::view::View;
use crate::registration::{Content, TargetId};
use crate::tokens::Scope;

/// The spans for which expiring registrations are counted: their names and their seconds.
pub const EXPIRY_SPANS: [(&str, u64); 3] = [("5m", 300), ("1h", 3600), ("6h", 21600)];

/// How many deadlines are counted under one lock of the view: some tens of microseconds.
const COUNTED_AT_ONCE: usize = 1_000;

/// A scope in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overview {
    pub registrations: usize,
    pub groups: usize,
    pub addresses: usize,
    /// Addresses in more than one registration.
    pub duplicates: usize,
    pub label_problems: usize,
    /// Registrations that expire within each of [`EXPIRY_SPANS`].
    pub expiring: [usize; 3],
    pub list_bytes: usize,
}

#[derive(Debug)]
pub struct GroupSummary {
    pub name: Arc<str>,
    pub registrations: usize,
    pub targets: usize,
    /// When one of them was last written, as far as the documents say it.
    pub last_updated_at: Option<SystemTime>,
    /// When the next of them expires, if any does.
    pub next_expiry: Option<Instant>,
}

/// How many different names or values are counted, and how many bytes of them. The first ones met are kept.
const TEXTS_MAX: usize = 50_000;
const TEXTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A question for label names, or for the values of a label.
#[derive(Debug)]
pub struct LabelRequest {
    pub criteria: Criteria,
    /// The label whose values are wanted; `None` for names.
    pub name: Option<String>,
    /// How the names or values must begin, in any ASCII case.
    pub prefix: String,
    /// The most names or values; fewer if they are long.
    pub limit: usize,
}

impl View {
    pub fn overview(&self, scope: &Scope, allowance: &Allowance<'_>, now: Instant) -> Result<Overview, Unanswered> {
        let list = self.visible(scope, allowance, now)?;
        let (groups, expiring) = match scope {
            Scope::All => {
                allowance.spend(list.len() * LOOKED_UP_BYTES)?;
                (self.counts(now).groups, self.expiring(now))
            }
            Scope::Groups(_) => {
                let (mut groups, mut expiring) = (HashSet::new(), [0; 3]);
                for_each_held(self, &list, allowance, now, |held| {
                    groups.insert(held.group.clone());
                    held.deadline.inspect(|deadline| count_within(&mut expiring, *deadline, now));
                })?;
                (groups.len(), expiring)
            }
        };
        Ok(Overview {
            registrations: list.len(),
            groups,
            addresses: list.address_count(),
            duplicates: self.reckonings.get(scope, &list, allowance)?.total,
            label_problems: count_label_problems(&list, allowance)?,
            expiring,
            list_bytes: list.rendering(false).parts.iter().map(|part| part.len()).sum(),
        })
    }

    /// How many registrations expire within each of [`EXPIRY_SPANS`], unless they are renewed.
    pub fn expiring(&self, now: Instant) -> [usize; 3] {
        let (mut counts, mut from) = ([0; 3], Bound::Unbounded);
        let Some(last) = EXPIRY_SPANS.last().map(|(_, seconds)| now + Duration::from_secs(*seconds)) else {
            return counts;
        };
        loop {
            let state = self.lock();
            let mut several = 0;
            let span = (from, Bound::Included((last, TargetId::MAX)));
            for place in state.deadlines.iter().flat_map(|all| all.range(span)).take(COUNTED_AT_ONCE) {
                count_within(&mut counts, place.0, now);
                from = Bound::Excluded(*place);
                several += 1;
            }
            if several < COUNTED_AT_ONCE {
                return counts;
            }
            // Polls need not wait until all of them are counted.
            MutexGuard::unlock_fair(state);
        }
    }

    /// The addresses in more than one registration, as they were at most ten seconds ago.
    pub fn duplicates(
        &self,
        scope: &Scope,
        allowance: &Allowance<'_>,
        now: Instant,
    ) -> Result<Arc<Duplicates>, Unanswered> {
        self.reckonings.get(scope, &*self.visible(scope, allowance, now)?, allowance)
    }

    pub fn label_problems(
        &self,
        scope: &Scope,
        allowance: &Allowance<'_>,
        now: Instant,
    ) -> Result<LabelProblems, Unanswered> {
        label_problems(&*self.visible(scope, allowance, now)?, allowance)
    }

    /// The groups of a scope, by name.
    pub fn groups(
        &self,
        scope: &Scope,
        allowance: &Allowance<'_>,
        now: Instant,
    ) -> Result<Vec<GroupSummary>, Unanswered> {
        let mut summaries: HashMap<Arc<str>, GroupSummary> = HashMap::new();
        for_each_held(self, &self.kept_list(None, now)?.list, allowance, now, |held| {
            let new = || GroupSummary::new(held.group.clone());
            summaries.entry(held.group.clone()).or_insert_with(new).add(held);
        })?;
        let mut summaries: Vec<GroupSummary> =
            summaries.into_values().filter(|summary| scope.has(&summary.name)).collect();
        summaries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(summaries)
    }

    /// A group as it would be declared, and a hash that changes with the declaration. Empty if there is no such group.
    pub fn group(
        &self,
        name: &str,
        allowance: &Allowance<'_>,
        now: Instant,
    ) -> Result<(Arc<Snapshot>, u64), Unanswered> {
        let list = self.kept_list(Some(name), now)?.list;
        for (_, content) in list.registrations() {
            // It is hashed, and copied into an answer.
            allowance.spend(4 * content.byte_count())?;
        }
        let hash = declared_hash(list.registrations());
        Ok((list, hash))
    }

    /// Names or values of labels, each with the number of registrations that have it.
    pub fn labels(
        &self,
        request: &LabelRequest,
        allowance: &Allowance<'_>,
        now: Instant,
    ) -> Result<Vec<(String, usize)>, Unanswered> {
        let LabelRequest { criteria, name, prefix, limit } = request;
        let begins = |text: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let mut counts: HashMap<String, usize> = HashMap::new();
        let mut bytes = 0;
        let mut count = |text: &str| {
            if let Some(count) = counts.get_mut(text) {
                *count += 1;
            } else if counts.len() < TEXTS_MAX && bytes + text.len() <= TEXTS_BYTES_MAX {
                bytes += text.len();
                counts.insert(text.to_owned(), 1);
            }
        };
        for source in self.sources(criteria, now)? {
            for (id, content) in source.registrations() {
                allowance.spend(content.byte_count() * (criteria.labels.len() + 2))?;
                if !criteria.meets(id, content) {
                    continue;
                }
                let texts = content.labels().filter_map(|(own, value)| match name {
                    Some(name) => (own == *name).then_some(value),
                    None => Some(own),
                });
                texts.filter(|text| begins(text)).for_each(|text| count(&text));
            }
        }
        let mut found: Vec<(String, usize)> = counts.into_iter().collect();
        found.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        Ok(within_answer(found.into_iter().take(*limit), |(text, _)| text.len()).collect())
    }
}

impl GroupSummary {
    fn new(name: Arc<str>) -> GroupSummary {
        GroupSummary { name, registrations: 0, targets: 0, last_updated_at: None, next_expiry: None }
    }

    fn add(&mut self, held: &Live) {
        self.registrations += 1;
        self.targets += held.content.target_count();
        self.last_updated_at = self.last_updated_at.max(held.known_update());
        self.next_expiry = [self.next_expiry, held.deadline].into_iter().flatten().min();
    }
}

fn count_within(counts: &mut [usize; 3], deadline: Instant, now: Instant) {
    for (count, (_, seconds)) in counts.iter_mut().zip(EXPIRY_SPANS) {
        *count += usize::from(deadline <= now + Duration::from_secs(seconds));
    }
}

/// Passes the registrations of a list that are still alive to `each`, with the view locked: `each` must be quick.
fn for_each_held(
    view: &View,
    list: &Snapshot,
    allowance: &Allowance<'_>,
    now: Instant,
    mut each: impl FnMut(&Live),
) -> Result<(), Unanswered> {
    let mut ids = list.registrations().map(|(id, _)| id).peekable();
    while ids.peek().is_some() {
        let some: Vec<TargetId> = ids.by_ref().take(LOOKED_UP_AT_ONCE).collect();
        allowance.spend(some.len() * LOOKED_UP_BYTES)?;
        view.look_up(&some, now, |_, held| each(held));
    }
    Ok(())
}

/// A hash of the declaration of a group: all that groups show of it, without lifetimes and times. Equal for equal
/// groups, also on other servers of the same build.
pub(super) fn declared_hash<'a>(registrations: impl Iterator<Item = (TargetId, &'a Content)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (id, content) in registrations {
        (id, content.shown()).hash(&mut hasher);
    }
    hasher.finish()
}
