//! What waits for the writer thread: the callers' operations, the ids that ran out, and the order to end.

use std::mem;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::deadline::Deadline;
use crate::registration::TargetId;
use crate::store::{StoreError, WAIT_MAX};

/// The most operations that wait; further callers are refused at once.
const OPERATIONS_MAX: usize = 1024;

/// The most ids that wait to be dropped from the file, 16 MiB; the hourly look through the file finds the others.
pub(super) const EXPIRED_MAX: usize = 1 << 20;

/// The most expired ids that are dropped by one transaction, so that they do not hold up the writes beside them.
const EXPIRED_PER_TURN: usize = 256;

/// Where a caller waits. Dropped without an answer, it tells the caller that what it asked for failed.
pub(super) type Reply<T> = SyncSender<T>;

/// A change that a caller asks for.
pub(super) enum Write {
    Put { id: TargetId, document: Vec<u8>, deadline: Deadline, reply: Reply<()> },
    Delete { id: TargetId, now: SystemTime, reply: Reply<bool> },
}

/// A document that a caller asks for.
pub(super) struct Read {
    pub(super) id: TargetId,
    pub(super) now: SystemTime,
    pub(super) reply: Reply<Option<Vec<u8>>>,
}

/// What the writer thread does in one turn.
#[derive(Default)]
pub(super) struct Work {
    pub(super) writes: Vec<Write>,
    pub(super) reads: Vec<Read>,
    pub(super) expired: Vec<TargetId>,
    /// Nothing will follow.
    pub(super) closing: bool,
}

/// The meeting place of the callers and the writer thread.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct Waiting {
    writes: Vec<Write>,
    reads: Vec<Read>,
    expired: Vec<TargetId>,
    /// What is wrong with the file, while something is.
    fault: Option<String>,
    /// Since when the writer thread is at work; `None` while it waits.
    working_since: Option<Instant>,
    closing: bool,
    ended: bool,
}

impl Waiting {
    fn check(&self) -> Result<(), StoreError> {
        let unavailable = |why: String| Err(StoreError::Unavailable(why));
        match (&self.fault, self.working_since) {
            _ if self.closing => unavailable("it is closed".to_owned()),
            (Some(fault), _) => unavailable(fault.clone()),
            // A disk that hangs must not hold up one caller after the other.
            (None, Some(since)) if since.elapsed() > WAIT_MAX => {
                unavailable(format!("its file has not answered for {} s", since.elapsed().as_secs()))
            }
            (None, _) => Ok(()),
        }
    }

    fn check_room(&self) -> Result<(), StoreError> {
        if self.writes.len() + self.reads.len() >= OPERATIONS_MAX {
            return Err(StoreError::Unavailable(format!("{OPERATIONS_MAX} operations are waiting already")));
        }
        self.check()
    }

    /// Drops what the callers asked for, which tells them that it failed.
    fn drop_operations(&mut self) {
        self.writes.clear();
        self.reads.clear();
    }
}

impl Inbox {
    /// Queues a change.
    pub(super) fn submit_write(&self, write: Write) -> Result<(), StoreError> {
        let mut waiting = self.waiting.lock();
        waiting.check_room()?;
        waiting.writes.push(write);
        self.arrived.notify_one();
        Ok(())
    }

    /// Queues a question.
    pub(super) fn submit_read(&self, read: Read) -> Result<(), StoreError> {
        let mut waiting = self.waiting.lock();
        waiting.check_room()?;
        waiting.reads.push(read);
        self.arrived.notify_one();
        Ok(())
    }

    /// Queues ids to be dropped from the file if they have run out by the wall clock too.
    pub(super) fn submit_expired(&self, ids: Vec<TargetId>) {
        let mut waiting = self.waiting.lock();
        let room = EXPIRED_MAX.saturating_sub(waiting.expired.len());
        waiting.expired.extend(ids.into_iter().take(room));
        self.arrived.notify_one();
    }

    /// What is wrong, when operations are refused.
    pub(super) fn health(&self) -> Result<(), StoreError> {
        self.waiting.lock().check()
    }

    /// Refuses further operations and waits until the writer thread has finished those that are queued, at most
    /// `limit`. Returns whether it has.
    pub(super) fn close(&self, limit: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.closing = true;
        self.arrived.notify_one();
        let _ = self.ended.wait_while_for(&mut waiting, |waiting| !waiting.ended, limit);
        waiting.ended
    }

    /// Waits for work, at most until `deadline`, and takes all operations and some of the expired ids.
    pub(super) fn take(&self, deadline: Instant) -> Work {
        let mut waiting = self.waiting.lock();
        waiting.working_since = None;
        let idle = |w: &mut Waiting| w.writes.is_empty() && w.reads.is_empty() && w.expired.is_empty() && !w.closing;
        let _ = self.arrived.wait_while_until(&mut waiting, idle, deadline);
        waiting.working_since = Some(Instant::now());
        let left = waiting.expired.len().saturating_sub(EXPIRED_PER_TURN);
        let expired = waiting.expired.split_off(left);
        if left == 0 {
            // After a mass expiry this gives megabytes back.
            waiting.expired = Vec::new();
        }
        Work {
            writes: mem::take(&mut waiting.writes),
            reads: mem::take(&mut waiting.reads),
            expired,
            closing: waiting.closing,
        }
    }

    /// Waits for `time`, or until the store is closed. Returns whether it is.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        let _ = self.arrived.wait_while_for(&mut waiting, |waiting| !waiting.closing, time);
        waiting.closing
    }

    /// Says what is wrong with the file: from now on operations are refused, and those that wait have failed.
    pub(super) fn begin_fault(&self, fault: String) {
        let mut waiting = self.waiting.lock();
        waiting.fault = Some(fault);
        waiting.drop_operations();
    }

    /// Operations are accepted again.
    pub(super) fn end_fault(&self) {
        let mut waiting = self.waiting.lock();
        waiting.fault = None;
        waiting.working_since = None;
    }

    /// The writer thread ends: nothing is accepted any more, and whatever still waits has failed.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closing = true;
        waiting.ended = true;
        waiting.drop_operations();
        self.ended.notify_all();
    }
}
