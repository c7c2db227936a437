//! The thread that owns the file: it commits what waits as one, shows it in the mirror, and comes back after faults.

use std::collections::HashSet;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::{error, info};

use super::file::{DocumentFile, Fault, contain};
use super::inbox::{EXPIRED_MAX, Inbox, Reply, Work, Write};
use super::metrics::Metrics;
use crate::registration::TargetId;
use crate::store::{Change, Mirror};

/// How many documents are passed to the mirror at once while the file is loaded.
const LOAD_BATCH: usize = 1000;

/// How often the file is searched for documents that ran out unnoticed, for example because the clock was set.
const SEARCH_EVERY: Duration = Duration::from_secs(3600);

/// How long the writer waits after a fault before it opens the file again; doubled up to the maximum.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) inbox: Arc<Inbox>,
    pub(super) mirror: Arc<dyn Mirror>,
    pub(super) metrics: Metrics,
}

/// Whether the mirror was loaded before, and may show what the file has not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    First,
    Again,
}

/// Tells the callers that nobody serves them any more, however the thread ends.
struct EndOnDrop(Arc<Inbox>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Writer {
    /// Shows every live document of a file just opened.
    pub(super) fn load(&self, file: &DocumentFile) -> Result<(), Fault> {
        contain(|| {
            self.load_as(file, Load::First)?;
            self.mirror.loaded();
            Ok(())
        })
    }

    /// Serves the inbox until it is closed, then closes the file.
    pub(super) fn run(self, mut file: DocumentFile) {
        let _end = EndOnDrop(self.inbox.clone());
        let mut search_at = Instant::now() + SEARCH_EVERY;
        let mut backoff = BACKOFF_MIN;
        loop {
            let mut work = self.inbox.take(search_at);
            if work.closing && work.writes.is_empty() && work.reads.is_empty() {
                break;
            }
            let outcome = contain(|| {
                let writes = !work.writes.is_empty();
                self.serve(&file, &mut work)?;
                if writes {
                    // Only a write proves that the fault is over: a full disk can be read and opened.
                    backoff = BACKOFF_MIN;
                }
                if search_at <= Instant::now() {
                    search_at = Instant::now() + SEARCH_EVERY;
                    self.search_expired(&file)?;
                }
                Ok(())
            });
            if let Err(fault) = outcome {
                error!(path:% = file.path().display(), error:% = fault; "store failed");
                self.metrics.faults.inc();
                self.inbox.begin_fault(fault.to_string());
                // The callers hear of it only now, so that a store that failed them never says that it is well.
                drop(work);
                match self.recover(file, &mut backoff) {
                    Some(reopened) => file = reopened,
                    None => return,
                }
            }
        }
        if let Err(fault) = contain(|| file.close()) {
            error!(error:% = fault; "the store was not closed cleanly; it is checked at the next start");
        }
    }

    fn serve(&self, file: &DocumentFile, work: &mut Work) -> Result<(), Fault> {
        if !work.writes.is_empty() || !work.expired.is_empty() {
            self.write(file, &mut work.writes, &work.expired)?;
        }
        for read in work.reads.drain(..) {
            let live = file.get(read.id)?.filter(|(deadline, _)| !deadline.has_passed(read.now));
            answer(&read.reply, live.map(|(_, document)| document));
        }
        Ok(())
    }

    /// Commits all in one transaction, then tells the mirror, then the callers.
    fn write(&self, file: &DocumentFile, writes: &mut Vec<Write>, expired: &[TargetId]) -> Result<(), Fault> {
        let started = Instant::now();
        let (removed, written) = file.change(|records| {
            let now = SystemTime::now();
            for id in expired {
                records.remove_expired(*id, now)?;
            }
            let commit = |write: &Write| match write {
                Write::Put { id, document, deadline, .. } => records.put(*id, *deadline, document).map(|()| None),
                Write::Delete { id, .. } => records.remove(*id),
            };
            writes.iter().map(commit).collect::<Result<Vec<_>, Fault>>()
        })?;
        self.metrics.observe(&written, started.elapsed());
        let now = SystemTime::now();
        let mut changes = Vec::with_capacity(writes.len());
        let mut done = Vec::with_capacity(writes.len());
        for (write, removed) in writes.drain(..).zip(removed) {
            match write {
                Write::Put { id, document, deadline, reply } => {
                    changes.push(Change::Put { id, value: document, expires_in: deadline.rest(now) });
                    done.push(Done::Stored(reply));
                }
                Write::Delete { id, now, reply } => {
                    changes.push(Change::Remove(id));
                    done.push(Done::Deleted(reply, removed.is_some_and(|deadline| !deadline.has_passed(now))));
                }
            }
        }
        self.mirror.apply(changes);
        done.into_iter().for_each(Done::tell);
        Ok(())
    }

    /// Queues what has run out in the file, so that it is dropped as if the mirror had reported it.
    fn search_expired(&self, file: &DocumentFile) -> Result<(), Fault> {
        let now = SystemTime::now();
        let mut expired = Vec::new();
        file.for_each(|id, deadline, _| {
            if deadline.has_passed(now) && expired.len() < EXPIRED_MAX {
                expired.push(id);
            }
        })?;
        self.inbox.submit_expired(expired);
        Ok(())
    }

    /// Opens the file again and again until it works, and shows what it holds. `None` when the store is closed.
    fn recover(&self, broken: DocumentFile, backoff: &mut Duration) -> Option<DocumentFile> {
        let path = broken.path().to_owned();
        let mut why = String::new();
        let told = contain(|| {
            self.mirror.lost();
            Ok(())
        });
        let dropped = contain(move || {
            drop(broken);
            Ok(())
        });
        for fault in [told, dropped].into_iter().filter_map(Result::err) {
            error!(path:% = path.display(), error:% = fault; "store failed further");
        }
        while !self.inbox.pause(*backoff) {
            *backoff = (*backoff * 2).min(BACKOFF_MAX);
            match contain(|| self.reopen(&path)) {
                Ok(file) => {
                    self.inbox.end_fault();
                    info!(path:% = path.display(); "store works again");
                    return Some(file);
                }
                Err(fault) => {
                    let now = fault.to_string();
                    if now != why {
                        error!(path:% = path.display(), error:% = now; "store cannot be opened again");
                        self.inbox.begin_fault(now.clone());
                        why = now;
                    }
                }
            }
        }
        None
    }

    fn reopen(&self, path: &Path) -> Result<DocumentFile, Fault> {
        let file = DocumentFile::open(path).map_err(Fault::Open)?;
        self.load_as(&file, Load::Again)?;
        self.mirror.loaded();
        Ok(file)
    }

    fn load_as(&self, file: &DocumentFile, load: Load) -> Result<(), Fault> {
        self.metrics.set_file_bytes(file.bytes()?);
        let now = SystemTime::now();
        let mut batch = Vec::with_capacity(LOAD_BATCH);
        let mut expired = Vec::new();
        let mut present = HashSet::new();
        file.for_each(|id, deadline, document| {
            if load == Load::Again {
                present.insert(id);
            }
            if deadline.has_passed(now) {
                if expired.len() < EXPIRED_MAX {
                    expired.push(id);
                }
                return;
            }
            batch.push(Change::Put { id, value: document.to_vec(), expires_in: deadline.rest(now) });
            if batch.len() == LOAD_BATCH {
                self.mirror.apply(mem::replace(&mut batch, Vec::with_capacity(LOAD_BATCH)));
            }
        })?;
        match load {
            Load::First => self.inbox.submit_expired(expired),
            // What ran out during the fault could not be renewed, so the mirror decides how long it stays.
            Load::Again => {
                let missing = self.mirror.missing_from(&present);
                batch.extend(missing.into_iter().map(|missing| Change::Remove(missing.id)));
            }
        }
        self.mirror.apply(batch);
        Ok(())
    }
}

/// A durable change whose caller is still to be told.
enum Done {
    Stored(Reply<()>),
    Deleted(Reply<bool>, bool),
}

impl Done {
    fn tell(self) {
        match self {
            Done::Stored(reply) => answer(&reply, ()),
            Done::Deleted(reply, existed) => answer(&reply, existed),
        }
    }
}

fn answer<T>(reply: &Reply<T>, value: T) {
    // A caller that waits no more was told that the outcome is unknown; it does not hear this.
    let _ = reply.try_send(value);
}
