//! The history of server processes: how long each may have been changed without being seen here, and so what to restore
//! when another one answers.

use std::mem;
use std::time::Duration;

use super::connect::{Replicated, ServerProcess};
use super::debt::{Restart, Seen};
use super::fault::Fault;
use super::session::Contact;
use crate::store::HEARTBEAT;

/// A process's end counts as seen if its last answer is no older than this.
const RECENT: Duration = HEARTBEAT.saturating_mul(2);

#[derive(Default)]
pub(super) struct Processes {
    /// The process that everything was last loaded from, once it is lost.
    known: Option<Known>,
    /// The process that answered after it, until everything is loaded from it.
    next: Option<Next>,
    /// Since the last session: when a connection was first refused or data were being loaded, and when data were last
    /// being loaded.
    gone: Option<Contact>,
    loading: Option<Contact>,
}

struct Known {
    run_id: String,
    left: Left,
    replicated: Option<Replicated>,
    foreign: usize,
}

/// A server process that a restore has begun with.
struct Next {
    run_id: String,
    restart: Restart,
    /// How the last session with it ended, if it did.
    left: Option<Left>,
    /// It, or a process between it and the known one, may have come up with fewer registrations.
    may_have_lost: bool,
}

/// How a session ended.
#[derive(Clone, Copy)]
struct Left {
    contact: Contact,
    /// The connection was closed from the other side, not lost in silence.
    saw_end: bool,
}

/// What a session that has ended leaves behind.
pub(super) struct Farewell<'a> {
    pub(super) run_id: &'a str,
    pub(super) contact: Contact,
    pub(super) replicated: Option<Replicated>,
    pub(super) fault: &'a Fault,
    pub(super) is_loaded: bool,
    /// How many keys other programs had at the last scan.
    pub(super) foreign: usize,
    /// What was seen in it, if it was not fully loaded.
    pub(super) seen: Seen,
}

impl Processes {
    pub(super) fn is_known(&self, run_id: &str) -> bool {
        self.known.as_ref().is_some_and(|known| known.run_id == run_id)
    }

    /// There was no connection. If connections are refused or data are being loaded, nobody can write.
    pub(super) fn missed(&mut self, fault: &Fault, now: Contact) {
        let is_loading = matches!(fault, Fault::Loading);
        if is_loading || matches!(fault, Fault::Connection(error) if error.is_connection_refusal()) {
            self.gone.get_or_insert(now);
            self.loading = Some(now).filter(|_| is_loading).or(self.loading);
        }
    }

    /// The facts for a restore, if this is another process than the one before.
    pub(super) fn answered(&mut self, server: &ServerProcess, now: Contact) -> Option<Restart> {
        let (gone, loading) = (self.gone.take(), self.loading.take());
        let Known { run_id, left: Left { contact, saw_end }, replicated, foreign } = self.known.as_ref()?;
        if *run_id == server.run_id {
            return None;
        }
        let mut next = match self.next.take() {
            // An interrupted restore continues with what was known when it began.
            Some(mut next) if next.run_id == server.run_id => {
                let apart = next.left.take().map_or(Duration::ZERO, |left| now.since(left.contact));
                next.restart.apart = next.restart.apart.saturating_add(apart);
                next.restart.origin = server.origin.clone();
                next
            }
            before => {
                let gap = now.since(*contact);
                let age = server.origin.age;
                let last_left =
                    before.as_ref().map_or(Some(Left { contact: *contact, saw_end: true }), |next| next.left);
                let before_it = last_left.map_or(Duration::ZERO, |left| left.unseen(age, gone, now));
                // Not longer than its silence: a replica may be older.
                let since_it_began = loading.map_or(age, |loading| age.min(now.since(loading))).min(gap);
                let earlier = before.as_ref().map_or(Duration::ZERO, |Next { restart, .. }| restart.apart_or_unseen());
                let unseen_before = earlier.saturating_add(before_it);
                let after_a_loss = before.is_some_and(|before| before.may_have_lost);
                let restart = Restart {
                    last_contact: contact.instant,
                    saw_end: *saw_end,
                    gap,
                    unseen: unseen_before.saturating_add(since_it_began),
                    unseen_before,
                    apart: Duration::ZERO,
                    seen: Seen::default(),
                    after_a_loss,
                    foreign: *foreign,
                    replicated: replicated.clone(),
                    origin: server.origin.clone(),
                };
                let may_have_lost = after_a_loss || server.origin.fresh_append_only_file != Some(false);
                Next { run_id: server.run_id.clone(), restart, left: None, may_have_lost }
            }
        };
        let seen = mem::take(&mut next.restart.seen);
        Some(Restart { seen, ..self.next.insert(next).restart.clone() })
    }

    /// A session has ended.
    pub(super) fn lost(&mut self, end: Farewell<'_>, now: Contact) {
        let Farewell { run_id, contact, replicated, fault, is_loaded, foreign, seen } = end;
        let saw_end = now.since(contact) <= RECENT && matches!(fault, Fault::Connection(_));
        let left = Left { contact, saw_end };
        if is_loaded {
            self.known = Some(Known { run_id: run_id.to_owned(), left, replicated, foreign });
            self.next = None;
        } else if let Some(next) = &mut self.next {
            (next.left, next.restart.seen) = (Some(left), seen);
        }
    }
}

impl Left {
    /// How long the process may have gone on unseen, if another one of this age answers now.
    fn unseen(self, age: Duration, gone: Option<Contact>, now: Contact) -> Duration {
        if !self.saw_end {
            return Duration::MAX;
        }
        let until_next = now.since(self.contact).saturating_sub(age);
        gone.map_or(until_next, |gone| until_next.min(gone.since(self.contact)))
    }
}

#[cfg(test)]
mod tests;
