//! `sync` and `diff`: a group as files declare it, and what that changes.

use std::collections::HashMap;
use std::path::PathBuf;

use console::Style;
use serde_json::json;

use super::api::{DeclarationCounts, DeclareAnswer};
use super::connection::Api;
use super::files::Placed;
use super::output::Output;
use super::plan::GroupPlan;
use super::{Entry, Failure, files};
use crate::config::commands::{GroupFiles, SyncCommand};
use crate::registration::BodyFault;

/// The most faults that are shown one by one.
const FAULTS_SHOWN_MAX: usize = 20;

/// Shows the differences; whether there are any is the answer.
pub(super) fn diff(connection: &Api, declared: &GroupFiles, output: Output) -> Result<(), Failure> {
    let wanted = Wanted::read(declared)?;
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

/// Makes the group be what the files say, unless it is.
pub(super) fn sync(connection: &Api, command: &SyncCommand, output: Output) -> Result<(), Failure> {
    let SyncCommand { declared, dry_run, adopt, allow_empty, ttl, .. } = command;
    let group = &declared.group;
    let wanted = Wanted::read(declared)?;
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
    // Asked without adopting, the server names what it would take from where.
    if *adopt
        && plan.counts().create > 0
        && let DeclareAnswer::Elsewhere(faults, total) = declare(true, false)?
    {
        let named = faults.into_iter().filter_map(|fault| Some((wanted.entry(&fault)?.id(), fault.detail)));
        plan.adopt(named.collect::<Vec<_>>(), total);
    }
    if output.is_table() {
        show(group, &plan, output);
    }
    // With a lifetime, declaring it again is renewing it.
    let outcome = match plan.counts().changes_nothing() && ttl.is_none() {
        true => None,
        false => match declare(*dry_run, *adopt)? {
            DeclareAnswer::Done(outcome) => Some(outcome),
            DeclareAnswer::Elsewhere(faults, total) => {
                let text = "some targets are registered in other groups; --adopt takes them over";
                return Err(wanted.refused(text, &faults, total));
            }
            DeclareAnswer::Refused(text, faults, total) => return Err(wanted.refused(&text, &faults, total)),
        },
    };
    if !output.is_table() {
        let answer = json!({ "group": group, "dry_run": dry_run, "plan": plan.to_json(), "result": outcome });
        return output.value(&answer);
    }
    if let Some(DeclarationCounts { created, updated, unchanged, deleted }) = outcome.filter(|_| !dry_run) {
        output.print(&format!("{created} created, {updated} changed, {unchanged} unchanged, {deleted} deleted\n"));
    }
    Ok(())
}

/// What files declare, and where each of it stands.
struct Wanted {
    entries: Vec<Entry>,
    places: Vec<String>,
}

impl Wanted {
    /// Reads the files, which may name no other group and no targets twice.
    fn read(GroupFiles { group, files }: &GroupFiles) -> Result<Wanted, Failure> {
        let placed = files::placed_entries(files.iter().map(PathBuf::as_path))?;
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
        Ok(Wanted { entries, places })
    }

    /// Which entry a fault concerns: the first part of its pointer is the number.
    fn at(&self, fault: &BodyFault) -> Option<usize> {
        let at = fault.pointer.strip_prefix('/')?.split('/').next()?.parse().ok()?;
        (at < self.entries.len()).then_some(at)
    }

    fn entry(&self, fault: &BodyFault) -> Option<&Entry> {
        self.at(fault).map(|at| &self.entries[at])
    }

    /// The faults by target, file and line.
    fn refused(&self, text: &str, faults: &[BodyFault], total: usize) -> Failure {
        let mut text = format!("the server refuses this: {text}");
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
    output.print(&format!("{}\n", plan.counts()));
}

/// Prints a unified diff, coloured as usual if colours are welcome.
pub(super) fn show_differences(differences: &str, output: Output) {
    for line in super::terminal::lines(differences).lines() {
        let style = match line.as_bytes() {
            [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] => Style::new().bold(),
            [b'-', ..] => Style::new().red(),
            [b'+', ..] => Style::new().green(),
            [b'@', ..] => Style::new().cyan(),
            _ => Style::new(),
        };
        output.print(&format!("{}\n", output.style(style).apply_to(line)));
    }
}
