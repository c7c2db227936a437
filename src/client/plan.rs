//! What would change: how many registrations are to be created, changed, left and deleted, and the differences between
//! what the server has and what the files say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use serde::Serialize;

use super::Entry;
use crate::registration::TargetId;

/// How many registrations there are of each kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Plan {
    pub(super) create: usize,
    pub(super) change: usize,
    pub(super) leave: usize,
    pub(super) delete: usize,
}

impl Plan {
    /// Compares by id, for a group that is to be exactly what is wanted.
    pub(super) fn new(current: &[Entry], wanted: &[Entry]) -> Plan {
        let current: BTreeMap<TargetId, &Entry> = current.iter().map(|entry| (entry.id(), entry)).collect();
        let mut plan = Plan::default();
        for entry in wanted {
            plan.count(entry, current.get(&entry.id()).copied());
        }
        plan.delete = current.len() - plan.change - plan.leave;
        plan
    }

    /// Counts what is wanted, beside what is there now.
    pub(super) fn count(&mut self, wanted: &Entry, current: Option<&Entry>) {
        match current {
            None => self.create += 1,
            Some(current) if current.shows_like(wanted) => self.leave += 1,
            Some(_) => self.change += 1,
        }
    }

    pub(super) fn changes_nothing(self) -> bool {
        self.create + self.change + self.delete == 0
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { create, change, leave, delete } = self;
        write!(f, "{create} to create, {change} to change, {leave} to leave, {delete} to delete")
    }
}

/// The differences as a unified diff, with a part for each registration; empty when there are none.
pub(super) fn differences(current: &[Entry], wanted: &[Entry], names: (&str, &str)) -> String {
    let mut pairs: BTreeMap<&[String], [Option<&Entry>; 2]> = BTreeMap::new();
    for (side, entries) in [current, wanted].into_iter().enumerate() {
        entries.iter().for_each(|entry| pairs.entry(&entry.targets).or_default()[side] = Some(entry));
    }
    let mut text = String::new();
    for (targets, pair) in pairs {
        let [current, wanted] = pair.map(|entry| entry.map(described).unwrap_or_default());
        if current == wanted {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "@@ {} @@", targets.join(" ").escape_debug());
        let names: BTreeSet<&String> = current.keys().chain(wanted.keys()).collect();
        for name in names {
            match (current.get(name), wanted.get(name)) {
                (Some(old), Some(new)) if old == new => text.extend([" ", name, "=", old, "\n"]),
                (old, new) => {
                    old.iter().for_each(|old| text.extend(["-", name, "=", old, "\n"]));
                    new.iter().for_each(|new| text.extend(["+", name, "=", new, "\n"]));
                }
            }
        }
    }
    if text.is_empty() { text } else { format!("--- {}\n+++ {}\n{text}", names.0, names.1) }
}

/// What can differ, in the order in which it is shown.
fn described(entry: &Entry) -> BTreeMap<String, String> {
    let labels = entry.labels.iter();
    let mut lines: BTreeMap<String, String> =
        labels.map(|(name, value)| (format!("label {}", name.escape_debug()), format!("{value:?}"))).collect();
    lines.insert("group".to_owned(), format!("{:?}", entry.group()));
    if !entry.modules.is_empty() {
        lines.insert("modules".to_owned(), format!("{:?}", entry.modules));
    }
    lines
}
