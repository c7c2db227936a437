//! What lies between the callers and the writer thread of the embedded store: their operations, and the order to end.

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

/// What the callers and the writer thread tell each other beside the writes.
#[derive(Default)]
pub(super) struct Notices {
    lookups: Vec<Lookup>,
    /// What is wrong with the file, while something is.
    fault: Option<String>,
    /// Since when the writer thread is at work; `None` while it waits.
    working_since: Option<Instant>,
    closing: bool,
    ended: bool,
}

impl Notices {
    /// Why operations are refused, if they are.
    pub(super) fn check(&self) -> Result<(), StoreError> {
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
}

impl Contents<Notices> {
    pub(super) fn check_room(&self) -> Result<(), StoreError> {
        if self.writes.len() + self.notices.lookups.len() >= OPERATIONS_MAX {
            return Err(StoreError::Unavailable(format!("{OPERATIONS_MAX} operations are already waiting")));
        }
        self.notices.check()
    }

    /// Drops what the callers asked for, which tells them that it failed.
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

    /// Refuses further operations and waits until the writer thread has finished those that are queued, at most
    /// `limit`. Returns whether it has.
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

    /// Waits for `time`, or until the store is closed. Returns whether it is.
    pub(super) fn pause(&self, time: Duration) -> bool {
        self.wait(Instant::now() + time, |contents| contents.notices.closing).notices.closing
    }

    /// Says what is wrong with the file: from now on operations are refused, and those that wait have failed.
    pub(super) fn begin_fault(&self, fault: String) {
        let mut contents = self.contents();
        contents.notices.fault = Some(fault);
        contents.drop_operations();
    }

    pub(super) fn end_fault(&self) {
        let notices = &mut self.contents().notices;
        (notices.fault, notices.working_since) = (None, None);
    }

    /// The writer thread ends: nothing is accepted any more, and whatever still waits has failed.
    pub(super) fn end(&self) {
        self.change(|contents| {
            (contents.notices.closing, contents.notices.ended) = (true, true);
            contents.drop_operations();
        });
    }
}
