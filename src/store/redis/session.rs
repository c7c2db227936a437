//! A session: the time from one connection to one Redis process until it is lost. Three kinds of thread meet here:
//! the tracker reports changed ids, handlers wait for their own writes, and the applier takes the work in turns.
//! What is reported to a session that has ended reaches nobody.

use std::collections::BTreeSet;
use std::mem;
use std::time::{Duration, Instant};

use ::redis::{Client, ConnectionAddr};
use parking_lot::{Condvar, Mutex};

use super::fault::Fault;
use crate::registration::TargetId;

/// Changed ids that wait to be fetched; with more than these a full scan is cheaper.
const CHANGED_MAX: usize = 200_000;

/// One connection to one Redis process.
pub(super) struct Session {
    /// Counts the sessions of this store.
    pub(super) number: u64,
    /// Where this session's server is.
    pub(super) client: Client,
    /// Which process it is.
    pub(super) run_id: String,
    queue: Mutex<Queue>,
    arrived: Condvar,
    applied: Condvar,
}

#[derive(Default)]
struct Queue {
    changed: BTreeSet<TargetId>,
    awaited: BTreeSet<TargetId>,
    rescan: Option<Cause>,
    turns_taken: u64,
    turns_applied: u64,
    ended: Option<Fault>,
}

/// Why everything is read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A new session.
    Connected,
    /// The server forgot which keys changed: a database was emptied.
    Flushed,
    /// More changes than it is worth to follow one by one.
    Overflow,
    /// Some changes are not reported by any server (SWAPDB).
    Periodic,
}

impl Cause {
    pub(super) const ALL: [Cause; 4] = [Cause::Connected, Cause::Flushed, Cause::Overflow, Cause::Periodic];

    /// The cause as a label value.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Cause::Connected => "connected",
            Cause::Flushed => "flushed",
            Cause::Overflow => "overflow",
            Cause::Periodic => "periodic",
        }
    }
}

/// What the applier does in one turn.
pub(super) struct Work {
    /// What is to be fetched.
    pub(super) ids: BTreeSet<TargetId>,
    /// Whether handlers wait for some of these.
    pub(super) is_awaited: bool,
    /// Whether everything is to be read anew.
    pub(super) rescan: Option<Cause>,
}

impl Session {
    pub(super) fn new(number: u64, client: Client, run_id: String) -> Session {
        let queue = Queue { rescan: Some(Cause::Connected), ..Queue::default() };
        let (arrived, applied) = (Condvar::new(), Condvar::new());
        Session { number, client, run_id, queue: Mutex::new(queue), arrived, applied }
    }

    /// Where its server is, for the log.
    pub(super) fn server(&self) -> &ConnectionAddr {
        self.client.get_connection_info().addr()
    }

    /// The tracker's report: these ids changed in some way.
    pub(super) fn changed(&self, ids: impl Iterator<Item = TargetId>) {
        let mut queue = self.queue.lock();
        queue.changed.extend(ids);
        if queue.changed.len() > CHANGED_MAX {
            queue.changed.clear();
            queue.rescan = Some(Cause::Overflow);
        }
        self.arrived.notify_one();
    }

    /// Has everything read anew, since what changed is not known.
    pub(super) fn rescan(&self, cause: Cause) {
        self.queue.lock().rescan = Some(cause);
        self.arrived.notify_one();
    }

    /// Whether a change of this id is still to be fetched.
    pub(super) fn is_changed(&self, id: TargetId) -> bool {
        let queue = self.queue.lock();
        queue.changed.contains(&id) || queue.awaited.contains(&id)
    }

    /// Ends the session. The first fault is the one that counts.
    pub(super) fn end(&self, fault: Fault) {
        self.queue.lock().ended.get_or_insert(fault);
        self.arrived.notify_one();
        self.applied.notify_all();
    }

    /// Why the session ended, when it has.
    pub(super) fn ended(&self) -> Option<Fault> {
        self.queue.lock().ended.clone()
    }

    /// Returns when the mirror shows what Redis holds under this id now, or something newer.
    ///
    /// # Errors
    /// The session ended, or the deadline passed: the mirror may show something older.
    pub(super) fn refresh(&self, id: TargetId, deadline: Instant) -> Result<(), Fault> {
        let mut queue = self.queue.lock();
        queue.awaited.insert(id);
        // A turn under way may have fetched the id before it was written: only the next one counts.
        let turn = queue.turns_taken + 1;
        self.arrived.notify_one();
        while queue.turns_applied < turn {
            if let Some(fault) = &queue.ended {
                return Err(fault.clone());
            }
            if self.applied.wait_until(&mut queue, deadline).timed_out() && queue.turns_applied < turn {
                return Err(Fault::Silent);
            }
        }
        Ok(())
    }

    /// The work of the next turn: every id that a handler waits for, and changed ones up to `ids_max` in all.
    /// Waits for some at most `patience`; then there may be none.
    ///
    /// # Errors
    /// The session ended.
    pub(super) fn take(&self, ids_max: usize, patience: Duration) -> Result<Work, Fault> {
        let deadline = Instant::now() + patience;
        let mut queue = self.queue.lock();
        while queue.is_idle() && !self.arrived.wait_until(&mut queue, deadline).timed_out() {}
        if let Some(fault) = &queue.ended {
            return Err(fault.clone());
        }
        queue.turns_taken += 1;
        let mut ids = mem::take(&mut queue.awaited);
        let is_awaited = !ids.is_empty();
        while ids.len() < ids_max
            && let Some(id) = queue.changed.pop_first()
        {
            ids.insert(id);
        }
        Ok(Work { ids, is_awaited, rescan: queue.rescan.take() })
    }

    /// The mirror shows the work of all turns taken so far.
    pub(super) fn turn_applied(&self) {
        let mut queue = self.queue.lock();
        queue.turns_applied = queue.turns_taken;
        drop(queue);
        self.applied.notify_all();
    }
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.changed.is_empty() && self.awaited.is_empty() && self.rescan.is_none() && self.ended.is_none()
    }
}

#[cfg(test)]
mod tests;
