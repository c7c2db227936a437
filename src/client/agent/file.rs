//! One file of the directory: when it is read, and what it holds.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, Metadata};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use log::{error, info};

use crate::client::Entry;
use crate::client::files as registrations;
use crate::files;
use crate::logging::News;
use crate::registration::LabelNames;

const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A file that was not seen to be closed counts as complete when it has not been written to for so long.
const SETTLED: Duration = Duration::from_secs(2);

/// A file that was closed and then written to within so long is being written again: what is read may be half of it. It
/// is less than the time for which others are waited for after such news.
const WRITTEN_AGAIN: Duration = Duration::from_millis(40);

/// What a look has found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Something is not as it was.
    pub(super) changed: bool,
    /// A file may still be written to, and is to be looked at again soon.
    pub(super) unsettled: bool,
}

#[derive(Default)]
pub(super) struct HeldFile {
    /// When it was read last.
    state: Option<FileState>,
    hash: Option<u64>,
    entries: Vec<Entry>,
    fault: News,
}

/// What changes whenever a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileState {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    fn of(metadata: &Metadata) -> FileState {
        FileState {
            place: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl HeldFile {
    /// A file that held this when it was read last, before this agent began.
    pub(super) fn holding(entries: Vec<Entry>) -> HeldFile {
        HeldFile { entries, ..HeldFile::default() }
    }

    /// What it held when it was last right.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Reads the file if it is known to be complete, or looks different and is not being written to.
    pub(super) fn look(&mut self, path: &Path, is_complete: bool) -> Look {
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
        let state = FileState::of(&metadata);
        if self.state == Some(state) && !is_complete {
            return Ok(Look::default());
        }
        let settled = if is_complete { WRITTEN_AGAIN } else { SETTLED };
        // What a link leads to is put in place as a whole.
        if !fs::symlink_metadata(path)?.is_symlink() && is_younger(&metadata, settled) {
            return Ok(Look { unsettled: true, changed: false });
        }
        let bytes = files::read_to_end(&file, FILE_BYTES_MAX)?;
        // Half of it is from before and half from after.
        if FileState::of(&file.metadata()?) != state {
            return Ok(Look { unsettled: true, changed: false });
        }
        self.state = Some(state);
        Ok(Look { changed: self.read(path, &bytes), unsettled: false })
    }

    /// Takes what the file holds now; `false` when that is what it held before, or is broken.
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

/// A time of change in the future says nothing: the clock was set back.
fn is_younger(metadata: &Metadata, than: Duration) -> bool {
    let age = metadata.modified().map(|modified| modified.elapsed());
    matches!(age, Ok(Ok(age)) if age < than)
}
