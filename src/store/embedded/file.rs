//! The file that holds the documents: how it is created, opened, read and written. The only code that knows redb.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{info, warn};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition, TableError,
};

use super::clock::NEVER;
use super::errors::{FileError, OpenError, contain};
use crate::registration::TargetId;

/// The name of the file in the data directory.
const FILE_NAME: &str = "inventor.redb";

/// The version of the tables below. A file with another version is left untouched.
const FORMAT: u64 = 1;

/// The size of redb's cache. The mirror holds the documents, so the file is read only to load them, to sweep and for a
/// GET.
const CACHE_BYTES: usize = 16 << 20;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";
/// The time of the last write, by the clock of the file. Owners could renew until then.
const ALIVE_KEY: &str = "alive";

/// A table that is written and removed again, to find out whether the disk takes writes.
const PROBE: TableDefinition<(), &[u8]> = TableDefinition::new("probe");

/// The size of an ordinary commit: a full disk may still take a smaller one.
const PROBE_BYTES: usize = 64 << 10;

/// A file larger than this is compacted at the start if more than half of it is free.
const COMPACTED_BYTES_MIN: u64 = 4 << 20;

/// Deadlines and documents, by the bytes of the id.
const DOCUMENTS: TableDefinition<Key, Value> = TableDefinition::new("documents");
type Key = [u8; 16];
type Value = (u64, &'static [u8]);

/// The owners' deadlines of registrations whose deadlines outages have moved, each with the deadline to which it was
/// last moved. An entry counts while that is the document's deadline: older versions do not know this table.
const ORIGINALS: TableDefinition<Key, (u64, u64)> = TableDefinition::new("originals");

/// The open file. Only one process at a time can open it.
pub(super) struct DocumentFile {
    database: Database,
    path: PathBuf,
    /// Device and inode, to notice that the file at the path is missing or another one.
    identity: (u64, u64),
}

impl DocumentFile {
    /// Opens the file in this directory. Creates either if it is missing.
    pub(super) fn open_or_create(directory: &Path) -> Result<DocumentFile, OpenError> {
        create_directory(directory).map_err(|error| OpenError::from_io(directory, error))?;
        let path = directory.join(FILE_NAME);
        if !path.try_exists().map_err(|error| OpenError::from_io(&path, error))? {
            create(directory, &path).map_err(|fault| OpenError::from_fault(&path, fault, FORMAT))?;
        }
        DocumentFile::open(&path)
    }

    pub(super) fn open(path: &Path) -> Result<DocumentFile, OpenError> {
        let database = contain(|| {
            let mut builder = Builder::new();
            // Without the check, redb trusts the file: damage would show as a panic or as wrong documents.
            builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
            Ok(builder.open(path).map_err(redb::Error::from)?)
        })
        .map_err(|fault| OpenError::from_fault(path, fault, FORMAT))?;
        let found = contain(|| read_format(&database)).map_err(|fault| OpenError::from_fault(path, fault, FORMAT))?;
        if found != FORMAT {
            return Err(OpenError::Format { path: path.to_owned(), found: found.to_string(), known: FORMAT });
        }
        let metadata = fs::metadata(path).map_err(|error| OpenError::from_io(path, error))?;
        Ok(DocumentFile { database, path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The error of an opening that failed with this error.
    pub(super) fn open_error(&self, error: FileError) -> OpenError {
        OpenError::from_fault(&self.path, error, FORMAT)
    }

    /// What the clock of the file showed at the last write; `None` if an early version wrote it, without the time.
    pub(super) fn alive(&self) -> Result<Option<u64>, FileError> {
        let table = self.database.begin_read()?.open_table(META)?;
        Ok(table.get(ALIVE_KEY)?.map(|alive| alive.value()))
    }

    /// Passes every record of a part to `each`, in the order of the ids and including expired ones: the id, the
    /// deadline, the owner's deadline if outages have moved it, and the document.
    pub(super) fn for_each(
        &self,
        part: Part,
        mut each: impl FnMut(TargetId, u64, Option<u64>, &[u8]),
    ) -> Result<(), FileError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(DOCUMENTS)?;
        let originals = match transaction.open_table(ORIGINALS) {
            Err(TableError::TableDoesNotExist(_)) => None,
            opened => Some(opened?),
        };
        for record in table.range::<Key>((part.from, part.to))? {
            let (key, value) = record?;
            let (deadline, document) = value.value();
            let original =
                originals.as_ref().map_or(Ok(None), |originals| original(originals, key.value(), deadline))?;
            each(TargetId::from_bytes(key.value()), deadline, original, document);
        }
        Ok(())
    }

    /// The ids and deadlines of the records after `last`, or of the first ones: `count` at most, fewer if their
    /// documents exceed this many `bytes`. Empty at the end of the file.
    pub(super) fn deadlines_after(
        &self,
        last: Option<TargetId>,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<(TargetId, u64)>, FileError> {
        let table = self.database.begin_read()?.open_table(DOCUMENTS)?;
        let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded(last.to_bytes()));
        let (mut deadlines, mut read) = (Vec::new(), 0);
        for record in table.range::<Key>((from, Bound::Unbounded))?.take(count) {
            let (key, value) = record?;
            let (deadline, document) = value.value();
            deadlines.push((TargetId::from_bytes(key.value()), deadline));
            read += document.len();
            if read > bytes {
                break;
            }
        }
        Ok(deadlines)
    }

    /// The record of an id, even if it has expired.
    pub(super) fn get(&self, id: TargetId) -> Result<Option<(u64, Vec<u8>)>, FileError> {
        let table = self.database.begin_read()?.open_table(DOCUMENTS)?;
        let record = table.get(id.to_bytes())?;
        Ok(record.map(|record| {
            let (deadline, document) = record.value();
            (deadline, document.to_vec())
        }))
    }

    /// Writes as much as an ordinary commit and removes it again.
    pub(super) fn probe(&self) -> Result<(), FileError> {
        for content in [Some([0; PROBE_BYTES].as_slice()), None] {
            let mut transaction = self.database.begin_write()?;
            transaction.set_two_phase_commit(true);
            match content {
                Some(content) => drop(transaction.open_table(PROBE)?.insert((), content)?),
                None => drop(transaction.delete_table(PROBE)?),
            }
            transaction.commit()?;
        }
        Ok(())
    }

    /// Shrinks a file of which more than half is free.
    pub(super) fn compact_if_sparse(&mut self) -> Result<(), FileError> {
        let transaction = self.database.begin_write()?;
        let stats = transaction.stats()?;
        transaction.abort()?;
        let (used, bytes) = (stats.allocated_pages() * stats.page_size() as u64, self.bytes()?);
        if bytes > COMPACTED_BYTES_MIN && used < bytes / 2 {
            self.database.compact().map_err(redb::Error::from)?;
            info!(path:% = self.path.display(), before = bytes, after = self.bytes()?; "compacted the file");
        }
        Ok(())
    }

    /// Makes everything that `change` does durable, or nothing if it fails, and with it `alive`, the time of this write
    /// by the clock of the file.
    pub(super) fn change<T>(
        &self,
        alive: u64,
        change: impl FnOnce(&mut Records<'_>) -> Result<T, FileError>,
    ) -> Result<(T, Written), FileError> {
        let mut transaction = self.database.begin_write()?;
        // A repair that finds damage may roll back a commit of one phase, although it was acknowledged.
        transaction.set_two_phase_commit(true);
        let (table, originals) = (transaction.open_table(DOCUMENTS)?, transaction.open_table(ORIGINALS)?);
        let mut records = Records { table, originals, changes: 0 };
        let outcome = change(&mut records)?;
        let changes = records.changes;
        drop(records);
        transaction.open_table(META)?.insert(ALIVE_KEY, alive)?;
        transaction.commit()?;
        Ok((outcome, Written { changes, file_bytes: self.bytes()? }))
    }

    /// The size of the file. An error if it is no longer the one at its path: writes to it would be lost.
    pub(super) fn bytes(&self) -> Result<u64, FileError> {
        let moved = |why: &dyn fmt::Display| FileError::Moved(format!("{}: {why}", self.path.display()));
        let metadata = fs::metadata(&self.path).map_err(|error| moved(&error))?;
        if (metadata.dev(), metadata.ino()) != self.identity {
            return Err(moved(&"another file is in its place"));
        }
        Ok(metadata.len())
    }

    /// Closes the file, so that it need not be repaired when it is opened again.
    pub(super) fn close(self) -> Result<(), FileError> {
        Ok(self.database.close()?)
    }
}

/// One of several parts of a file, of about the same size because ids are hashes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    from: Bound<Key>,
    to: Bound<Key>,
}

impl Part {
    /// Splits a file into `count` parts: at least one, at most one for each value of an id's first byte.
    pub(super) fn all(count: usize) -> impl Iterator<Item = Part> {
        let ends = (1..count).filter_map(move |at| u8::try_from(at * 256 / count).ok()).map(|first| {
            let mut key = Key::default();
            key[0] = first;
            key
        });
        let from = [Bound::Unbounded].into_iter().chain(ends.clone().map(Bound::Included));
        let to = ends.map(Bound::Excluded).chain([Bound::Unbounded]);
        from.zip(to).map(|(from, to)| Part { from, to })
    }
}

pub(super) struct Written {
    pub(super) changes: usize,
    pub(super) file_bytes: u64,
}

/// The records within one transaction.
pub(super) struct Records<'a> {
    table: Table<'a, Key, Value>,
    originals: Table<'a, Key, (u64, u64)>,
    changes: usize,
}

impl Records<'_> {
    /// Writes a record, replacing the one with this id.
    pub(super) fn put(&mut self, id: TargetId, deadline: u64, document: &[u8]) -> Result<(), FileError> {
        self.table.insert(id.to_bytes(), (deadline, document))?;
        self.changes += 1;
        self.forget_original(id)
    }

    /// Moves the deadline of a record to a later one. Without a record, or if it expires later anyway, nothing happens.
    pub(super) fn lengthen(&mut self, id: TargetId, deadline: u64) -> Result<(), FileError> {
        let found = self.look_at(id, |record| {
            record.filter(|(old, _)| *old != NEVER && *old < deadline).map(|(old, document)| (old, document.to_vec()))
        })?;
        let Some((old, document)) = found else { return Ok(()) };
        let original = original(&self.originals, id.to_bytes(), old)?.unwrap_or(old);
        self.put(id, deadline, &document)?;
        self.originals.insert(id.to_bytes(), (original, deadline))?;
        Ok(())
    }

    fn forget_original(&mut self, id: TargetId) -> Result<(), FileError> {
        if !self.originals.is_empty()? {
            self.originals.remove(id.to_bytes())?;
        }
        Ok(())
    }

    /// Passes `look` the record of an id as this transaction has left it, even if it has expired.
    pub(super) fn look_at<T>(
        &self,
        id: TargetId,
        look: impl FnOnce(Option<(u64, &[u8])>) -> T,
    ) -> Result<T, FileError> {
        let record = self.table.get(id.to_bytes())?;
        Ok(look(record.as_ref().map(|record| record.value())))
    }

    pub(super) fn remove(&mut self, id: TargetId) -> Result<Option<u64>, FileError> {
        let removed = self.table.remove(id.to_bytes())?.map(|record| record.value().0);
        self.changes += usize::from(removed.is_some());
        self.forget_original(id)?;
        Ok(removed)
    }
}

/// The deadline that the owner gave a record, if outages have moved it to `deadline`.
fn original(originals: &impl ReadableTable<Key, (u64, u64)>, id: Key, deadline: u64) -> Result<Option<u64>, FileError> {
    let moved = originals.get(id)?.map(|moved| moved.value());
    Ok(moved.filter(|(_, to)| *to == deadline).map(|(original, _)| original))
}

fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let absent = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let created: Vec<_> = directory.ancestors().take_while(absent).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for parent in created.into_iter().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        // The user may have the right to create a directory, but not to open its parent.
        if let Err(error) = sync_directory(parent) {
            warn!(path:% = parent.display(), error:%; "cannot sync the new directory; a power failure may lose it");
        }
    }
    Ok(())
}

/// Creates the file under a temporary name and renames it when it is complete: an unfinished file is never taken for a
/// damaged one, and the file of a faster process is not overwritten.
fn create(directory: &Path, path: &Path) -> Result<(), FileError> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let unfinished = directory.join(format!(".{FILE_NAME}.{}.{nanos}.new", std::process::id()));
    let outcome = contain(|| {
        write_empty(&unfinished)?;
        publish(&unfinished, path)?;
        Ok(())
    });
    // After success this is a second name of the file, or superfluous because another process was faster.
    if let Err(error) = fs::remove_file(&unfinished)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(path:% = unfinished.display(), error:%; "cannot remove an unfinished file");
    }
    outcome?;
    Ok(sync_directory(directory)?)
}

fn write_empty(path: &Path) -> Result<(), FileError> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let durable = file.try_clone()?;
    let database = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(FileBackend::new(file)?)?;
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
    transaction.open_table(DOCUMENTS)?;
    transaction.commit()?;
    database.close()?;
    Ok(durable.sync_all()?)
}

fn publish(unfinished: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(unfinished, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Some file systems have no links; on those, two processes must not create the file at the same moment.
        Err(_) if !path.try_exists()? => fs::rename(unfinished, path),
        outcome => outcome,
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn read_format(database: &Database) -> Result<u64, FileError> {
    let table = database.begin_read()?.open_table(META)?;
    let format = table.get(FORMAT_KEY)?.map(|format| format.value());
    format.ok_or_else(|| FileError::from(redb::Error::Corrupted("its format is missing".to_owned())))
}

#[cfg(test)]
mod tests;
