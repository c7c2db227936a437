//! What waits for the writer thread: the callers' operations, and the order to end.

use std::mem;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::oneshot;
use crate::registration::TargetId;
use crate::store::{Check, Outcome, StoreError, Update, WAIT_MAX};

/// The most operations that wait; further callers are refused at once.
const OPERATIONS_MAX: usize = 1024;

/// Where a caller waits. Dropped without an answer, it tells the caller that what it asked for failed.
pub(super) type Reply<T> = oneshot::Sender<T>;

/// Changes that a caller asks for, all or none.
pub(super) struct Write {
    pub(super) updates: Vec<Update>,
    pub(super) check: Option<Check>,
    pub(super) reply: Reply<Outcome>,
}

pub(super) struct Lookup {
    pub(super) id: TargetId,
    pub(super) reply: Reply<Option<Vec<u8>>>,
}

#[derive(Default)]
pub(super) struct Work {
    pub(super) writes: Vec<Write>,
    pub(super) lookups: Vec<Lookup>,
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
    lookups: Vec<Lookup>,
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
        if self.writes.len() + self.lookups.len() >= OPERATIONS_MAX {
            return Err(StoreError::Unavailable(format!("{OPERATIONS_MAX} operations are already waiting")));
        }
        self.check()
    }

    /// Drops what the callers asked for, which tells them that it failed.
    fn drop_operations(&mut self) {
        self.writes.clear();
        self.lookups.clear();
    }
}

impl Inbox {
    pub(super) fn submit_write(&self, write: Write) -> Result<(), StoreError> {
        let mut waiting = self.waiting.lock();
        waiting.check_room()?;
        waiting.writes.push(write);
        self.arrived.notify_one();
        Ok(())
    }

    /// Queues a question.
    pub(super) fn submit_lookup(&self, lookup: Lookup) -> Result<(), StoreError> {
        let mut waiting = self.waiting.lock();
        waiting.check_room()?;
        waiting.lookups.push(lookup);
        self.arrived.notify_one();
        Ok(())
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

    /// Waits for work, at most until `deadline`, and takes all of it.
    pub(super) fn take(&self, deadline: Instant) -> Work {
        let mut waiting = self.waiting.lock();
        waiting.working_since = None;
        let idle = |w: &mut Waiting| w.writes.is_empty() && w.lookups.is_empty() && !w.closing;
        let _ = self.arrived.wait_while_until(&mut waiting, idle, deadline);
        waiting.working_since = Some(Instant::now());
        Work {
            writes: mem::take(&mut waiting.writes),
            lookups: mem::take(&mut waiting.lookups),
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
