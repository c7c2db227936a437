//! `sync` and `diff`: a group as files declare it, and what that changes.

use std::collections::HashMap;
use std::path::PathBuf;

use console::Style;
use serde_json::json;

use super::connection::Connection;
use super::output::Output;
use super::plan::{self, Plan};
use super::{Entry, Failure, files};
use crate::config::commands::{DeclaredGroup, Sync};

/// Shows the differences; whether there are any is the answer.
pub(super) fn diff(connection: &Connection, declared: &DeclaredGroup, output: Output) -> Result<(), Failure> {
    let wanted = read(declared)?;
    let current = connection.group(&declared.group)?.entries;
    let plan = show(&declared.group, &current, &wanted, output)?;
    if plan.changes_nothing() { Ok(()) } else { Err(Failure::No(format!("the group {:?} differs", declared.group))) }
}

/// Makes the group be what the files say, unless it is.
pub(super) fn sync(connection: &Connection, command: &Sync, output: Output) -> Result<(), Failure> {
    let Sync { declared, dry_run, adopt, allow_empty, ttl, .. } = command;
    let wanted = read(declared)?;
    if wanted.is_empty() && !allow_empty {
        let text = format!("the files hold nothing; --allow-empty deletes the whole group {:?}", declared.group);
        return Err(Failure::Usage(text));
    }
    let current = connection.group(&declared.group)?;
    let plan = show(&declared.group, &current.entries, &wanted, output)?;
    // With a lifetime, declaring it again is renewing it.
    if plan.changes_nothing() && ttl.is_none() {
        return Ok(());
    }
    let switches = [("dry_run", *dry_run), ("adopt", *adopt), ("allow_empty", *allow_empty)];
    let switches = switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "true".to_owned()));
    let parameters: Vec<_> = switches.chain(ttl.map(|ttl| ("ttl_seconds", ttl.to_string()))).collect();
    let done = connection.declare(&declared.group, &wanted, &parameters, current.etag.as_deref())?;
    if output.is_table() && !dry_run {
        let [created, updated, unchanged, deleted] =
            ["created", "updated", "unchanged", "deleted"].map(|name| done[name].as_u64().unwrap_or_default());
        output.print(&format!("{created} created, {updated} changed, {unchanged} left, {deleted} deleted\n"));
    }
    Ok(())
}

/// The entries of the files, which may name no other group and no targets twice.
fn read(DeclaredGroup { group, files }: &DeclaredGroup) -> Result<Vec<Entry>, Failure> {
    let entries = files::entries(files.iter().map(PathBuf::as_path))?;
    let mut seen = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let targets = entry.targets.join(",");
        if let Some(other) = entry.target_group.as_ref().filter(|other| *other != group) {
            return Err(Failure::Usage(format!("{targets}: the file says group {other:?}, the command {group:?}")));
        }
        if let Some(before) = seen.insert(entry.id(), at) {
            let text = format!("{targets}: stands in the files twice, as entry {} and {}", before + 1, at + 1);
            return Err(Failure::Usage(text));
        }
    }
    Ok(entries.into_iter().map(|entry| Entry { target_group: Some(group.clone()), ..entry }).collect())
}

fn show(group: &str, current: &[Entry], wanted: &[Entry], output: Output) -> Result<Plan, Failure> {
    let plan = Plan::new(current, wanted);
    let names = (format!("{group} on the server"), format!("{group} in the files"));
    let differences = plan::differences(current, wanted, (&names.0, &names.1));
    if output.is_table() {
        show_differences(&differences, output);
        output.print(&format!("{plan}\n"));
    } else {
        output.value(&json!({ "group": group, "plan": plan, "differences": differences }))?;
    }
    Ok(plan)
}

/// Prints a unified diff, coloured as usual if colours are welcome.
pub(super) fn show_differences(differences: &str, output: Output) {
    for line in super::harmless::lines(differences).lines() {
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
