//! What would change: how many registrations are to be created, changed, left and deleted, and the differences between
//! what the server has and what the files say.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use serde::Serialize;
use similar::TextDiff;

use super::Entry;
use crate::registration::TargetId;

/// Unchanged lines around a difference.
const CONTEXT_LINES: usize = 3;

/// How long the shortest difference is searched for; after that a longer one is shown.
const DIFF_WAIT_MAX: Duration = Duration::from_secs(3);

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

/// The differences as a unified diff; empty when there are none.
pub(super) fn differences(current: &[Entry], wanted: &[Entry], names: (&str, &str)) -> String {
    let (current, wanted) = (described(current), described(wanted));
    let diff = TextDiff::configure().timeout(DIFF_WAIT_MAX).diff_lines(&current, &wanted);
    diff.unified_diff().context_radius(CONTEXT_LINES).header(names.0, names.1).to_string()
}

/// The registrations in the order of their targets, each with a line for whatever can differ.
fn described(entries: &[Entry]) -> String {
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by(|a, b| a.targets.cmp(&b.targets));
    let mut text = String::new();
    for entry in entries {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", entry.targets.join(" ").escape_debug());
        let _ = writeln!(text, "  group {:?}", entry.group());
        for (name, value) in &entry.labels {
            let _ = writeln!(text, "  {}={value:?}", name.escape_debug());
        }
        for module in &entry.modules {
            let _ = writeln!(text, "  module {module:?}");
        }
    }
    text
}
