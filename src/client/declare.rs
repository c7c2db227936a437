//! `sync` and `diff`: a group as files declare it, the registrations that must be created, changed and deleted for
//! that, and the differences between the server and the files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;

use console::Style;
use serde_json::{Value, json};

use super::api::{DeclarationCounts, DeclareAnswer, RefusedDeclaration};
use super::connection::Api;
use super::files::Placed;
use super::output::{Output, print_line};
use super::{Entry, Failure, files, text};
use crate::config::commands::{GroupFiles, SyncCommand};
use crate::registration::{BodyFault, TargetId};

/// The most faults that are shown.
const FAULTS_SHOWN_MAX: usize = 20;

/// Shows the differences, and fails if there are any.
pub(super) fn diff(connection: &Api, declared: &GroupFiles, output: Output) -> Result<(), Failure> {
    let wanted = Declaration::read(declared)?;
    let current = connection.group(&declared.group)?.entries;
    let plan = GroupPlan::new(&current, &wanted.entries);
    let differs = !plan.counts().changes_nothing();
    if output.is_table() {
        show(&declared.group, &plan, output);
    } else {
        output.value(&json!({ "group": declared.group, "differs": differs, "plan": plan.to_json() }))?;
    }
    if differs { Err(Failure::No(format!("the group {:?} differs", declared.group))) } else { Ok(()) }
}

/// Makes the group equal to the files, unless it is already.
pub(super) fn sync(connection: &Api, command: &SyncCommand, output: Output) -> Result<(), Failure> {
    let SyncCommand { declared, dry_run, adopt, allow_empty, ttl, .. } = command;
    let group = &declared.group;
    let wanted = Declaration::read(declared)?;
    if wanted.entries.is_empty() && !allow_empty {
        let text = format!("the files hold nothing; --allow-empty deletes the whole group {group:?}");
        return Err(Failure::Usage(text));
    }
    let current = connection.group(group)?;
    let declare = |dry_run: bool, adopt: bool| {
        let switches = [("dry_run", dry_run), ("adopt", adopt), ("allow_empty", *allow_empty)];
        let switches = switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "true".to_owned()));
        let parameters: Vec<_> = switches.chain(ttl.map(|ttl| ("ttl_seconds", ttl.to_string()))).collect();
        connection.declare(group, &wanted.entries, &parameters, current.etag.as_deref())
    };
    let mut plan = GroupPlan::new(&current.entries, &wanted.entries);
    // Without `adopt`, the server names the entries that it would take from other groups.
    if *adopt
        && plan.counts().create > 0
        && let DeclareAnswer::Refused(RefusedDeclaration { is_elsewhere: true, faults, total, .. }) =
            declare(true, false)?
    {
        let named =
            faults.into_iter().filter_map(|fault| Some((wanted.entries[wanted.at(&fault)?].id(), fault.detail)));
        plan.adopt(named.collect::<Vec<_>>(), total);
    }
    if output.is_table() {
        show(group, &plan, output);
    }
    // With a lifetime, repeating the declaration renews it.
    let outcome = match plan.counts().changes_nothing() && ttl.is_none() {
        true => None,
        false => match declare(*dry_run, *adopt)? {
            DeclareAnswer::Done(outcome) => Some(outcome),
            DeclareAnswer::Refused(refused) => return Err(wanted.refused(refused)),
        },
    };
    if !output.is_table() {
        let answer = json!({ "group": group, "dry_run": dry_run, "plan": plan.to_json(), "result": outcome });
        return output.value(&answer);
    }
    if let Some(DeclarationCounts { created, updated, unchanged, deleted }) = outcome.filter(|_| !dry_run) {
        print_line(&format!("{created} created, {updated} changed, {unchanged} unchanged, {deleted} deleted"));
    }
    Ok(())
}

/// The entries that files declare, and the place of each.
struct Declaration {
    entries: Vec<Entry>,
    places: Vec<String>,
}

impl Declaration {
    /// Reads the files, which must name no other group and no targets twice.
    fn read(GroupFiles { group, files }: &GroupFiles) -> Result<Declaration, Failure> {
        let placed = files::entries(files.iter().map(PathBuf::as_path))?;
        let mut seen: HashMap<_, &str> = HashMap::new();
        for Placed { entry, place } in &placed {
            let targets = entry.targets.join(",");
            if let Some(other) = entry.target_group.as_ref().filter(|other| *other != group) {
                let text = format!("{place}: {targets}: the file says group {other:?}, the command {group:?}");
                return Err(Failure::Usage(text));
            }
            if let Some(before) = seen.insert(entry.id(), place) {
                return Err(Failure::Usage(format!("{place}: {targets} is declared twice, first at {before}")));
            }
        }
        let of_group = |Placed { entry, place }| (Entry { target_group: Some(group.clone()), ..entry }, place);
        let (entries, places) = placed.into_iter().map(of_group).unzip();
        Ok(Declaration { entries, places })
    }

    /// The entry that a fault concerns: its number is the first part of the pointer.
    fn at(&self, fault: &BodyFault) -> Option<usize> {
        let at = fault.pointer.strip_prefix('/')?.split('/').next()?.parse().ok()?;
        (at < self.entries.len()).then_some(at)
    }

    /// The faults by target, file and line.
    fn refused(&self, refused: RefusedDeclaration) -> Failure {
        let RefusedDeclaration { is_elsewhere, sentence, faults, total } = refused;
        let elsewhere = "some targets are registered in other groups; --adopt takes them over";
        let reason = if is_elsewhere { elsewhere } else { &sentence };
        let mut text = format!("the server refuses this: {reason}");
        for fault in faults.iter().take(FAULTS_SHOWN_MAX) {
            text += &match self.at(fault) {
                Some(at) => {
                    format!("\n  {}: {}: {}", self.places[at], self.entries[at].targets.join(","), fault.detail)
                }
                None => format!("\n  {}", fault.detail),
            };
        }
        let more = total.saturating_sub(faults.len().min(FAULTS_SHOWN_MAX));
        if more > 0 {
            text += &format!("\n  and {more} more");
        }
        Failure::Refused(text)
    }
}

fn show(group: &str, plan: &GroupPlan<'_>, output: Output) {
    let names = (format!("{group} on the server"), format!("{group} in the files"));
    show_differences(&plan.differences((&names.0, &names.1)), output);
    print_line(&plan.counts().to_string());
}

/// Prints a unified diff, in the usual colours if these are welcome.
pub(super) fn show_differences(differences: &str, output: Output) {
    for line in text::lines(differences).lines() {
        let style = match line.as_bytes() {
            [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] => Style::new().bold(),
            [b'-', ..] => Style::new().red(),
            [b'+', ..] => Style::new().green(),
            [b'@', ..] => Style::new().cyan(),
            _ => Style::new(),
        };
        print_line(&output.style(style).apply_to(line).to_string());
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlanCounts {
    pub(super) create: usize,
    pub(super) change: usize,
    pub(super) unchanged: usize,
    pub(super) delete: usize,
    /// Entries that are taken over from other groups.
    pub(super) adopt: usize,
}

impl PlanCounts {
    /// Counts a wanted entry, compared with the current one.
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

/// The changes that make a group exactly what is wanted.
pub(super) struct GroupPlan<'a> {
    pairs: BTreeMap<TargetId, [Option<&'a Entry>; 2]>,
    /// Entries that are in other groups, with the server's texts about them.
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

    /// Marks these as being in other groups; there may be more than are named.
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

    /// The differences as a unified diff, with a part for each registration; empty if there are none.
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

/// The lines of one registration; none if both sides show alike.
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

/// The properties that can differ, in the order in which they are shown.
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
