//! The session as callers of the store see it: a usable one, or the reason why there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::connect::Connector;
use super::fault::Fault;
use super::metrics::Metrics;
use super::session::Session;
use super::writes::Writes;
use crate::store::Mirror;

/// How long callers wait for a new session when one has just been lost: if a broken connection is quickly made anew,
/// nobody needs to notice.
const NEXT_SESSION_MAX: Duration = Duration::from_millis(250);

/// What the threads of the store share.
pub(super) struct Context {
    pub(super) connector: Arc<Connector>,
    pub(super) link: Arc<Link>,
    pub(super) mirror: Arc<dyn Mirror>,
    pub(super) metrics: Arc<Metrics>,
}

/// The session with Redis, if there is one. If there is none, callers learn it at once instead of waiting for one each.
pub(super) struct Link {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    session: Option<Arc<Session>>,
    fault: Fault,
    lost_at: Option<Instant>,
    /// The last session whose first full load was done.
    loaded_in: Option<u64>,
    writes: Writes,
    closed: bool,
}

impl Link {
    pub(super) fn new() -> Link {
        let state = State {
            session: None,
            fault: Fault::Starting,
            lost_at: None,
            loaded_in: None,
            writes: Writes::default(),
            closed: false,
        };
        Link { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The session, once everything has been loaded for the first time. After an outage it is usable before everything
    /// is loaded again, since writes are shown in any case.
    pub(super) fn session(&self) -> Result<Arc<Session>, Fault> {
        let mut state = self.state.lock();
        if state.is_between_sessions() {
            // A session that has just ended may still be here.
            let lost_at = state.lost_at.filter(|_| state.session.is_none()).unwrap_or_else(Instant::now);
            self.changed.wait_while_until(&mut state, |state| state.is_between_sessions(), lost_at + NEXT_SESSION_MAX);
        }
        match &state.session {
            Some(_) if state.loaded_in.is_none() => Err(Fault::Unloaded),
            Some(session) => Ok(Arc::clone(session)),
            None => Err(state.fault.clone()),
        }
    }

    /// The session, loaded or not.
    pub(super) fn any_session(&self) -> Result<Arc<Session>, Fault> {
        let state = self.state.lock();
        state.session.clone().ok_or_else(|| state.fault.clone())
    }

    /// The session for changes made together or on a condition. Without the right to a transaction they would be made
    /// one by one and without the condition.
    pub(super) fn session_for_transaction(&self) -> Result<Arc<Session>, Fault> {
        let session = self.session()?;
        self.state.lock().writes.transaction_fault().map_or(Ok(session), |fault| Err(fault.clone()))
    }

    /// Whether the mirror follows a session that is fully loaded.
    pub(super) fn is_loaded(&self) -> bool {
        self.state.lock().is_loaded()
    }

    pub(super) fn was_loaded(&self) -> bool {
        self.state.lock().loaded_in.is_some()
    }

    /// The present fault, for people.
    pub(super) fn health(&self) -> Result<(), Fault> {
        let state = self.state.lock();
        match &state.session {
            Some(_) if state.is_loaded() => state.writes.fault().map_or(Ok(()), |fault| Err(fault.clone())),
            Some(_) => Err(state.writes.refused().cloned().unwrap_or(Fault::Unloaded)),
            None => Err(state.fault.clone()),
        }
    }

    /// The latest knowledge about writes, from this session or one before.
    pub(super) fn writes(&self) -> Writes {
        self.state.lock().writes.clone()
    }

    pub(super) fn note_writes(&self, writes: &Writes) {
        self.state.lock().writes.clone_from(writes);
    }

    /// Starts a session.
    pub(super) fn begin(&self, session: Arc<Session>) -> Result<(), Fault> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Fault::Closed);
        }
        state.session = Some(session);
        self.changed.notify_all();
        Ok(())
    }

    /// The first full load of this session is done. `true` in the first session of all.
    pub(super) fn loaded(&self, session: u64) -> bool {
        self.state.lock().loaded_in.replace(session).is_none()
    }

    /// Ends the session for this reason.
    pub(super) fn end(&self, fault: Fault) {
        let mut state = self.state.lock();
        if state.session.take().is_some() {
            state.lost_at = Some(Instant::now());
        }
        if !state.closed {
            state.fault = fault;
        }
    }

    /// Waits before the next attempt. `false` if the store was closed.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        let mut state = self.state.lock();
        self.changed.wait_while_until(&mut state, |state| !state.closed, deadline);
        !state.closed
    }

    /// Ends the session and prevents another one.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        (state.closed, state.fault) = (true, Fault::Closed);
        if let Some(session) = state.session.take() {
            session.end(Fault::Closed);
        }
        self.changed.notify_all();
    }
}

impl State {
    /// Whether the first full load of the session is done.
    fn is_loaded(&self) -> bool {
        self.session.as_ref().is_some_and(|session| self.loaded_in == Some(session.number))
    }

    /// Whether a session has been lost, and no other has begun.
    fn is_between_sessions(&self) -> bool {
        let ended = self.session.as_ref().is_some_and(|session| session.ended().is_some());
        !self.closed && (ended || self.session.is_none() && self.lost_at.is_some())
    }
}
