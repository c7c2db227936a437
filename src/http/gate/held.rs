//! The bytes that are held for clients: answers of their own that they have still to read, and large bodies that are
//! still to come. There is one bound for all of them together, and whoever has made no progress for longest makes room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus::IntGauge;

use crate::http::response::Body;

/// Smaller answers are not worth counting: the stack of the thread that sends them takes more.
const COUNTED_BYTES_MIN: usize = 16 * 1024;

/// How long somebody waits for room. Others read, or make room, in less.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often room is made meanwhile.
const ROOM_WAIT: Duration = Duration::from_millis(10);

pub(super) struct HeldBytes {
    state: Mutex<State>,
    released: Condvar,
    bytes_max: usize,
    gauge: IntGauge,
}

#[derive(Default)]
struct State {
    bytes: usize,
    /// The answers by their address, with how many clients read them: equal ones are one in memory.
    answers: HashMap<usize, usize>,
}

/// Bytes that one client holds, until this is dropped.
pub(super) struct Hold {
    held: Arc<HeldBytes>,
    bytes: usize,
    /// `None` for a body that is still to come.
    answer: Option<Body>,
}

impl HeldBytes {
    pub(super) fn new(bytes_max: usize, gauge: IntGauge) -> Arc<HeldBytes> {
        Arc::new(HeldBytes { state: Mutex::default(), released: Condvar::new(), bytes_max, gauge })
    }

    /// Holds an answer, if it has to be counted; `Err` when there is no room for it.
    pub(super) fn answer(self: &Arc<HeldBytes>, body: &Body, make_room: impl Fn()) -> Result<Option<Hold>, NoRoom> {
        // One that is larger than all that may be held has all of it for itself.
        let bytes = body.own_bytes().min(self.bytes_max);
        if bytes < COUNTED_BYTES_MIN {
            return Ok(None);
        }
        let mut state = self.state.lock();
        if !state.answers.contains_key(&body.address()) {
            self.take(&mut state, bytes, make_room)?;
            if state.answers.contains_key(&body.address()) {
                // Somebody with an equal one has found room meanwhile.
                state.bytes -= bytes;
            }
        }
        *state.answers.entry(body.address()).or_default() += 1;
        Ok(Some(Hold { held: Arc::clone(self), bytes, answer: Some(body.clone()) }))
    }

    /// Holds a body that is still to come, all of it from the beginning: who had a part would wait for others who have one.
    pub(super) fn upload(self: &Arc<HeldBytes>, bytes: usize, make_room: impl Fn()) -> Result<Hold, NoRoom> {
        self.take(&mut self.state.lock(), bytes, make_room)?;
        Ok(Hold { held: Arc::clone(self), bytes, answer: None })
    }

    fn take(&self, state: &mut MutexGuard<'_, State>, bytes: usize, make_room: impl Fn()) -> Result<(), NoRoom> {
        let deadline = Instant::now() + ROOM_WAIT_MAX;
        while state.bytes + bytes > self.bytes_max {
            if Instant::now() >= deadline {
                return Err(NoRoom);
            }
            make_room();
            self.released.wait_for(state, ROOM_WAIT);
        }
        state.bytes += bytes;
        self.gauge.set(state.bytes as i64);
        Ok(())
    }
}

/// Everybody else who holds something makes progress.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.held.state.lock();
        let address = self.answer.take().map(|body| body.address());
        if let Some(readers) = address.and_then(|address| state.answers.get_mut(&address)) {
            *readers -= 1;
            if *readers > 0 {
                return;
            }
        }
        address.map(|address| state.answers.remove(&address));
        state.bytes -= self.bytes;
        self.held.gauge.set(state.bytes as i64);
        self.held.released.notify_all();
    }
}
