//! The lists that are kept up to date with each change: of everything, and of each group.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
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

    /// The largest of the groups with such names, and how many registrations they have. The view waits for it: nothing is
    /// copied of the others.
    pub(super) fn largest_groups(&self, count: usize, is_wanted: impl Fn(&str) -> bool) -> Vec<(Arc<str>, usize)> {
        // The smallest comes first, of equal ones that with the last name.
        let mut largest: BinaryHeap<(Reverse<usize>, &Arc<str>)> = BinaryHeap::new();
        for (name, list) in self.groups.iter().filter(|(name, _)| is_wanted(name)) {
            let place = (Reverse(list.len()), name);
            let is_full = largest.len() >= count;
            if is_full && largest.peek().is_none_or(|smallest| place >= *smallest) {
                continue;
            }
            largest.push(place);
            if is_full {
                largest.pop();
            }
        }
        largest.into_sorted_vec().into_iter().map(|(Reverse(len), name)| (name.clone(), len)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::{LabelNames, Registration, TtlBounds};

    #[test]
    fn the_largest_groups_come_first_and_equal_ones_by_name() {
        let mut lists = KeptLists::default();
        for (n, group) in ["c", "b", "b", "long", "long", "long", "a", "d", "e", "e"].into_iter().enumerate() {
            let body = format!(r#"{{"static_config":{{"targets":["host-{n}:1"],"target_group":"{group}"}}}}"#);
            let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
            lists.put(registration.id(), &Content::new(&registration), None);
        }
        let largest = |count: usize| {
            let found = lists.largest_groups(count, |name| name.len() < 4).into_iter();
            found.map(|(name, len)| format!("{name}{len}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(largest(0), "");
        assert_eq!(largest(1), "b2");
        assert_eq!(largest(4), "b2 e2 a1 c1");
        assert_eq!(largest(9), "b2 e2 a1 c1 d1");
    }
}
