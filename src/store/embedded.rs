//! The embedded store: a durable file in the data directory, written by one thread that commits for all who wait.
//! The callers' side is here; `writer` is that thread, `inbox` is between them, and only `file` knows redb.

mod deadline;
mod file;
mod inbox;
mod metrics;
mod open_error;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use log::error;
use prometheus::Registry;

pub use self::open_error::OpenError;

use self::deadline::Deadline;
use self::file::DocumentFile;
use self::inbox::{Inbox, Read, Write};
use self::metrics::Metrics;
use self::writer::Writer;
use super::{Mirror, Store, StoreError, WAIT_MAX};
use crate::registration::{TargetId, Ttl};

/// How long closing waits for the queued writes and for the file.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(3);

/// A store in a file of this server's own. Dropping it closes it.
pub struct EmbeddedStore {
    inbox: Arc<Inbox>,
}

impl EmbeddedStore {
    /// Opens the store in this directory, shows every live document in the mirror and calls [`Mirror::loaded`].
    /// Directory and file are created where they are absent, for this user alone.
    ///
    /// # Errors
    /// [`OpenError`], whose text says what to do about it. Nothing is overwritten or deleted.
    pub fn open(directory: &Path, mirror: Arc<dyn Mirror>, metrics: &Registry) -> Result<EmbeddedStore, OpenError> {
        let metrics = Metrics::new(metrics);
        let inbox = Arc::<Inbox>::default();
        let writer = Writer { inbox: inbox.clone(), mirror, metrics };
        let file = DocumentFile::open_or_create(directory)?;
        let path = file.path().to_owned();
        writer.load(&file).map_err(|fault| OpenError::from_fault(&path, fault))?;
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(file))
            .map_err(|error| OpenError::Io { path, error })?;
        Ok(EmbeddedStore { inbox })
    }
}

impl Store for EmbeddedStore {
    fn put(&self, id: TargetId, document: Vec<u8>, ttl: Ttl, now: SystemTime) -> Result<(), StoreError> {
        let (reply, answer) = sync_channel(1);
        self.inbox.submit_write(Write::Put { id, document, deadline: Deadline::of(ttl, now), reply })?;
        wait(&answer)
    }

    fn get(&self, id: TargetId, now: SystemTime) -> Result<Option<Vec<u8>>, StoreError> {
        let (reply, answer) = sync_channel(1);
        self.inbox.submit_read(Read { id, now, reply })?;
        wait(&answer)
    }

    fn delete(&self, id: TargetId, now: SystemTime) -> Result<bool, StoreError> {
        let (reply, answer) = sync_channel(1);
        self.inbox.submit_write(Write::Delete { id, now, reply })?;
        wait(&answer)
    }

    fn expired(&self, ids: Vec<TargetId>) {
        self.inbox.submit_expired(ids);
    }

    fn health(&self) -> Result<(), StoreError> {
        self.inbox.health()
    }

    fn close(&self) {
        if !self.inbox.close(CLOSE_WAIT_MAX) {
            error!("the store does not close in time; its file is checked at the next start");
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

fn wait<T>(answer: &Receiver<T>) -> Result<T, StoreError> {
    answer.recv_timeout(WAIT_MAX).map_err(|error| {
        StoreError::Unavailable(match error {
            RecvTimeoutError::Timeout => format!("no answer within {WAIT_MAX:?}; the outcome is unknown"),
            RecvTimeoutError::Disconnected => "its file failed; the outcome is unknown".to_owned(),
        })
    })
}
