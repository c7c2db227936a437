//! The directory of the agent: the contents of its files, and the watch that reports its changes. A broken file keeps
//! its earlier content; so does a directory that cannot be read, or that is empty where it may not have been mounted.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use log::{error, info, warn};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::memory::{DirectoryKey, Leaving, Remembered, Wanted};
use crate::client::Entry;
use crate::client::files as registrations;
use crate::config::commands::AgentCommand as Settings;
use crate::files::{self, Stamp, stamp};
use crate::logging::News;
use crate::registration::{LabelNames, TargetId};

/// The files that are read. Others, such as those that editors and package managers leave behind, are ignored.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

const FILES_MAX: usize = 10_000;

const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A file that was not seen to be closed counts as complete if it has not been written to for this long.
const SETTLED: Duration = Duration::from_secs(2);

/// A file that was closed and written to again within this time may be half written. It is less than the time for which
/// further changes are waited for.
const WRITTEN_AGAIN: Duration = Duration::from_millis(40);

/// The file in which Linux identifies the present boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Something has changed.
    pub(super) changed: bool,
    /// A file may still be written to, and must be looked at again soon.
    pub(super) unsettled: bool,
}

pub(super) struct Directory {
    settings: Settings,
    files: BTreeMap<String, HeldFile>,
    /// Registrations that no file holds any more, until they are deleted.
    leaving: HashMap<TargetId, Leaving>,
    /// The directory when it was last seen with files.
    seen: Option<DirectoryKey>,
    boot: Option<String>,
    /// Whether it was looked at in this run; before, only the remembered content is known.
    looked: bool,
    /// The fault of the directory itself.
    fault: News,
    /// Registrations in a second file that have been reported.
    repeated: HashSet<(TargetId, String)>,
}

impl Directory {
    /// A directory with this content at the last look.
    pub(super) fn new(settings: Settings, remembered: Remembered) -> Directory {
        let boot = fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned());
        let Remembered { seen, files, leaving } = remembered;
        Directory {
            settings,
            files: files
                .into_iter()
                .map(|(name, entries)| (name, HeldFile { entries, ..HeldFile::default() }))
                .collect(),
            leaving: leaving.into_iter().map(|one| (TargetId::of(&one.targets), one)).collect(),
            // A boot that cannot be identified counts as another one.
            seen: seen.filter(|seen| boot.as_ref() == Some(&seen.boot)),
            boot,
            looked: false,
            fault: News::default(),
            repeated: HashSet::new(),
        }
    }

    pub(super) fn remembered(&self) -> Remembered {
        let files = self.files.iter().filter(|(_, file)| !file.entries.is_empty());
        let mut leaving: Vec<Leaving> = self.leaving.values().cloned().collect();
        leaving.sort_by(|a, b| (&a.file, &a.targets).cmp(&(&b.file, &b.targets)));
        Remembered {
            seen: self.seen.clone(),
            files: files.map(|(name, file)| (name.clone(), file.entries.to_vec())).collect(),
            leaving,
        }
    }

    pub(super) fn forget(&mut self, ids: &[TargetId]) {
        ids.iter().for_each(|id| drop(self.leaving.remove(id)));
    }

    /// Looks at every file. Files known to be complete are read in any case, others if they look different.
    ///
    /// # Errors
    /// The directory cannot be read, which is reported once. That differs from an empty one: the earlier content is
    /// kept.
    pub(super) fn look(&mut self, complete: &HashSet<String>) -> io::Result<Look> {
        let (names, place) = match self.names().and_then(|names| Ok((names, self.place()?))) {
            Ok(looked) => looked,
            Err(e) => {
                if self.fault.is(&e.to_string()) {
                    let directory = self.settings.dir.display();
                    warn!(directory:%, reason:% = e; "the directory cannot be read; what it held is kept, and it is checked every few seconds");
                }
                return Err(e);
            }
        };
        if names.is_empty() && !self.files.is_empty() && (place.is_none() || self.seen != place) {
            if self.fault.is("empty") {
                let directory = self.settings.dir.display();
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
            let one = file.look(&self.settings.dir.join(name), complete.contains(name));
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
        let entries = self.files.iter().flat_map(|(name, file)| file.entries.iter().map(move |entry| (name, entry)));
        entries
            .map(|(name, entry)| (entry.id(), Leaving { file: name.clone(), targets: entry.targets.clone() }))
            .collect()
    }

    fn names(&self) -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.settings.dir)? {
            // The agent reads only files whose names are UTF-8.
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if is_read(&name) && !self.settings.dir.join(&name).is_dir() {
                names.insert(name);
            }
            if names.len() > FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} files")));
            }
        }
        Ok(names)
    }

    /// The identity of the directory, and of the boot, if it is known.
    fn place(&self) -> io::Result<Option<DirectoryKey>> {
        let metadata = fs::metadata(&self.settings.dir)?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        Ok(self.boot.clone().map(|boot| DirectoryKey { boot, device, inode }))
    }

    /// Everything that must be registered. If several files hold the same targets, the first by name counts.
    pub(super) fn wanted(&mut self) -> BTreeMap<TargetId, Wanted> {
        let mut wanted: BTreeMap<TargetId, Wanted> = BTreeMap::new();
        let mut repeated = HashSet::new();
        for (name, held) in &self.files {
            for entry in &held.entries {
                let id = entry.id();
                if let Some(first) = wanted.get(&id) {
                    if !self.repeated.contains(&(id, name.clone())) {
                        let (first, targets) = (&first.file, entry.targets.join(","));
                        warn!(file = name, first, targets; "already registered by another file, which takes precedence");
                    }
                    repeated.insert((id, name.clone()));
                    continue;
                }
                let entry = entry.clone().or(self.settings.group.as_deref(), self.settings.ttl);
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

/// A file of the directory: its state when it was read, and its content.
#[derive(Default)]
struct HeldFile {
    state: Option<Stamp>,
    hash: Option<u64>,
    /// Its content when it was last valid.
    entries: Vec<Entry>,
    fault: News,
}

impl HeldFile {
    /// Reads the file if it is known to be complete, or if it looks different and nobody is writing to it.
    fn look(&mut self, path: &Path, is_complete: bool) -> Look {
        match self.try_look(path, is_complete) {
            Ok(found) => found,
            // It went away after the directory was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
                Look { unsettled: true, changed: false }
            }
            Err(e) => {
                (self.state, self.hash) = (None, None);
                self.is_broken(path, e.to_string());
                Look::default()
            }
        }
    }

    fn try_look(&mut self, path: &Path, is_complete: bool) -> io::Result<Look> {
        let (file, metadata) = files::open_regular(path, FILE_BYTES_MAX)?;
        let state = stamp(&metadata);
        if self.state == Some(state) && !is_complete {
            return Ok(Look::default());
        }
        let settled = if is_complete { WRITTEN_AGAIN } else { SETTLED };
        // The target of a link is always put in place as a whole.
        if !fs::symlink_metadata(path)?.is_symlink() && is_younger(&metadata, settled) {
            return Ok(Look { unsettled: true, changed: false });
        }
        let bytes = files::read_to_end(&file, FILE_BYTES_MAX)?;
        // The file changed while it was read.
        if stamp(&file.metadata()?) != state {
            return Ok(Look { unsettled: true, changed: false });
        }
        self.state = Some(state);
        Ok(Look { changed: self.read(path, &bytes), unsettled: false })
    }

    /// Takes the present content of the file; `false` if it is unchanged or broken.
    fn read(&mut self, path: &Path, bytes: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let hash = Some(hasher.finish());
        if self.hash == hash {
            return false;
        }
        self.hash = hash;
        let content = registrations::parse(bytes, LabelNames::Utf8);
        if let Some(fault) = content.faults.first() {
            self.is_broken(path, fault.to_string());
            return false;
        }
        info!(file:% = name(path), registrations = content.entries.len(); "file read");
        self.fault.is_over();
        self.entries = content.entries;
        true
    }

    fn is_broken(&mut self, path: &Path, reason: String) {
        if self.fault.is(&reason) {
            let kept = self.entries.len();
            error!(file:% = name(path), reason, kept; "the file is broken; what it held before is kept");
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A time of change in the future tells nothing: the clock was set back.
fn is_younger(metadata: &Metadata, than: Duration) -> bool {
    let age = metadata.modified().map(|modified| modified.elapsed());
    matches!(age, Ok(Ok(age)) if age < than)
}

/// The source of news about changes in a directory; `None` if the system has none left. Then there are only the regular
/// looks.
pub(super) type Changes = Option<Arc<Inotify>>;

/// Has a thread report changes, with the files that were closed after writing or moved into place: these are complete.
pub(super) fn watch(changed: impl Fn(HashSet<String>) + Send + 'static) -> io::Result<Changes> {
    let inotify = match Inotify::init(InitFlags::IN_CLOEXEC) {
        Ok(inotify) => Arc::new(inotify),
        Err(e) => {
            warn!(reason:% = e; "changes of files cannot be watched; the files are checked every few seconds");
            return Ok(None);
        }
    };
    let changes = Arc::clone(&inotify);
    let run = move || {
        loop {
            match changes.read_events() {
                Ok(changes) => {
                    let complete = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO;
                    let complete = changes.into_iter().filter(|change| change.mask.intersects(complete));
                    changed(complete.filter_map(|change| change.name?.into_string().ok()).collect());
                }
                // The process was stopped and continued.
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    };
    thread::Builder::new().name("changes".into()).spawn(run)?;
    Ok(Some(inotify))
}

/// Watches the directory that is there now, which may be another one than before under the same name.
pub(super) fn watch_directory(changes: &Changes, directory: &Path) {
    let kinds = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_ONLYDIR;
    if let Some(inotify) = changes {
        // The next look reports a missing directory.
        let _ = inotify.add_watch(directory, kinds);
    }
}
