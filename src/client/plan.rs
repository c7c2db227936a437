//! What would change: which registrations are to be created, changed and deleted, and the differences between what the
//! server has and what the files say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use super::Entry;
use crate::registration::TargetId;

/// How many registrations there are of each kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlanCounts {
    pub(super) create: usize,
    pub(super) change: usize,
    pub(super) unchanged: usize,
    pub(super) delete: usize,
    /// Those that are taken over from other groups.
    pub(super) adopt: usize,
}

impl PlanCounts {
    /// Counts what is wanted, beside what is there now.
    pub(super) fn count(&mut self, wanted: &Entry, current: Option<&Entry>) {
        match current {
            None => self.create += 1,
            Some(current) if current.shows_like(wanted) => self.unchanged += 1,
            Some(_) => self.change += 1,
        }
    }

    pub(super) fn changes_nothing(self) -> bool {
        self.create + self.change + self.delete + self.adopt == 0
    }
}

impl fmt::Display for PlanCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlanCounts { create, change, unchanged, delete, adopt } = self;
        write!(f, "{create} to create, {change} to change, {unchanged} unchanged, {delete} to delete")?;
        if *adopt > 0 { write!(f, ", {adopt} to take over from other groups") } else { Ok(()) }
    }
}

/// What makes a group be exactly what is wanted.
pub(super) struct GroupPlan<'a> {
    pairs: BTreeMap<TargetId, [Option<&'a Entry>; 2]>,
    /// What stands in other groups, and what the server says of that.
    adopted: BTreeMap<TargetId, String>,
    adopted_total: usize,
}

impl<'a> GroupPlan<'a> {
    pub(super) fn new(current: &'a [Entry], wanted: &'a [Entry]) -> GroupPlan<'a> {
        let mut pairs: BTreeMap<TargetId, [Option<&Entry>; 2]> = BTreeMap::new();
        for (side, entries) in [current, wanted].into_iter().enumerate() {
            entries.iter().for_each(|entry| pairs.entry(entry.id()).or_default()[side] = Some(entry));
        }
        GroupPlan { pairs, adopted: BTreeMap::new(), adopted_total: 0 }
    }

    /// These stand in other groups; there may be more than are named.
    pub(super) fn adopt(&mut self, named: impl IntoIterator<Item = (TargetId, String)>, total: usize) {
        self.adopted.extend(named);
        self.adopted_total = total;
    }

    pub(super) fn counts(&self) -> PlanCounts {
        let mut counts = PlanCounts { adopt: self.adopted_total, ..PlanCounts::default() };
        for pair in self.pairs.values() {
            match pair {
                [current, Some(wanted)] => counts.count(wanted, *current),
                [_, None] => counts.delete += 1,
            }
        }
        counts.create = counts.create.saturating_sub(self.adopted_total);
        counts
    }

    /// The lists of a plan for programs.
    pub(super) fn to_json(&self) -> Value {
        let [mut create, mut change, mut delete, mut adopt] = [const { Vec::new() }; 4];
        for (id, pair) in &self.pairs {
            match (pair, self.adopted.get(id)) {
                ([None, Some(wanted)], Some(reason)) => adopt.push(json!({ "entry": wanted, "reason": reason })),
                ([None, Some(wanted)], None) => create.push(json!(wanted)),
                ([Some(current), None], _) => delete.push(json!(current)),
                ([Some(current), Some(wanted)], _) if !current.shows_like(wanted) => {
                    change.push(json!({ "from": current, "to": wanted }));
                }
                _ => {}
            }
        }
        json!({ "create": create, "change": change, "unchanged": self.counts().unchanged, "delete": delete, "adopt": adopt })
    }

    /// The differences as a unified diff, with a part for each registration; empty when there are none.
    pub(super) fn differences(&self, names: (&str, &str)) -> String {
        let mut parts: Vec<(&[String], String)> = Vec::new();
        for (id, pair) in &self.pairs {
            let Some(entry) = pair[0].or(pair[1]) else { continue };
            let note = self.adopted.get(id).map(|reason| format!(" {reason}")).unwrap_or_default();
            let part = part(pair);
            if !part.is_empty() {
                let targets = entry.targets.join(" ");
                parts.push((&entry.targets, format!("@@ {} @@{note}\n{part}", targets.escape_debug())));
            }
        }
        parts.sort();
        match parts.is_empty() {
            true => String::new(),
            false => parts.iter().fold(format!("--- {}\n+++ {}\n", names.0, names.1), |text, (_, part)| text + part),
        }
    }
}

/// The lines of one registration; none when both sides show alike.
fn part(pair: &[Option<&Entry>; 2]) -> String {
    let [current, wanted] = pair.map(|entry| entry.map(described).unwrap_or_default());
    let mut text = String::new();
    if current == wanted {
        return text;
    }
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
    text
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
