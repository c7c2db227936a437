//! What the agent remembers from one run to the next, in a file of its own: its registrations, so that it deletes those
//! removed while it did not run, and whether the directory was seen with files since the boot.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use log::warn;
use serde::{Deserialize, Serialize};

use crate::client::{Entry, Failure};
use crate::files::{self, Unfinished};
use crate::logging::News;
use crate::registration::TargetId;

/// The file in the state directory, and the lock of the agent that uses it.
const FILE: &str = "agent.json";
const LOCK_FILE: &str = "agent.lock";

/// For the agent alone: registrations may hold secrets.
const MODE: u32 = 0o600;

/// The largest memory that is read: the content of 100 files of the largest size.
const BYTES_MAX: u64 = 800 * 1024 * 1024;

/// An entry and the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) entry: Entry,
    pub(super) file: String,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Remembered {
    /// When the directory was last seen with files in it; `None` when that is not known.
    pub(super) seen: Option<DirectoryKey>,
    /// The content of each file when it was last valid.
    pub(super) files: BTreeMap<String, Vec<Entry>>,
    /// Registrations that no file holds any more and that are not known to be deleted, by file.
    pub(super) leaving: Vec<Leaving>,
}

/// A directory in one boot. Another one under the same name, such as the place of a mount, has another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DirectoryKey {
    pub(super) boot: String,
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// A registration that must be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leaving {
    pub(super) file: String,
    pub(super) targets: Vec<String>,
}

impl Remembered {
    /// Everything that was, or may have been, registered.
    pub(super) fn registered(&self) -> BTreeMap<TargetId, Wanted> {
        let held = self.files.iter().flat_map(|(file, entries)| entries.iter().map(move |entry| (file, entry.clone())));
        let leaving = self.leaving.iter();
        let leaving =
            leaving.map(|Leaving { file, targets }| (file, Entry { targets: targets.clone(), ..Entry::default() }));
        held.chain(leaving).map(|(file, entry)| (entry.id(), Wanted { entry, file: file.clone() })).collect()
    }
}

pub(super) struct Memory {
    directory: PathBuf,
    written: Option<Vec<u8>>,
    fault: News,
    /// Held for as long as the agent runs.
    _lock: File,
}

impl Memory {
    /// Opens the memory and reads it. An unreadable memory counts as empty.
    ///
    /// # Errors
    /// There is no such directory, or another agent uses it.
    pub(super) fn open(directory: &Path) -> Result<(Memory, Remembered), Failure> {
        let wrong = |e: &dyn std::fmt::Display| Failure::Usage(format!("--state-dir {}: {e}", directory.display()));
        let lock = File::options().write(true).create(true).truncate(false).open(directory.join(LOCK_FILE));
        let lock = lock.map_err(|e| wrong(&e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(wrong(&"another agent uses it; each needs one of its own")),
            Err(TryLockError::Error(e)) => return Err(wrong(&e)),
        }
        let path = directory.join(FILE);
        let remembered = read(&path).unwrap_or_else(|e| {
            if e.kind() != ErrorKind::NotFound {
                warn!(file:% = path.display(), reason:% = e; "the memory cannot be read; files removed meanwhile stay registered until they expire");
            }
            Remembered::default()
        });
        let memory = Memory { directory: directory.to_owned(), written: None, fault: News::default(), _lock: lock };
        Ok((memory, remembered))
    }

    /// Writes the memory if it has changed. If that fails, the agent goes on without it.
    pub(super) fn write(&mut self, remembered: &Remembered) {
        // Text and numbers can always be written.
        let bytes = serde_json::to_vec(remembered).unwrap_or_default();
        if self.written.as_ref() == Some(&bytes) {
            return;
        }
        let place = self.directory.join(FILE);
        match files::replace(&place, &bytes, None, MODE, Unfinished::IsLeft) {
            Ok(_) => {
                self.written = Some(bytes);
                self.fault.is_over();
            }
            Err(e) => {
                if self.fault.is(&e.to_string()) {
                    warn!(directory:% = self.directory.display(), reason:% = e; "the memory cannot be written; tried again at the next change");
                }
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Remembered> {
    let (file, _) = files::open_regular(path, BYTES_MAX)?;
    Ok(serde_json::from_slice(&files::read_to_end(&file, BYTES_MAX)?)?)
}
