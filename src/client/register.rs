//! `register` and `deregister`: one-time requests from flags or a file.

use std::collections::BTreeMap;

use serde_json::json;

use super::connection::Api;
use super::output::{Output, print_line, tell};
use super::{Entry, Failure, files, text};
use crate::config::commands::{DeregisterCommand, RegisterCommand};
use crate::registration::{LabelNames, TargetId, parse_id};

/// An empty file is no fault: the program that makes it may have nothing to put into it.
const EMPTY: &str = "the file holds no registration";

/// Registers and prints the ids. A refused registration does not keep others from being registered.
pub(super) fn register(connection: &Api, declaration: &RegisterCommand, output: Output) -> Result<(), Failure> {
    let entries = entries(declaration)?;
    if entries.is_empty() {
        tell(EMPTY);
    }
    if entries.iter().any(|entry| entry.ttl_seconds.is_some()) {
        connection.can_list(&entries)?;
    }
    let (mut ids, mut refused) = (Vec::new(), 0);
    for entry in &entries {
        match connection.register(entry) {
            Ok(id) => ids.push(id),
            Err(Failure::Refused(reason)) if entries.len() > 1 => {
                tell(&format!("{}: {reason}", entry.targets.join(",")));
                refused += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
    show(&ids, output)?;
    match refused {
        0 => Ok(()),
        _ => Err(Failure::Refused(format!("{refused} of {} are refused, see above", entries.len()))),
    }
}

fn show(ids: &[String], output: Output) -> Result<(), Failure> {
    if output.is_table() {
        ids.iter().for_each(|id| print_line(&text::line(id)));
        return Ok(());
    }
    let shown: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
    match shown.as_slice() {
        [one] => output.value(one),
        several => output.value(&several),
    }
}

pub(super) fn deregister(connection: &Api, command: &DeregisterCommand) -> Result<(), Failure> {
    let DeregisterCommand { file, ids, targets, .. } = command;
    let ids: Vec<TargetId> = match file {
        Some(path) => files::entries([path.as_path()])?.iter().map(|placed| placed.entry.id()).collect(),
        None if !targets.is_empty() => vec![TargetId::of(targets)],
        None => {
            let id = |text: &String| parse_id(text).map_err(|e| Failure::Usage(format!("--id: {e}")));
            ids.iter().map(id).collect::<Result<_, _>>()?
        }
    };
    if ids.is_empty() && file.is_some() {
        tell(EMPTY);
    } else if ids.is_empty() {
        let text =
            "name what to delete by --target HOST:PORT, by --id, or by a file; `inventor deregister --help` shows how";
        return Err(Failure::Usage(text.to_owned()));
    }
    let mut missing = Vec::new();
    for id in ids {
        if !connection.deregister(id)? {
            missing.push(id.to_string());
        }
    }
    match missing.len() {
        0 => Ok(()),
        _ => Err(Failure::No(format!("not registered: {}", missing.join(", ")))),
    }
}

fn entries(declaration: &RegisterCommand) -> Result<Vec<Entry>, Failure> {
    let (group, ttl) = (declaration.group.as_deref(), declaration.ttl);
    let entries = match &declaration.file {
        Some(path) => files::entries([path.as_path()])?.into_iter().map(|placed| placed.entry).collect(),
        None => vec![described(declaration)?],
    };
    Ok(entries.into_iter().map(|entry| entry.or(group, ttl)).collect())
}

fn described(declaration: &RegisterCommand) -> Result<Entry, Failure> {
    for (old, new, given) in [
        ("--interval", "--scrape-interval", &declaration.old_interval),
        ("--timeout", "--scrape-timeout", &declaration.old_timeout),
    ] {
        if given.is_some() {
            tell(&format!("{old} is called {new} now; the next version will not know it any more"));
        }
    }
    if declaration.targets.iter().any(String::is_empty) {
        return Err(Failure::Usage("--target: expected HOST:PORT, not an empty text".to_owned()));
    }
    if declaration.targets.is_empty() {
        let text = "name the targets by --target HOST:PORT, or a file; `inventor register --help` shows how";
        return Err(Failure::Usage(text.to_owned()));
    }
    let mut labels = BTreeMap::new();
    for (name, value) in &declaration.labels {
        if labels.insert(name.clone(), value.clone()).is_some() {
            return Err(Failure::Usage(format!("--label {name} is given twice")));
        }
    }
    add_scrape_labels(declaration, &mut labels)?;
    let entry = Entry {
        targets: declaration.targets.clone(),
        labels,
        modules: declaration.modules.clone(),
        ..Entry::default()
    };
    Entry::checked(&entry.body(), LabelNames::Utf8).map_err(|reason| Failure::Usage(by_flag(&reason)))?;
    Ok(entry)
}

/// The labels that tell Prometheus how to scrape the target, with the flags that become them.
const SCRAPE_LABELS: [(&str, &str); 4] = [
    ("__scheme__", "--scheme"),
    ("__metrics_path__", "--path"),
    ("__scrape_interval__", "--scrape-interval"),
    ("__scrape_timeout__", "--scrape-timeout"),
];

fn add_scrape_labels(declaration: &RegisterCommand, labels: &mut BTreeMap<String, String>) -> Result<(), Failure> {
    let RegisterCommand { scheme, path, scrape_interval, scrape_timeout, old_interval, old_timeout, .. } = declaration;
    let (interval, timeout) = (scrape_interval.as_ref().or(old_interval.as_ref()), scrape_timeout.as_ref());
    let values = [scheme.as_ref(), path.as_ref(), interval, timeout.or(old_timeout.as_ref())];
    let named = SCRAPE_LABELS.iter().zip(values).filter_map(|((name, _), value)| Some(((*name).to_owned(), value?)));
    let parameters = declaration.params.iter().map(|(name, value)| (format!("__param_{name}"), value));
    for (name, value) in named.chain(parameters) {
        if let Some(other) = labels.insert(name.clone(), value.clone()).filter(|other| other != value) {
            return Err(Failure::Usage(format!("{name} is given twice, as {other:?} and as {value:?}")));
        }
    }
    Ok(())
}

/// The message with the names of flags instead of the labels that they become.
fn by_flag(text: &str) -> String {
    let text = text.replace("__param_NAME", "--param");
    SCRAPE_LABELS.iter().fold(text, |text, (label, flag)| text.replace(label, flag))
}
