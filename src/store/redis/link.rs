//! The link to Redis as the store's callers see it: a session that can be used, or the reason why there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::fault::Fault;
use super::session::Session;

/// How long a refused write counts against the health of the store. No write may follow to show that it is over.
const REFUSAL_COUNTS: Duration = Duration::from_secs(10);

/// How long callers wait for a new session when one has just been lost: a connection may break, and be made anew, and
/// nobody needs to notice.
const NEXT_SESSION_MAX: Duration = Duration::from_millis(250);

/// Whether Redis can be used now. Callers learn at once that it cannot, instead of each waiting for it.
pub(super) struct Link {
    state: Mutex<State>,
    closing: Condvar,
    up: Condvar,
}

struct State {
    session: Option<Arc<Session>>,
    /// Why there is no session.
    fault: Fault,
    /// When the last session was lost.
    lost_at: Option<Instant>,
    /// This session's first full load is done.
    loaded: bool,
    /// Any session's first full load is done.
    loaded_once: bool,
    /// When and why Redis refused the last write, if it did: it can be reached and read all the same.
    refused: Option<(Instant, Fault)>,
    closed: bool,
}

impl Link {
    pub(super) fn new() -> Link {
        let state = State {
            session: None,
            fault: Fault::Starting,
            lost_at: None,
            loaded: false,
            loaded_once: false,
            refused: None,
            closed: false,
        };
        Link { state: Mutex::new(state), closing: Condvar::new(), up: Condvar::new() }
    }

    /// The session, once everything has been loaded for the first time. After an outage it can be used before
    /// everything is loaded anew, since what is written is shown in any case.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn session(&self) -> Result<Arc<Session>, Fault> {
        let mut state = self.state.lock();
        if state.is_between_sessions() {
            // One that has just ended may not have been taken down yet.
            let lost_at = state.lost_at.filter(|_| state.session.is_none()).unwrap_or_else(Instant::now);
            self.up.wait_while_until(&mut state, |state| state.is_between_sessions(), lost_at + NEXT_SESSION_MAX);
        }
        match &state.session {
            Some(_) if !state.loaded_once => Err(Fault::Unloaded),
            Some(session) => Ok(Arc::clone(session)),
            None => Err(state.fault.clone()),
        }
    }

    /// The session, whether or not everything is loaded.
    pub(super) fn current(&self) -> Result<Arc<Session>, Fault> {
        let state = self.state.lock();
        state.session.clone().ok_or_else(|| state.fault.clone())
    }

    /// Whether the mirror follows a session that is fully loaded, so that there is something to lose.
    pub(super) fn is_loaded(&self) -> bool {
        self.state.lock().loaded
    }

    /// Whether writes succeed and the mirror follows.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn health(&self) -> Result<(), Fault> {
        let state = self.state.lock();
        match &state.session {
            Some(_) if state.loaded => match &state.refused {
                Some((at, fault)) if at.elapsed() < REFUSAL_COUNTS => Err(fault.clone()),
                _ => Ok(()),
            },
            Some(_) => Err(Fault::Unloaded),
            None => Err(state.fault.clone()),
        }
    }

    /// Takes note of how a write ended.
    pub(super) fn note_write<T>(&self, written: &Result<T, Fault>) {
        let mut state = self.state.lock();
        match written {
            Ok(_) => state.refused = None,
            Err(fault) if fault.is_refusal() => state.refused = Some((Instant::now(), fault.clone())),
            Err(_) => {}
        }
    }

    /// Starts a session.
    ///
    /// # Errors
    /// The link was closed meanwhile.
    pub(super) fn up(&self, session: Arc<Session>) -> Result<(), Fault> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Fault::Closed);
        }
        state.session = Some(session);
        self.up.notify_all();
        Ok(())
    }

    /// The session's first full load is done.
    pub(super) fn loaded(&self) {
        let mut state = self.state.lock();
        (state.loaded, state.loaded_once) = (true, true);
    }

    /// There is no session any more, for this reason.
    pub(super) fn down(&self, fault: Fault) {
        let mut state = self.state.lock();
        if state.session.take().is_some() {
            state.lost_at = Some(Instant::now());
        }
        state.loaded = false;
        if !state.closed {
            state.fault = fault;
        }
    }

    /// Waits before another try. `false` when the link was closed, and there shall be none.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        let mut state = self.state.lock();
        while !state.closed && !self.closing.wait_until(&mut state, deadline).timed_out() {}
        !state.closed
    }

    /// Ends the session, and lets no other begin.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        (state.closed, state.fault) = (true, Fault::Closed);
        if let Some(session) = state.session.take() {
            session.end(Fault::Closed);
        }
        self.closing.notify_all();
        self.up.notify_all();
    }
}

impl State {
    /// Whether a session has been lost, and no other has begun.
    fn is_between_sessions(&self) -> bool {
        let ended = self.session.as_ref().is_some_and(|session| session.ended().is_some());
        !self.closed && (ended || self.session.is_none() && self.lost_at.is_some())
    }
}
