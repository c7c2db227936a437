//! All lists that are kept up to date: of everything, of each group, and of each selection that somebody polls.
//! A change is made in each list that it concerns, so that no poll ever looks at more than the list it asks for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::criteria::{Criteria, Selector};
use super::list::{List, Shown, Snapshot};
use crate::registration::{Content, TargetId};

/// The most selections that are kept. Each costs some 24 bytes for each of its registrations, and its text.
pub(super) const SELECTIONS_MAX: usize = 64;

/// How long a selection is kept that nobody asks for.
pub(super) const UNUSED_MAX: Duration = Duration::from_secs(600);

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Lists {
    all: List,
    groups: HashMap<Arc<str>, List>,
    selections: HashMap<Arc<Criteria>, Selection>,
    building: Option<Building>,
}

#[derive(Debug)]
struct Selection {
    list: List,
    last_used: Instant,
    /// Somebody polls it; what was asked for only once makes room first.
    is_asked_again: bool,
}

/// A selection that is being put together from snapshots, and what has changed since these were taken: what is to be
/// shown under an id, or that nothing is.
#[derive(Debug)]
struct Building {
    criteria: Arc<Criteria>,
    changes: Changes,
}

/// What is to be shown under an id; `None` is nothing.
pub(super) type Changes = HashMap<TargetId, Option<Content>>;

impl Lists {
    /// How many groups have one.
    pub(super) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// How many selections are kept.
    pub(super) fn selection_count(&self) -> usize {
        self.selections.len()
    }

    /// The list of everything, or of a group; of an unknown group it is empty.
    pub(super) fn snapshot(&mut self, selector: Selector<'_>) -> Arc<Snapshot> {
        match selector {
            Selector::All => self.all.snapshot(),
            Selector::Group(name) => {
                self.groups.get_mut(name).map_or_else(|| List::default().snapshot(), List::snapshot)
            }
        }
    }

    /// How many registrations each group has, in no order.
    pub(super) fn group_sizes(&self) -> Vec<(Arc<str>, usize)> {
        self.groups.iter().map(|(name, list)| (name.clone(), list.len())).collect()
    }

    /// Each group with its list, in no order.
    pub(super) fn groups(&mut self) -> impl Iterator<Item = (Arc<str>, Arc<Snapshot>)> {
        self.groups.iter_mut().map(|(name, list)| (name.clone(), list.snapshot()))
    }

    /// The name of a registration's group, shared by all who are in it.
    pub(super) fn group_of(&mut self, content: &Content) -> Arc<str> {
        let name = content.group();
        match self.groups.get_key_value(name.as_ref()) {
            Some((name, _)) => name.clone(),
            None => {
                let name: Arc<str> = Arc::from(name);
                self.groups.insert(name.clone(), List::default());
                name
            }
        }
    }

    /// Shows all of these, which are in no order, each with its group; nothing has been shown before.
    pub(super) fn fill(&mut self, registrations: impl Iterator<Item = (Shown, Arc<str>)>) {
        let mut registrations: Vec<(Shown, Arc<str>)> = registrations.collect();
        registrations.sort_unstable_by_key(|(shown, _)| shown.id);
        let mut groups: HashMap<Arc<str>, Vec<Shown>> = HashMap::new();
        for (shown, group) in &registrations {
            groups.entry(group.clone()).or_default().push(shown.clone());
        }
        self.groups = groups.into_iter().map(|(name, entries)| (name, List::of_sorted(entries))).collect();
        self.all = List::of_sorted(registrations.into_iter().map(|(shown, _)| shown).collect());
    }

    /// Shows a registration that is new or shown otherwise than before, when it was in `left`. Returns its group.
    pub(super) fn put(&mut self, id: TargetId, content: &Content, left: Option<Arc<str>>) -> Arc<str> {
        let name = self.group_of(content);
        if let Some(left) = left.filter(|left| *left != name) {
            self.leave_group(&left, id);
        }
        let shown = Shown { id, content: content.clone() };
        self.all.insert(shown.clone());
        self.groups.entry(name.clone()).or_default().insert(shown.clone());
        for (criteria, selection) in &mut self.selections {
            if criteria.meets(id, content) {
                selection.list.insert(shown.clone());
            } else {
                selection.list.remove(id);
            }
        }
        if let Some(Building { criteria, changes }) = &mut self.building {
            changes.insert(id, criteria.meets(id, content).then_some(shown.content));
        }
        name
    }

    /// Shows a registration of this group no more.
    pub(super) fn remove(&mut self, id: TargetId, group: &str) {
        self.all.remove(id);
        self.leave_group(group, id);
        self.selections.values_mut().for_each(|selection| selection.list.remove(id));
        if let Some(Building { changes, .. }) = &mut self.building {
            changes.insert(id, None);
        }
    }

    fn leave_group(&mut self, name: &str, id: TargetId) {
        if let Some(group) = self.groups.get_mut(name) {
            group.remove(id);
            if group.len() == 0 {
                self.groups.remove(name);
            }
        }
    }

    /// A selection, if it is kept.
    pub(super) fn selection(&mut self, criteria: &Criteria, now: Instant) -> Option<Arc<Snapshot>> {
        let selection = self.selections.get_mut(criteria)?;
        (selection.last_used, selection.is_asked_again) = (now, true);
        Some(selection.list.snapshot())
    }

    /// Begins to collect the changes to a selection that is to be put together from these snapshots.
    pub(super) fn begin_selection(&mut self, criteria: &Criteria) -> Vec<Arc<Snapshot>> {
        self.building = Some(Building { criteria: Arc::new(criteria.clone()), changes: HashMap::new() });
        match criteria.groups.is_empty() {
            true => vec![self.all.snapshot()],
            false => criteria.groups.iter().map(|name| self.snapshot(Selector::Group(name))).collect(),
        }
    }

    /// The changes to the selection under construction since this was last asked, if there are more than these.
    pub(super) fn take_changes(&mut self, few: usize) -> Changes {
        let many = self.building.as_mut().filter(|building| building.changes.len() > few);
        many.map(|building| std::mem::take(&mut building.changes)).unwrap_or_default()
    }

    /// Keeps the selection that was under construction, in the place of another one if need be.
    pub(super) fn keep_selection(&mut self, mut list: List, now: Instant) -> Arc<Snapshot> {
        let Some(Building { criteria, changes }) = self.building.take() else { return list.snapshot() };
        list.apply(changes);
        let snapshot = list.snapshot();
        if self.selections.len() >= SELECTIONS_MAX {
            let order = |(_, kept): &(&Arc<Criteria>, &Selection)| (kept.is_asked_again, kept.last_used);
            let first = self.selections.iter().min_by_key(order).map(|(criteria, _)| criteria.clone());
            first.and_then(|criteria| self.selections.remove(&criteria));
        }
        self.selections.insert(criteria, Selection { list, last_used: now, is_asked_again: false });
        snapshot
    }

    /// Forgets the selections that nobody asks for.
    pub(super) fn forget_unused(&mut self, now: Instant) {
        self.selections.retain(|_, selection| now.saturating_duration_since(selection.last_used) < UNUSED_MAX);
    }
}

/// A new list of the registrations in these snapshots that meet the criteria.
pub(super) fn matching(criteria: &Criteria, sources: &[Arc<Snapshot>]) -> List {
    let mut list = List::new(criteria.form);
    for (id, content) in sources.iter().flat_map(|source| source.registrations()) {
        if criteria.meets(id, content) {
            list.insert(Shown { id, content: content.clone() });
        }
    }
    list
}
