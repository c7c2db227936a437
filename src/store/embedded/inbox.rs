//! What passes between the callers and the writer thread of the embedded store: operations, faults and the order to
//! close.

use std::mem;
use std::time::{Duration, Instant};

use crate::registration::TargetId;
use crate::store::mailbox::{Contents, Mailbox, Write};
use crate::store::{StoreError, WAIT_MAX};

/// The most operations that wait; further callers are refused at once.
const OPERATIONS_MAX: usize = 1024;

/// Where the callers leave their operations for the writer thread.
pub(super) type Inbox = Mailbox<Notices>;

pub(super) struct Lookup {
    pub(super) id: TargetId,
    pub(super) reply: oneshot::Sender<Option<Vec<u8>>>,
}

#[derive(Default)]
pub(super) struct Work {
    pub(super) writes: Vec<Write>,
    pub(super) lookups: Vec<Lookup>,
    pub(super) closing: bool,
}

/// What the callers and the writer thread tell each other besides the writes.
#[derive(Default)]
pub(super) struct Notices {
    lookups: Vec<Lookup>,
    /// Why the file cannot be used; `None` while it can.
    fault: Option<String>,
    /// When the writer thread began its present work; `None` while it waits.
    working_since: Option<Instant>,
    closing: bool,
    ended: bool,
}

impl Notices {
    /// Fails with the reason if operations are refused at present.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let unavailable = |why: String| Err(StoreError::Unavailable(why));
        match (&self.fault, self.working_since) {
            _ if self.closing => unavailable("it is closed".to_owned()),
            (Some(fault), _) => unavailable(fault.clone()),
            // A hanging disk must not make caller after caller wait.
            (None, Some(since)) if since.elapsed() > WAIT_MAX => {
                unavailable(format!("its file has not answered for {} s", since.elapsed().as_secs()))
            }
            (None, _) => Ok(()),
        }
    }
}

impl Contents<Notices> {
    pub(super) fn check_room(&self) -> Result<(), StoreError> {
        if self.writes.len() + self.notices.lookups.len() >= OPERATIONS_MAX {
            return Err(StoreError::Unavailable(format!("{OPERATIONS_MAX} operations are already waiting")));
        }
        self.notices.check()
    }

    /// Drops all waiting operations, which tells their callers that they failed.
    fn drop_operations(&mut self) {
        self.writes.clear();
        self.notices.lookups.clear();
    }
}

impl Inbox {
    pub(super) fn look_up(&self, lookup: Lookup) -> Result<(), StoreError> {
        self.change(|contents| {
            contents.check_room()?;
            contents.notices.lookups.push(lookup);
            Ok(())
        })
    }

    /// Refuses further operations and waits, at most for `limit`, until the writer thread has finished the queued ones
    /// and ended. Returns whether it has.
    pub(super) fn close(&self, limit: Duration) -> bool {
        self.change(|contents| contents.notices.closing = true);
        self.wait(Instant::now() + limit, |contents| contents.notices.ended).notices.ended
    }

    /// Waits for work, at most until `deadline`, and takes all of it.
    pub(super) fn take(&self, deadline: Instant) -> Work {
        self.contents().notices.working_since = None;
        let mut contents = self.wait(deadline, |Contents { writes, notices }| {
            !writes.is_empty() || !notices.lookups.is_empty() || notices.closing
        });
        contents.notices.working_since = Some(Instant::now());
        Work {
            writes: mem::take(&mut contents.writes),
            lookups: mem::take(&mut contents.notices.lookups),
            closing: contents.notices.closing,
        }
    }

    /// Waits for `time`, or until the store is closed. Returns whether it is closed.
    pub(super) fn pause(&self, time: Duration) -> bool {
        self.wait(Instant::now() + time, |contents| contents.notices.closing).notices.closing
    }

    /// Refuses operations from now on, for this reason, and fails those that wait.
    pub(super) fn begin_fault(&self, fault: String) {
        let mut contents = self.contents();
        contents.notices.fault = Some(fault);
        contents.drop_operations();
    }

    pub(super) fn end_fault(&self) {
        let notices = &mut self.contents().notices;
        (notices.fault, notices.working_since) = (None, None);
    }

    /// The writer thread ends: refuses operations from now on, and fails those that wait.
    pub(super) fn end(&self) {
        self.change(|contents| {
            (contents.notices.closing, contents.notices.ended) = (true, true);
            contents.drop_operations();
        });
    }
}
