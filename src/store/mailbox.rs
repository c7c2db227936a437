//! The mailbox of a store: callers leave writes in it and wait for what becomes of them, and the one thread of the store
//! takes everything that is there. Whatever else that thread has to know lies there too, in a form of the store's own.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Check, Outcome, StoreError, Update};

/// Where callers and the thread of a store meet.
#[derive(Default)]
pub(super) struct Mailbox<T> {
    contents: Mutex<Contents<T>>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Contents<T> {
    pub(super) writes: Vec<Write>,
    /// Whatever else the thread has to know.
    pub(super) notices: T,
}

/// Changes that a caller wants made, all or none, and waits for.
pub(super) struct Write {
    pub(super) updates: Vec<Update>,
    pub(super) check: Option<Check>,
    pub(super) reply: Reply,
    /// When the caller stops waiting.
    deadline: Instant,
}

/// Where a caller is told what became of its write. Dropped, it says whether that was begun.
pub(super) struct Reply {
    answer: Option<oneshot::Sender<Answer>>,
    is_begun: bool,
}

type Answer = Result<Outcome, Unwritten>;

/// Why a write was not made, or is not known to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// It was not begun, and never will be.
    NotBegun,
    /// Nobody says any more what became of it.
    Lost,
    /// Its deadline has passed. If it was not begun by then, it never will be.
    Late,
    /// The store says why.
    Failed(StoreError),
}

impl<T> Mailbox<T> {
    pub(super) fn new(notices: T) -> Mailbox<T> {
        Mailbox { contents: Mutex::new(Contents { writes: Vec::new(), notices }), changed: Condvar::new() }
    }

    /// What is there. Whoever changes it so that somebody waits for it uses [`change`](Self::change).
    pub(super) fn contents(&self) -> MutexGuard<'_, Contents<T>> {
        self.contents.lock()
    }

    /// Changes what is there, and wakes those who wait for that.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Contents<T>) -> R) -> R {
        let changed = change(&mut self.contents.lock());
        self.changed.notify_all();
        changed
    }

    /// What is there as soon as it `is_enough`, at the deadline in any case.
    pub(super) fn wait(
        &self,
        deadline: Instant,
        is_enough: impl Fn(&Contents<T>) -> bool,
    ) -> MutexGuard<'_, Contents<T>> {
        let mut contents = self.contents.lock();
        self.changed.wait_while_until(&mut contents, |contents| !is_enough(contents), deadline);
        contents
    }

    /// Has the thread make changes, if the check passes, and waits until it says what has become of them.
    ///
    /// # Errors
    /// Those of `admit`, which is asked first whether more is taken; else [`Unwritten`].
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
            // What is not begun yet must not follow when its client has long been told that it failed.
            self.contents.lock().writes.retain(|write| write.reply.is_awaited());
            Err(Unwritten::Late)
        })
    }
}

impl Write {
    /// One that nobody waits for.
    pub(super) fn unasked(updates: Vec<Update>, check: Check, deadline: Instant) -> Write {
        Write { updates, check: Some(check), reply: Reply { answer: None, is_begun: false }, deadline }
    }

    /// Whether an answer that takes this long would come before the caller stops waiting.
    pub(super) fn has_time(&self, answer_max: Duration) -> bool {
        Instant::now() + answer_max <= self.deadline
    }

    /// From now on it may be made, whatever the caller learns. `false` when there is no time for that.
    pub(super) fn begin(&mut self, answer_max: Duration) -> bool {
        self.reply.is_begun = self.has_time(answer_max);
        self.reply.is_begun
    }

    /// It was not made after all, and nothing of it.
    pub(super) fn undo(&mut self) {
        self.reply.is_begun = false;
    }
}

impl Reply {
    /// Tells the caller. If the change was made, the mirror has to show it already.
    pub(super) fn tell(mut self, answer: Result<Outcome, StoreError>) {
        self.leave(answer.map_err(Unwritten::Failed));
    }

    fn leave(&mut self, answer: Answer) {
        if let Some(caller) = self.answer.take() {
            // It may have stopped waiting.
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
