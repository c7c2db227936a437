//! The mailbox between callers and the thread of a store. Callers leave writes and wait for the outcome; the thread
//! takes all of them at once. Each store adds notices of its own type.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Check, Outcome, StoreError, Update};

#[derive(Default)]
pub(super) struct Mailbox<T> {
    contents: Mutex<Contents<T>>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Contents<T> {
    pub(super) writes: Vec<Write>,
    /// What else callers and the thread tell each other.
    pub(super) notices: T,
}

/// Changes to be made all or none, and the caller that waits for them.
pub(super) struct Write {
    pub(super) updates: Vec<Update>,
    pub(super) check: Option<Check>,
    pub(super) reply: Reply,
    /// When the caller stops waiting.
    deadline: Instant,
}

/// The way to tell a caller the outcome of its write. If it is dropped unused, the caller learns whether the write was
/// begun.
pub(super) struct Reply {
    answer: Option<oneshot::Sender<Answer>>,
    is_begun: bool,
}

type Answer = Result<Outcome, Unwritten>;

/// Why a write was not made, or why its outcome is unknown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// It was not begun, and never will be.
    NotBegun,
    /// It was begun, and the store gave it up: the outcome is unknown.
    Lost,
    /// Its deadline has passed. If it was not begun by then, it never will be.
    Late,
    Failed(StoreError),
}

impl<T> Mailbox<T> {
    pub(super) fn new(notices: T) -> Mailbox<T> {
        Mailbox { contents: Mutex::new(Contents { writes: Vec::new(), notices }), changed: Condvar::new() }
    }

    /// Locks the contents without waking anybody. Changes that somebody waits for go through [`change`](Self::change).
    pub(super) fn contents(&self) -> MutexGuard<'_, Contents<T>> {
        self.contents.lock()
    }

    /// Changes the contents and wakes everybody who waits for a change.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Contents<T>) -> R) -> R {
        let changed = change(&mut self.contents.lock());
        self.changed.notify_all();
        changed
    }

    /// Waits until `is_enough` holds or the deadline passes, and locks the contents.
    pub(super) fn wait(
        &self,
        deadline: Instant,
        is_enough: impl Fn(&Contents<T>) -> bool,
    ) -> MutexGuard<'_, Contents<T>> {
        let mut contents = self.contents.lock();
        self.changed.wait_while_until(&mut contents, |contents| !is_enough(contents), deadline);
        contents
    }

    /// Hands changes to the thread, to be made if the check passes, and waits for the outcome.
    ///
    /// # Errors
    /// Those of `admit`, which first decides whether the mailbox takes another write; else [`Unwritten`].
    pub(super) fn write(
        &self,
        updates: Vec<Update>,
        check: Option<Check>,
        deadline: Instant,
        admit: impl FnOnce(&Contents<T>) -> Result<(), Unwritten>,
    ) -> Result<Outcome, Unwritten> {
        let (sender, answer) = oneshot::channel();
        self.change(|contents| {
            admit(contents)?;
            let reply = Reply { answer: Some(sender), is_begun: false };
            contents.writes.push(Write { updates, check, reply, deadline });
            Ok(())
        })?;
        answer.recv_deadline(deadline).unwrap_or_else(|_| {
            drop(answer);
            // A write that was not begun must never be made: its caller reports now that it failed.
            self.contents.lock().writes.retain(|write| write.reply.is_awaited());
            Err(Unwritten::Late)
        })
    }
}

impl Write {
    /// A write that nobody waits for.
    pub(super) fn unasked(updates: Vec<Update>, check: Check, deadline: Instant) -> Write {
        Write { updates, check: Some(check), reply: Reply { answer: None, is_begun: false }, deadline }
    }

    /// Whether an answer that takes this long would come before the caller stops waiting.
    pub(super) fn has_time(&self, answer_max: Duration) -> bool {
        Instant::now() + answer_max <= self.deadline
    }

    /// Marks the write as begun: from here on it may be made, whatever its caller is told. `false` if too little time
    /// is left.
    pub(super) fn begin(&mut self, answer_max: Duration) -> bool {
        self.reply.is_begun = self.has_time(answer_max);
        self.reply.is_begun
    }

    /// Marks the write as not begun after all: no part of it was made.
    pub(super) fn undo(&mut self) {
        self.reply.is_begun = false;
    }
}

impl Reply {
    /// Answers the caller. If the changes were made, the mirror must already show them.
    pub(super) fn tell(mut self, answer: Result<Outcome, StoreError>) {
        self.leave(answer.map_err(Unwritten::Failed));
    }

    fn leave(&mut self, answer: Answer) {
        if let Some(caller) = self.answer.take() {
            // The caller may have stopped waiting.
            let _ = caller.send(answer);
        }
    }

    fn is_awaited(&self) -> bool {
        self.answer.as_ref().is_some_and(|caller| !caller.is_closed())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.leave(Err(if self.is_begun { Unwritten::Lost } else { Unwritten::NotBegun }));
    }
}
