//! What is to be imported: files, standard input, and any server's `http_sd` lists.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::path::Path;

use crate::client::connection::{Api, Secret, check_url, read_token};
use crate::client::output::tell;
use crate::client::{Entry, Failure, files};
use crate::config::commands::{ImportCommand, TokenSource};
use crate::registration::{GROUP_LABEL, ID_LABEL, LabelNames, MODULE_LABEL, TargetId};

/// What the sources hold.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) entries: Vec<Entry>,
    pub(super) refusals: RefusedEntries,
    places: HashMap<TargetId, usize>,
}

/// Reads all sources before anything is registered.
pub(super) fn read(connection: &Api, command: &ImportCommand) -> Result<Sources, Failure> {
    let mut all = Sources::default();
    let is_url = |name: &str| name.starts_with("http://") || name.starts_with("https://");
    if command.source_token_file.is_some() && !command.sources.iter().any(|source| is_url(&source.to_string_lossy())) {
        return Err(Failure::Usage("--source-token-file: is for URLs, and there is none".to_owned()));
    }
    let token = command.source_token_file.clone().map(TokenSource::File);
    let token = token.map(|source| read_token("--source-token-file", &source)).transpose()?;
    for source in &command.sources {
        let name = source.to_string_lossy();
        let is_url = is_url(&name);
        let bytes = if is_url { get(connection, &name, token.as_ref())? } else { files::read(Path::new(source))? };
        let content = files::parse(&bytes, LabelNames::Utf8);
        drop(bytes);
        for fault in content.faults {
            match fault.entry {
                Some(number) => all.refusals.add(&format!("{name}: entry {number}"), &fault.reason),
                None => return Err(Failure::Usage(format!("{name}: {fault}"))),
            }
        }
        content.entries.into_iter().for_each(|entry| all.add(entry, &name, is_url));
    }
    all.places = HashMap::new();
    Ok(all)
}

fn get(connection: &Api, url: &str, token: Option<&Secret>) -> Result<Vec<u8>, Failure> {
    check_url("URL", url)?;
    let answer = connection.get_foreign(url, token).map_err(|e| Failure::Unavailable(format!("no answer from {e}")))?;
    match answer.status {
        200 if answer.is_page() => {
            Err(Failure::Unavailable(format!("{url} gives a page and no list: {}", answer.reason())))
        }
        200 => Ok(answer.body),
        401 | 403 => Err(Failure::Refused(format!(
            "{url} answers {}: {}; --source-token-file names a file with the token for it",
            answer.status,
            answer.reason()
        ))),
        status => Err(Failure::Unavailable(format!("{url} answers {status}: {}", answer.reason()))),
    }
}

impl Sources {
    fn add(&mut self, entry: Entry, source: &str, is_list: bool) {
        // Only in lists do these labels stand for something; in a file they are what somebody has registered.
        let entry = if is_list { from_list(entry) } else { entry };
        match self.places.entry(entry.id()) {
            Slot::Vacant(place) => {
                place.insert(self.entries.len());
                self.entries.push(entry);
            }
            Slot::Occupied(place) => {
                let known = &mut self.entries[*place.get()];
                if is_list && is_next_module(known, &entry) {
                    known.modules.extend(entry.modules);
                } else {
                    self.refusals
                        .add(&entry.targets.join(","), &format!("is there twice, the second time in {source}"));
                }
            }
        }
    }
}

/// Takes group and module from the labels that lists show them under.
fn from_list(mut entry: Entry) -> Entry {
    entry.labels.remove(ID_LABEL);
    if let Some(group) = entry.labels.remove(GROUP_LABEL) {
        entry.target_group.get_or_insert(group);
    }
    if entry.modules.is_empty() {
        entry.modules.extend(entry.labels.remove(MODULE_LABEL));
    }
    entry
}

/// Whether the second is the same registration as the first with another module: lists show one entry for each.
fn is_next_module(known: &Entry, entry: &Entry) -> bool {
    !entry.modules.is_empty()
        && !known.modules.is_empty()
        && known.labels == entry.labels
        && known.target_group == entry.target_group
        && !known.modules.iter().any(|module| entry.modules.contains(module))
}

/// Refused entries that are named; the others are counted.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Default)]
pub(super) struct RefusedEntries {
    pub(super) total: usize,
    shown: Vec<String>,
}

impl RefusedEntries {
    pub(super) fn add(&mut self, what: &str, reason: &str) {
        self.total += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("{what}: {reason}"));
        }
    }

    pub(super) fn tell(&self) {
        self.shown.iter().for_each(|refusal| tell(refusal));
        if self.total > self.shown.len() {
            tell(&format!("and {} more refused", self.total - self.shown.len()));
        }
    }
}
