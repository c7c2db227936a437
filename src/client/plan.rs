//! What would change: how many registrations are to be created, changed, left and deleted, and the differences between
//! what the server has and what the files say.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;
use similar::TextDiff;

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
    let mut pairs: BTreeMap<&[String], (String, String)> = BTreeMap::new();
    for entry in current {
        pairs.entry(&entry.targets).or_default().0 = described(entry);
    }
    for entry in wanted {
        pairs.entry(&entry.targets).or_default().1 = described(entry);
    }
    pairs.retain(|_, (current, wanted)| current != wanted);
    let mut text = String::new();
    if !pairs.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "--- {}\n+++ {}", names.0, names.1);
    }
    for (targets, (current, wanted)) in pairs {
        let _ = writeln!(text, "@@ {} @@", targets.join(" ").escape_debug());
        for change in TextDiff::from_lines(&current, &wanted).iter_all_changes() {
            let _ = write!(text, "{}{change}", change.tag());
        }
    }
    text
}

/// A registration with a line for whatever can differ.
fn described(entry: &Entry) -> String {
    let mut text = format!("group {:?}\n", entry.group());
    for (name, value) in &entry.labels {
        let _ = writeln!(text, "label {}={value:?}", name.escape_debug());
    }
    for module in &entry.modules {
        let _ = writeln!(text, "module {module:?}");
    }
    text
}
