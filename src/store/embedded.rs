//! The embedded store: a durable file in the data directory. One thread, `writer`, commits the writes of all callers
//! together. The callers' side is here; `inbox` connects the two, and only `file` knows redb.

mod clock;
mod commit;
mod errors;
mod file;
mod inbox;
mod metrics;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{error, warn};
use oneshot::RecvTimeoutError;
use prometheus::Registry;

pub use self::errors::OpenError;

use self::errors::contain;
use self::file::DocumentFile;
use self::inbox::{Inbox, Lookup};
use self::metrics::Metrics;
use self::writer::Writer;
use super::mailbox::Unwritten;
use super::{Check, Mirror, Outcome, Store, StoreError, Update, WAIT_MAX};
use crate::registration::TargetId;

/// How long closing waits for the queued writes and for the file.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(3);

/// A store in this server's own file. Dropping it closes it.
pub struct EmbeddedStore {
    inbox: Arc<Inbox>,
}

impl EmbeddedStore {
    /// Opens the store in this directory, shows every live document in the mirror and calls [`Mirror::loaded`]. Creates
    /// directory and file if they are missing, for this user alone.
    ///
    /// # Errors
    /// [`OpenError`], whose text says what to do about it. Nothing is overwritten or deleted.
    pub fn open(directory: &Path, mirror: Arc<dyn Mirror>, metrics: &Registry) -> Result<EmbeddedStore, OpenError> {
        let metrics = Metrics::new(metrics);
        let inbox = Arc::<Inbox>::default();
        let mut file = DocumentFile::open_or_create(directory)?;
        let path = file.path().to_owned();
        if let Err(error) = contain(|| file.compact_if_sparse()) {
            warn!(path:% = path.display(), error:%; "the file cannot be compacted");
        }
        let writer = Writer::load(inbox.clone(), mirror, metrics, &file)?;
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(file))
            .map_err(|error| OpenError::Io { path, error })?;
        Ok(EmbeddedStore { inbox })
    }
}

impl Store for EmbeddedStore {
    fn write(&self, updates: Vec<Update>, check: Option<Check>) -> Result<Outcome, StoreError> {
        let deadline = Instant::now() + WAIT_MAX;
        let written = self.inbox.write(updates, check, deadline, |inbox| inbox.check_room().map_err(Unwritten::Failed));
        written.map_err(|unwritten| match unwritten {
            Unwritten::Failed(error) => error,
            Unwritten::Late => unanswered(RecvTimeoutError::Timeout),
            Unwritten::NotBegun | Unwritten::Lost => unanswered(RecvTimeoutError::Disconnected),
        })
    }

    fn get(&self, id: TargetId) -> Result<Option<Vec<u8>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.look_up(Lookup { id, reply })?;
        answer.recv_deadline(Instant::now() + WAIT_MAX).map_err(unanswered)
    }

    fn health(&self) -> Result<(), StoreError> {
        self.inbox.contents().notices.check()
    }

    fn close(&self) {
        if !self.inbox.close(CLOSE_WAIT_MAX) {
            error!("the store did not close in time; the next start will check its file");
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

fn unanswered(none: RecvTimeoutError) -> StoreError {
    StoreError::Unavailable(match none {
        RecvTimeoutError::Timeout => format!("no answer within {WAIT_MAX:?}; the outcome is unknown"),
        RecvTimeoutError::Disconnected => "its file failed; the outcome is unknown".to_owned(),
    })
}
