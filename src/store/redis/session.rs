//! A session: the time from one connection to one Redis process until it is lost. Three kinds of thread meet here:
//! the tracker reports changed ids, handlers hand in their writes, and the applier takes the work in rounds.
//! What is reported to a session that has ended reaches nobody.

use std::collections::BTreeSet;
use std::mem;
use std::time::{Duration, Instant};

use ::redis::ConnectionAddr;
use nix::time::{ClockId, clock_gettime};
use parking_lot::{Condvar, Mutex};

use super::connect::{ANSWER_MAX, Replicated};
use super::fault::Fault;
use crate::oneshot;
use crate::registration::TargetId;
use crate::store::{Check, Outcome, Update};

/// Changed ids that wait to be fetched; with more than these a full scan is cheaper.
const CHANGED_MAX: usize = 200_000;

/// One connection to one Redis process.
pub(super) struct Session {
    /// Counts the sessions of this store.
    pub(super) number: u64,
    /// Where the process is.
    pub(super) address: ConnectionAddr,
    pub(super) run_id: String,
    queue: Mutex<Queue>,
    arrived: Condvar,
    contact: Mutex<Contact>,
    /// How far the server's copies were when that was last asked.
    replicated: Mutex<Option<Replicated>>,
}

/// When a server answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contact {
    pub(super) instant: Instant,
    /// By the clock that goes on while the machine sleeps; `None` where there is none.
    since_boot: Option<Duration>,
}

impl Contact {
    pub(super) fn now() -> Contact {
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok().map(Duration::from);
        Contact { instant: Instant::now(), since_boot }
    }

    /// The time so much later.
    #[cfg(test)]
    pub(super) fn later(self, by: Duration) -> Contact {
        Contact { instant: self.instant + by, since_boot: self.since_boot.map(|since| since + by) }
    }

    /// The time between the two, that in which the machine slept included.
    pub(super) fn since(self, earlier: Contact) -> Duration {
        let slept_through = self.since_boot.zip(earlier.since_boot);
        slept_through.map_or(Duration::MAX, |(later, earlier)| later.saturating_sub(earlier))
    }
}

#[derive(Default)]
struct Queue {
    changed: BTreeSet<TargetId>,
    /// As many as there are handlers, at most.
    writes: Vec<Write>,
    rescan: Option<Cause>,
    ended: Option<Fault>,
}

/// Changes that a handler wants made, all or none, and waits for.
pub(super) struct Write {
    pub(super) updates: Vec<Update>,
    pub(super) check: Option<Check>,
    pub(super) reply: Reply,
    deadline: Instant,
}

/// Where a handler is told what Redis answered. Dropped, it says that there was no answer.
pub(super) struct Reply {
    answer: Option<oneshot::Sender<Answer>>,
    /// Whether Redis may have got the command.
    sent: bool,
}

type Answer = Result<Outcome, Fault>;

impl Reply {
    /// Tells the handler. For a change that was made, the mirror has to show it already.
    pub(super) fn tell(mut self, answer: Answer) {
        self.leave(answer);
    }

    fn leave(&mut self, answer: Answer) {
        if let Some(place) = self.answer.take() {
            place.send(answer);
        }
    }

    fn is_awaited(&self) -> bool {
        self.answer.as_ref().is_some_and(oneshot::Sender::is_awaited)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.leave(Err(if self.sent { Fault::Unanswered } else { Fault::Outdated }));
    }
}

impl Write {
    /// One that nobody waits for.
    pub(super) fn unasked(updates: Vec<Update>, check: Check, deadline: Instant) -> Write {
        Write { updates, check: Some(check), reply: Reply { answer: None, sent: false }, deadline }
    }

    /// From now on it may be done, whatever the handler learns. `false` when it is too late for that: the answer might
    /// come after the handler has stopped waiting.
    pub(super) fn begin(&mut self) -> bool {
        self.reply.sent = self.has_time();
        self.reply.sent
    }

    /// It was not done after all, and nothing of it.
    pub(super) fn undo(&mut self) {
        self.reply.sent = false;
    }

    /// Whether the answer would come before the handler stops waiting.
    pub(super) fn has_time(&self) -> bool {
        Instant::now() + ANSWER_MAX <= self.deadline
    }
}

/// Why everything is read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Connected,
    /// The server forgot which keys changed: a database was emptied.
    Flushed,
    /// More changes than it is worth to follow one by one.
    Overflow,
    /// Some changes are not reported by any server (SWAPDB).
    Periodic,
    /// This program stood still, and what was reported meanwhile is old.
    Stood,
    /// What is missing after a restart may be on its way back.
    Confirm,
}

impl Cause {
    pub(super) const ALL: [Cause; 6] =
        [Cause::Connected, Cause::Flushed, Cause::Overflow, Cause::Periodic, Cause::Stood, Cause::Confirm];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Cause::Connected => "connected",
            Cause::Flushed => "flushed",
            Cause::Overflow => "overflow",
            Cause::Periodic => "periodic",
            Cause::Stood => "stood_still",
            Cause::Confirm => "confirm",
        }
    }
}

pub(super) struct Work {
    pub(super) ids: BTreeSet<TargetId>,
    /// What is to be written, in this order.
    pub(super) writes: Vec<Write>,
    pub(super) rescan: Option<Cause>,
    /// More ids have changed than are fetched in this round.
    pub(super) is_behind: bool,
}

impl Session {
    pub(super) fn new(number: u64, address: ConnectionAddr, run_id: String, replicated: Option<Replicated>) -> Session {
        let queue = Queue { rescan: Some(Cause::Connected), ..Queue::default() };
        let contact = Mutex::new(Contact::now());
        let replicated = Mutex::new(replicated);
        Session { number, address, run_id, queue: Mutex::new(queue), arrived: Condvar::new(), contact, replicated }
    }

    pub(super) fn note_contact(&self) {
        *self.contact.lock() = Contact::now();
    }

    pub(super) fn last_contact(&self) -> Contact {
        *self.contact.lock()
    }

    /// So far the server's copies are.
    pub(super) fn note_replicated(&self, replicated: Replicated) {
        *self.replicated.lock() = Some(replicated);
    }

    /// How far the server's copies were when it was last asked.
    pub(super) fn replicated(&self) -> Option<Replicated> {
        self.replicated.lock().clone()
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

    /// Whether a change of this id is still to be fetched, or may be: when everything is to be read anew, nobody knows.
    pub(super) fn may_have_changed(&self, id: TargetId) -> bool {
        let queue = self.queue.lock();
        queue.rescan.is_some() || queue.changed.contains(&id)
    }

    /// Ends the session. The first fault is the one that counts.
    pub(super) fn end(&self, fault: Fault) {
        let mut queue = self.queue.lock();
        queue.ended.get_or_insert(fault);
        let unsent = mem::take(&mut queue.writes);
        drop(queue);
        drop(unsent);
        self.arrived.notify_one();
    }

    pub(super) fn ended(&self) -> Option<Fault> {
        self.queue.lock().ended.clone()
    }

    /// Has Redis make changes, if the check passes. Says what has become of them once the mirror shows them, or something
    /// newer.
    ///
    /// # Errors
    /// [`Fault::Outdated`] when it was not sent to Redis. With any other, the change may have been made nevertheless;
    /// it is not sent later than that.
    pub(super) fn write(
        &self,
        updates: Vec<Update>,
        check: Option<Check>,
        deadline: Instant,
    ) -> Result<Outcome, Fault> {
        let (sender, answer) = oneshot::channel();
        let mut queue = self.queue.lock();
        if queue.ended.is_some() {
            return Err(Fault::Outdated);
        }
        let reply = Reply { answer: Some(sender), sent: false };
        queue.writes.push(Write { updates, check, reply, deadline });
        drop(queue);
        self.arrived.notify_one();
        match answer.wait(deadline) {
            Ok(Err(Fault::Unanswered)) => Err(self.ended().unwrap_or(Fault::Unanswered)),
            Ok(answer) => answer,
            Err(_) => {
                // What is not sent yet must not follow when its client has long been told that it failed.
                self.queue.lock().writes.retain(|write| write.reply.is_awaited());
                Err(Fault::Silent)
            }
        }
    }

    /// The work of the next round: all writes, and up to `ids_max` changed ids. Waits for some at most `patience`;
    /// then there may be none.
    pub(super) fn take(&self, ids_max: usize, patience: Duration) -> Result<Work, Fault> {
        let deadline = Instant::now() + patience;
        let mut queue = self.queue.lock();
        while queue.is_idle() && !self.arrived.wait_until(&mut queue, deadline).timed_out() {}
        if let Some(fault) = &queue.ended {
            return Err(fault.clone());
        }
        let mut ids = BTreeSet::new();
        while ids.len() < ids_max
            && let Some(id) = queue.changed.pop_first()
        {
            ids.insert(id);
        }
        let is_behind = !queue.changed.is_empty();
        Ok(Work { ids, writes: mem::take(&mut queue.writes), rescan: queue.rescan.take(), is_behind })
    }
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.changed.is_empty() && self.writes.is_empty() && self.rescan.is_none() && self.ended.is_none()
    }
}

#[cfg(test)]
mod tests;
