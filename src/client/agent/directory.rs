//! The directory of the agent: what its files hold. A broken file keeps what it held before, and is told once.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::PathBuf;

use log::{info, warn};

use super::file::{Found, HeldFile};
use crate::client::Entry;
use crate::registration::TargetId;

/// The files that are read; others, such as what editors and package managers leave behind, are not.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// An entry and the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) entry: Entry,
    pub(super) file: String,
}

/// What the files of a directory hold.
pub(super) struct Directory {
    path: PathBuf,
    /// Group and lifetime of what names none.
    group: Option<String>,
    ttl_seconds: Option<u64>,
    files: BTreeMap<OsString, HeldFile>,
    /// What is wrong with the directory itself, once it was told.
    fault: Option<String>,
    /// What stands in a second file, once it was told.
    repeated: HashSet<(TargetId, OsString)>,
}

impl Directory {
    pub(super) fn new(path: PathBuf, group: Option<String>, ttl_seconds: Option<u64>) -> Directory {
        Directory { path, group, ttl_seconds, files: BTreeMap::new(), fault: None, repeated: HashSet::new() }
    }

    /// Looks at every file; those that are known to be complete are read in any case, others if they look different.
    pub(super) fn look(&mut self, complete: &HashSet<OsString>) -> Found {
        let names = match self.names() {
            Ok(names) => names,
            Err(e) => {
                self.cannot_be_read(e.to_string());
                return Found::default();
            }
        };
        self.fault = None;
        let mut found = Found::default();
        for name in &names {
            let file = self.files.entry(name.clone()).or_default();
            let one = file.look(&self.path.join(name), complete.contains(name));
            found.changed |= one.changed;
            found.unsettled |= one.unsettled;
        }
        let gone: Vec<OsString> = self.files.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in gone {
            self.files.remove(&name);
            info!(file:% = name.display(); "file removed");
            found.changed = true;
        }
        found
    }

    /// Not the same as an empty directory: what was there is kept.
    fn cannot_be_read(&mut self, reason: String) {
        if self.fault.as_ref() != Some(&reason) {
            warn!(directory:% = self.path.display(), reason; "the directory cannot be read; looking again every minute");
            self.fault = Some(reason);
        }
    }

    fn names(&self) -> io::Result<HashSet<OsString>> {
        let mut names = HashSet::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if is_read(&name) && !self.path.join(&name).is_dir() {
                names.insert(name);
            }
        }
        Ok(names)
    }

    /// Everything that is to be registered. Where several files hold the same targets, the first by name counts.
    pub(super) fn wanted(&mut self) -> BTreeMap<TargetId, Wanted> {
        let mut wanted: BTreeMap<TargetId, Wanted> = BTreeMap::new();
        let mut repeated = HashSet::new();
        for (name, held) in &self.files {
            for entry in held.entries() {
                let id = entry.id();
                if let Some(first) = wanted.get(&id) {
                    if !self.repeated.contains(&(id, name.clone())) {
                        let (file, first, targets) = (name.display(), &first.file, entry.targets.join(","));
                        warn!(file:% = file, first, targets; "these targets stand in another file already, which counts");
                    }
                    repeated.insert((id, name.clone()));
                    continue;
                }
                let entry = entry.clone().or(self.group.as_deref(), self.ttl_seconds);
                wanted.insert(id, Wanted { entry, file: name.to_string_lossy().into_owned() });
            }
        }
        self.repeated = repeated;
        wanted
    }
}

fn is_read(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    !name.starts_with('.') && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}
