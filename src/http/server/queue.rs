//! The requests that no worker has come to yet, by the id under which tiny_http passes them on, and the way back of
//! their answers.

use std::collections::HashMap;

use parking_lot::Mutex;
use prometheus::IntGauge;

use crate::http::gate::{Answered, Permit, Refusal};
use crate::http::request::Request;
use crate::oneshot::{self, Receiver, Sender};

/// What becomes of a request.
pub(super) type Outcome = Result<Answered, Refusal>;

/// Counts the requests of a process; none has the id 0.
pub(super) type RequestId = u64;

/// A request that waits.
pub(super) struct Pending {
    pub(super) request: Request,
    /// Kept for as long as the body.
    pub(super) permit: Option<Permit>,
    pub(super) reply: Sender<Outcome>,
}

/// All of them.
pub(super) struct Queue {
    state: Mutex<State>,
    len_max: usize,
    len: IntGauge,
}

#[derive(Default)]
struct State {
    pending: HashMap<RequestId, Pending>,
    last_id: RequestId,
}

impl Queue {
    /// An empty queue for this many requests, which shows its length.
    pub(super) fn new(len_max: usize, len: IntGauge) -> Queue {
        Queue { state: Mutex::default(), len_max, len }
    }

    /// Appends a request; `None` when too many wait.
    pub(super) fn push(&self, request: Request, permit: Option<Permit>) -> Option<(RequestId, Receiver<Outcome>)> {
        let (reply, outcome) = oneshot::channel();
        let mut state = self.state.lock();
        if state.pending.len() >= self.len_max {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        state.pending.insert(id, Pending { request, permit, reply });
        self.len.set(state.pending.len() as i64);
        Some((id, outcome))
    }

    /// Takes out a request; `None` when nobody waits for its answer any more.
    pub(super) fn take(&self, id: RequestId) -> Option<Pending> {
        let mut state = self.state.lock();
        let pending = state.pending.remove(&id);
        self.len.set(state.pending.len() as i64);
        pending.filter(|pending| pending.reply.is_awaited())
    }

    /// Drops all requests, which tells those who wait that there will be no answer.
    pub(super) fn clear(&self) {
        let mut state = self.state.lock();
        state.pending.clear();
        self.len.set(0);
    }
}
