//! When nobody could renew, as it is seen from outside: while there is a fault, and until every server is ready again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How much longer than it is seen from outside an outage may be: so long the last sign that the store takes writes may
/// lie back when the fault begins, or be waited for when it is over.
pub(crate) const UNSEEN_MAX: Duration = Duration::from_secs(3);

/// The outages so far.
#[derive(Debug)]
pub(crate) struct Outages(Mutex<State>);

#[derive(Debug)]
struct State {
    is_faulty: bool,
    sampled: Instant,
    seen: Seen,
}

/// What has been seen up to some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// There is an outage.
    pub(crate) is_on: bool,
    /// How many have begun.
    pub(crate) count: u32,
    /// How long they were together.
    pub(crate) sum: Duration,
    /// When the last one ended.
    pub(crate) ended: Instant,
}

impl Outages {
    /// None so far.
    pub(crate) fn new() -> Outages {
        let now = Instant::now();
        let seen = Seen { is_on: false, count: 0, sum: Duration::ZERO, ended: now };
        Outages(Mutex::new(State { is_faulty: false, sampled: now, seen }))
    }

    /// Does something that may be an outage.
    pub(crate) fn during(&self, fault: impl FnOnce()) {
        self.set_faulty(true);
        fault();
        self.set_faulty(false);
    }

    fn set_faulty(&self, is_faulty: bool) {
        let mut state = self.0.lock();
        state.is_faulty = is_faulty;
        // What is over is for the servers to say.
        state.go_on(true);
    }

    /// Takes note of whether all servers say that they are ready.
    pub(crate) fn note(&self, is_ready: bool) {
        let mut state = self.0.lock();
        let is_on = state.is_faulty || !is_ready;
        state.go_on(is_on);
    }

    /// What has been seen until now.
    pub(crate) fn seen(&self) -> Seen {
        self.0.lock().seen
    }
}

impl State {
    fn go_on(&mut self, is_on: bool) {
        let (now, was_on) = (Instant::now(), self.seen.is_on);
        if was_on {
            self.seen.sum += now - self.sampled;
            self.seen.ended = now;
        } else if is_on {
            self.seen.count += 1;
        }
        (self.sampled, self.seen.is_on) = (now, is_on);
    }
}
