//! The lists that are kept up to date with each change: of everything, and of each group.

use std::collections::HashMap;
use std::sync::Arc;

use super::criteria::Selector;
use super::list::{List, Listed, Snapshot};
use crate::registration::{Content, TargetId};

#[derive(Debug, Default)]
pub(super) struct KeptLists {
    all: List,
    groups: HashMap<Arc<str>, List>,
}

impl KeptLists {
    pub(super) fn group_count(&self) -> usize {
        self.groups.len()
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
    pub(super) fn fill(&mut self, registrations: impl Iterator<Item = (Listed, Arc<str>)>) {
        let mut registrations: Vec<(Listed, Arc<str>)> = registrations.collect();
        registrations.sort_unstable_by_key(|(shown, _)| shown.id);
        let mut groups: HashMap<Arc<str>, Vec<Listed>> = HashMap::new();
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
        let shown = Listed { id, content: content.clone() };
        self.all.insert(shown.clone());
        self.groups.entry(name.clone()).or_default().insert(shown);
        name
    }

    /// Shows a registration of this group no more.
    pub(super) fn remove(&mut self, id: TargetId, group: &str) {
        self.all.remove(id);
        self.leave_group(group, id);
    }

    fn leave_group(&mut self, name: &str, id: TargetId) {
        if let Some(group) = self.groups.get_mut(name) {
            group.remove(id);
            if group.len() == 0 {
                self.groups.remove(name);
            }
        }
    }
}
