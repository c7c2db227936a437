//! The lists that every change brings up to date: of everything, and of each group.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::list::{List, Listed, Snapshot};
use super::metrics::is_shown;
use crate::registration::{Content, TargetId};

#[derive(Debug, Default)]
pub(super) struct KeptLists {
    all: List,
    groups: HashMap<Arc<str>, List>,
    /// The groups that metrics may name, the largest first, equal ones by name.
    by_size: BTreeSet<(Reverse<usize>, Arc<str>)>,
}

impl KeptLists {
    pub(super) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The list of a group, or of everything. The list of an unknown group is empty.
    pub(super) fn snapshot(&mut self, group: Option<&str>) -> Arc<Snapshot> {
        match group {
            Some(name) => self.groups.get_mut(name).map_or_else(|| List::default().snapshot(), List::snapshot),
            None => self.all.snapshot(),
        }
    }

    /// The largest of the groups that metrics may name, and how many registrations they have.
    pub(super) fn largest_groups(&self, count: usize) -> Vec<(Arc<str>, usize)> {
        self.by_size.iter().take(count).map(|(Reverse(len), name)| (name.clone(), *len)).collect()
    }

    /// The name of a registration's group, of which all registrations in it share one copy.
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

    /// Fills the empty lists with these registrations, each with its group, in any order.
    pub(super) fn fill(&mut self, registrations: impl Iterator<Item = (Listed, Arc<str>)>) {
        let mut registrations: Vec<(Listed, Arc<str>)> = registrations.collect();
        registrations.sort_unstable_by_key(|(shown, _)| shown.id);
        let mut groups: HashMap<Arc<str>, Vec<Listed>> = HashMap::new();
        for (shown, group) in &registrations {
            groups.entry(group.clone()).or_default().push(shown.clone());
        }
        self.groups = groups.into_iter().map(|(name, entries)| (name, List::of_sorted(entries))).collect();
        let sizes = self.groups.iter().filter(|(name, _)| is_shown(name));
        self.by_size = sizes.map(|(name, list)| (Reverse(list.len()), name.clone())).collect();
        self.all = List::of_sorted(registrations.into_iter().map(|(shown, _)| shown).collect());
    }

    /// Lists a registration that is new or has changed; until now it was in the group `left`. Returns its group.
    pub(super) fn put(&mut self, id: TargetId, content: &Content, left: Option<Arc<str>>) -> Arc<str> {
        let name = self.group_of(content);
        if let Some(left) = left.filter(|left| *left != name) {
            self.leave_group(&left, id);
        }
        let shown = Listed { id, content: content.clone() };
        self.all.insert(shown.clone());
        let group = self.groups.entry(name.clone()).or_default();
        let before = group.len();
        group.insert(shown);
        let after = group.len();
        self.resize(&name, before, after);
        name
    }

    /// Takes a registration of this group off the lists.
    pub(super) fn remove(&mut self, id: TargetId, group: &Arc<str>) {
        self.all.remove(id);
        self.leave_group(group, id);
    }

    fn leave_group(&mut self, name: &Arc<str>, id: TargetId) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let before = group.len();
        group.remove(id);
        let after = group.len();
        if after == 0 {
            self.groups.remove(name);
        }
        self.resize(name, before, after);
    }

    fn resize(&mut self, name: &Arc<str>, before: usize, after: usize) {
        if before != after && is_shown(name) {
            self.by_size.remove(&(Reverse(before), name.clone()));
            self.by_size.extend((after > 0).then(|| (Reverse(after), name.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::{LabelNames, Registration, TtlBounds};

    fn content(n: usize, group: &str) -> (TargetId, Content) {
        let body = format!(r#"{{"static_config":{{"targets":["host-{n}:1"],"target_group":"{group}"}}}}"#);
        let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
        (registration.id(), Content::new(&registration))
    }

    fn largest(lists: &KeptLists, count: usize) -> String {
        let found = lists.largest_groups(count).into_iter();
        found.map(|(name, len)| format!("{name}{len}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_largest_groups_come_first_and_equal_ones_by_name() {
        let long = "x".repeat(1000);
        let groups = ["c", "b", "b", &long, &long, &long, "a", "d", "e", "e"];
        let mut lists = KeptLists::default();
        let put = |lists: &mut KeptLists, n: usize, group: &str, left: Option<Arc<str>>| {
            let (id, content) = content(n, group);
            lists.put(id, &content, left);
        };
        groups.iter().enumerate().for_each(|(n, group)| put(&mut lists, n, group, None));
        assert_eq!([0, 1, 4].map(|count| largest(&lists, count)), ["", "b2", "b2 e2 a1 c1"]);
        assert_eq!(largest(&lists, 9), "b2 e2 a1 c1 d1");
        // One is written again, one moves, and one goes, together with its group.
        put(&mut lists, 1, "b", Some(Arc::from("b")));
        put(&mut lists, 0, "e", Some(Arc::from("c")));
        lists.remove(content(6, "a").0, &Arc::from("a"));
        assert_eq!(largest(&lists, 9), "e3 b2 d1");
        let mut filled = KeptLists::default();
        filled.fill(groups.iter().enumerate().map(|(n, group)| {
            let (id, content) = content(n, group);
            (Listed { id, content }, Arc::from(*group))
        }));
        assert_eq!(largest(&filled, 9), "b2 e2 a1 c1 d1");
    }
}
