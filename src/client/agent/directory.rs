//! The directory of the agent: what its files hold. A broken file keeps what it held before, and so does a directory
//! that cannot be read, or that is empty where it may not have been mounted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use log::{info, warn};

use super::file::{HeldFile, Look};
use super::memory::{DirectoryKey, Leaving, Remembered, Wanted};
use crate::logging::News;
use crate::registration::TargetId;

/// The files that are read; others, such as what editors and package managers leave behind, are not.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

const FILES_MAX: usize = 10_000;

/// Where Linux says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What the files of a directory hold.
pub(super) struct Directory {
    path: PathBuf,
    /// Group and lifetime of what names none.
    group: Option<String>,
    ttl_seconds: Option<u64>,
    files: BTreeMap<String, HeldFile>,
    /// What no file holds any more, until it is deleted.
    leaving: HashMap<TargetId, Leaving>,
    /// The directory when it was last seen with files.
    seen: Option<DirectoryKey>,
    boot: Option<String>,
    /// Whether it was looked at, so that what is known of it is more than what is remembered.
    looked: bool,
    /// What is wrong with the directory itself.
    fault: News,
    /// What stands in a second file, once it was told.
    repeated: HashSet<(TargetId, String)>,
}

impl Directory {
    /// A directory that held this when it was looked at last.
    pub(super) fn new(
        path: PathBuf,
        group: Option<String>,
        ttl_seconds: Option<u64>,
        remembered: Remembered,
    ) -> Directory {
        let boot = fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned());
        let Remembered { seen, files, leaving } = remembered;
        Directory {
            path,
            group,
            ttl_seconds,
            files: files.into_iter().map(|(name, entries)| (name, HeldFile::holding(entries))).collect(),
            leaving: leaving.into_iter().map(|one| (TargetId::of(&one.targets), one)).collect(),
            // What nobody can tell from another boot is one.
            seen: seen.filter(|seen| boot.as_ref() == Some(&seen.boot)),
            boot,
            looked: false,
            fault: News::default(),
            repeated: HashSet::new(),
        }
    }

    pub(super) fn remembered(&self) -> Remembered {
        let files = self.files.iter().filter(|(_, file)| !file.entries().is_empty());
        let mut leaving: Vec<Leaving> = self.leaving.values().cloned().collect();
        leaving.sort_by(|a, b| (&a.file, &a.targets).cmp(&(&b.file, &b.targets)));
        Remembered {
            seen: self.seen.clone(),
            files: files.map(|(name, file)| (name.clone(), file.entries().to_vec())).collect(),
            leaving,
        }
    }

    pub(super) fn forget(&mut self, ids: &[TargetId]) {
        ids.iter().for_each(|id| drop(self.leaving.remove(id)));
    }

    /// Looks at every file; those that are known to be complete are read in any case, others if they look different.
    ///
    /// # Errors
    /// When the directory cannot be read, which is told once. Not the same as an empty one: what was there is kept.
    pub(super) fn look(&mut self, complete: &HashSet<String>) -> io::Result<Look> {
        let (names, place) = match self.names().and_then(|names| Ok((names, self.place()?))) {
            Ok(looked) => looked,
            Err(e) => {
                if self.fault.is(&e.to_string()) {
                    let directory = self.path.display();
                    warn!(directory:%, reason:% = e; "the directory cannot be read; what it held is kept, and it is looked at every few seconds");
                }
                return Err(e);
            }
        };
        if names.is_empty() && !self.files.is_empty() && (place.is_none() || self.seen != place) {
            if self.fault.is("empty") {
                let directory = self.path.display();
                warn!(directory:%; "the directory is empty, but may not be mounted: it is not the one that had files since the boot; nothing is deleted");
            }
            return Ok(Look::default());
        }
        self.fault.is_over();
        if !names.is_empty() {
            self.seen = place;
        }
        let before = self.held();
        let mut found = Look { changed: !self.looked, unsettled: false };
        self.looked = true;
        for name in &names {
            let file = self.files.entry(name.clone()).or_default();
            let one = file.look(&self.path.join(name), complete.contains(name));
            found.changed |= one.changed;
            found.unsettled |= one.unsettled;
        }
        let gone: Vec<String> = self.files.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in gone {
            self.files.remove(&name);
            info!(file = name; "file removed");
            found.changed = true;
        }
        let now = self.held();
        self.leaving.extend(before.into_iter().filter(|(id, _)| !now.contains_key(id)));
        self.leaving.retain(|id, _| !now.contains_key(id));
        Ok(found)
    }

    /// Every registration that a file holds.
    fn held(&self) -> HashMap<TargetId, Leaving> {
        let entries = self.files.iter().flat_map(|(name, file)| file.entries().iter().map(move |entry| (name, entry)));
        entries
            .map(|(name, entry)| (entry.id(), Leaving { file: name.clone(), targets: entry.targets.clone() }))
            .collect()
    }

    fn names(&self) -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.path)? {
            // No file of ours has a name that is not UTF-8.
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if is_read(&name) && !self.path.join(&name).is_dir() {
                names.insert(name);
            }
            if names.len() > FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} files")));
            }
        }
        Ok(names)
    }

    /// Which directory it is, in which boot, as far as that can be told.
    fn place(&self) -> io::Result<Option<DirectoryKey>> {
        let metadata = fs::metadata(&self.path)?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        Ok(self.boot.clone().map(|boot| DirectoryKey { boot, device, inode }))
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
                        let (first, targets) = (&first.file, entry.targets.join(","));
                        warn!(file = name, first, targets; "already registered by another file, which takes precedence");
                    }
                    repeated.insert((id, name.clone()));
                    continue;
                }
                let entry = entry.clone().or(self.group.as_deref(), self.ttl_seconds);
                wanted.insert(id, Wanted { entry, file: name.clone() });
            }
        }
        self.repeated = repeated;
        wanted
    }
}

fn is_read(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    !name.starts_with('.') && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}
